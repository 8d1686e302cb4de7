"""The life of a zone's keys as a picture: one row for each record of each key, its states as bars, now as a line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Final

from keys.forecast import Event
from keys.rollover import Move
from keys.states import Key, RecordKind, RecordState

WIDTH: Final = 960
LEFT: Final = 190
ROW: Final = 16
TOP: Final = 44
COLOURS: Final[Mapping[str, str]] = {
    RecordState.RUMOURED: "#f2c14e",
    RecordState.OMNIPRESENT: "#3f8f5a",
    RecordState.UNRETENTIVE: "#d9822b",
    RecordState.SQUASHED: "#b04a5a",
}
STYLE: Final = "text{font:11px sans-serif;fill:#222}.key{font-weight:bold}.axis{fill:#666}.ahead{opacity:.45}"

History = Sequence[tuple[int, str, str, str]]
"""What happened to a key, as `keys.store.history` has it."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A record in one state, from one moment to another."""

    state: str
    start: int
    end: int


def timeline(
    zone: str, keys: Sequence[Key], past: Mapping[str, History], events: Sequence[Event], now: int, until: int
) -> str:
    """An SVG picture of what the keys were, are and will be."""
    lives = _lives(keys, past, events)
    begin = min((change[0] for rows in lives.values() for change in rows), default=now)
    begin = max(min(begin, now), now - (until - now))
    scale = _Scale(begin, until)
    rows: list[str] = []
    y = TOP
    for label, kinds in _rows(keys, events):
        rows.append(f'<text class="key" x="4" y="{y + 12}">{escape(label)}</text>')
        for kind, life in kinds:
            rows.append(f'<text x="110" y="{y + 12}">{escape(str(kind))}</text>')
            rows += [_bar(bar, scale, y, now) for bar in _bars(lives.get(life, []), begin, until)]
            y += ROW
        y += 6
    at_now = scale.x(now)
    line = f'<line x1="{at_now}" x2="{at_now}" y1="{TOP - 14}" y2="{y}" stroke="#c00"/>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y + 30}" role="img">'
        f"<title>keys of {escape(zone)}</title><style>{STYLE}</style>"
        f'<rect width="100%" height="100%" fill="#fff"/><text class="key" x="4" y="16">{escape(zone)}</text>'
        + _legend()
        + _axis(scale, y)
        + "".join(rows)
        + line
        + "</svg>\n"
    )


@dataclass(frozen=True, slots=True)
class _Scale:
    begin: int
    end: int

    def x(self, moment: int) -> int:
        """Where a moment stands, in pixels."""
        share = (moment - self.begin) / max(1, self.end - self.begin)
        return LEFT + round(share * (WIDTH - LEFT - 10))


Life = tuple[str, str]
"""A key's id and a kind of record."""


def _lives(
    keys: Sequence[Key], past: Mapping[str, History], events: Sequence[Event]
) -> dict[Life, list[tuple[int, str]]]:
    """By key and record, the changes of its state in order."""
    lives: dict[Life, list[tuple[int, str]]] = {}
    states = {str(state) for state in RecordState}
    for key in keys:
        for kind, standing in key.states.items():
            known = [(at, state) for at, what, state, _ in past.get(key.id, ()) if what == kind and state in states]
            lives[key.id, kind] = known or [(standing.since, str(standing.state))]
    for event in events:
        if isinstance(event.step, Move):
            lives.setdefault((event.key.id, event.step.kind), []).append((event.step.since, str(event.step.state)))
    return lives


def _rows(keys: Sequence[Key], events: Sequence[Event]) -> list[tuple[str, list[tuple[RecordKind, Life]]]]:
    known = {key.id: key for key in keys}
    coming = {event.key.id: event.key for event in events if event.key.id not in known}
    rows = [(f"{key.role} {key.tag}", key) for key in keys]
    rows += [(f"{key.role} to be made", key) for key in coming.values()]
    return [(label, [(kind, (key.id, str(kind))) for kind in key.states]) for label, key in rows]


def _bars(changes: Sequence[tuple[int, str]], begin: int, end: int) -> list[Bar]:
    ends = [*[at for at, _ in changes[1:]], end]
    bars = [Bar(state, max(at, begin), min(stop, end)) for (at, state), stop in zip(changes, ends, strict=True)]
    return [bar for bar in bars if bar.state in COLOURS and bar.end > bar.start]


def _bar(bar: Bar, scale: _Scale, y: int, now: int) -> str:
    x, width = scale.x(bar.start), max(1, scale.x(bar.end) - scale.x(bar.start))
    ahead = ' class="ahead"' if bar.start >= now else ""
    title = f"{bar.state} {_day(bar.start)} to {_day(bar.end)}"
    return (
        f'<rect{ahead} x="{x}" y="{y + 2}" width="{width}" height="{ROW - 4}" fill="{COLOURS[bar.state]}">'
        f"<title>{title}</title></rect>"
    )


def _legend() -> str:
    parts = []
    for number, (state, colour) in enumerate(COLOURS.items()):
        x = LEFT + 130 * number
        parts.append(
            f'<rect x="{x}" y="8" width="10" height="10" fill="{colour}"/><text x="{x + 14}" y="17">{state}</text>'
        )
    return "".join(parts)


def _axis(scale: _Scale, y: int) -> str:
    moments = [scale.begin + (scale.end - scale.begin) * part // 6 for part in range(7)]
    return "".join(
        f'<line x1="{scale.x(at)}" x2="{scale.x(at)}" y1="{TOP - 6}" y2="{y}" stroke="#ddd"/>'
        f'<text class="axis" x="{min(scale.x(at), WIDTH - 70)}" y="{y + 16}">{_day(at)}</text>'
        for at in moments
    )


def _day(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d")
