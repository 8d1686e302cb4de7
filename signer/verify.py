"""The verification before a version goes live and before it is sealed; a failure is a finding that holds it."""

from dataclasses import dataclass
from typing import Literal

from engine import EngineError, SignatureError, SignedVersion, name_to_text
from zones import check
from zones.check import Finding, Severity


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verification found; `is_complete` is False while there is more to verify."""

    findings: tuple[Finding, ...] = ()
    is_complete: bool = True

    @property
    def is_held(self) -> bool:
        """Whether the version must not go on: not live, or not sealed."""
        return check.held(self.findings)


def before_live(signed: SignedVersion) -> Verdict:
    """Denial structure, apex RRsets, the first signature of each key; to be asked before every publish."""
    return Verdict(tuple(check.from_engine(signed.check())))


def presigned(signed: SignedVersion, policy: Literal["warn", "hold"], now: int) -> tuple[Finding, ...]:
    """What is wrong with signatures and proofs that a zone brings along; errors when the policy holds such zones.

    Nothing is found in a version that we sign or that is not signed at all. Looked at when content comes: a signature
    that expires while it is served is not seen here.
    """
    severity: Severity = "error" if policy == "hold" else "warning"
    file = name_to_text(signed.version.origin)
    return tuple(Finding(file, 0, 0, one.rule, severity, one.message) for one in signed.check_presigned(now))


def before_sealed(signed: SignedVersion, budget_us: int) -> Verdict:
    """Make, then verify signatures for about `budget_us`; call again while it is not complete.

    Complete and not held, the signatures may be persisted and the version sealed. Held, it stays open, so that no
    transfer shows a wrong signature.
    """
    try:
        return Verdict(is_complete=signed.make(budget_us) and signed.verify(budget_us))
    except SignatureError as error:
        return Verdict((_held(signed, "signature-wrong", str(error)),))
    except EngineError as error:
        return Verdict((_held(signed, "signature-missing", str(error)),))


def _held(signed: SignedVersion, rule: str, message: str) -> Finding:
    return check.finding(name_to_text(signed.version.origin), rule, f"serial {signed.serial}: {message}")
