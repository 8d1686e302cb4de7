"""One key that stays in the operator's files, as a policy names it and as the engine signs with it."""

from dataclasses import dataclass, field

from engine import SigningKey


@dataclass(frozen=True, slots=True)
class FileKey:
    """One key of the operator's files; what its private part is stays in the handle."""

    owner: bytes
    dnskey: bytes
    tag: int
    file: str
    handle: SigningKey = field(repr=False, compare=False)
    warnings: tuple[str, ...] = field(default=(), compare=False)
