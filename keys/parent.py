"""What the parent's servers say of a zone's DS: whether that can be believed, and what it means for each key.

An *answer* is one server's response to the DS question, judged: the DS rdatas it has, none where it proves that there
are none. What can't be believed is no answer. All servers have to agree before a key is seen to have its DS or not to.

Limits: signatures and proofs are checked by the parent's own keys; who vouches for those is the caller's. A parent
without keys can't be believed more than whoever asks it; its answers are taken as they are.
"""

from base64 import b32hexencode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha1

import dns.dnssec
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from keys.ds import DIGESTS, ds_rdata
from keys.states import IN_ZONE, Key, RecordKind, Sighting

NSEC3_OPT_OUT = 1
_SHA1 = 1


class ParentError(Exception):
    """A server's response that says nothing: `reason` is why."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Answer:
    """What one server has: DS rdatas, sorted, and their TTL; none and None where there is no DS."""

    rdatas: tuple[bytes, ...]
    ttl: int | None


def judge(response: dns.message.Message, child: dns.name.Name, trusted: dns.rrset.RRset | None, now: int) -> Answer:
    """A server's answer to the DS question, judged by the parent's keys (None: it has none). Raises ParentError."""
    if response.rcode() != dns.rcode.NOERROR:
        raise ParentError(f"response code {dns.rcode.to_text(response.rcode())}")
    if not response.flags & dns.flags.AA:
        raise ParentError("the answer is not authoritative")
    found = response.get_rrset(response.answer, child, dns.rdataclass.IN, dns.rdatatype.DS)
    if found is None:
        if trusted is not None:
            _prove_absence(response, child, trusted, now)
        return Answer((), None)
    if trusted is not None:
        _validate(response.answer, found, trusted, now)
    return Answer(tuple(sorted(rdata.to_wire() for rdata in found)), int(found.ttl))


def sightings(keys: Iterable[Key], answers: Sequence[Answer], now: int) -> dict[str, Sighting]:
    """By the id of each key with a DS, what all servers together show of it.

    Where servers disagree it is the contrary of what was asked that counts, so that the waiting begins anew.
    """
    found = {}
    for key in keys:
        if RecordKind.DS not in key.states or not answers:
            continue
        has = [any(is_ds_of(key, rdata) for rdata in answer.rdatas) for answer in answers]
        wants = key.state(RecordKind.DS) in IN_ZONE
        is_present = all(has) if wants else any(has)
        ttls = [answer.ttl for answer in answers if answer.ttl is not None]
        found[key.id] = Sighting(is_present, now, now, max(ttls, default=None))
    return found


def foreign(keys: Sequence[Key], answers: Iterable[Answer]) -> list[bytes]:
    """DS rdatas at the parent that are of none of these keys."""
    rdatas = {rdata for answer in answers for rdata in answer.rdatas}
    return sorted(rdata for rdata in rdatas if not any(is_ds_of(key, rdata) for key in keys))


def is_ds_of(key: Key, rdata: bytes) -> bool:
    """Whether DS rdata is of this key, by whatever digest the parent made."""
    if any(rdata == ds_rdata(key, digest) for digest in DIGESTS):
        return True
    head = key.tag.to_bytes(2, "big") + bytes((key.algorithm, _SHA1))
    # Never made by us, but parents still have it (RFC 8624 section 3.3).
    return rdata == head + sha1(key.origin.lower() + key.dnskey).digest()  # noqa: S324 (compared, not trusted)


# ------------------------------------------------------------------ believing


def _validate(section: list[dns.rrset.RRset], found: dns.rrset.RRset, trusted: dns.rrset.RRset, now: int) -> None:
    signatures = next(
        (
            rrset
            for rrset in section
            if rrset.name == found.name and rrset.rdtype == dns.rdatatype.RRSIG and rrset.covers == found.rdtype
        ),
        None,
    )
    what = f"{found.name} {dns.rdatatype.to_text(found.rdtype)}"
    if signatures is None:
        raise ParentError(f"{what} is not signed, and the parent is")
    keys: Mapping[dns.name.Name, dns.rrset.RRset] = {trusted.name: trusted}
    try:
        dns.dnssec.validate(found, signatures, dict(keys), now=now)
    except dns.exception.DNSException as error:
        raise ParentError(f"{what} does not validate: {error}") from error


def _prove_absence(response: dns.message.Message, child: dns.name.Name, trusted: dns.rrset.RRset, now: int) -> None:
    """RFC 4035 section 5.4 and RFC 5155 section 8.6: a valid record of the chain says that there is no DS."""
    proofs = [rrset for rrset in response.authority if rrset.rdtype in (dns.rdatatype.NSEC, dns.rdatatype.NSEC3)]
    for proof in proofs:
        if _denies_ds(proof, child, trusted.name):
            _validate(response.authority, proof, trusted, now)
            return
    raise ParentError("nothing proves that there is no DS, and the parent is signed")


def _denies_ds(proof: dns.rrset.RRset, child: dns.name.Name, parent: dns.name.Name) -> bool:
    rdata = proof[0]
    if proof.rdtype == dns.rdatatype.NSEC:
        return proof.name == child and not _has_ds(rdata) and not _is_of_child(rdata)
    try:
        owner = dns.dnssec.nsec3_hash(child, rdata.salt, rdata.iterations, rdata.algorithm)
    except (ValueError, dns.exception.DNSException):
        return False
    first = proof.name.relativize(parent).to_text().upper()
    if first == owner:
        return not _has_ds(rdata) and not _is_of_child(rdata)
    # RFC 5155 section 8.6: an opt-out span that covers the name; whether the span is the next closer's is the same,
    # as a delegation is one label below a name of the parent, or an empty non-terminal that opt-out left out as well.
    is_opt_out = bool(rdata.flags & NSEC3_OPT_OUT)
    return is_opt_out and _covers(first, b32hexencode(rdata.next).decode(), owner)


def _covers(first: str, last: str, name: str) -> bool:
    return first < name < last if first < last else name > first or name < last


def _has_ds(rdata: object) -> bool:
    return _has_type(rdata, dns.rdatatype.DS)


def _is_of_child(rdata: object) -> bool:
    """The child's own apex record says nothing of what its parent has (RFC 4035 section 5.4)."""
    return _has_type(rdata, dns.rdatatype.SOA)


def _has_type(rdata: object, rtype: int) -> bool:
    windows: Iterable[tuple[int, bytes]] = rdata.windows  # type: ignore[attr-defined]
    window, bit = divmod(rtype, 256)
    return any(
        number == window and len(bitmap) > bit // 8 and bool(bitmap[bit // 8] & 0x80 >> bit % 8)
        for number, bitmap in windows
    )
