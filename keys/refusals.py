"""Why policies are refused: the inequalities that one breaks, so that zones signed by it can't be safe, with numbers.

A *refusal* names the words of a policy file that it is about.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from keys.policy import (
    ALGORITHMS,
    DIGESTS,
    RSA,
    RSA_BITS,
    KeySpec,
    Policy,
    Role,
    algorithm_words,
    digest_words,
    duration_text,
    word,
)
from keys.private import FAST_ALGORITHMS
from keys.timing import shortest_lifetime

_PUBLISH: Final = ("dnskey_ttl", "propagation_delay", "publish_safety")
_PARENT: Final = ("parent_registration_delay", "parent_propagation_delay", "parent_ds_ttl", "retire_safety")
_SIGNATURES: Final = ("max_zone_ttl", "propagation_delay", "retire_safety")
_WAITS: Final[Mapping[Role, tuple[tuple[str, ...], ...]]] = {
    Role.CSK: (_SIGNATURES, _PARENT),
    Role.KSK: (_PARENT,),
    Role.ZSK: (_SIGNATURES,),
}
"""What the terms of `timing.shortest_lifetime` are made of, by role: the longer wait counts."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a policy can't be safe; `words` are the keys of the file that it is about, the likeliest to change first."""

    words: tuple[str, ...]
    message: str


def refusals(policy: Policy) -> list[Refusal]:
    """All that is wrong with a policy; a policy without any may sign zones."""
    refused = [*key_refusals(policy.keys), *_time_refusals(policy), *_digest_refusals(policy)]
    return [*refused, *_zonemd_refusals(policy), *_offline_refusals(policy)]


def key_refusals(keys: tuple[KeySpec, ...]) -> list[Refusal]:
    """What is wrong with the keys alone."""
    return [*_algorithm_refusals(keys), *_role_refusals(keys)]


def _algorithm_refusals(keys: tuple[KeySpec, ...]) -> Iterator[Refusal]:
    for number, key in enumerate(keys):
        words = (f"keys.{number}.bits", f"keys.{number}", "keys")
        if key.algorithm not in ALGORITHMS:
            where = (f"keys.{number}.algorithm", *words)
            yield Refusal(where, f"algorithm {key.algorithm} is not signed with; accepted: {algorithm_words()}")
        elif key.algorithm not in RSA and key.bits is not None:
            yield Refusal(words, f"bits {key.bits}: keys of {ALGORITHMS[key.algorithm]} have one size; leave it out")
        elif key.bits is not None and key.bits not in RSA_BITS:
            least, most = RSA_BITS.start, RSA_BITS.stop - 1
            yield Refusal(words, f"bits {key.bits} is not between {least} and {most} (RFC 5702 section 2)")


def _role_refusals(keys: tuple[KeySpec, ...]) -> Iterator[Refusal]:
    for (role, algorithm), count in Counter((key.role, key.algorithm) for key in keys).items():
        if count > 1:
            yield Refusal(("keys",), f"{count} keys of role {role} and algorithm {algorithm}; one is enough")
    for algorithm in dict.fromkeys(key.algorithm for key in keys):
        roles = {key.role for key in keys if key.algorithm == algorithm}
        if Role.CSK in roles and len(roles) > 1:
            other = " and ".join(sorted(roles - {Role.CSK}))
            yield Refusal(("keys",), f"algorithm {algorithm} has a csk and a {other}; a csk is both")
        elif len(roles) == 1 and Role.CSK not in roles:
            (role,) = roles
            missing = Role.ZSK if role is Role.KSK else Role.KSK
            reason = "each algorithm of the DNSKEY RRset has to sign everything (RFC 4035 section 2.2)"
            yield Refusal(("keys",), f"algorithm {algorithm} has a {role} and no {missing}: {reason}")


def _time_refusals(policy: Policy) -> Iterator[Refusal]:
    needed = _total(policy, ("max_zone_ttl", "propagation_delay")) + policy.batch_interval
    if policy.refresh < needed:
        terms = f"{policy.term('max_zone_ttl')} + {policy.term('propagation_delay')}"
        yield Refusal(
            ("refresh", "max-zone-ttl", "propagation-delay", "jitter"),
            f"{policy.term('refresh')} is below {duration_text(needed)} = {terms} + "
            f"{duration_text(policy.batch_interval)} of waiting for others: a signature could expire in a cache "
            "(RFC 6781 section 4.4.2)",
        )
    for field, bound in (("dnskey_ttl", "max_zone_ttl"), ("inception_offset", "validity")):
        if getattr(policy, field) > getattr(policy, bound):
            yield Refusal((word(field), word(bound)), f"{policy.term(field)} is above {policy.term(bound)}")
    for number, key in enumerate(policy.keys):
        yield from _lifetime_refusals(policy, number, key)


def _lifetime_refusals(policy: Policy, number: int, key: KeySpec) -> Iterator[Refusal]:
    """A key must live longer than its replacement takes, or there would be ever more of them at a time."""
    needed = shortest_lifetime(policy, key)
    if key.lifetime is None or key.lifetime > needed:
        return
    fields = max(_WAITS[key.role], key=lambda fields: _total(policy, fields))
    terms = (*_PUBLISH, *fields)
    yield Refusal(
        (f"keys.{number}.lifetime", f"keys.{number}", "keys", *map(word, terms)),
        f"lifetime {duration_text(key.lifetime)} of the {key.role} is not above {duration_text(needed)}, which "
        f"replacing it takes: {' + '.join(map(policy.term, terms))} (RFC 7583 section 3)",
    )


def _total(policy: Policy, fields: tuple[str, ...]) -> int:
    return sum(getattr(policy, field) for field in fields)


def _zonemd_refusals(policy: Policy) -> Iterator[Refusal]:
    """The digest covers all signatures, and its own is made last, when the version is live already."""
    for number, key in enumerate(policy.keys):
        if policy.zonemd and key.role.is_zsk and (key.store or key.algorithm not in FAST_ALGORITHMS):
            where = f"in the store {key.store}" if key.store else f"of {ALGORITHMS[key.algorithm]}"
            yield Refusal(
                ("zonemd", f"keys.{number}"), f"zonemd needs keys that sign the zone in memory; this one is {where}"
            )


def _offline_refusals(policy: Policy) -> Iterator[Refusal]:
    for number, key in enumerate(policy.keys if policy.offline_ksk else ()):
        words = (f"keys.{number}", "keys", "offline-ksk")
        if key.role is Role.CSK:
            yield Refusal(words, "offline-ksk wants a ksk and a zsk; a csk signs the zone, which is done online")
        elif key.shared:
            yield Refusal(words, "offline-ksk: a response is of one zone; keys that zones share are not taken")


def _digest_refusals(policy: Policy) -> Iterator[Refusal]:
    accepted = digest_words()
    for digest in policy.digests:
        if digest not in DIGESTS:
            yield Refusal(
                ("digests",), f"digest type {digest} is not made (RFC 8624 section 3.3); accepted: {accepted}"
            )
    if len(set(policy.digests)) < len(policy.digests):
        yield Refusal(("digests",), "the same digest type stands twice")
    if not policy.digests and policy.cds != "none":
        yield Refusal(("digests", "cds"), f"no digest type, and cds {policy.cds} wants one; accepted: {accepted}")
