"""What zones of ours say of one another: DS of a child in its parent, and signals for the bootstrapping of others.

Words: a *relative* is another zone of the same view with its keys. A parent that is signed here gets the DS RRset that
the child's keys want, without anybody's hands; what it has of keys that are not the child's stays as it is. A zone that
the name servers of a new zone are in gets the signals by which another parent may trust its CDS (RFC 9615).

Limits: a parent that is not signed gets no DS, since nobody could believe it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from engine import Version
from keys.ds import DIGESTS, cdnskey_rdatas, cds_rdatas, ds_rdata, ds_rdatas, with_ds
from keys.policy import Policy
from keys.states import Goal, Key, RecordKind, Sighting

NS = 2
DS = 43
CDS = 59
CDNSKEY = 60
MAX_DS_TTL = 3600
"""The TTL of a DS is what each roll of a KSK waits for; NS RRsets of delegations often have days."""

_LONGEST_NAME = 255

Edit = tuple[bytes, int, int, Sequence[bytes]]
"""(owner, rtype, TTL, rdatas) as `Version.edited` takes it; no rdatas removes the RRset."""


@dataclass(frozen=True, slots=True)
class Relative:
    """A zone with the keys and the policy it is signed by, and the keys of its other providers.

    Its name servers are known as far as it serves and says them.
    """

    origin: bytes
    keys: tuple[Key, ...]
    policy: Policy
    foreign: tuple[Key, ...] = ()
    servers: tuple[bytes, ...] = ()


def edits(version: Version, relatives: Iterable[Relative]) -> list[Edit]:
    """What relatives want in this version that it has not; the caller chose those whose parent or server it is."""
    wanted = [edit for one in relatives for edit in (*_delegation(version, one), *_signals(version, one))]
    return [edit for edit in wanted if (version.rrset(edit[0], edit[1]) or (0, []))[1] != list(edit[3])]


def sighting(parent: Version, origin: bytes, key: Key, now: int) -> Sighting:
    """What a sealed parent of ours has of a key; all its servers are told by the same version."""
    ttl, rdatas = parent.rrset(origin, DS) or (None, [])
    is_present = any(ds_rdata(key, digest) in rdatas for digest in DIGESTS)
    return Sighting(is_present, now, now, ttl if is_present else None)


def servers(version: Version) -> list[bytes]:
    """The name servers of a zone, in lower case."""
    return [name.lower() for name in (version.rrset(version.origin, NS) or (0, []))[1]]


def is_below(name: bytes, origin: bytes) -> bool:
    """Whether a name is at or below another; both in lower case."""
    while True:
        if name == origin:
            return True
        if name == b"\0":
            return False
        name = name[name[0] + 1 :]


def _delegation(version: Version, child: Relative) -> list[Edit]:
    origin = child.origin
    servers = version.rrset(origin, NS)
    if servers is None or origin == version.origin.lower():
        return []
    _, present = version.rrset(origin, DS) or (0, [])
    known = {ds_rdata(key, digest) for key in (*child.keys, *child.foreign) for digest in DIGESTS}
    foreign = [rdata for rdata in present if rdata not in known]
    # A DS that is there already stays until its key is to go, even if it would not be asked for yet.
    keys = [*child.keys, *(() if child.policy.is_insecure else child.foreign)]
    kept = set(ds_rdatas((key for key in keys if key.goal is Goal.PRESENT or key.is_published(RecordKind.DS)), DIGESTS))
    wanted = ds_rdatas(with_ds(child.keys, child.foreign), child.policy.digests)
    rdatas = sorted({*foreign, *kept.intersection(present), *wanted})
    return [(origin, DS, min(servers[0], MAX_DS_TTL), rdatas)]


def _signals(version: Version, zone: Relative) -> list[Edit]:
    """RFC 9615 section 2: below each name server that is not in the zone itself, until the parent has a DS."""
    is_anchored = any(key.is_omnipresent(RecordKind.DS) for key in zone.keys)
    given = (zone.keys, zone.policy, zone.foreign)
    sets = ((CDS, cds_rdatas(*given)), (CDNSKEY, cdnskey_rdatas(*given)))
    found: list[Edit] = []
    for server in zone.servers if zone.policy.bootstrap else ():
        # Section 3: in-domain name servers can't vouch for their own zone.
        if not is_below(server, version.origin.lower()) or is_below(server, zone.origin):
            continue
        owner = b"\x07_dsboot" + zone.origin[:-1] + b"\x07_signal" + server
        if len(owner) <= _LONGEST_NAME:
            ttl = zone.policy.dnskey_ttl
            found += [(owner, rtype, ttl, [] if is_anchored else rdatas) for rtype, rdatas in sets]
    return found
