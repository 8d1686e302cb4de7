"""When a secondary asks, and when its copy expires."""

import pytest

from zones.refresh import Bounds, Standing, Timers, at_start, compared, spread

TIMERS = Timers(refresh=3600, retry=600, expire=86400)
NOW = 1_700_000_000


def soa(refresh: int, retry: int, expire: int) -> bytes:
    """SOA rdata with these timers."""
    return b"\0\0" + b"".join(number.to_bytes(4, "big") for number in (7, refresh, retry, expire, 300))


def test_timers_are_those_of_the_soa_within_bounds():
    assert Timers.from_soa(soa(3600, 600, 86400), Bounds()) == TIMERS
    bounds = Bounds(refresh=(10, 20), retry=(1, 2), expire=(100, 200))
    assert Timers.from_soa(soa(0, 0, 0), bounds) == Timers(10, 1, 100)
    assert Timers.from_soa(soa(2**32 - 1, 2**32 - 1, 2**32 - 1), bounds) == Timers(20, 2, 200)


def test_without_a_copy_it_asks_at_once_and_then_less_and_less_often():
    standing = at_start(None, None, None, NOW, 0.5)
    assert standing == Standing(NOW)
    waits = []
    for _ in range(12):
        standing = standing.failed(NOW, 0.0)
        waits.append(standing.next_at - NOW)
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    assert not standing.has_expired(NOW + 10**9), "there is nothing to expire"


def test_a_confirmation_sets_all_timers_and_a_failure_only_the_next_try():
    standing = Standing(NOW).confirmed(TIMERS, NOW, 0.0, is_new=True)
    assert (standing.next_at, standing.expires_at) == (NOW + 3600, NOW + 86400)
    failed = standing.failed(NOW + 3600, 0.0).failed(NOW + 4200, 0.0)
    assert (failed.next_at, failed.expires_at, failed.failures) == (NOW + 4800, NOW + 86400, 2)
    assert not failed.has_expired(NOW + 86399)
    assert failed.has_expired(NOW + 86400)
    again = failed.confirmed(TIMERS, NOW + 90000, 0.0)
    assert (again.expires_at, again.failures) == (NOW + 176400, 0)


def test_a_primary_that_is_a_secondary_says_how_long_its_copy_is_good():
    """RFC 7314 section 4."""
    new = Standing(NOW).confirmed(TIMERS, NOW, 0.0, expire=1000, is_new=True)
    assert new.expires_at == NOW + 1000
    assert new.confirmed(TIMERS, NOW + 10, 0.0, expire=2000).expires_at == NOW + 2010
    assert new.confirmed(TIMERS, NOW + 10, 0.0, expire=100).expires_at == NOW + 1000, "no shorter than it was"
    assert new.confirmed(TIMERS, NOW, 0.0, expire=10**9).expires_at == NOW + 86400, "no longer than the SOA says"


def test_a_restart_makes_nothing_younger():
    known = at_start(TIMERS, NOW - 1000, NOW + 85400, NOW, 0.0)
    assert (known.next_at, known.expires_at) == (NOW + 2600, NOW + 85400)
    late = [at_start(TIMERS, NOW - 80000, NOW + 6400, NOW, jitter).next_at for jitter in (0.0, 0.5, 1.0)]
    assert late == [NOW, NOW + 180, NOW + 360], "spread, not all at once"
    assert at_start(TIMERS, NOW - 90000, NOW - 3600, NOW, 0.0).has_expired(NOW)
    ahead = at_start(TIMERS, NOW + 5000, NOW + 91400, NOW, 0.0)
    assert ahead.expires_at == NOW + 86400, "a clock that ran ahead makes nothing good for longer"
    assert at_start(TIMERS, NOW, None, NOW, 0.0).expires_at == NOW + 86400


def test_jitter_makes_waits_shorter_by_a_tenth_at_most():
    assert [spread(1000, jitter) for jitter in (0.0, 0.5, 1.0)] == [1000, 950, 900]
    assert spread(0, 1.0) == 1


@pytest.mark.parametrize(
    ("theirs", "ours", "expected"),
    [
        (5, None, "newer"),
        (6, 5, "newer"),
        (5, 5, "current"),
        (4, 5, "older"),
        (3, 2**32 - 2, "newer"),
        (2**32 - 2, 3, "older"),
        (2**31, 0, "older"),
    ],
)
def test_serials_are_compared_as_rfc_1982_says(theirs, ours, expected):
    assert compared(theirs, ours) == expected
