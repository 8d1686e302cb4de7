"""Serial arithmetic (RFC 1982) and the choice of the published serial."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zones.serial import HALF, MODULUS, is_after, published_serial, successor

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
