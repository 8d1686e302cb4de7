#!/usr/bin/env python3
"""Zone transfers out beside NSD: records per second of the server's CPU, of one zone in one run.

Each server is asked for the zone in turn by a client that does no more than read; CPU is the server's own from /proc.

    tools/bench/transfers.py            # measures, and rewrites its part of docs/benchmarks.md
    tools/bench/transfers.py --dry      # prints it
"""

import argparse
import os
import socket
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import dns.message

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tools.bench.measure import TICK_US  # noqa: E402
from tools.bench.run import ORIGIN, corefile, write_part  # noqa: E402
from tools.make_zone import write  # noqa: E402
from tools.servers import Nsd, Server, Zone, Zonewright, stopped  # noqa: E402


@dataclass(frozen=True, slots=True)
class Round:
    """One transfer from one server."""

    records: int
    octets: int
    messages: int
    wall_s: float
    cpu_s: float

    @property
    def rate(self) -> float:
        """Records a second of CPU, which is counted in ticks."""
        return self.records / max(self.cpu_s, TICK_US / 1e6)


def transfer(server: Server) -> Round:
    """Take the whole zone: records are counted, and not looked at, but for the SOA that ends it."""
    query = dns.message.make_query(ORIGIN, "AXFR").to_wire()
    before, started = sum(server.cpu_ticks()), time.monotonic()
    records = octets = messages = 0
    with socket.create_connection((server.address, server.port), 60) as stream:
        stream.sendall(len(query).to_bytes(2, "big") + query)
        reader = stream.makefile("rb", buffering=1 << 20)
        while True:
            message = reader.read(int.from_bytes(reader.read(2), "big"))
            records += int.from_bytes(message[6:8], "big")
            octets, messages = octets + len(message), messages + 1
            if ends(message, is_first=messages == 1):
                break
    wall = time.monotonic() - started
    return Round(records, octets, messages, wall, (sum(server.cpu_ticks()) - before) * TICK_US / 1e6)


def ends(message: bytes, *, is_first: bool) -> bool:
    """Whether the last record is an SOA; of the first message only if there are others."""
    # Type, class, TTL and length, and then so many octets to the end.
    tail = message[-120:]
    place = tail.rfind(b"\x00\x06\x00\x01")
    if place < 0:
        return False
    length = int.from_bytes(tail[place + 8 : place + 10], "big")
    count = int.from_bytes(message[6:8], "big")
    return place + 10 + length == len(tail) and not (is_first and count == 1)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dry", action="store_true", help="print the figures, leave docs/benchmarks.md alone")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="zonewright-bench-") as name:
        text = measured(Path(name), options.records, options.rounds)
    words = " ".join(["tools/bench/transfers.py", *sys.argv[1:]])
    text += f"\nBy `{words}`, load average {load:.1f} when it began."
    if options.dry:
        print(text)
    else:
        write_part("transfers", text)


def measured(directory: Path, records: int, rounds: int) -> str:
    """A table of both servers."""
    file = directory / "bench.zone"
    with file.open("w") as out:
        write(out, ORIGIN, records)
    ours = Zonewright(directory=directory / "zonewright", corefile=corefile(file, signed=False), start_seconds=120)
    theirs = Nsd(directory=directory / "nsd", zones=[Zone(ORIGIN, file)], start_seconds=120)
    found: dict[str, list[Round]] = {"Zonewright": [], "NSD": []}
    with stopped([ours, theirs]):
        for server in (ours, theirs):
            server.start()
        for number in range(rounds + 1):
            for title, server in (("Zonewright", ours), ("NSD", theirs)):
                one = transfer(server)
                if number:  # the first one waits for the seal, and warms up
                    found[title].append(one)
                print(f"{title:12} {one.records} records, {one.wall_s:.2f} s, CPU {one.cpu_s:.2f} s", flush=True)
    rates = {title: statistics.median(one.rate for one in own) for title, own in found.items()}
    lines = [
        f"AXFR of {records:,} records, median of {rounds}:\n\n",
        "| | records a CPU second | CPU s | wall s | messages | MB |\n|---|---|---|---|---|---|\n",
    ]
    for title, own in found.items():
        cpu, wall = (statistics.median(times) for times in zip(*((one.cpu_s, one.wall_s) for one in own), strict=True))
        sizes = f"{own[0].messages} | {own[0].octets / 1e6:.1f}"
        lines.append(f"| {title} | {rates[title]:,.0f} | {cpu:.2f} | {wall:.2f} | {sizes} |\n")
    lines.append(f"\nRatio of records a CPU second **{rates['Zonewright'] / rates['NSD']:.2f}**.\n")
    return "".join(lines)


if __name__ == "__main__":
    main()
