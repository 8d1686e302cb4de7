#!/usr/bin/env python3
"""What being a secondary costs: a zone by AXFR from start to serving, ten changes by IXFR, a thousand zones refreshed.

Knot DNS is the primary of all, and the other secondary that ours is compared with. Run it at nice 5; the ratios it
prints go into docs/benchmarks.md.

    tools/bench/secondary.py [RECORDS]
"""

import argparse
import contextlib
import os
import re
import tempfile
import time
from pathlib import Path

import dns.exception
import dns.query
import dns.rcode
import dns.update

from tools import make_zone
from tools.servers import LOOPBACK, Knot, Server, Zone, Zonewright, free_port, stopped, wait_until

ORIGIN = "example.test."
ZONES = 1000
WATCHED_S = 20.0
TICKS = os.sysconf("SC_CLK_TCK")

ONE = """{origin}:{{port}} {{
    bind 127.0.0.1
    secondary {{
        transfer from {primary}
    }}
}}
"""


def serial(server: Server) -> int:
    """The serial it answers, 0 while it answers none."""
    with contextlib.suppress(dns.exception.DNSException, OSError, IndexError):
        return int(server.texts(ORIGIN, "SOA")[0].split()[2])
    return 0


def seconds_to_serve(server: Server, wanted: int) -> float:
    """From its start to its first answer of this serial."""
    begun = time.monotonic()
    server.launch()
    wait_until(lambda: serial(server) == wanted, 600, f"{server.name} serves\n{server.log[-2000:]}")
    return time.monotonic() - begun


def change(primary: Server, secondary: Server, number: int) -> None:
    """Ten new records, until the secondary serves them."""
    update = dns.update.UpdateMessage(ORIGIN)
    for one in range(10):
        update.add(f"edit{number}x{one}", 60, "TXT", "new")
    before = serial(primary)
    answer = dns.query.tcp(update, LOOPBACK, 120, primary.port)
    assert answer.rcode() == dns.rcode.NOERROR
    wait_until(lambda: serial(secondary) > before, 120, "the change is served")


def bench_one(directory: Path, count: int) -> None:
    """AXFR and IXFR of one zone."""
    file = directory / "zone"
    with file.open("w") as out:
        make_zone.write(out, ORIGIN, count)
    ports = [free_port(), free_port()]
    remotes = "".join(f"  - id: s{port}\n    address: {LOOPBACK}@{port}\n" for port in ports)
    primary = Knot(
        directory=directory / "primary",
        zones=[Zone(ORIGIN, file, more=f"    notify: [s{ports[0]}, s{ports[1]}]\n")],
        more=f"remote:\n{remotes}",
        start_seconds=300,
    )
    ours = Zonewright(
        directory=directory / "ours",
        port=ports[0],
        corefile=ONE.format(origin=ORIGIN, primary=f"{LOOPBACK}:{primary.port}"),
    )
    theirs = Knot(directory=directory / "theirs", port=ports[1], zones=[Zone(ORIGIN, primary_port=primary.port)])
    with stopped([ours, theirs, primary]):
        primary.start()
        wanted = serial(primary)
        own, other = seconds_to_serve(ours, wanted), seconds_to_serve(theirs, wanted)
        ratio = other / own
        print(f"AXFR of {count} records, start to serving: ours {own:.2f} s, Knot DNS {other:.2f} s, ratio {ratio:.2f}")
        for number in range(5):
            change(primary, ours, number)
        live = re.findall(r"by IXFR .* live ([0-9.]+) s later", ours.log)
        print(f"IXFR of 10 records into {count}, last octet to live: {', '.join(live)} s")


def bench_many(directory: Path) -> None:
    """The processor time of a thousand zones, each asked about every ten seconds."""
    origins = [f"z{number}.test." for number in range(ZONES)]
    zones = []
    for origin in origins:
        file = directory / f"{origin}zone"
        with file.open("w") as out:
            make_zone.write(out, origin, 20)
        zones.append(Zone(origin, file))
    primary = Knot(directory=directory / "primary", zones=zones, start_seconds=120)
    text = ONE.format(origin=".", primary=f"{LOOPBACK}:{primary.port}")
    text = text.replace("secondary {", f"secondary {' '.join(origins)} {{\n        refresh 10s 10s")
    ours = Zonewright(directory=directory / "ours", corefile=text, start_seconds=120)
    with stopped([ours, primary]):
        primary.start()
        ours.start()
        wait_until(lambda: ours.log.count(" is sealed") >= ZONES, 120, "all are there")
        time.sleep(3)
        before = sum(ours.cpu_ticks())
        time.sleep(WATCHED_S)
        used = (sum(ours.cpu_ticks()) - before) / TICKS / WATCHED_S
        print(f"{ZONES} zones, each asked about every 10 s: {100 * used:.1f} % of a core")


def main() -> None:
    """All three."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", type=int, nargs="?", default=1_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        bench_one(Path(directory), options.records)
    with tempfile.TemporaryDirectory() as directory:
        bench_many(Path(directory))


if __name__ == "__main__":
    main()
