"""Random questions about a generated zone: names that exist, empty non-terminals, wildcards, names that do not exist."""

import random
from collections.abc import Iterator, Sequence

from tools.make_zone import Record

QTYPES = ("A", "AAAA", "MX", "TXT", "NS", "SOA", "CNAME", "SRV", "DS", "CAA", "HTTPS", "SVCB", "TLSA", "NAPTR", "DNAME")

Question = tuple[str, str]


def questions(records: Sequence[Record], count: int, seed: int) -> Iterator[Question]:
    """`count` questions (qname, qtype), a mix of everything."""
    dice = random.Random(seed)
    for _ in range(count):
        owner, _ttl, rtype, _rdata = dice.choice(records)
        yield dice.choice(MAKERS)(dice, owner, rtype)


def _same(_dice: random.Random, owner: str, rtype: str) -> Question:
    return owner.replace("*.", "anything."), rtype


def _literal(_dice: random.Random, owner: str, rtype: str) -> Question:
    return owner, rtype


def _other_type(dice: random.Random, owner: str, _rtype: str) -> Question:
    return owner.replace("*.", "some.thing."), dice.choice(QTYPES)


def _parent(dice: random.Random, owner: str, _rtype: str) -> Question:
    return owner.partition(".")[2] if owner.count(".") > 2 else owner, dice.choice(QTYPES)


def _below(dice: random.Random, owner: str, rtype: str) -> Question:
    return f"no{dice.randrange(10**6)}.{owner}".replace("*.", ""), rtype


def _beside(dice: random.Random, owner: str, _rtype: str) -> Question:
    return f"no{dice.randrange(10**6)}.{owner.partition('.')[2]}", dice.choice(QTYPES)


def _case(dice: random.Random, owner: str, rtype: str) -> Question:
    mixed = "".join(dice.choice((letter.upper(), letter)) for letter in owner)
    return mixed.replace("*.", "Star."), rtype


MAKERS = (_same, _same, _literal, _other_type, _parent, _below, _beside, _case)


def is_for_the_parent(question: Question, origin: str) -> bool:
    """A DS question at the apex: a resolver asks the parent zone, which nobody serves here."""
    return question[0].lower() == origin and question[1] == "DS"


def stays_inside(records: Sequence[Record], origin: str) -> list[Record]:
    """Only what a resolver that knows this one zone can follow: no cuts, and no aliases that leave the zone."""
    cuts = {owner for owner, _, rtype, _ in records if rtype == "NS" and owner != origin}
    away = {
        owner for owner, _, rtype, rdata in records if rtype in {"CNAME", "DNAME"} and not rdata.endswith("." + origin)
    }

    def is_inside(owner: str) -> bool:
        return not any(owner == name or owner.endswith("." + name.removeprefix("*.")) for name in cuts | away)

    return [record for record in records if is_inside(record[0])]
