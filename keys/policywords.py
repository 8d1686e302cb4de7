"""The words of policies: what each of them may say, and what other servers call it; files of them are `policyfile`'s.

A *reader* takes the text of one value and raises ValueError with a reason that names the accepted words.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from keys.policy import (
    ALGORITHMS,
    DIGESTS,
    INSECURE,
    MAX_ITERATIONS,
    MAX_SALT,
    RSA_BITS,
    Denial,
    KeySpec,
    Policy,
    Role,
    algorithm_words,
    digest_words,
    duration_text,
)

STATE: Final = "state"
"""The store that is always there: the state database."""
_MAX_SECONDS: Final = 2**31 - 1


def nearest(name: str, names: Iterable[str]) -> str:
    """`; did you mean 'x'?` with the nearest of the names, or nothing when none is near."""
    near = difflib.get_close_matches(name.lower(), list(names), n=1, cutoff=0.6)
    return f"; did you mean '{near[0]}'?" if near else ""


ELSEWHERE: Final[Mapping[str, str]] = MappingProxyType(
    {
        # BIND's dnssec-policy.
        "cds-digest-types": "digests",
        "nsec3param": "denial",
        "purge-keys": "purge-after",
        "signatures-jitter": "jitter",
        "signatures-refresh": "refresh",
        "signatures-validity": "validity",
        "signatures-validity-dnskey": "validity",
        "zone-propagation-delay": "propagation-delay",
        # Knot DNS's policy.
        "algorithm": "keys",
        "cds-cdnskey-publish": "cds",
        "cds-digest-type": "digests",
        "delete-delay": "purge-after",
        "keystore": "store",
        "ksk-lifetime": "keys",
        "ksk-shared": "keys",
        "ksk-size": "keys",
        "nsec3": "denial",
        "nsec3-iterations": "denial",
        "nsec3-opt-out": "denial",
        "nsec3-salt-length": "denial",
        "rrsig-lifetime": "validity",
        "rrsig-refresh": "refresh",
        "single-type-signing": "keys",
        "zone-max-ttl": "max-zone-ttl",
        "zsk-lifetime": "keys",
        "zsk-size": "keys",
        # What belongs to a key.
        "bits": "keys",
        "lifetime": "keys",
        "role": "keys",
    }
)
"""Which word of a policy says what is said elsewhere, by this; the manual has the same table."""


# ------------------------------------------------------------------ one word's value

Read: TypeAlias = Callable[[str], Any]
"""Reads a scalar. Raises ValueError with a reason."""

_UNITS: Final = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}
_SPANS: Final = re.compile(r"(?:[0-9]{1,10}[wdhms])+")
_SPAN: Final = re.compile(r"([0-9]+)([wdhms])")


def duration(text: str) -> int:
    """Seconds of `14d`, `1h30m`, `0`. Raises ValueError with a reason."""
    if text == "0":
        return 0
    if not _SPANS.fullmatch(text.lower()):
        unit = f"; a unit is missing, {text}s for seconds" if text.isascii() and text.isdigit() else ""
        raise ValueError(f"'{text}' is not a duration such as 14d, 12h or 1h30m{unit}")
    seconds = sum(int(count) * _UNITS[unit] for count, unit in _SPAN.findall(text.lower()))
    if seconds > _MAX_SECONDS:
        raise ValueError(f"'{text}' is above {_MAX_SECONDS}s")
    return seconds


def _some_time(text: str) -> int:
    if seconds := duration(text):
        return seconds
    raise ValueError(f"'{text}' must be at least 1s")


def _lifetime(text: str) -> int | None:
    return None if text.lower() == "unlimited" else _some_time(text)


def choice(*accepted: str) -> Read:
    """A reader of one of a few words."""

    def parse(text: str) -> str:
        if text.lower() in accepted:
            return text.lower()
        raise ValueError(f"'{text}' is unknown{nearest(text, accepted)}; accepted: {', '.join(accepted)}")

    return parse


def _role(text: str) -> Role:
    return Role(choice(*Role)(text))


_BOOLEANS: Final = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def _boolean(text: str) -> bool:
    try:
        return _BOOLEANS[text.lower()]
    except KeyError:
        raise ValueError(f"'{text}' is not true or false") from None


def _number(least: int, most: int) -> Read:
    def parse(text: str) -> int:
        if re.fullmatch(r"[0-9]{1,10}", text) and least <= int(text) <= most:
            return int(text)
        raise ValueError(f"'{text}' is not a number from {least} to {most}")

    return parse


def _algorithm(text: str) -> int:
    if (number := _numbered(text, ALGORITHMS)) is not None:
        return number
    near = nearest(text, ALGORITHMS.values())
    raise ValueError(f"'{text}' is not signed with{near}; accepted: {algorithm_words()}")


def digest(text: str) -> int:
    """A digest type by number or name. Raises ValueError with a reason."""
    if (number := _numbered(text, DIGESTS)) is not None:
        return number
    raise ValueError(f"'{text}' is not made (RFC 8624 section 3.3); accepted: {digest_words()}")


def _numbered(text: str, names: Mapping[int, str]) -> int | None:
    """The number that is written, or whose name is; None when it is none of these."""
    wanted = text.lower().replace("-", "")
    return next((number for number, name in names.items() if wanted in (name.replace("-", ""), str(number))), None)


def salt(text: str) -> bytes:
    """The octets of a salt in hexadecimal, none for `-`. Raises ValueError with a reason."""
    if text == "-":
        return b""
    try:
        octets = bytes.fromhex(text)
    except ValueError:
        octets = b""
    if not 0 < len(octets) <= MAX_SALT:
        raise ValueError(f"salt '{text}' is not 1 to {MAX_SALT} octets in hexadecimal, nor -")
    return octets


def text_word(text: str) -> str:
    """Any text. Raises ValueError for none and for control characters."""
    if not text or not text.isprintable():
        raise ValueError(f"{text!r} is not a word")
    return text


KINDS: Final = ("nsec", "nsec3", "compact")

SCALARS: Final[Mapping[str, Read]] = MappingProxyType(
    {
        "dnskey-ttl": _some_time,
        "max-zone-ttl": _some_time,
        "publish-safety": duration,
        "retire-safety": duration,
        "propagation-delay": duration,
        "parent-propagation-delay": duration,
        "parent-ds-ttl": duration,
        "parent-registration-delay": duration,
        "validity": _some_time,
        "refresh": _some_time,
        "jitter": duration,
        "inception-offset": duration,
        "purge-after": duration,
        "alarm-after": duration,
        "cds": choice("always", "rollover", "none"),
        "cdnskey": _boolean,
        "bootstrap": _boolean,
        "algorithm-roll": choice("strict", "liberal"),
        "serial": choice("auto", "increment", "unixtime", "date"),
        "zonemd": _boolean,
        "offline-ksk": _boolean,
    }
)
"""The words of a policy with one value, and how it is read."""

KEY: Final[Mapping[str, Read]] = MappingProxyType(
    {
        "role": _role,
        "algorithm": _algorithm,
        "lifetime": _lifetime,
        "bits": _number(RSA_BITS.start, RSA_BITS.stop - 1),
        "store": text_word,
        "shared": _boolean,
    }
)
DENIAL: Final[Mapping[str, Read]] = MappingProxyType(
    {
        "kind": choice(*KINDS),
        "opt-out": _boolean,
        "iterations": _number(0, MAX_ITERATIONS),
        "salt": salt,
    }
)
STORE: Final[Mapping[str, Read]] = MappingProxyType(
    {"kind": choice("pkcs11"), "module": text_word, "token": text_word, "pin-file": text_word}
)
COMPOSED: Final = ("extends", "keys", "store", "denial", "digests")
POLICY_WORDS: Final = ("extends", "keys", "store", "denial", *SCALARS, "digests")
"""Every word of a policy."""
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def unknown(key: str, accepted: Sequence[str]) -> str:
    """What is said of a key that is none of the accepted ones."""
    if key in ELSEWHERE and ELSEWHERE[key] in accepted:
        return f"'{key}' is said by '{ELSEWHERE[key]}' here; accepted: {', '.join(accepted)}"
    if key == "<<":
        return "'<<' is not taken; 'extends: NAME' starts from another policy"
    return f"'{key}' is unknown{nearest(key, accepted)}; accepted: {', '.join(accepted)}"


def denial_warnings(denial: Denial) -> dict[str, str]:
    """What RFC 9276 section 3.1 advises against, by word."""
    warnings = {}
    if denial.iterations:
        why = "more work for everybody and no more secrecy (RFC 9276 section 3.1); leave it out"
        warnings["iterations"] = f"iterations {denial.iterations}: {why}"
    if denial.salt:
        warnings["salt"] = "a salt is of no use (RFC 9276 section 3.1); leave it out"
    return warnings


def to_words(policy: Policy) -> dict[str, Any]:
    """A policy as a file says it, with every word: read again, it is the same policy."""
    words: dict[str, Any] = {
        key: _plain(key, getattr(policy, key.replace("-", "_"))) for key in POLICY_WORDS if key in SCALARS
    }
    denial: dict[str, Any] = {"kind": policy.denial.kind}
    if policy.denial.kind == "nsec3":
        denial |= {"opt-out": policy.denial.opt_out, "iterations": policy.denial.iterations}
        denial["salt"] = policy.denial.salt.hex() or "-"
    keys = {"keys": [_key_words(key) for key in policy.keys]} if policy.keys else {"extends": INSECURE.name}
    return {**keys, "denial": denial, **words, "digests": [DIGESTS[one] for one in policy.digests]}


def _key_words(key: KeySpec) -> dict[str, Any]:
    lifetime = "unlimited" if key.lifetime is None else duration_text(key.lifetime)
    words: dict[str, Any] = {"role": str(key.role), "algorithm": ALGORITHMS[key.algorithm], "lifetime": lifetime}
    if key.bits is not None:
        words["bits"] = key.bits
    return {**words, "store": key.store or STATE, "shared": key.shared}


def _plain(key: str, value: Any) -> Any:
    is_duration = SCALARS[key] in (duration, _some_time)
    return duration_text(value) if is_duration else value
