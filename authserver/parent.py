"""Asking and telling the parents of signed zones that are not ours: by DNS, on a schedule, a bounded number at a time.

What is asked: the DS at every address of every server of the parent, which `keys.parent` judges. What is told, when it
is to have another DS: NOTIFY(CDS) to whom its DSYNC records name (RFC 9859), an UPDATE where it takes one, a command
that tells a registrar; and, last, a person by the log.

Limits: what a resolver says of the parent's name, servers and keys is believed when it sets AD; it is to be reached
over a path that nobody can write to. A server that can't be asked leaves everything as it is; the status names it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import dns.asyncquery
import dns.dnssec
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.tsig
import dns.update
import dns.zonefile

from authserver.sockets import NotifyTarget, notify
from engine import Clock, name_to_text
from keys import parent as judging
from keys.ds import ds_rdatas, with_ds
from keys.parent import Answer, ParentError
from keys.rollover import is_asking
from keys.states import Key, Sighting

if TYPE_CHECKING:
    from authserver.plugin import ParentRule, Push
    from authserver.publication import Zone, ZoneKey

log = logging.getLogger(__name__)

QUERY_S: Final = 5.0
AT_ONCE: Final = 32
MOST_SERVERS: Final = 32
HOOK_S: Final = 60.0
TELL_AGAIN_S: Final = 24 * 3600
SETTLED_POLLS: Final = 24
"""A parent of whom nothing is asked is looked at that much less often."""

Server = tuple[str, int]
OnSeen = Callable[["Zone", Mapping[str, Sighting]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ParentStatus:
    """What the last look at a zone's parent gave; `trouble` is by server, or of the whole under an empty name."""

    looked_at: int
    parent: str = ""
    servers: tuple[Server, ...] = ()
    is_validated: bool = False
    present: tuple[bytes, ...] = ()
    """The DS rdatas that some server has."""
    foreign: tuple[bytes, ...] = ()
    """Those of no key of the zone."""
    trouble: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class _Watched:
    """What is remembered of a zone between looks."""

    status: ParentStatus | None = None
    next_at: int = 0
    wanted: tuple[bytes, ...] | None = None
    told_at: int = 0


@dataclass(frozen=True, slots=True)
class _Parent:
    """A parent as it was found: its name, its servers, and its keys, None where it has none."""

    name: dns.name.Name
    servers: tuple[Server, ...]
    keys: dns.rrset.RRset | None


@dataclass(slots=True)
class ParentWatcher:
    """Looks at the parents of those zones that a rule covers."""

    clock: Clock
    zones: Callable[[], Mapping[ZoneKey, Zone]]
    rule_of: Callable[[Zone], ParentRule | None]
    on_seen: OnSeen
    _watched: dict[ZoneKey, _Watched] = field(default_factory=dict)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    def status(self, key: ZoneKey) -> ParentStatus | None:
        """What the last look at a zone's parent gave."""
        watched = self._watched.get(key)
        return watched.status if watched is not None else None

    def look_soon(self, key: ZoneKey) -> None:
        """Its keys have moved, or somebody asks: look at its parent as soon as that can be."""
        self._watched.setdefault(key, _Watched()).next_at = 0
        self._wake.set()

    async def run(self) -> None:
        """Look at what is due, for ever."""
        while True:
            self._wake.clear()
            due, next_at = self._due(self.clock.now())
            slots = asyncio.Semaphore(AT_ONCE)
            await asyncio.gather(*(self._look_within(slots, zone, rule) for zone, rule in due))
            pause = 1.0 if due else min(60.0, max(1.0, next_at - self.clock.now()))
            try:
                await asyncio.wait_for(self._wake.wait(), pause)
            except TimeoutError:
                continue

    def _due(self, now: int) -> tuple[list[tuple[Zone, ParentRule]], int]:
        due, next_at = [], now + 60
        zones = self.zones()
        for key in [key for key in self._watched if key not in zones]:
            del self._watched[key]
        for key, zone in list(zones.items()):
            if zone.live is None or not zone.keys or (rule := self.rule_of(zone)) is None:
                continue
            watched = self._watched.setdefault(key, _Watched())
            if watched.next_at <= now:
                due.append((zone, rule))
            next_at = min(next_at, watched.next_at)
        return due, next_at

    async def _look_within(self, slots: asyncio.Semaphore, zone: Zone, rule: ParentRule) -> None:
        async with slots:
            try:
                await self.look(zone, rule)
            except (OSError, dns.exception.DNSException, ParentError, ValueError) as error:
                self._note(zone, rule, ParentStatus(self.clock.now(), trouble=(("", str(error) or repr(error)),)))

    async def look(self, zone: Zone, rule: ParentRule) -> None:
        """Look at the parent of one zone now, and tell it what it does not have yet."""
        child = dns.name.from_wire(zone.key.origin, 0)[0]
        parent = await self._find(child, rule)
        asked = await asyncio.gather(*(self._ask(server, child, parent.keys) for server in parent.servers))
        answers = [answer for answer in asked if isinstance(answer, Answer)]
        trouble = [
            (_shown(server), answer)
            for server, answer in zip(parent.servers, asked, strict=True)
            if isinstance(answer, str)
        ]
        keys = zone.known_keys
        now = self.clock.now()
        self._note(
            zone,
            rule,
            ParentStatus(
                now,
                parent.name.to_text(),
                parent.servers,
                parent.keys is not None,
                tuple(sorted({rdata for answer in answers for rdata in answer.rdatas})),
                tuple(judging.foreign(keys, answers)),
                tuple(trouble),
            ),
        )
        if answers and not trouble:
            await self.on_seen(zone, judging.sightings(keys, answers, now))
        await self._tell(zone, rule, parent, answers)

    def _note(self, zone: Zone, rule: ParentRule, status: ParentStatus) -> None:
        watched = self._watched.setdefault(zone.key, _Watched())
        before = watched.status.trouble if watched.status is not None else ()
        if status.trouble and status.trouble != before:
            for server, reason in status.trouble:
                log.warning("%s: the DS at the parent can't be told: %s%s", zone.key, server and f"{server}: ", reason)
        watched.status = status
        polls = 1 if status.trouble or is_asking(zone.known_keys) or status.foreign else SETTLED_POLLS
        spread = random.SystemRandom().uniform(0.9, 1.0)
        watched.next_at = self.clock.now() + int(rule.poll * polls * spread)

    # ---------------------------------------------------------------- finding

    async def _find(self, child: dns.name.Name, rule: ParentRule) -> _Parent:
        anchor = await asyncio.to_thread(_anchors, rule.anchor) if rule.anchor is not None else None
        if not rule.resolvers:
            name = anchor.name if anchor is not None else child.parent()
            return _Parent(name, rule.servers, await self._trusted(rule.servers, name, anchor))
        name, hosts = await self._delegating(child, rule.resolvers)
        servers = rule.servers or await self._addresses(hosts, rule.resolvers)
        if anchor is not None:
            return _Parent(name, servers, await self._trusted(servers, name, anchor))
        response = await _resolve(rule.resolvers, name, dns.rdatatype.DNSKEY)
        keys = response.get_rrset(response.answer, name, dns.rdataclass.IN, dns.rdatatype.DNSKEY)
        return _Parent(name, servers, keys if response.flags & dns.flags.AD else None)

    @staticmethod
    async def _delegating(
        child: dns.name.Name, resolvers: Sequence[Server]
    ) -> tuple[dns.name.Name, list[dns.name.Name]]:
        """The nearest name above that has name servers, and those."""
        name = child
        while name != dns.name.root:
            name = name.parent()
            response = await _resolve(resolvers, name, dns.rdatatype.NS)
            found = response.get_rrset(response.answer, name, dns.rdataclass.IN, dns.rdatatype.NS)
            if found is not None:
                return name, [rdata.target for rdata in found]
        raise ParentError("no name above it has name servers")

    @staticmethod
    async def _addresses(hosts: Iterable[dns.name.Name], resolvers: Sequence[Server]) -> tuple[Server, ...]:
        servers: list[Server] = []
        for host in hosts:
            for rtype in (dns.rdatatype.A, dns.rdatatype.AAAA):
                response = await _resolve(resolvers, host, rtype)
                servers += [
                    (rdata.address, 53) for rrset in response.answer if rrset.rdtype == rtype for rdata in rrset
                ]
        if not servers:
            raise ParentError("no server of the parent has an address")
        return tuple(dict.fromkeys(servers))[:MOST_SERVERS]

    async def _trusted(
        self, servers: Sequence[Server], name: dns.name.Name, anchor: dns.rrset.RRset | None
    ) -> dns.rrset.RRset | None:
        """The parent's DNSKEY RRset, signed by a key that the anchor names; None where there is no anchor."""
        if anchor is None:
            return None
        response = await _ask_any(servers, dns.message.make_query(name, dns.rdatatype.DNSKEY, want_dnssec=True))
        keys = response.get_rrset(response.answer, name, dns.rdataclass.IN, dns.rdatatype.DNSKEY)
        if keys is None:
            raise ParentError(f"{name} has no DNSKEY, and an anchor is configured")
        signatures = response.get_rrset(
            response.answer, name, dns.rdataclass.IN, dns.rdatatype.RRSIG, dns.rdatatype.DNSKEY
        )
        good = [key for key in keys if _is_anchored(name, key, anchor)]
        if signatures is None or not good:
            raise ParentError(f"no DNSKEY of {name} is that of the anchor")
        try:
            dns.dnssec.validate(
                keys, signatures, {name: dns.rrset.from_rdata_list(name, keys.ttl, good)}, now=self.clock.now()
            )
        except dns.exception.DNSException as error:
            raise ParentError(f"the DNSKEY RRset of {name} does not validate: {error}") from error
        return keys

    async def _ask(self, server: Server, child: dns.name.Name, trusted: dns.rrset.RRset | None) -> Answer | str:
        query = dns.message.make_query(child, dns.rdatatype.DS, want_dnssec=True, payload=1232)
        query.flags &= ~dns.flags.RD
        try:
            # By TCP: what is believed for want of signatures is at least no forged datagram.
            response = await dns.asyncquery.tcp(query, server[0], QUERY_S, server[1])
            return judging.judge(response, child, trusted, self.clock.now())
        except ParentError as error:
            return error.reason
        except (OSError, EOFError, dns.exception.DNSException, ValueError) as error:
            return str(error) or type(error).__name__

    # ---------------------------------------------------------------- telling

    async def _tell(self, zone: Zone, rule: ParentRule, parent: _Parent, answers: Sequence[Answer]) -> None:
        """Tell the parent what it is to have, once for each change and once a day while it has it not."""
        live = zone.live
        if live is None or live.policy is None or zone.sealed is not live:
            return
        watched = self._watched.setdefault(zone.key, _Watched())
        digests = live.policy.digests
        anchors = with_ds(live.keys, zone.foreign)
        wanted = tuple(sorted(ds_rdatas(anchors, digests)))
        leaves = live.policy.is_insecure
        now = self.clock.now()
        if wanted == watched.wanted and now < watched.told_at + TELL_AGAIN_S:
            return
        has_it = (
            all(_has_all(answer, anchors, (*live.keys, *zone.foreign)) for answer in answers) if answers else not wanted
        )
        if has_it or not (wanted or leaves):
            watched.wanted = wanted
            return
        watched.wanted, watched.told_at = wanted, now
        records = [_ds_text(rdata) for rdata in wanted]
        what = f"exactly these DS records: {'; '.join(records)}" if records else "no DS any more"
        log.warning("%s: the parent %s is to have %s", zone.key, parent.name, what)
        child = dns.name.from_wire(zone.key.origin, 0)[0]
        deeds = (
            self._notify(child, rule, parent),
            _push(child, rule.push, parent, wanted),
            _run_hook(zone, rule, parent, records),
        )
        for deed in deeds:
            try:
                await deed
            except (OSError, EOFError, dns.exception.DNSException, ParentError, ValueError) as error:
                log.warning("%s: telling the parent failed: %s", zone.key, str(error) or repr(error))

    async def _notify(self, child: dns.name.Name, rule: ParentRule, parent: _Parent) -> None:
        """NOTIFY(CDS) to the target of the parent's DSYNC record (RFC 9859 section 4)."""
        targets = list(rule.notified)
        if rule.resolvers:
            targets += await self._dsync_targets(child, rule.resolvers, parent.name)
        for address, port in dict.fromkeys(targets):
            message = dns.message.make_query(child, dns.rdatatype.CDS)
            message.set_opcode(dns.opcode.NOTIFY)
            message.flags = (message.flags | dns.flags.AA) & ~dns.flags.RD
            number = message.id

            def is_answer(octets: bytes, number: int = number) -> bool:
                return octets[:2] == number.to_bytes(2, "big") and len(octets) > 2 and octets[2] & 0xF8 == 0xA0

            told = await notify(NotifyTarget(address, port), message.to_wire(), is_answer)
            log.info("%s: NOTIFY(CDS) %s by %s", child, "taken" if told else "not answered", _shown((address, port)))

    @staticmethod
    async def _dsync_targets(child: dns.name.Name, resolvers: Sequence[Server], parent: dns.name.Name) -> list[Server]:
        prefix = child.relativize(parent)
        for owner in (prefix + dns.name.Name(("_dsync",)) + parent, dns.name.Name(("_dsync",)) + parent):
            response = await _resolve(resolvers, owner, dns.rdatatype.DSYNC)
            # Section 4.1: what is not validated names nobody.
            found = [rrset for rrset in response.answer if rrset.rdtype == dns.rdatatype.DSYNC]
            if not found or not response.flags & dns.flags.AD:
                continue
            targets: list[Server] = []
            for rdata in (rdata for rrset in found for rdata in rrset):
                if rdata.rrtype == dns.rdatatype.CDS and int(rdata.scheme) == 1:
                    addresses = await ParentWatcher._addresses([rdata.target], resolvers)
                    targets += [(address, rdata.port) for address, _ in addresses]
            return targets
        return []


# -------------------------------------------------------------------- by DNS


async def _resolve(
    resolvers: Sequence[Server], name: dns.name.Name, rtype: dns.rdatatype.RdataType
) -> dns.message.Message:
    query = dns.message.make_query(name, rtype, want_dnssec=True, payload=1232)
    query.flags |= dns.flags.AD
    response = await _ask_any(resolvers, query)
    if response.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        raise ParentError(f"the resolver answers {dns.rcode.to_text(response.rcode())} to {name}")
    return response


async def _ask_any(servers: Sequence[Server], query: dns.message.Message) -> dns.message.Message:
    """The first answer of these servers, one after another."""
    failure: Exception = ParentError("no server to ask")
    for address, port in servers:
        try:
            response, _ = await dns.asyncquery.udp_with_fallback(query, address, QUERY_S, port)
        except (OSError, EOFError, dns.exception.DNSException) as error:
            failure = error
        else:
            return response
    raise ParentError(
        f"{_shown(servers[-1]) if servers else 'nobody'} does not answer: {str(failure) or repr(failure)}"
    )


async def _push(child: dns.name.Name, push: Push | None, parent: _Parent, wanted: Sequence[bytes]) -> None:
    """Put the DS RRset in the place of the parent's (RFC 2136 section 2.5)."""
    if push is None:
        return
    keyring = None
    if push.key is not None:
        name = dns.name.from_text(push.key.name)
        keyring = {name: dns.tsig.Key(name, push.key.secret, push.key.algorithm)}
    update = dns.update.UpdateMessage(parent.name, keyring=keyring)
    update.delete(child, dns.rdatatype.DS)
    for rdata in wanted:
        update.add(child, 3600, dns.rdata.from_wire(dns.rdataclass.IN, dns.rdatatype.DS, rdata, 0, len(rdata)))
    response = await dns.asyncquery.tcp(update, push.address, QUERY_S, push.port)
    code = response.rcode()
    if code != dns.rcode.NOERROR:
        raise ParentError(f"UPDATE of {parent.name} is answered {dns.rcode.to_text(code)}")
    log.info("%s: its DS is pushed to %s", child, _shown((push.address, push.port)))


# -------------------------------------------------------------------- by a command


async def _run_hook(zone: Zone, rule: ParentRule, parent: _Parent, records: Sequence[str]) -> None:
    if not rule.hook:
        return
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "ZONEWRIGHT_ZONE": name_to_text(zone.key.origin),
        "ZONEWRIGHT_PARENT": parent.name.to_text(),
        "ZONEWRIGHT_DS": "\n".join(records),
    }
    process = await asyncio.create_subprocess_exec(
        *rule.hook,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )
    try:
        _, said = await asyncio.wait_for(process.communicate(), HOOK_S)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise ParentError(f"{rule.hook[0]} was ended after {HOOK_S:g} s") from None
    if process.returncode:
        reason = said.decode(errors="replace").strip()[-500:]
        raise ParentError(f"{rule.hook[0]} ended with {process.returncode}: {reason}")
    log.info("%s: %s has told of its DS", zone.key, rule.hook[0])


# -------------------------------------------------------------------- small


def _anchors(file: Path) -> dns.rrset.RRset:
    """The DNSKEY or DS records of an anchor file, of one name. Raises ParentError."""
    try:
        rrsets = dns.zonefile.read_rrsets(file.read_text(), rdclass=None, default_ttl=3600)
    except (OSError, UnicodeDecodeError, dns.exception.DNSException) as error:
        raise ParentError(f"anchor {file}: {error}") from error
    found = [one for one in rrsets if one.rdtype in (dns.rdatatype.DNSKEY, dns.rdatatype.DS)]
    if len(found) != 1:
        raise ParentError(f"anchor {file}: has not one RRset of DNSKEY or DS, but {len(found)}")
    return found[0]


def _is_anchored(name: dns.name.Name, key: dns.rdata.Rdata, anchor: dns.rrset.RRset) -> bool:
    if anchor.rdtype == dns.rdatatype.DNSKEY:
        return key in anchor
    return any(ds.digest_type in (2, 4) and dns.dnssec.make_ds(name, key, ds.digest_type) == ds for ds in anchor)


def _has_all(answer: Answer, wanted: Sequence[Key], known: Sequence[Key]) -> bool:
    """Whether a server has a DS of each key that is wanted, by some digest, and none of another key of the zone."""
    ids = {key.id for key in wanted}
    has = {key.id: any(judging.is_ds_of(key, rdata) for rdata in answer.rdatas) for key in known}
    return all(has[key.id] == (key.id in ids) for key in known) and bool(wanted or not answer.rdatas)


def _ds_text(rdata: bytes) -> str:
    tag = int.from_bytes(rdata[:2], "big")
    return f"{tag} {rdata[2]} {rdata[3]} {rdata[4:].hex().upper()}"


def _shown(server: Server) -> str:
    return f"[{server[0]}]:{server[1]}" if ":" in server[0] else f"{server[0]}:{server[1]}"
