"""Other providers of a zone: they join, roll, and leave, and nothing of ours signs before they can be asked for its key."""

from base64 import b64encode
from dataclasses import replace

import pytest

from authserver import backup, multisigner, rolling
from authserver.control import ControlError
from authserver.publication import Work, Zone, ZoneKey
from authserver.publisher import Publisher
from authserver.state import State
from engine import ZoneSlot, key_tag, name_from_text
from keys import private, providerstore, store
from keys.ds import ds_rdata
from keys.policy import DEFAULT, INSECURE, KeySpec, Policy, Role
from keys.providers import foreign_key
from keys.states import Key, RecordKind
from signer.plan import CDNSKEY, CDS, DNSKEY
from signer.verify import Expected, before_live
from tests.authserver.test_family import CHILD, DAY, PARENT, TEXTS, World

ORIGIN = name_from_text(CHILD)
ZONE = ZoneKey(ORIGIN)
SPLIT = replace(DEFAULT, name="split", keys=(KeySpec(Role.KSK), KeySpec(Role.ZSK)))
CSYNC = 62


def text_of(*dnskeys: bytes, ttl: int = 300) -> str:
    lines = [f"{CHILD} {ttl} IN DNSKEY {d[0] << 8 | d[1]} 3 {d[3]} {b64encode(d[4:]).decode()}" for d in dnskeys]
    return "; what dig prints\n" + "\n".join(lines) + "\n"


class Shared(World):
    """A child of a parent that is ours, and another provider with a KSK and a ZSK."""

    def __init__(self, state: State, policy: Policy = SPLIT, algorithm: int = 13) -> None:
        super().__init__(state, **{CHILD: policy})
        self.signed_at = self.clock.now()
        self.ksk, self.zsk = (private.generate(algorithm, flags)[1] for flags in (257, 256))

    def at(self, now: int) -> None:
        """As time goes on: all is signed anew now and then, not at each look."""
        self.clock.stop_at(now)
        is_due = now - self.signed_at > 2 * DAY
        self.signed_at = now if is_due else self.signed_at
        self.publisher.run([Work(zone, resign=is_due) for zone in self.zones.values()])
        self.seal()

    def go(self, seconds: int, step: int = 12 * 3600) -> None:
        super().go(seconds, step)

    def do(self, command: str, **arguments: object) -> dict[str, object]:
        given = {"zone": CHILD, "provider": "other", **arguments}
        carry_out = rolling.carry_out if command in (*rolling.LOOKS, *rolling.DEEDS) else multisigner.carry_out
        done = carry_out(command, self.state, given, self.clock.now())
        self.publisher.run([Work(zone) for zone in self.zones.values()])
        self.seal()
        return done

    def add(self, *dnskeys: bytes, **arguments: object) -> dict[str, object]:
        return self.do("key.provider.add", dnskey=text_of(*(dnskeys or (self.ksk, self.zsk))), **arguments)

    def rrset(self, rtype: int) -> list[bytes]:
        current = self[CHILD].slot.current
        assert current is not None
        return sorted((current.rrset(ORIGIN, rtype) or (0, []))[1])

    @property
    def dnskeys(self) -> list[bytes]:
        return sorted(key.dnskey for key in self.keys(CHILD) if key.is_published(RecordKind.DNSKEY))

    def ours(self, role: str) -> list[Key]:
        return [key for key in self.keys(CHILD) if key.role == role]

    def ds_of(self, dnskey: bytes) -> bytes:
        return ds_rdata(foreign_key(ZONE, dnskey, 0, is_anchor=True))

    def done(self) -> list[bool]:
        return [step["done"] for step in self.do("key.provider.show")["steps"]]

    def is_good(self) -> bool:
        return not self[CHILD].findings and not self[PARENT].findings

    def joined(self) -> "Shared":
        self.go(2 * DAY)
        self.add()
        self.do("key.provider.confirm")
        self.go(3 * DAY)
        return self


@pytest.fixture
def world(tmp_path):
    with State.open(tmp_path / "state") as state:
        yield Shared(state)


def test_their_keys_come_into_our_dnskey_rrset_at_once_and_their_ds_to_the_parent_beside_ours(world):
    world.go(2 * DAY)
    (ksk,) = world.ours("ksk")
    assert world.ds() == [ds_rdata(ksk)]
    world.add()
    assert world.rrset(DNSKEY) == sorted([*world.dnskeys, world.ksk, world.zsk])
    assert world.rrset(CDS) == sorted([ds_rdata(ksk), world.ds_of(world.ksk)])
    assert world.rrset(CDNSKEY) == sorted([ksk.dnskey, world.ksk])
    assert sorted(world.ds()) == sorted([ds_rdata(ksk), world.ds_of(world.ksk)])
    assert world.is_good()


def test_the_steps_of_joining_are_done_one_after_the_other_each_with_what_to_do(world):
    world.go(2 * DAY)
    world.add()
    assert world.done() == [False, False, False, False]
    step = world.do("key.provider.show")["steps"][1]
    assert step["to_do"][-1] == f"when all of its servers have them: zonewright key provider confirm {CHILD} other"
    assert sorted(line.split()[4:7] for line in step["to_do"][1:-1]) == [["256", "3", "13"], ["257", "3", "13"]]
    world.go(DAY)
    assert world.done() == [True, False, True, False], "a parent that is ours does as it is asked"
    world.do("key.provider.confirm")
    assert world.done()[1] is False, "its RRset without ours is in caches yet"
    world.go(DAY)
    assert world.done() == [True, True, True, False]
    assert "key csync" in world.do("key.provider.show")["steps"][3]["to_do"][1]


def test_cds_name_nobody_elses_key_while_they_may_not_name_ours(world):
    world.add()
    assert world.rrset(DNSKEY) == sorted([*world.dnskeys, world.ksk, world.zsk])
    assert world.rrset(CDS) == []
    # Nor is a DS asked for before the other provider has our keys.
    world.go(5 * DAY)
    assert world.rrset(CDS) == []
    world.do("key.provider.confirm")
    world.go(DAY)
    assert len(world.rrset(CDS)) == 2
    assert world.is_good()


def test_nobody_is_told_that_the_parent_is_to_have_no_ds_while_ours_is_not_due(world):
    world.add()
    assert [line for line in world.do("key.why")["to_do"] if "DS record" in line] == []
    assert world.do("key.provider.show")["steps"][2]["to_do"] == []


def test_a_ds_of_theirs_that_the_parent_has_already_stays_when_we_join_them(world):
    theirs = world.ds_of(world.ksk)
    record = f"sub DS {key_tag(world.ksk)} 13 2 {theirs[4:].hex()}\n"
    world.read(PARENT, TEXTS[PARENT] + record)
    world.add()
    for _ in range(30):
        world.go(6 * 3600, 6 * 3600)
        assert theirs in world.ds()
        assert theirs in world.rrset(CDS) or not world.rrset(CDS)
        world.do("key.provider.confirm")
    assert len(world.ds()) == 2


def test_a_new_zsk_signs_nothing_until_the_other_provider_is_said_to_publish_it(world):
    world.joined()
    world.do("key.roll", role="zsk")
    world.go(10 * DAY)
    old, new = world.ours("zsk")
    assert new.is_published(RecordKind.DNSKEY)
    assert not new.is_published(RecordKind.ZRRSIG)
    why = world.do("key.why")
    (wait,) = [one for one in why["waits"] if one["tag"] == new.tag and one["record"] == "dnskey"]
    assert wait["reason"] == "until other publishes its DNSKEY, too"
    assert any(f"key provider confirm {CHILD} other" in line for line in why["to_do"])
    # What was seen of it there is not of the new key: only records that name it count.
    world.do("key.provider.confirm", dnskey=text_of(old.dnskey, world.zsk))
    world.go(2 * DAY)
    assert not world.ours("zsk")[1].is_published(RecordKind.ZRRSIG)
    world.do("key.provider.confirm", dnskey=text_of(old.dnskey, new.dnskey, world.zsk, ttl=7200))
    confirmed = world.clock.now()
    while not world.ours("zsk")[1].is_published(RecordKind.ZRRSIG):
        world.go(600, 600)
    assert 7200 + 3600 <= world.clock.now() - confirmed <= 7200 + 3600 + 600, "its TTL and the policy's safety"
    world.go(10 * DAY)
    assert [key.tag for key in world.ours("zsk") if key.is_published(RecordKind.DNSKEY)] == [new.tag]
    assert world.is_good()


def test_a_new_ksk_needs_nothing_of_the_other_provider(world):
    world.joined()
    world.do("key.roll", role="ksk")
    world.go(10 * DAY)
    old, new = world.ours("ksk")
    assert not old.is_published(RecordKind.DNSKEY)
    assert sorted(world.ds()) == sorted([ds_rdata(new), world.ds_of(world.ksk)])
    assert world.is_good()


def test_a_provider_leaves_when_no_cache_can_have_anything_of_it(world):
    world.joined()
    (ksk,) = world.ours("ksk")
    world.do("key.provider.remove", delegation_ttl=DAY)
    world.go(DAY + DEFAULT.max_zone_ttl)
    assert world.zsk in world.rrset(DNSKEY), "an hour of safety is missing"
    assert len(world.ds()) == 2
    assert world.done() == [True, False, False, False]
    world.go(2 * 3600, 600)
    assert world.rrset(CDS) == [ds_rdata(ksk)]
    assert world.ds() == [ds_rdata(ksk)]
    assert world.zsk not in world.rrset(DNSKEY)
    assert world.ksk in world.rrset(DNSKEY), "its DS is in caches"
    world.go(5 * DAY)
    assert world.rrset(DNSKEY) == world.dnskeys
    assert world.do("key.provider.list") == []
    assert world.is_good()


def test_a_key_of_theirs_is_rolled_by_adding_the_new_one_and_removing_the_old_one(world):
    world.joined()
    new = private.generate(13, 256)[1]
    world.add(new)
    assert set(world.rrset(DNSKEY)) == {*world.dnskeys, world.ksk, world.zsk, new}
    world.go(DAY)
    world.do("key.provider.remove", tag=key_tag(world.zsk))
    world.go(3 * DAY)
    assert world.zsk in world.rrset(DNSKEY)
    world.go(3 * DAY)
    assert set(world.rrset(DNSKEY)) == {*world.dnskeys, world.ksk, new}
    assert len(world.ds()) == 2


def test_leaving_is_taken_back_by_adding_it_again(world):
    world.joined()
    world.do("key.provider.remove")
    world.go(3 * DAY)
    world.add()
    world.go(10 * DAY)
    assert set(world.rrset(DNSKEY)) == {*world.dnskeys, world.ksk, world.zsk}
    assert world.done() == [True, True, True, False]


def test_our_rolls_go_on_without_one_that_left(world):
    world.joined()
    world.do("key.provider.remove", delegation_ttl=0)
    world.do("key.roll", role="zsk")
    world.go(4 * DAY)
    assert not world.ours("zsk")[1].is_published(RecordKind.ZRRSIG), "its servers may be in caches yet"
    world.go(10 * DAY)
    assert [key.is_published(RecordKind.DNSKEY) for key in world.ours("zsk")] == [False, True]


def test_an_algorithm_roll_waits_until_nobody_else_has_the_old_one(world):
    world.joined()
    world[CHILD].policy = replace(SPLIT, keys=(KeySpec(Role.CSK, 15),))
    world.go(5 * DAY)
    assert {key.algorithm for key in world.keys(CHILD)} == {13}
    reasons = {one["reason"] for one in world.do("key.why")["waits"]}
    assert "until other signs with the algorithms that the policy split wants, or no longer signs the zone" in reasons
    world.do("key.provider.remove", delegation_ttl=0)
    world.go(30 * DAY)
    assert [key.algorithm for key in world.keys(CHILD) if key.is_published(RecordKind.DNSKEY)] == [15]
    assert world.is_good()


def test_turned_insecure_the_ds_of_all_leaves_the_parent_first(world):
    world.joined()
    world[CHILD].policy = INSECURE
    world.at(world.clock.now() + 1)
    assert world.ds() == []
    assert world.rrset(CDS) == [bytes(5)]
    world.go(8 * DAY)
    assert not world[CHILD].slot.current.is_signed
    assert world.rrset(DNSKEY) == []


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"dnskey": "@ 300 IN A 192.0.2.1"}, "no DNSKEY record in it"),
        ({"dnskey": "this is no record"}, "the DNSKEY records:"),
        ({"dnskey": text_of(private.generate(13, 257)[1]).replace(CHILD, "elsewhere.test.")}, "which is another zone"),
        ({"dnskey": f"{CHILD} IN DNSKEY 257 3 13 AAAA"}, "its public key has 3 octets, not 64"),
        ({"dnskey": f"{CHILD} IN DNSKEY 257 3 5 AAAA"}, "algorithm 5 is none of 8, 10, 13, 14, 15, 16"),
        ({"dnskey": f"{CHILD} IN DNSKEY 257 3 8 AwEAAQ=="}, "an RSA key has 1024 to 4096 bits"),
        ({"dnskey": text_of(private.generate(13, 257)[1]).replace("257 3", "385 3")}, "flags 385: it is revoked"),
        ({"dnskey": text_of(private.generate(13, 257)[1]).replace("257 3", "1 3")}, "flags 1: it is no zone key"),
        ({"dnskey": text_of(private.generate(13, 257)[1]).replace("257 3", "257 2")}, "protocol 2 is not 3"),
        (
            {"dnskey": text_of(private.generate(15, 257)[1])},
            "has a key of algorithm 15, and our keys are of algorithm 13",
        ),
        ({"dnskey": text_of(*(private.generate(13)[1] for _ in range(9)))}, "each with 8 keys"),
        ({"provider": "two words"}, "a provider's name has up to 63"),
        ({"servers": ["ns1.example."]}, "is no server: accepted are ADDRESS"),
        ({"servers": ["127.0.0.1:99999"]}, "is no server: accepted are ADDRESS"),
        (
            {"zone": "nowhere.test.", "dnskey": "nowhere.test. DNSKEY 257 3 15 " + "A" * 43 + "="},
            "it was never served with",
        ),
    ],
)
def test_what_can_t_be_another_providers_is_refused(world, arguments, reason):
    given = {"dnskey": text_of(world.ksk, world.zsk), **arguments}
    with pytest.raises(ControlError, match=reason):
        world.do("key.provider.add", **given)
    if arguments.get("zone") is None:
        assert world.do("key.provider.list") == []


def test_keys_that_are_somebodys_already_are_not_taken_twice(world):
    world.add()
    with pytest.raises(ControlError, match=f"the key {key_tag(world.ksk)} is one of other; leave it out"):
        world.add(world.ksk, provider="third")
    with pytest.raises(ControlError, match="are all our own"):
        world.add(*world.dnskeys)
    # Their whole RRset has ours in it, which are passed over.
    world.add(*world.dnskeys, world.ksk, world.zsk)
    assert len(world.do("key.provider.show")["keys"]) == 2


def test_a_provider_must_sign_with_all_of_our_algorithms(world):
    world.go(2 * DAY)
    world[CHILD].policy = replace(SPLIT, keys=(KeySpec(Role.CSK, 15),))
    world.go(6 * 3600)
    with pytest.raises(ControlError, match=r"other has no key of algorithm 15: .*let an algorithm roll end first"):
        world.add()


def test_what_is_not_there_is_said(world):
    for command in ("confirm", "remove", "show"):
        with pytest.raises(ControlError, match="no provider other; it has none"):
            world.do(f"key.provider.{command}")
    world.add()
    with pytest.raises(ControlError, match="other has no key of tag 0 that stays; it has"):
        world.do("key.provider.remove", tag=0)
    with pytest.raises(ControlError, match="none of our published keys is among these"):
        world.do("key.provider.confirm", dnskey=text_of(world.zsk))
    world.do("key.provider.remove", tag=key_tag(world.zsk))
    with pytest.raises(ControlError, match="it is the last key of other"):
        world.do("key.provider.remove", tag=key_tag(world.ksk))
    with pytest.raises(ControlError, match="no CSYNC was published"):
        world.do("key.csync", withdraw=True)


def test_a_zone_that_is_signed_with_key_files_is_shared_with_nobody(world):
    with world.state.transaction() as tx:
        row = (ORIGIN, "", world.zsk, "Kexample.private", 1)
        tx.execute("INSERT INTO key_files (origin, view, dnskey, file, since) VALUES (?, ?, ?, ?, ?)", row)
    given = {"zone": CHILD, "provider": "other", "dnskey": text_of(world.ksk)}
    with pytest.raises(ControlError, match="it is signed with key files, which never roll; import them"):
        multisigner.carry_out("key.provider.add", world.state, given, world.clock.now())


def test_csync_stands_until_it_is_withdrawn_and_names_what_the_zone_has(world):
    serial = world[CHILD].live.serial
    world.do("key.csync")
    # NS and A (section 2.1.2), immediate and soaminimum.
    assert world.rrset(CSYNC) == [serial.to_bytes(4, "big") + bytes((0, 3)) + bytes((0, 1, 0b01100000))]
    assert CSYNC in world[CHILD].slot.current.version.rtypes(ORIGIN)
    world.read(CHILD, TEXTS[CHILD] + "ns AAAA 2001:db8::1\n")
    assert world.rrset(CSYNC)[0][6:] == bytes((0, 4, 0b01100000, 0, 0, 0b00001000))
    live = world[CHILD].live.serial
    world.at(world.clock.now() + 1)
    world.publisher.run([Work(world[CHILD])])
    assert world[CHILD].live.serial == live, "it makes no versions by itself"
    world.do("key.csync", withdraw=True)
    assert world.rrset(CSYNC) == []
    world.add()
    world.do("key.csync")
    assert world.rrset(CSYNC)[0][:6] == bytes(5) + b"\x01", "serials of several providers can't be compared"


def test_the_verifier_takes_their_keys_and_no_others(world):
    world.joined()
    current = world[CHILD].slot.current
    at = Expected(world.clock.now(), foreign=[world.ksk, world.zsk])
    assert before_live(current, at).findings == ()
    (finding,) = before_live(current, Expected(world.clock.now())).findings
    assert (finding.rule, finding.severity) == ("cds-no-signer", "error")
    world.read(CHILD, TEXTS[CHILD].replace(" 3 3600", " 4 3600") + text_of(private.generate(13, 256)[1]))
    assert [one.rule for one in world[CHILD].findings if one.severity == "error"] == ["foreign-dnskey"]
    world.read(CHILD, TEXTS[CHILD].replace(" 3 3600", " 5 3600") + text_of(world.ksk, world.zsk))
    assert world.is_good(), "they may stand in the source as well"


def test_what_commands_did_while_no_server_ran_is_served_after_the_start(world):
    world.joined()
    again = Publisher(world.state, world.clock, family=world.family)
    key = private.generate(13, 256)[1]
    given = {"zone": CHILD, "provider": "other", "dnskey": text_of(key)}
    multisigner.carry_out("key.provider.add", world.state, given, world.clock.now())
    multisigner.carry_out("key.csync", world.state, given, world.clock.now())
    zone = world.zones[ZONE] = Zone(ZONE, SPLIT, ZoneSlot(ORIGIN))
    works = again.restore([zone])
    assert {one.dnskey for one in zone.foreign} == {world.ksk, world.zsk, key}
    again.run(works)
    assert set(world.rrset(DNSKEY)) == {*world.dnskeys, world.ksk, world.zsk, key}
    assert len(world.rrset(CSYNC)) == 1
    assert zone.findings == ()


def test_a_backup_brings_providers_back_with_what_is_known_of_them(world, tmp_path):
    world.joined()
    now = world.clock.now()
    with world.state.reader() as tx:
        taken = backup.take(tx, world.state.vault, now)
        known = providerstore.load(tx, ZONE)
    taken = backup.from_octets(backup.to_octets(taken, b"secret"), b"secret")
    with State.open(tmp_path / "other") as other:
        with other.transaction(now) as tx:
            backup.restore(tx, other.vault, taken, taken.zones, now, force=False)
        with other.reader() as tx:
            assert providerstore.load(tx, ZONE) == known
    world.add(private.generate(13, 256)[1])
    with world.state.reader() as tx:
        here = {zone.origin: backup.present(tx, world.state.vault, zone) for zone in taken.zones}
    lines = [line for zone in taken.zones for line in backup.behind(zone, here[zone.origin])]
    assert f"{CHILD}: a key of other is here, and not in the backup" in lines


def test_no_key_of_ours_gets_a_tag_of_theirs(world, monkeypatch):
    made: list[bytes] = []
    twin = private.generate(13, 256)
    fresh = private.generate(13, 256)

    def make(*_: object) -> tuple[bytes, bytes]:
        made.append((twin, fresh)[min(len(made), 1)][1])
        return (twin, fresh)[len(made) - 1]

    world.go(2 * DAY)
    world.add(world.ksk, world.zsk, twin[1])
    monkeypatch.setattr(private, "make", make)
    world.do("key.roll", role="zsk")
    assert made == [twin[1], fresh[1]]
    assert world.ours("zsk")[1].dnskey == fresh[1]


def test_a_removed_zone_leaves_nothing_of_its_providers(world):
    world.joined()
    world.publisher.remove([ZONE])
    world.clock.stop_at(world.clock.now() + 91 * DAY)
    world.publisher.tidy()
    with world.state.reader() as tx:
        assert providerstore.load(tx, ZONE) == ()
        assert store.load(tx, *ZONE) == []


def test_what_is_planned_takes_others_to_follow_at_once(world):
    world.joined()
    world.do("key.roll", role="zsk")
    plan = world.do("key.plan", seconds=30 * DAY)
    assert "other providers publish our keys at once" in plan["assumed"]
    assert any(event["what"] == "zrrsig omnipresent" for event in plan["events"])
