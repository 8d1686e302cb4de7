"""The `tls` directive: the certificate of `tls://` listeners, and how servers that are asked by TLS are known."""

from dataclasses import dataclass
from typing import Final, cast

from authserver.plugin import (
    TLS,
    TLS_CLIENT,
    Argument,
    Build,
    Choice,
    Link,
    PathKind,
    Schema,
    Settings,
    Word,
)
from authserver.tls import ClientAuth, ClientTLS, KeyPair, ServerFiles, ServerTLS, TLSFilesError, plain_name


@dataclass(frozen=True, slots=True)
class AuthWord:
    """Whether clients show a certificate."""

    accepts: str = "nocert | verify_if_given | require_and_verify"

    def parse(self, text: str) -> ClientAuth:
        """The word. Raises ValueError with a reason."""
        if text in {"request", "require"}:
            raise ValueError(f"'{text}' takes certificates without checking them; accepted: {self.accepts}")
        return cast("ClientAuth", Choice(("nocert", "verify_if_given", "require_and_verify")).parse(text))


WORDS: Final = Argument("CERT KEY [CA] | NAME", Word("paths, or a name"), repeat=True)
AUTH: Final = Argument("HOW", AuthWord())
CA: Final = Argument("FILE", PathKind())
HOSTNAME: Final = Argument("NAME", Word("a name"))
CERT: Final = Argument("CERT", PathKind())
KEY: Final = Argument("KEY", PathKind())
ACME: Final = "certificates are taken from files; a client of ACME beside the server renews them"

SCHEMA: Final = Schema(
    arguments=(WORDS,),
    properties={
        "client_auth": Schema(arguments=(AUTH,), once=True),
        "ca": Schema(arguments=(CA,), once=True),
        "hostname": Schema(arguments=(HOSTNAME,), once=True),
        "cert": Schema(arguments=(CERT, KEY), once=True),
        "keylog": Schema(refused="the secrets of connections are not written down"),
        "acme": Schema(refused=ACME),
    },
)


def setup(build: Build) -> Link | None:
    """Offers what listeners and clients need; nothing of it stands in the path of queries."""
    for settings in build.settings:
        words = settings.all(WORDS)
        try:
            if len(words) == 1:
                _client(build, settings, words[0])
            elif len(words) in {2, 3}:
                _server(build, settings, words)
            else:
                build.problem(settings.place, f"takes CERT KEY [CA] or one NAME, not {len(words)} words")
        except TLSFilesError as error:
            build.problem(settings.place, str(error))
    return None


def _client(build: Build, settings: Settings, name: str) -> None:
    if settings.has("client_auth"):
        build.problem(settings.place, "client_auth is for listeners, which have CERT and KEY")
    ca, hostname, own = settings.property("ca"), settings.property("hostname"), settings.property("cert")
    client = ClientTLS(
        name=plain_name(name),
        hostname=plain_name(hostname.one(HOSTNAME) if hostname is not None else name),
        ca=build.path(ca.one(CA)) if ca is not None else None,
        own=KeyPair(build.path(own.one(CERT)), build.path(own.one(KEY))) if own is not None else None,
    )
    client.context()
    if any(other.name == client.name for other in build.block.offered(TLS_CLIENT)):
        build.problem(settings.place, f"{name} stands twice")
    build.offer(TLS_CLIENT, client)


def _server(build: Build, settings: Settings, words: tuple[str, ...]) -> None:
    for name in ("ca", "hostname", "cert"):
        if settings.has(name):
            build.problem(settings.place, f"{name} is for a NAME alone; a listener is CERT KEY [CA]")
    certificate, key, *ca = (build.path(word) for word in words)
    auth = settings.property("client_auth")
    # What a CA is for is to know clients by it: CoreDNS asks for their certificates only when `client_auth` says so.
    how: ClientAuth = "require_and_verify" if ca else "nocert"
    if auth is not None:
        how = auth.one(AUTH)
        if how != "nocert" and not ca:
            build.problem(auth.place, f"client_auth: {how} needs a CA: tls CERT KEY CA")
    if build.block.offered(TLS):
        build.problem(settings.place, "CERT and KEY stand twice in this server block")
    build.offer(TLS, ServerTLS(ServerFiles(KeyPair(certificate, key), ca[0] if ca else None, how)))
