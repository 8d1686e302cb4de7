"""The `secondary` directive: serves zones that are transferred from primaries."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

from authserver.backend import ZoneHandler, ZoneTable, in_order
from authserver.plugin import (
    SOURCES,
    ZONES,
    AddressKind,
    Argument,
    Build,
    Duration,
    Integer,
    Link,
    Name,
    Schema,
    Settings,
    Source,
    Word,
    Zone,
)
from authserver.tls import ClientTLS
from zones.errors import TransferMessageError
from zones.refresh import Bounds
from zones.transfer import Group, Target, parse_target
from zones.tsig import SharedKey

T = TypeVar("T")

TLS_PORT: Final = 853

ZONE: Final = Argument("ZONES", Zone(), optional=True, repeat=True)
FROM: Final = Argument("from ADDRESS", Word(), repeat=True)
KEY: Final = Argument("key NAME", Name(), optional=True)
TLS_NAME: Final = Argument("tls NAME", Word("a name in the primary's certificate"), optional=True)
SOURCE: Final = Argument("ADDRESS", AddressKind())
LEAST: Final = Argument("LEAST", Duration(minimum=1, maximum=2**31))
MOST: Final = Argument("MOST", Duration(minimum=1, maximum=2**31))
SECONDS: Final = Argument("DURATION", Duration(minimum=0.1, maximum=86_400))
RECORDS: Final = Argument("RECORDS", Integer(1, 2**32))
OCTETS: Final = Argument("OCTETS", Integer(1000, 2**40))
GROUP: Final = Argument("NAME", Word("a group that the catalog has members in"))

SCHEMA: Final = Schema(
    arguments=(ZONE,),
    properties={
        "transfer": Schema(arguments=(FROM,), clauses=(KEY, TLS_NAME), required=True),
        "notify": Schema(arguments=(FROM,), clauses=(KEY,)),
        "catalog": Schema(
            arguments=(ZONE,),
            once=True,
            properties={"group": Schema(arguments=(GROUP, FROM), clauses=(KEY, TLS_NAME))},
        ),
        "source": Schema(arguments=(SOURCE,), once=True),
        "refresh": Schema(arguments=(LEAST, MOST), once=True),
        "retry": Schema(arguments=(LEAST, MOST), once=True),
        "expire": Schema(arguments=(LEAST, MOST), once=True),
        "idle": Schema(arguments=(SECONDS,), once=True),
        "within": Schema(arguments=(SECONDS,), once=True),
        "max_records": Schema(arguments=(RECORDS,), once=True),
        "max_octets": Schema(arguments=(OCTETS,), once=True),
    },
)


@dataclass(frozen=True, slots=True)
class Primary:
    """A server that zones are transferred from."""

    address: str
    port: int
    source: str | None = None
    """The address that is asked from; None leaves it to the system."""
    key: SharedKey | None = None
    """What questions are signed with, and answers have to be."""
    tls: ClientTLS | None = None
    """How it is known by TLS; None: questions go by UDP and TCP."""

    @property
    def shown(self) -> str:
        """For people: `192.0.2.1:53`."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: for a connection to stand, for each message to come whole, for a transfer in all."""

    connect: float = 5.0
    message: float = 20.0
    transfer: float = 3600.0


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What a transfer may have at most."""

    records: int = 50_000_000
    octets: int = 8 << 30


@dataclass(frozen=True, slots=True)
class Template:
    """How the members of a catalog that are in a group are transferred."""

    group: str
    primaries: tuple[Primary, ...]
    notifiers: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class Consuming:
    """The zones of the directive are catalogs (RFC 9432); what they list at or below `within` is transferred, too."""

    within: tuple[bytes, ...]
    templates: tuple[Template, ...]


@dataclass(frozen=True, slots=True)
class SecondaryOptions:
    """What the source of secondary zones also says."""

    table: ZoneTable
    primaries: tuple[Primary, ...]
    notifiers: tuple[Group, ...]
    bounds: Bounds
    patience: Patience
    ceiling: Ceiling
    consuming: Consuming | None = None


def setup(build: Build) -> Link | None:
    """One table and one link for each `secondary`; they stand in the chain in the order of the Corefile."""
    return in_order([_one(build, settings) for settings in build.settings])


def _one(build: Build, settings: Settings) -> Link:
    origins = build.zones(settings.all(ZONE))
    source = settings.property("source")
    address = str(source.one(SOURCE)) if source is not None else None
    primaries = [one for line in settings.properties("transfer") for one in _primaries(build, line, address)]
    notifiers = [_notifiers(build, line) for name in ("transfer", "notify") for line in settings.properties(name)]
    table = ZoneTable(origins)
    build.offer(ZONES, table)
    options = SecondaryOptions(
        table,
        tuple(dict.fromkeys(primaries)),
        tuple(notifiers),
        _bounds(build, settings),
        Patience(
            message=_value(settings, "idle", SECONDS, Patience().message),
            transfer=_value(settings, "within", SECONDS, Patience().transfer),
        ),
        Ceiling(
            _value(settings, "max_records", RECORDS, Ceiling().records),
            _value(settings, "max_octets", OCTETS, Ceiling().octets),
        ),
        _consuming(build, settings, address),
    )
    build.offer(
        SOURCES,
        Source(
            plugin=build.name,
            kind="secondary",
            location=" ".join(primary.shown for primary in options.primaries),
            origins=origins,
            reload=0,
            place=settings.place,
            options=options,
        ),
    )
    return lambda following: ZoneHandler(table, build.configuration, build.block, following)


def _consuming(build: Build, settings: Settings, source: str | None) -> Consuming | None:
    catalog = settings.property("catalog")
    if catalog is None:
        return None
    templates = [
        Template(line.one(GROUP), tuple(_primaries(build, line, source)), (_notifiers(build, line),))
        for line in catalog.properties("group")
    ]
    return Consuming(build.zones(catalog.all(ZONE)), tuple(templates))


def _notifiers(build: Build, line: Settings) -> Group:
    return Group(tuple(_targets(build, line)), _key(build, line))


def _primaries(build: Build, line: Settings, source: str | None) -> Iterator[Primary]:
    name, key = line.get(TLS_NAME, None), line.get(KEY, None)
    tls = build.tls(name) if name is not None else None
    shared = build.block.keyring.signing(key) if key is not None else None
    for word in line.all(FROM)[1:]:
        try:
            target = parse_target(word)
        except TransferMessageError:
            continue  # told with who sends NOTIFY
        if target.port is None or target.network is None:
            build.problem(line.place, f"{line.directive.name}: a primary is an address, not a prefix or *")
            continue
        address = str(target.network.network_address)
        port = TLS_PORT if tls is not None and word == address else target.port  # RFC 7858 section 3.1
        yield Primary(address, port, source, shared, tls)


def _key(build: Build, line: Settings) -> bytes | None:
    key = line.get(KEY, None)
    return build.key(key, line.place) if key is not None else None


def _targets(build: Build, line: Settings) -> list[Target]:
    """What stands behind `from`."""
    word, *addresses = [*line.all(FROM), ""]
    if word != "from" or not addresses[:-1]:
        group = " NAME" if line.directive.name == "group" else ""
        build.problem(line.place, f"{line.directive.name}: usage: {line.directive.name}{group} from ADDRESS...")
        return []
    targets = []
    for address in addresses[:-1]:
        try:
            targets.append(parse_target(address))
        except TransferMessageError as error:
            build.problem(line.place, f"{line.directive.name} from: {error.reason}")
    return targets


def _bounds(build: Build, settings: Settings) -> Bounds:
    found = {}
    for name, default in (("refresh", Bounds().refresh), ("retry", Bounds().retry), ("expire", Bounds().expire)):
        line = settings.property(name)
        found[name] = (
            (int(line.get(LEAST, default[0])), int(line.get(MOST, default[1]))) if line is not None else default
        )
        if line is not None and found[name][0] > found[name][1]:
            build.problem(line.place, f"{name}: the least is more than the most")
    return Bounds(**found)


def _value(settings: Settings, name: str, argument: Argument[T], default: T) -> T:
    line = settings.property(name)
    return line.get(argument, default) if line is not None else default
