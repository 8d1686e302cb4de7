"""What updates make of a zone within a batch of the publisher: one turn of one zone, from its source to its answers.

A *turn* begins with what a zone's source says, lays the overlay over it or takes the zone's own content out of the
state, and carries out the updates that wait, one after another, each whole or not at all. It ends when the version is
ready: in the transaction that notes its serial, so that after a kill either all of it was or nothing.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import dns.rcode

from authserver.publication import Asked, Live, Outcome, Work, Zone
from engine import EngineError, Version, read_zone
from zones import history, updatestore
from zones.check import Finding, finding
from zones.errors import UpdateError
from zones.overlay import HIDDEN, IN_SOURCE, Laid, lay, replayed, stored, whole, without
from zones.serial import is_after
from zones.update import NO_DIFFERENCE, SIGNERS, SOA, Changes, Difference, apply, prescan, records_of, run, serial_of

log = logging.getLogger(__name__)

NO_CONTENT: Final = "update-no-content"
UNREADABLE: Final = "update-unreadable"
RULES: Final = (NO_CONTENT, UNREADABLE, IN_SOURCE, HIDDEN)
"""Rules of findings that each turn makes anew."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One zone's turn; `laid` is what it will be, None when there is nothing to publish."""

    work: Work
    laid: Laid | None
    difference: Difference = NO_DIFFERENCE
    is_first: bool = False
    """Whether its content was never written to the state."""
    answers: tuple[tuple[Asked, int], ...] = ()
    findings: tuple[Finding, ...] = ()
    findings_before: tuple[Finding, ...] = ()

    def note(self, tx: sqlite3.Connection, now: int) -> None:
        """Note what was done, in the transaction that its version is noted in."""
        assert self.laid is not None
        key, kind = self.work.zone.key, _kind(self.laid)
        is_to_be_written = self.is_first
        if self.difference and not self.is_first:
            gone, new = run(self.difference.gone), run(self.difference.new)
            is_to_be_written = updatestore.append(tx, *key, kind, gone, new, now)
        if is_to_be_written:
            content = run(self.laid.records) if self.laid.updating.is_overlay else self.laid.version.to_text()
            updatestore.write(tx, *key, kind, content, now)

    def ended(self, tx: sqlite3.Connection, done: Outcome, findings: tuple[Finding, ...], now: int) -> Outcome:
        """What became of it, when that is not a version."""
        zone = self.work.zone
        if done.draft is not None:
            return done  # the updates are carried out again when it is signed
        if self.laid is None:
            zone.findings = findings
        elif not done.is_held and done.retry is None:
            # There was nothing to publish.
            history.see(tx, *zone.key, now)
            self.note(tx, now)
            zone.laid = self.laid
            return replace(done, answers=self.answers)
        elif self.difference:
            log.error("%s: updates are not carried out: %s", zone.key, "; ".join(map(str, done.findings or ())))
            zone.findings = self.findings_before
            done = replace(done, findings=None)
        return replace(done, answers=self.failed)

    @property
    def failed(self) -> tuple[tuple[Asked, int], ...]:
        """The answers when its version can't be served: nothing was done."""
        failure = dns.rcode.SERVFAIL
        return tuple((asked, failure if rcode == dns.rcode.NOERROR else rcode) for asked, rcode in self.answers)


def begin(tx: sqlite3.Connection, work: Work, base: Version | None) -> Turn:
    """The turn of a zone that takes updates; `base` is what its source says, as far as that is known."""
    zone = work.zone
    assert zone.updating is not None
    try:
        laid, is_first = _overlaid(tx, work, base) if zone.updating.is_overlay else _own(tx, zone, base)
    except UpdateError as error:
        return Turn(work, None, findings=(finding(zone.file or str(zone.key), UNREADABLE, error.reason),))
    if not zone.updating.is_overlay:
        work = replace(work, content=None)
    if laid is None:
        reason = "the state has no content of it yet; `initial FILE` of `update` names a zone file for the first one"
        return Turn(work, None, findings=(finding(zone.file or str(zone.key), NO_CONTENT, reason),))
    turn = Turn(work, laid, is_first=is_first, findings=laid.findings, findings_before=zone.findings)
    return _updated(turn, zone.live) if work.updates else turn


def _overlaid(tx: sqlite3.Connection, work: Work, base: Version | None) -> tuple[Laid | None, bool]:
    """The source with the overlay over it, and whether that was never written to the state."""
    zone, before = work.zone, work.zone.laid
    assert zone.updating is not None
    if before is None or not before.updating.is_overlay:
        known = updatestore.load(tx, *zone.key, "overlay")
        own, is_first = stored(known.content or b"", known.changes), known.content is None
        source = base if base is None or work.content is not None else without(base, own)
    else:
        own, is_first = before.own, False
        source = base if work.content is not None else before.source
    if source is None:
        return None, is_first
    if before is not None and before.source is source and before.updating == zone.updating:
        return before, False
    return lay(zone.updating, source, own, zone.file), is_first


def _own(tx: sqlite3.Connection, zone: Zone, base: Version | None) -> tuple[Laid | None, bool]:
    """The content of a zone that is all UPDATE's, and whether it was never written to the state. Raises UpdateError."""
    assert zone.updating is not None
    if zone.laid is not None and not zone.laid.updating.is_overlay:
        return replace(zone.laid, updating=zone.updating), False
    known = updatestore.load(tx, *zone.key, "zone")
    if known.content is None:
        return whole(zone.updating, base) if base is not None else None, True
    version, findings = Version.build(read_zone(zone.key.origin, [("state", known.content)]))
    if version is None:
        reason = "; ".join(str(found.message) for found in findings[:3])
        raise UpdateError(dns.rcode.SERVFAIL, f"its content in the state can't be read: {reason}")
    changes = Changes(version)
    for gone, new in known.changes:
        replayed(changes, records_of(gone), records_of(new))
    return whole(zone.updating, version).after(changes), False


@dataclass(frozen=True, slots=True)
class _Served:
    """A content with what its signer has at the apex, which clients see and may ask for in prerequisites."""

    laid: Laid
    live: Live | None

    def rrset(self, owner: bytes, rtype: int) -> tuple[int, Sequence[bytes]] | None:
        """As a content."""
        if rtype in SIGNERS and self.live is not None:
            return self.live.signed.version.rrset(owner, rtype)
        return self.laid.rrset(owner, rtype)

    def rtypes(self, owner: bytes) -> Sequence[int] | None:
        """As a content."""
        return self.laid.rtypes(owner)


def _updated(turn: Turn, live: Live | None) -> Turn:
    """The turn with the updates that wait carried out."""
    laid = turn.laid
    assert laid is not None
    changes, answers = Changes(_Served(laid, live)), []
    count = len(laid.records) if laid.updating.is_overlay else laid.version.record_count
    for asked in turn.work.updates:
        serial = _serial(changes, laid.version.origin, live)
        try:
            later = _carried_out(asked, laid, changes, serial)
            changed = later.difference()
            count += len(changed.new) - len(changed.gone)
            if len(changed.new) > len(changed.gone) and count > laid.updating.most:
                count -= len(changed.new) - len(changed.gone)
                raise UpdateError(dns.rcode.REFUSED, f"there may be {laid.updating.most} records")
        except UpdateError as error:
            log.info("%s: update by %s: %s", turn.work.zone.key, asked.who, error)
            answers.append((asked, error.rcode))
            continue
        gone, new = len(changed.gone), len(changed.new)
        log.info("%s: update by %s: %d records gone, %d new", turn.work.zone.key, asked.who, gone, new)
        changes.take(later)
        answers.append((asked, dns.rcode.NOERROR))
    difference = changes.difference()
    if not difference:
        return replace(turn, answers=tuple(answers))
    try:
        laid = laid.after(changes)
    except EngineError as error:
        log.error("%s: updates can't be carried out: %s", turn.work.zone.key, error)  # noqa: TRY400 (what clients sent)
        return replace(turn, answers=replace(turn, answers=tuple(answers)).failed)
    work = replace(turn.work, resign=True)
    return replace(turn, work=work, laid=laid, difference=difference, answers=tuple(answers))


def _carried_out(asked: Asked, laid: Laid, changes: Changes, serial: int) -> Changes:
    may = laid.permitting(asked.may)
    prescan(asked.message, may)
    return apply(asked.message, changes, serial, may)


def _serial(changes: Changes, origin: bytes, live: Live | None) -> int:
    """What a new SOA has to be after: the serial that is served, or that of an update of the same batch."""
    _, (soa, *_) = changes.rrset(origin, SOA) or (0, [bytes(20)])
    own = serial_of(soa)
    return own if live is None or is_after(own, live.serial) else live.serial


def answers(works: Sequence[Work], outcomes: Sequence[Outcome]) -> list[tuple[Asked, int]]:
    """All answers of a batch; SERVFAIL for what nobody answered and nobody will."""
    known = {id(asked): (asked, rcode) for outcome in outcomes for asked, rcode in outcome.answers}
    waiting = {id(asked) for one in outcomes if one.draft is not None for asked in one.draft.work.updates}
    for work in works:
        for asked in work.updates:
            if id(asked) not in waiting:
                known.setdefault(id(asked), (asked, dns.rcode.SERVFAIL))
    return list(known.values())


def _kind(laid: Laid) -> updatestore.Kind:
    return "overlay" if laid.updating.is_overlay else "zone"
