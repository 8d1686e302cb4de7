"""The digest of a zone that comes in (RFC 8976): a version whose ZONEMD does not fit its records is held.

Only the digest is looked at, not whether the ZONEMD record itself is signed (section 4 steps 1 to 3): who relies on
that validates the zone. Schemes and hash algorithms that are not known verify nothing and break nothing.
"""

from __future__ import annotations

from typing import Final

from engine import SignedVersion, Version
from zones.check import Finding, finding

ZONEMD: Final = 63
SIMPLE: Final = 1
HASHES: Final = (1, 2)
"""SHA-384 and SHA-512."""
_HEAD: Final = 6


def verify(version: Version, file: str) -> list[Finding]:
    """An error when the zone has ZONEMD records that could be verified and none of them fits; `file` is where it is."""
    _, rdatas = version.rrset(version.origin, ZONEMD) or (0, [])
    # RFC 8976 section 4 step 4: of those with the SOA's serial; two of one scheme and hash count as none.
    current = [one for one in rdatas if int.from_bytes(one[:4], "big") == version.serial]
    heads = [one[4:_HEAD] for one in current]
    known = [one for one in current if one[4] == SIMPLE and one[5] in HASHES and heads.count(one[4:_HEAD]) == 1]
    if rdatas and not current:
        return [_wrong(file, f"its ZONEMD is of serial {int.from_bytes(rdatas[0][:4], 'big')}, not {version.serial}")]
    if not known:
        return []
    signed = SignedVersion(version)
    if any(signed.zone_digest_by(one[5]) == one[_HEAD:] for one in known):
        return []
    return [_wrong(file, "its ZONEMD is not the digest of its records")]


def _wrong(file: str, reason: str) -> Finding:
    return finding(file, "zonemd-wrong", f"serial can't be trusted: {reason}")
