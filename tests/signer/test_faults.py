"""Faults of more than eighty kinds in signed zones, each refused at the gate where it can be known; no good zone is."""

import os
import random
import re
from pathlib import Path

import pytest

from engine import EngineError, SignedVersion
from signer.verify import AT_LIVE, NOT_SEALED, Expected, before_live, before_sealed
from tests.signer import signed_zones
from tests.signer.faults import FAULTS, LIVE, SEALED, Fault, place_for
from tests.signer.signed_zones import DENIALS, HORIZON, NOW, Records, key, key_sets, signed_version, twins, zone_text
from tools.odd_zone import ORIGIN

ZONES = int(os.environ.get("FAULT_ZONES", "6"))
"""Zones of each kind of denial that each fault is injected into; more by `make soak`."""
GOOD = int(os.environ.get("GOOD_ZONES", "1000"))
SLOW = 14
"""P-384 takes a millisecond where others take a twentieth: few zones are signed by it."""


def found(records: Records, gate: str) -> set[str]:
    """The rules by which a gate refuses the zone, as if it had been signed here."""
    version = records.to_version()
    if gate == LIVE:
        return {one.rule for one in version.check(NOW, horizon=HORIZON, parent_ds=records.parent_ds)}
    return {one.rule for one in version.check_signatures(NOW, horizon=HORIZON)}


def good_records(seed: int, denial: str) -> Records:
    keys = key_sets()[seed % 4]
    return Records.of(signed_version(zone_text(seed, 8), keys, denial), keys)


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_refused_at_its_gate(name: str) -> None:
    one: Fault = FAULTS[name]
    for seed in range(ZONES):
        for denial in one.denials[seed % len(one.denials) :][:2]:
            dice = random.Random(f"{name} {seed}")
            records = good_records(seed, denial)
            one.spoil(records, dice, place_for(one, records, dice))
            first = found(records, LIVE)
            if one.gate == LIVE:
                assert one.rule in first, (name, seed, denial)
            else:
                assert not first, (name, seed, denial)
                assert one.rule in found(records, SEALED), (name, seed, denial)


def test_there_are_enough_kinds() -> None:
    assert len(FAULTS) > 80
    assert {one.gate for one in FAULTS.values()} == {LIVE, SEALED}


def test_each_rule_is_known_and_explained() -> None:
    manual = (Path(__file__).parents[2] / "docs/manual/dnssec.md").read_text()
    named = set(re.findall(r"`([a-z0-9-]+)`(?=[^|\n]*\| (?:live|sealed|both) \|)", manual))
    assert named == {*AT_LIVE, NOT_SEALED}
    assert {one.rule for one in FAULTS.values()} <= set(AT_LIVE)


@pytest.mark.parametrize("denial", DENIALS)
def test_what_the_faults_are_injected_into_is_good(denial: str) -> None:
    for seed in range(ZONES):
        records = good_records(seed, denial)
        assert found(records, LIVE) == set()
        assert found(records, SEALED) == set()


def seal(signed: SignedVersion, at: Expected) -> None:
    while not (verdict := before_sealed(signed, 1_000_000, at)).is_complete:
        assert not verdict.is_held, verdict.findings
    assert not verdict.is_held, verdict.findings
    signed.seal()


@pytest.mark.parametrize("part", range(10))
def test_no_good_zone_is_refused(part: int) -> None:
    sets = [keys for keys in key_sets() if keys[0].algorithm != SLOW]
    for seed in range(part * GOOD // 10, (part + 1) * GOOD // 10):
        dice = random.Random(seed)
        keys = key_sets()[-1] if seed % 100 == 0 else dice.choice(sets)
        denial = dice.choice(list(DENIALS))
        # RFC 6781 section 4.1.4: signatures of a new algorithm come before its DNSKEY.
        coming = [key(5, 15 if keys[0].algorithm == 13 else 13)] if dice.random() < 0.1 else []
        signed = signed_version(zone_text(seed, dice.randrange(1, 20)), keys, denial, unpublished=coming)
        at = Expected(NOW, HORIZON, parent_ds=[one.ds for one in keys if one.is_ksk])
        assert before_live(signed, at).findings == (), (seed, denial)
        seal(signed, at)


# ---------------------------------------------------------------- signatures in slots, as somebody else hands them in


def test_two_published_keys_of_one_tag_are_told_apart() -> None:
    one, other = twins()
    assert one.tag == other.tag
    signed = signed_version(zone_text(1, 8), [one, other])
    assert before_live(signed, Expected(NOW)).findings == ()
    seal(signed, Expected(NOW))


def test_a_liberal_roll_needs_one_algorithm_and_a_strict_one_each() -> None:
    """RFC 6840 section 5.11 and RFC 4035 section 2.2."""
    keys = [key(0)]
    records = Records.of(signed_version(zone_text(1, 8), keys), keys)
    records.put((ORIGIN, "DNSKEY"), [key(0).text, key(5, 15).text])
    version = records.to_version()
    assert {one.rule for one in version.check(NOW)} == {"algorithm-unsigned"}
    assert version.check(NOW, is_liberal=True) == []
    assert version.check_signatures(NOW, is_liberal=True) == []
    del records.signatures["two." + ORIGIN, "A"]
    assert [one.rule for one in records.to_version().check_signatures(NOW, is_liberal=True)] == ["signature-missing"]


LIES = {
    "bit flipped": lambda octets, _other: bytes([octets[0] ^ 1]) + octets[1:],
    "truncated": lambda octets, _other: octets[:-1],
    "empty": lambda _octets, _other: b"",
    "of another slot": lambda _octets, other: other,
}


@pytest.mark.parametrize("denial", ["nsec", "opt-out"])
@pytest.mark.parametrize("lie", LIES)
def test_a_signer_that_lies_is_found_before_the_version_is_sealed(lie: str, denial: str) -> None:
    for seed in range(3):
        good = signed_version(zone_text(seed, 8), [key(0)], denial)
        good.make(10**7)
        slots = signed_zones.slots_of(good)
        slots[-1] = (*slots[-1][:-1], LIES[lie](slots[-1][-1], slots[-2][-1]))
        bad = signed_version(zone_text(seed, 8), [key(0)], denial)
        assert bad.restore(signed_zones.signatures_of(good, slots)) == len(slots)
        assert before_live(bad, Expected(NOW)).findings == ()
        (reason,) = before_sealed(bad, 10**7, Expected(NOW)).findings
        assert reason.rule == NOT_SEALED
        with pytest.raises(EngineError):
            bad.seal()


@pytest.mark.parametrize("lie", LIES)
def test_a_first_signature_that_lies_is_found_before_the_version_is_live(lie: str) -> None:
    good = signed_version(zone_text(1, 8), [key(0)])
    good.make(10**7)
    slots = signed_zones.slots_of(good)
    slots = [(*one[:-1], LIES[lie](one[-1], slots[-1][-1])) for one in slots]
    bad = signed_version(zone_text(1, 8), [key(0)])
    bad.restore(signed_zones.signatures_of(good, slots))
    assert {one.rule for one in before_live(bad, Expected(NOW)).findings} <= {"signature-wrong", "signature-extra"}
    assert before_live(bad, Expected(NOW)).is_held


@pytest.mark.parametrize("shift", [-20 * 86400, 20 * 86400])
def test_signatures_of_another_time_are_found(shift: int) -> None:
    """What is valid later or was valid before comes of a clock that moved."""
    signed = signed_version(zone_text(1, 8), [key(0)])
    at = Expected(NOW + shift)
    assert before_live(signed, at).is_held
    assert before_sealed(signed, 10**7, at).is_held
