#!/usr/bin/env python3
"""Our answers beside those of BIND, NSD and Knot DNS for the same odd zones: what differs, and which rule accepts it.

Zones come from odd_zone.py, one after another from a first seed, unsigned and then signed with each way of denial
(the peers serve what we sealed). Response code, AA, TC and all sections are compared; a difference is accepted only
by a rule of accepted.py, which docs/differences.md explains. What does not fit into a datagram is asked again by TCP.
The exit status is 1 when a difference is not accepted.

    tools/differential.py 10000 --seed 1
"""

import argparse
import collections
import contextlib
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rrset

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from engine import (
    Block,
    Clock,
    Declined,
    Responder,
    SignedVersion,
    SigningKey,
    SigningPlan,
    Version,
    ZoneSlot,
    name_from_text,
    name_to_text,
    rdata_from_text,
    read_zone,
    rrtype_from_text,
)
from keys import private
from keys.policy import Denial
from signer.denial import NSEC3PARAM, nsec3param_rdatas, to_engine
from tools import odd_zone
from tools.accepted import Case, unexplained
from tools.asking import Asking, Question
from tools.facts import CNAME, DNSKEY, DS, RRSIG, Facts, parent, read
from tools.hashed_proofs import HashedValidator
from tools.proofs import BogusError, Validator
from tools.servers import Knot, Named, Nsd, Peer, Zone

PEERS: tuple[type[Peer], ...] = (Named, Nsd, Knot)
DENIALS: dict[str, Denial | None] = {
    "unsigned": None,
    "nsec": Denial(),
    "nsec3": Denial("nsec3"),
    "opt-out": Denial("nsec3", opt_out=True),
    "salted": Denial("nsec3", iterations=3, salt=b"\xaa\xbb"),
}
"""How a zone is served, by name."""
OPTIONS: dict[type[Peer], dict[str, str]] = {
    # The negative TTL of RFC 2308 for SOA questions too.
    Named: {"more": "zero-no-soa-ttl no; check-integrity no;"},
}
"""What a peer is told beside its zones."""
CLIENT = ("192.0.2.99", 4242)
FLIGHT = 64
"""Questions under way to a peer at a time."""
QUESTIONS_A_ZONE = 400
ZONES_A_RUN = 50
TIGHT = 250
"""Octets less than which an address and its signature may not fit into."""
FOLDING = {"nsd", "knotd"}
"""Peers that keep no case of names in rdata."""
Verdict = tuple[Case, set[str], list[str]]
"""A difference, what of it no rule explains, and the rules that explain the rest."""
GENERIC = {"HIP", "MB", "MG", "MR", "PX", "X25"}
"""Types that a peer knows only as TYPEnnn (RFC 3597)."""


class Ours:
    """Our engine with some zones, asked as by a client."""

    def __init__(self, zones: dict[bytes, Version], denial: Denial | None) -> None:
        self.responder = Responder(Clock())
        self.texts: dict[bytes, bytes] = {}
        self.validators: dict[bytes, Validator] = {}
        self.judged: dict[bytes, bool] = {}
        self.versions = zones
        slots = []
        key = SigningKey(*private.generate(13, 257))
        for origin, version in zones.items():
            signed = sealed(version, key, denial) if denial is not None else SignedVersion(version)
            slot = ZoneSlot(version.origin)
            slot.publish(signed)
            slots.append((version.origin, slot))
            self.texts[origin] = signed.to_text()
            if denial is not None:
                judge = HashedValidator if denial.kind == "nsec3" else Validator
                self.validators[origin] = judge(name_to_text(origin), dnskeys(origin, key), Clock().now())
        for origin, validator in self.validators.items():
            others = {dns.name.from_wire(other, 0)[0] for other in self.validators if other != origin}
            validator.children = {other for other in others if other.is_subdomain(validator.origin)}
        self.responder.route([Block(1, [0], [origin for origin, _ in slots], slots)])

    def ask(self, octets: bytes, transport: str) -> bytes:
        """The response to a query."""
        response = self.responder.answer(0, octets, CLIENT, "tcp" if transport == "tcp" else "udp")
        if response is None or isinstance(response, Declined):
            raise ValueError(f"no answer of ours to {octets.hex()}")
        return response

    def zone_of(self, qname: bytes, qtype: int) -> bytes | None:
        """The apex of the zone that answers, None for none."""
        at = parent(qname) if qtype == DS and qname in self.texts and len(qname) > 1 else qname
        while at not in self.texts and len(at) > 1:
            at = parent(at)
        if at in self.texts:
            return at
        return qname if qname in self.texts else None

    def holds(self, origin: bytes, name: bytes, rtype: int) -> bool:
        """Whether a zone has records of a type under a name."""
        return origin in self.versions and self.versions[origin].rrset(name, rtype) is not None

    def proves(self, response: bytes) -> bool:
        """Whether a validator accepts a response, of an answer that leads through several zones each zone's part."""
        if response not in self.judged:
            try:
                self.judged[response] = self._judge(response)
            except (BogusError, dns.exception.DNSException):
                self.judged[response] = False
        return self.judged[response]

    def _judge(self, response: bytes) -> bool:
        message = dns.message.from_wire(response)
        question = message.question[0]
        name: dns.name.Name | None = question.name
        last = self._zone(end_of_aliases(message, question.name), question.rdtype)
        while name is not None:
            zone = self._zone(name, question.rdtype)
            if zone not in self.validators:
                return name != question.name
            is_whole = zone == last and name == question.name
            part = message if is_whole else self._part(message, zone, name, is_last=zone == last)
            if self.validators[zone].judge_message(part) != "elsewhere":
                return True
            name = self._left(message, zone, name)
        return True

    def _part(
        self, message: dns.message.Message, zone: bytes, name: dns.name.Name, *, is_last: bool
    ) -> dns.message.Message:
        """What a response says of one zone, as a response to a question for a name in it."""
        part = dns.message.Message(message.id)
        part.flags = message.flags
        part.set_rcode(message.rcode() if is_last else dns.rcode.NOERROR)
        part.question = [dns.rrset.RRset(name, message.question[0].rdclass, message.question[0].rdtype)]
        signers = {
            (rrset.name, rrset.covers): rrset[0].signer
            for section in (message.answer, message.authority)
            for rrset in section
            if rrset.rdtype == RRSIG
        }

        def is_of_zone(rrset: dns.rrset.RRset) -> bool:
            """At a cut the two sides are told apart by who signed."""
            signer = signers.get((rrset.name, rrset.covers or rrset.rdtype))
            return zone == (signer.to_wire().lower() if signer is not None else self._zone(rrset.name, 1))

        part.answer = list(filter(is_of_zone, message.answer))
        part.authority = list(filter(is_of_zone, message.authority))
        return part

    def _left(self, message: dns.message.Message, zone: bytes, name: dns.name.Name) -> dns.name.Name | None:
        """The first name outside a zone that aliases lead to from a name in it; None where they end before."""
        for following in aliases(message, name):
            if self._zone(following, 1) != zone:
                return following
        return None

    def _zone(self, name: dns.name.Name, qtype: int) -> bytes:
        return self.zone_of(name.to_wire().lower(), qtype) or b""


def aliases(message: dns.message.Message, name: dns.name.Name) -> Iterator[dns.name.Name]:
    """The names that the aliases of an answer lead to, one after another, each once."""
    found = {rrset.name: rrset[0].target for rrset in message.answer if rrset.rdtype == CNAME}
    while name in found:
        name = found.pop(name)
        yield name


def end_of_aliases(message: dns.message.Message, name: dns.name.Name) -> dns.name.Name:
    """The last of them, or the name itself."""
    return [name, *aliases(message, name)][-1]


def dnskeys(origin: bytes, key: SigningKey) -> dns.rrset.RRset:
    """The DNSKEY RRset of a zone with one key."""
    rdata = dns.rdata.from_wire("IN", "DNSKEY", key.dnskey, 0, len(key.dnskey))
    return dns.rrset.from_rdata(name_to_text(origin), 3600, rdata)


def sealed(version: Version, key: SigningKey, denial: Denial) -> SignedVersion:
    """The version signed by the key, with its DNSKEY, sealed."""
    now = Clock().now()
    apex = [
        (version.origin, DNSKEY, 3600, [key.dnskey]),
        (version.origin, NSEC3PARAM, 0, nsec3param_rdatas(denial)),
    ]
    plan = SigningPlan([(key, True, True)], inception=now - 3600, expiration=now + 86400, denial=to_engine(denial))
    signed = SignedVersion(version.edited(apex), plan)
    if findings := signed.check(now):
        raise ValueError(findings)
    while not signed.make(1_000_000):
        pass
    while not signed.verify(1_000_000, now):
        pass
    signed.seal()
    return signed


def zones_of(seeds: range, longest: int) -> dict[str, list[odd_zone.Record]]:
    """A zone of each seed under an origin of its own, so that one server has many; no data below DNAMEs.

    Some have a child beside them, at a delegation; some aliases lead from one zone to the next.
    """
    found = {}
    for seed in seeds:
        origin = f"z{seed}.{odd_zone.ORIGIN}"
        following = f"z{seed + 1}.{odd_zone.ORIGIN}"
        elsewhere = (following, f"a.{following}", f"q.a.{following}") if seed % 3 == 0 else ()
        zone = odd_zone.records(seed, below_dname=False, origin=origin, longest=longest, elsewhere=elsewhere)
        found[origin] = zone
        if seed % 4 == 0 and (child := odd_zone.child_of(zone, origin)):
            below = odd_zone.records(
                seed, size=12, below_dname=False, origin=child, longest=longest, elsewhere=elsewhere
            )
            found[origin], found[child] = odd_zone.apart(zone, below, child)
    return found


def wire(origin: str) -> bytes:
    """The wire form that zones are known by, in lower case."""
    return name_from_text(origin).lower()


def version_of(origin: str, text: str) -> Version:
    """A version of a zone's text. Raises ValueError where it is held."""
    records = read_zone(name_from_text(origin), [(origin, text.encode())])
    version, findings = Version.build(records)
    if version is None:
        raise ValueError([*records.diagnostics, *findings])
    return version


def for_peers(text: str) -> str:
    """A zone with the types that not all peers know in the form of RFC 3597 section 5."""
    return "".join(_generic(line) for line in text.splitlines(keepends=True))


def _generic(line: str) -> str:
    owner, ttl, qclass, rtype, rdata = line.rstrip("\n").split(None, 4)
    if rtype in {"NSEC", "NSEC3", "RRSIG"}:
        rdata = " ".join(f"TYPE{rrtype_from_text(word)}" if word in GENERIC else word for word in rdata.split())
    elif rtype in GENERIC:
        number = rrtype_from_text(rtype)
        octets = rdata_from_text(number, rdata, b"\0")
        rtype, rdata = f"TYPE{number}", f"\\# {len(octets)} {octets.hex()}"
    return f"{owner} {ttl} {qclass} {rtype} {rdata}\n"


@dataclass
class Comparison:
    """Our engine and the peers, all with the same zones."""

    ours: Ours
    peers: list[Asking]
    read: dict[tuple[bytes, bool], Facts]
    verdicts: dict[tuple[bytes, bytes, str], Verdict | None]
    number: int = 0

    def ask(self, questions: Sequence[Question]) -> Iterator[Verdict]:
        """Each difference, with what is left of it and the rules that explained the rest."""
        first, self.number = self.number, (self.number + len(questions)) % 60000
        queries = [question.to_wire(first + index) for index, question in enumerate(questions)]
        for peer in self.peers:
            peer.send(queries)
        mine = [self.ours.ask(query, "udp") for query in queries]
        for peer in self.peers:
            for question, query, own, theirs in zip(questions, queries, mine, peer.receive(queries), strict=True):
                is_size_right = partial(self._is_size_right, peer, question, query, own)
                found = self.verdict(question, own, theirs, peer.peer.name, is_size_right)
                if found is not None:
                    yield found

    def _is_size_right(self, peer: Asking, question: Question, query: bytes, own: bytes) -> bool:
        """Whether our TC is as it must be, and by TCP nothing unexplained differs."""
        answers = self.ours.ask(query, "tcp"), peer.by_tcp(query)
        whole = self.verdict(question, *answers, peer.peer.name, lambda: False)
        is_right = len(answers[0]) > question.room if own[2] & 2 else len(own) <= question.room
        return is_right and (whole is None or not whole[1])

    def verdict(
        self, question: Question, own: bytes, theirs: bytes, peer: str, is_size_right: Callable[[], bool]
    ) -> Verdict | None:
        """The case of two answers that differ, None for two that do not."""
        key = (own[2:], theirs[2:], peer)
        if key not in self.verdicts:
            if len(self.verdicts) > 100_000:
                self.verdicts.clear()
            self.verdicts[key] = self._judge(question, own, theirs, peer, is_size_right)
        return self.verdicts[key]

    def _judge(
        self, question: Question, own: bytes, theirs: bytes, peer: str, is_size_right: Callable[[], bool]
    ) -> Verdict | None:
        facts = [self.facts(response, folded=peer in FOLDING) for response in (own, theirs)]
        if facts[0] == facts[1] and not facts[0].doubled:
            return None
        qname = question.qname.lower()
        origin = self.ours.zone_of(qname, question.qtype) or b"\0"
        octets = {"ours": b"\0\0" + own[2:], "theirs": b"\0\0" + theirs[2:]}

        def proves(side: str) -> bool:
            return self.ours.proves(octets[side])

        is_tight = max(len(own), len(theirs)) > question.room - TIGHT
        case = Case(
            origin, qname, question.qtype, peer, *facts, question.size, is_tight, proves,
            lambda name, rtype: self.ours.holds(origin, name, rtype),
            lambda name: self.ours.zone_of(name, question.qtype), is_size_right,
        )  # fmt: skip
        left, used = unexplained(case)
        return case, left | ({"doubled"} if facts[0].doubled else set()), used

    def facts(self, response: bytes, *, folded: bool) -> Facts:
        """What a response says."""
        key = response[2:], folded
        if key not in self.read:
            if len(self.read) > 100_000:
                self.read.clear()
            self.read[key] = read(response, folded=folded)
        return self.read[key]


def questions_of(
    zones: dict[str, list[odd_zone.Record]], hashes: dict[str, list[str]], count: int, seed: int
) -> Iterator[Question]:
    """`count` questions about each zone; `hashes` are owners of NSEC3 records, which are names that do not exist."""
    dice = random.Random(seed)
    for origin, records in zones.items():
        for asked, qtype in odd_zone.questions(records, count, seed, origin):
            is_hash = hashes[origin] and dice.random() < 0.02
            qname = dice.choice(("", "", "q.", "*.")) + dice.choice(hashes[origin]) if is_hash else asked
            size = dice.choices((1232, 4096, 512, 0), (70, 15, 10, 5))[0]
            yield Question(name_from_text(qname), rrtype_from_text(qtype), size, size > 0 and dice.random() < 0.8)


def hashed(text: str) -> list[str]:
    """The owners of the NSEC3 records of a dump."""
    return [line.split(None, 1)[0] for line in text.splitlines() if line.split(None, 4)[3] == "NSEC3"]


def compare(
    seeds: range, count: int, directory: Path, *, how: str, peers: tuple[type[Peer], ...] = PEERS
) -> Iterator[Verdict]:
    """Every difference, with zones served as one of DENIALS and `count` questions about each."""
    denial = DENIALS[how]
    # NSD stops where a wildcard below a name would be too long to be hashed.
    longest = 255 if denial is None or denial.kind != "nsec3" else 253
    zones = zones_of(seeds, longest)
    texts = {origin: odd_zone.text(records) for origin, records in zones.items()}
    ours = Ours({wire(origin): version_of(origin, text) for origin, text in texts.items()}, denial)
    directory.mkdir(parents=True, exist_ok=True)
    served, hashes = [], {}
    for origin, text in texts.items():
        dumped = ours.texts[wire(origin)].decode()
        hashes[origin] = hashed(dumped)
        # Unsigned, the peers read what we read.
        path = directory / f"{origin}zone"
        path.write_text(for_peers(text if denial is None else dumped))
        served.append(Zone(origin, path))
    with contextlib.ExitStack() as stack:
        asking = [
            Asking(
                stack.enter_context(kind(directory=directory / kind.__name__, zones=served, **OPTIONS.get(kind, {})))
            )
            for kind in peers
        ]
        for one in asking:
            one.need_zones([name_from_text(origin) for origin in zones])
        comparison = Comparison(ours, asking, {}, {})
        questions = questions_of(zones, hashes, count, seeds.start)
        while flight := list(islice(questions, FLIGHT)):
            yield from comparison.ask(flight)


def main() -> int:
    """Compare, and show what no rule accepts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("questions", type=int, help="how many in all; each is asked of us and of all three peers")
    parser.add_argument("--seed", type=int, default=1, help="of the first zone")
    parser.add_argument("--how", nargs="+", choices=list(DENIALS), default=list(DENIALS), help="how zones are served")
    parser.add_argument("--show", type=int, default=20, help="how many of the differences no rule accepts")
    arguments = parser.parse_args()
    accepted: collections.Counter[str] = collections.Counter()
    refused: list[Case] = []
    started = time.monotonic()
    asked, seed = 0, arguments.seed
    with tempfile.TemporaryDirectory() as directory:
        while asked < arguments.questions:
            for how in arguments.how:
                zones = min(ZONES_A_RUN, -(-(arguments.questions - asked) // QUESTIONS_A_ZONE))
                if zones <= 0:
                    break
                seeds = range(seed, seed + zones)
                for case, left, used in compare(seeds, QUESTIONS_A_ZONE, Path(directory) / f"{seed}", how=how):
                    accepted.update(f"{case.peer}: {name}" for name in used)
                    if left:
                        refused.append(case)
                        print(f"{how}: {case}" if len(refused) <= arguments.show else "and another one", flush=True)
                asked, seed = asked + zones * QUESTIONS_A_ZONE, seed + zones
                print(
                    f"{asked} questions, {len(refused)} differ by no rule, {time.monotonic() - started:.0f} s",
                    flush=True,
                )
    for name, number in accepted.most_common():
        print(f"{number:8}  {name}")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
