"""What the tests of signer share: a small zone, a key of it, and its signing handle."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from engine import SigningKey, Version, key_tag, read_zone
from keys import private
from keys.states import Goal, Key, RecordKind, RecordState, Standing, key_id

ORIGIN = b"\x07example\x04test\x00"
NOW = 1_700_000_000
ZONE = """\
$ORIGIN example.test.
$TTL 3600
@ 7200 SOA ns admin 7 3600 600 604800 300
@ NS ns
ns A 192.0.2.1
www 86400 A 192.0.2.2
*.wild TXT "anything"
"""


@dataclass(frozen=True, slots=True)
class Signer:
    """A key with the handle that signs by it."""

    key: Key
    handle: SigningKey


@pytest.fixture
def version() -> Callable[..., Version]:
    """The zone above, with more lines if given."""

    def build(more: str = "", text: str = ZONE) -> Version:
        records = read_zone(ORIGIN, [("db.example", (text + more).encode())])
        assert records.diagnostics == []
        made, findings = Version.build(records)
        assert made is not None, findings
        return made

    return build


@pytest.fixture
def make_signer() -> Callable[..., Signer]:
    """A real key in the states that the word says: `HROUS` for DNSKEY, ZRRSIG, KRRSIG and DS, `-` for none."""
    letters = {state.value[0]: state for state in RecordState}

    def make(word: str = "RRRH", *, flags: int = 257, goal: Goal = Goal.PRESENT) -> Signer:
        pkcs8, dnskey = private.generate(13, flags)
        pairs = zip(RecordKind, word.lower(), strict=True)
        states = {kind: Standing(letters[letter], NOW) for kind, letter in pairs if letter != "-"}
        key = Key(
            id=key_id(ORIGIN, "", dnskey),
            origin=ORIGIN,
            view="",
            algorithm=13,
            is_ksk=RecordKind.KRRSIG in states,
            is_zsk=RecordKind.ZRRSIG in states,
            dnskey=dnskey,
            tag=key_tag(dnskey),
            goal=goal,
            states=states,
            created_at=NOW,
        )
        return Signer(key, SigningKey(pkcs8, dnskey))

    return make
