"""What an operator decides about the keys and signatures of a zone, as durations; when to act on it is `rollover`'s.

The defaults are BIND's `dnssec-policy default` (one CSK, algorithm 13, unlimited), which every operator can look up;
only `max_zone_ttl` is longer, as long as `refresh` allows. *Words* are the names that policy files and messages have
for the fields: hyphens for underscores.
"""

import json
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal

from keys.errors import PolicyError
from keys.filekey import FileKey

_HOUR: Final = 3600
_DAY: Final = 24 * _HOUR
_MAX_DURATION: Final = 2**31 - 1

ALGORITHMS: Final = MappingProxyType(
    {
        8: "rsasha256",
        10: "rsasha512",
        13: "ecdsap256sha256",
        14: "ecdsap384sha384",
        15: "ed25519",
        16: "ed448",
    }
)
"""Mnemonics of the algorithms that zones are signed with, in lower case (IANA, DNSSEC algorithm numbers)."""

RSASHA256: Final = 8
RSASHA512: Final = 10
RSA: Final = frozenset({RSASHA256, RSASHA512})
RSA_BITS: Final = range(2048, 4097)
"""Lengths of an RSA modulus: shorter is not safe, longer is beyond RFC 5702 section 2."""
RSA_DEFAULT_BITS: Final = 2048
DIGESTS: Final = MappingProxyType({2: "sha-256", 4: "sha-384"})
"""Digest types of DS that may be made; 1 may not (RFC 8624 section 3.3)."""
MAX_ITERATIONS: Final = 150
"""Validators take zones of more NSEC3 iterations for insecure, or fail (RFC 9276 section 3.2)."""
MAX_SALT: Final = 255
_BATCHES_PER_JITTER: Final = 12
_REFRESH_PART: Final = 10


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
    signs, empty for the state database. `shared`: zones of this policy in one view have the same key.
    """

    role: Role = Role.CSK
    algorithm: int = 13
    lifetime: int | None = None
    bits: int | None = None
    store: str = ""
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """One named policy; all times are durations in seconds. Raises PolicyError when they contradict each other.

    `keys` is empty for the policy `insecure`, by which a zone gives its signatures up.
    """

    name: str = "default"
    keys: tuple[KeySpec, ...] = (KeySpec(),)
    dnskey_ttl: int = _HOUR
    max_zone_ttl: int = 4 * _DAY
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
    offline_ksk: bool = False
    """Whether KSKs are out of reach: what they sign comes ahead of time, in signed key responses (`offline`)."""
    key_files: tuple[FileKey, ...] = ()
    """Keys that stay in files and are never rolled; without any, keys are made and kept in the state."""

    def __post_init__(self) -> None:
        for field in self.__slots__:
            value = getattr(self, field)
            if type(value) is int and not 0 <= value <= _MAX_DURATION:
                raise PolicyError(self.name, f"{field} {value} is not between 0 and {_MAX_DURATION}")
        # A signature made now must not be due for renewal now: jitter shortens it by up to `jitter`.
        if self.refresh >= self.validity - self.jitter:
            left = duration_text(max(0, self.validity - self.jitter))
            reason = f"{self.term('refresh')} is not below {left} = {self.term('validity')} - {self.term('jitter')}"
            raise PolicyError(self.name, f"{reason}: signatures would be due for renewal when they are made")

    def term(self, field: str) -> str:
        """The word and the value of a duration, as messages have them: `dnskey-ttl 1h`."""
        return f"{word(field)} {duration_text(getattr(self, field))}"

    @property
    def batch_interval(self) -> int:
        """How long signatures that became due may wait for others, so that they share a serial.

        Jitter spreads expirations; the interval cuts that spread into a dozen batches, and never uses up more than a
        tenth of the time that is left for renewing.
        """
        return max(1, min(self.jitter // _BATCHES_PER_JITTER, self.refresh // _REFRESH_PART))

    @property
    def is_dictated(self) -> bool:
        """Whether signed key responses say when DNSKEYs and their signatures come and go, not the rules of rollover."""
        return self.offline_ksk and not self.is_insecure

    @property
    def is_insecure(self) -> bool:
        """Whether the zone is to lose its signatures."""
        return not self.keys


@dataclass(frozen=True, slots=True)
class TokenStore:
    """A PKCS#11 token in which keys are made and sign, as `stores` of a policy file names it."""

    name: str
    module: Path
    token: str
    pin_file: Path | None = None


def word(field: str) -> str:
    """The word of a field."""
    return field.replace("_", "-")


def duration_text(seconds: int) -> str:
    """A duration as it is written: `14d`, `1h30m`, `0s`."""
    parts = []
    for unit, length in (("d", _DAY), ("h", _HOUR), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, length)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def algorithm_words() -> str:
    """The accepted algorithms, for messages."""
    return ", ".join(f"{number} {name}" for number, name in ALGORITHMS.items())


def digest_words() -> str:
    """The accepted digest types, for messages."""
    return ", ".join(f"{number} {name}" for number, name in DIGESTS.items())


# ------------------------------------------------------------------ what comes with the product

DEFAULT: Final = Policy()
INSECURE: Final = Policy("insecure", keys=())
NSEC3: Final = Policy("nsec3", denial=Denial("nsec3"))
CORPORATE: Final = Policy(
    "corporate",
    keys=(KeySpec(Role.KSK, lifetime=365 * _DAY), KeySpec(Role.ZSK, lifetime=90 * _DAY)),
)
BUILT_IN: Final = MappingProxyType({policy.name: policy for policy in (DEFAULT, CORPORATE, NSEC3, INSECURE)})
"""The policies that need no file, by name."""


# ------------------------------------------------------------------ kept with the keys


@lru_cache(maxsize=256)
def to_text(policy: Policy) -> str:
    """All of a policy as JSON, but for keys in files."""
    facts = asdict(replace(policy, key_files=()))
    del facts["key_files"]
    facts["denial"]["salt"] = policy.denial.salt.hex()
    return json.dumps(facts, sort_keys=True)


def from_text(text: str) -> Policy:
    """What `to_text` made; facts that are not there, as an older version wrote it, have their defaults."""
    facts = json.loads(text)
    known = {field.name for field in fields(Policy)}
    facts = {name: value for name, value in facts.items() if name in known}
    denial = facts.pop("denial", {})
    keys = tuple(KeySpec(**{**key, "role": Role(key["role"])}) for key in facts.pop("keys", ()))
    digests = tuple(facts.pop("digests", DEFAULT.digests))
    salt = bytes.fromhex(denial.pop("salt", ""))
    return Policy(**facts, keys=keys, digests=digests, denial=Denial(**denial, salt=salt))
