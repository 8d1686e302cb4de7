"""A zone whose KSK is offline, through the whole pipeline: requests, responses, their periods, and what can go wrong."""

import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from authserver import backup, ceremonies, rolling
from authserver.control import ControlError
from authserver.publication import Work, Zone, ZoneKey
from authserver.state import State
from engine import ZoneSlot, rdata_to_text
from keys import custody, introduction, ksr, offline, store
from keys.policy import KeySpec, Policy, Role, to_text
from keys.states import Goal, Key, RecordKind, Sighting
from tests.authserver import test_key_life
from tests.authserver.test_key_life import NOW, ORIGIN, content
from tools.servers import program

DAY = 86400
DNSKEY, CDS, RRSIG = 48, 59, 46
POLICY = Policy(
    "offline",
    keys=(KeySpec(Role.KSK), KeySpec(Role.ZSK, lifetime=30 * DAY)),
    max_zone_ttl=DAY,
    offline_ksk=True,
)
NAME = "example.test."


class World(test_key_life.World):
    """The online side with a stopped clock, whose parent is asked by hand, and an offline state."""

    def __init__(self, directory: Path) -> None:
        self.policy = POLICY
        super().__init__(directory / "online")
        self.offline = State.open(directory / "offline")

    def _new_zone(self) -> Zone:
        return Zone(ZoneKey(ORIGIN, ""), self.policy, ZoneSlot(ORIGIN))

    @property
    def now(self) -> int:
        return self.clock.now()

    # ---------------------------------------------------------------- ceremonies

    def ask(self, until: int, start: int = 0) -> str:
        arguments = {"zone": NAME, "seconds": until, "from_seconds": start}
        return str(ceremonies.carry_out("key.ksr", self.state, arguments, self.now)["text"])

    def sign(self, text: str, **more: object) -> str:
        arguments = {"text": text, "policy": to_text(self.policy), **more}
        return str(ceremonies.carry_out("key.sign-ksr", self.offline, arguments, self.now)["text"])

    def take(self, text: str) -> None:
        ceremonies.carry_out("key.import-skr", self.state, {"zone": NAME, "text": text, "name": "skr"}, self.now)

    def hold_ceremony(self, until: int, **more: object) -> list[ksr.Section]:
        text = self.sign(self.ask(until), **more)
        self.take(text)
        return ksr.read(text, ksr.RESPONSE, "skr")

    # ---------------------------------------------------------------- time

    async def until(self, now: int, *, step: int = DAY, is_parent_slow: bool = False) -> None:
        """The clock goes on; every day the parent is asked and whatever is due happens and is judged."""
        while self.now < now:
            at = min(now, self.now + step)
            if self.zone.next_step_at is not None and self.now < self.zone.next_step_at < at:
                at = self.zone.next_step_at
            self.clock.stop_at(at)
            if not is_parent_slow:
                with self.state.transaction(at) as tx:
                    for key in store.load(tx, ORIGIN):
                        if key.is_ksk:
                            introduction.sighted(tx, key, Sighting(key.wants_ds, at, at, 3600))
            due = self.zone.live is not None and self.is_refresh_due(at)
            self.pipeline.submit([Work(self.zone, resign=due)])
            await self.until_sealed()
            self.judge()

    def is_refresh_due(self, now: int) -> bool:
        expiration = self.zone.live.signed.earliest_expiration
        return expiration is not None and expiration - POLICY.refresh <= now

    def judge(self) -> None:
        current = self.zone.slot.current
        assert current is not None
        found = current.check_signatures(self.now)
        assert found == [], [one.message for one in found]

    # ---------------------------------------------------------------- what is seen

    @property
    def keys(self) -> list[Key]:
        with self.state.reader() as tx:
            return store.load(tx, ORIGIN)

    def served(self, rtype: int) -> set[bytes]:
        current = self.zone.slot.current
        return set((current.rrset(ORIGIN, rtype) or (0, []))[1]) if current is not None else set()

    def ksks(self) -> set[bytes]:
        return {dnskey for dnskey in self.served(DNSKEY) if dnskey[1] & 1}

    def rules(self) -> set[str]:
        return {one.rule for one in self.zone.findings}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def has_ds(world: World, dnskey: bytes) -> bool:
    (key,) = [key for key in world.keys if key.dnskey == dnskey]
    return key.is_omnipresent(RecordKind.DS)


def test_a_zone_waits_for_its_first_response_and_then_follows_its_periods_through_rolls_of_the_zsk(
    world: World, tmp_path: Path
) -> None:
    async def story(world: World) -> None:
        world.pipeline.submit([Work(world.zone, content())])
        await world.pipeline.idle()
        assert world.zone.live is None
        assert "nothing that its offline KSK signed is valid now: `zonewright key ksr example.test." in str(
            world.zone.findings[-1]
        )
        sections = world.hold_ceremony(100 * DAY)
        assert world.keys == []
        await world.publish()
        assert world.served(DNSKEY) == sections[0].dnskeys
        assert len(world.ksks()) == 1
        assert not world.served(CDS), "not before its DNSKEY is in every cache"
        with pytest.raises(ControlError, match="its keys roll by signed key responses"):
            rolling.carry_out("key.roll", world.state, {"zone": NAME}, NOW)
        world.judge()
        seen = set()
        while world.now < NOW + 75 * DAY:
            await world.until(world.now + 5 * DAY)
            due = [one for one in sections if one.since <= world.now][-1]
            assert world.served(DNSKEY) == due.dnskeys
            seen.add(frozenset(world.served(DNSKEY) - world.ksks()))
            assert set(due.rrsigs[DNSKEY]) <= world.served(RRSIG)
            assert not world.rules() & {"offline-ksk-waits"}
        assert has_ds(world, *world.ksks())
        assert world.served(CDS)
        assert len(frozenset.union(*seen)) >= 3, "three zone signing keys were at work"
        at_work = [key for key in world.keys if key.is_zsk and key.goal is Goal.PRESENT]
        assert [key.is_omnipresent(RecordKind.ZRRSIG) for key in at_work] == [True]
        judge_by_ldns(world, tmp_path)

    world.run(story)


def judge_by_ldns(world: World, directory: Path) -> None:
    verify = program("ldns-verify-zone")
    if verify is None:
        return
    path = directory / "dump.zone"
    path.write_bytes(world.zone.slot.current.to_text())
    moment = datetime.fromtimestamp(world.now, UTC).strftime("%Y%m%d%H%M%S")
    done = subprocess.run([verify, "-t", moment, "-V", "1", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_private_part_of_the_ksk_is_never_online_and_those_of_zsks_made_ahead_are(world: World) -> None:
    async def story(world: World) -> None:
        world.pipeline.submit([Work(world.zone, content())])
        await world.pipeline.idle()
        world.hold_ceremony(100 * DAY)
        await world.publish()
        with world.state.reader() as tx:
            parts = dict(store.all_pkcs8(tx))
        by_role = {key.role: parts[key.id] for key in world.keys}
        assert by_role[Role.KSK] == b"offline:"
        assert by_role[Role.ZSK].startswith(b"0")
        assert len(parts) >= 5

    world.run(story)


def test_a_backup_and_another_passphrase_take_the_keys_made_ahead_and_the_responses_along(
    world: World, tmp_path: Path
) -> None:
    async def story(world: World) -> None:
        world.pipeline.submit([Work(world.zone, content())])
        await world.pipeline.idle()
        world.hold_ceremony(100 * DAY)
        await world.publish()
        with world.state.transaction(NOW) as tx:
            world.state.vault = custody.change_passphrase(tx, world.state.vault, b"one")
        with world.state.reader() as tx:
            taken = backup.take(tx, world.state.vault, NOW)
            planned, known = offline.plan_of(tx, (ORIGIN, "")), offline.responses(tx, (ORIGIN, ""))
        taken = backup.from_octets(backup.to_octets(taken, b"two"), b"two")
        with State.open(tmp_path / "other", b"three") as other:
            with other.transaction(NOW) as tx:
                backup.restore(tx, other.vault, taken, taken.zones, NOW, force=False)
            with other.reader() as tx:
                assert offline.plan_of(tx, (ORIGIN, "")) == planned
                assert offline.responses(tx, (ORIGIN, "")) == known
                parts = {key_id: other.vault.open(key_id, octets) for key_id, octets in store.all_pkcs8(tx)}
                for one in planned:
                    custody.prove(one.key_id, one.dnskey, parts[one.key_id])

    world.run(story)


def test_a_roll_of_the_ksk_comes_with_responses_and_waits_for_the_parent(world: World) -> None:
    async def story(world: World) -> None:
        world.pipeline.submit([Work(world.zone, content())])
        await world.pipeline.idle()
        world.hold_ceremony(60 * DAY)
        await world.publish()
        await world.until(NOW + 20 * DAY)
        (old,) = world.ksks()
        assert has_ds(world, old)
        world.hold_ceremony(60 * DAY, roll=True)
        await world.until(NOW + 21 * DAY, is_parent_slow=True)
        assert len(world.ksks()) == 2
        (new,) = world.ksks() - {old}
        await world.until(NOW + 24 * DAY, is_parent_slow=True)
        assert not has_ds(world, new)
        # A response that leaves the old one out, while the parent has its DS: it is not taken.
        tag = next(key.tag for key in world.keys if key.dnskey == old)
        early = world.sign(world.ask(60 * DAY), retire=tag)
        world.take(early)
        await world.until(NOW + 31 * DAY, is_parent_slow=True)
        assert old in world.ksks()
        assert "offline-ksk-waits" in world.rules()
        await world.until(NOW + 36 * DAY)
        assert has_ds(world, new)
        assert world.ksks() == {new}
        assert "offline-ksk-waits" not in world.rules()
        await world.until(NOW + 60 * DAY)

    world.run(story)


def test_it_warns_before_what_was_signed_runs_out_and_a_later_response_goes_on(world: World) -> None:
    async def story(world: World) -> None:
        world.pipeline.submit([Work(world.zone, content())])
        await world.pipeline.idle()
        sections = world.hold_ceremony(30 * DAY)
        await world.publish()
        assert world.zone.offline_until == sections[-1].expiration
        await world.until(sections[-1].expiration - 15 * DAY)
        assert "offline-ksk-ends" not in world.rules()
        await world.until(sections[-1].expiration - 13 * DAY)
        assert "offline-ksk-ends" in world.rules()
        world.hold_ceremony(60 * DAY)
        await world.until(world.now + 60)
        assert "offline-ksk-ends" not in world.rules()
        await world.until(sections[-1].expiration + 10 * DAY)

    world.run(story)


def test_a_response_with_shorter_signatures_than_the_policy_s_is_followed_also_with_a_digest_of_the_zone(
    world: World,
) -> None:
    world.policy = replace(POLICY, zonemd=True)
    hasty = to_text(replace(POLICY, validity=3 * DAY, refresh=DAY, jitter=0))

    async def story(world: World) -> None:
        world.pipeline.submit([Work(world.zone, content())])
        await world.pipeline.idle()
        world.take(world.sign(world.ask(12 * DAY), policy=hasty))
        await world.publish()
        first = world.zone.live.serial
        await world.until(NOW + 10 * DAY)
        assert 5 <= world.zone.live.serial - first <= 40, "no signing without an end for what nobody here can renew"

    world.run(story)


def test_a_restart_at_any_period_serves_the_same_keys(world: World) -> None:
    seen = []

    async def story(world: World) -> None:
        if world.zone.live is None and not seen:
            world.pipeline.submit([Work(world.zone, content())])
            await world.pipeline.idle()
            world.hold_ceremony(60 * DAY)
            await world.publish()
        else:
            assert world.zone.live is not None, "what was published is served before any source is read"
            await world.until_sealed()
        world.judge()
        seen.append(frozenset(world.served(DNSKEY)))

    for moment in (NOW, NOW + 10, NOW + 3 * DAY, NOW + 8 * DAY, NOW + 10 * DAY):
        world.clock.stop_at(moment)
        world.run(story)
    assert len(seen) == 5


def test_a_zone_with_its_ksk_online_goes_offline_without_a_gap(world: World, tmp_path: Path) -> None:
    world.policy = replace(POLICY, offline_ksk=False)

    async def online(world: World) -> None:
        await world.publish()
        await world.until(NOW + 5 * DAY)

    world.run(online)
    world.policy = POLICY

    async def story(world: World) -> None:
        await world.publish()
        assert "offline-ksk-online" in world.rules()
        (key,) = [key for key in world.keys if key.is_ksk]
        with world.state.reader() as tx:
            part = store.pkcs8(tx, key.id)
        with world.offline.transaction(NOW) as tx:
            store.insert(tx, key, part)
        world.hold_ceremony(60 * DAY)
        await world.until(NOW + 10 * DAY)
        assert world.ksks() == {key.dnskey}
        assert not world.rules() & {"offline-ksk-online", "offline-ksk-waits"}
        with world.state.reader() as tx:
            assert store.pkcs8(tx, key.id) == b"offline:"
            assert [one.key_id for one in store.trash(tx)] == [key.id]
        await world.until(NOW + 20 * DAY)
        # And back: its files are imported again, and the policy has no word of it any more.
        imported = custody.ImportedKey(ORIGIN, key.dnskey, key.tag, part, {}, (), "K.private")
        await world.pipeline.adopt(world.zone, [imported])
        await world.until_sealed()
        world.zone.policy = world.policy = replace(POLICY, offline_ksk=False)
        await world.until(NOW + 60 * DAY)
        assert world.ksks() == {key.dnskey}
        assert world.zone.offline_until is None

    world.run(story)


def without(text: str, words: str) -> str:
    return "\n".join(line for line in text.split("\n") if words not in line)


def without_sections(text: str, start: int, end: int) -> str:
    parts = text.split(";; SignedKeyResponse")
    return ";; SignedKeyResponse".join(parts[: start + 1] + parts[end + 1 :])


def with_wrong_signature(text: str) -> str:
    lines = text.split("\n")
    at = next(number for number, line in enumerate(lines) if "RRSIG DNSKEY" in line)
    words = lines[at].split(" ")
    letters = words[-1] or words[-2]
    lines[at] = lines[at].replace(letters, ("B" if letters[0] == "A" else "A") + letters[1:])
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda text: text.replace("KSK", "x").replace("257 3 13", "257 3 13 AAAA"),
            "does not|of key|no signature|by key",
        ),
        (
            lambda text: text.replace("SignedKeyResponse", "KeySigningRequest"),
            "is a KeySigningRequest 1.0, not a Signed",
        ),
        (lambda text: text.replace("example.test", "example.org"), "is of example.org., not of example.test."),
        (lambda text: without_sections(text, 2, 5), "begins too late: signatures of the section before end at"),
        (lambda text: without(text, "RRSIG CDS"), "has no signature over CDS"),
        (lambda text: without(text, "RRSIG DNSKEY"), "has no signature over DNSKEY of algorithm 13"),
        (with_wrong_signature, "a signature over DNSKEY by key [0-9]+ that does not verify"),
        (
            lambda text: text.replace("DNSKEY 256 3 13 ", "DNSKEY 256 3 13 AAAA"),
            "zone signing key [0-9]+, which does not",
        ),
        (lambda text: text.replace(";; SignedKeyResponse 1.0 1", ";; SignedKeyResponse 1.0 y1"), "'y1.*' is no time"),
        (lambda text: "example.test. 60 A 192.0.2.1\n" + text, "skr:1: a record before the first"),
        (lambda text: text.replace("CDS ", "TXT ", 1), "skr:[0-9]+: a TXT, which no SignedKeyResponse has"),
        (lambda _: "", "has no section"),
    ],
)
def test_a_response_that_can_t_be_followed_is_refused_with_what_and_where(
    world: World, change: Callable[[str], str], reason: str
) -> None:
    async def story(world: World) -> None:
        world.pipeline.submit([Work(world.zone, content())])
        await world.pipeline.idle()
        text = world.sign(world.ask(90 * DAY))
        with pytest.raises(ControlError, match=reason) as caught:
            world.take(change(text))
        assert str(caught.value).startswith("skr")
        with world.state.reader() as tx:
            assert offline.responses(tx, (ORIGIN, "")) == []
        world.take(text)

    world.run(story)


def test_a_response_to_another_zone_s_request_and_one_that_leaves_a_gap_are_refused(world: World) -> None:
    async def story(world: World) -> None:
        world.pipeline.submit([Work(world.zone, content())])
        await world.pipeline.idle()
        world.hold_ceremony(20 * DAY)
        await world.publish()
        late = world.sign(world.ask(80 * DAY, start=50 * DAY))
        with pytest.raises(ControlError, match=r"and what was signed before ends at .*: the zone would be bogus"):
            world.take(late)
        assert len({rdata_to_text(DNSKEY, one) for one in world.served(DNSKEY)}) == 2

    world.run(story)
