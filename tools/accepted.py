"""The differences between our answers and those of the peers that are accepted, each by a rule with a reason.

docs/differences.md has a row for each rule, under its name. A rule says which differing facts it explains; it looks at
what differs, so that it explains no more than its reason.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import dns.name
import dns.rcode
import dns.rdatatype

from tools.facts import (
    AAAA,
    AFSDB,
    ANY,
    CNAME,
    DNAME,
    HTTPS,
    KEY,
    KX,
    L32,
    L64,
    LP,
    MB,
    MINFO,
    NAPTR,
    NOERROR,
    NS,
    NSEC,
    NSEC3,
    NXDOMAIN,
    PX,
    RP,
    RRSIG,
    RT,
    SERVFAIL,
    SOA,
    SRV,
    SVCB,
    X25,
    YXDOMAIN,
    A,
    Facts,
    Record,
    is_in,
    parent,
    shown,
)

FACTS = ("rcode", "aa", "tc", "answer", "authority", "additional")
SECTIONS = ("answer", "authority", "additional")


@dataclass(frozen=True)
class Case:
    """One question with two answers."""

    origin: bytes
    """The apex of the zone asked, in wire form."""
    qname: bytes
    """In wire form and lower case."""
    qtype: int
    peer: str
    ours: Facts
    theirs: Facts
    size: int
    """Octets of a datagram that the question lets come back; 0 without EDNS."""
    is_tight: bool
    """One of the two answers nearly fills the datagram."""
    proves: Callable[[str], bool]
    """Whether a validator accepts the answer: `ours` or `theirs`."""
    holds: Callable[[bytes, int], bool]
    """Whether the zone asked has records of a type under a name, hidden ones too."""
    zone_of: Callable[[bytes], bytes | None]
    """The apex of the zone that a name is answered from, None for none."""
    is_size_right: Callable[[], bool]
    """Whether TC is as it must be on our side, and by TCP nothing unexplained differs."""

    @cached_property
    def differing(self) -> frozenset[str]:
        """The names of the facts that differ."""
        return frozenset(name for name in FACTS if getattr(self.ours, name) != getattr(self.theirs, name))

    def more(self, section: str) -> frozenset[Record]:
        """What they have in a section and we have not."""
        theirs: frozenset[Record] = getattr(self.theirs, section)
        return theirs - getattr(self.ours, section)

    def less(self, section: str) -> frozenset[Record]:
        """What we have in a section and they have not."""
        ours: frozenset[Record] = getattr(self.ours, section)
        return ours - getattr(self.theirs, section)

    @cached_property
    def is_proven(self) -> bool:
        """A validator accepts our answer."""
        return self.proves("ours")

    @cached_property
    def is_proven_by_them(self) -> bool:
        """A validator accepts their answer."""
        return self.proves("theirs")

    def __str__(self) -> str:
        rows = [f"{shown(self.qname)} {dns.rdatatype.to_text(self.qtype)} of {shown(self.origin)} ({self.peer})"]
        for name in sorted(self.differing):
            if name in SECTIONS:
                ours, theirs = (sorted(map(str, found)) for found in (self.less(name), self.more(name)))
                rows.append(f"    {name}: ours {ours}, theirs {theirs}")
            else:
                rows.append(f"    {name}: ours {getattr(self.ours, name)}, theirs {getattr(self.theirs, name)}")
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


def owners(records: Iterable[Record]) -> set[bytes]:
    """The names that have them."""
    return {record.owner for record in records}


def kinds(records: Iterable[Record]) -> set[int]:
    """The types of records, of RRSIGs those they cover."""
    return {record.kind for record in records}


def is_made_by(name: bytes, wildcard: bytes) -> bool:
    """Whether a wildcard may stand for a name."""
    return wildcard.startswith(b"\1*") and name != wildcard and is_in(name, parent(wildcard))


def targets(records: Iterable[Record]) -> set[bytes]:
    """Where records lead to."""
    return {name.lower() for record in records for name in record.targets}


def led_to_by(start: Iterable[Record], records: Iterable[Record]) -> set[bytes]:
    """The names that some of the records lead to, in as many steps as there are."""
    found: set[bytes] = set()
    new = targets(start)
    while new - found:
        found |= new
        new = targets(record for record in records if record.owner in found)
    return found


@rule("any")
def any_of(case: Case) -> set[str]:
    """We give one RRset for ANY, others all, or one of their own choice; below a DNAME its CNAME is one."""
    ours, theirs = case.ours.answer, case.theirs.answer
    if case.qtype != ANY or not ours:
        return set()
    if DNAME in kinds(ours) and ours <= theirs:
        return {"rcode", "answer", "authority", "additional"}
    (kind, *more) = kinds(ours)
    own, same = ({record for record in answer if record.rtype == kind} for answer in (ours, theirs))
    is_one = not more and owners(ours) == owners(theirs) and (not same or own == same)
    return {"answer", "authority", "additional"} if is_one else set()


@rule("nsec-at-a-cut")
def nsec_at_a_cut(case: Case) -> set[str]:
    """BIND answers a question for the NSEC of a delegation from the parent's side."""
    is_cut = not case.ours.aa and (case.qname, NS) in {(r.owner, r.rtype) for r in case.ours.authority}
    is_nsec = owners(case.theirs.answer) == {case.qname} and kinds(case.theirs.answer) == {NSEC}
    is_nsec = is_nsec or (case.theirs.tc and not case.theirs.answer and case.is_size_right())
    is_theirs = case.peer == "named" and case.qtype == NSEC and case.theirs.aa
    return {"aa", "answer", "authority", "additional"} if is_theirs and is_cut and is_nsec else set()


@rule("proof-types-at-aliases")
def proof_types_at_aliases(case: Case) -> set[str]:
    """BIND takes no CNAME for RRSIG, NSEC and KEY, NSD none for NSEC3: no such data, they say where it stands."""
    not_followed = {"named": {RRSIG, NSEC, KEY}, "nsd": {NSEC3}}.get(case.peer, set())
    if case.qtype not in not_followed or case.theirs.rcode != NOERROR or case.more("answer"):
        return set()
    name = end_of_chain(case.qname, case.theirs.answer)
    is_alias = any(record.owner == name and record.rtype == CNAME for record in case.less("answer"))
    return {"rcode", "answer", "authority", "additional"} if is_alias else set()


@rule("authoritative-addresses")
def authoritative_addresses(case: Case) -> set[str]:
    """BIND gives glue alone in a referral, not the addresses of servers that the zone itself has."""
    less, cuts = case.less("additional"), owners(record for record in case.ours.authority if record.rtype == NS)
    if case.peer != "named" or case.more("additional") or kinds(less) - {A, AAAA} or len(cuts) != 1:
        return set()
    (cut,) = cuts
    hosts = targets(record for record in case.ours.authority if record.rtype == NS)
    return {"additional"} if owners(less) <= hosts and not any(is_in(host, cut) for host in owners(less)) else set()


@rule("rrsig-asked")
def rrsig_asked(case: Case) -> set[str]:
    """Knot DNS gives a part of the RRSIGs of a name, or none, and follows no alias for RRSIG and NSEC.

    NSD's proof of a wildcard beside RRSIGs alone is one that no validator can judge.
    """
    is_alias = any(record.rtype == CNAME for record in case.ours.answer)
    if case.peer == "nsd" and case.qtype == RRSIG and is_alias and case.ours.answer == case.theirs.answer:
        differing = case.more("authority") | case.less("authority")
        return {"authority"} if kinds(differing) <= {NSEC, NSEC3} else set()
    if case.peer != "knotd" or case.qtype not in {RRSIG, NSEC}:
        return set()
    return {"rcode", "answer", "authority", "additional"} if not case.more("answer") else set()


@rule("nsec3-at-wildcards")
def nsec3_at_wildcards(case: Case) -> set[str]:
    """NSD proves the encloser of a wildcard asked by name, and not that of a wildcard without the data asked."""
    if case.peer != "nsd" or case.ours.rcode != NOERROR or kinds(case.ours.authority) - {SOA, NSEC3}:
        return set()
    differing = case.more("authority") | case.less("authority")
    is_one = kinds(differing) == {NSEC3} and len(owners(differing)) == 1
    return {"authority"} if is_one and case.is_proven else set()


@rule("additional-at-512")
def additional_at_512(case: Case) -> set[str]:
    """BIND leaves addresses out where EDNS allows 512 octets and no more."""
    is_courtesy = case.peer == "named" and case.size == 512 and case.ours.aa
    is_less = is_courtesy and not case.theirs.additional and kinds(case.ours.additional) <= {A, AAAA}
    return {"additional"} if is_less else set()


@rule("svcb-additional")
def svcb_additional(case: Case) -> set[str]:
    """NSD knows no addresses for SVCB and HTTPS, BIND no aliases; Knot DNS finds no capitals, and adds proofs."""
    if case.qtype not in {SVCB, HTTPS}:
        return set()
    asked = {record for record in case.ours.answer if record.rtype == case.qtype}
    # The root as target stands for the owner (RFC 9460 section 2.5).
    hosts = targets(asked) | {record.owner for record in asked if record.targets == [b"\0"]}
    led_to = hosts | targets(record for record in case.ours.additional if record.rtype in {CNAME, SVCB, HTTPS})
    more = {record for record in case.more("additional") if case.peer == "nsd" or record.kind not in {NSEC, NSEC3}}
    hosts |= {
        owner for owner in owners(more) if case.peer == "knotd" and any(is_made_by(host, owner) for host in hosts)
    }
    known = {"knotd": {A, AAAA, SVCB, HTTPS}, "named": {SVCB, HTTPS}}.get(case.peer, set())
    is_theirs = owners(more) <= hosts and kinds(more) <= known
    return {"additional"} if is_theirs and owners(case.less("additional")) <= led_to else set()


@rule("as-fits")
def as_fits(case: Case) -> set[str]:
    """Where a response fills its datagram, each server leaves out other addresses, Knot DNS the SOA too."""
    explained = {"additional"}
    if case.peer == "knotd" and case.less("authority") and not case.more("authority"):
        explained.add("authority")
    return explained if case.is_tight and explained & case.differing and case.is_size_right() else set()


@rule("one-nsec-more")
def one_nsec_more(case: Case) -> set[str]:
    """NSD adds the NSEC of the closest encloser where that one is a wildcard."""
    more = case.more("authority")
    is_more = case.peer == "nsd" and not case.less("authority") and kinds(more) == {NSEC} and len(owners(more)) == 1
    return {"authority"} if is_more and case.is_proven else set()


@rule("truncated")
def truncated(case: Case) -> set[str]:
    """Where a response does not fit and says so, each server stops at a record and a size of its own."""
    if not (case.ours.tc or case.theirs.tc) or not case.is_size_right():
        return set()
    return {"rcode", "tc", "answer", "authority", "additional"}


@rule("unproven")
def unproven(case: Case) -> set[str]:
    """Our proof is complete by proofs.py, theirs is not."""
    is_theirs = "authority" in case.differing and case.is_proven and not case.is_proven_by_them
    return {"authority"} if is_theirs else set()


@rule("rare-additional")
def rare_additional(case: Case) -> set[str]:
    """We give addresses for NS, MX, SRV, SVCB and HTTPS alone, BIND and NSD for AFSDB, RT and others too."""
    more = case.more("additional")
    others = {AFSDB, RT, KX, PX, NAPTR, LP, RP, MB, MINFO}
    hosts = targets(record for record in case.ours.answer if record.rtype in others)
    hosts |= targets(record for record in more if record.owner in hosts)
    is_known = kinds(more) <= {A, AAAA, SRV, X25, L32, L64}
    return {"additional"} if is_known and owners(more) <= hosts and not case.less("additional") else set()


@rule("wildcard-glue")
def wildcard_glue(case: Case) -> set[str]:
    """The peers make addresses of what a response points to from wildcards too, hidden ones as well."""
    more = case.more("additional")
    hosts = targets(case.ours.answer | case.ours.authority | case.ours.additional | more)
    if case.peer == "nsd":
        # NSD writes some of them under a name that nobody asked for, below the same encloser.
        hosts |= {name for name in owners(more) if any(is_in(host, parent(name)) for host in hosts)}
    made = {record for record in more if not case.holds(record.owner, record.kind)}
    # BIND goes on from aliases that it made so, to what the zone holds.
    behind = led_to_by(made, more) if case.peer == "named" else set()
    is_made = all(record.owner in hosts and (record in made or record.owner in behind) for record in more)
    is_known = kinds(more) <= {A, AAAA, CNAME, SVCB, HTTPS}
    return {"additional"} if is_made and is_known and not case.less("additional") else set()


@rule("glue-as-courtesy")
def glue_as_courtesy(case: Case) -> set[str]:
    """The peers give glue as the addresses of what an answer points to."""
    more, hosts = case.more("additional"), targets(case.ours.answer)
    is_glue = all(record.owner in hosts and is_below_cut(case, record.owner) for record in more)
    is_courtesy = case.ours.aa and is_glue and kinds(more) <= {A, AAAA}
    return {"additional"} if is_courtesy and not case.less("additional") else set()


def is_below_cut(case: Case, name: bytes) -> bool:
    """Whether the zone asked delegates the name or one above it."""
    while name != case.origin and is_in(name, case.origin):
        if case.holds(name, NS):
            return True
        name = parent(name)
    return False


@rule("long-chain")
def long_chain(case: Case) -> set[str]:
    """Where aliases are many, or never end, each server stops at a number of its own."""
    ours, theirs = case.ours.answer, case.theirs.answer
    own, their = (sum(record.rtype == CNAME for record in answer) for answer in (ours, theirs))
    if case.peer == "named" and case.theirs.rcode == SERVFAIL and theirs <= ours:
        # BIND says that it gave up, and shows how far it came.
        return {"rcode", "answer", "authority", "additional"} if their > 10 or is_loop(case.qname, ours) else set()
    if case.peer == "nsd" and theirs < ours and any(r.rtype == DNAME and is_in(r.targets[0], r.owner) for r in ours):
        # NSD follows a DNAME that leads below itself once.
        return {"rcode", "tc", "answer", "authority", "additional"}
    is_stopped_by_us = ours <= theirs and own >= 16
    is_stopped_by_them = theirs < ours and their >= {"knotd": 5}.get(case.peer, 11)
    return {"rcode", "tc", "answer", "authority", "additional"} if is_stopped_by_us or is_stopped_by_them else set()


def is_loop(qname: bytes, answer: Iterable[Record]) -> bool:
    """Whether the aliases of an answer lead back to one of them."""
    aliases = {record.owner: record.targets[0].lower() for record in answer if record.rtype == CNAME}
    name = qname
    for _ in range(len(aliases) + 1):
        name = aliases.get(name, b"")
    return name in aliases


def end_of_chain(qname: bytes, answer: Iterable[Record]) -> bytes:
    """The name that the aliases of an answer lead to; the one asked where there are none, nothing for a loop."""
    aliases = {record.owner: record.targets[0].lower() for record in answer if record.rtype == CNAME}
    while qname in aliases:
        qname = aliases.pop(qname)
    return qname


@rule("chain-in-one-zone")
def chain_in_one_zone(case: Case) -> set[str]:
    """BIND and Knot DNS follow no alias out of the zone asked into another one that they serve."""
    ours, theirs = case.ours.answer, case.theirs.answer
    end = end_of_chain(case.qname, theirs)
    is_theirs = case.peer != "nsd" and end != case.qname and theirs <= ours and case.theirs.rcode == NOERROR
    is_stopped = is_theirs and case.zone_of(end) not in {None, case.origin}
    return {"rcode", "tc", "answer", "authority", "additional"} if is_stopped else set()


@rule("addresses-beside")
def addresses_beside(case: Case) -> set[str]:
    """We give addresses out of other zones that are served beside the one asked, NSD and Knot DNS its own alone."""
    less, more = case.less("additional"), case.more("additional")
    hosts = targets(case.ours.answer | case.ours.authority)
    is_beside = all(r.owner in hosts and case.zone_of(r.owner) not in {None, case.origin} for r in less)
    # In their place they may have glue, or some that a wildcard of the zone asked makes.
    is_made = all(r.owner in hosts and (is_below_cut(case, r.owner) or not case.holds(r.owner, r.kind)) for r in more)
    is_known = kinds(less | more) <= {A, AAAA}
    return {"additional"} if less and is_beside and is_made and is_known else set()


@rule("below-an-nsec3-owner")
def below_an_nsec3_owner(case: Case) -> set[str]:
    """NSD takes the owner of an NSEC3 for a name that exists: below it no wildcard and no DNAME is found."""
    name = case.qname
    while is_in(parent(name), case.origin) and parent(name) != case.origin:
        name = parent(name)
    is_hash = (
        name[0] == 32
        and name != case.qname
        and all(octet in b"0123456789abcdefghijklmnopqrstuv" for octet in name[1:33])
    )
    is_denied = case.theirs.rcode == NXDOMAIN and not case.theirs.answer
    is_theirs = case.peer == "nsd" and is_hash and is_denied
    return {"rcode", "tc", "answer", "authority", "additional"} if is_theirs else set()


@rule("yxdomain")
def yxdomain(case: Case) -> set[str]:
    """Knot DNS puts a SOA beside YXDOMAIN, or goes on with the DNAME's target; NSD forgets it after aliases."""
    if case.ours.rcode != YXDOMAIN or case.less("answer") or case.less("authority"):
        return set()
    if case.peer == "knotd" and case.theirs.rcode in {YXDOMAIN, NXDOMAIN, NOERROR}:
        return {"rcode", "answer", "authority", "additional"}
    is_forgotten = case.peer == "nsd" and case.theirs.rcode == NOERROR and CNAME in kinds(case.ours.answer)
    return {"rcode"} if is_forgotten and not case.more("answer") else set()


def without_apex_ns(case: Case) -> Case:
    """The case without the apex NS RRset and its addresses, which NSD and BIND put beside what they answer."""
    apexes = {case.origin, case.zone_of(end_of_chain(case.qname, case.theirs.answer))}
    extra = {record for record in case.more("authority") if record.owner in apexes and record.kind == NS}
    if not case.theirs.answer or case.peer == "knotd" or not extra:
        return case
    hosts = targets(record for record in extra if record.rtype == NS)
    addresses = {r for r in case.more("additional") if r.owner in hosts and r.kind in {A, AAAA}}
    theirs = replace(
        case.theirs, authority=case.theirs.authority - extra, additional=case.theirs.additional - addresses
    )
    return replace(case, theirs=theirs)


def unexplained(case: Case) -> tuple[set[str], list[str]]:
    """The differing facts that no rule explains, and the rules that explained others."""
    rest = without_apex_ns(case)
    left, used = set(rest.differing), [] if rest is case else ["apex-ns"]
    for name, explains in RULES.items():
        if left and (explained := explains(rest) & left):
            left -= explained
            used.append(name)
    return left, used
