"""Zones signed with keys of files: exactly with those, and no change of keys that could cost a validator its chain."""

from base64 import b64decode
from dataclasses import replace
from pathlib import Path

import pytest

from authserver.publication import Work
from authserver.publisher import Publisher, mark_served
from authserver.state import State
from engine import Clock
from keys import custody, keyfiles, store
from keys.policy import DEFAULT, INSECURE
from keys.states import RecordKind, Sighting
from tests.authserver.test_publisher import NOW, after_restart, content, new_zone, publish, seal
from tests.keys.making import KSK, ZSK, write_key

DNSKEY, CDS, CDNSKEY = 48, 59, 60


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


@pytest.fixture
def key(tmp_path):
    """A new key of the zone in files, read."""
    return lambda flags=KSK, zone="example.test.": keyfiles.read(write_key(tmp_path, zone, flags))


def policy(*files):
    return replace(DEFAULT, key_files=files)


def dnskeys(zone):
    return set(zone.live.signed.version.rrset(zone.key.origin, DNSKEY)[1])


def signer_tags(zone, rtype):
    """Tags of the keys whose signatures over an RRset of the apex are served."""
    text = zone.live.signed.to_text().decode()
    prefix = f"example.test.\t{{}}\tIN\tRRSIG\t{rtype} "
    lines = [line for line in text.splitlines() if line.startswith(prefix.format(3600))]
    assert lines
    return {int(line.split("\t")[4].split()[6]) for line in lines}


def put_in_force(publisher, zone, new):
    """What a reload does with another policy; the rules of what was found."""
    zone.policy = new
    publisher.run([Work(zone, resign=True)])
    return [one.rule for one in zone.findings]


def ask_for_ds(state):
    """As when the keys' time has come, and the operator did what CDS asked for."""
    with state.transaction() as tx:
        tx.execute("UPDATE key_states SET state = 'rumoured' WHERE kind = 'ds'")


def test_exactly_the_keys_of_the_files_sign_and_nothing_asks_for_a_ds(publisher, state, clock, key):
    one = key()
    zone = new_zone(policy=policy(one))
    publish(publisher, zone)
    assert dnskeys(zone) == {one.dnskey}
    assert signer_tags(zone, "SOA") == signer_tags(zone, "DNSKEY") == {one.tag}
    clock.stop_at(NOW + 100 * 86400)
    publisher.run([Work(zone)])
    assert dnskeys(zone) == {one.dnskey}
    version = zone.live.signed.version
    assert version.rrset(zone.key.origin, CDS) is version.rrset(zone.key.origin, CDNSKEY) is None
    with state.reader() as tx:
        assert store.load(tx, *zone.key) == []


def test_the_private_part_is_nowhere_in_the_state(publisher, state, key):
    one = key()
    secret = b64decode(Path(one.file).read_text().split()[-1])
    publish(publisher, new_zone(policy=policy(one)))
    files = [path for path in state.directory.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if secret in path.read_bytes()]
    assert "handle" not in repr(one)


def test_flags_part_key_signing_from_zone_signing_keys(publisher, key):
    ksk, zsk = key(KSK), key(ZSK)
    zone = new_zone(policy=policy(ksk, zsk))
    publish(publisher, zone)
    assert dnskeys(zone) == {ksk.dnskey, zsk.dnskey}
    assert (signer_tags(zone, "DNSKEY"), signer_tags(zone, "SOA")) == ({ksk.tag}, {zsk.tag})


@pytest.mark.parametrize("flags", [KSK, ZSK])
def test_keys_of_one_kind_sign_everything(publisher, key, flags):
    zone = new_zone(policy=policy(*(files := (key(flags), key(flags)))))
    publish(publisher, zone)
    assert signer_tags(zone, "DNSKEY") == signer_tags(zone, "SOA") == {one.tag for one in files}


def test_a_zone_takes_the_keys_of_its_own_name_or_else_of_the_closest_above(publisher, key):
    above, own, other = key(zone="test."), key(), key(zone="other.test.")
    zone = new_zone(policy=policy(above, own, other))
    publish(publisher, zone)
    assert dnskeys(zone) == {own.dnskey}
    sibling = new_zone("sibling.test.", policy=policy(above, own, other))
    publish(publisher, sibling, origin=sibling.key.origin)
    assert dnskeys(sibling) == {above.dnskey}


def test_a_zone_without_a_key_of_its_own_is_held(publisher, key):
    zone = new_zone(policy=policy(key(zone="other.test.")))
    publish(publisher, zone)
    assert zone.live is None
    assert [one.message for one in zone.findings] == [
        "example.test.: no key file is of it or of a zone above; they are of other.test."
    ]


def test_a_restart_serves_the_sealed_version_with_the_same_signatures(publisher, state, clock, key):
    wanted = policy(key(KSK), key(ZSK))
    zone = new_zone(policy=wanted)
    publish(publisher, zone)
    seal(publisher, zone)
    text = zone.live.signed.to_text()
    publisher, again, works = after_restart(state, clock, policy=wanted)
    assert works == []
    assert again.live.signed.to_text() == text
    publisher.run([Work(again), Work(new_zone("other.test."))])
    assert again.live.signed.to_text() == text


# -------------------------------------------------------------------- keys of the state → keys of files


def test_files_replace_keys_of_the_state_that_no_parent_has_a_ds_of(publisher, state, key):
    zone = new_zone()
    publish(publisher, zone)
    one = key()
    assert put_in_force(publisher, zone, policy(one)) == []
    assert dnskeys(zone) == {one.dnskey}
    assert zone.live.serial == 8
    with state.reader() as tx:
        assert store.load(tx, *zone.key) == []


def test_keys_of_the_state_go_on_when_the_parent_may_have_their_ds(publisher, state, clock, key):
    zone = new_zone()
    publish(publisher, zone)
    ask_for_ds(state)
    before = dnskeys(zone)
    wanted = policy(key())
    assert put_in_force(publisher, zone, wanted) == ["other-keys-sign"]
    assert dnskeys(zone) == before
    assert not zone.is_held
    publisher, again, works = after_restart(state, clock, policy=wanted)
    publisher.run([*works, Work(again, content(last=9))])
    assert dnskeys(again) == before
    assert [one.rule for one in again.findings] == ["other-keys-sign"]


def test_files_of_the_very_keys_that_were_imported_take_over(publisher, key):
    one = key()
    zone = new_zone()
    publisher.adopt(zone.key, [custody.import_bind(one.file)])
    publish(publisher, zone)
    assert put_in_force(publisher, zone, policy(one)) == []
    assert dnskeys(zone) == {one.dnskey}
    assert put_in_force(publisher, zone, policy(key())) == ["other-keys-sign"]
    assert dnskeys(zone) == {one.dnskey}


def test_a_restart_between_the_two_changes_nothing(publisher, state, clock, key):
    zone = new_zone()
    publish(publisher, zone)
    seal(publisher, zone)
    one = key()
    publisher, again, works = after_restart(state, clock, policy=policy(one))
    assert again.live.serial == 7
    publisher.run([*works, Work(again)])
    assert again.findings == ()
    assert (again.live.serial, dnskeys(again)) == (8, {one.dnskey})


def test_what_was_held_notes_no_change_of_keys(publisher, state, clock, key):
    zone = new_zone()
    publish(publisher, zone)
    before = dnskeys(zone)
    zone.policy = policy(key())
    foreign = f"@ DNSKEY 257 3 13 {'A' * 86}==\n"
    publish(publisher, zone, more=foreign)
    assert [one.rule for one in zone.findings if one.severity == "error"] == ["foreign-dnskey"]
    publisher, again, works = after_restart(state, clock, policy=zone.policy)
    assert works == [] or not again.is_held
    assert dnskeys(again) == before


# -------------------------------------------------------------------- keys of files → keys of the state, or none


@pytest.mark.parametrize("new", [DEFAULT, None])
def test_files_go_on_signing_when_the_corefile_names_them_no_more(publisher, state, clock, key, new):
    one = key()
    zone = new_zone(policy=policy(one))
    publish(publisher, zone)
    assert "other-keys-sign" in put_in_force(publisher, zone, new)
    assert dnskeys(zone) == {one.dnskey}
    publisher, again, works = after_restart(state, clock, policy=new)
    publisher.run([*works, Work(again, content(last=9))])
    assert dnskeys(again) == {one.dnskey}
    assert again.live.signed.is_signed


def test_imported_they_are_the_state_s_own(publisher, state, key):
    one = key()
    zone = new_zone(policy=policy(one))
    publish(publisher, zone)
    publisher.adopt(zone.key, [custody.import_bind(one.file)])
    assert put_in_force(publisher, zone, DEFAULT) == []
    assert dnskeys(zone) == {one.dnskey}
    with state.reader() as tx:
        assert keyfiles.load(tx, zone.key) == []
        assert [stored.dnskey for stored in store.load(tx, *zone.key)] == [one.dnskey]


def test_files_that_are_gone_hold_the_zone_and_no_new_key_is_made(publisher, state, key, tmp_path):
    one = key()
    zone = new_zone(policy=policy(one))
    publish(publisher, zone)
    live = zone.live
    for path in tmp_path.glob("K*"):
        path.unlink()
    zone.policy = DEFAULT
    (outcome,) = publisher.run([Work(zone, resign=True)])
    assert [one.rule for one in outcome.findings] == ["not-publishable"]
    assert "signed with a key file that is gone" in outcome.findings[0].message
    assert outcome.retry is not None
    assert zone.live is live
    with state.reader() as tx:
        assert store.load(tx, *zone.key) == []


# -------------------------------------------------------------------- keys of files → keys of other files


def test_all_keys_at_once_are_not_exchanged_but_one_after_the_other_is(publisher, key):
    old, new = key(), key()
    zone = new_zone(policy=policy(old))
    publish(publisher, zone)
    assert put_in_force(publisher, zone, policy(new)) == ["other-keys-sign"]
    assert dnskeys(zone) == {old.dnskey}
    assert put_in_force(publisher, zone, policy(old, new)) == []
    assert dnskeys(zone) == {old.dnskey, new.dnskey}
    assert put_in_force(publisher, zone, policy(new)) == []
    assert dnskeys(zone) == {new.dnskey}


def test_the_parent_is_told_the_ds_and_when_it_may_have_it(state, publisher, key):
    one = key()
    zone = new_zone(policy=policy(one))
    publish(publisher, zone)
    with state.reader() as tx:
        (found,) = keyfiles.in_force(tx, zone.key)
        assert keyfiles.all_in_force(tx) == [found]
    assert (found.tag, found.is_ksk, found.is_zsk, found.provenance) == (one.tag, True, True, "file")
    assert found.state(RecordKind.DS) == "hidden"


def test_a_zone_that_is_forgotten_leaves_no_note_of_its_files(publisher, state, clock, key):
    zone = new_zone(policy=policy(key()))
    publish(publisher, zone)
    publisher.remove([zone.key])
    clock.stop_at(NOW + 200 * 86400)
    publisher.tidy()
    with state.reader() as tx:
        assert keyfiles.load(tx, zone.key) == []


def note_served(publisher, zone):
    """The live version is sealed, and every server has it."""
    if zone.live.signed.is_signed and not zone.live.signed.is_sealed:
        seal(publisher, zone)
    with publisher.state.transaction() as tx:
        mark_served(tx, zone.key, zone.live, publisher.clock.now())


def test_signatures_of_key_files_leave_when_they_are_imported_and_the_parent_has_no_ds(publisher, clock, key):
    one = key()
    zone = new_zone(policy=policy(one))
    publish(publisher, zone)
    note_served(publisher, zone)
    assert put_in_force(publisher, zone, INSECURE) == ["other-keys-sign"]
    assert "`zonewright key import` takes it over, and `policy insecure`" in zone.findings[0].message
    assert dnskeys(zone) == {one.dnskey}
    publisher.adopt(zone.key, [custody.import_bind(one.file)])
    assert put_in_force(publisher, zone, INSECURE) == []
    note_served(publisher, zone)
    for day in range(1, 30):
        clock.stop_at(NOW + day * 86400)
        if zone.live.signed.is_signed:
            version = zone.live.signed.version
            asks = version.rrset(zone.key.origin, CDS)
            assert asks is None or asks[1] == [bytes(5)], "CDS asks for the removal of every DS (RFC 8078 section 4)"
            # The parent has the DS for five days more.
            seen = Sighting(day < 6, clock.now(), clock.now(), 3600)
            publisher.saw(zone.key, {kept.id: seen for kept in zone.keys})
            assert day > 6 or dnskeys(zone) == {one.dnskey}
        publisher.run([Work(zone)])
        note_served(publisher, zone)
    assert not zone.live.signed.is_signed
    assert zone.live.signed.version.rrset(zone.key.origin, DNSKEY) is None
    zone.policy = None
    publisher.run([Work(zone)])
    assert not zone.live.signed.is_signed
    assert zone.findings == ()
