"""The verification before a version goes live and before it is sealed; a failure is a finding that holds it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from engine import EngineError, SignedVersion, name_to_text
from zones import check
from zones.check import Finding, Severity

AT_LIVE: Final = (
    "names-wrong",
    "denial-order",
    "denial-gap",
    "denial-wrong",
    "denial-extra",
    "nsec3-wrong",
    "nsec3-collision",
    "nsec3-name-too-long",
    "nsec3param-wrong",
    "apex-rrset-missing",
    "soa-twice",
    "key-malformed",
    "key-not-published",
    "algorithm-unsigned",
    "cds-wrong",
    "cds-no-key",
    "cds-no-signer",
    "ds-no-signer",
    "signature-missing",
    "signature-extra",
    "signature-malformed",
    "signature-fields",
    "signature-window",
    "signature-not-yet-valid",
    "signature-expired",
    "signature-expires-soon",
    "ttl-beyond-signature",
    "signature-no-key",
    "signature-wrong",
)
"""Rules of the gate before a version goes live."""
NOT_SEALED: Final = "not-sealed"
"""The rule of the gate before a version is sealed."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a version is held against, at `now`.

    `horizon` is how many seconds a signature has to live on, or its TTL where that is shorter. `parent_ds` are the DS
    rdatas known at the parent, of which one at least must lead to a key that signs the DNSKEY RRset; none when nothing
    is known. `foreign` are DNSKEY rdatas of other providers (RFC 8901), which need not sign here. `is_liberal`: of the
    algorithms in the DNSKEY RRset one has to sign each RRset (RFC 6840 section 5.11), not all (RFC 4035 section 2.2).
    """

    now: int
    horizon: int = 0
    parent_ds: Sequence[bytes] = ()
    foreign: Sequence[bytes] = ()
    is_liberal: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verification found; `is_complete` is False while there is more to verify."""

    findings: tuple[Finding, ...] = ()
    is_complete: bool = True

    @property
    def is_held(self) -> bool:
        """Whether the version must not go on: not live, or not sealed."""
        return check.held(self.findings)


def before_live(signed: SignedVersion, expected: Expected) -> Verdict:
    """Denial structure, apex RRsets, the way from the parent, the first signature of each key; before every publish.

    Of a version that is served as its source has it nothing is asked here; `presigned` looks at that.
    """
    if not signed.is_signed:
        return Verdict()
    findings = signed.check(
        expected.now,
        horizon=expected.horizon,
        parent_ds=expected.parent_ds,
        foreign=expected.foreign,
        is_liberal=expected.is_liberal,
    )
    return Verdict(tuple(check.from_engine(findings)))


def presigned(signed: SignedVersion, policy: Literal["warn", "hold"], now: int) -> tuple[Finding, ...]:
    """What is wrong with signatures and proofs that a zone brings along; errors when the policy holds such zones.

    Nothing is found in a version that we sign or that is not signed at all. Looked at when content comes: a signature
    that expires while it is served is not seen here.
    """
    severity: Severity = "error" if policy == "hold" else "warning"
    file = name_to_text(signed.version.origin)
    return tuple(Finding(file, 0, 0, one.rule, severity, one.message) for one in signed.check_presigned(now))


def before_sealed(signed: SignedVersion, budget_us: int, expected: Expected) -> Verdict:
    """Make, then verify signatures for about `budget_us`; call again while it is not complete.

    Complete and not held, the signatures may be persisted and the version sealed. Held, it stays open, so that no
    transfer shows a wrong signature.
    """
    try:
        is_complete = signed.make(budget_us) and signed.verify(
            budget_us,
            expected.now,
            horizon=expected.horizon,
            foreign=expected.foreign,
            is_liberal=expected.is_liberal,
        )
        return Verdict(is_complete=is_complete)
    except EngineError as error:
        return Verdict((not_sealed(signed, str(error)),))


def not_sealed(signed: SignedVersion, message: str) -> Finding:
    """The finding that keeps a version from being sealed."""
    reason = f"serial {signed.serial} fails its verification and no secondary gets it: {message}"
    return check.finding(name_to_text(signed.version.origin), NOT_SEALED, reason)
