"""Serial arithmetic (RFC 1982) and the choice of the published serial."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zones.serial import HALF, MODULUS, SerialPolicy, is_after, published_serial, successor

SERIALS = st.integers(0, MODULUS - 1)


@pytest.mark.parametrize(
    ("serial", "other", "after"),
    [
        (1, 0, True),
        (0, 1, False),
        (5, 5, False),
        (0, MODULUS - 1, True),
        (HALF - 1, 0, True),
        (HALF, 0, False),  # RFC 1982 section 3.2: undefined
        (2026112301, 1795418379, True),
    ],
)
def test_comparison(serial: int, other: int, after: bool) -> None:
    assert is_after(serial, other) is after


@given(SERIALS)
def test_the_successor_is_after_and_never_zero(serial: int) -> None:
    assert is_after(successor(serial), serial)
    assert 0 < successor(serial) < MODULUS


@given(SERIALS, SERIALS)
def test_no_two_serials_are_after_each_other(a: int, b: int) -> None:
    assert not (is_after(a, b) and is_after(b, a))


@given(SERIALS, SERIALS, st.booleans())
def test_the_published_serial_only_moves_forward(source: int, last: int, changed: bool) -> None:
    serial = published_serial(source, last, changed=changed)
    assert serial == last or is_after(serial, last)
    if changed:
        assert serial != last


def test_the_first_one_is_the_sources() -> None:
    assert published_serial(7, None, changed=True) == 7


def test_a_forgotten_bump_is_made_good() -> None:
    assert published_serial(7, 7, changed=True) == 8
    assert published_serial(7, 7, changed=False) == 7


def test_a_source_that_goes_back_does_not_take_the_published_serial_back() -> None:
    assert published_serial(3, 9, changed=True) == 10
    assert published_serial(3, 9, changed=False) == 9


POLICIES = st.sampled_from(["auto", "increment", "unixtime", "date"])
NOON = 1795435200
"""2026-11-23 12:00 UTC."""
DAY = 86400


@given(SERIALS, SERIALS, st.booleans(), POLICIES, st.integers(0, 2**33))
def test_by_every_policy_it_only_moves_forward(
    source: int, last: int, changed: bool, policy: SerialPolicy, now: int
) -> None:
    serial = published_serial(source, last, changed=changed, policy=policy, now=now)
    assert 0 <= serial < MODULUS
    assert serial == last or is_after(serial, last)
    if changed:
        assert serial != last


@given(SERIALS, st.sampled_from(["increment", "unixtime", "date"]), st.integers(0, 2**33))
def test_at_first_sight_it_is_not_behind_the_sources(source: int, policy: SerialPolicy, now: int) -> None:
    """Secondaries of the zone may have the source's."""
    serial = published_serial(source, None, changed=True, policy=policy, now=now)
    assert serial == source or is_after(serial, source)


@pytest.mark.parametrize(
    ("policy", "source", "last", "expected"),
    [
        ("increment", 7, None, 7),
        ("increment", 100, 7, 8),
        ("increment", 1, MODULUS - 1, 1),
        ("unixtime", 7, None, NOON),
        ("unixtime", 7, NOON - 60, NOON),
        ("unixtime", 7, NOON, NOON + 1),
        ("unixtime", 2026112301, None, 2026112301),  # from a date to the time, which is behind it
        ("unixtime", 2026112301, 2026112301, 2026112302),
        ("unixtime", 7, NOON + HALF, NOON + HALF + 1),  # RFC 1982 section 3.2: undefined
        ("unixtime", 7, NOON + HALF + 1, NOON),
        ("date", 7, None, 2026112300),
        ("date", 2026112205, 2026112205, 2026112300),
        ("date", 7, 2026112300, 2026112301),
        ("date", 7, 2026112399, 2026112400),
        ("date", 7, 2026112417, 2026112418),
    ],
)
def test_what_is_published_at_noon(policy: SerialPolicy, source: int, last: int | None, expected: int) -> None:
    assert published_serial(source, last, changed=True, policy=policy, now=NOON) == expected


@pytest.mark.parametrize("policy", ["increment", "unixtime", "date"])
def test_a_source_serial_that_was_raised_alone_is_no_change(policy: SerialPolicy) -> None:
    assert published_serial(100, 7, changed=False, policy=policy, now=NOON) == 7


def test_more_than_a_hundred_changes_a_day_spill_over_until_the_date_has_caught_up() -> None:
    serial = 2026112300
    for _ in range(250):
        serial = published_serial(0, serial, changed=True, policy="date", now=NOON)
    assert serial == 2026112550
    assert published_serial(0, serial, changed=True, policy="date", now=NOON + 2 * DAY) == 2026112551
    assert published_serial(0, serial, changed=True, policy="date", now=NOON + 3 * DAY) == 2026112600


def test_the_time_goes_on_after_2106() -> None:
    """RFC 1982: 2^32 seconds after 1970 the number is small again, and after the last one all the same."""
    last = MODULUS - 10
    assert published_serial(0, last, changed=True, policy="unixtime", now=MODULUS - 5) == MODULUS - 5
    assert published_serial(0, last, changed=True, policy="unixtime", now=MODULUS) == 1
    assert published_serial(0, last, changed=True, policy="unixtime", now=MODULUS + 100) == 100
