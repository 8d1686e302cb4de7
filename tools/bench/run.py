"""`make bench`: Zonewright beside NSD, Knot DNS and a bare echo, as ratios in one run; writes docs/benchmarks.md.

Each server is pinned to core 0 with one UDP thread, dnsperf to core 1; rounds are interleaved, so that what else the
machine does hits all of them alike. Read CPU per query first: on loopback the load generator can be the limit.
"""

import argparse
import datetime as dt
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tools.bench import measure, questions  # noqa: E402 the path is set above
from tools.make_zone import write  # noqa: E402
from tools.repository import Repository  # noqa: E402
from tools.servers import Knot, Nsd, Server, Zone, Zonewright, program, stopped  # noqa: E402

ORIGIN = "bench.test."
PINNED = ("taskset", "-c", measure.SERVER_CORE)
PEERS = ("NSD", "Knot DNS")
MIXES = (
    ("hits", "hits", False),
    ("20 % NXDOMAIN", "mix", False),
    ("NXDOMAIN", "nxdomain", False),
    ("signed hits", "hits", True),
    ("signed mix", "mix", True),
    ("signed NXDOMAIN", "nxdomain", True),
)
"""Column title, file of questions, whether the zone is signed and the query has DO."""

COREFILE = """{ORIGIN}:{port} {
    bind 127.0.0.1
    file FILE {ORIGIN}
    DNSSEC
    transfer {
        to *
    }
}
"""

GIT = """.:{port} {
    bind 127.0.0.1
    auto {
        git URL {
            path zones
            every 1h
        }
        directory . (.*)\\.zone {{1}}
    }
    dnssec
}
"""

Rounds = dict[str, dict[str, list[measure.Round]]]
"""Server → mix → its rounds."""


class Echo(Server):
    """The bare recvmmsg/sendmmsg echo: the limit of what this kernel allows."""

    def command(self) -> list[str]:
        return [str(ROOT / "engine/target/release/examples/echo"), f"{self.address}:{self.port}"]

    def is_ready(self) -> bool:
        try:
            self.ask("echo.test.", timeout=0.2)
        except Exception as error:  # noqa: BLE001 an echo of the query is not a response, and that is the answer
            return "Timeout" not in type(error).__name__ and not isinstance(error, OSError)
        return True


def build_echo() -> bool:
    """Whether the echo program is there, built now if its source is."""
    if not (ROOT / "engine/examples/echo.rs").exists():
        print("no engine/examples/echo.rs: the limit is not measured")
        return False
    words = ["cargo", "build", "--release", "--locked", "-q", "--example", "echo"]
    return subprocess.run(words, cwd=ROOT / "engine", check=False).returncode == 0


def corefile(file: Path, *, signed: bool) -> str:
    """Our server's configuration for one zone file."""
    text = COREFILE.replace("FILE", str(file)).replace("{ORIGIN}", ORIGIN)
    return text.replace("DNSSEC", "dnssec" if signed else "")


def start_all(directory: Path, file: Path, *, signed: bool) -> dict[str, Server]:
    """Ours first; when signed, the peers serve the very zone ours sealed."""
    name = "signed" if signed else "unsigned"
    ours = Zonewright(
        directory=directory / f"zonewright-{name}", corefile=corefile(file, signed=signed), prefix=PINNED,
        start_seconds=120,
    )  # fmt: skip
    servers: dict[str, Server] = {"Zonewright": ours}
    ours.start()
    ours.wait_served(ORIGIN, 120)
    ours.wait_sealed(ORIGIN, 300)
    if signed:
        file = directory / "signed.zone"
        file.write_text(ours.dump(ORIGIN))
    zones = [Zone(ORIGIN, file)]
    for title, kind in (("NSD", Nsd), ("Knot DNS", Knot)):
        servers[title] = kind(directory=directory / f"{title}-{name}".replace(" ", ""), zones=zones, prefix=PINNED,
                              start_seconds=120).start()  # fmt: skip
    return servers


def rounds_of(options: argparse.Namespace, directory: Path) -> Rounds:
    """All query rounds, interleaved."""
    file = directory / "bench.zone"
    with file.open("w") as out:
        write(out, ORIGIN, options.records)
    files = questions.write_all(directory, ORIGIN, options.records)
    found: Rounds = {}
    has_echo = build_echo()
    for signed in (False, True):
        servers = start_all(directory, file, signed=signed)
        if has_echo:
            servers["bare echo"] = Echo(name="echo", directory=directory / f"echo-{signed}", prefix=PINNED).start()
        with stopped(list(servers.values())):
            for title, mix, is_signed in MIXES:
                if is_signed == signed:
                    one_mix(found, servers, title, files[mix], options, dnssec=signed)
    return found


def one_mix(
    found: Rounds, servers: dict[str, Server], title: str, file: Path, options: argparse.Namespace, *, dnssec: bool
) -> None:
    """All rounds of one mix of questions."""
    for number in range(options.rounds):
        for name, server in servers.items():
            result = measure.dnsperf(server, file, options.seconds, dnssec=dnssec)
            found.setdefault(name, {}).setdefault(title, []).append(result)
            cpu = f"{result.cpu_us:6.2f} us ({result.user_us_per_query:.2f} user)"
            rate = f"{result.rate:9.0f} q/s, {result.lost} lost, {result.rcodes}"
            print(f"{title:16} round {number + 1} {name:12} {cpu} {rate}", flush=True)


def median(rounds: Sequence[measure.Round], fact: Callable[[measure.Round], float]) -> float:
    """The median of one fact of some rounds."""
    return statistics.median(map(fact, rounds))


def query_tables(found: Rounds) -> str:
    """CPU per query, queries per second, and our ratio to the better peer."""
    titles = [title for title, _, _ in MIXES]
    head = f"| | {' | '.join(titles)} |\n|{'---|' * (len(titles) + 1)}\n"
    lines = ["CPU per query in microseconds, median of the rounds (of which user):\n\n", head]
    for name, mixes in found.items():
        pairs = [
            (median(mixes[t], lambda r: r.cpu_us), median(mixes[t], lambda r: r.user_us_per_query)) for t in titles
        ]
        cells = [f"{cpu:.1f} ({user:.1f})" for cpu, user in pairs]
        lines.append(f"| {name} | {' | '.join(cells)} |\n")
    cells = [f"**{ratio(found, title):.2f}**" for title in titles]
    lines.append(
        f"| **queries per CPU second, Zonewright to the better of {' and '.join(PEERS)}** | {' | '.join(cells)} |\n"
    )
    lines += ["\nQueries per second of wall time, median (lost):\n\n", head]
    for name, mixes in found.items():
        cells = [f"{median(mixes[t], lambda r: r.rate):,.0f} ({sum(r.lost for r in mixes[t])})" for t in titles]
        lines.append(f"| {name} | {' | '.join(cells)} |\n")
    return "".join(lines)


def ratio(found: Rounds, title: str) -> float:
    """Our queries per CPU second over the better peer's."""
    rates = {name: median(found[name][title], lambda r: r.rate_per_cpu) for name in ("Zonewright", *PEERS)}
    return rates["Zonewright"] / max(rates[name] for name in PEERS)


def load_table(options: argparse.Namespace, directory: Path) -> str:
    """Start to first right answer for a large zone, and memory a record above the same server with an empty zone."""
    large, empty = directory / "large.zone", directory / "empty.zone"
    for file, count in ((large, options.load_records), (empty, 12)):
        with file.open("w") as out:
            write(out, ORIGIN, count)
    rows: dict[str, list[tuple[measure.Load, measure.Load]]] = {}
    for number in range(options.load_rounds):
        for name, make in loaders(directory, number).items():
            is_right = measure.has_signed_data if "signed" in name else measure.has_data
            pair = [measure.load(make(file), is_right, f"mail.{ORIGIN}") for file in (large, empty)]
            rows.setdefault(name, []).append((pair[0], pair[1]))
            print(f"load {name:20} wall {pair[0].wall_s:.2f} s, CPU {pair[0].cpu_s:.2f} s", flush=True)
    nsd = statistics.median(large.wall_s for large, _ in rows["NSD"])
    title = (
        f"Start to first right answer with a zone of {options.load_records:,} records, median of {options.load_rounds}"
    )
    lines = [
        f"{title}; memory is resident 3 s later, above the same server with an empty zone:\n\n",
        "| | wall s | to NSD | CPU s | CPU us a record | octets a record |\n|---|---|---|---|---|---|\n",
    ]
    for name, pairs in rows.items():
        wall = statistics.median(large.wall_s for large, _ in pairs)
        cpu = statistics.median(large.cpu_s for large, _ in pairs)
        octets = statistics.median(large.rss - empty.rss for large, empty in pairs) / options.load_records
        per_record = cpu * 1e6 / options.load_records
        lines.append(f"| {name} | {wall:.2f} | {wall / nsd:.2f} | {cpu:.2f} | {per_record:.2f} | {octets:.0f} |\n")
    return "".join(lines)


def change_table(options: argparse.Namespace, directory: Path) -> str:
    """One-record commits to a zone of a repository: from the poll that sees one to its answer, validated."""
    file = directory / "change.zone"
    with file.open("w") as out:
        write(out, ORIGIN, options.records)
    repository, base = Repository(directory / "change.git").create(), file.read_text()
    path = f"zones/{ORIGIN}zone"
    repository.commit({path: base})
    corefile = GIT.replace("URL", repository.url).replace("{{1}}", "{1}")
    server = Zonewright(directory=directory / "change", corefile=corefile, start_seconds=120)
    seconds = []
    with stopped([server.start()]):
        server.wait_served(ORIGIN, 120)
        for number in range(1, 1 + options.rounds):
            repository.commit({path: f"{base}added.{ORIGIN} 60 IN A 192.0.2.{number}\n"})
            seconds.append(measure.until_valid(server, ORIGIN, f"added.{ORIGIN}", f"192.0.2.{number}"))
            print(f"one record of {options.records:,} committed: live and valid after {seconds[-1]:.2f} s", flush=True)
    return (
        f"One record committed to a zone of {options.records:,}, seconds from the poll that sees it (asked for by "
        f"`zonewright zone reload`, its own start included) to an answer whose signature verifies: median "
        f"{statistics.median(seconds):.2f}, slowest {max(seconds):.2f} of {len(seconds)}."
    )


def loaders(directory: Path, number: int) -> dict[str, Callable[[Path], Server]]:
    """Server makers for the load table; each start gets a directory, and so a state, of its own."""

    def ours(*, signed: bool) -> Callable[[Path], Server]:
        return lambda file: Zonewright(
            directory=directory / f"load-ours-{signed}-{number}-{file.stem}", corefile=corefile(file, signed=signed)
        )

    def peer(kind: type[Nsd | Knot]) -> Callable[[Path], Server]:
        return lambda file: kind(
            directory=directory / f"load-{kind.__name__}-{number}-{file.stem}", zones=[Zone(ORIGIN, file)]
        )

    return {
        "Zonewright, signed": ours(signed=True),
        "Zonewright": ours(signed=False),
        "NSD": peer(Nsd),
        "Knot DNS": peer(Knot),
    }


def machine() -> str:
    """What it was measured on."""
    model = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    versions = [version("nsd", "-v"), version("knotd", "-V")]
    return (
        f"Measured {dt.datetime.now(dt.UTC):%Y-%m-%d} on {model[1] if model else platform.machine()}, "
        f"Linux {platform.release()}, Python {platform.python_version()}; {'; '.join(versions)}; "
        f"load average {os.getloadavg()[0]:.1f} when it began; by `{' '.join(['tools/bench/run.py', *sys.argv[1:]])}`."
    )


def version(name: str, flag: str) -> str:
    """First line of what a program says of itself."""
    done = subprocess.run([program(name) or name, flag], capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).splitlines()[0]


def write_part(name: str, text: str) -> None:
    """Put a table between its marks in docs/benchmarks.md."""
    path = ROOT / "docs/benchmarks.md"
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, _, rest = path.read_text().partition(begin)
    _, _, after = rest.partition(end)
    path.write_text(f"{before}{begin}\n{text}\n{end}{after}")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Measure Zonewright beside its peers.")
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--load-records", type=int, default=1_000_000)
    parser.add_argument("--load-rounds", type=int, default=3)
    parser.add_argument("--only", choices=("queries", "load", "change"))
    parser.add_argument("--dry", action="store_true", help="print the tables, leave docs/benchmarks.md alone")
    options = parser.parse_args()
    put = (lambda _name, text: print(text)) if options.dry else write_part
    with tempfile.TemporaryDirectory(prefix="zonewright-bench-") as name:
        directory = Path(name)
        put("machine", machine())
        if options.only in {None, "queries"}:
            put("queries", query_tables(rounds_of(options, directory)))
        if options.only in {None, "load"}:
            put("load", load_table(options, directory))
        if options.only in {None, "change"}:
            put("change", change_table(options, directory))


if __name__ == "__main__":
    main()
