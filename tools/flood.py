#!/usr/bin/env python3
"""Millions of random queries to a whole server over loopback: its memory stays flat, and its threads are all there.

Round after round dnsperf sends names that were never asked before: names of the zone, names below and beside them,
names of nobody, of all types, with DO and without. The zone is signed, with rate limits that count. Memory and threads
are read after each round; the exit status is 1 where memory grows by a tenth after the first rounds, where a thread is
lost, or where more than one query of ten thousand has no answer.

    tools/flood.py 10000000
"""

import argparse
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tools import make_zone
from tools.servers import Zonewright, program

ORIGIN = "example.test."
RECORDS = 20_000
ROUND = 1_000_000
WARM = 2
"""Rounds after which memory has what it needs: buffers, accounts and signatures that are made at need."""
COREFILE = f"""{ORIGIN}:{{port}} {{
    bind 127.0.0.1
    file {{file}} {ORIGIN}
    dnssec {{
        denial {{denial}}
    }}
    rrl {{
        responses-per-second 5
        log-only
    }}
    transfer {{
        to *
    }}
    prometheus 127.0.0.1:0
    errors
}}
"""
TYPES = "A AAAA MX TXT NS SOA CNAME SRV DS CAA HTTPS DNSKEY ANY RRSIG NSEC TYPE65280".split()


def queries(count: int, seed: int) -> Iterator[str]:
    """Lines of dnsperf's input."""
    dice = random.Random(seed)
    owners = [owner for owner, *_ in make_zone.records(ORIGIN, RECORDS, 1)]
    for _ in range(count):
        owner = dice.choice(owners).replace("*", "q")
        kind = dice.random()
        if kind < 0.3:
            name = owner
        elif kind < 0.6:
            name = f"{dice.getrandbits(60):x}.{owner}"
        elif kind < 0.95:
            name = f"{dice.getrandbits(60):x}.{ORIGIN}"
        else:
            name = f"{dice.getrandbits(60):x}.test."
        yield f"{name} {dice.choice(TYPES)}\n"


def threads(pid: int) -> int:
    """How many the process has."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def ask(server: Zonewright, file: Path, *, dnssec: bool) -> tuple[int, int]:
    """Queries sent and lost."""
    words = [program("dnsperf") or "dnsperf", "-s", server.address, "-p", str(server.port), "-d", str(file), "-n", "1"]
    words += ["-q", "200", "-c", "8", "-t", "5", *(["-D"] if dnssec else [])]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    sent, lost = (re.search(rf"Queries {word}: +(\d+)", done.stdout) for word in ("sent", "lost"))
    if sent is None or lost is None:
        raise ValueError(done.stdout + done.stderr)
    return int(sent[1]), int(lost[1])


def main() -> int:
    """Flood, and say what became of memory and threads."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("queries", type=int, nargs="?", default=10_000_000)
    parser.add_argument("--denial", default="nsec3", choices=["nsec", "nsec3", "nsec3 opt-out", "compact"])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        zone, lines = directory / "zone", directory / "queries"
        with zone.open("w") as out:
            make_zone.write(out, ORIGIN, RECORDS, 1)
        text = COREFILE.replace("{file}", str(zone)).replace("{denial}", arguments.denial)
        with Zonewright(directory=directory / "server", corefile=text) as server:
            server.wait_sealed(ORIGIN)
            before, sizes, lost = threads(server.pid), [server.rss()], 0
            print(f"at start: {sizes[0] >> 10} KiB, {before} threads", flush=True)
            asked = 0
            while asked < arguments.queries:
                count = min(ROUND, arguments.queries - asked)
                with lines.open("w") as out:
                    out.writelines(queries(count, asked))
                began = time.monotonic()
                sent, missing = ask(server, lines, dnssec=len(sizes) % 2 == 1)
                asked, lost = asked + sent, lost + missing
                sizes.append(server.rss())
                took = time.monotonic() - began
                print(
                    f"{asked} queries, {lost} lost, {sizes[-1] >> 10} KiB, {threads(server.pid)} threads, {took:.0f} s",
                    flush=True,
                )
            after = threads(server.pid)
            is_alive = server.ask(ORIGIN, "SOA").answer != []
    is_flat = max(sizes[WARM + 1 :], default=0) <= 1.1 * sizes[min(WARM, len(sizes) - 1)]
    print(f"memory {'flat' if is_flat else 'GROWS'}, threads {before} before and {after} after, alive: {is_alive}")
    return 0 if is_flat and is_alive and after >= before and lost <= asked // 10_000 else 1


if __name__ == "__main__":
    sys.exit(main())
