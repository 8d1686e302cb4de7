#!/usr/bin/env python3
"""Our answers beside those of NSD and Knot DNS for the same odd zones: what differs, and which rule accepts it.

Zones come from odd_zone.py, one after another from a first seed, unsigned and then signed with each way of denial
(the peers serve what we sealed). Response code, AA, TC and all sections are compared; a difference is accepted only
by a rule of RULES, which docs/differences.md explains. The exit status is 1 when one is not accepted.

    tools/differential.py --zones 20 --questions 300 --seed 1
"""

import argparse
import collections
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdatatype
import dns.rrset

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from engine import (
    Clock,
    Responder,
    SignedVersion,
    SigningKey,
    SigningPlan,
    Version,
    ZoneSlot,
    name_from_text,
    read_zone,
)
from keys import private
from keys.policy import Denial
from signer.denial import NSEC3PARAM, nsec3param_rdatas, to_engine
from tools import odd_zone
from tools.hashed_proofs import HashedValidator
from tools.proofs import BogusError, Validator
from tools.servers import Knot, Nsd, Peer, Zone

PEERS: tuple[type[Peer], ...] = (Nsd, Knot)
DNSKEY = 48
DENIALS: dict[str, Denial | None] = {
    "unsigned": None,
    "nsec": Denial(),
    "nsec3": Denial("nsec3"),
    "opt-out": Denial("nsec3", opt_out=True),
    "salted": Denial("nsec3", iterations=3, salt=b"\xaa\xbb"),
}
"""How a zone is served, by name."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is compared of one response."""

    rcode: str
    aa: bool
    tc: bool
    answer: frozenset[str]
    authority: frozenset[str]
    additional: frozenset[str]

    @classmethod
    def of(cls, response: dns.message.Message) -> "Facts":
        """The facts of a response, names in lower case: servers may spell them as the question did."""
        return cls(
            rcode=dns.rcode.to_text(response.rcode()),
            aa=bool(response.flags & dns.flags.AA),
            tc=bool(response.flags & dns.flags.TC),
            answer=lines(response.answer),
            authority=lines(response.authority),
            additional=lines(response.additional),
        )

    def types(self, section: str) -> set[str]:
        """Types in a section, RRSIGs left out."""
        return {line.split()[2] for line in getattr(self, section)} - {"RRSIG"}


@dataclass(frozen=True, slots=True)
class Case:
    """One question with two answers."""

    origin: str
    qname: str
    qtype: str
    peer: str
    ours: Facts
    theirs: Facts
    is_proven: bool = False
    is_proven_by_them: bool = False

    def differing(self) -> set[str]:
        """The names of the facts that differ."""
        return {name for name in Facts.__slots__ if getattr(self.ours, name) != getattr(self.theirs, name)}

    def __str__(self) -> str:
        rows = [f"{self.origin} {self.qname} {self.qtype} ({self.peer})"]
        for name in sorted(self.differing()):
            ours, theirs = getattr(self.ours, name), getattr(self.theirs, name)
            if isinstance(ours, frozenset):
                ours, theirs = sorted(ours - theirs), sorted(theirs - ours)
            rows.append(f"    {name}: ours {ours}, theirs {theirs}")
        return "\n".join(rows)


Rule = Callable[[Case], set[str]]
"""Gives the differing facts it explains."""
RULES: dict[str, Rule] = {}


def rule(name: str) -> Callable[[Rule], Rule]:
    """Enter a rule under the name that docs/differences.md has."""

    def enter(function: Rule) -> Rule:
        RULES[name] = function
        return function

    return enter


def lines(rrsets: list[dns.rrset.RRset]) -> frozenset[str]:
    """Records as `owner TTL TYPE rdata`, names in lower case."""
    found = (
        (rrset.name.to_text().lower(), rrset.ttl, rrset.rdtype, rdata.to_text()) for rrset in rrsets for rdata in rrset
    )
    return frozenset(
        f"{owner} {ttl} {dns.rdatatype.to_text(rtype)} {text if rtype == dns.rdatatype.TXT else text.lower()}"
        for owner, ttl, rtype, text in found
    )


def owner_and_type(line: str) -> tuple[str, str]:
    """The owner of a record and its type, or the type its RRSIG covers."""
    owner, _, rtype, rdata = line.split(" ", 3)
    return owner, rdata.split()[0].upper() if rtype == "RRSIG" else rtype


@rule("apex-ns")
def apex_ns(case: Case) -> set[str]:
    """NSD puts the apex NS RRset and its addresses beside what it answers."""
    if case.peer != "nsd" or not case.theirs.answer or case.ours.authority - case.theirs.authority:
        return set()
    more = case.theirs.authority - case.ours.authority
    if any(owner_and_type(line) != (case.origin, "NS") for line in more):
        return set()
    hosts = {line.split()[-1].lower() for line in more if line.split()[2] == "NS"}
    extra = case.theirs.additional - case.ours.additional
    explained = (
        not case.ours.additional - case.theirs.additional and {owner_and_type(line)[0] for line in extra} <= hosts
    )
    return {"authority", "additional"} if explained else {"authority"}


@rule("any")
def any_of(case: Case) -> set[str]:
    """We give one RRset for ANY."""
    return {"answer", "authority", "additional"} if case.qtype == "ANY" else set()


@rule("rrsig-asked")
def rrsig_asked(case: Case) -> set[str]:
    """Knot DNS gives a part of the RRSIGs of a name, or none, and follows no alias for RRSIG and NSEC."""
    if case.peer != "knotd" or case.qtype not in {"RRSIG", "NSEC"}:
        return set()
    return {"rcode", "answer", "authority", "additional"} if case.theirs.answer <= case.ours.answer else set()


@rule("nsec3-at-wildcards")
def nsec3_at_wildcards(case: Case) -> set[str]:
    """NSD proves the encloser of a wildcard asked by name, and not that of a wildcard without the data asked."""
    if case.peer != "nsd" or case.ours.rcode != "NOERROR" or case.ours.types("authority") - {"SOA", "NSEC3"}:
        return set()
    more, less = case.theirs.authority - case.ours.authority, case.ours.authority - case.theirs.authority
    is_proof = all(owner_and_type(line)[1] == "NSEC3" for line in more | less)
    return (
        {"authority"}
        if is_proof and case.is_proven and len({owner_and_type(line)[0] for line in more | less}) == 1
        else set()
    )


@rule("truncated")
def truncated(case: Case) -> set[str]:
    """Where a response does not fit and says so, each server stops at a record of its own."""
    return {"authority", "additional"} if case.ours.tc and case.theirs.tc else set()


@rule("unproven")
def unproven(case: Case) -> set[str]:
    """Our proof is complete by proofs.py, theirs is not."""
    return {"authority"} if case.is_proven and not case.is_proven_by_them else set()


@rule("wildcard-glue")
def wildcard_glue(case: Case) -> set[str]:
    """The peers make addresses of name servers in a referral from wildcards too."""
    more = case.theirs.additional - case.ours.additional
    servers = {line.split()[-1].lower() for line in case.ours.authority if line.split()[2] == "NS"}
    is_more = bool(more) and not case.ours.additional - case.theirs.additional
    return {"additional"} if is_more and {owner_and_type(line)[0] for line in more} <= servers else set()


@rule("glue-as-courtesy")
def glue_as_courtesy(case: Case) -> set[str]:
    """The peers give glue as the addresses of what an answer points to."""
    more = case.theirs.additional - case.ours.additional
    is_more = case.ours.aa and bool(more) and not case.ours.additional - case.theirs.additional
    return {"additional"} if is_more and {owner_and_type(line)[1] for line in more} <= {"A", "AAAA"} else set()


@rule("endless-chain")
def endless_chain(case: Case) -> set[str]:
    """Where aliases never end, each server stops at a number of its own."""
    aliases = sum(line.split()[2] == "CNAME" for line in case.ours.answer)
    is_part = case.theirs.answer < case.ours.answer or case.ours.answer < case.theirs.answer
    is_endless = is_part and (aliases > 10 or case.ours.tc)
    return {"rcode", "tc", "answer", "authority", "additional"} if is_endless else set()


def unexplained(case: Case) -> tuple[set[str], list[str]]:
    """The differing facts that no rule explains, and the rules that explained others."""
    left, used = case.differing(), []
    for name, explains in RULES.items():
        if left and (explained := explains(case) & left):
            left -= explained
            used.append(name)
    return left, used


class Ours:
    """Our engine with some zones, asked as by UDP."""

    def __init__(self, zones: dict[str, Version], denial: Denial | None) -> None:
        self.responder = Responder(Clock())
        self.slots: dict[str, ZoneSlot] = {}
        self.texts: dict[str, bytes] = {}
        self.validators: dict[str, Validator] = {}
        key = SigningKey(*private.generate(13, 257))
        for origin, version in zones.items():
            signed = sealed(version, key, denial) if denial is not None else SignedVersion(version)
            self.slots[origin] = ZoneSlot(version.origin)
            self.slots[origin].publish(signed)
            self.texts[origin] = signed.to_text()
            if denial is not None:
                judge = HashedValidator if denial.kind == "nsec3" else Validator
                self.validators[origin] = judge(origin, dnskeys(origin, key), Clock().now())

    def ask(self, origin: str, octets: bytes) -> bytes:
        """The response of one zone."""
        return self.responder.answer_from(self.slots[origin], octets, "udp")

    def proves(self, origin: str, response: bytes) -> bool:
        """Whether a validator accepts a response from a zone."""
        try:
            return origin in self.validators and bool(self.validators[origin].judge(response))
        except BogusError:
            return False


def dnskeys(origin: str, key: SigningKey) -> dns.rrset.RRset:
    """The DNSKEY RRset of a zone with one key."""
    return dns.rrset.from_rdata(origin, 3600, dns.rdata.from_wire("IN", "DNSKEY", key.dnskey, 0, len(key.dnskey)))


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


def zone_of(seed: int) -> tuple[str, list[odd_zone.Record]]:
    """The zone of a seed under an origin of its own, so that one server has many; no data below DNAMEs."""
    origin = f"z{seed}.{odd_zone.ORIGIN}"
    records = odd_zone.records(seed, below_dname=False)
    return origin, [
        (owner.replace(odd_zone.ORIGIN, origin), ttl, rtype, rdata.replace(odd_zone.ORIGIN, origin))
        for owner, ttl, rtype, rdata in records
    ]


def version_of(origin: str, text: str) -> Version:
    """A version of a zone's text. Raises ValueError where it is held."""
    records = read_zone(name_from_text(origin), [(origin, text.encode())])
    version, findings = Version.build(records)
    if version is None:
        raise ValueError([*records.diagnostics, *findings])
    return version


def compare(
    seeds: range, questions: int, directory: Path, *, how: str, peers: tuple[type[Peer], ...] = PEERS
) -> Iterator[Case]:
    """Every question whose answers differ, with zones served as one of DENIALS."""
    denial = DENIALS[how]
    zones = dict(zone_of(seed) for seed in seeds)
    versions = {origin: version_of(origin, odd_zone.text(records)) for origin, records in zones.items()}
    ours = Ours(versions, denial)
    served = []
    for origin, text in ours.texts.items():
        (directory / f"{origin}zone").write_bytes(text)
        served.append(Zone(origin, directory / f"{origin}zone"))
    for kind in peers:
        place = directory / f"{kind.__name__}-{how}"
        with kind(directory=place, zones=served) as peer, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.settimeout(3)
            asking.connect((peer.address, peer.port))
            for (origin, records), seed in zip(zones.items(), seeds, strict=True):
                for qname, qtype in odd_zone.questions(records, questions, seed, origin):
                    yield from one(ours, asking, Question(origin, qname, qtype, denial is not None), peer.name)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of both."""

    origin: str
    qname: str
    qtype: str
    dnssec: bool

    def to_wire(self) -> bytes:
        """The query."""
        query = dns.message.make_query(self.qname, self.qtype, want_dnssec=self.dnssec, payload=1232)
        query.flags = dns.flags.Flag(0)
        return query.to_wire()


def one(ours: Ours, asking: socket.socket, question: Question, peer: str) -> Iterator[Case]:
    """The case, when the two answers differ."""
    if not dns.name.from_text(question.qname).is_subdomain(dns.name.from_text(question.origin)):
        return
    octets = question.to_wire()
    asking.send(octets)
    theirs = asking.recv(65535)
    mine = ours.ask(question.origin, octets)
    facts = [Facts.of(dns.message.from_wire(response)) for response in (mine, theirs)]
    if facts[0] != facts[1]:
        proven = [ours.proves(question.origin, response) for response in (mine, theirs)]
        yield Case(question.origin, question.qname, question.qtype, peer, *facts, *proven)


def main() -> int:
    """Compare, and show what no rule accepts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--zones", type=int, default=20)
    parser.add_argument("--questions", type=int, default=300, help="a zone")
    parser.add_argument("--seed", type=int, default=1, help="of the first zone")
    parser.add_argument("--how", nargs="+", choices=list(DENIALS), default=list(DENIALS), help="how zones are served")
    parser.add_argument("--show", type=int, default=20, help="how many of the differences no rule accepts")
    arguments = parser.parse_args()
    seeds = range(arguments.seed, arguments.seed + arguments.zones)
    accepted: collections.Counter[str] = collections.Counter()
    refused: list[Case] = []
    with tempfile.TemporaryDirectory() as directory:
        for how in arguments.how:
            for case in compare(seeds, arguments.questions, Path(directory), how=how):
                left, used = unexplained(case)
                accepted.update(f"{case.peer}: {name}" for name in used)
                if left:
                    refused.append(case)
    total = len(seeds) * arguments.questions * len(arguments.how) * len(PEERS)
    print(f"{total} comparisons, {len(refused)} differ by no rule")
    for name, count in accepted.most_common():
        print(f"{count:6}  {name}")
    for case in refused[: arguments.show]:
        print(case)
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
