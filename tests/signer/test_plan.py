from collections.abc import Callable
from typing import Any

import pytest

from engine import Version
from keys.ds import ds_rdata
from keys.errors import KeySetError, PrivateKeyError
from keys.policy import DEFAULT
from keys.states import Goal
from signer import plan

ORIGIN = b"\x07example\x04test\x00"
NOW = 1_700_000_000
SOA, DNSKEY, CDS, CDNSKEY = 6, 48, 59, 60

Versions = Callable[..., Version]
Signers = Callable[..., Any]


def prepared(version: Version, *signers: Any, serial: int = 9) -> plan.PreparedZone:
    handles = {one.key.id: one.handle for one in signers}
    return plan.prepare(version, [one.key for one in signers], handles, DEFAULT, serial, NOW)


def test_the_apex_gets_the_published_serial_and_the_key_set(version: Versions, make_signer: Signers) -> None:
    one = make_signer("RRRH")
    zone = prepared(version(), one, serial=2026112301)
    assert not zone.is_held
    assert zone.findings == ()
    assert zone.version.serial == 2026112301
    assert zone.version.rrset(ORIGIN, DNSKEY) == (3600, [one.key.dnskey])
    assert zone.version.rrset(ORIGIN, CDS) is None
    assert zone.version.rrset(ORIGIN, CDNSKEY) is None


def test_only_the_serial_of_the_soa_changes(version: Versions) -> None:
    before = version()
    after = plan.prepare_unsigned(before, 2**32 - 1).version
    ttl, (old,) = before.rrset(ORIGIN, SOA)
    assert after.rrset(ORIGIN, SOA) == (ttl, [old[:-20] + b"\xff\xff\xff\xff" + old[-16:]])
    assert after.rrset_count == before.rrset_count


def test_a_zone_without_a_policy_and_with_its_own_serial_is_left_alone(version: Versions) -> None:
    before = version(
        "@ 3600 IN DNSKEY 257 3 13 GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6edbkrSqQpF64cYbcB7wNcP+e+MAnLr+Wi9xMWyQLc8NAA==\n"
    )
    zone = plan.prepare_unsigned(before, before.serial)
    assert zone.version is before
    assert zone.plan is None
    assert not zone.is_held


def test_cds_and_cdnskey_come_when_everything_is_omnipresent(version: Versions, make_signer: Signers) -> None:
    one = make_signer("OOOR")
    zone = prepared(version(), one).version
    assert zone.rrset(ORIGIN, CDS) == (3600, [ds_rdata(one.key)])
    assert zone.rrset(ORIGIN, CDNSKEY) == (3600, [one.key.dnskey])


@pytest.mark.parametrize("word", ["RRRH", "OROH", "OORR", "ROOR"])
def test_cds_of_the_source_is_removed_before_that(word: str, version: Versions, make_signer: Signers) -> None:
    source = version("@ 3600 IN CDS 1 13 2 " + "00" * 32 + "\n")
    zone = prepared(source, make_signer(word))
    assert zone.version.rrset(ORIGIN, CDS) is None
    assert [(one.rule, one.severity) for one in zone.findings] == [("managed-record", "warning")]


def test_only_published_keys_are_in_the_key_set(version: Versions, make_signer: Signers) -> None:
    here, hidden, gone = make_signer("RRRH"), make_signer("HHHH"), make_signer("UUUH", goal=Goal.ABSENT)
    zone = prepared(version(), here, hidden, gone).version
    assert zone.rrset(ORIGIN, DNSKEY) == (3600, [here.key.dnskey])


def test_the_plan_says_who_signs_what_and_for_how_long(version: Versions, make_signer: Signers) -> None:
    zone = prepared(version(), make_signer())
    assert zone.plan is not None
    assert zone.plan.inception == NOW - 3600
    assert zone.plan.expiration == NOW + 14 * 86400


@pytest.mark.parametrize(
    ("word", "flags", "goal", "roles"),
    [
        ("RRRH", 257, Goal.PRESENT, (True, True)),
        ("O-OR", 257, Goal.PRESENT, (True, False)),
        ("OO--", 256, Goal.PRESENT, (False, True)),
        ("RU--", 256, Goal.ABSENT, (False, False)),
        ("HHHH", 257, Goal.PRESENT, (False, False)),
    ],
)
def test_roles_follow_the_states(
    word: str, flags: int, goal: Goal, roles: tuple[bool, bool], make_signer: Signers
) -> None:
    key = make_signer(word, flags=flags, goal=goal).key
    assert (plan.signs_keys(key), plan.signs_zone(key)) == roles


def test_a_missing_handle_is_named(version: Versions, make_signer: Signers) -> None:
    key = make_signer().key
    with pytest.raises(PrivateKeyError, match=f"tag {key.tag} has no signing handle"):
        plan.prepare(version(), [key], {}, DEFAULT, 9, NOW)


def test_a_key_set_that_does_not_sign_everything_is_refused(make_signer: Signers) -> None:
    ksk = make_signer("O-OR")
    for keys in ([], [ksk.key]):
        with pytest.raises(KeySetError, match="no key signs the zone, or none signs the keys"):
            plan.signing_plan(keys, {ksk.key.id: ksk.handle}, DEFAULT, NOW)


def test_foreign_dnskeys_hold_the_zone(version: Versions, make_signer: Signers) -> None:
    source = version(
        "@ 3600 IN DNSKEY 257 3 13 GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6edbkrSqQpF64cYbcB7wNcP+e+MAnLr+Wi9xMWyQLc8NAA==\n"
    )
    zone = prepared(source, make_signer())
    assert zone.is_held
    (found,) = zone.findings
    assert str(found) == (
        "example.test.: 1 of 1 DNSKEY records are of keys that are not here;"
        " import them or remove the records [foreign-dnskey]"
    )
