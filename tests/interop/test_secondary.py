"""Whether our copies of zones of BIND, NSD and Knot DNS equal theirs, whatever happens to either side."""

import contextlib
import signal
from collections.abc import Callable
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import dns.rcode
import dns.update
import pytest

from tests.interop.conftest import zone_file
from tools.servers import (
    LOOPBACK,
    Knot,
    Named,
    Nsd,
    Peer,
    Server,
    Zone,
    Zonewright,
    free_port,
    wait_until,
    zone_records,
)

ORIGIN = "example.test."
WRAPPING = 4294967290
COREFILE = """{origin}:{{port}} {{
    bind 127.0.0.1
    secondary {{
        transfer from {primaries}
        {more}
    }}
    {plugins}
    transfer {{
        to *
    }}
}}
"""
PRIMARIES = [
    pytest.param(Named, marks=pytest.mark.peer("named")),
    pytest.param(Nsd, marks=pytest.mark.peer("nsd")),
    pytest.param(Knot, marks=pytest.mark.peer("knotd")),
]
QUICK = "refresh 1s 1s\n        retry 1s 1s"


def corefile(*ports: int, more: str = "", plugins: str = "", origin: str = ORIGIN) -> str:
    """Our server block with these primaries on loopback."""
    primaries = " ".join(f"{LOOPBACK}:{port}" for port in ports)
    return COREFILE.format(origin=origin, primaries=primaries, more=more, plugins=plugins)


class Edited:
    """A primary of the real kind and how its zone is changed: by UPDATE, or by its file where it takes none."""

    def __init__(self, kind: type[Peer], run: Callable[..., Server], directory: Path, notified: int | None) -> None:
        self.file = zone_file(directory, ORIGIN, 2000, serial=WRAPPING)
        self.count = 0
        facts: dict[str, object] = {}
        match kind.__name__:
            case "Named":
                tell = f"notify explicit; also-notify {{ {LOOPBACK} port {notified}; }};" if notified else "notify no;"
                more = f"allow-update {{ any; }}; notify-delay 0; {tell}"
            case "Nsd":
                more = f"  notify: {LOOPBACK}@{notified} NOKEY\n" if notified else ""
                more += "  store-ixfr: yes\n"
            case _:
                more = "    notify: ours\n    notify-delay: 0\n" if notified else ""
                facts["more"] = f"remote:\n  - id: ours\n    address: {LOOPBACK}@{notified}\n" if notified else ""
        self.server = run(kind, zones=[Zone(ORIGIN, self.file, more=more)], port=free_port(), **facts)

    def edit(self) -> None:
        """One more record, and a serial that is one more."""
        self.count += 1
        if isinstance(self.server, Nsd):
            text = self.file.read_text().replace(str(WRAPPING + self.count - 1), str(WRAPPING + self.count), 1)
            if WRAPPING + self.count > 0xFFFFFFFF:
                text = self.file.read_text()
            self.file.write_text(text + f'edit{self.count}.{ORIGIN} 60 IN TXT "{self.count}"\n')
            self.server.process.send_signal(signal.SIGHUP)
            return
        update = dns.update.UpdateMessage(ORIGIN)
        update.add(f"edit{self.count}", 60, "TXT", f'"{self.count}"')
        if self.count > 3:
            update.delete(f"edit{self.count - 3}")
        answer = dns.query.udp(update, LOOPBACK, 5, self.server.port)
        assert answer.rcode() == dns.rcode.NOERROR


def records(server: Server) -> list[str]:
    """All it transfers; nothing while it can't."""
    with contextlib.suppress(dns.exception.DNSException, OSError):
        return zone_records(server.transfer(ORIGIN))
    return []


def wait_equal(ours: Zonewright, theirs: Server) -> None:
    """Until both transfer the same."""
    wait_until(lambda: records(ours) == records(theirs) != [], 20, "the copy equals\n" + ours.new_log[-3000:])


@pytest.mark.parametrize("primary", PRIMARIES)
def test_the_copy_follows_each_edit_also_across_kills_of_either_side(run, tmp_path, primary):
    """Edits by one and in bursts; the serial wraps; NOTIFY alone says when, refresh is far away."""
    port = free_port()
    edited = Edited(primary, run, tmp_path, port)
    ours = run(Zonewright, corefile=corefile(edited.server.port), port=port)
    wait_equal(ours, edited.server)
    for _ in range(2):
        edited.edit()
        wait_equal(ours, edited.server)
    for _ in range(6):
        edited.edit()
    wait_equal(ours, edited.server)
    last = records(edited.server)

    edited.server.stop()
    ours.kill()
    ours.start()
    assert records(ours) == last, "served from the state, without any primary"
    edited.server.start()
    edited.edit()
    wait_equal(ours, edited.server)
    if not isinstance(edited.server, Nsd):
        assert "the whole zone is taken" not in ours.new_log
