"""Signatures carried over to the next version: right ones, of nothing that changed, and not verified a second time."""

import random

import pytest

from engine import SignedVersion, SigningPlan, Version
from tests.engine.asking import build
from tests.signer.signed_zones import (
    DENIALS,
    DNSKEY,
    EXPIRATION,
    INCEPTION,
    NOW,
    NSEC3PARAM,
    PARAMS,
    Records,
    TestKey,
    key,
    twins,
    zone_text,
)
from tools import odd_zone


def signed(version: Version, by: TestKey, denial: str, previous: SignedVersion | None = None) -> SignedVersion:
    params = [bytes.fromhex(PARAMS[denial])] if denial in PARAMS else []
    edits = [(version.origin, DNSKEY, 3600, [by.dnskey]), (version.origin, NSEC3PARAM, 0, params)]
    plan = SigningPlan(
        [(by.handle, True, True)],
        inception=INCEPTION,
        expiration=EXPIRATION,
        carry_until=NOW,
        denial=DENIALS[denial],
    )
    return SignedVersion(version.edited(edits), plan, previous)


def sealed(version: SignedVersion) -> SignedVersion:
    while not version.make(10**6) or not version.verify(10**6, NOW):
        pass
    version.seal()
    return version


def changed(seed: int, text: str) -> str:
    """The zone with some records changed, gone, or new."""
    dice = random.Random(seed)
    lines = []
    for line in text.splitlines(keepends=True):
        is_kept = line.startswith(odd_zone.ORIGIN) or dice.random() < 0.7
        if is_kept or dice.random() < 0.5:
            lines.append(line if is_kept else line.replace("192.0.2.", "203.0.113."))
        if dice.random() < 0.05:
            lines.append(f"new{dice.randrange(100)}.{odd_zone.ORIGIN} 60 TXT new\n")
    return "".join(lines)


@pytest.mark.parametrize("denial", DENIALS)
@pytest.mark.parametrize("seed", range(6))
def test_what_is_carried_over_verifies_in_its_new_place(seed: int, denial: str) -> None:
    """All of the new version is verified anew out of its records, whatever was verified in the version before."""
    text = zone_text(seed, 30)
    older = sealed(signed(build(text, odd_zone.ORIGIN), key(0), denial))
    newer = signed(build(changed(seed, text), odd_zone.ORIGIN), key(0), denial, older)
    assert 0 < newer.slots_verified == newer.slots_made < newer.slots
    records = Records.of(sealed(newer), [key(0)])
    assert records.to_version().check_signatures(NOW) == []


def test_a_small_change_is_verified_at_the_cost_of_what_is_new() -> None:
    text = zone_text(1, 60)
    older = sealed(signed(build(text, odd_zone.ORIGIN), key(0), "nsec"))
    newer = signed(build(text + f"two.{odd_zone.ORIGIN} 300 A 192.0.2.3\n", odd_zone.ORIGIN), key(0), "nsec", older)
    assert newer.slots - newer.slots_verified == 1  # the RRset that is new; not even the SOA is another one here
    assert sealed(newer).slots_verified == newer.slots


def test_another_key_of_the_same_tag_takes_nothing_over() -> None:
    one, other = twins()
    version = build(zone_text(1, 8), odd_zone.ORIGIN)
    assert signed(version, other, "nsec", sealed(signed(version, one, "nsec"))).slots_made == 0


def test_another_ttl_takes_nothing_over() -> None:
    version = build(zone_text(1, 8), odd_zone.ORIGIN)
    older = sealed(signed(version, key(0), "nsec"))
    owner = b"\3two" + version.origin
    _, rdatas = version.rrset(owner, 1)  # type: ignore[misc]
    newer = signed(version.edited([(owner, 1, 299, rdatas)]), key(0), "nsec", older)
    assert newer.slots - newer.slots_made == 1


def test_a_zone_of_another_name_takes_nothing_over() -> None:
    """An owner below both is the same, its signer is not."""
    deep = sealed(signed(build("@ 60 SOA a b 1 2 3 4 5\n@ 60 NS ns.a.\nx 60 A 192.0.2.1\n", "b.c."), key(0), "nsec"))
    wide = build("@ 60 SOA a b 1 2 3 4 5\n@ 60 NS ns.a.\nx.b 60 A 192.0.2.1\n", "c.")
    assert signed(wide, key(0), "nsec", deep).slots_made == 0


def test_what_was_not_verified_before_is_verified_after() -> None:
    version = build(zone_text(1, 8), odd_zone.ORIGIN)
    older = signed(version, key(0), "nsec")
    older.make(10**7)
    newer = signed(version, key(0), "nsec", older)
    assert (newer.slots_made, newer.slots_verified) == (newer.slots, 0)
