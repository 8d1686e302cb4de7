#!/usr/bin/env python3
"""Realistic zones of any size from a seed: for tests, benchmarks and the differential runs.

`records(origin, count, seed)` gives exactly `count` records as (owner, TTL, type, rdata) in presentation text; the same
arguments give the same zone for ever. Every zone has an apex with SOA, two NS with addresses, MX, TXT, CAA and
HTTPS; after it come hosts and, mixed among them, what a resolver can meet: CNAME chains, wildcards, empty
non-terminals, delegations signed and unsigned, with glue, sibling glue and none, DNAME, SRV, TLSA, SVCB, NAPTR, TXT.
BIND, NSD and Knot DNS load them all.

    tools/make_zone.py example.test. 1000000 > example.test.zone
"""

import argparse
import hashlib
import itertools
import random
import sys
from collections.abc import Callable, Iterator
from typing import TextIO

Record = tuple[str, int, str, str]
"""Owner (absolute), TTL, type mnemonic, rdata, as a master file has them."""

APEX_RECORDS = 12
"""The least a zone can have."""

WORDS = (
    "alpha api app auth backup blog build cache cdn chat ci core data db desk dev dns docs edge files ftp gate git "
    "graph grid host hr img intra jump lab ldap lists log mail map metrics mx news node ntp office ops portal print "
    "proxy queue radius repo search shop sip sql stage static store syslog test time vault video voip vpn web wiki"
).split()


def records(origin: str, count: int, seed: int = 1, *, serial: int = 2026010101) -> Iterator[Record]:
    """Exactly `count` records, SOA first; at least APEX_RECORDS."""
    if count < APEX_RECORDS:
        raise ValueError(f"{count} records: a zone has at least {APEX_RECORDS}")
    return itertools.islice(_endless(origin, random.Random(seed), serial), count)


def write(out: TextIO, origin: str, count: int, seed: int = 1, *, serial: int = 2026010101) -> None:
    """The zone as a master file with one $ORIGIN and owners written relative to it."""
    out.write(f"$ORIGIN {origin}\n$TTL 3600\n")
    tail = "." + origin
    cut = len(tail)
    lines: list[str] = []
    for owner, ttl, rtype, rdata in records(origin, count, seed, serial=serial):
        name = owner[:-cut] if owner.endswith(tail) else "@"
        lines.append(f"{name} {ttl} IN {rtype} {rdata}\n")
        if len(lines) == 10_000:
            out.write("".join(lines))
            lines.clear()
    out.write("".join(lines))


def _endless(origin: str, dice: random.Random, serial: int) -> Iterator[Record]:
    """The apex, then one group of records after another."""
    yield from _apex(origin, serial)
    kinds = [kind for kind, weight in MIX for _ in range(weight)]
    pick = dice.random
    size = len(kinds)
    for number in itertools.count(1):
        kind = kinds[int(pick() * size)]
        word = WORDS[int(pick() * len(WORDS))]
        yield from kind(origin, f"{word}{number}", number, dice)


def _apex(origin: str, serial: int) -> Iterator[Record]:
    yield origin, 3600, "SOA", f"ns1.{origin} hostmaster.{origin} {serial} 7200 900 1209600 300"
    yield origin, 3600, "NS", f"ns1.{origin}"
    yield origin, 3600, "NS", f"ns2.{origin}"
    yield f"ns1.{origin}", 3600, "A", "192.0.2.1"
    yield f"ns2.{origin}", 3600, "A", "192.0.2.2"
    yield f"ns1.{origin}", 3600, "AAAA", "2001:db8::1"
    yield origin, 3600, "MX", f"10 mail.{origin}"
    yield f"mail.{origin}", 3600, "A", "192.0.2.25"
    yield origin, 3600, "TXT", '"v=spf1 mx -all"'
    yield origin, 3600, "CAA", '0 issue "ca.example.net"'
    yield origin, 300, "A", "192.0.2.80"
    yield origin, 300, "HTTPS", "1 . alpn=h2,h3 ipv4hint=192.0.2.80"


def _ipv4(number: int) -> str:
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def _host(origin: str, label: str, number: int, _dice: random.Random) -> Iterator[Record]:
    yield f"{label}.{origin}", 3600, "A", _ipv4(number)


def _dual_host(origin: str, label: str, number: int, _dice: random.Random) -> Iterator[Record]:
    yield f"{label}.{origin}", 3600, "A", _ipv4(number)
    yield f"{label}.{origin}", 3600, "AAAA", f"2001:db8::{number >> 16 & 0xFFFF:x}:{number & 0xFFFF:x}"


def _pool(origin: str, label: str, number: int, dice: random.Random) -> Iterator[Record]:
    for member in range(dice.randint(2, 6)):
        yield f"{label}.{origin}", 60, "A", f"10.{number >> 16 & 255}.{number >> 8 & 255}.{member}"


def _alias(origin: str, label: str, number: int, dice: random.Random) -> Iterator[Record]:
    yield f"{label}.{origin}", 300, "CNAME", f"{label}-target.{origin}"
    yield f"{label}-target.{origin}", 300, "A", _ipv4(number)
    if dice.random() < 0.3:
        yield f"{label}-outer.{origin}", 300, "CNAME", f"{label}.{origin}"
    if dice.random() < 0.2:
        yield f"{label}-away.{origin}", 300, "CNAME", f"{label}.example.net."
    if dice.random() < 0.1:
        yield f"{label}-lost.{origin}", 300, "CNAME", f"{label}-nowhere.{origin}"


def _mail(origin: str, label: str, number: int, _dice: random.Random) -> Iterator[Record]:
    yield f"{label}.{origin}", 3600, "MX", f"10 mx.{label}.{origin}"
    yield f"{label}.{origin}", 3600, "MX", f"20 mail.{origin}"
    yield f"{label}.{origin}", 3600, "TXT", f'"v=spf1 ip4:{_ipv4(number)} -all"'
    yield f"mx.{label}.{origin}", 3600, "A", _ipv4(number)
    yield f"_dmarc.{label}.{origin}", 3600, "TXT", '"v=DMARC1; p=reject"'


def _service(origin: str, label: str, number: int, dice: random.Random) -> Iterator[Record]:
    """SRV below empty non-terminals, and the address it leads to."""
    yield f"_sip._udp.{label}.{origin}", 600, "SRV", f"0 5 5060 host.{label}.{origin}"
    yield f"_sip._tcp.{label}.{origin}", 600, "SRV", f"0 5 5060 host.{label}.{origin}"
    yield f"host.{label}.{origin}", 600, "A", _ipv4(number)
    if dice.random() < 0.3:
        yield f"{label}.{origin}", 600, "NAPTR", f'100 10 "u" "E2U+sip" "!^.*$!sip:info@{label}.example.net!" .'


def _web(origin: str, label: str, number: int, _dice: random.Random) -> Iterator[Record]:
    digest = hashlib.sha256(label.encode()).hexdigest()
    yield f"{label}.{origin}", 300, "A", _ipv4(number)
    yield f"{label}.{origin}", 300, "HTTPS", f"1 . alpn=h2,h3 ipv4hint={_ipv4(number)}"
    yield f"_443._tcp.{label}.{origin}", 300, "TLSA", f"3 1 1 {digest}"
    yield f"{label}.{origin}", 300, "CAA", '128 issue "ca.example.net; policy=ev"'
    yield f"_8443._https.{label}.{origin}", 300, "SVCB", f"1 {label}.{origin} alpn=h2 port=8443"


def _wildcard(origin: str, label: str, number: int, dice: random.Random) -> Iterator[Record]:
    yield f"*.{label}.{origin}", 300, "A", _ipv4(number)
    if dice.random() < 0.5:
        yield f"*.{label}.{origin}", 300, "TXT", f'"anything below {label}"'
    if dice.random() < 0.3:
        yield f"real.{label}.{origin}", 300, "AAAA", f"2001:db8:1::{number & 0xFFFF:x}"
    if dice.random() < 0.2:
        yield f"*.alias-{label}.{origin}", 300, "CNAME", f"www.{label}.{origin}"


def _deep(origin: str, label: str, number: int, _dice: random.Random) -> Iterator[Record]:
    """A host below two empty non-terminals."""
    yield f"rack1.row2.{label}.{origin}", 3600, "A", _ipv4(number)
    yield f"rack7.row2.{label}.{origin}", 3600, "TXT", '"two" "strings; one semicolon"'


def _delegation(origin: str, label: str, number: int, dice: random.Random) -> Iterator[Record]:
    """A cut with glue, with addresses elsewhere, or with both; one in three is signed."""
    cut = f"{label}.{origin}"
    if dice.random() < 0.7:
        yield cut, 7200, "NS", f"ns1.{cut}"
        yield f"ns1.{cut}", 7200, "A", _ipv4(number)
        yield f"ns1.{cut}", 7200, "AAAA", f"2001:db8:2::{number & 0xFFFF:x}"
    yield cut, 7200, "NS", f"ns.{label}.example.net."
    if dice.random() < 0.3:
        digest = hashlib.sha256(cut.encode()).hexdigest()
        yield cut, 7200, "DS", f"{number % 65536} 13 2 {digest}"


def _sibling(origin: str, label: str, number: int, _dice: random.Random) -> Iterator[Record]:
    """Two cuts; the second one's name server lives below the first (sibling glue)."""
    yield f"{label}.{origin}", 7200, "NS", f"ns.{label}.{origin}"
    yield f"ns.{label}.{origin}", 7200, "A", _ipv4(number)
    yield f"{label}-two.{origin}", 7200, "NS", f"ns.{label}.{origin}"


def _renamed(origin: str, label: str, _number: int, dice: random.Random) -> Iterator[Record]:
    target = f"ns1.{origin}" if dice.random() < 0.2 else f"{label}.example.net."
    yield f"{label}.{origin}", 300, "DNAME", target


Kind = Callable[[str, str, int, random.Random], Iterator[Record]]

MIX: tuple[tuple[Kind, int], ...] = (
    (_host, 40),
    (_dual_host, 20),
    (_pool, 3),
    (_alias, 10),
    (_mail, 4),
    (_service, 4),
    (_web, 4),
    (_wildcard, 2),
    (_deep, 3),
    (_delegation, 6),
    (_sibling, 1),
    (_renamed, 1),
)
"""What a zone is made of, in parts of about a hundred."""


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Write a realistic zone to standard output.")
    parser.add_argument("origin")
    parser.add_argument("records", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--serial", type=int, default=2026010101)
    arguments = parser.parse_args()
    origin = arguments.origin.rstrip(".") + "."
    write(sys.stdout, origin, arguments.records, arguments.seed, serial=arguments.serial)


if __name__ == "__main__":
    main()
