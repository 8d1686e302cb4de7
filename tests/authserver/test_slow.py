"""Zones whose keys sign outside the engine, through the whole pipeline: Ed448 in the library, others in a token."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from authserver.pipeline import Pipeline
from authserver.publication import Content, Work, Zone, ZoneKey
from authserver.publisher import SIGNER_AWAY
from authserver.schedule import Schedule
from authserver.slow import SlowSigning
from authserver.state import State
from engine import Clock, SignedVersion, Version, ZoneSlot, read_zone
from keys import custody
from keys.errors import SlowKeyError, StoreError
from keys.pkcs11 import Token
from keys.policy import DEFAULT, Denial, KeySpec, Policy, Role
from signer import plan as signing
from signer.slow import sign_batch, verify_batch
from tests.softhsm import SoftHSM

ORIGIN = b"\x07example\x04test\x00"
NOW = 1_800_000_000
ED448 = replace(DEFAULT, name="ed448", keys=(KeySpec(algorithm=16),))
TEXT = "$ORIGIN example.test.\n$TTL 3600\n@ SOA ns admin {serial} 3600 600 604800 300\n@ NS ns\nns A 192.0.2.1\nwww A 192.0.2.2\n"


def content(serial: int = 7, more: str = "") -> Content:
    text = TEXT.format(serial=serial) + more
    version, findings = Version.build(read_zone(ORIGIN, [("db.example", text.encode())]))
    assert version is not None, findings
    return Content(version, (), str(hash(text)), "db.example")


class World:
    """A state, a stopped clock and a zone; `run` is one life of a server over them."""

    def __init__(self, directory: Path, policy: Policy, tokens: dict[str, Token] | None = None) -> None:
        self.directory = directory
        self.policy = policy
        self.tokens = tokens or {}
        self.clock = Clock()
        self.clock.stop_at(NOW)

    def run(self, story: Callable[["World"], Awaitable[None]]) -> None:
        async def life() -> None:
            with State.open(self.directory, b"a passphrase") as state:
                state.vault.tokens = self.tokens
                self.state = state
                async with Schedule(self.clock) as schedule:
                    self.pipeline = Pipeline(state, self.clock, schedule, lambda _: None)
                    self.zone = Zone(ZoneKey(ORIGIN, ""), self.policy, ZoneSlot(ORIGIN))
                    await self.pipeline.restore([self.zone])
                    self.pipeline.start()
                    try:
                        await asyncio.wait_for(story(self), 60)
                    finally:
                        await self.pipeline.stop()

        asyncio.run(life())

    async def publish(self, serial: int = 7, more: str = "") -> SignedVersion:
        self.pipeline.submit([Work(self.zone, content(serial, more))])
        await self.until(lambda: self.zone.live is not None and self.zone.live.serial >= serial)
        await self.until(lambda: self.zone.sealed is self.zone.live)
        assert self.zone.live is not None
        return self.zone.live.signed

    @staticmethod
    async def until(is_so: Callable[[], bool]) -> None:
        while not is_so():  # noqa: ASYNC110 (threads, which only a test waits for)
            await asyncio.sleep(0.01)


def signatures(signed: SignedVersion, owner: bytes, rtype: int) -> list[bytes]:
    _, rdatas = signed.rrset(owner, 46) or (0, [])
    return [rdata for rdata in rdatas if rdata[:2] == rtype.to_bytes(2, "big")]


def test_an_ed448_zone_goes_live_complete_and_only_what_changed_is_signed_again(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        first = await world.publish()
        assert first.slots_made == first.slots == first.slots_verified
        (rrsig,) = signatures(first, b"\x02ns" + ORIGIN, 1)
        assert (rrsig[2], len(rrsig)) == (16, 18 + len(ORIGIN) + 114)
        second = await world.publish(8, "more A 192.0.2.3\n")
        assert signatures(second, b"\x02ns" + ORIGIN, 1) == [rrsig]
        assert signatures(second, ORIGIN, 6) != signatures(first, ORIGIN, 6)

    World(tmp_path / "state", ED448).run(story)


def test_after_a_restart_it_is_served_with_the_signatures_it_had(tmp_path: Path) -> None:
    world = World(tmp_path / "state", ED448)
    before: list[bytes] = []

    async def first(world: World) -> None:
        before.append((await world.publish()).to_text())

    async def second(world: World) -> None:
        assert world.zone.live is not None
        assert world.zone.live.serial == 7
        await world.until(lambda: world.zone.sealed is world.zone.live)
        assert world.zone.live.signed.to_text() == before[0]

    world.run(first)
    world.run(second)


def test_signatures_are_on_the_disk_when_a_version_goes_live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if it were killed between going live and being sealed, and the token were gone."""
    world = World(tmp_path / "state", ED448)

    async def unsealed(world: World) -> None:
        monkeypatch.setattr("authserver.sealing.Sealer.add", lambda *_: None)
        world.pipeline.submit([Work(world.zone, content())])
        await world.until(lambda: world.zone.live is not None)
        monkeypatch.undo()
        assert world.zone.sealed is None

    async def again(world: World) -> None:
        assert world.zone.live is not None
        assert world.zone.live.signed.slow_missing == 0

    world.run(unsealed)
    world.run(again)


HSM = {
    "one key in the token": (KeySpec(algorithm=13, store="hsm"),),
    "its KSK in the token": (KeySpec(role=Role.KSK, algorithm=13, store="hsm"), KeySpec(role=Role.ZSK, algorithm=13)),
    "RSA, both in the token": (
        KeySpec(role=Role.KSK, algorithm=8, store="hsm"),
        KeySpec(role=Role.ZSK, algorithm=8, store="hsm"),
    ),
}


@pytest.mark.parametrize("keys", HSM.values(), ids=HSM)
def test_a_token_signs_a_zone(keys: tuple[KeySpec, ...], softhsm: SoftHSM, tmp_path: Path) -> None:
    async def story(world: World) -> None:
        signed = await world.publish()
        assert signed.slots_verified == signed.slots
        (spec, *_) = keys
        assert {rrsig[2] for rrsig in signatures(signed, ORIGIN, 48)} == {spec.algorithm}

    World(tmp_path / "state", replace(DEFAULT, keys=keys), {"hsm": softhsm.token()}).run(story)


def test_while_the_token_is_away_the_last_good_version_serves_and_a_finding_says_so(
    softhsm: SoftHSM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("authserver.pipeline.RETRY_S", 1)
    token = softhsm.token()

    async def story(world: World) -> None:
        await world.publish()
        softhsm.unplug()
        token.close()
        world.pipeline.submit([Work(world.zone, content(8, "more A 192.0.2.3\n"))])
        await world.until(lambda: world.zone.is_held)
        (found,) = world.zone.findings
        assert found.rule == SIGNER_AWAY
        assert "store hsm: token zone keys" in found.message
        assert world.zone.slot.current is not None
        assert world.zone.slot.current.serial == 7
        softhsm.plug_in()
        world.clock.stop_at(world.clock.now() + 2)
        await world.until(lambda: world.zone.live is not None and world.zone.live.serial == 8)
        assert not world.zone.is_held

    World(tmp_path / "state", replace(DEFAULT, keys=HSM["one key in the token"]), {"hsm": token}).run(story)


def test_a_zone_whose_key_can_t_be_made_waits_for_the_token(
    softhsm: SoftHSM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("authserver.pipeline.RETRY_S", 1)

    async def story(world: World) -> None:
        softhsm.unplug()
        world.pipeline.submit([Work(world.zone, content())])
        await world.until(lambda: world.zone.is_held)
        assert [found.rule for found in world.zone.findings] == [SIGNER_AWAY]
        softhsm.plug_in()

        def is_sealed() -> bool:
            world.clock.stop_at(world.clock.now() + 1)
            return world.zone.sealed is not None

        await world.until(is_sealed)
        assert not world.zone.is_held

    World(tmp_path / "state", replace(DEFAULT, keys=HSM["one key in the token"]), {"hsm": softhsm.token()}).run(story)


def test_the_token_is_not_needed_to_serve_again(softhsm: SoftHSM, tmp_path: Path) -> None:
    world = World(tmp_path / "state", replace(DEFAULT, keys=HSM["one key in the token"]), {"hsm": softhsm.token()})

    async def first(world: World) -> None:
        await world.publish()

    async def second(world: World) -> None:
        assert world.zone.live is not None

    world.run(first)
    softhsm.unplug()
    world.tokens = {}
    world.run(second)


def test_compact_denial_with_a_slow_key_is_held_with_the_reason(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.pipeline.submit([Work(world.zone, content())])
        await world.until(lambda: world.zone.is_held)
        assert "compact denial signs at each answer, which a slow key can't" in world.zone.findings[0].message

    World(tmp_path / "state", replace(ED448, denial=Denial("compact"))).run(story)


class Flaky:
    """A signer that signs the first batch, lies in the second and is away in the third."""

    def __init__(self, signer: custody.Signer) -> None:
        self._signer = signer
        self.calls = 0

    def sign(self, key_id: str, octets: list[bytes]) -> list[bytes]:
        self.calls += 1
        made = self._signer.sign(key_id, octets)
        if self.calls == 2:
            return [one[:-1] + bytes((one[-1] ^ 1,)) for one in made]
        if self.calls == 3:
            raise StoreError("hsm", "gone")
        return made


@pytest.mark.parametrize("algorithm", [13, 16])
def test_what_was_signed_before_a_signer_failed_is_kept_and_a_lie_is_not(
    algorithm: int, softhsm: SoftHSM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("authserver.pipeline.RETRY_S", 1)
    monkeypatch.setattr("authserver.slow.sign_batch", partial(sign_batch, limit=3))
    flaky: list[Flaky] = []

    def signer(self: SlowSigning, draft: object) -> Flaky:
        if not flaky:
            flaky.append(Flaky(real(self, draft)))  # type: ignore[arg-type]
        return flaky[0]

    real = SlowSigning._signer
    monkeypatch.setattr(SlowSigning, "_signer", signer)
    said: list[str] = []

    async def story(world: World) -> None:
        world.pipeline.submit([Work(world.zone, content())])
        made = 0
        for reason in ("does not verify", "gone"):
            await world.until(lambda reason=reason: any(reason in one.message for one in world.zone.findings))
            assert world.zone.live is None
            assert world.zone.draft is not None
            said.append(reason)
            made = world.zone.draft.signed.slots_made
            world.clock.stop_at(world.clock.now() + 2)
        assert made == 3
        await world.until(lambda: world.zone.sealed is not None)
        assert world.zone.live is not None
        assert world.zone.live.signed.slots_verified == world.zone.live.signed.slots

    store = "" if algorithm == 16 else "hsm"
    policy = replace(DEFAULT, keys=(KeySpec(algorithm=algorithm, store=store),))
    World(tmp_path / "state", policy, {"hsm": softhsm.token()}).run(story)
    assert said == ["does not verify", "gone"]


def test_a_signature_of_another_path_that_is_wrong_is_refused_before_sealing(tmp_path: Path) -> None:
    """A restored Ed448 signature that was altered on the disk."""

    async def story(world: World) -> None:
        await world.publish()
        assert world.zone.live is not None
        live = world.zone.live
        (key,) = live.keys
        handles = {key.id: custody.public_handle(key)}
        plan = signing.signing_plan(live.keys, handles, ED448, NOW)

        class Liar:
            def sign(self, key_id: str, octets: list[bytes]) -> list[bytes]:
                del key_id
                return [bytes(114) for _ in octets]

        unsigned = SignedVersion(live.signed.version, plan)
        with pytest.raises(SlowKeyError, match="does not verify"):
            sign_batch(unsigned, live.keys, Liar())
        assert unsigned.slots_made == 0
        unsigned.fill([(number, unit, bytes(114)) for number, unit, _ in unsigned.unsigned()])
        assert unsigned.slow_missing == 0
        assert unsigned.make(1000)
        assert not unsigned.verify(1000, NOW)
        with pytest.raises(SlowKeyError, match="does not verify"):
            verify_batch(unsigned, live.keys)

    World(tmp_path / "state", ED448).run(story)
