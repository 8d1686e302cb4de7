"""A validator of one zone's responses by RFC 4035 section 5 alone: what it accepts is proven, all else raises.

It knows the zone's name and its DNSKEY RRset, nothing of the zone's content, and shares no code with the engine:
messages are read by dnspython, signatures checked by dns.dnssec.
"""

from collections.abc import Iterator

import dns.dnssec
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdatatype
import dns.rdtypes.nsbase
import dns.rrset

Name = dns.name.Name
SOA, NS, DS, CNAME, DNAME, NSEC, RRSIG, ANY = (
    dns.rdatatype.SOA,
    dns.rdatatype.NS,
    dns.rdatatype.DS,
    dns.rdatatype.CNAME,
    dns.rdatatype.DNAME,
    dns.rdatatype.NSEC,
    dns.rdatatype.RRSIG,
    dns.rdatatype.ANY,
)


class NameTypes:
    """Types of RFC 1035 that dnspython knows not: their names may be compressed, and are signed in lower case."""

    MD, MF, MB, MG, MR = (type(kind, (dns.rdtypes.nsbase.NSBase,), {}) for kind in ("MD", "MF", "MB", "MG", "MR"))


for _type in ("MD", "MF", "MB", "MG", "MR"):
    dns.rdata.register_type(NameTypes, dns.rdatatype.from_text(_type), _type)  # type: ignore[no-untyped-call]

MOST_ALIASES = 16
"""A server need not follow more for one question."""


class BogusError(Exception):
    """A response that RFC 4035 does not let a validator accept."""


def need(condition: object, why: str) -> None:
    """Raise BogusError with `why` unless the condition holds."""
    if not condition:
        raise BogusError(why)


class Validator:
    """Judges responses from the zone `origin` at the time `now`."""

    proof_type = NSEC

    def __init__(self, origin: str, dnskeys: dns.rrset.RRset, now: int) -> None:
        self.origin = dns.name.from_text(origin)
        self.keys = {self.origin: dnskeys}
        self.now = now
        self.known: set[tuple[str, str]] = set()
        self.children: set[Name] = set()
        """Zones below this one that the same server answers from: an alias into one leads elsewhere."""

    def judge(self, octets: bytes) -> str:
        """What it proves, in a word.

        One of `answer`, `nodata`, `nxdomain`, `referral`, `insecure referral`, `elsewhere`, `loop`, `stopped`,
        `too long`. Raises BogusError.
        """
        need_no_duplicates(octets)
        return self.judge_message(dns.message.from_wire(octets))

    def judge_message(self, response: dns.message.Message) -> str:
        """The same of a message that has no record twice."""
        question = response.question[0]
        self.answers = {(rrset.name, rrset.rdtype): rrset for rrset in unsigned(response.answer)}
        self.proofs = [rrset for rrset in unsigned(response.authority) if rrset.rdtype == self.proof_type]
        self.wildcards: list[tuple[Name, Name]] = []
        self._check_signatures(response)
        need(all(len(rrset) == 1 for rrset in self.proofs), "two NSECs at one name")
        self._check_expansions()
        return self._end(response, question.name, question.rdtype)

    # -------------------------------------------------------------- signatures (RFC 4035 section 5.3)

    def _check_signatures(self, response: dns.message.Message) -> None:
        for section in (response.answer, response.authority):
            for rrset in unsigned(section):
                if section is response.authority and rrset.rdtype == NS and rrset.name != self.origin:
                    need(signatures(section, rrset) is None, f"the delegation {rrset.name} is signed")
                elif rrset.rdtype == CNAME and section is response.answer and self._is_made(rrset):
                    need(signatures(section, rrset) is None, f"a CNAME made of a DNAME is signed: {rrset.name}")
                else:
                    self._check_rrset(rrset, signatures(section, rrset))
            self._check_strays(section)

    def _check_strays(self, section: list[dns.rrset.RRset]) -> None:
        present = {(rrset.name, rrset.rdtype) for rrset in unsigned(section)}
        for rrset in section:
            if rrset.rdtype == RRSIG:
                for rrsig in rrset:
                    need((rrset.name, rrsig.type_covered) in present, f"an RRSIG of nothing at {rrset.name}")

    def _check_rrset(self, rrset: dns.rrset.RRset, rrsigs: dns.rrset.RRset | None) -> None:
        need(rrsigs is not None, f"{rrset.name} {dns.rdatatype.to_text(rrset.rdtype)} is not signed")
        assert rrsigs is not None
        need(rrsigs.ttl == rrset.ttl, f"{rrset.name}: the RRSIG's TTL is not the RRset's (RFC 4034 section 3)")
        seen = (rrset.to_text(), rrsigs.to_text())
        if seen not in self.known:
            try:
                dns.dnssec.validate(*self._as_signed(rrset, rrsigs), self.keys, now=self.now)
            except dns.dnssec.ValidationFailure as error:
                raise BogusError(f"{rrset.name} {dns.rdatatype.to_text(rrset.rdtype)}: {error}") from error
            self.known.add(seen)
        for rrsig in rrsigs:
            need(rrsig.original_ttl >= rrset.ttl, "a TTL above the original one")
            if self._labels(rrset.name) > rrsig.labels:
                need(rrset not in self.proofs, "an NSEC from a wildcard proves nothing")
                self.wildcards.append((rrset.name, Name(rrset.name.labels[-rrsig.labels - 1 :])))

    @staticmethod
    def _as_signed(rrset: dns.rrset.RRset, rrsigs: dns.rrset.RRset) -> tuple[dns.rrset.RRset, dns.rrset.RRset]:
        """Both under the wildcard's own name where an asterisk label was made by one, which dnspython refuses."""
        labels = rrsigs[0].labels
        if not rrset.name.is_wild() or len(rrset.name.labels) - 2 <= labels:
            return rrset, rrsigs
        owner = dns.name.from_text("*", Name(rrset.name.labels[-labels - 1 :]))
        return dns.rrset.from_rdata_list(owner, rrset.ttl, rrset), dns.rrset.from_rdata_list(owner, rrsigs.ttl, rrsigs)

    @staticmethod
    def _labels(name: Name) -> int:
        return len(name.labels) - 1 - name.is_wild()

    def _is_made(self, rrset: dns.rrset.RRset) -> bool:
        """Whether a DNAME of the answer explains this CNAME (RFC 6672 section 5.3.1)."""
        for (owner, rtype), dname in self.answers.items():
            if rtype == DNAME and rrset.name.is_subdomain(owner) and rrset.name != owner:
                prefix = rrset.name.relativize(owner)
                return bool(rrset[0].target == prefix.derelativize(dname[0].target))
        return False

    # -------------------------------------------------------------- denial (RFC 4035 section 5.4)

    def _covers(self, nsec: dns.rrset.RRset, name: Name) -> bool:
        owner, following = nsec.name, nsec[0].next
        if name.is_subdomain(owner) and name != owner and self._ends_authority(nsec):
            return False
        if following == self.origin:
            return bool(owner < name)
        need(owner < following, f"the NSEC of {owner} goes backwards")
        return bool(owner < name < following)

    @staticmethod
    def _ends_authority(nsec: dns.rrset.RRset) -> bool:
        """An NSEC at a delegation or a DNAME says nothing of names below (RFC 4035 5.4, RFC 6672 5.3.4.1)."""
        kinds = types(nsec)
        return (NS in kinds and SOA not in kinds) or DNAME in kinds

    def _closest_encloser(self, name: Name) -> Name:
        """The deepest ancestor that the NSEC that covers the name shows to exist."""
        for nsec in self.proofs:
            if self._covers(nsec, name):
                common = max((shared(name, nsec.name), shared(name, nsec[0].next)), key=lambda one: len(one.labels))
                need(common.is_subdomain(self.origin), "a closest encloser outside the zone")
                return common
        raise BogusError(f"no NSEC covers {name}")

    def _check_expansions(self) -> None:
        """RFC 4035 section 5.3.4: a wildcard answered, so no closer name may exist."""
        for name, encloser in self.wildcards:
            closer = Name(name.labels[-len(encloser.labels) - 1 :])
            need(any(self._denies(nsec, closer) for nsec in self.proofs), f"{closer} may exist")
            need(self._closest_encloser(name) == encloser, f"{name}: the wildcard stands at another encloser")

    def _denies(self, nsec: dns.rrset.RRset, name: Name) -> bool:
        """No such name, not even an empty non-terminal."""
        return self._covers(nsec, name) and not nsec[0].next.is_subdomain(name)

    def _is_name_error(self, name: Name) -> None:
        need(any(self._denies(nsec, name) for nsec in self.proofs), f"{name} may exist")
        wildcard = dns.name.from_text("*", self._closest_encloser(name))
        need(any(self._denies(nsec, wildcard) for nsec in self.proofs), f"{wildcard} may exist")

    def _is_no_data(self, name: Name, rtype: int) -> None:
        if self._lacks(name, rtype):
            return
        if any(self._covers(nsec, name) and nsec[0].next.is_subdomain(name) for nsec in self.proofs):
            return  # an empty non-terminal
        wildcard = dns.name.from_text("*", self._closest_encloser(name))
        is_empty = any(self._covers(nsec, wildcard) and nsec[0].next.is_subdomain(wildcard) for nsec in self.proofs)
        need(is_empty or self._lacks(wildcard, rtype), f"{name} may have the type")

    def _lacks(self, name: Name, rtype: int) -> bool:
        for nsec in self.proofs:
            if nsec.name == name:
                kinds = types(nsec)
                need(rtype not in kinds and CNAME not in kinds, f"the NSEC of {name} has the type")
                need(rtype != ANY or not kinds, f"the NSEC of {name} has types")
                is_parent = NS in kinds and SOA not in kinds
                need(
                    is_parent if rtype == DS and NS in kinds and name != self.origin else not is_parent,
                    "the wrong side of a cut",
                )
                return True
        return False

    def _is_insecure(self, cut: Name) -> bool:
        return any(nsec.name == cut and NS in types(nsec) and DS not in types(nsec) for nsec in self.proofs)

    # -------------------------------------------------------------- the whole response

    def _end(self, response: dns.message.Message, name: Name, rtype: int) -> str:
        used: set[tuple[Name, int]] = set()
        seen: set[Name] = set()
        while True:
            if not name.is_subdomain(self.origin) or self._is_in_child(name, rtype):
                need(response.rcode() == dns.rcode.NOERROR, "an rcode about another zone")
                return self._all_used(used, "elsewhere")
            if name in seen:
                return self._all_used(used, "loop")
            seen.add(name)
            used.update(key for key in self.answers if key[1] == DNAME and name.is_subdomain(key[0]) and name != key[0])
            direct = [key for key in self.answers if key[0] == name and rtype in (key[1], ANY)]
            if direct:
                need(response.rcode() == dns.rcode.NOERROR, "an answer with an error")
                return self._all_used(used | set(direct), "answer")
            alias = self._alias(name, used)
            if alias is None:
                break
            name = alias
        if len(seen) > MOST_ALIASES and not any(rrset.rdtype in {SOA, NS} for rrset in response.authority):
            # The server went no further, and says nothing of the name it came to: a resolver asks for that one.
            return self._all_used(used, "stopped")
        return self._all_used(used, self._negative(response, name, rtype))

    def _is_in_child(self, name: Name, rtype: int) -> bool:
        return any(name.is_subdomain(child) and (rtype, name) != (DS, child) for child in self.children)

    def _alias(self, name: Name, used: set[tuple[Name, int]]) -> Name | None:
        cname = self.answers.get((name, CNAME))
        if cname is None:
            return None
        used.add((name, CNAME))
        target: Name = cname[0].target
        return target

    def _all_used(self, used: set[tuple[Name, int]], verdict: str) -> str:
        extra = set(self.answers) - used
        need(not extra, f"{extra} answers nothing")
        return verdict

    def _negative(self, response: dns.message.Message, name: Name, rtype: int) -> str:
        authority = {(rrset.name, rrset.rdtype): rrset for rrset in unsigned(response.authority)}
        cuts = [owner for owner, kind in authority if kind == NS and owner != self.origin]
        if response.rcode() == dns.rcode.YXDOMAIN:
            need(any(kind == DNAME for _, kind in self.answers), "YXDOMAIN without a DNAME")
            return "too long"
        if cuts:
            (cut,) = cuts
            need(name.is_subdomain(cut), f"a referral to {cut} for {name}")
            if (cut, DS) in authority:
                return "referral"
            need(self._is_insecure(cut), "no DS, no proof")
            return "insecure referral"
        need(bool(response.flags & dns.flags.AA), "a negative answer without AA")
        need((self.origin, SOA) in authority, "a negative answer without SOA")
        if response.rcode() == dns.rcode.NXDOMAIN:
            self._is_name_error(name)
            return "nxdomain"
        need(response.rcode() == dns.rcode.NOERROR, dns.rcode.to_text(response.rcode()))
        self._is_no_data(name, rtype)
        return "nodata"


def need_no_duplicates(octets: bytes) -> None:
    """Each record once (RFC 2181 section 5)."""
    response = dns.message.from_wire(octets, one_rr_per_rrset=True)
    for section in (response.answer, response.authority, response.additional):
        records = [rrset.to_text().lower() for rrset in section]
        need(len(records) == len(set(records)), f"a record twice in {records}")


def unsigned(section: list[dns.rrset.RRset]) -> Iterator[dns.rrset.RRset]:
    """The RRsets of a section that are no signatures."""
    return (rrset for rrset in section if rrset.rdtype != RRSIG)


def signatures(section: list[dns.rrset.RRset], rrset: dns.rrset.RRset) -> dns.rrset.RRset | None:
    """The signatures over an RRset in a section, None if there are none."""
    found = [one for one in section if one.name == rrset.name and one.rdtype == RRSIG and one.covers == rrset.rdtype]
    need(len(found) < 2, "one RRSIG RRset in two places")
    return found[0] if found else None


def types(nsec: dns.rrset.RRset) -> set[int]:
    """The types of an NSEC's bitmap."""
    return {
        256 * window + 8 * index + bit
        for window, octets in nsec[0].windows
        for index, octet in enumerate(octets)
        for bit in range(8)
        if octet & (0x80 >> bit)
    }


def shared(one: Name, other: Name) -> Name:
    """The longest common ancestor (or self) of two names."""
    relation, _, count = one.fullcompare(other)
    if relation == dns.name.NameRelation.NONE:
        return dns.name.root
    return Name(one.labels[-count:]) if count else dns.name.root
