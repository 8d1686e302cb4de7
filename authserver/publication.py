"""A zone at work, and what passes between those who work on it: contents, work, drafts, versions, outcomes.

Words: a *zone* is what is served under one origin in one view; *work* is what is to be done about a zone; a *draft* is
a version that waits for slow keys; an *outcome* is what became of a piece of work.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from engine import SignedVersion, SigningPlan, Version, ZoneSlot, name_to_text
from keys.ksr import Section
from keys.policy import Policy
from keys.providers import Provider, foreign_keys
from keys.providerstore import Csync
from keys.states import Key
from signer.plan import Shared
from signer.refresh import is_overdue
from zones.check import Finding, held
from zones.journal import Totals
from zones.overlay import Laid, Updating
from zones.source import Provenance
from zones.update import UpdateMessage


class ZoneKey(NamedTuple):
    """What a zone's state is kept under: the origin in lower case and the view."""

    origin: bytes
    view: str = ""

    def __str__(self) -> str:
        return name_to_text(self.origin) + (f" in view {self.view}" if self.view else "")


@dataclass(frozen=True, slots=True)
class Live:
    """A published version and what it was made from."""

    signed: SignedVersion
    source_serial: int
    digest: bytes
    keys: tuple[Key, ...]
    policy: Policy | None
    published_at: int
    provenance: Provenance | None = None
    is_stored: bool = False
    """Its signatures are on the disk already."""
    is_sealable: bool = True
    """Whether its serial stands for it alone; one that somebody else signed may have kept the serial of another."""
    latest_inception: int | None = None
    """No signature of it, made or carried over, is valid only from later on; None without signatures of ours."""
    has_slow_keys: bool = False
    """Whether keys sign it that the engine can't sign with: it is never served without their signatures."""
    is_catching_up: bool = False
    """Whether it renews signatures that were overdue or gone: its keys take no step before it is sealed."""
    section: Section | None = None
    """What an offline KSK signed ahead and it is signed by; None also for one that was restored."""

    @property
    def serial(self) -> int:
        """The published serial."""
        return self.signed.serial

    def has_expired(self, now: int) -> bool:
        """Whether some signature of it ran out."""
        earliest = self.signed.earliest_expiration
        return earliest is not None and earliest <= now

    def is_overdue(self, now: int) -> bool:
        """Whether its signatures should have been renewed before now."""
        return self.policy is not None and is_overdue(self.signed.earliest_expiration, self.policy, now)

    def is_ahead(self, now: int) -> bool:
        """Whether a clock that ran ahead signed it, so that it is not valid yet."""
        return self.latest_inception is not None and self.latest_inception > now


@dataclass(slots=True, eq=False)
class Zone:
    """One zone as it stands: what its source says, what is live, what is sealed, why it is held."""

    key: ZoneKey
    policy: Policy | None
    slot: ZoneSlot
    file: str = ""
    source: Version | None = None
    identity: str = ""
    live: Live | None = None
    sealed: Live | None = None
    keys: tuple[Key, ...] = ()
    """As they stand now; those of `live` are as they were when it was planned."""
    next_step_at: int | None = None
    """When they are looked at next."""
    providers: tuple[Provider, ...] = ()
    """Others that sign the zone with keys of their own."""
    csync: Csync | None = None
    draft: Draft | None = None
    offline_until: int | None = None
    """When the last signature ends that its offline KSK made ahead; None where no KSK is offline."""
    findings: tuple[Finding, ...] = ()
    is_frozen: bool = False
    is_expired: bool = False
    """Whether it is a secondary's zone that no primary confirmed for too long: nothing of it is answered."""
    presigned: Literal["warn", "hold"] = "warn"
    """What becomes of content that brings wrong signatures along."""
    parent_ds: tuple[bytes, ...] = ()
    """DS rdatas known at the parent, beside those of keys that were seen there: one of all has to lead to a key that
    signs the DNSKEY RRset."""
    base: SignedVersion | None = None
    """What was sealed last, also before this process began: what the journal goes on from."""
    journal: Totals = field(default_factory=Totals)
    """How much of it the journal has."""
    updating: Updating | None = None
    """How it takes updates by RFC 2136; None: it takes none."""
    laid: Laid | None = None
    """What UPDATE has of it by now, and what its source says; None before the first turn of one that takes updates."""
    failed: Live | None = None
    """What was live and failed before it was sealed: none of its signatures is carried over."""

    @property
    def is_held(self) -> bool:
        """Whether the source's present content is not what serves."""
        return held(self.findings)

    @property
    def sealed_version(self) -> SignedVersion | None:
        """What transfers show; None before the first version is sealed, and of a zone that expired."""
        return self.sealed.signed if self.sealed is not None and not self.is_expired else None

    @property
    def foreign(self) -> tuple[Key, ...]:
        """The keys of other providers."""
        return tuple(foreign_keys(self.providers))

    @property
    def known_keys(self) -> tuple[Key, ...]:
        """Its own keys and those of other providers."""
        return (*self.keys, *self.foreign)

    @property
    def shared(self) -> Shared:
        """What its apex has for others."""
        return Shared(self.foreign, self.csync)

    @property
    def is_settled(self) -> bool:
        """Whether the zone is live or held, which is what being ready asks of it."""
        return self.live is not None or self.is_held


@dataclass(frozen=True, slots=True)
class Content:
    """What a source says now: the version, None when the findings hold it."""

    version: Version | None
    findings: tuple[Finding, ...]
    identity: str
    file: str
    provenance: Provenance | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """An update that waits for its answer; `may` says what its client may, `who` that is, for people."""

    message: UpdateMessage
    may: Callable[[bytes, int], bool]
    answer: Callable[[int], None]
    """Sends the rcode; again does nothing."""
    who: str


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be done about a zone: take new content, carry out updates, look at its keys, sign it anew."""

    zone: Zone
    content: Content | None = None
    resign: bool = False
    updates: tuple[Asked, ...] = ()

    def merged(self, later: Work) -> Work:
        """Both works in one."""
        content, updates = later.content or self.content, (*self.updates, *later.updates)
        return Work(self.zone, content, self.resign or later.resign, updates)


@dataclass(frozen=True, slots=True)
class Draft:
    """A version that waits for slow keys to sign it; `work` is to be done again when they have."""

    work: Work
    signed: SignedVersion
    keys: tuple[Key, ...]
    slow_keys: tuple[Key, ...] = ()
    inception: int = 0
    begun_at: int = 0
    """When the first draft of it was made: a serial made of the time is of that time, or no draft were ever done."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one piece of work; `live` is None when what was live stays. `next_step_at` is the keys'."""

    zone: Zone
    live: Live | None = None
    findings: tuple[Finding, ...] | None = None
    next_step_at: int | None = None
    retry: Work | None = None
    draft: Draft | None = None
    is_held: bool = False
    """Whether what was to be published did not pass; what serves goes on."""
    answers: tuple[tuple[Asked, int], ...] = ()
    """Updates that were judged, each with its rcode."""


def newest_inception(plan: SigningPlan | None, previous: Live | None) -> int | None:
    """Of a version's signatures: those the plan makes, and those of the version before, which may be carried over."""
    if plan is None:
        return None
    carried = previous.latest_inception if previous is not None else None
    return max(plan.inception, carried or 0)
