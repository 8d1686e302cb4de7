"""What an operator decides about the keys and signatures of a zone, as durations; when to act on it is `rollover`'s.

The defaults are BIND's `dnssec-policy default` (one CSK, algorithm 13, unlimited), which every operator can look up.
"""

from dataclasses import dataclass
from enum import StrEnum
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


class Role(StrEnum):
    """What a key signs."""

    CSK = "csk"
    """Everything: the keys and the zone."""
    KSK = "ksk"
    """The DNSKEY, CDS and CDNSKEY RRsets; the parent's DS points to it."""
    ZSK = "zsk"
    """Everything else."""

    @property
    def is_ksk(self) -> bool:
        """Whether such a key has a DS."""
        return self is not Role.ZSK

    @property
    def is_zsk(self) -> bool:
        """Whether such a key signs the zone."""
        return self is not Role.KSK


@dataclass(frozen=True, slots=True)
class KeySpec:
    """One key that a zone is to have at any time; `lifetime` None means that it is never replaced by itself.

    `bits` is the length of an RSA modulus, None for algorithms of one size. `store` names where it is made and
    signs, empty for the state database.
    """

    role: Role = Role.CSK
    algorithm: int = 13
    lifetime: int | None = None
    bits: int | None = None
    store: str = ""


@dataclass(frozen=True, slots=True)
class Policy:
    """One named policy; all times are durations in seconds. Raises PolicyError when they contradict each other.

    `keys` is empty for the policy `insecure`, by which a zone gives its signatures up.
    """

    name: str = "default"
    keys: tuple[KeySpec, ...] = (KeySpec(),)
    dnskey_ttl: int = _HOUR
    max_zone_ttl: int = 5 * _DAY
    """Longer TTLs are shortened to it, with a warning."""
    publish_safety: int = _HOUR
    retire_safety: int = _HOUR
    propagation_delay: int = 300
    """From a sealed version here to the same at the last secondary."""
    parent_propagation_delay: int = _HOUR
    parent_ds_ttl: int = _DAY
    """What is reckoned with until the parent's real TTL is seen."""
    parent_registration_delay: int = _DAY
    """The longest the parent may take to act on CDS that it read."""
    validity: int = 14 * _DAY
    refresh: int = 5 * _DAY
    jitter: int = 12 * _HOUR
    inception_offset: int = _HOUR
    purge_after: int = 90 * _DAY
    """How long a key that is in no cache any more is kept."""
    alarm_after: int = 7 * _DAY
    """How long the parent may take before somebody is told."""
    denial: Denial = Denial()
    cds: Literal["always", "rollover", "none"] = "always"
    cdnskey: bool = True
    digests: tuple[int, ...] = (2,)
    """Digest types of CDS and DS."""
    bootstrap: bool = False
    """Whether CDS is also shown below the zone's name servers, for parents that know nothing of it yet (RFC 9615)."""
    algorithm_roll: Literal["strict", "liberal"] = "strict"
    """Whether each algorithm of the DNSKEY RRset signs everything at any time (RFC 4035 section 2.2)."""
    serial: Literal["auto", "increment", "unixtime", "date"] = "auto"
    zonemd: bool = False

    def __post_init__(self) -> None:
        for field in self.__slots__:
            value = getattr(self, field)
            if type(value) is int and not 0 <= value <= _MAX_DURATION:
                raise PolicyError(self.name, f"{field} {value} is not between 0 and {_MAX_DURATION}")
        # A signature made now must not be due for renewal now: jitter shortens it by up to `jitter`.
        if self.refresh >= self.validity - self.jitter:
            raise PolicyError(
                self.name,
                f"refresh {self.refresh} is not below validity {self.validity} less jitter {self.jitter}",
            )

    @property
    def is_insecure(self) -> bool:
        """Whether the zone is to lose its signatures."""
        return not self.keys


DEFAULT: Final = Policy()
INSECURE: Final = Policy("insecure", keys=())
