#!/usr/bin/env python3
r"""Small odd zones from a seed, and questions aimed at each class of name in them.

Where make_zone.py is realistic, this is mean: few labels at all depths, so that wildcards, empty non-terminals,
delegations, DNAMEs, aliases to anywhere (themselves too), occluded data and odd types meet one another; labels with
octets that need escapes, names of 255 octets, RRsets too large for a datagram.

    tools/odd_zone.py 7 > odd.zone
"""

import random
import re
import sys
from collections.abc import Iterator, Sequence

ORIGIN = "odd.test."
LABELS = ("a", "b", "c", "d", "*", "_t", "zz", "M")
ODD_LABELS = (r"\000", r"a\.b", r"\032", r"\255x", "Upper", "**", r"q\"\;", "1-", "l" * 63)
TYPES = (
    "A AAAA TXT MX NS DS CNAME DNAME SOA SRV TYPE65400 NSEC RRSIG ANY NSEC3 NSEC3PARAM DNSKEY CDS PTR HTTPS SVCB NAPTR "
    "CAA HINFO TYPE65280 TYPE1000 SPF LOC KEY"
).split()
PLAIN_TYPES = ("SRV 1 2 443 {host}", 'CAA 0 issue "ca.example"', 'HINFO "PDP-11" "UNIX"')
ODD_TYPES = r"""
AFSDB 1 {host}
APL 1:192.0.2.0/24 !2:2001:db8::/32
CAA 0 issue "ca.example; policy=ev"
CERT 1 2 8 AQID
CSYNC 66 3 A NS AAAA
DHCID AAIBY2/AuCccgoJbsaxcQc9TUapptP69lOjxfNuVAA2kjEA=
EUI48 00-00-5e-00-53-2a
EUI64 00-00-5e-ef-10-00-00-2a
HINFO "PDP-11" ""
HIP 2 200100107B1A74DF365639CC39F1D578 AwEAAQ== {host}
HTTPS 0 {host}
HTTPS 1 . alpn="h2,h3" port=8443 ipv4hint=192.0.2.1
HTTPS 1 {host} no-default-alpn alpn=h3
IPSECKEY 10 1 2 192.0.2.38 AQNR
IPSECKEY 10 3 2 gw.Example. AQNR
KX 10 {host}
L32 10 10.1.2.0
L64 10 2001:0DB8:1140:1000
LOC 52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m
LP 10 {host}
MB {host}
MG {host}
MINFO {host} {host}
MR {host}
NAPTR 100 50 "s" "http+I2L+I2C+I2R" "" {host}
NAPTR 100 51 "u" "E2U+sip" "!^.*$!sip:info@example.com!" .
NID 10 0014:4fff:ff20:ee64
OPENPGPKEY AQID
PTR {host}
PX 10 {host} {host}
RP {host} {host}
RT 10 {host}
SMIMEA 3 1 1 d2abde240d7cd3ee6b4b28c54df034b97983a1d16e8a410e4561cb106618e971
SPF "v=spf1 -all"
SRV 1 2 443 {host}
SSHFP 1 1 d2abde240d7cd3ee6b4b28c54df034b97983a1d1
SVCB 0 {host}
SVCB 3 {host} key667="x\032y" port=53
TLSA 3 1 1 d2abde240d7cd3ee6b4b28c54df034b97983a1d16e8a410e4561cb106618e971
TXT "\"quoted\" \\ \000\255" "" "a;b"
TYPE65400 \# 4 {number}
TYPE65280 \# 0
TYPE1 \# 4 c0000263
TYPE15 \# 3 000a00
TYPE1000 \# 5 00c00c0000
URI 10 1 "ftp://ftp1.example/public"
X25 "311061700956"
""".strip().splitlines()
"""Types and their rdata; {host} is a name of the zone, {number} eight hexadecimal digits."""

Record = tuple[str, int, str, str]
Question = tuple[str, str]


class Maker:
    """Makes one zone; names, of records as of targets, are drawn from `owners`."""

    labels: Sequence[str] = ODD_LABELS
    types: Sequence[str] = ODD_TYPES

    def __init__(self, seed: int, size: int, origin: str, longest: int, elsewhere: Sequence[str]) -> None:
        self.dice = random.Random(seed)
        self.origin = origin
        self.elsewhere = elsewhere
        self.long = self._long(longest)
        self.owners = self._owners(size)
        self.cuts: list[str] = []

    def records(self) -> Iterator[Record]:
        """All of it, the apex first."""
        dice, origin = self.dice, self.origin
        minimum = dice.choice((60, 600, 86400))
        yield origin, dice.choice((300, 3600)), "SOA", f"ns.{origin} admin.{origin} 1 3600 600 604800 {minimum}"
        yield origin, 3600, "NS", "ns.elsewhere.test."
        if dice.random() < 0.1:
            # BIND loads no zone whose own server is below a DNAME.
            yield origin, 300, "DNAME", dice.choice(("new.odd.example.", *self.elsewhere))
        else:
            yield origin, 3600, "NS", f"ns.{origin}"
        yield f"ns.{origin}", 3600, "A", "192.0.2.53"
        for owner in self.owners:
            kinds = (self.host, self.alias, self.dname, self.cut, self.odd, self.large)
            kind = dice.choices(kinds, (20, 12, 4, 8, 6, 1))[0]
            if owner.startswith("*.") and kind in (self.dname, self.cut):
                kind = self.host  # RFC 4592 sections 4.2 and 4.4 leave these undefined
            yield from kind(owner)

    def _owners(self, size: int) -> list[str]:
        dice = self.dice
        odd = dice.sample(self.labels, 2)
        found: dict[str, None] = {}
        while len(found) < size:
            depth = dice.choice((1, 1, 2, 2, 2, 3, 3, 4, 6))
            labels = [dice.choice(odd if dice.random() < 0.05 else LABELS) for _ in range(depth)]
            found[".".join(labels) + "." + self.origin] = None
        for name in (self.long, below(self.long, 1), below(self.long, 2)):
            if dice.random() < 0.2:
                found[name] = None
        return list(found)

    def _long(self, longest: int) -> str:
        """A name as long as one may be (RFC 1035 section 3.1)."""
        left = longest - octets(self.origin)
        labels = []
        while left > 64:
            labels.append("n" * min(63, left - 3))
            left -= len(labels[-1]) + 1
        return ".".join([*labels, "n" * (left - 1)]) + "." + self.origin

    def anywhere(self, owner: str) -> str:
        """A target: a name of the zone, one below or beside one, the owner itself, one outside, one of another zone."""
        dice, other = self.dice, self.dice.choice(self.owners)
        near = ("x." + other, "x.y." + other.removeprefix("*."), owner, "www.elsewhere.test.", *self.elsewhere)
        target = other if dice.random() < 0.5 else dice.choice(near)
        return target if octets(target) <= 255 else other

    # ------------------------------------------------------------------ what a name holds

    def host(self, owner: str) -> Iterator[Record]:
        """Addresses and more."""
        dice, ttl = self.dice, self.dice.choice((0, 60, 3600))
        yield owner, ttl, "A", f"192.0.2.{dice.randrange(1, 255)}"
        if dice.random() < 0.4:
            yield owner, ttl, "A", f"198.51.100.{dice.randrange(1, 255)}"
        if dice.random() < 0.3:
            yield owner, 300, "AAAA", f"2001:db8::{dice.randrange(1, 9999):x}"
        if dice.random() < 0.3:
            yield owner, 60, "TXT", f'"text {dice.randrange(10)}" "more"'
        if dice.random() < 0.2:
            yield owner, 60, "MX", f"10 {self.anywhere(owner)}"
        if dice.random() < 0.1:
            # Another spelling, another TTL: the same RRset (RFC 4343, RFC 2181 section 5.2).
            yield owner.swapcase().replace(self.origin.swapcase(), self.origin), ttl, "A", "203.0.113.9"

    def alias(self, owner: str) -> Iterator[Record]:
        """An alias; now and then a chain of them."""
        dice = self.dice
        yield owner, dice.choice((0, 30, 3600)), "CNAME", self.anywhere(owner)
        if dice.random() < 0.05 and octets(owner) < 230:
            yield from self.chain(owner)

    def chain(self, owner: str) -> Iterator[Record]:
        """Aliases one after another, in names that nothing else has."""
        links = self.dice.choice((3, 8, 15, 20))
        for number in range(links):
            target = f"link{number + 1}.chain" if number + 1 < links else "end.chain"
            yield f"link{number}.chain.{owner}", 60, "CNAME", f"{target}.{owner}"
        yield f"end.chain.{owner}", 60, "A", "192.0.2.200"

    def dname(self, owner: str) -> Iterator[Record]:
        """A DNAME; to a long name, all but short names below it are too long (RFC 6672 section 2.2)."""
        dice = self.dice
        target = below(self.long, 1) if dice.random() < 0.2 else self.anywhere(owner)
        yield owner, dice.choice((0, 30, 3600)), "DNAME", target
        if dice.random() < 0.3:
            yield owner, 60, "TXT", '"beside a DNAME"'

    def cut(self, owner: str) -> Iterator[Record]:
        """A delegation: with glue, without, with that of another delegation, and with data it hides."""
        dice = self.dice
        hosts = {
            f"ns.{owner}": 0.8,
            f"ns2.{owner}": 0.0,
            owner: 0.8,
            "ns.elsewhere.test.": 0.0,
            f"ns.{self.origin}": 0.0,
        }
        hosts |= {dice.choice(self.owners): 0.0} | {f"ns.{cut}": 0.4 for cut in self.cuts[-2:]}
        hosts = {host: chance for host, chance in hosts.items() if octets(host) <= 255}
        self.cuts.append(owner)
        for host in dice.sample(sorted(hosts), dice.randrange(1, 4)):
            yield owner, 3600, "NS", host
            if dice.random() < hosts[host]:
                yield host, 3600, *dice.choice((("A", "192.0.2.77"), ("A", "192.0.2.78"), ("AAAA", "2001:db8::53")))
        if dice.random() < 0.5:
            yield owner, 600, "DS", f"{dice.randrange(65536)} 13 2 {'ab' * 32}"
        if dice.random() < 0.3 and octets(owner) < 230:
            yield f"deep.hidden.{owner}", 60, "TXT", '"occluded"'
        if dice.random() < 0.1:
            yield owner, 60, "TXT", '"occluded at the cut"'

    def odd(self, owner: str) -> Iterator[Record]:
        """A few of all types."""
        dice = self.dice
        yield owner, 60, "TYPE65400", rf"\# 4 {dice.randrange(2**32):08x}"
        for line in dice.sample(self.types, 3):
            rtype, _, rdata = line.partition(" ")
            if rtype == "TYPE1" and owner.startswith("*."):
                continue
            yield owner, 60, rtype, rdata.format(host=self.anywhere(owner), number=f"{dice.randrange(2**32):08x}")

    def large(self, owner: str) -> Iterator[Record]:
        """An RRset that fits in no datagram, or only without its signature."""
        count = self.dice.choice((12, 17, 60))
        return ((owner, 60, "TXT", f'"{number:>60}"') for number in range(count))


class PlainMaker(Maker):
    """Makes one zone of plain labels and common types."""

    labels = LABELS
    types = PLAIN_TYPES


def plain_records(seed: int) -> list[Record]:
    """A zone that is odd by its structure alone: every reader knows its types, and its names are short."""
    return _once(list(PlainMaker(seed, 40, ORIGIN, 80, ()).records()))


def records(
    seed: int,
    *,
    size: int = 40,
    below_dname: bool = True,
    origin: str = ORIGIN,
    longest: int = 255,
    elsewhere: Sequence[str] = (),
) -> list[Record]:
    """A zone that all servers load; `below_dname` False leaves no data below DNAMEs (RFC 6672 section 2.4).

    No name has more octets than `longest`; some aliases lead to the names of `elsewhere`.
    """
    found = _once(list(Maker(seed, size, origin, longest, elsewhere).records()))
    return found if below_dname else _clear(found)


def text(zone: list[Record]) -> str:
    """The zone as a master file."""
    return "".join(f"{owner} {ttl} IN {rtype} {rdata}\n" for owner, ttl, rtype, rdata in zone)


def questions(zone: list[Record], count: int, seed: int, origin: str = ORIGIN) -> Iterator[Question]:
    """`count` questions: each class of name, each type, often one that the name has; names of 255 octets at most."""
    dice = random.Random(seed)
    types: dict[str, list[str]] = {}
    for owner, _, rtype, _ in zone:
        types.setdefault(owner, []).append(rtype)
    owners = sorted(types)
    targets = [rdata.split()[-1] for _, _, rtype, rdata in zone if rtype in {"CNAME", "DNAME", "NS"}]
    while count:
        owner = dice.choice(owners if dice.random() < 0.9 or not targets else targets)
        name = dice.choice(AIMS)(dice, owner, origin)
        if octets(name) <= 255:
            own = types.get(owner, TYPES)
            yield name, dice.choice(own if dice.random() < 0.3 else TYPES)
            count -= 1


def child_of(zone: list[Record], origin: str) -> str | None:
    """A delegation of the zone that no other one hides, None where it has none whose name is short and plain."""
    cuts = {owner.lower() for owner, _, rtype, _ in zone if rtype in {"NS", "DNAME"} and owner != origin}
    hidden = {cut for cut in cuts for other in cuts if is_below(cut, other)}
    kept = [
        owner
        for owner, _, rtype, _ in zone
        if rtype == "NS"
        and owner.lower() in cuts - hidden
        and octets(owner) < 60
        and "\\" not in owner
        and "*" not in owner
    ]
    return kept[0] if kept else None


def apart(zone: list[Record], child: list[Record], cut: str) -> tuple[list[Record], list[Record]]:
    """A zone and its child so that both know the same names below the cut: the parent its glue, the child that too.

    Nothing of the parent is below a DNAME of the child: NSD keeps the names of all zones in one tree.
    """
    held = {owner.lower() for owner, *_ in child}
    tops = [owner for owner, _, rtype, _ in child if rtype == "DNAME"]
    glue = [
        one
        for one in zone
        if is_below(one[0], cut) and one[2] in {"A", "AAAA"} and not any(is_below(one[0], top) for top in tops)
    ]
    kept = [one for one in zone if not is_below(one[0], cut) or one in glue]
    return kept, child + [one for one in glue if one[0].lower() not in held]


def labels(name: str) -> list[str]:
    """The labels of a name in text, escapes left as they are."""
    return re.findall(r"(?:\\\d{3}|\\.|[^.\\])+", name)


def is_below(name: str, top: str) -> bool:
    """Whether a name in text is below another one; an escaped dot ends no label."""
    name, top = name.lower(), top.lower()
    return name.endswith("." + top) and below(name, len(labels(name)) - len(labels(top))) == top


def octets(name: str) -> int:
    """How long a name in text is in wire form."""
    return 1 + sum(1 + len(re.findall(r"\\\d{3}|\\.|.", label)) for label in labels(name))


def below(name: str, count: int) -> str:
    """The name without its first labels."""
    return ".".join(labels(name)[count:]) + "."


def _once(zone: list[Record]) -> list[Record]:
    """The zone without what would make a server refuse it: an alias beside other data, two of one alias."""
    held: dict[str, set[str]] = {}
    for owner, _, rtype, _ in zone:
        held.setdefault(owner.lower(), set()).add(rtype)
    kept: list[Record] = []
    aliases: set[tuple[str, str]] = set()
    for record in zone:
        owner, rtype = record[0].lower(), record[2]
        is_alias = rtype in {"CNAME", "DNAME"}
        if (rtype == "CNAME" and len(held[owner]) > 1) or (is_alias and (owner, rtype) in aliases):
            continue
        if is_alias:
            aliases.add((owner, rtype))
        kept.append(record)
    return kept


def _clear(zone: list[Record]) -> list[Record]:
    tops = {owner.lower() for owner, _, rtype, _ in zone if rtype == "DNAME"}
    return [one for one in zone if not any(is_below(one[0], top) for top in tops)]


def _itself(_dice: random.Random, name: str, _origin: str) -> str:
    return name


def _parent(dice: random.Random, name: str, origin: str) -> str:
    """An ancestor in the zone, the apex the highest; all of what is outside."""
    depth = len(labels(name)) - len(labels(origin))
    return below(name, dice.randrange(depth + 1)) if depth > 0 else name


def _below(dice: random.Random, name: str, _origin: str) -> str:
    prefix = (
        "q.",
        "q.q.",
        "*.",
        "x.",
        "ns.",
        "deep.",
        "hidden.",
        "link0.chain.",
        r"\000.",
        "L" * 60 + ".",
        ("k" * 50 + ".") * 3,
    )
    return dice.choice(prefix) + name


def _instance(dice: random.Random, name: str, _origin: str) -> str:
    return name.replace("*.", dice.choice(("q.", "a.", "q.r.", "M.", r"\255.")), 1)


def _beside(dice: random.Random, name: str, origin: str) -> str:
    rest = below(name, 1)
    return dice.choice(("q.", "0.", "~.", "*.", "aa.", r"\000.", r"\255.")) + (rest if rest.endswith(origin) else name)


def _case(dice: random.Random, name: str, origin: str) -> str:
    """Any spelling (RFC 4343)."""
    mixed = "".join(dice.choice((letter.upper(), letter)) for letter in name.removesuffix(origin))
    return mixed + (origin if name.endswith(origin) else "")


AIMS = (_itself, _itself, _parent, _below, _below, _instance, _instance, _beside, _case)


def main() -> None:
    """Write the zone of the seed given."""
    sys.stdout.write(text(records(int(sys.argv[1]))))


if __name__ == "__main__":
    main()
