"""The plugin contract: what a plugin module has, what its setup is given, and what plugins offer one another.

A plugin is a module with `SCHEMA: Schema` and `setup(build: Build) -> Link | None`, beside its manual NAME.md.
Setup reads the directives of one name in one server block, opens nothing, and returns a *link* that wraps the next
handler, or None when nothing of it stands in the path of queries. What it wants done when the server starts goes
into `build.on_start`. A *capability* is how plugins find one another: by what is offered, not by class.

A plugin of the path that the engine can stand in for offers its `Effect`; the plain `Effect()` means that direct
answers need nothing of it.
"""

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, NoReturn, Protocol, TypeAlias, TypeVar, cast

import dns.name

from authserver.corefile import Corefile, Directive, Key, ServerBlock
from authserver.errors import CorefileErrors, Place, Problem
from authserver.http import HttpServers
from authserver.query import Query, Response, Transfer
from authserver.schema import (
    Address,
    AddressKind,
    Argument,
    Choice,
    Duration,
    Either,
    Endpoint,
    Findings,
    Integer,
    Name,
    PathKind,
    Prefix,
    PrefixKind,
    Schema,
    Settings,
    Word,
    Zone,
)
from authserver.tls import ClientTLS, ServerTLS, plain_name
from keys.policy import Policy, TokenStore
from keys.tsigfile import TSIGKey
from zones.overlay import Updating
from zones.transfer import Group
from zones.tsig import Keyring
from zones.updatepolicy import Rule

if TYPE_CHECKING:
    from prometheus_client import Metric

    from authserver.backend import ServedZone
    from authserver.schedule import Schedule
    from engine import Clock, Cookies, Limiter, Predicate, Responder, ZoneSlot

__all__ = [
    "EFFECT",
    "LAMEDUCK",
    "LISTEN",
    "LOG",
    "METRICS",
    "PARENT",
    "READY",
    "RELOAD",
    "ROOT",
    "SIGNING",
    "SOURCES",
    "TIMEOUTS",
    "TLS",
    "TLS_CLIENT",
    "TRANSFER",
    "TSIG",
    "UPDATES",
    "VIEW",
    "ZONES",
    "Address",
    "AddressKind",
    "Argument",
    "Block",
    "Build",
    "Capability",
    "Choice",
    "Configuration",
    "CorefileErrors",
    "Directive",
    "Duration",
    "Effect",
    "Either",
    "Endpoint",
    "Findings",
    "Handler",
    "Hook",
    "Integer",
    "Link",
    "Listen",
    "LogEntry",
    "LogTap",
    "Name",
    "ParentRule",
    "PathKind",
    "Place",
    "Plugin",
    "Prefix",
    "PrefixKind",
    "Problem",
    "Push",
    "Query",
    "Readiness",
    "ReloadTimes",
    "Response",
    "Runtime",
    "Schema",
    "Settings",
    "SharedKeys",
    "Signing",
    "Source",
    "StreamLimits",
    "Timeouts",
    "Transfer",
    "TransferRule",
    "UpdateRule",
    "View",
    "Word",
    "Zone",
    "ZoneBackend",
]

T = TypeVar("T")


class Handler(Protocol):
    """Answers a query, itself or by the next handler. What a client did is a response, never an exception."""

    async def serve(self, query: Query) -> Response | Transfer:
        """The answer."""
        ...


Link: TypeAlias = Callable[[Handler], Handler]
Hook: TypeAlias = Callable[[], Awaitable[None]]


# ------------------------------------------------------------------ capabilities


@dataclass(frozen=True, slots=True, eq=False)
class Capability(Generic[T]):
    """Something plugins of a block may offer; equal only to itself."""

    name: str


@dataclass(frozen=True, slots=True)
class Effect:
    """What a plugin does to answers, for the engine to do in its place; None says nothing.

    `log` and `any_` are of direct answers and of zones; the rest is done to what a chain answers, too.
    """

    log: bool = False
    nsid: bytes | None = None
    size: int | None = None
    any_: Literal["one", "all", "hinfo"] | None = None
    minimal: bool = False
    cookies: "Cookies | None" = None
    limiter: "Limiter | None" = None

    def over(self, other: "Effect") -> "Effect":
        """Both, and this one's where they disagree."""
        return Effect(
            log=self.log or other.log,
            nsid=other.nsid if self.nsid is None else self.nsid,
            size=other.size if self.size is None else self.size,
            any_=self.any_ or other.any_,
            minimal=self.minimal or other.minimal,
            cookies=self.cookies or other.cookies,
            limiter=self.limiter or other.limiter,
        )


LogEntry: TypeAlias = tuple[int, int, str, int, str, bytes, int, int, int, int, int, int, int, bool, int]
"""One row of `Responder.log_entries()`."""


class LogTap(Protocol):
    """Takes what the engine answered directly and logs it."""

    def write(self, entry: LogEntry) -> None:
        """Log one answer if it is asked for."""
        ...


class ZoneBackend(Protocol):
    """A plugin that serves zones out of slots."""

    @property
    def configured(self) -> tuple[bytes, ...]:
        """Origins that are named in the Corefile, whether or not they have a version yet."""

    def zones(self) -> "list[tuple[bytes, ZoneSlot]]":
        """The slots by origin."""
        ...


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether a plugin has what it needs to answer."""

    name: str
    is_ready: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class TransferRule:
    """Who may transfer zones and gets NOTIFY: `to`; and who gets NOTIFY alone: `also`. Prefixes and `*` get none."""

    origins: tuple[bytes, ...]
    to: tuple[Group, ...]
    also: tuple[Group, ...]
    source: str | None
    place: Place


class TransferAnswers(Protocol):
    """What answers queries for transfers that are allowed."""

    async def answer(self, query: Query, zone: "ServedZone", size: int) -> Response | Transfer:
        """The answer to an AXFR or IXFR query; a datagram has at most `size` octets."""
        ...


@dataclass(frozen=True, slots=True)
class SharedKeys:
    """The TSIG keys of a server block, and the opcodes whose messages have to be signed with one of them."""

    keyring: Keyring
    opcodes: frozenset[int]
    place: Place


@dataclass(frozen=True, slots=True)
class UpdateRule:
    """How zones take updates, and who may update what."""

    origins: tuple[bytes, ...]
    updating: Updating
    rules: tuple[Rule, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Signing:
    """Zones that are signed by a policy; `stores` are those that its keys name."""

    origins: tuple[bytes, ...]
    policy: Policy
    stores: tuple[TokenStore, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Push:
    """Where the DS is sent to the parent by UPDATE (RFC 2136), and the key it is signed with."""

    address: str
    port: int
    key: TSIGKey | None


@dataclass(frozen=True, slots=True)
class ParentRule:
    """How the parent of these zones is found, asked every `poll` seconds, and told.

    `servers` are all of its servers where they are named; otherwise a resolver finds them. `anchor` is a file of the
    parent's DNSKEY or DS records that its answers are validated by; without one the resolver vouches for its keys.
    `notified` gets NOTIFY(CDS) where DSYNC records name nobody; `hook` is a command that tells a registrar.
    """

    origins: tuple[bytes, ...]
    resolvers: tuple[tuple[str, int], ...]
    servers: tuple[tuple[str, int], ...]
    anchor: Path | None
    poll: float
    notified: tuple[tuple[str, int], ...]
    push: Push | None
    hook: tuple[str, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Listen:
    """What `bind` says: addresses and interface names to listen on, and those to leave out."""

    addresses: tuple[str, ...]
    excluded: tuple[str, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """Bounds of the connections that a listener of streams takes; seconds and counts, None for no bound.

    `read` is for the rest of a message that has begun, `write` for a client to take anything of what is to be sent,
    `idle` for a connection on which nothing is asked or answered. A client is an IPv4 address or an IPv6 /56.
    """

    read: float = 3.0
    write: float = 5.0
    idle: float = 10.0
    lifetime: float | None = None
    queries: int | None = None
    connections: int = 12_288
    connections_per_client: int = 512


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Limits of the connections to a block's addresses, and where they are said."""

    limits: StreamLimits
    place: Place


@dataclass(frozen=True, slots=True)
class View:
    """What `view` says: the view's name, and which queries are its; None: all."""

    name: str
    predicate: "Predicate | None"


@dataclass(frozen=True, slots=True)
class Source:
    """Where zones come from, for the server to read and to watch.

    `origins` are the zones a file is read for or that are all UPDATE's, or those that may be found in a directory or
    repository.
    `reload` is the seconds between looks at it, 0 for none. `presigned` says what becomes of zones that come with
    signatures or proofs that are wrong: a warning, or they are held. `options` is the plugin's own frozen data.
    """

    plugin: str
    kind: Literal["file", "directory", "git", "secondary", "update", "catalog"]
    location: str
    origins: tuple[bytes, ...]
    reload: float
    place: Place
    falls_through: bool = False
    presigned: Literal["warn", "hold"] = "warn"
    options: Any = None


@dataclass(frozen=True, slots=True)
class ReloadTimes:
    """How often the Corefile is looked at, in seconds, and the jitter of that."""

    interval: float
    jitter: float


EFFECT: Final[Capability[Effect]] = Capability("an effect on direct answers")
LAMEDUCK: Final[Capability[float]] = Capability("seconds to go on answering when the process is to end")
LISTEN: Final[Capability[Listen]] = Capability("addresses to listen on")
LOG: Final[Capability[LogTap]] = Capability("a query log")
PARENT: Final[Capability[ParentRule]] = Capability("a parent")
METRICS: "Final[Capability[Callable[[], Iterable[Metric]]]]" = Capability("metrics")
READY: Final[Capability[Readiness]] = Capability("readiness")
RELOAD: Final[Capability[ReloadTimes]] = Capability("reloading of the Corefile")
ROOT: Final[Capability[Path]] = Capability("a base directory")
SIGNING: Final[Capability[Signing]] = Capability("signing")
SOURCES: Final[Capability[Source]] = Capability("sources of zones")
TIMEOUTS: Final[Capability[Timeouts]] = Capability("limits of streams")
TLS: Final[Capability[ServerTLS]] = Capability("a certificate")
TLS_CLIENT: Final[Capability[ClientTLS]] = Capability("servers known by TLS")
TRANSFER: Final[Capability[TransferRule]] = Capability("zone transfer")
TSIG: Final[Capability[SharedKeys]] = Capability("TSIG keys")
UPDATES: Final[Capability[UpdateRule]] = Capability("updates of zones")
VIEW: Final[Capability[View]] = Capability("a view")
ZONES: Final[Capability[ZoneBackend]] = Capability("zones")
NO_KEYS: Final = Keyring()


# ------------------------------------------------------------------ blocks and configurations


@dataclass(slots=True, eq=False)
class Block:
    """A server block with what its plugins offered, and the chain that serves its queries.

    `chained_by` says which plugin keeps the engine from answering by itself and why; None: the block is direct.
    `is_guarded`: such a plugin stands ahead of the block's zones, and has to see whatever is answered from them.
    """

    number: int
    source: ServerBlock
    handler: Handler | None = None
    chained_by: str | None = None
    is_guarded: bool = False
    effect: Effect = field(default_factory=Effect)
    failures: int = 0
    """Queries of the chain that a plugin's exception ended."""
    plugins: tuple[str, ...] = ()
    start_hooks: list[tuple[str, Hook]] = field(default_factory=list)
    stop_hooks: list[tuple[str, Hook]] = field(default_factory=list)
    _offers: "list[tuple[str, Capability[Any], Any]]" = field(default_factory=list)

    @property
    def place(self) -> Place:
        """Where the block begins."""
        return self.source.place

    @property
    def keys(self) -> tuple[Key, ...]:
        """Zones and ports, as the Corefile has them."""
        return self.source.keys

    @property
    def origins(self) -> tuple[bytes, ...]:
        """The wire names of the keys, each once."""
        return self.source.origins

    @property
    def is_direct(self) -> bool:
        """Whether the engine answers by itself."""
        return self.chained_by is None

    @property
    def addresses(self) -> tuple[str, ...]:
        """Addresses and interface names to listen on; empty: every address."""
        return tuple(dict.fromkeys(word for listen in self.offered(LISTEN) for word in listen.addresses))

    @property
    def view(self) -> View:
        """The block's view; one without a name, of all queries, when it has none."""
        return next(iter(self.offered(VIEW)), View("", None))

    @property
    def keyring(self) -> Keyring:
        """The TSIG keys of `tsig`; none where it does not stand."""
        return next((keys.keyring for keys in self.offered(TSIG)), NO_KEYS)

    @property
    def counted_as(self) -> str:
        """What its queries are counted under: the same after the blocks of the Corefile were put into another order."""
        return f"{self.label} {self.view.name}"

    @property
    def label(self) -> str:
        """The block's first server, as metrics name it: `dns://:53`."""
        key = self.keys[0] if self.keys else None
        host = next(iter(self.addresses), "")
        host = f"[{host}]" if ":" in host else host
        return f"{key.scheme if key else 'dns'}://{host}:{key.port if key else 53}"

    def offer(self, plugin: str, capability: Capability[T], value: T) -> None:
        """Note what a plugin offers."""
        self._offers.append((plugin, capability, value))

    def offered(self, capability: Capability[T]) -> tuple[T, ...]:
        """All that was offered, in the order of the chain."""
        return tuple(value for _, offered, value in self._offers if offered is capability)

    def offered_by(self, plugin: str, capability: Capability[T]) -> tuple[T, ...]:
        """What one plugin offered."""
        return tuple(value for name, offered, value in self._offers if offered is capability and name == plugin)


async def _nothing_told(command: str, _: Mapping[str, Any]) -> Any:
    raise LookupError(command)


@dataclass(frozen=True, slots=True)
class Runtime:
    """What a running server lends to the plugins of its configurations; the same one before and after a reload."""

    responder: "Responder"
    clock: "Clock"
    schedule: "Schedule"
    http: HttpServers
    reload: "Callable[[], Awaitable[bool]]"
    """Load the Corefile again, as HUP does, and put it in force; False if the old one stays."""
    zone_metrics: "Callable[[], Iterable[Metric]]" = field(default=lambda: ())
    """The server's own facts about zones, sources and signatures (`telemetry.zone_metrics`)."""
    stream_metrics: "Callable[[], Iterable[Metric]]" = field(default=lambda: ())
    """Those about connections (`telemetry.stream_metrics`)."""
    reloads_failed: Callable[[], int] = field(default=lambda: 0)
    is_settled: Callable[[], bool] = field(default=lambda: True)
    """Whether each configured zone is live or held."""
    is_stopping: Callable[[], bool] = field(default=lambda: False)
    """Whether the process ends, and not only this configuration."""
    version: str = ""
    outgoing: "TransferAnswers | None" = None
    """What answers transfers; None where nobody may have any."""
    tell: Callable[[str, Mapping[str, Any]], Awaitable[Any]] = field(default=_nothing_told)
    """Facts, as a command of the control socket gives them. Raises LookupError, which says why there are none."""


@dataclass(slots=True, eq=False)
class Configuration:
    """One loaded Corefile: its blocks, and what they share. The server attaches its runtime before `start`."""

    corefile: Corefile
    blocks: tuple[Block, ...] = ()
    warnings: tuple[Problem, ...] = ()
    runtime: Runtime | None = None
    reloads: bool = False
    """Whether a plugin watches the Corefile."""
    reread: "Callable[[], tuple[Corefile, list[Problem]]] | None" = None
    """Reads the Corefile again from where it came; None if that was a text."""
    read_files: "dict[Path, tuple[str, Any]]" = field(default_factory=dict)
    """Files that the Corefile names and that were read for it once (`Build.read`): their digest, and what they said."""

    @property
    def running(self) -> Runtime:
        """The runtime, which is there before any start hook runs."""
        assert self.runtime is not None, "the server attaches its runtime before it starts a configuration"
        return self.runtime

    @property
    def digest(self) -> str:
        """What the Corefile and the files that were read for it say; layout of the Corefile doesn't count."""
        return " ".join([self.corefile.digest, *(digest for digest, _ in self.read_files.values())])

    def digest_now(self, corefile: Corefile) -> str:
        """The same of the Corefile as it was read again, and of the files as they are now."""
        return " ".join([corefile.digest, *map(_file_digest, self.read_files)])

    def offered(self, capability: Capability[T]) -> tuple[T, ...]:
        """All that was offered in any block."""
        return tuple(value for block in self.blocks for value in block.offered(capability))

    async def start(self) -> None:
        """Run the start hooks; if one raises, what was started is stopped again."""
        started: list[Block] = []
        try:
            for block in self.blocks:
                started.append(block)
                for _, hook in block.start_hooks:
                    await hook()
        except BaseException:
            await self._stop(started)
            raise

    async def stop(self) -> None:
        """Run the stop hooks, the last block's first; while the sockets still answer, for the sake of `lameduck`."""
        await self._stop(list(self.blocks))

    @staticmethod
    async def _stop(blocks: list[Block]) -> None:
        for block in reversed(blocks):
            for _, hook in reversed(block.stop_hooks):
                await hook()


# ------------------------------------------------------------------ setup


@dataclass(frozen=True, slots=True)
class Build:
    """What a plugin's setup is given: its directives in one block, as settings, and the block.

    `settings` has one entry for each time the directive stands in the block, in that order; `directive` is the first.
    """

    name: str
    settings: tuple[Settings, ...]
    block: Block
    configuration: Configuration
    findings: Findings = field(default_factory=Findings)

    @property
    def directive(self) -> Directive:
        """The first of the directives."""
        return self.settings[0].directive

    def on_start(self, hook: Hook) -> None:
        """Run when every block is set up and the sockets are bound."""
        self.block.start_hooks.append((self.name, hook))

    def on_stop(self, hook: Hook) -> None:
        """Run when the configuration ends; in reverse order."""
        self.block.stop_hooks.append((self.name, hook))

    def offer(self, capability: Capability[T], value: T) -> None:
        """Let other plugins and the server have something of this one."""
        self.block.offer(self.name, capability, value)

    def need(self, capability: Capability[T]) -> T:
        """What a plugin ahead in the chain offered last. Raises CorefileErrors when none did."""
        offered = self.block.offered(capability)
        if not offered:
            raise self.directive.error(f"needs a plugin in this server block that gives {capability.name}")
        return offered[-1]

    def problem(self, place: Place, reason: str) -> None:
        """Note an error and go on, so that all errors are shown at once."""
        self.findings.problem(place, f"{self.name}: {reason}")

    def warn(self, place: Place, reason: str) -> None:
        """Note something that is allowed but hardly meant."""
        self.findings.warn(place, f"{self.name}: {reason}")

    def fail(self, reason: str, place: Place | None = None) -> NoReturn:
        """Raise CorefileErrors at the place, or at the directive."""
        raise CorefileErrors([Problem(place or self.directive.place, f"{self.name}: {reason}")])

    def read(self, path: Path, reader: Callable[[Path], T]) -> T:
        """What the reader makes of a file that several blocks may name: read once for them all, and again at reload."""
        files = self.configuration.read_files
        if path not in files:
            # The digest comes first: what is written meanwhile is seen as a change later.
            files[path] = (_file_digest(path), reader(path))
        return cast("T", files[path][1])

    def key(self, name: bytes, place: Place) -> bytes:
        """The name of a TSIG key; one that `tsig` does not define in this block is noted as a problem."""
        known = [one for keys in self.block.offered(TSIG) for one in keys.keyring.names]
        if name not in known:
            there = ", ".join(map(name_text, known)) or "none"
            self.problem(place, f"key {name_text(name)} is not defined; `tsig` of this server block has: {there}")
        return name

    def tls(self, name: str) -> ClientTLS:
        """How a server of this name is known by TLS: as the block's `tls NAME` says, or by the system's authorities."""
        plain = plain_name(name)
        found = (one for one in self.block.offered(TLS_CLIENT) if one.name == plain)
        return next(found, ClientTLS(plain, plain))

    def path(self, text: str) -> Path:
        """The path, below the block's root when it is relative."""
        roots = self.block.offered(ROOT)
        return (roots[-1] if roots else Path()) / text

    def zones(self, named: Iterable[tuple[bytes, ...]]) -> tuple[bytes, ...]:
        """The zones that a directive names (values of kind Zone), or else the block's origins."""
        return tuple(dict.fromkeys(origin for origins in named for origin in origins)) or self.block.origins


@dataclass(frozen=True, slots=True)
class Plugin:
    """A loaded plugin: its directive's name, schema and setup."""

    name: str
    schema: Schema
    setup: Callable[[Build], Link | None]
    before: str = ""
    """For third parties: the directive it stands ahead of in the chain; the zone backends when empty."""


def _file_digest(path: Path) -> str:
    """SHA-256 in hex of a file, nothing when it can't be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def name_text(origin: bytes) -> str:
    """Presentation text of a wire name, for people."""
    return str(dns.name.from_wire(origin, 0)[0])


Schemas: TypeAlias = Mapping[str, Schema]
