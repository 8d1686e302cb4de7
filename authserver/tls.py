"""TLS as its configuration says it: contexts of listeners and of clients, and who the other side is (RFC 9103).

TLS 1.3 alone is spoken, with the ALPN `dot`. A *peer* is what a certificate says of the other side: names are those of
its SAN (RFC 9525), in lower case and without a final dot; a name of the subject does not count.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

ALPN: Final = "dot"
LOOK_S: Final = 1.0
"""How often the files of a listener are looked at, when somebody connects."""

ClientAuth = Literal["nocert", "verify_if_given", "require_and_verify"]
_MODES: Final[Mapping[ClientAuth, ssl.VerifyMode]] = {
    "nocert": ssl.CERT_NONE,
    "verify_if_given": ssl.CERT_OPTIONAL,
    "require_and_verify": ssl.CERT_REQUIRED,
}


class TLSFilesError(Exception):
    """Certificates or keys that can't be used; the message says which file and why."""


@dataclass(frozen=True, slots=True)
class TLSPeer:
    """The other side of a connection: the names its certificate was verified for, and whether it speaks `dot`."""

    names: frozenset[str]
    is_dot: bool


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate with its chain, and its private key, both in PEM."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class ServerFiles:
    """What a listener shows, whose certificates it takes, and whether clients have to show one."""

    own: KeyPair
    ca: Path | None = None
    client_auth: ClientAuth = "nocert"

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files."""
        return (self.own.certificate, self.own.key, *([self.ca] if self.ca is not None else []))


class ServerTLS:
    """The TLS of a listener, which is made anew when its files change; what can't be used leaves it as it is."""

    def __init__(self, files: ServerFiles) -> None:
        """Raises TLSFilesError."""
        self.files = files
        self.trouble = ""
        """Why files that changed are not in force."""
        self._seen = _fingerprints(files.paths)
        self._context = _server_context(files)
        self._looked_at = 0.0

    def context(self, now: float) -> ssl.SSLContext:
        """What is in force; `now` is of a clock that never goes back."""
        if now - self._looked_at >= LOOK_S:
            self._looked_at = now
            self._look()
        return self._context

    def _look(self) -> None:
        seen = _fingerprints(self.files.paths)
        if seen == self._seen:
            return
        try:
            self._context = _server_context(self.files)
        except TLSFilesError as error:
            # A certificate may be there before its key is: the next look sees both.
            self.trouble = str(error)
        else:
            self._seen, self.trouble = seen, ""


@dataclass(frozen=True, slots=True)
class ClientTLS:
    """How a server is known by TLS: by a certificate for `hostname`, of `ca` or else of the system's authorities.

    `own` is shown where the server asks for a certificate.
    """

    name: str
    hostname: str
    ca: Path | None = None
    own: KeyPair | None = field(default=None)

    def context(self) -> ssl.SSLContext:
        """A context for `asyncio.open_connection(…, ssl=context, server_hostname=hostname)`. Raises TLSFilesError.

        Whoever has connected asks `speaks_dot` of the connection.
        """
        with _told(self.ca or Path("the system's authorities")):
            context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=self.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_3  # RFC 9103 section 7.1
        context.set_alpn_protocols([ALPN])
        if self.own is not None:
            _load(context, self.own)
        return context


def speaks_dot(connection: ssl.SSLObject) -> bool:
    """Whether the other side took the ALPN `dot` (RFC 9103 section 7.1)."""
    return connection.selected_alpn_protocol() == ALPN


def peer_of(connection: ssl.SSLObject) -> TLSPeer:
    """Who is at the other side of a connection whose handshake is done."""
    certificate: dict[str, Any] = connection.getpeercert() or {}
    found = [value for kind, value in certificate.get("subjectAltName", ()) if kind in {"DNS", "IP Address"}]
    return TLSPeer(frozenset(map(plain_name, found)), speaks_dot(connection))


def plain_name(name: str) -> str:
    """A name as certificates are compared by."""
    return name.lower().rstrip(".")


def _server_context(files: ServerFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3  # RFC 9103 section 7.1
    context.set_alpn_protocols([ALPN])
    _load(context, files.own)
    if files.ca is not None:
        with _told(files.ca):
            context.load_verify_locations(files.ca)
    context.verify_mode = _MODES[files.client_auth]
    return context


def _load(context: ssl.SSLContext, own: KeyPair) -> None:
    for path in (own.certificate, own.key):
        with _told(path):
            path.open("rb").close()
    with _told(own.certificate):
        # Without a password OpenSSL would ask for one at the terminal.
        context.load_cert_chain(own.certificate, own.key, password="")


@contextlib.contextmanager
def _told(path: Path) -> Any:
    try:
        yield
    except ssl.SSLError as error:
        reason = error.reason.lower().replace("_", " ") if error.reason else "not PEM, or the key is encrypted"
        raise TLSFilesError(f"{path}: can't be used: {reason}") from None
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise TLSFilesError(f"{path}: can't be read: {reason}") from None


def _fingerprints(paths: Iterable[Path]) -> list[tuple[int, int, int] | None]:
    """What changes when a file does; None where there is none."""
    found: list[tuple[int, int, int] | None] = []
    for path in paths:
        try:
            seen = path.stat()
        except OSError:
            found.append(None)
        else:
            found.append((seen.st_mtime_ns, seen.st_size, seen.st_ino))
    return found
