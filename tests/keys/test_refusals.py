"""What is refused of policies, each with the inequality it breaks."""

from dataclasses import replace

import pytest

from keys.policy import BUILT_IN, DEFAULT, KeySpec, Policy, Role
from keys.refusals import refusals
from keys.timing import shortest_lifetime

DAY = 86400


def messages(policy: Policy) -> list[str]:
    return [one.message for one in refusals(policy)]


@pytest.mark.parametrize("policy", BUILT_IN.values(), ids=list(BUILT_IN))
def test_what_comes_with_the_product_is_not_refused(policy: Policy) -> None:
    assert refusals(policy) == []
    assert BUILT_IN[policy.name] is policy


def test_intervals_are_those_of_rfc_7583() -> None:
    """With the defaults 2 h 05 before, and the longer of denial and data in caches and the parent after."""
    shortest = {role: shortest_lifetime(DEFAULT, KeySpec(role)) - (2 * 3600 + 300) for role in Role}
    assert shortest[Role.ZSK] == shortest[Role.CSK] == 4 * DAY + 300 + 3600
    assert shortest[Role.KSK] == DAY + 3600 + DAY + 3600


ZSK_TAKES = "dnskey-ttl 1h + propagation-delay 5m + publish-safety 1h + max-zone-ttl 4d + "
KSK_TAKES = (
    "dnskey-ttl 1h + propagation-delay 5m + publish-safety 1h + parent-registration-delay 1d + "
    "parent-propagation-delay 1h + parent-ds-ttl 1d + retire-safety 1h (RFC 7583 section 3)"
)
CHAIN = "each algorithm of the DNSKEY RRset has to sign everything (RFC 4035 section 2.2)"
ALGORITHMS = "8 rsasha256, 10 rsasha512, 13 ecdsap256sha256, 14 ecdsap384sha384, 15 ed25519, 16 ed448"


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (
            Policy(max_zone_ttl=5 * DAY),
            (
                "refresh 5d is below 5d1h5m = max-zone-ttl 5d + propagation-delay 5m + 1h of waiting for others: "
                "a signature could expire in a cache (RFC 6781 section 4.4.2)"
            ),
        ),
        (
            Policy(max_zone_ttl=1073741724),
            (
                "refresh 5d is below 12427d14h40m24s = max-zone-ttl 12427d13h35m24s + propagation-delay 5m + 1h of waiting "
                "for others: a signature could expire in a cache (RFC 6781 section 4.4.2)"
            ),
        ),
        (Policy(dnskey_ttl=2 * DAY, max_zone_ttl=DAY), "dnskey-ttl 2d is above max-zone-ttl 1d"),
        (Policy(inception_offset=15 * DAY), "inception-offset 15d is above validity 14d"),
        (
            Policy(keys=(KeySpec(Role.KSK), KeySpec(Role.ZSK, lifetime=4 * DAY + 3 * 3600 + 600))),
            (
                "lifetime 4d3h10m of the zsk is not above 4d3h10m, which replacing it takes: "
                f"{ZSK_TAKES}propagation-delay 5m + retire-safety 1h (RFC 7583 section 3)"
            ),
        ),
        (
            Policy(keys=(KeySpec(Role.KSK, lifetime=DAY), KeySpec(Role.ZSK))),
            f"lifetime 1d of the ksk is not above 2d4h5m, which replacing it takes: {KSK_TAKES}",
        ),
        (
            Policy(keys=(KeySpec(lifetime=DAY),), parent_registration_delay=30 * DAY),
            "lifetime 1d of the csk is not above 31d4h5m, which replacing it takes: "
            + KSK_TAKES.replace("registration-delay 1d", "registration-delay 30d"),
        ),
        (Policy(keys=(KeySpec(Role.KSK),)), f"algorithm 13 has a ksk and no zsk: {CHAIN}"),
        (Policy(keys=(KeySpec(Role.CSK), KeySpec(Role.ZSK, 8))), f"algorithm 8 has a zsk and no ksk: {CHAIN}"),
        (
            Policy(offline_ksk=True),
            "offline-ksk wants a ksk and a zsk; a csk signs the zone, which is done online",
        ),
        (
            Policy(keys=(KeySpec(Role.KSK, shared=True), KeySpec(Role.ZSK)), offline_ksk=True),
            "offline-ksk: a response is of one zone; keys that zones share are not taken",
        ),
        (Policy(keys=(KeySpec(), KeySpec(lifetime=99 * DAY))), "2 keys of role csk and algorithm 13; one is enough"),
        (Policy(keys=(KeySpec(), KeySpec(Role.ZSK))), "algorithm 13 has a csk and a zsk; a csk is both"),
        (Policy(keys=(KeySpec(algorithm=5),)), f"algorithm 5 is not signed with; accepted: {ALGORITHMS}"),
        (Policy(keys=(KeySpec(bits=256),)), "bits 256: keys of ecdsap256sha256 have one size; leave it out"),
        (
            Policy(keys=(KeySpec(algorithm=8, bits=1024),)),
            "bits 1024 is not between 2048 and 4096 (RFC 5702 section 2)",
        ),
        (
            Policy(keys=(KeySpec(algorithm=8, bits=4097),)),
            "bits 4097 is not between 2048 and 4096 (RFC 5702 section 2)",
        ),
        (Policy(digests=(1,)), "digest type 1 is not made (RFC 8624 section 3.3); accepted: 2 sha-256, 4 sha-384"),
        (Policy(digests=(2, 2)), "the same digest type stands twice"),
        (Policy(digests=()), "no digest type, and cds always wants one; accepted: 2 sha-256, 4 sha-384"),
    ],
)
def test_a_policy_that_can_not_be_safe_is_refused_with_the_inequality_it_breaks(policy: Policy, expected: str) -> None:
    assert messages(policy) == [expected]


@pytest.mark.parametrize(
    "policy",
    [
        Policy(max_zone_ttl=4 * DAY + 22 * 3600 + 55 * 60),
        Policy(keys=(KeySpec(Role.KSK), KeySpec(Role.ZSK, lifetime=4 * DAY + 3 * 3600 + 601))),
        Policy(keys=(KeySpec(Role.KSK, lifetime=2 * DAY + 4 * 3600 + 301), KeySpec(Role.ZSK))),
        Policy(keys=(KeySpec(algorithm=8, bits=4096), KeySpec(algorithm=16))),
        Policy(digests=(4, 2), dnskey_ttl=DAY, max_zone_ttl=DAY),
        Policy(digests=(), cds="none"),
    ],
)
def test_a_policy_at_the_bound_is_good(policy: Policy) -> None:
    assert messages(policy) == []


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        ((KeySpec(Role.CSK, 16),), "of ed448"),
        ((KeySpec(Role.KSK, 13), KeySpec(Role.ZSK, 13, store="card")), "in the store card"),
        ((KeySpec(Role.KSK, 13, store="card"), KeySpec(Role.ZSK, 13)), ""),
    ],
)
def test_a_digest_needs_keys_that_sign_the_zone_in_memory(keys: tuple[KeySpec, ...], what: str) -> None:
    found = messages(replace(DEFAULT, keys=keys, zonemd=True))
    assert found == ([f"zonemd needs keys that sign the zone in memory; this one is {what}"] if what else [])
    assert messages(replace(DEFAULT, keys=keys)) == []
