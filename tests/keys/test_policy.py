import pytest

from keys.errors import PolicyError
from keys.policy import DEFAULT, KeySpec, Policy, Role, duration_text

DAY = 86400


def test_the_default_is_binds_default_policy() -> None:
    assert (
        Policy(
            name="default",
            keys=(KeySpec(Role.CSK, 13),),
            dnskey_ttl=3600,
            publish_safety=3600,
            retire_safety=3600,
            propagation_delay=300,
            parent_propagation_delay=3600,
            parent_ds_ttl=86400,
            validity=14 * 86400,
            refresh=5 * 86400,
            jitter=12 * 3600,
            inception_offset=3600,
        )
        == DEFAULT
    )


def test_signatures_that_would_be_due_when_made_are_refused() -> None:
    with pytest.raises(PolicyError) as caught:
        Policy(name="corp", validity=450_000)
    assert caught.value.policy == "corp"
    assert caught.value.reason == (
        "refresh 5d is not below 4d17h = validity 5d5h - jitter 12h: signatures would be due for renewal when they are made"
    )


@pytest.mark.parametrize("value", [-1, 2**31])
def test_durations_out_of_range_are_refused(value: int) -> None:
    with pytest.raises(PolicyError, match=f"dnskey_ttl {value} is not between"):
        Policy(dnskey_ttl=value)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (59, "59s"), (5400, "1h30m"), (14 * DAY, "14d"), (DAY + 1, "1d1s")]
)
def test_durations_are_shown_as_they_are_written(seconds: int, text: str) -> None:
    assert duration_text(seconds) == text
