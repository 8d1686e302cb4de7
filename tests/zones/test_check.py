"""Findings, and what holds a version."""

from zones.check import Finding, finding, held, merged


def test_an_error_holds_and_a_warning_does_not() -> None:
    warning = Finding("db.a", 1, 2, "ttl-differs", "warning", "the TTL differs")
    error = Finding("db.a", 3, 0, "syntax", "error", "no")
    assert not held([])
    assert not held([warning])
    assert held([warning, error])


def test_a_finding_shows_its_place_as_far_as_it_is_known() -> None:
    assert str(Finding("db.a", 3, 7, "syntax", "error", "no")) == "db.a:3:7: no [syntax]"
    assert str(Finding("db.a", 3, 0, "syntax", "error", "no")) == "db.a:3: no [syntax]"
    assert str(finding("db.a", "file-name", "odd")) == "db.a: warning: odd [file-name]"


def test_rules_without_a_severity_are_errors() -> None:
    assert finding("db.a", "a-new-rule", "x").severity == "error"


def test_findings_are_merged_once_and_in_order_of_place() -> None:
    first, second, third = finding("a", "r", "x", line=2), finding("a", "r", "x", line=10), finding("b", "r", "x")
    assert merged([third, second], [first, second]) == (first, second, third)
