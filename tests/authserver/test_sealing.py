"""Versions that fail their verification: what serves then, what secondaries get, and what is said."""

import hashlib
import queue

import pytest

from authserver.publication import Content, Live, Work, Zone, ZoneKey
from authserver.publisher import Publisher
from authserver.sealing import Job, Sealer
from authserver.state import State
from engine import Clock, EngineError, SigningKey, Version, ZoneSlot, key_tag, read_zone
from keys import private
from keys.policy import DEFAULT
from signer.verify import NOT_SEALED
from tests.signer.signed_zones import signatures_of, slots_of
from zones import history

NOW = 1_800_000_000
ORIGIN = b"\x07example\x04test\x00"
TEXT = "$TTL 3600\n@ SOA ns admin {serial} 3600 600 604800 300\n@ NS ns\nns A 192.0.2.1\nwww A 192.0.2.{serial}\n"


def content(serial: int) -> Content:
    version, findings = Version.build(read_zone(ORIGIN, [("db.example", TEXT.format(serial=serial).encode())]))
    assert version is not None, findings
    return Content(version, (), str(serial), "db.example")


def lie(live: Live) -> None:
    """Hand in a signature, as the holder of a slow key does, that is wrong, for the last RRset that has none."""
    signed = live.signed
    (_, _, inception, expiration, octets), *_ = slots_of(signed)
    for unit in reversed(range(100)):
        if signed.restore(signatures_of(signed, [(0, unit, inception, expiration, octets)])):
            return
    raise AssertionError("no slot is empty")


@pytest.fixture
def clock():
    clock = Clock()
    clock.stop_at(NOW)
    return clock


@pytest.fixture
def state(tmp_path):
    with State.open(tmp_path / "state") as state:
        yield state


class Bench:
    """A publisher and a sealer over one state, without a loop between them."""

    def __init__(self, state: State, clock: Clock) -> None:
        self.publisher = Publisher(state, clock)
        self.told: queue.Queue[object] = queue.Queue()
        self.sealer = Sealer(state, clock, self.told.put, lambda job, reason: self.told.put((job, reason)))
        self.zone = Zone(ZoneKey(ORIGIN), DEFAULT, ZoneSlot(ORIGIN))

    def publish(self, serial: int) -> None:
        (outcome,) = self.publisher.run([Work(self.zone, content(serial))])
        self.outcome = outcome

    def seal(self) -> None:
        """Seal what is live, or fall back, as the pipeline does it."""
        assert self.zone.live is not None
        self.sealer.add(self.zone, self.zone.live)
        told = self.told.get(timeout=60)
        if isinstance(told, list):
            (job,) = told
            assert isinstance(job, Job)
            self.zone.sealed = job.live
        else:
            job, reason = told
            assert self.publisher.fall_back(self.zone, job.live, reason)

    @property
    def rules(self) -> set[str]:
        return {one.rule for one in self.zone.findings}


@pytest.fixture
def bench(state, clock):
    bench = Bench(state, clock)
    bench.sealer.start()
    yield bench
    bench.sealer.stop()


def test_a_version_whose_key_is_not_the_published_one_is_held_and_the_old_one_serves(bench):
    bench.publish(1)
    (key,) = bench.zone.live.keys
    right, bench.publisher.handles[key.id] = bench.publisher.handles[key.id], SigningKey(*private.generate(13))
    bench.publish(2)
    assert "key-not-published" in bench.rules
    assert bench.zone.is_held
    assert (bench.zone.slot.current.serial, bench.zone.live.serial) == (1, 1)
    bench.publisher.handles[key.id] = right
    bench.publisher.run([Work(bench.zone, content(2))])
    assert not bench.zone.is_held
    assert bench.zone.slot.current.serial == 2


def test_signatures_that_are_due_are_tried_again_when_they_fail_before_they_are_live(bench):
    bench.publish(1)
    (key,) = bench.zone.live.keys
    right, bench.publisher.handles[key.id] = bench.publisher.handles[key.id], SigningKey(*private.generate(13))
    (outcome,) = bench.publisher.run([Work(bench.zone, resign=True)])
    assert outcome.retry == Work(bench.zone, resign=True)
    bench.publisher.handles[key.id] = right
    bench.publisher.run([outcome.retry])
    assert not bench.zone.is_held
    assert bench.zone.live.serial == 2


def test_a_version_that_the_parent_s_ds_does_not_lead_to_is_held_until_it_does(bench):
    bench.publish(1)
    (key,) = bench.zone.live.keys
    _, other = private.generate(13)
    bench.zone.parent_ds = (ds(other),)
    (outcome,) = bench.publisher.run([Work(bench.zone, content(2))])
    assert bench.rules == {"ds-no-signer"}
    assert outcome.retry.content is not None
    assert bench.zone.slot.current.serial == 1
    bench.zone.parent_ds = (ds(other), ds(key.dnskey))
    bench.publisher.run([outcome.retry])
    assert not bench.zone.is_held
    assert bench.zone.slot.current.serial == 2


def ds(dnskey: bytes) -> bytes:
    return key_tag(dnskey).to_bytes(2, "big") + dnskey[3:4] + b"\2" + hashlib.sha256(ORIGIN + dnskey).digest()


def test_a_wrong_signature_found_before_sealing_brings_the_sealed_version_back(bench):
    bench.publish(1)
    bench.seal()
    bench.publish(2)
    failed = bench.zone.live
    lie(failed)
    assert bench.zone.slot.current.serial == 2
    bench.seal()
    assert bench.zone.slot.current.serial == 1
    assert (bench.zone.live.serial, bench.zone.sealed.serial) == (1, 1)
    (reason,) = bench.zone.findings
    assert bench.zone.is_held
    assert reason.rule == NOT_SEALED
    assert "serial 2" in reason.message
    assert "does not verify" in reason.message
    with pytest.raises(EngineError):
        failed.signed.seal()
    with pytest.raises(EngineError):
        failed.signed.transfer(b"")


def test_after_a_wrong_signature_all_that_is_new_is_signed_anew_under_a_new_serial(bench):
    bench.publish(1)
    bench.seal()
    bench.publish(2)
    lie(bench.zone.live)
    bench.seal()
    bench.publisher.run([Work(bench.zone, resign=True)])
    assert not bench.zone.is_held
    bench.seal()
    assert (bench.zone.sealed.serial, bench.zone.slot.current.is_sealed) == (3, True)
    assert bench.zone.live.signed.version.rrset(b"\x03www" + ORIGIN, 1) == (3600, [bytes([192, 0, 2, 2])])


def test_a_first_version_with_a_wrong_signature_serves_until_it_is_signed_anew(bench):
    bench.publish(1)
    lie(bench.zone.live)
    bench.seal()
    assert bench.zone.is_held
    assert bench.zone.sealed is None
    assert bench.zone.slot.current.serial == 1
    bench.publisher.run([Work(bench.zone, resign=True)])
    bench.seal()
    assert bench.zone.sealed.serial == 2
    assert not bench.zone.is_held


def test_a_sealed_version_that_ran_out_is_not_served_again(bench, clock):
    bench.publish(1)
    bench.seal()
    clock.stop_at(NOW + 15 * 86400)
    bench.publish(2)
    lie(bench.zone.live)
    bench.seal()
    assert bench.zone.is_held
    assert bench.zone.slot.current.serial == 2


def test_what_is_read_from_the_disk_at_start_is_verified_again(bench, state, clock):
    """The checksum of the pack is right: somebody wrote it."""
    bench.publish(1)
    bench.seal()
    signed = bench.zone.sealed.signed
    *slots, (*numbers, octets) = slots_of(signed)
    wrong = signatures_of(signed, [*slots, (*numbers, octets[:-1] + bytes([octets[-1] ^ 1]))])
    (ref,) = state.write_pack([wrong])
    with state.transaction(NOW) as tx:
        image = history.Image(ORIGIN, "", 1, "signatures", ref.pack, ref.offset, ref.length)
        history.record_image(tx, image, NOW)
    state.release_pack([ref])

    again = Bench(state, clock)
    assert again.publisher.restore([again.zone]) == []
    assert again.zone.live.is_stored
    assert again.zone.live.signed.slots_verified < again.zone.live.signed.slots
    again.sealer.start()
    again.seal()
    assert again.rules == {NOT_SEALED}
    assert again.zone.sealed is None
    again.publisher.run([Work(again.zone, resign=True)])
    again.seal()
    again.sealer.stop()
    assert again.zone.sealed.serial == 2
