"""BIND's key files as text: `K<zone>.+<algorithm>+<tag>.key` and `.private` (format v1.3), split into named fields.

Here are the grammar, the file names and the permissions; what the private field means is `private`'s.
"""

import os
import re
import stat
from calendar import timegm
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from engine import EngineError, name_from_text, name_to_text, rdata_from_text, rdata_to_text
from keys.errors import KeyImportError

_DNSKEY: Final = 48
_MAX_OCTETS: Final = 65536
_STEM: Final = re.compile(r"K.*\.\+(?P<algorithm>\d{3})\+(?P<tag>\d{5})")
_FORMAT: Final = re.compile(r"v1\.(?P<minor>\d+)")
_MOMENT: Final = re.compile(r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)")
_RECORD: Final = re.compile(
    r"(?P<owner>\S+)(?:\s+(?:IN|\d+[a-z\d]*))*\s+DNSKEY\s+(?P<rdata>.+)", re.IGNORECASE | re.DOTALL
)
_KNOWN_MINOR: Final = 3

TIMINGS: Final = frozenset(
    {
        "Created",
        "Publish",
        "Activate",
        "Revoke",
        "Inactive",
        "Delete",
        "DSPublish",
        "DSRemoved",
        "SyncPublish",
        "SyncDelete",
    }
)
"""The events of a key's life that BIND keeps (dnssec-settime(8))."""


@dataclass(frozen=True, slots=True)
class Field:
    """One line `Name: value` of a private file."""

    value: str = field(repr=False)
    line: int


@dataclass(frozen=True, slots=True)
class KeyFiles:
    """What the two files of one key say; `fields` has the private part, so it is never shown."""

    stem: Path
    owner: bytes
    dnskey: bytes
    fields: Mapping[str, Field] = field(repr=False)
    timing: Mapping[str, int]
    warnings: tuple[str, ...]

    @property
    def private_file(self) -> str:
        """The name of the file with the private part, for messages."""
        return f"{self.stem}.private"


def read(path: Path | str) -> KeyFiles:
    """Both files of a key, whichever of them (or their common stem) is named. Raises KeyImportError."""
    stem = _stem(Path(path))
    public, private = Path(f"{stem}.key"), Path(f"{stem}.private")
    public_text, _ = _read_text(public)
    private_text, mode = _read_text(private)
    owner, dnskey = _public_record(public, public_text)
    fields = _fields(private, private_text)
    warnings = [*_format_warnings(private, fields), *_permission_warnings(private, mode)]
    return KeyFiles(stem, owner, dnskey, fields, _timing(private, fields), tuple(warnings))


def name_warnings(files: KeyFiles, algorithm: int, tag: int) -> tuple[str, ...]:
    """Where the files' name says something else than they hold; what they hold counts."""
    match = _STEM.fullmatch(files.stem.name)
    if match is None:
        return (f"{files.stem}: the name is not K<zone>+<algorithm>+<tag>",)
    named = (int(match["algorithm"]), int(match["tag"]))
    if named != (algorithm, tag):
        return (f"{files.stem}: the name says algorithm {named[0]} tag {named[1]}, it is {algorithm} tag {tag}",)
    return ()


def _stem(path: Path) -> Path:
    return path.with_suffix("") if path.suffix in {".key", ".private", ".state"} else path


def _read_text(path: Path) -> tuple[str, int]:
    """The text and the permission bits of a regular file; nothing else is waited for or read without end."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise KeyImportError(str(path), (error.strerror or str(error)).lower()) from error
    with open(descriptor, "rb") as file:  # noqa: PTH123 (a descriptor)
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise KeyImportError(str(path), "not a regular file")
        octets = file.read(_MAX_OCTETS + 1)
    if len(octets) > _MAX_OCTETS:
        raise KeyImportError(str(path), f"larger than {_MAX_OCTETS} octets, which no key file is")
    try:
        return octets.decode("ascii"), stat.S_IMODE(facts.st_mode)
    except UnicodeDecodeError as error:
        line = octets[: error.start].count(b"\n") + 1
        raise KeyImportError(str(path), "an octet that is not ASCII", line) from error


# ------------------------------------------------------------------ the public file


def _public_record(path: Path, text: str) -> tuple[bytes, bytes]:
    """Owner and rdata of the one DNSKEY record."""
    lines = [(number, line.partition(";")[0].strip()) for number, line in enumerate(text.splitlines(), 1)]
    filled = [(number, line) for number, line in lines if line]
    if not filled:
        raise KeyImportError(str(path), "no DNSKEY record")
    first = filled[0][0]
    record = " ".join(line for _, line in filled).replace("(", " ").replace(")", " ")
    match = _RECORD.fullmatch(record)
    if match is None:
        raise KeyImportError(str(path), "not a DNSKEY record", first)
    if " DNSKEY " in match["rdata"].upper():
        raise KeyImportError(str(path), "more than one DNSKEY record", first)
    try:
        owner = name_from_text(match["owner"])
        return owner, rdata_from_text(_DNSKEY, match["rdata"], owner)
    except EngineError as error:
        raise KeyImportError(str(path), str(error), first) from error


# ------------------------------------------------------------------ the private file


def _fields(path: Path, text: str) -> dict[str, Field]:
    fields: dict[str, Field] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith(";"):
            continue
        name, colon, value = line.partition(":")
        if not colon:
            # The line itself may be a private part that was cut in two: it is not shown.
            raise KeyImportError(str(path), "not `Name: value`", number)
        if name in fields:
            raise KeyImportError(str(path), f"{name} for the second time", number)
        fields[name] = Field(value.strip(), number)
    return fields


def _format_warnings(path: Path, fields: Mapping[str, Field]) -> list[str]:
    stated = fields.get("Private-key-format")
    match = _FORMAT.fullmatch(stated.value) if stated else None
    if stated is None or match is None:
        raise KeyImportError(str(path), "no `Private-key-format: v1.3`", stated.line if stated else 1)
    if int(match["minor"]) > _KNOWN_MINOR:
        return [f"{path}:{stated.line}: format {stated.value} is newer than v1.{_KNOWN_MINOR}"]
    return []


def _timing(path: Path, fields: Mapping[str, Field]) -> dict[str, int]:
    return {name: _moment(path, one) for name, one in fields.items() if name in TIMINGS}


def _moment(path: Path, one: Field) -> int:
    """Unix seconds of `YYYYMMDDHHMMSS`, which is UTC."""
    match = _MOMENT.match(one.value)
    if match is None:
        raise KeyImportError(str(path), "a time that is not YYYYMMDDHHMMSS", one.line)
    return timegm(tuple(int(part) for part in match.groups()))


def _permission_warnings(path: Path, mode: int) -> list[str]:
    if mode & 0o077:
        return [f"{path}: permissions {mode:04o} let others read the private key; 0600 would not"]
    return []


# ------------------------------------------------------------------ writing


def public_text(owner: bytes, dnskey: bytes, tag: int) -> tuple[str, str]:
    """The common name of a key's files, and the text of the public one."""
    name = name_to_text(owner.lower())
    role = "key-signing" if dnskey[1] & 1 else "zone-signing"
    head = f"; This is a {role} key, keyid {tag}, for {name}\n"
    # A slash is a letter in a label (RFC 2317), and none in a file's name; BIND writes it so too.
    return (
        f"K{name.replace('/', '%2F')}+{dnskey[3]:03d}+{tag:05d}",
        f"{head}{name} IN DNSKEY {rdata_to_text(_DNSKEY, dnskey)}\n",
    )


def private_text(fields: Mapping[str, str], timing: Mapping[str, int]) -> str:
    """The text of a private file: its fields, and the times that are known."""
    known = {event: datetime.fromtimestamp(at, UTC) for event, at in timing.items() if event in TIMINGS}
    moments = {event: f"{at:%Y%m%d%H%M%S}" for event, at in known.items()}
    lines = {"Private-key-format": f"v1.{_KNOWN_MINOR}", **fields, **moments}
    return "".join(f"{name}: {value}\n" for name, value in lines.items())


def owner_text(files: KeyFiles) -> str:
    """The zone the files are for, for messages."""
    return name_to_text(files.owner)
