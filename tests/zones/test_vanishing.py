"""Zones whose files vanish: one goes soon, many at once are kept for a while."""

from zones.vanishing import Vanishing

NOW = 1_800_000_000
NONE = frozenset()


def zones(*numbers):
    return frozenset(b"\x02z%d\x00" % number for number in numbers)


TEN = zones(*range(10))


def test_what_is_missing_twice_is_gone():
    vanishing = Vanishing()
    assert vanishing.look(TEN, zones(1), NONE, NOW) == NONE
    assert vanishing.is_waiting
    assert vanishing.look(TEN, zones(1, 2), NONE, NOW + 3) == zones(1)


def test_what_comes_back_was_never_gone():
    vanishing = Vanishing()
    vanishing.look(TEN, zones(1), NONE, NOW)
    vanishing.look(TEN, NONE, NONE, NOW + 3)
    assert vanishing.look(TEN, zones(1), NONE, NOW + 6) == NONE


def test_more_than_half_at_once_are_kept_for_ten_looks_and_ten_minutes():
    vanishing, lost = Vanishing(), zones(*range(6))
    for number in range(20):
        assert vanishing.look(TEN, lost, NONE, NOW + 3 * number) == NONE
    assert vanishing.kept == lost
    assert vanishing.look(TEN, lost, NONE, NOW + 599) == NONE
    assert vanishing.look(TEN, lost, NONE, NOW + 600) == lost


def test_ten_minutes_of_few_looks_are_not_enough():
    vanishing, lost = Vanishing(), zones(*range(6))
    for number in range(9):
        assert vanishing.look(TEN, lost, NONE, NOW + 3600 * number) == NONE
    assert vanishing.look(TEN, lost, NONE, NOW + 3600 * 9) == lost


def test_two_of_three_go_as_one_does():
    vanishing = Vanishing()
    vanishing.look(zones(1, 2, 3), zones(1, 2), NONE, NOW)
    assert vanishing.look(zones(1, 2, 3), zones(1, 2), NONE, NOW + 3) == zones(1, 2)


def test_a_slow_copy_that_has_passed_the_half_takes_nobody_away():
    vanishing = Vanishing()
    for number in range(9):
        missing = zones(*range(number + 1, 10))
        assert vanishing.look(TEN, missing, NONE, NOW + 300 * number) == NONE
    assert vanishing.look(TEN, zones(9), NONE, NOW + 300 * 9) == NONE
    assert vanishing.look(TEN, NONE, NONE, NOW + 300 * 10) == NONE
    assert not vanishing.kept


def test_time_with_an_empty_directory_does_not_count():
    vanishing = Vanishing()
    for number in range(50):
        vanishing.look(TEN, TEN, NONE, NOW + 60 * number)
    assert vanishing.look(TEN, TEN - zones(1), NONE, NOW + 3000) == NONE


def test_what_another_source_has_goes_however_many_there_are():
    vanishing = Vanishing()
    vanishing.look(TEN, TEN, TEN, NOW)
    assert vanishing.look(TEN, TEN, TEN, NOW + 3) == TEN
