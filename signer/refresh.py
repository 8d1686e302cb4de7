"""When a version's signatures are to be renewed: long before they expire, and many at once in one new serial."""

from typing import Final

from keys.policy import Policy

_BATCHES_PER_JITTER: Final = 12
_REFRESH_PART: Final = 10


def batch_interval(policy: Policy) -> int:
    """How long signatures that became due may wait for others, so that they share a serial.

    Jitter spreads expirations; the interval cuts that spread into a dozen batches, and never uses up more than a
    tenth of the time that is left for renewing.
    """
    return max(1, min(policy.jitter // _BATCHES_PER_JITTER, policy.refresh // _REFRESH_PART))


def next_refresh(earliest_expiration: int | None, policy: Policy, now: int) -> int | None:
    """When a new version with renewed signatures is due, `now` if that is past; None for a zone without signatures.

    The version made then carries over what expires more than `refresh` later (`SigningPlan.carry_until`).
    """
    if earliest_expiration is None:
        return None
    return max(now, earliest_expiration - policy.refresh + batch_interval(policy))
