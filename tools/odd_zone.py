#!/usr/bin/env python3
"""Small odd zones from a seed, and questions aimed at each class of name in them.

Where make_zone.py is realistic, this is mean: few labels at all depths, so that wildcards, empty non-terminals,
delegations, DNAMEs, aliases to anywhere (themselves too), occluded data and odd types meet one another.

    tools/odd_zone.py 7 > odd.zone
"""

import random
import sys
from collections.abc import Iterator

ORIGIN = "odd.test."
LABELS = ("a", "b", "c", "d", "*", "_t", "zz", "M")
TYPES = ("A", "AAAA", "TXT", "MX", "NS", "DS", "CNAME", "DNAME", "SOA", "SRV", "TYPE65400", "NSEC", "RRSIG")

Record = tuple[str, int, str, str]
Question = tuple[str, str]


def records(seed: int, *, size: int = 40, below_dname: bool = True) -> list[Record]:
    """A zone that all servers load; `below_dname` False leaves no data below DNAMEs (RFC 6672 section 2.4)."""
    dice = random.Random(seed)
    owners = _owners(dice, size)
    found: list[Record] = [
        (ORIGIN, 3600, "SOA", f"ns.{ORIGIN} admin.{ORIGIN} 1 3600 600 604800 {dice.choice((60, 600, 86400))}"),
        (ORIGIN, 3600, "NS", f"ns.{ORIGIN}"),
        (ORIGIN, 3600, "NS", "ns.elsewhere.test."),
        (f"ns.{ORIGIN}", 3600, "A", "192.0.2.53"),
    ]
    if dice.random() < 0.1:
        found.append((ORIGIN, 300, "DNAME", "new.odd.example."))
    for owner in owners:
        kind = dice.choices((_host, _alias, _dname, _cut, _odd), (10, 6, 2, 4, 2))[0]
        if owner.startswith("*.") and kind in (_dname, _cut):
            kind = _host  # RFC 4592 sections 4.2 and 4.4 leave these undefined
        found.extend(kind(dice, owner, owners))
    return found if below_dname else _clear(found)


def text(zone: list[Record]) -> str:
    """The zone as a master file."""
    return "".join(f"{owner} {ttl} IN {rtype} {rdata}\n" for owner, ttl, rtype, rdata in zone)


def questions(zone: list[Record], count: int, seed: int, origin: str = ORIGIN) -> Iterator[Question]:
    """`count` questions: each class of name, each type."""
    dice = random.Random(seed)
    owners = sorted({owner for owner, *_ in zone})
    targets = [rdata.split()[-1] for _, _, rtype, rdata in zone if rtype in {"CNAME", "DNAME", "NS"}]
    for _ in range(count):
        name = dice.choice(owners if dice.random() < 0.9 or not targets else targets)
        yield dice.choice(AIMS)(dice, name, origin), dice.choice(TYPES)


def _owners(dice: random.Random, size: int) -> list[str]:
    found: dict[str, None] = {}
    while len(found) < size:
        depth = dice.choice((1, 1, 2, 2, 2, 3, 3, 4, 6))
        found[".".join(dice.choice(LABELS) for _ in range(depth)) + "." + ORIGIN] = None
    return list(found)


def _anywhere(dice: random.Random, owner: str, owners: list[str]) -> str:
    """A target: a name of the zone, one below or beside one, the owner itself, one outside."""
    other = dice.choice(owners)
    return dice.choice(
        (other, other, other, "x." + other, "x.y." + other.removeprefix("*."), owner, "www.elsewhere.test.")
    )


def _host(dice: random.Random, owner: str, owners: list[str]) -> Iterator[Record]:
    ttl = dice.choice((0, 60, 3600))
    yield owner, ttl, "A", f"192.0.2.{dice.randrange(1, 255)}"
    if dice.random() < 0.4:
        yield owner, ttl, "A", f"198.51.100.{dice.randrange(1, 255)}"
    if dice.random() < 0.3:
        yield owner, 300, "AAAA", f"2001:db8::{dice.randrange(1, 9999):x}"
    if dice.random() < 0.3:
        yield owner, 60, "TXT", f'"text {dice.randrange(10)}" "more"'
    if dice.random() < 0.2:
        yield owner, 60, "MX", f"10 {_anywhere(dice, owner, owners)}"


def _alias(dice: random.Random, owner: str, owners: list[str]) -> Iterator[Record]:
    yield owner, dice.choice((0, 30, 3600)), "CNAME", _anywhere(dice, owner, owners)


def _dname(dice: random.Random, owner: str, owners: list[str]) -> Iterator[Record]:
    yield owner, dice.choice((0, 30, 3600)), "DNAME", _anywhere(dice, owner, owners)
    if dice.random() < 0.3:
        yield owner, 60, "TXT", '"beside a DNAME"'


def _cut(dice: random.Random, owner: str, owners: list[str]) -> Iterator[Record]:
    hosts = {
        f"ns.{owner}": True,
        f"ns2.{owner}": False,
        owner: True,
        "ns.elsewhere.test.": False,
        f"ns.{ORIGIN}": False,
    }
    hosts[dice.choice(owners)] = False
    for host in dice.sample(sorted(hosts), dice.randrange(1, 4)):
        yield owner, 3600, "NS", host
        if hosts[host] and dice.random() < 0.8:
            yield host, 3600, *dice.choice((("A", "192.0.2.77"), ("A", "192.0.2.78"), ("AAAA", "2001:db8::53")))
    if dice.random() < 0.5:
        yield owner, 600, "DS", f"{dice.randrange(65536)} 13 2 {'ab' * 32}"
    if dice.random() < 0.3:
        yield f"deep.hidden.{owner}", 60, "TXT", '"occluded"'


def _odd(dice: random.Random, owner: str, owners: list[str]) -> Iterator[Record]:
    yield from (
        (owner, 60, "TYPE65400", rf"\# 4 {dice.randrange(2**32):08x}"),
        (owner, 60, "SRV", f"1 2 443 {_anywhere(dice, owner, owners)}"),
        (owner, 60, "CAA", '0 issue "ca.example"'),
        (owner, 60, "HINFO", '"PDP-11" "UNIX"'),
    )


def _clear(zone: list[Record]) -> list[Record]:
    tops = {owner for owner, _, rtype, _ in zone if rtype == "DNAME"}
    return [one for one in zone if not any(one[0].endswith("." + top) for top in tops)]


def _itself(_dice: random.Random, name: str, _origin: str) -> str:
    return name


def _parent(dice: random.Random, name: str, origin: str) -> str:
    labels = name.removesuffix(origin).split(".")
    return ".".join(labels[dice.randrange(len(labels)) :]) + origin


def _below(dice: random.Random, name: str, _origin: str) -> str:
    return dice.choice(("q.", "q.q.", "*.", "x.", "ns.", "deep.")) + name


def _instance(dice: random.Random, name: str, _origin: str) -> str:
    return name.replace("*.", dice.choice(("q.", "a.", "q.r.", "M.")), 1)


def _beside(dice: random.Random, name: str, origin: str) -> str:
    _, _, rest = name.partition(".")
    return dice.choice(("q.", "0.", "~.", "*.", "aa.")) + (rest if rest.endswith(origin) else name)


AIMS = (_itself, _itself, _parent, _below, _instance, _instance, _beside)


def main() -> None:
    """Write the zone of the seed given."""
    sys.stdout.write(text(records(int(sys.argv[1]))))


if __name__ == "__main__":
    main()
