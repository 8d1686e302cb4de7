"""One measurement at a time: a dnsperf round against a pinned server, and a load from start to first right answer.

CPU is the server's own, user and system apart, from /proc; it includes the kernel's share of its socket work.
"""

import contextlib
import os
import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import dns.dnssec
import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype

from tools.servers import Server, program

TICK_US = 1_000_000 / os.sysconf("SC_CLK_TCK")
SERVER_CORE = "0"
LOAD_CORE = "1"
GIVE_UP_S = 30.0
SETTLE_SECONDS = 3
"""From the first right answer to the look at the memory, so that what is left to do at a start is in it."""


@dataclass(frozen=True, slots=True)
class Round:
    """What one dnsperf run told about one server."""

    queries: int
    lost: int
    seconds: float
    user_us: float
    system_us: float
    rcodes: str

    @property
    def cpu_us(self) -> float:
        """CPU per query, the kernel's share included."""
        return (self.user_us + self.system_us) / max(self.queries, 1)

    @property
    def user_us_per_query(self) -> float:
        return self.user_us / max(self.queries, 1)

    @property
    def rate(self) -> float:
        """Queries per second of wall time."""
        return self.queries / self.seconds

    @property
    def rate_per_cpu(self) -> float:
        """Queries per second of the server's CPU."""
        return 1_000_000 / self.cpu_us


def dnsperf(server: Server, questions: Path, seconds: float, *, dnssec: bool = False) -> Round:
    """Load a server for some seconds from the other core; its CPU before and after."""
    words = [
        "taskset", "-c", LOAD_CORE, program("dnsperf") or "dnsperf", "-s", server.address, "-p", str(server.port),
        "-d", str(questions), "-l", str(seconds), "-c", "4", "-T", "1", "-q", "200", "-t", "2",
    ]  # fmt: skip
    words += ["-e", "-D"] if dnssec else []
    before = server.cpu_ticks()
    done = subprocess.run(words, capture_output=True, text=True, timeout=seconds + 30, check=True)
    after = server.cpu_ticks()
    return Round(
        queries=int(_number(done.stdout, r"Queries completed:\s+(\d+)")),
        lost=int(_number(done.stdout, r"Queries lost:\s+(\d+)")),
        seconds=_number(done.stdout, r"Run time \(s\):\s+([\d.]+)"),
        user_us=(after[0] - before[0]) * TICK_US,
        system_us=(after[1] - before[1]) * TICK_US,
        rcodes=_text(done.stdout, r"Response codes:\s+(.*)"),
    )


def _number(text: str, pattern: str) -> float:
    return float(_text(text, pattern) or 0)


def _text(text: str, pattern: str) -> str:
    found = re.search(pattern, text)
    return found[1] if found else ""


@dataclass(frozen=True, slots=True)
class Load:
    """From the start of a process to its first right answer."""

    wall_s: float
    cpu_s: float
    rss: int


def load(server: Server, is_right: Callable[[dns.message.Message], bool], qname: str, seconds: float = 120) -> Load:
    """Start a server and ask until the answer is right; the server is stopped again."""
    started = time.monotonic()
    server.launch()
    try:
        while True:
            with contextlib.suppress(OSError, dns.exception.DNSException):
                if is_right(server.ask(qname, "A", dnssec=True, timeout=0.2)):
                    break
            if time.monotonic() - started > seconds:
                raise TimeoutError(f"{server.name}: no right answer in {seconds:g} s\n{server.log[-2000:]}")
            time.sleep(0.005)
        wall = time.monotonic() - started
        cpu = sum(server.cpu_ticks()) * TICK_US / 1_000_000
        time.sleep(SETTLE_SECONDS)
        return Load(wall, cpu, server.rss())
    finally:
        server.stop()


def has_data(response: dns.message.Message) -> bool:
    """An answer with records."""
    return response.rcode() == dns.rcode.NOERROR and bool(response.answer)


def has_signed_data(response: dns.message.Message) -> bool:
    """An answer with records and an RRSIG."""
    return has_data(response) and any(rrset.rdtype == 46 for rrset in response.answer)


def until_valid(server: Server, origin: str, owner: str, address: str) -> float:
    """Seconds from asking the server to look at its source to an answer with this address that validates."""
    started = time.monotonic()
    server.control("zone", "reload", origin)  # type: ignore[attr-defined]  # only ours has it
    zone, name = dns.name.from_text(origin), dns.name.from_text(owner)
    while time.monotonic() - started < GIVE_UP_S:
        answer = server.ask(owner, "A", dnssec=True)
        records = answer.get_rrset(dns.message.ANSWER, name, dns.rdataclass.IN, dns.rdatatype.A)
        if records is not None and [one.to_text() for one in records] == [address]:
            signatures = answer.find_rrset(
                dns.message.ANSWER, name, dns.rdataclass.IN, dns.rdatatype.RRSIG, dns.rdatatype.A
            )
            keys = server.ask(origin, "DNSKEY").find_rrset(
                dns.message.ANSWER, zone, dns.rdataclass.IN, dns.rdatatype.DNSKEY
            )
            dns.dnssec.validate(records, signatures, {zone: keys})
            return time.monotonic() - started
        time.sleep(0.01)
    raise TimeoutError(f"{owner} {address} is not live after {GIVE_UP_S:g} s")
