"""What an operator decides about the keys and signatures of a zone, as durations; when to act on it is `rollover`'s.

The defaults are BIND's `dnssec-policy default` (one CSK, algorithm 13, unlimited), which every operator can look up.
"""

from dataclasses import dataclass
from typing import Final, Literal

from keys.errors import PolicyError

_HOUR: Final = 3600
_DAY: Final = 24 * _HOUR
_MAX_DURATION: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Denial:
    """How absence is proved: NSEC, NSEC3 (RFC 5155) or compact (RFC 9824); all but `kind` belongs to NSEC3.

    RFC 9276 section 3.1 wants no additional iterations and no salt, and so do the defaults.
    """

    kind: Literal["nsec", "nsec3", "compact"] = "nsec"
    opt_out: bool = False
    iterations: int = 0
    salt: bytes = b""


@dataclass(frozen=True, slots=True)
class Policy:
    """One named policy; all times are durations in seconds. Raises PolicyError when they contradict each other."""

    name: str = "default"
    algorithm: int = 13
    dnskey_ttl: int = _HOUR
    publish_safety: int = _HOUR
    retire_safety: int = _HOUR
    propagation_delay: int = 300
    parent_propagation_delay: int = _HOUR
    parent_ds_ttl: int = _DAY
    validity: int = 14 * _DAY
    refresh: int = 5 * _DAY
    jitter: int = 12 * _HOUR
    inception_offset: int = _HOUR
    denial: Denial = Denial()

    def __post_init__(self) -> None:
        for field in self.__slots__[2:]:
            value = getattr(self, field)
            if isinstance(value, int) and not 0 <= value <= _MAX_DURATION:
                raise PolicyError(self.name, f"{field} {value} is not between 0 and {_MAX_DURATION}")
        # A signature made now must not be due for renewal now: jitter shortens it by up to `jitter`.
        if self.refresh >= self.validity - self.jitter:
            raise PolicyError(
                self.name,
                f"refresh {self.refresh} is not below validity {self.validity} less jitter {self.jitter}",
            )


DEFAULT: Final = Policy()
