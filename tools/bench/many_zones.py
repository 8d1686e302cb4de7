#!/usr/bin/env python3
"""What ten thousand signed zones under one policy cost: a first start, the next start, and a server with nothing to do.

tools/bench/many_zones.py            # measures, and rewrites its part of docs/benchmarks.md
tools/bench/many_zones.py --dry      # prints it
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tools.bench.run import write_part  # noqa: E402
from tools.servers import Zonewright, wait_until  # noqa: E402

TEXT = "$TTL 300\n@ SOA ns hostmaster 1 7200 900 1209600 300\n@ NS ns\nns A 192.0.2.1\n"
COREFILE = """.:{{port}} {{
    bind 127.0.0.1
    auto {{
        directory {directory} (.*)\\.zone {{1}}
    }}
    dnssec {{
        policy {policy}
    }}
}}
"""


def seconds_of_cpu(server: Zonewright) -> float:
    """What the server has used so far."""
    return sum(server.cpu_ticks()) / os.sysconf("SC_CLK_TCK")


def quiet(server: Zonewright) -> None:
    """Wait until all is sealed and written: the server uses nearly nothing for three seconds."""

    def is_quiet() -> bool:
        before = seconds_of_cpu(server)
        time.sleep(3)
        return seconds_of_cpu(server) - before < 0.3

    wait_until(is_quiet, 600, "the server has nothing left to do")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--zones", type=int, default=10_000)
    parser.add_argument("--seconds", type=int, default=60, help="how long to look at it while nothing happens")
    parser.add_argument("--policy", default="corporate")
    parser.add_argument("--dry", action="store_true", help="print the figures, leave docs/benchmarks.md alone")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="zonewright-bench-") as name:
        directory = Path(name) / "zones"
        directory.mkdir()
        for number in range(options.zones):
            (directory / f"z{number}.test.zone").write_text(TEXT)
        corefile = COREFILE.format(directory=directory, policy=options.policy)
        server = Zonewright(directory=Path(name) / "server", corefile=corefile, start_seconds=600)
        starts = []
        for _ in ("the first", "the next"):
            began = time.monotonic()
            server.start()
            ready = time.monotonic() - began
            quiet(server)
            starts.append((ready, seconds_of_cpu(server)))
            if len(starts) == 1:
                server.stop(seconds=60)
        before = seconds_of_cpu(server)
        time.sleep(options.seconds)
        idle = (seconds_of_cpu(server) - before) / options.seconds
        rss = server.rss()
        server.stop(seconds=60)
    (first, first_cpu), (again, again_cpu) = starts
    text = (
        f"{options.zones:,} small zones under policy {options.policy}: the first start is ready after {first:.1f} s "
        f"and has made all keys and signatures with {first_cpu:.1f} s of CPU, {first_cpu / options.zones * 1e3:.1f} ms "
        f"a zone; the next one is ready after {again:.1f} s, with {again_cpu:.1f} s of CPU until all is quiet. While "
        f"nothing is due, the server uses **{idle:.2%} of a core**. Resident: {rss / 2**20:.0f} MiB.\n\n"
        f"By `tools/bench/many_zones.py`, load average {load:.1f} when it began."
    )
    if options.dry:
        print(text)
    else:
        write_part("many", text)


if __name__ == "__main__":
    main()
