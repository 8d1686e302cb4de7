"""Files of questions for dnsperf, drawn from a generated zone: hits, a mix, and names that do not exist."""

import random
from collections.abc import Iterable
from pathlib import Path

from tools.make_zone import Record, records

COUNT = 50_000
"""Questions a file; dnsperf goes round in it."""


def write_all(directory: Path, origin: str, count: int, seed: int = 1) -> dict[str, Path]:
    """`hits`, `mix` (one in five does not exist) and `nxdomain` for the zone that make_zone gives."""
    dice = random.Random(seed + 1)
    answerable = authoritative(list(records(origin, count, seed)), origin)
    hits = [(owner.replace("*", "any"), rtype) for owner, _, rtype, _ in dice.choices(answerable, k=COUNT)]
    absent = [(f"no{dice.randrange(10**8)}.{origin}", "A") for _ in range(COUNT)]
    mix = [absent[index] if index % 5 == 0 else hit for index, hit in enumerate(hits)]
    return {
        "hits": _write(directory / "hits", hits),
        "mix": _write(directory / "mix", mix),
        "nxdomain": _write(directory / "nxdomain", absent),
    }


def authoritative(zone: list[Record], origin: str) -> list[Record]:
    """Records that are answered with data: nothing at or below a cut."""
    cuts = {owner for owner, _, rtype, _ in zone if rtype == "NS" and owner != origin}

    def is_ours(owner: str) -> bool:
        while owner != origin:
            if owner in cuts:
                return False
            owner = owner.partition(".")[2]
        return True

    return [record for record in zone if is_ours(record[0])]


def _write(path: Path, pairs: Iterable[tuple[str, str]]) -> Path:
    path.write_text("".join(f"{qname} {qtype}\n" for qname, qtype in pairs))
    return path
