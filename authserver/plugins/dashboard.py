"""The `dashboard` directive: a page of the zones served here, and one for each zone with the timeline of its keys.

It shows what the commands `zone list`, `zone show`, `key why` and `key timeline` tell, and changes nothing. There is
no script in it, so nothing that a zone is called can be one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from typing import Any, Final
from urllib.parse import parse_qs, urlencode

from authserver.http import Endpoint as HttpEndpoint
from authserver.http import Reply
from authserver.plugin import Argument, Build, Configuration, Endpoint, Link, Schema

_ADDRESS = Argument("ADDRESS", Endpoint(default_port=9154), optional=True)

SCHEMA = Schema(arguments=(_ADDRESS,), once=True)

BEFORE: Final = "errors"

DEFAULT: Final = ("localhost", 9154)
MOST_ZONES: Final = 1000
HEADERS: Final = (
    "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'\r\n"
    "X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\nCache-Control: no-store\r\n"
)
STYLE: Final = (
    "body{font:14px sans-serif;margin:2em;color:#222}table{border-collapse:collapse}"
    "th,td{text-align:left;padding:.25em .8em;border-bottom:1px solid #ddd;vertical-align:top}"
    ".held,.error{color:#a00;font-weight:bold}.live{color:#286140}pre{background:#f4f4f4;padding:.8em;overflow:auto}"
)

Facts = Mapping[str, Any]


@dataclass(slots=True)
class Dashboard:
    """The paths `/` and `/zone?zone=NAME&view=NAME`."""

    address: tuple[str, int]
    configuration: Configuration
    endpoints: list[HttpEndpoint] = field(default_factory=list)

    async def start(self) -> None:
        """Serve."""
        http = self.configuration.running.http
        for path, answer in (("/", self.zones), ("/zone", self.zone)):
            self.endpoints.append(await http.add(self.address, path, answer))

    async def stop(self) -> None:
        """Close."""
        while self.endpoints:
            await self.configuration.running.http.remove(self.endpoints.pop())

    async def zones(self, _: str) -> Reply:
        """All zones: those that are held first."""
        found = sorted(await self._asked("zone.list", {}), key=lambda zone: zone["status"] != "held")
        rows = [_row(zone) for zone in found[:MOST_ZONES]]
        more = f"<p>and {len(found) - MOST_ZONES:,} more</p>" if len(found) > MOST_ZONES else ""
        head = "<tr><th>zone<th>view<th>status<th>serial<th>records<th>policy<th>signatures good until<th>commit</tr>"
        return _page("Zones", f"<p>{len(found):,} zones</p><table>{head}{''.join(rows)}</table>{more}")

    async def zone(self, query: str) -> Reply:
        """One zone: what there is to say of it, what its keys wait for, and their timeline."""
        given = parse_qs(query, max_num_fields=4)
        arguments: Facts = {name: values[0] for name, values in given.items() if name in {"zone", "view"}}
        try:
            shown = await self._asked("zone.show", arguments)
        except LookupError as error:
            return _page("No such zone", f'<p class="error">{escape(str(error))}</p>', status=404)
        parts = [f"<table>{''.join(_fact(name, shown[name]) for name in _SHOWN)}</table>", _findings(shown["findings"])]
        try:
            why, drawn = await self._asked("key.why", arguments), await self._asked("key.timeline", arguments)
        except LookupError as error:
            parts.append(f"<h2>Keys</h2><p>{escape(str(error))}</p>")
        else:
            parts += ["<h2>Keys</h2>", drawn["svg"], _waits(why)]
        return _page(str(shown["zone"]), '<p><a href="/">all zones</a></p>' + "".join(parts))

    async def _asked(self, command: str, arguments: Facts) -> Any:
        return await self.configuration.running.tell(command, arguments)


_SHOWN: Final = ("status", "serial", "source_serial", "sealed_serial", "records", "policy", "file", "source", "commit")


def _row(zone: Facts) -> str:
    target = escape("/zone?" + urlencode({"zone": zone["zone"], "view": zone["view"]}))
    until = _moment(zone["earliest_expiration"]) if zone["earliest_expiration"] is not None else ""
    commit = (zone["commit"] or "")[:12]
    cells = [zone["view"], zone["serial"], f"{zone['records']:,}", zone["policy"], until, commit]
    view, *others = (escape("" if cell is None else str(cell)) for cell in cells)
    status = f'<td class="{escape(zone["status"])}">{escape(zone["status"])}'
    link = f'<td><a href="{target}">{escape(zone["zone"])}</a>'
    return f"<tr>{link}<td>{view}{status}" + "".join(f"<td>{cell}" for cell in others) + "</tr>"


def _fact(name: str, value: object) -> str:
    return f"<tr><th>{escape(name.replace('_', ' '))}<td>{escape('' if value is None else str(value))}</tr>"


def _findings(findings: Sequence[str]) -> str:
    return f"<h2>Findings</h2><pre>{escape(chr(10).join(findings))}</pre>" if findings else ""


def _waits(why: Facts) -> str:
    lines = [
        f"{one['role']} {one['tag']}"
        + (f" {one['record']} {one['state']}" if one["record"] else "")
        + f": {one['reason']}"
        + (f" ({_moment(one['until'])})" if one["until"] is not None else "")
        for one in why["waits"]
    ]
    return f"<h2>What they wait for</h2><pre>{escape(chr(10).join([*lines, *why['to_do']]))}</pre>"


def _moment(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%d %H:%M")


def _page(title: str, body: str, status: int = 200) -> Reply:
    text = (
        f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
        f"<h1>{escape(title)}</h1>{body}</html>\n"
    )
    return Reply(status, text.encode(), "text/html; charset=utf-8", HEADERS)


def setup(build: Build) -> Link | None:
    """Opens its endpoints when the server starts."""
    dashboard = Dashboard(build.settings[0].get(_ADDRESS, DEFAULT), build.configuration)
    build.on_start(dashboard.start)
    build.on_stop(dashboard.stop)
    return None
