"""TSIG keys in BIND's syntax: `key "NAME" { algorithm hmac-sha256; secret "BASE64"; };`, as tsig-keygen writes them."""

import binascii
import re
from base64 import b64decode
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from keys.errors import KeysError

ALGORITHMS: Final = (
    "hmac-sha1", "hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512",
    "hmac-sha256-128", "hmac-sha384-192", "hmac-sha512-256",
)  # fmt: skip
"""Those whose secrets are taken; the last three cut their MACs short."""
DEFAULT_ALGORITHM: Final = "hmac-sha256"

_COMMENT: Final = re.compile(r"//[^\n]*|#[^\n]*|/\*.*?\*/", re.DOTALL)
_KEY: Final = re.compile(r'key\s+"?([^\s"{};]+)"?\s*\{([^{}]*)\}\s*;', re.IGNORECASE)
_CLAUSE: Final = re.compile(r'(algorithm|secret)\s+"?([^\s";]+)"?\s*;', re.IGNORECASE)


class TSIGFileError(KeysError):
    """A file of TSIG keys that can't be used: `file` and `reason`."""

    def __init__(self, file: Path, reason: str) -> None:
        self.file = file
        self.reason = reason
        super().__init__(f"{file}: {reason}")


@dataclass(frozen=True, slots=True)
class TSIGKey:
    """A shared secret with its name, in lower case and absolute, and its algorithm (RFC 8945 section 6)."""

    name: str
    algorithm: str
    secret: bytes = field(repr=False)


def read(file: Path) -> list[TSIGKey]:
    """All keys of a file. Raises TSIGFileError."""
    try:
        text = _COMMENT.sub(" ", file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise TSIGFileError(file, f"can't be read: {error}") from error
    keys = [_key(file, name, body) for name, body in _KEY.findall(text)]
    if not keys:
        raise TSIGFileError(file, 'has no key; accepted: key "NAME" { algorithm hmac-sha256; secret "BASE64"; };')
    return keys


def _key(file: Path, name: str, body: str) -> TSIGKey:
    clauses = {clause.lower(): value for clause, value in _CLAUSE.findall(body)}
    algorithm = clauses.get("algorithm", DEFAULT_ALGORITHM).lower().rstrip(".")
    if algorithm not in ALGORITHMS:
        raise TSIGFileError(file, f"key {name}: algorithm '{algorithm}' is unknown; accepted: {', '.join(ALGORITHMS)}")
    try:
        secret = b64decode(clauses["secret"], validate=True)
    except KeyError:
        raise TSIGFileError(file, f"key {name}: has no secret") from None
    except binascii.Error:
        raise TSIGFileError(file, f"key {name}: its secret is not base64") from None
    return TSIGKey(name.lower().rstrip(".") + ".", algorithm, secret)
