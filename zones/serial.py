"""Serial arithmetic (RFC 1982), and which serial a version is published with.

The source's serial and the published serial are two numbers: the published one only moves forward, whatever
happens to the source.
"""

from __future__ import annotations

from typing import Final

MODULUS: Final = 1 << 32
HALF: Final = 1 << 31


def is_after(serial: int, other: int) -> bool:
    """Whether `serial` is greater than `other` (RFC 1982 section 3.2); False where the comparison is undefined."""
    return 0 < (serial - other) % MODULUS < HALF


def successor(serial: int) -> int:
    """The next serial; 0 is left out, as some secondaries take it for "no serial" (RFC 2136 section 4.2)."""
    return (serial + 1) % MODULUS or 1


def published_serial(source: int, last_published: int | None, *, changed: bool) -> int:
    """The serial to publish with.

    The source's own if nothing was published before or if it is after the last published one; else the last one's
    successor when what is served `changed`, and the last one itself when not.
    """
    if last_published is None or is_after(source, last_published):
        return source
    return successor(last_published) if changed else last_published
