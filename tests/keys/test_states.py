from collections.abc import Callable

import pytest

from keys.states import Key, RecordKind, RecordState, Standing, key_id, kinds_of


def test_a_record_the_key_does_not_have_is_hidden(make_key: Callable[..., Key]) -> None:
    zsk = make_key(is_ksk=False)
    assert set(zsk.states) == {RecordKind.DNSKEY, RecordKind.ZRRSIG}
    assert zsk.state(RecordKind.DS) is RecordState.HIDDEN
    assert not zsk.has_chain


def test_a_move_makes_another_key_and_leaves_this_one(make_key: Callable[..., Key]) -> None:
    key = make_key(now=5)
    moved = key.moved(RecordKind.DNSKEY, RecordState.RUMOURED, 9)
    assert key.state(RecordKind.DNSKEY) is RecordState.HIDDEN
    assert moved.states[RecordKind.DNSKEY] == Standing(RecordState.RUMOURED, 9)
    assert moved.newest_event == 9
    with pytest.raises(TypeError):
        moved.states[RecordKind.DS] = Standing(RecordState.OMNIPRESENT, 9)


@pytest.mark.parametrize("word", ["RRRR", "ROOR", "OOOH", "OORR"])
def test_a_ds_is_wanted_only_with_everything_omnipresent(
    word: str, make_key: Callable[..., Key], standing: Callable[..., dict[RecordKind, Standing]]
) -> None:
    assert not make_key(states=standing(word)).wants_ds


def test_a_ds_is_wanted_once_asked_for(
    make_key: Callable[..., Key], standing: Callable[..., dict[RecordKind, Standing]]
) -> None:
    assert make_key(states=standing("OOOR")).wants_ds
    assert make_key(states=standing("OOOO")).wants_ds


def test_identity_is_zone_view_and_whole_public_key() -> None:
    ids = {
        key_id(origin, view, dnskey)
        for origin in (b"\x01a\x00", b"\x01b\x00")
        for view in ("", "inside")
        for dnskey in (b"\x01\x01\x03\x0dx", b"\x01\x00\x03\x0dx")
    }
    assert len(ids) == 8
    assert key_id(b"\x01A\x00", "", b"k") == key_id(b"\x01a\x00", "", b"k")


def test_roles_decide_which_records_there_are() -> None:
    assert set(kinds_of(is_ksk=True, is_zsk=True)) == set(RecordKind)
    assert set(kinds_of(is_ksk=True, is_zsk=False)) == set(RecordKind) - {RecordKind.ZRRSIG}
