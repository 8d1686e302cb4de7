"""The validator of proofs.py for zones with NSEC3, written from RFC 5155 section 8 alone.

An answer that opt-out leaves open is accepted as what it says, as section 9.2 lets a validator do, and counted in
`opted_out`.
"""

import dns.dnssec
import dns.message
import dns.name
import dns.rdatatype
import dns.rrset

from tools.proofs import ANY, CNAME, DNAME, DS, NS, SOA, BogusError, Name, Validator, need, types

OPT_OUT = 1


class HashedValidator(Validator):
    """Judges responses from a zone with NSEC3."""

    proof_type = dns.rdatatype.NSEC3

    def __init__(self, origin: str, dnskeys: dns.rrset.RRset, now: int) -> None:
        super().__init__(origin, dnskeys, now)
        self.opted_out = 0

    # -------------------------------------------------------------- one NSEC3

    def _hash(self, nsec3: dns.rrset.RRset, name: Name) -> str:
        need(nsec3.name.parent() == self.origin, "an NSEC3 that is not right below the apex")
        return dns.dnssec.nsec3_hash(name.canonicalize(), nsec3[0].salt, nsec3[0].iterations, "SHA1").lower()

    def _matching(self, name: Name) -> dns.rrset.RRset | None:
        """Section 8.3: the NSEC3 whose owner is the name's hash."""
        for nsec3 in self.proofs:
            if nsec3.name.labels[0].decode().lower() == self._hash(nsec3, name):
                return nsec3
        return None

    def _covering(self, name: Name) -> dns.rrset.RRset | None:
        """The NSEC3 between whose hashes the name's is."""
        for nsec3 in self.proofs:
            owner, hashed = nsec3.name.labels[0].decode().lower(), self._hash(nsec3, name)
            following = nsec3[0].next_name().labels[0].decode().lower()
            if owner < hashed < following or (following <= owner and (hashed > owner or hashed < following)):
                return nsec3
        return None

    # -------------------------------------------------------------- the closest encloser (section 8.3)

    def _enclosed(self, name: Name) -> tuple[Name, dns.rrset.RRset]:
        """The closest provable encloser and the NSEC3 that covers the name one label longer."""
        encloser = name
        while (matching := self._matching(encloser)) is None:
            need(encloser != self.origin, f"no encloser of {name} is proved")
            closer, encloser = encloser, encloser.parent()
        need(encloser != name, f"{name} exists")
        kinds = types(matching)
        need(DNAME not in kinds and (NS not in kinds or SOA in kinds), f"{encloser} has no names below it")
        covering = self._covering(closer)
        need(covering is not None, f"{closer} may exist")
        assert covering is not None
        return encloser, covering

    def _note_opt_out(self, covering: dns.rrset.RRset) -> bool:
        is_open = bool(covering[0].flags & OPT_OUT)
        self.opted_out += is_open
        return is_open

    # -------------------------------------------------------------- what proofs.py asks

    def _check_expansions(self) -> None:
        """Section 8.8."""
        for name, encloser in self.wildcards:
            closer = Name(name.labels[-len(encloser.labels) - 1 :])
            covering = self._covering(closer)
            need(covering is not None, f"{closer} may exist")
            assert covering is not None
            self._note_opt_out(covering)

    def _is_name_error(self, name: Name) -> None:
        """Section 8.4."""
        encloser, covering = self._enclosed(name)
        self._note_opt_out(covering)
        wildcard = dns.name.from_text("*", encloser)
        need(self._covering(wildcard) is not None, f"{wildcard} may exist")

    def _is_no_data(self, name: Name, rtype: int) -> None:
        """Sections 8.5 to 8.7."""
        if self._lacks(name, rtype):
            return
        encloser, covering = self._enclosed(name)
        wildcard = dns.name.from_text("*", encloser)
        if self._matching(wildcard) is not None:
            need(self._lacks(wildcard, rtype), f"{wildcard} has the type")
            return
        need(self._note_opt_out(covering), f"{name} may exist")

    def _lacks(self, name: Name, rtype: int) -> bool:
        nsec3 = self._matching(name)
        if nsec3 is None:
            return False
        kinds = types(nsec3)
        need(rtype not in kinds and CNAME not in kinds, f"the NSEC3 of {name} has the type")
        need(rtype != ANY or not kinds, f"the NSEC3 of {name} has types")
        is_parent = NS in kinds and SOA not in kinds
        if rtype == DS and NS in kinds and name != self.origin:
            need(is_parent, "the wrong side of a cut")
        else:
            need(not is_parent, "the wrong side of a cut")
        return True

    def _is_insecure(self, cut: Name) -> bool:
        """Section 8.9."""
        if (matching := self._matching(cut)) is not None:
            return NS in types(matching) and DS not in types(matching) and SOA not in types(matching)
        _, covering = self._enclosed(cut)
        if not self._note_opt_out(covering):
            raise BogusError(f"{cut} is neither there nor left out")
        return True
