"""Fixtures of the interop family: our server on a zone, its trust anchors, and zones to serve."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tools import make_zone
from tools.servers import Server, Zonewright, trust_anchors

SIGNED = """{origin}:{{port}} {{
    bind 127.0.0.1
    file {file} {origin}
    dnssec
    transfer {{
        to {to}
    }}
}}
"""
UNSIGNED = SIGNED.replace("    dnssec\n", "")


def corefile(template: str, origin: str, file: Path, to: str = "*") -> str:
    """A server block of one zone; {port} is left for the server to fill in."""
    return template.format(origin=origin, file=file, to=to)


def zone_file(directory: Path, origin: str, count: int, seed: int = 1, serial: int = 2026010101) -> Path:
    """A generated zone in a file."""
    path = directory / f"{origin}zone"
    with path.open("w") as out:
        make_zone.write(out, origin, count, seed, serial=serial)
    return path


def ds_of(server: Zonewright, origin: str) -> list[str]:
    """DS rdata by `key ds`, whatever its "not before" says: tests trust the key at once."""
    done = server.control("key", "ds", origin, "--json")
    if done.returncode == 0 and done.stdout.strip():
        facts = json.loads(done.stdout)
        found = _ds_in(facts)
        if found:
            return found
    import dns.dnssec
    import dns.name

    keys = server.ask(origin, "DNSKEY").answer[0]
    return [
        dns.dnssec.make_ds(dns.name.from_text(origin), key, "SHA256").to_text() for key in keys if key.flags & 0x0001
    ]


def _ds_in(facts: object) -> list[str]:
    """Every text under a key "ds" in the JSON, reduced to rdata."""
    if isinstance(facts, list):
        return [text for fact in facts for text in _ds_in(fact)]
    if isinstance(facts, dict):
        value = facts.get("ds")
        if isinstance(value, str):
            return [value.split(" DS ")[-1].strip()]
        return [text for fact in facts.values() if isinstance(fact, list | dict) for text in _ds_in(fact)] + (
            [text.split(" DS ")[-1].strip() for text in value if isinstance(text, str)]
            if isinstance(value, list)
            else []
        )
    return []


@pytest.fixture
def anchors_of(tmp_path: Path) -> Callable[[Zonewright, str], Path]:
    """A trust-anchor file for delv out of `zonewright key ds`."""

    def write(server: Zonewright, origin: str) -> Path:
        path = tmp_path / f"{origin}anchors"
        path.write_text(trust_anchors(origin, ds_of(server, origin)))
        return path

    return write


@pytest.fixture
def serve(run: Callable[..., Server], tmp_path: Path) -> Callable[..., Zonewright]:
    """Serve one generated zone: `serve("example.test.", 500)`; unsigned with `signed=False`."""

    def start(
        origin: str, count: int = 500, *, signed: bool = True, seed: int = 1, to: str = "*", **facts: object
    ) -> Zonewright:
        file = zone_file(tmp_path, origin, count, seed)
        text = corefile(SIGNED if signed else UNSIGNED, origin, file, to)
        server = run(Zonewright, corefile=text, **facts)
        assert isinstance(server, Zonewright)
        server.wait_served(origin)
        return server

    return start
