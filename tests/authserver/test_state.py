import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from authserver import state as state_module
from authserver.errors import StateCorrupt, StateError, StateInsecure, StateInUse, StateMissing, StateOfOtherSchema
from authserver.state import PackRef, State, default_directory
from keys.errors import PassphraseError
from zones import history

ORIGIN = b"\x07example\x04test\x00"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "state"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    """A process of its own that runs `code` beside the packages."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


# ------------------------------------------------------------------ the directory


def test_everything_is_private_to_its_owner(directory: Path) -> None:
    before = os.umask(0)
    try:
        with State.open(directory) as state:
            state.write_pack([b"image"])
            with state.transaction(5) as tx:
                history.see(tx, ORIGIN, "", 5)
            paths = list(directory.rglob("*"))
            assert {path.name for path in paths} >= {
                "lock",
                "state.db",
                "state.db-wal",
                "images",
                "git",
                "00000001.pack",
            }
            assert {mode(path) for path in paths if path.is_dir()} | {mode(directory)} == {0o700}
            assert {mode(path) for path in paths if path.is_file()} == {0o600}
            assert state.notices == []
    finally:
        os.umask(before)


def test_a_strict_umask_does_not_lock_the_owner_out(directory: Path) -> None:
    before = os.umask(0o777)
    try:
        with State.open(directory / "deep") as state:
            assert mode(state.images_directory) == 0o700
    except PermissionError:
        pytest.skip("parents made under this umask are closed to all but root")
    finally:
        os.umask(before)


def test_loose_permissions_are_tightened_and_it_is_said(directory: Path) -> None:
    State.open(directory).close()
    directory.chmod(0o755)
    (directory / "state.db").chmod(0o644)
    with State.open(directory) as state:
        assert state.notices == [
            f"{directory}: permissions were 0755, made 0700",
            f"{directory / 'state.db'}: permissions were 0644, made 0600",
        ]
        assert (mode(directory), mode(directory / "state.db")) == (0o700, 0o600)


def test_somebody_elses_directory_is_refused(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory.mkdir()
    owner = directory.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(StateInsecure, match=f"belongs to user {owner}, not to {owner + 1}"):
        State.open(directory)


def test_a_file_in_its_place_is_refused_and_left_alone(directory: Path) -> None:
    directory.write_text("something else")
    directory.chmod(0o644)
    with pytest.raises(StateError, match="not a directory"):
        State.open(directory)
    assert mode(directory) == 0o644


def test_places_below_the_directory(directory: Path) -> None:
    with State.open(directory) as state:
        assert state.git_directory == directory / "git"
        assert state.control_path == directory / "control.sock"


def test_where_the_state_is_when_nothing_is_said() -> None:
    assert default_directory(0) == Path("/var/lib/zonewright")
    assert default_directory(1000) == Path("state")


# ------------------------------------------------------------------ the lock


def test_a_second_opening_is_an_error_that_names_the_holder(directory: Path) -> None:
    with State.open(directory):
        for again in (State.open, State.open_readonly):
            with pytest.raises(StateInUse) as caught:
                again(directory)
            assert str(caught.value) == f"{directory}: in use by process {os.getpid()}"
    State.open(directory).close()


def test_the_lock_goes_with_a_killed_process(directory: Path) -> None:
    holder = python(
        """
        import sys, time
        from authserver.state import State
        state = State.open(sys.argv[1])
        print("open", flush=True)
        time.sleep(60)
        """,
        directory,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "open\n"
    with pytest.raises(StateInUse) as caught:
        State.open(directory)
    assert caught.value.holder == str(holder.pid)
    holder.kill()
    holder.wait()
    State.open(directory).close()


def test_several_may_read_while_nobody_writes(directory: Path) -> None:
    with pytest.raises(StateMissing):
        State.open_readonly(directory)
    with State.open(directory) as state, state.transaction() as tx:
        history.see(tx, ORIGIN, "", 5)
    with State.open_readonly(directory) as one, State.open_readonly(directory) as two:
        for reading in (one, two):
            with reading.reader() as tx:
                assert [zone.origin for zone in history.zones(tx)] == [ORIGIN]
        with pytest.raises(StateError, match="for reading only"), one.transaction():
            pass
        with pytest.raises(sqlite3.OperationalError), two.reader() as tx:
            history.see(tx, b"\x00", "", 5)


# ------------------------------------------------------------------ the database


def test_the_settings_that_make_it_safe(directory: Path) -> None:
    with State.open(directory) as state, state.transaction() as tx:
        settings = {
            name: tx.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "secure_delete", "synchronous", "foreign_keys", "user_version")
        }
    assert settings == {
        "journal_mode": "wal",
        "secure_delete": 1,
        "synchronous": 2,
        "foreign_keys": 1,
        "user_version": len(state_module.MIGRATIONS),
    }


def test_a_transaction_is_whole_or_not_at_all(directory: Path) -> None:
    with State.open(directory) as state:
        with pytest.raises(RuntimeError), state.transaction(7) as tx:  # noqa: PT012 (the block is what fails)
            history.see(tx, ORIGIN, "", 5)
            raise RuntimeError
        with state.reader() as tx:
            assert history.zones(tx) == []
        assert state.last_event() is None
        with state.transaction() as tx:
            history.see(tx, ORIGIN, "", 5)
        with state.reader() as tx:
            assert len(history.zones(tx)) == 1


def test_a_transaction_within_a_transaction_is_refused(directory: Path) -> None:
    with State.open(directory) as state, state.transaction():  # noqa: SIM117 (the inner one is what fails)
        with pytest.raises(StateError, match="within a transaction"), state.transaction():
            pass


def test_a_reader_sees_what_was_there_when_it_began(directory: Path) -> None:
    with State.open(directory) as state, state.reader() as before:
        assert history.zones(before) == []
        with state.transaction() as tx:
            history.see(tx, ORIGIN, "", 5)
        assert history.zones(before) == []
        with state.reader() as after:
            assert len(history.zones(after)) == 1


def test_threads_write_one_after_another(directory: Path) -> None:
    def note(state: State, number: int) -> None:
        with state.transaction(number) as tx:
            history.see(tx, b"\x04%04d\x00" % number, "", number)

    with State.open(directory) as state:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: note(state, number), range(80)))
        with state.reader() as tx:
            assert len(history.zones(tx)) == 80
        assert state.last_event() == 79


def test_the_last_event_never_goes_back(directory: Path) -> None:
    with State.open(directory) as state:
        for now in (100, 300, 200):
            with state.transaction(now):
                pass
        assert state.last_event() == 300
    with State.open_readonly(directory) as state:
        assert state.last_event() == 300


def test_a_newer_schema_is_refused_and_left_alone(directory: Path) -> None:
    State.open(directory).close()
    with sqlite3.connect(directory / "state.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    before = (directory / "state.db").read_bytes()
    for opening in (State.open, State.open_readonly):
        with pytest.raises(StateOfOtherSchema, match="schema 99 is not the") as caught:
            opening(directory)
        assert caught.value.version == 99
    assert (directory / "state.db").read_bytes() == before


def test_an_older_schema_is_brought_up_to_date(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with State.open(directory) as state, state.transaction() as tx:
        history.see(tx, ORIGIN, "", 5)
    following = (*state_module.MIGRATIONS, ("CREATE TABLE added (x INTEGER) STRICT",))
    monkeypatch.setattr(state_module, "MIGRATIONS", following)
    with pytest.raises(StateOfOtherSchema):
        State.open_readonly(directory)
    with State.open(directory) as state, state.reader() as tx:
        assert tx.execute("SELECT count(*) FROM added").fetchone() == (0,)
        assert len(history.zones(tx)) == 1


def test_a_migration_that_fails_changes_nothing(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    State.open(directory).close()
    broken = (*state_module.MIGRATIONS, ("CREATE TABLE added (x INTEGER) STRICT", "CREATE NONSENSE"))
    with monkeypatch.context() as patch:
        patch.setattr(state_module, "MIGRATIONS", broken)
        with pytest.raises(sqlite3.OperationalError):
            State.open(directory)
    with State.open(directory) as state, state.reader() as tx:
        assert tx.execute("SELECT name FROM sqlite_schema WHERE name = 'added'").fetchall() == []


def test_a_damaged_or_foreign_database_is_refused(directory: Path) -> None:
    State.open(directory).close()
    database = directory / "state.db"
    database.write_bytes(b"not a database at all, but long enough to be looked at" * 100)
    with pytest.raises(StateCorrupt):
        State.open(directory)
    database.unlink()
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA application_id = 1234")
        connection.execute("CREATE TABLE somebody_elses (x)")
    connection.close()
    with pytest.raises(StateCorrupt, match="not a state of ours"):
        State.open(directory)


def test_a_passphrase_once_given_is_needed(directory: Path) -> None:
    State.open(directory).close()
    State.open(directory, b"correct horse").close()
    for wrong in (None, b"battery staple"):
        with pytest.raises(PassphraseError):
            State.open(directory, wrong)
    State.open(directory, b"correct horse").close()
    with State.open_readonly(directory):
        pass


def test_encrypting_leaves_no_private_part_on_the_disk(
    directory: Path, add_key: Callable[[State, bytes], None]
) -> None:
    secret = os.urandom(400)
    with State.open(directory) as state:
        add_key(state, secret)
    assert secret in (directory / "state.db").read_bytes()
    with State.open(directory, b"correct horse"):
        files = [path.read_bytes() for path in directory.rglob("*") if path.is_file()]
        assert not any(secret[:100] in octets for octets in files)


# ------------------------------------------------------------------ packs


def test_images_of_a_pack_come_back(directory: Path) -> None:
    images = [b"one", b"", b"three" * 1000]
    with State.open(directory) as state:
        refs = state.write_pack(images)
        assert {ref.pack for ref in refs} == {"00000001.pack"}
        assert [state.read_pack(ref) for ref in refs] == images
        assert state.write_pack([b"x"])[0].pack == "00000002.pack"


def name_image(state: State, ref: PackRef, serial: int) -> None:
    with state.transaction(serial) as tx:
        history.see(tx, ORIGIN, "", serial)
        history.record_image(tx, history.Image(ORIGIN, "", serial, "content", ref.pack, ref.offset, ref.length), serial)


def test_packs_that_were_never_committed_go_at_the_next_start(directory: Path) -> None:
    with State.open(directory) as state:
        (kept,) = state.write_pack([b"kept"])
        name_image(state, kept, 1)
        state.write_pack([b"never named"])
    with State.open(directory) as state:
        assert [path.name for path in state.images_directory.iterdir()] == ["00000001.pack"]
        assert state.read_pack(kept) == b"kept"
        assert state.write_pack([b"next"])[0].pack == "00000003.pack"


def test_a_pack_being_committed_is_not_dropped(directory: Path) -> None:
    with State.open(directory) as state:
        refs = state.write_pack([b"on its way"])
        assert state.drop_unreferenced(set()) == []
        state.release_pack(refs)
        assert state.drop_unreferenced({"00000001.pack"}) == []
        assert state.drop_unreferenced(set()) == ["00000001.pack"]
        with pytest.raises(FileNotFoundError):
            state.read_pack(refs[0])


def test_a_number_that_is_named_is_never_given_again(directory: Path) -> None:
    with State.open(directory) as state:
        name_image(state, PackRef("00000041.pack", 8, 3), 1)
    with State.open(directory) as state:
        assert state.write_pack([b"x"])[0].pack == "00000042.pack"


def test_a_torn_pack_and_a_name_that_leads_elsewhere_are_errors(directory: Path) -> None:
    with State.open(directory) as state:
        (ref,) = state.write_pack([b"0123456789"])
        (state.images_directory / ref.pack).write_bytes(b"ZWPACK\0\1" + b"0123")
        with pytest.raises(StateCorrupt, match="4 octets at 8 where 10 should be"):
            state.read_pack(ref)
        with pytest.raises(StateError, match="not the name of a pack"):
            state.read_pack(PackRef("../state.db.pack", 0, 1))


def test_a_pack_that_does_not_fit_on_the_disk_leaves_nothing(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with State.open(directory) as state:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(OSError, match="No space left"):
                state.write_pack([b"x" * 1000])
        assert list(state.images_directory.iterdir()) == []
        assert state.drop_unreferenced(set()) == []


FULL = """
    import resource, signal, sqlite3, sys
    from authserver.state import State, named_packs
    from zones import history

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    most, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    with State.open(sys.argv[1]) as state:
        with state.reader() as tx:
            print(len(history.zones(tx)), len(state.notices))
        try:
            with state.transaction() as tx:
                history.see(tx, b"\\x03two\\x00", "", 2)
        except sqlite3.OperationalError:
            print("full")
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
        with state.transaction() as tx:
            history.see(tx, b"\\x03two\\x00", "", 2)
        with state.reader() as tx:
            print(len(history.zones(tx)))
"""


def test_a_state_on_a_full_disk_is_read_and_written_when_there_is_room(directory: Path) -> None:
    with State.open(directory) as state, state.transaction() as tx:
        history.see(tx, ORIGIN, "", 1)
    process = python(FULL, directory)
    assert process.communicate()[0].split() == ["1", "1", "full", "2"]


def test_threads_write_packs_of_their_own(directory: Path) -> None:
    with State.open(directory) as state:
        with ThreadPoolExecutor(8) as pool:
            refs = list(pool.map(lambda number: state.write_pack([b"%d" % number])[0], range(40)))
        assert len({ref.pack for ref in refs}) == 40
        assert [state.read_pack(ref) for ref in refs] == [b"%d" % number for number in range(40)]


# ------------------------------------------------------------------ killed

WRITER = """
    import sys
    from authserver.state import State, named_packs
    from zones import history

    origin = b"\\x07example\\x04test\\x00"
    state = State.open(sys.argv[1])
    serial = int(sys.argv[2])
    print("open", flush=True)
    while True:
        serial += 1
        (ref,) = state.write_pack([b"%d" % serial * 500])
        with state.transaction(serial) as tx:
            history.see(tx, origin, "", serial)
            history.record_published(tx, origin, "", serial=serial, source_serial=serial, identity="i",
                                     content_digest=b"%d" % serial, provenance=None, now=serial)
            image = history.Image(origin, "", serial, "content", ref.pack, ref.offset, ref.length)
            history.record_image(tx, image, serial)
            history.drop_superseded_images(tx, origin, "")
        state.release_pack([ref])
        with state.reader() as tx:
            named = named_packs(tx)
        state.drop_unreferenced(named)
        print(serial, flush=True)
    """


def test_killed_at_any_point_the_last_committed_version_is_there_in_full(directory: Path) -> None:
    dice = random.Random(7)
    promised = 0
    for _ in range(8):
        writer = python(WRITER, directory, promised)
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        timer = threading.Timer(dice.uniform(0.0, 0.15), writer.send_signal, [signal.SIGKILL])
        timer.start()
        # What the process said it had committed is a promise; it may have committed one more.
        promised = max([promised, *(int(line) for line in writer.stdout if line.endswith("\n"))])
        timer.join()
        assert writer.wait() == -signal.SIGKILL
        with State.open_readonly(directory) as state, state.reader() as tx:
            last = history.last_published(tx, ORIGIN, "")
            assert (last.serial if last else 0) in {promised, promised + 1}
            promised = last.serial if last else 0
            for image in history.images_of(tx):
                assert state.read_pack(image) == b"%d" % image.serial * 500
        with State.open(directory) as state:
            assert state.notices == []
            named = {image.pack for image in images_of(state)}
            assert {path.name for path in state.images_directory.iterdir()} == named
            assert state.last_event() == (promised or None)
    assert promised > 0


def images_of(state: State) -> list[history.Image]:
    with state.reader() as tx:
        return history.images_of(tx)


KEY_MAKER = """
    import sys
    from authserver.state import State, named_packs
    from keys import custody, introduction, store
    from keys.policy import DEFAULT
    from keys.rollover import ServedTTLs

    with State.open(sys.argv[1], b"passphrase") as state:
        print("open", flush=True)
        for batch in range(1000):
            zones = [(b"\\x04%04d\\x00" % number, "") for number in range(10 * batch, 10 * batch + 10)]
            with state.transaction(batch) as tx:
                known = [(zone, store.load(tx, *zone)) for zone in zones]
                facts = (DEFAULT, ServedTTLs(), batch)
                made = [introduction.advance(tx, state.vault, zone, keys, *facts).keys for zone, keys in known]
            print(*(keys[0].id for keys in made), flush=True)
    """


def test_killed_while_making_keys_each_zone_has_the_key_it_was_told(directory: Path) -> None:
    from keys import custody, store

    dice = random.Random(11)
    told: list[str] = []
    for _ in range(5):
        maker = python(KEY_MAKER, directory)
        assert maker.stdout is not None
        assert maker.stdout.readline() == "open\n"
        timer = threading.Timer(dice.uniform(0.0, 0.2), maker.send_signal, [signal.SIGKILL])
        timer.start()
        lines = [line.split() for line in maker.stdout if line.endswith("\n")]
        timer.join()
        assert maker.wait() == -signal.SIGKILL
        now_told = [key_id for line in lines for key_id in line]
        common = min(len(told), len(now_told))
        assert now_told[:common] == told[:common]
        told = max(told, now_told, key=len)
        with State.open(directory, b"passphrase") as state, state.reader() as tx:
            zones = store.load_all(tx)
            assert all(len(keys) == 1 for keys in zones.values())
            ids = {keys[0].id for keys in zones.values()}
            assert ids >= set(told)
            assert len(ids) % 10 == 0
            handles = custody.signing_keys(tx, state.vault, [keys[0] for keys in zones.values()])
            assert set(handles) == ids
    assert told


@pytest.fixture
def add_key() -> Callable[[State, bytes], None]:
    """Store a key with any octets for its private part."""
    from keys import custody, introduction, store
    from keys.policy import DEFAULT
    from keys.rollover import Creation

    def add(state: State, secret: bytes) -> None:
        with state.transaction() as tx:
            key, _ = introduction.new_key(custody.PlainVault(), (ORIGIN, ""), Creation(DEFAULT.keys[0], None, 0, ""), 5)
            store.insert(tx, key, state.vault.seal(key.id, secret))

    return add
