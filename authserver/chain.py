"""Chains: a configuration of server blocks out of a Corefile, and the running of a block's handlers.

A block is *direct* when the engine can answer its queries by itself, and *chained* when a plugin has to see them.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from pathlib import Path
from typing import Final

import dns.rcode

from authserver import corefile, directives
from authserver.corefile import Directive, Key, ServerBlock
from authserver.directives import Directives, PluginError
from authserver.errors import CorefileErrors, Problem
from authserver.plugin import (
    EFFECT,
    SIGNING,
    SOURCES,
    TIMEOUTS,
    TLS,
    ZONES,
    Block,
    Build,
    Configuration,
    Effect,
    Findings,
    Handler,
    Link,
    Query,
    Response,
    Timeouts,
    Transfer,
    name_text,
)
from authserver.schema import settings_of
from authserver.tls import ServerFiles

log = logging.getLogger(__name__)

SERVED_SCHEMES: Final = ("dns", "tls")


def load(
    source: Path | str,
    env: Mapping[str, str],
    *,
    known: Directives | None = None,
    file: str = "Corefile",
    default_port: int = 53,
) -> Configuration:
    """The configuration that a Corefile describes; nothing is opened but its files. Raises CorefileErrors, with all."""
    parsed, problems = corefile.read(source, env, file=file, default_port=default_port)
    findings = Findings(problems, list(parsed.warnings))
    known = known or directives.installed()
    configuration = Configuration(parsed)
    if isinstance(source, Path):
        configuration.reread = partial(corefile.read, source, env, default_port=default_port)
    configuration.blocks = tuple(
        _block(number, block, configuration, known, findings) for number, block in enumerate(parsed.blocks)
    )
    _check_limits(configuration, findings)
    _check_tls(configuration.blocks, findings)
    _check_views(configuration.blocks, findings)
    if findings.problems:
        raise CorefileErrors(_sorted(findings.problems, (parsed.file, *parsed.files)))
    configuration.warnings = tuple(_sorted(findings.warnings, (parsed.file, *parsed.files)))
    return configuration


async def serve(block: Block, query: Query) -> Response | Transfer:
    """What the block's chain answers; SERVFAIL, and one line in the log, when a plugin raised."""
    if block.handler is None:
        return query.respond(dns.rcode.REFUSED)
    try:
        return await block.handler.serve(query)
    except Exception:
        # A plugin's bug costs its query an answer, never the server.
        block.failures += 1
        log.exception("%s %d: a plugin failed", query.name, query.qtype)
        return query.respond(dns.rcode.SERVFAIL)


@dataclass(frozen=True, slots=True)
class ChainEnd:
    """Refuses what no plugin of the block answered, as the engine does in a direct block."""

    async def serve(self, query: Query) -> Response | Transfer:
        """REFUSED, with extended error 20, Not Authoritative (RFC 8914 section 4.21)."""
        return query.respond(dns.rcode.REFUSED, ede=20)


# ------------------------------------------------------------------ building


def _block(
    number: int, source: ServerBlock, configuration: Configuration, known: Directives, findings: Findings
) -> Block:
    block = Block(number, source)
    _check_schemes(source, findings)
    links: list[tuple[str, Link]] = []
    grouped = _grouped(source.directives, known, findings)
    for name in known.in_order(grouped):
        link = _set_up(name, grouped[name], block, configuration, known, findings)
        if link is not None:
            links.append((name, link))
    block.plugins = tuple(known.in_order(grouped))
    block.handler = _chain(links)
    path = [name for name, _ in links]
    block.chained_by = _chained_by(path, block)
    block.is_guarded = bool(_ahead(path, block))
    block.effect = reduce(Effect.over, block.offered(EFFECT), Effect())
    return block


def _check_schemes(source: ServerBlock, findings: Findings) -> None:
    for key in source.keys:
        if key.scheme not in SERVED_SCHEMES:
            served = ", ".join(SERVED_SCHEMES)
            message = (
                f"key {key.text}: CoreDNS has {key.scheme}://, this version of Zonewright does not yet; it has {served}"
            )
            findings.problem(key.place, message)


def _check_limits(configuration: Configuration, findings: Findings) -> None:
    """An address and port has one set of limits; whoever says other ones than the first block is not heard."""
    first: dict[tuple[str, int], Timeouts] = {}
    for block in configuration.blocks:
        for own in block.offered(TIMEOUTS):
            places = [(address, key.port) for key in block.keys for address in block.addresses or ("",)]
            said = {first.setdefault(place, own) for place in places}
            for other in said:
                if other.limits != own.limits:
                    findings.warn(
                        own.place, f"timeouts: where both blocks listen, the limits of {other.place} are in force"
                    )


def _check_tls(blocks: Sequence[Block], findings: Findings) -> None:
    """An address and port speaks TLS or not, with one certificate."""
    first: dict[tuple[str, int], tuple[Key, ServerFiles | None]] = {}
    for block in blocks:
        files = next((one.files for one in block.offered(TLS)), None)
        schemes = {key.scheme for key in block.keys}
        if files is not None and "tls" not in schemes:
            place = block.source.named("tls")[0].place
            findings.warn(place, "tls: no key of this server block begins with tls://, so the certificate is not used")
        for key in block.keys:
            own = files if key.scheme == "tls" else None
            if key.scheme == "tls" and own is None and "tls" not in {one.name for one in block.source.directives}:
                findings.problem(key.place, f"key {key.text}: tls:// needs a certificate; accepted: tls CERT KEY [CA]")
            for address in block.addresses or ("",):
                other, theirs = first.setdefault((address, key.port), (key, own))
                if (other.scheme, theirs) != (key.scheme, own):
                    findings.problem(
                        key.place,
                        f"key {key.text}: port {key.port} is {other.scheme}:// with other files at {other.place}",
                    )


def _check_views(blocks: Sequence[Block], findings: Findings) -> None:
    """What is kept of a zone is kept under the name of its view: two contents can't share one."""
    seen: dict[tuple[str, bytes], Block] = {}
    for block in blocks:
        for key in block.keys if block.view.name and block.offered(SOURCES) else ():
            other = seen.setdefault((block.view.name, key.origin), block)
            if other is not block and _zone_data(other) != _zone_data(block):
                message = (
                    f"view {block.view.name} of {name_text(key.origin)} is at {other.place} already, with other zones "
                    "or signed otherwise; their keys and serials are kept under its name, so give this one its own"
                )
                findings.problem(block.source.named("view")[0].place, message)


def _zone_data(block: Block) -> object:
    sources = [(source.kind, source.location, source.origins) for source in block.offered(SOURCES)]
    return sources, [(one.origins, one.policy) for one in block.offered(SIGNING)]


def _grouped(lines: Sequence[Directive], known: Directives, findings: Findings) -> dict[str, list[Directive]]:
    """The directives by name; all of one name go to its plugin together."""
    grouped: dict[str, list[Directive]] = {}
    for line in lines:
        try:
            plugin = known.plugin(line.name)
        except PluginError as error:
            findings.problem(line.place, str(error))
            continue
        if plugin is None:
            findings.problem(line.place, known.unknown(line.name))
        else:
            grouped.setdefault(line.name, []).append(line)
    return grouped


def _set_up(
    name: str,
    lines: Sequence[Directive],
    block: Block,
    configuration: Configuration,
    known: Directives,
    findings: Findings,
) -> Link | None:
    plugin = known.plugin(name)
    assert plugin is not None, "only known directives are grouped"
    before = len(findings.problems)
    settings = settings_of(lines, plugin.schema, findings)
    if len(findings.problems) > before:
        return None
    build = Build(name, settings, block, configuration, findings)
    try:
        return plugin.setup(build)
    except CorefileErrors as errors:
        findings.problems += errors.problems
    except Exception as error:
        # A stranger's setup may fail in any way; the operator needs the line, its author the trace.
        log.debug("setup of %s", name, exc_info=True)
        findings.problem(lines[0].place, f"{name}: set-up failed: {type(error).__name__}: {error}")
    return None


def _chain(links: Sequence[tuple[str, Link]]) -> Handler:
    handler: Handler = ChainEnd()
    for _, link in reversed(links):
        handler = link(handler)
    return handler


def _sorted(problems: Iterable[Problem], files: Sequence[str]) -> list[Problem]:
    order = {file: index for index, file in enumerate(dict.fromkeys(files))}
    last = len(order)
    return sorted(dict.fromkeys(problems), key=lambda one: (order.get(one.place.file, last), one.place))


# ------------------------------------------------------------------ direct or chained


def _backends(path: Sequence[str], block: Block) -> list[str]:
    return [name for name in path if bool(block.offered_by(name, SOURCES)) or bool(block.offered_by(name, ZONES))]


def _others(path: Sequence[str], block: Block) -> list[str]:
    """Plugins that are no backends, and whose effects the engine does not know."""
    backends = _backends(path, block)
    return [name for name in path if name not in backends and not block.offered_by(name, EFFECT)]


def _ahead(path: Sequence[str], block: Block) -> list[str]:
    """Those of them that see a query before a zone does."""
    last = max(map(path.index, _backends(path, block)), default=0)
    return [name for name in _others(path, block) if path.index(name) < last]


def _chained_by(path: Sequence[str], block: Block) -> str | None:
    """Why the engine can't answer by itself; None when it can. `path` are the plugins that see queries, in order."""
    backends, others = _backends(path, block), _others(path, block)
    if not others:
        return None
    if not backends:
        return f"{others[0]} answers, and there is no zone in this server block"
    if ahead := _ahead(path, block):
        return f"{ahead[0]} stands ahead of {backends[-1]}, and the engine can't do in its place what it does"
    return None if _is_covered(block) else f"{others[0]} answers what {backends[-1]} does not"


def _is_covered(block: Block) -> bool:
    """Whether each origin of the block is in a zone that is named and keeps its queries, so none goes further."""
    zones = {
        origin
        for source in block.offered(SOURCES)
        if source.kind in ("file", "secondary", "update", "catalog") and not source.falls_through
        for origin in source.origins
    }
    return all(any(ancestor in zones for ancestor in _ancestors(origin)) for origin in block.origins)


def _ancestors(name: bytes) -> Iterable[bytes]:
    while True:
        yield name
        if name == b"\0":
            return
        name = name[name[0] + 1 :]
