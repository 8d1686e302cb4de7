"""A zone whose KSK is offline, as it is published: what of that which was signed ahead serves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from engine import name_to_text
from keys import custody, introduction, offline
from keys.errors import KeySetError, ResponseMissingError
from keys.ksr import Section, shown
from signer import ahead
from signer.plan import signers
from zones.check import Finding, finding

if TYPE_CHECKING:
    import sqlite3

    from authserver.publication import Zone
    from engine import SignedVersion
    from keys.policy import Policy
    from keys.rollover import ServedTTLs
    from keys.states import Key

ENDS: Final = "offline-ksk-ends"
WAITS: Final = "offline-ksk-waits"
ONLINE: Final = "offline-ksk-online"
RULES: Final = (ENDS, WAITS, ONLINE)
"""Rules of findings about what was signed ahead, made anew by every work."""


def follow(
    tx: sqlite3.Connection,
    vault: custody.Vault,
    zone: Zone,
    keys: Sequence[Key],
    policy: Policy,
    ttls: ServedTTLs,
    now: int,
) -> offline.Course | introduction.Progress:
    """The zone's keys after all steps that are due, by its policy or by what its offline KSK signed ahead.

    Until a first response can be taken, a KSK that is still here goes on signing. Raises ResponseMissingError.
    """
    if not policy.offline_ksk:
        zone.offline_until = None
        return introduction.advance(tx, vault, zone.key, keys, policy, ttls, now, zone.providers)
    at_hand = replace(policy, offline_ksk=False)
    if zone.providers and offline.has_private_ksk(tx, vault, keys):
        # A response knows no keys of other providers: with its key sets they would be gone from one moment to the next.
        return introduction.advance(tx, vault, zone.key, keys, at_hand, ttls, now, zone.providers)
    course = offline.follow(tx, vault, zone.key, keys, policy, ttls, now)
    zone.offline_until = course.ends_at
    if course.section is not None:
        return replace(course, wait=replace(course.wait, until=_next_look(course, policy, now)))
    if offline.has_private_ksk(tx, vault, course.keys):
        return introduction.advance(tx, vault, zone.key, course.keys, at_hand, ttls, now)
    if policy.is_insecure and not course.has_signers:
        return course
    name = str(zone.key)
    if course.obstacles:
        raise ResponseMissingError(name, f"no section can be taken: {'; '.join(course.obstacles)}")
    reason = (
        f"nothing that its offline KSK signed is valid now: `zonewright key ksr {name} --until 90d` asks for it, "
        f"`zonewright key import-skr {name} FILE` takes the answer"
    )
    raise ResponseMissingError(name, reason)


def _next_look(course: offline.Course, policy: Policy, now: int) -> int | None:
    """When a key moves, a section begins, or somebody is to be warned."""
    warned_at = _warned_at(course.ends_at, policy)
    moments = [course.wait.until, warned_at if warned_at is not None and warned_at > now else None]
    return min((at for at in moments if at is not None), default=None)


def _warned_at(ends_at: int | None, policy: Policy) -> int | None:
    """A ceremony takes people together: there is as long for it as a signature is valid."""
    return None if ends_at is None else ends_at - policy.validity


def notices(
    zone: Zone, course: offline.Course | introduction.Progress, policy: Policy, now: int
) -> tuple[Finding, ...]:
    """What an operator is to know of what was signed ahead."""
    file = zone.file or str(zone.key)
    if not policy.offline_ksk:
        return ()
    if not isinstance(course, offline.Course):
        reason = "its KSK is still here and signs: no signed key response was taken yet"
        return (finding(file, ONLINE, reason),)
    found = []
    warned_at = _warned_at(course.ends_at, policy)
    if course.ends_at is not None and warned_at is not None and warned_at <= now:
        reason = f"what its offline KSK signed ahead ends at {shown(course.ends_at)}, and then it is bogus"
        found.append(finding(file, ENDS, f"{reason}: `zonewright key ksr {zone.key}` asks for more"))
    if course.obstacles and course.section is not None:
        until = shown(course.section.expiration)
        reason = f"the period that has begun is not taken, the one before serves until {until}"
        found.append(finding(file, WAITS, f"{reason}: {'; '.join(course.obstacles)}"))
    return tuple(found)


def is_news(zone: Zone, section: Section) -> bool:
    """Whether what serves is signed by another section; of what was restored the signatures tell."""
    live = zone.live
    if live is None:
        return False
    if live.section is not None:
        return live.section.since != section.since
    return not ahead.is_presented(live.signed, section)


def give(signed: SignedVersion, section: Section, keys: Sequence[Key]) -> None:
    """Give a version the signatures of its KSKs. Raises KeySetError where the section has not all of them."""
    ahead.give(signed, section)
    own = signers(keys)
    missing = [own[number] for number, _, _ in signed.unsigned() if own[number].is_ksk]
    if missing:
        reason = f"has no signature of key {missing[0].tag} over all that it is to sign"
        raise KeySetError(name_to_text(missing[0].origin), f"the section of {shown(section.since)} {reason}")
