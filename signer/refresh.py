"""When a version's signatures are to be renewed: long before they expire, and many at once in one new serial."""

from keys.policy import Policy


def next_refresh(earliest_expiration: int | None, policy: Policy, now: int) -> int | None:
    """When a new version with renewed signatures is due, `now` if that is past; None for a zone without signatures.

    The version made then carries over what expires more than `refresh` later (`SigningPlan.carry_until`).
    """
    if earliest_expiration is None:
        return None
    return max(now, earliest_expiration - policy.refresh + policy.batch_interval)


def is_overdue(earliest_expiration: int | None, policy: Policy, now: int) -> bool:
    """Whether renewal is later than a timer makes it: the clock jumped forward, or nobody was there for long."""
    if earliest_expiration is None:
        return False
    return now > earliest_expiration - policy.refresh + 2 * policy.batch_interval
