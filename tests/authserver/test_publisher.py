"""Batches: serials, held versions, what a restart serves again, and what a kill or a full disk leaves behind."""

import errno
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from authserver.publication import Content, Work, Zone, ZoneKey
from authserver.publisher import Publisher
from authserver.state import State
from engine import Clock, Version, ZoneSlot, key_tag, name_from_text, read_zone
from keys import custody, private, store
from keys.policy import DEFAULT, Denial, Policy
from zones import history
from zones.check import finding

NOW = 1_800_000_000
TEXT = "$TTL 3600\n@ SOA ns admin {serial} 3600 600 604800 300\n@ NS ns\nns A 192.0.2.1\nwww A 192.0.2.{last}\n"


def content(origin=b"\x07example\x04test\x00", serial=7, last=2, more=""):
    text = TEXT.format(serial=serial, last=last) + more
    version, findings = Version.build(read_zone(origin, [("db.example", text.encode())]))
    assert version is not None, findings
    return Content(version, (), f"{serial}-{last}-{more}", "db.example")


def new_zone(name="example.test.", policy=DEFAULT):
    origin = name_from_text(name)
    return Zone(ZoneKey(origin), policy, ZoneSlot(origin))


@pytest.fixture
def clock():
    clock = Clock()
    clock.stop_at(NOW)
    return clock


@pytest.fixture
def state(tmp_path):
    with State.open(tmp_path / "state") as state:
        yield state


@pytest.fixture
def publisher(state, clock):
    return Publisher(state, clock)


def imported_key(zone):
    pkcs8, dnskey = private.generate(13)
    return custody.ImportedKey(zone.key.origin, dnskey, key_tag(dnskey), pkcs8, {}, (), "Kexample.private")


def publish(publisher, zone, **facts):
    (outcome,) = publisher.run([Work(zone, content(**facts))])
    return outcome


def seal(publisher, zone):
    """What the sealer does."""
    signed = zone.live.signed
    while not signed.make(100_000) or not signed.verify(100_000, publisher.clock.now()):
        pass
    (ref,) = publisher.state.write_pack([signed.signatures()])
    with publisher.state.transaction() as tx:
        image = history.Image(*zone.key, zone.live.serial, "signatures", ref.pack, ref.offset, ref.length)
        history.record_image(tx, image, NOW)
        history.record_sealed(tx, *zone.key, zone.live.serial, NOW)
    publisher.state.release_pack([ref])
    signed.seal()


def after_restart(state, clock, policy=DEFAULT):
    """A new process's view of the same state: (publisher, zone, work that restoring left)."""
    publisher, zone = Publisher(state, clock), new_zone(policy=policy)
    return publisher, zone, publisher.restore([zone])


def test_the_first_version_has_the_source_s_serial_and_is_live(publisher):
    zone = new_zone()
    assert publish(publisher, zone).live is zone.live
    assert zone.live.serial == 7
    assert zone.slot.current.serial == 7
    assert zone.is_settled


def test_changed_content_gets_the_next_serial_and_a_greater_source_serial_is_taken(publisher):
    zone = new_zone()
    publish(publisher, zone)
    publish(publisher, zone, last=3)
    assert zone.live.serial == 8
    publish(publisher, zone, serial=100, last=4)
    assert zone.live.serial == 100
    publish(publisher, zone, serial=5, last=5)
    assert zone.live.serial == 101


def test_content_that_says_the_same_publishes_nothing(publisher):
    zone = new_zone()
    publish(publisher, zone)
    live = zone.live
    assert publish(publisher, zone).live is None
    assert publish(publisher, zone, more="; a comment\n").live is None
    assert zone.live is live


def test_signing_anew_is_a_new_serial_for_the_same_content(publisher):
    zone = new_zone()
    publish(publisher, zone)
    publisher.run([Work(zone, resign=True)])
    assert zone.live.serial == 8


def test_held_content_leaves_what_serves_and_others_alone(publisher):
    good, bad = new_zone(), new_zone("other.test.")
    reason = finding("db.other", "bad-address", "no", line=3)
    publisher.run([Work(bad, Content(None, (reason,), "", "db.other")), Work(good, content())])
    assert good.live is not None
    assert bad.live is None
    assert bad.is_held
    assert bad.is_settled
    publish(publisher, bad, origin=bad.key.origin)
    assert not bad.is_held


def test_a_restart_serves_the_sealed_version_with_the_same_signatures(publisher, state, clock):
    zone = new_zone()
    publish(publisher, zone)
    seal(publisher, zone)
    before = zone.live.signed.to_text()
    _, again, works = after_restart(state, clock)
    assert works == []
    assert again.live.is_stored
    assert again.slot.current.to_text() == before


def test_a_version_that_was_never_sealed_keeps_serial_and_key(publisher, state, clock):
    zone = new_zone()
    publish(publisher, zone)
    keys = zone.live.signed.version.rrset(zone.key.origin, 48)
    _, again, works = after_restart(state, clock)
    assert works == []
    assert again.live.serial == zone.live.serial
    assert again.live.signed.version.rrset(zone.key.origin, 48) == keys


def test_a_sealed_version_whose_signatures_are_gone_is_never_shown_under_its_serial_again(publisher, state, clock):
    zone = new_zone()
    publish(publisher, zone)
    seal(publisher, zone)
    with state.transaction() as tx:
        tx.execute("DELETE FROM image WHERE kind = 'signatures'")
    publisher, again, works = after_restart(state, clock)
    assert again.live is None
    publisher.run(works)
    assert again.live.serial == 8


def test_signatures_that_ran_out_while_nobody_served_are_not_served(publisher, state, clock):
    zone = new_zone()
    publish(publisher, zone)
    seal(publisher, zone)
    clock.stop_at(NOW + DEFAULT.validity + 1)
    publisher, again, works = after_restart(state, clock)
    publisher.run(works)
    assert again.live.serial == 8
    assert again.live.signed.rrset(again.key.origin, 6) is not None


def test_a_damaged_image_is_made_anew_from_the_source(publisher, state, clock, tmp_path):
    zone = new_zone()
    publish(publisher, zone)
    seal(publisher, zone)
    for pack in (tmp_path / "state/images").iterdir():
        octets = bytearray(pack.read_bytes())
        octets[len(octets) // 2] ^= 0xFF
        pack.write_bytes(octets)
    publisher, again, works = after_restart(state, clock)
    publisher.run([*works, Work(again, content())])
    assert again.live is not None
    assert again.live.serial == 8


def test_unchanged_content_after_a_restart_publishes_nothing(publisher, state, clock):
    zone = new_zone()
    publish(publisher, zone)
    publisher, again, _ = after_restart(state, clock)
    assert publish(publisher, again).live is None
    assert again.live.serial == 7


def test_a_full_disk_publishes_nothing_and_is_tried_again(publisher, monkeypatch):
    zone = new_zone()
    publish(publisher, zone)
    live = zone.live

    def full(_images):
        raise OSError(errno.ENOSPC, "no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(publisher.state, "write_pack", full)
        outcome = publish(publisher, zone, last=9)
    assert outcome.retry is not None
    assert zone.live is live
    publisher.run([outcome.retry])
    assert zone.live.serial == 8


def test_a_foreign_dnskey_holds_the_zone(publisher):
    zone = new_zone()
    publish(publisher, zone, more="@ DNSKEY 257 3 13 " + "A" * 86 + "==\n")
    assert [found.rule for found in zone.findings] == ["foreign-dnskey"]
    assert zone.live is None


def test_without_dnssec_only_the_serial_is_ours(publisher):
    zone = new_zone(policy=None)
    publish(publisher, zone)
    publish(publisher, zone, last=9)
    assert zone.live.serial == 8
    assert not zone.live.signed.is_signed
    assert zone.live.signed.version.rrset(zone.key.origin, 48) is None


def test_dnssec_taken_away_early_leaves_an_unsigned_zone(publisher, state, clock):
    zone = new_zone()
    publish(publisher, zone)
    publisher, again, works = after_restart(state, clock, policy=None)
    publisher.run(works)
    assert again.live.serial == 8
    assert again.live.signed.version.rrset(again.key.origin, 48) is None


def test_dnssec_taken_away_after_the_parent_was_asked_for_a_ds_keeps_it_signed(publisher, state, clock):
    zone = new_zone()
    publish(publisher, zone)
    with state.transaction() as tx:
        tx.execute("UPDATE key_states SET state = 'rumoured' WHERE kind = 'ds'")
    publisher, again, works = after_restart(state, clock, policy=None)
    publisher.run([*works, Work(again, content(last=9))])
    assert again.live.signed.is_signed
    assert [(one.rule, one.severity) for one in again.findings] == [("still-signed", "warning")]
    assert "the parent may have its DS" in str(again.findings[0])
    again.policy = DEFAULT
    publisher.run([Work(again)])
    assert again.findings == ()
    with state.reader() as tx:
        assert len(store.load(tx, *again.key)) == 1


def test_dnssec_taken_away_from_a_zone_with_imported_keys_keeps_it_signed(publisher):
    # Their DS was at the parent before they came here, whatever we asked for.
    zone = new_zone()
    publisher.adopt(zone.key, [imported_key(zone)])
    publish(publisher, zone)
    zone.policy = None
    publisher.run([Work(zone, resign=True)])
    assert zone.live.signed.is_signed


def test_signing_anew_is_done_though_new_content_is_held(publisher):
    zone = new_zone()
    publish(publisher, zone)
    reason = finding("db.example", "bad-address", "no", line=3)
    (outcome,) = publisher.run([Work(zone, Content(None, (reason,), "", "db.example"), resign=True)])
    assert outcome.live is zone.live
    assert zone.live.serial == 8
    assert zone.findings == (reason,)
    assert zone.identity == "7-2-"


def test_signing_anew_that_fails_is_tried_again(publisher):
    zone = new_zone()
    publish(publisher, zone)
    handles, publisher.handles = publisher.handles, {}
    with publisher.state.transaction() as tx:
        tx.execute("UPDATE key_private SET octets = x'00'")
    (outcome,) = publisher.run([Work(zone, resign=True)])
    assert outcome.live is None
    assert outcome.retry == Work(zone, resign=True)
    publisher.handles = handles
    (outcome,) = publisher.run([outcome.retry])
    assert outcome.live is zone.live
    assert not zone.is_held


def test_packs_that_nothing_names_are_deleted(publisher, state, tmp_path):
    zone = new_zone()
    for last in range(2, 6):
        publish(publisher, zone, last=last)
    publisher.tidy()
    assert len(list((tmp_path / "state/images").iterdir())) == 1


def test_a_thousand_first_zones_are_one_pack(publisher, tmp_path):
    zones = [new_zone(f"z{number}.test.") for number in range(200)]
    publisher.run([Work(zone, content(origin=zone.key.origin)) for zone in zones])
    assert all(zone.live for zone in zones)
    assert len(list((tmp_path / "state/images").iterdir())) == 1


NSEC3 = replace(DEFAULT, denial=Denial("nsec3"))
OPT_OUT = replace(DEFAULT, denial=Denial("nsec3", opt_out=True))
COMPACT = replace(DEFAULT, denial=Denial("compact"))


@pytest.mark.parametrize("after", [NSEC3, OPT_OUT, COMPACT])
def test_another_denial_is_another_serial(publisher, after):
    zone = new_zone()
    publish(publisher, zone)
    seal(publisher, zone)
    zone.policy = after
    publisher.run([Work(zone, resign=True)])
    assert (zone.live.serial, zone.live.signed.check(NOW)) == (8, [])
    seal(publisher, zone)
    zone.policy = DEFAULT
    publisher.run([Work(zone, resign=True)])
    assert (zone.live.serial, zone.live.signed.check(NOW)) == (9, [])
    assert zone.live.signed.version.rrset(zone.key.origin, 51) is None


@pytest.mark.parametrize("policy", [NSEC3, OPT_OUT, COMPACT])
def test_a_zone_of_any_denial_is_served_again_after_a_restart(publisher, state, clock, policy):
    zone = new_zone(policy=policy)
    publish(publisher, zone)
    seal(publisher, zone)
    _, again, works = after_restart(state, clock, policy)
    assert works == []
    assert again.live.signed.slots == again.live.signed.slots_made
    assert again.live.serial == 7


@pytest.mark.parametrize(("before", "after"), [(DEFAULT, NSEC3), (NSEC3, DEFAULT), (NSEC3, OPT_OUT)])
def test_a_denial_changed_while_the_server_was_down_makes_another_serial(publisher, state, clock, before, after):
    zone = new_zone(policy=before)
    publish(publisher, zone)
    seal(publisher, zone)
    publisher, again, works = after_restart(state, clock, after)
    publisher.run(works)
    assert again.live.serial == 8
    assert again.live.signed.check(NOW) == []


@pytest.mark.parametrize("policy", ["warn", "hold"])
def test_a_presigned_zone_with_wrong_signatures_is_held_or_not(publisher, policy):
    zone = new_zone(policy=NSEC3)
    publish(publisher, zone)
    text = zone.live.signed.to_text().decode()
    brought = new_zone(policy=None)
    brought.key = ZoneKey(brought.key.origin, "other")
    brought.presigned = policy
    broken = text.replace("192.0.2.2", "192.0.2.3")
    version, _ = Version.build(read_zone(zone.key.origin, [("db.example", broken.encode())]))
    publisher.run([Work(brought, Content(version, (), "broken", "db.example"))])
    (found,) = brought.findings
    assert (found.rule, brought.is_held, brought.live is None) == (
        "presigned-signature-wrong",
        policy == "hold",
        policy == "hold",
    )


DAY = 86400


def test_signatures_of_a_clock_that_ran_ahead_are_replaced_when_it_is_right_again(publisher, clock):
    zone = new_zone()
    publish(publisher, zone)
    clock.stop_at(NOW + 3 * DAY)
    publisher.run([Work(zone, resign=True)])
    seal(publisher, zone)
    assert zone.live.serial == 8
    clock.stop_at(NOW + 10)
    assert zone.live.is_ahead(NOW + 10)
    publisher.run([Work(zone)])
    seal(publisher, zone)
    assert zone.live.serial == 9
    assert not zone.live.is_ahead(NOW + 10)
    assert zone.live.signed.earliest_expiration < NOW + DEFAULT.validity + 60


def test_signatures_of_a_clock_that_ran_ahead_are_not_served_again_after_a_restart(publisher, state, clock):
    zone = new_zone()
    publish(publisher, zone)
    clock.stop_at(NOW + 3 * DAY)
    publisher.run([Work(zone, resign=True)])
    seal(publisher, zone)
    clock.stop_at(NOW + 10)
    publisher, again, works = after_restart(state, clock)
    publisher.run(works)
    seal(publisher, again)
    assert again.live.serial == 9
    assert again.live.signed.earliest_expiration < NOW + DEFAULT.validity + 60


def test_content_is_held_while_the_clock_is_far_behind_the_state_and_taken_when_it_is_right(publisher, state, clock):
    zone = new_zone()
    publish(publisher, zone)
    seal(publisher, zone)
    clock.stop_at(NOW - 30 * DAY)
    publisher, again, works = after_restart(state, clock)
    assert works == []
    outcome = publish(publisher, again, last=3)
    assert [one.rule for one in again.findings] == ["clock-behind-state"]
    assert "put the clock right" in str(again.findings[0])
    assert "2027-01-15T08:00:00Z" in str(again.findings[0])
    assert again.slot.current.serial == 7
    clock.stop_at(NOW + 60)
    publisher.run([outcome.retry])
    assert again.live.serial == 8
    assert not again.is_held


def test_a_zone_without_signatures_is_published_by_any_clock(publisher, state, clock):
    zone = new_zone(policy=None)
    publish(publisher, zone)
    clock.stop_at(NOW - 30 * DAY)
    publisher, again, _ = after_restart(state, clock, policy=None)
    publish(publisher, again, last=3)
    assert again.live.serial == 8


def test_a_clock_that_is_as_the_process_started_is_right_whatever_the_state_remembers(publisher, clock):
    zone = new_zone()
    publish(publisher, zone)
    clock.stop_at(NOW + 400 * DAY)
    publish(publisher, zone, last=3)
    clock.stop_at(NOW + 10)
    publish(publisher, zone, last=4)
    assert zone.live.serial == 9
    assert not zone.live.is_ahead(NOW + 10)
    publisher.tidy()
    again = Publisher(publisher.state, clock)
    publish(again, zone, last=5)
    assert zone.live.serial == 10


def test_an_operator_can_say_that_the_clock_is_right(publisher, state, clock):
    publish(publisher, new_zone())
    clock.stop_at(NOW - 400 * DAY)
    assert state.ahead_of(clock.now()) == 400 * DAY
    state.disclaim()
    assert state.ahead_of(clock.now()) == 0
    publisher, again, works = after_restart(state, clock)
    publisher.run(works)
    assert again.live.serial == 8
    assert not again.is_held


def test_what_must_be_signed_anew_is_served_open_while_the_disk_is_full(publisher, state, clock, monkeypatch):
    zone = new_zone()
    publish(publisher, zone)
    seal(publisher, zone)
    clock.stop_at(NOW + DEFAULT.validity + 1)
    publisher, again, works = after_restart(state, clock)

    def full(_images):
        raise OSError(errno.ENOSPC, "no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(State, "write_pack", lambda _, images: full(images))
        (outcome,) = publisher.run(works)
    assert again.slot.current.serial == 7
    assert outcome.live is None  # or it would be sealed
    assert again.is_settled
    assert again.slot.current.rrset(again.key.origin, 46) is not None
    publisher.run([outcome.retry])
    assert again.live.serial == 8


SIGNED = (
    "@ DNSKEY 257 3 13 /kKSgvcTAGrAhJXnXX6kW7P3SS0tmQW2Q4dAV8dFJUOAWVrtmCW1ckWWdA8x7l9Yk5UNE6C5v5Ryo9RaRSyDyQ==\n"
    "@ RRSIG SOA 13 2 3600 {until} 20270101000000 1 @ {octets}==\n"
)


def renewed(until):
    """What `dnssec-signzone` makes of a zone with the same serial: other signatures."""
    return SIGNED.format(until=until, octets="A" * 86)


def beside_signatures(zone):
    """What is found but for the signatures, which are none here."""
    return [one for one in zone.findings if not one.rule.startswith("presigned-")]


def test_a_zone_signed_anew_elsewhere_under_its_old_serial_is_served_and_not_sealed(publisher, state, clock):
    zone = new_zone(policy=None)
    publish(publisher, zone, more=renewed(20270201000000))
    assert zone.live.is_sealable
    outcome = publish(publisher, zone, more=renewed(20270301000000))
    assert outcome.live is zone.live
    assert zone.live.serial == 7
    assert not zone.live.is_sealable
    assert [(one.rule, one.severity) for one in beside_signatures(zone)] == [("serial-not-raised", "warning")]
    publisher, again, works = after_restart(state, clock, policy=None)
    assert works == []
    assert not again.live.is_sealable
    publisher.run([Work(again)])
    assert [one.rule for one in again.findings] == ["serial-not-raised"]
    publish(publisher, again, serial=8, more=renewed(20270401000000))
    assert again.live.serial == 8
    assert again.live.is_sealable
    assert beside_signatures(again) == []


# ------------------------------------------------------------------ what the policy says


def test_the_serial_is_the_policys(publisher, clock):
    zone = new_zone(policy=Policy("dated", serial="date"))
    publish(publisher, zone)
    today = int(datetime.fromtimestamp(NOW, UTC).strftime("%Y%m%d00"))
    assert zone.live.serial == today
    live = zone.live
    publish(publisher, zone, serial=100)
    assert zone.live is live
    publish(publisher, zone, serial=100, last=3)
    assert zone.live.serial == today + 1
    clock.stop_at(NOW + 86400)
    publisher.run([Work(zone, resign=True)])
    assert zone.live.serial == today + 100


LONG = "long 1073741724 IN A 192.0.2.9\n"


def rules(zone):
    return [one.rule for one in zone.findings]


def test_long_ttls_are_shortened_and_said_so_until_the_policy_allows_them(publisher):
    zone = new_zone()
    owner = b"\x04long" + zone.key.origin
    publish(publisher, zone, more=LONG)
    assert zone.live.signed.version.rrset(owner, 1)[0] == DEFAULT.max_zone_ttl
    assert rules(zone) == ["ttl-capped"]
    assert not zone.is_held
    zone.policy = Policy(max_zone_ttl=86400)
    publisher.run([Work(zone, resign=True)])
    assert zone.live.signed.version.max_ttl == 86400
    assert rules(zone) == ["ttl-capped"]
    assert "max-zone-ttl 1d" in zone.findings[0].message
    publish(publisher, zone, more="")
    assert rules(zone) == []


def test_after_a_restart_a_zone_with_shortened_ttls_is_read_again(publisher, state, clock):
    """The image has them shortened; what the source says is told again, and counts when the policy allows more."""
    zone = new_zone()
    publish(publisher, zone, more=LONG)
    seal(publisher, zone)
    publish(publisher, zone, more=LONG)
    _, again, works = after_restart(state, clock)
    assert works == []
    assert again.identity == ""
    assert again.live.serial == zone.live.serial
    plain = new_zone()
    publish(publisher, plain, last=9)
    seal(publisher, plain)
    assert after_restart(state, clock)[1].identity != ""


def test_an_unsigned_zone_keeps_its_ttls(publisher):
    zone = new_zone(policy=None)
    publish(publisher, zone, more=LONG)
    assert zone.live.signed.version.max_ttl == 1073741724
    assert rules(zone) == []
