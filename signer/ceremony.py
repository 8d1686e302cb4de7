"""What an offline KSK signs ahead: the response to a request, made and checked.

A response's sections are those of the request, cut where its signatures are to be renewed and where the KSKs change.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final

from engine import SignedVersion, SigningKey, SigningPlan, Version, key_tag, name_to_text, read_zone, verify_signature
from keys import custody, ksr, offline
from keys.ds import ds_rdata
from keys.errors import CeremonyError, KeySetError
from keys.ksr import CDNSKEY, CDS, DNSKEY, RRSIG, Section
from keys.policy import Policy
from keys.states import Key, RecordKind, RecordState
from signer.slow import sign_batch

_ED448: Final = 16
_SEP: Final = 0x0001
_ORIGINAL_TTL: Final = slice(4, 8)
_SIGNER: Final = 18
_BARE: Final = b"@ 3600 SOA . . 1 1 1 1 1\n@ 3600 NS .\n"


# ------------------------------------------------------------------ making


def respond(
    request: Sequence[Section],
    keys: Sequence[Key],
    handles: Mapping[str, SigningKey],
    signer: custody.Signer,
    policy: Policy,
) -> list[Section]:
    """The response to a request: the DNSKEY RRset with the KSKs, CDS and CDNSKEY, signed for each period.

    Raises KeysError.
    """
    bare, _ = Version.build(read_zone(request[0].origin, [("apex", _BARE)]))
    if bare is None:
        raise KeySetError(name_to_text(request[0].origin), "is no name that a zone can have")
    return [
        _signed(bare, at, section, keys, handles, signer, policy)
        for section, until in zip(request, [*(one.since for one in request[1:]), None], strict=True)
        for at in _periods(section.since, until, keys, policy)
    ]


def _periods(start: int, until: int | None, keys: Sequence[Key], policy: Policy) -> Iterator[int]:
    """When signatures begin: at the start, when those before are to be renewed, and when the KSKs change."""
    at: int | None = start
    changes = offline.moments(keys, policy)
    while at is not None:
        yield at
        following = [at + policy.validity - policy.refresh, *(one for one in changes if one > at)]
        following = [one for one in following if until is not None and one < until]
        at = min(following, default=None)


def _signed(
    bare: Version,
    at: int,
    section: Section,
    keys: Sequence[Key],
    handles: Mapping[str, SigningKey],
    signer: custody.Signer,
    policy: Policy,
) -> Section:
    signing = [key.moved(RecordKind.KRRSIG, RecordState.RUMOURED, at) for key in offline.signing_at(keys, at)]
    told = offline.announced(keys, policy, at) if policy.cds != "none" else []
    ttl, zsks = section.rrsets[DNSKEY]
    rrsets = {DNSKEY: (ttl, tuple(sorted({*zsks, *(key.dnskey for key in signing)})))}
    if told:
        rrsets[CDS] = (ttl, tuple(sorted(ds_rdata(key, digest) for key in told for digest in policy.digests)))
    if told and policy.cdnskey:
        rrsets[CDNSKEY] = (ttl, tuple(sorted(key.dnskey for key in told)))
    plan = SigningPlan(
        [(handles[key.id], True, False) for key in signing],
        inception=at - policy.inception_offset,
        expiration=at + policy.validity,
    )
    version = bare.edited([(section.origin, rtype, ttl, rdatas) for rtype, (ttl, rdatas) in rrsets.items()])
    made = SignedVersion(version, plan)
    while made.slow_missing:
        sign_batch(made, signing, signer)
    rrsigs: dict[int, tuple[bytes, ...]] = {}
    for rrsig in (made.rrset(section.origin, RRSIG) or (0, []))[1]:
        covered = int.from_bytes(rrsig[:2], "big")
        rrsigs[covered] = (*rrsigs.get(covered, ()), rrsig)
    return Section(at, section.origin, rrsets, rrsigs)


# ------------------------------------------------------------------ checking


def check(sections: Sequence[Section], ours: Iterable[bytes], file: str, now: int) -> None:
    """See that a response can be followed: every signature, every period and what is between them.

    `ours` are the DNSKEY rdatas of zone signing keys that sign here. Raises CeremonyError with file and line.
    """
    own = frozenset(ours)
    for section in sections:
        _check_keys(section, own, file)
        for rtype in section.rrsets:
            _check_rrset(section, rtype, file)
        if extra := section.rrsigs.keys() - section.rrsets.keys():
            raise _error(section, file, f"signs {_name(min(extra))}, which it does not have")
        _check_told(section, file)
    for before, after in pairwise(sections):
        _check_passage(before, after, own, file)
    if sections[-1].expiration <= now:
        raise _error(sections[-1], file, f"ran out at {ksr.shown(sections[-1].expiration)}")


def _error(section: Section, file: str, reason: str) -> CeremonyError:
    return CeremonyError(file, f"the section of {ksr.shown(section.since)} {reason}", section.line)


def _name(rtype: int) -> str:
    return {DNSKEY: "DNSKEY", CDS: "CDS", CDNSKEY: "CDNSKEY"}[rtype]


def _check_keys(section: Section, ours: frozenset[bytes], file: str) -> None:
    signers = section.signers()
    for dnskey in section.dnskeys:
        tag = key_tag(dnskey)
        is_sep = bool(int.from_bytes(dnskey[:2], "big") & _SEP)
        if not is_sep and dnskey not in ours:
            raise _error(section, file, f"has the zone signing key {tag}, which does not sign here")
        if is_sep and dnskey in ours:
            raise _error(section, file, f"has the zone signing key {tag} marked as a key signing key")
    if not section.dnskeys & ours:
        raise _error(section, file, "has no zone signing key")
    unsigned = {dnskey[3] for dnskey in section.dnskeys} - {algorithm for _, algorithm in signers}
    if unsigned:
        # RFC 4035 section 2.2.
        raise _error(section, file, f"has no signature over DNSKEY of algorithm {min(unsigned)}, which the RRset has")


def _check_rrset(section: Section, rtype: int, file: str) -> None:
    ttl, rdatas = section.rrsets[rtype]
    signatures = section.rrsigs.get(rtype, ())
    if not signatures:
        raise _error(section, file, f"has no signature over {_name(rtype)}")
    if section.signers(rtype) != section.signers():
        raise _error(section, file, f"has {_name(rtype)} signed by other keys than DNSKEY")
    for rrsig in signatures:
        tag, algorithm = int.from_bytes(rrsig[16:18], "big"), rrsig[2]
        candidates = [one for one in section.dnskeys if (key_tag(one), one[3]) == (tag, algorithm)]
        if not candidates:
            raise _error(section, file, f"has a signature over {_name(rtype)} by key {tag}, which it does not have")
        if int.from_bytes(rrsig[_ORIGINAL_TTL], "big") != ttl:
            raise _error(section, file, f"has {_name(rtype)} with TTL {ttl}, and a signature over another TTL")
        if not any(_verifies(one, section.origin, rtype, ttl, rdatas, rrsig) for one in candidates):
            raise _error(section, file, f"has a signature over {_name(rtype)} by key {tag} that does not verify")
        inception, expiration = int.from_bytes(rrsig[12:16], "big"), int.from_bytes(rrsig[8:12], "big")
        if inception > section.since:
            begins = f"by key {tag} is not valid before {ksr.shown(inception)}"
            raise _error(section, file, f"begins before its signature over {_name(rtype)} {begins}")
        if expiration <= section.since + ttl:
            ends = f"by key {tag} ends at {ksr.shown(expiration)}"
            raise _error(section, file, f"is of no use: its signature over {_name(rtype)} {ends}, its TTL is {ttl}")


def _verifies(dnskey: bytes, origin: bytes, rtype: int, ttl: int, rdatas: Sequence[bytes], rrsig: bytes) -> bool:
    if dnskey[3] != _ED448:
        return verify_signature(dnskey, origin, rtype, ttl, rdatas, rrsig)
    # RFC 4034 section 3.1.8.1, for records that have no names in them.
    head = origin.lower() + rtype.to_bytes(2, "big") + b"\0\1" + rrsig[_ORIGINAL_TTL]
    records = b"".join(head + len(rdata).to_bytes(2, "big") + rdata for rdata in sorted(rdatas))
    end = _SIGNER + len(origin)
    return rrsig[_SIGNER:end].lower() == origin.lower() and custody.verify(dnskey, rrsig[:end] + records, rrsig[end:])


def _check_told(section: Section, file: str) -> None:
    """RFC 7344 section 4: CDS and CDNSKEY are of keys that sign the DNSKEY RRset."""
    signing = [one for one in section.dnskeys if (key_tag(one), one[3]) in section.signers()]
    for rdata in section.rrsets.get(CDNSKEY, (0, ()))[1]:
        if rdata not in signing:
            raise _error(section, file, f"has a CDNSKEY of key {key_tag(rdata)}, which does not sign DNSKEY")
    known = {(key_tag(one), one[3]) for one in signing}
    for rdata in section.rrsets.get(CDS, (0, ()))[1]:
        if (int.from_bytes(rdata[:2], "big"), rdata[2]) not in known:
            tag = int.from_bytes(rdata[:2], "big")
            raise _error(section, file, f"has a CDS of key {tag}, which does not sign DNSKEY")


def _check_passage(before: Section, after: Section, ours: frozenset[bytes], file: str) -> None:
    ttl = max(ttl for ttl, _ in before.rrsets.values())
    if before.expiration < after.since + ttl:
        gap = f"signatures of the section before end at {ksr.shown(before.expiration)}, and its TTL is {ttl}"
        raise _error(after, file, f"begins too late: {gap}")
    if not before.dnskeys & after.dnskeys & ours:
        raise _error(after, file, "has no zone signing key of the section before: caches would lose the chain")
    if not before.dnskeys & after.dnskeys - ours:
        raise _error(after, file, "has no key signing key of the section before: caches would lose the chain")
