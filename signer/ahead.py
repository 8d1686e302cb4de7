"""What a version gets of what an offline KSK signed ahead: the RRsets of its apex, and their signatures."""

from collections.abc import Sequence

from engine import SignedVersion
from keys.ds import DIGESTS, announced, ds_rdata
from keys.ksr import CDNSKEY, CDS, DNSKEY, RRSIG, Section
from keys.policy import Policy
from keys.states import Key

Edit = tuple[bytes, int, int, Sequence[bytes]]


def edits(section: Section, keys: Sequence[Key], policy: Policy) -> list[Edit]:
    """The DNSKEY RRset of a section; CDS and CDNSKEY where they say what the parent is to have."""
    told = {key.dnskey for key in announced(keys, policy)}
    named = set(section.rrsets.get(CDNSKEY, (0, ()))[1])
    digests = {ds_rdata(key, digest) for key in keys if key.dnskey in told for digest in DIGESTS}
    cds = section.rrsets.get(CDS, (0, ()))[1]
    tags = {(key.tag, key.algorithm) for key in keys if key.dnskey in told}
    is_wanted = (not named or named == told) and (
        not cds or (set(cds) <= digests and {(int.from_bytes(one[:2], "big"), one[2]) for one in cds} == tags)
    )
    origin = section.origin
    empty: tuple[int, tuple[bytes, ...]] = (policy.dnskey_ttl, ())
    shown = {rtype: section.rrsets.get(rtype, empty) if is_wanted and told else empty for rtype in (CDS, CDNSKEY)}
    return [(origin, rtype, *rrset) for rtype, rrset in ({DNSKEY: section.rrsets[DNSKEY]} | shown).items()]


def give(signed: SignedVersion, section: Section) -> None:
    """Give a version the signatures of the section that its apex is of. Raises SignatureError for one that is wrong."""
    version = signed.version
    there = [rtype for rtype in section.rrsigs if version.rrset(version.origin, rtype) is not None]
    signed.give([rrsig for rtype in there for rrsig in section.rrsigs[rtype]])


def is_presented(signed: SignedVersion, section: Section) -> bool:
    """Whether a version is signed by what the section has."""
    rrsigs = (signed.rrset(signed.version.origin, RRSIG) or (0, []))[1]
    return set(section.rrsigs.get(DNSKEY, ())) <= set(rrsigs)
