"""The trash: how long deleted keys stay, and that nothing of them is left when they are wiped."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from authserver.publisher import Publisher
from authserver.state import State
from engine import Clock
from keys import private, store, trash
from keys.errors import StoreError
from keys.policy import KeySpec
from keys.states import Key
from tests.softhsm import SoftHSM

NOW = 1_800_000_000
PART = b"a private part that is easy to find" * 4


def test_a_deleted_key_is_wiped_off_the_disk_when_its_time_of_grace_is_over(
    tmp_path: Path, make_key: Callable[..., Key]
) -> None:
    clock = Clock()
    clock.stop_at(NOW + trash.GRACE - 1)
    with State.open(tmp_path / "state") as state:
        key = make_key(1)
        with state.transaction(NOW) as tx:
            store.insert(tx, key, PART)
            store.delete(tx, key, "a test", NOW)
        publisher = Publisher(state, clock)
        publisher.tidy()
        with state.reader() as tx:
            assert [one.octets for one in store.trash(tx)] == [PART]
        clock.stop_at(NOW + trash.GRACE)
        publisher.tidy()
        state.wipe_log()
        with state.reader() as tx:
            assert store.trash(tx) == []
        assert not [path for path in (tmp_path / "state").glob("state.db*") if PART[:34] in path.read_bytes()]


def test_a_key_in_a_token_is_destroyed_there_or_kept_until_that_can_be(
    softhsm: SoftHSM, tx: sqlite3.Connection, make_key: Callable[..., Key]
) -> None:
    vault = private.PlainVault()
    token = softhsm.token()
    vault.tokens = {"hsm": token}
    part, dnskey = private.make(vault, KeySpec(store="hsm"), 257)
    key = make_key(1, dnskey=dnskey)
    store.insert(tx, key, part)
    store.delete(tx, key, "a test", NOW)
    softhsm.unplug()
    token.close()
    done = trash.wipe(tx, vault, store.trash(tx), NOW)
    assert done.keys == ()
    assert "NoSuchToken" in done.kept[0][1]
    softhsm.plug_in()
    assert [one.key_id for one in trash.wipe(tx, vault, store.trash(tx), NOW).keys] == [key.id]
    assert store.trash(tx) == []
    with pytest.raises(StoreError, match="NoSuchKey"):
        token.sign(part, 13, [b"octets"])
