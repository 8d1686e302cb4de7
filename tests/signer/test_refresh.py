from dataclasses import replace

import pytest

from keys.policy import DEFAULT
from signer.refresh import next_refresh

NOW = 1_700_000_000
DAY = 86400


def test_signatures_are_renewed_long_before_they_expire() -> None:
    assert next_refresh(NOW + 14 * DAY, DEFAULT, NOW) == NOW + 9 * DAY + 3600


def test_what_is_overdue_is_due_now() -> None:
    assert next_refresh(NOW + DAY, DEFAULT, NOW) == NOW
    assert next_refresh(NOW - DAY, DEFAULT, NOW) == NOW


def test_a_zone_without_signatures_is_never_due() -> None:
    assert next_refresh(None, DEFAULT, NOW) is None


@pytest.mark.parametrize(
    ("jitter", "refresh", "interval"), [(12 * 3600, 5 * DAY, 3600), (0, 5 * DAY, 1), (12 * 3600, 60, 6), (12, 60, 1)]
)
def test_a_batch_is_a_part_of_the_jitter_and_of_the_time_left(jitter: int, refresh: int, interval: int) -> None:
    assert replace(DEFAULT, jitter=jitter, refresh=refresh).batch_interval == interval


def test_a_renewal_takes_a_whole_batch_with_it() -> None:
    """What expires within one batch of the first is below `carry_until` when the renewal comes."""
    earliest = NOW + 10 * DAY
    due = next_refresh(earliest, DEFAULT, NOW)
    assert due is not None
    assert due + DEFAULT.refresh == earliest + DEFAULT.batch_interval
