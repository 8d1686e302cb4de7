"""What people do with the stores of keys: export, look into the trash, purge, change the passphrase, back up, restore.

The same for a running server, which is asked by its control socket, and for a state that nobody has. Private parts go
over that socket, in the state directory that nobody else may enter, and into files of whoever asked; never into a log.
"""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from authserver import backup
from authserver.control import ControlError
from authserver.errors import StateError
from authserver.rolling import named
from authserver.state import State
from engine import name_to_text
from keys import custody, store, trash
from keys.errors import KeysError

Facts = dict[str, Any]
Arguments = Mapping[str, Any]
Deed = Callable[[State, Arguments, int], Any]

RESTORING: Final = "restore."
"""What the file begins with that the command line lays down in the state directory for a server to restore."""


def carry_out(command: str, state: State, arguments: Arguments, now: int) -> Any:
    """The facts of one of `DEEDS`. Raises ControlError."""
    try:
        return DEEDS[command](state, arguments, now)
    except (KeysError, StateError, OSError, ValueError) as error:
        raise ControlError(str(error)) from error


def export(state: State, arguments: Arguments, now: int) -> list[Facts]:
    """The files of a zone's keys, or of those in the trash, as BIND has them."""
    del now
    zone, view = named(arguments)
    with state.reader() as tx:
        if arguments.get("trash"):
            found = [(one.key_id, one.dnskey, one.tag, one.octets) for one in store.trash(tx, zone)]
        else:
            keys = store.load(tx, zone, view)
            found = [(key.id, key.dnskey, key.tag, store.pkcs8(tx, key.id)) for key in keys]
        files = [
            (tag, custody.export_bind(state.vault, key_id, zone, dnskey, sealed, store.timing(tx, key_id)))
            for key_id, dnskey, tag, sealed in found
            if arguments.get("tag") in (None, tag)
        ]
    if not files:
        raise ControlError(f"{name_to_text(zone)}: no such key")
    return [{"tag": tag, "stem": one.stem, "key": one.public, "private": one.private} for tag, one in files]


def show_trash(state: State, arguments: Arguments, now: int) -> list[Facts]:
    """What is in the trash, of one zone or of all."""
    del now
    with state.reader() as tx:
        return [_trash_facts(one) for one in store.trash(tx, _origin(arguments))]


def purge(state: State, arguments: Arguments, now: int) -> Facts:
    """Wipe what is in the trash, of one zone or of all, whatever its time of grace."""
    with state.transaction(now) as tx:
        done = trash.wipe(tx, state.vault, store.trash(tx, _origin(arguments)), now)
    state.wipe_log()
    kept = [{**_trash_facts(one), "problem": reason} for one, reason in done.kept]
    return {"wiped": [_trash_facts(one) for one in done.keys], "kept": kept}


def change_passphrase(state: State, arguments: Arguments, now: int) -> Facts:
    """Seal all private parts under another passphrase; the next start needs it."""
    with state.transaction(now) as tx:
        vault = custody.change_passphrase(tx, state.vault, b64decode(arguments["passphrase"]))
        count = len(store.all_pkcs8(tx))
    state.vault = vault
    state.wipe_log()
    return {"keys": count}


def make_backup(state: State, arguments: Arguments, now: int) -> Facts:
    """An encrypted backup, as text."""
    with state.reader() as tx:
        taken = backup.take(tx, state.vault, now, _origin(arguments))
    if not taken.zones:
        raise ControlError("no such zone" if arguments.get("zone") else "no zone was ever served: nothing to back up")
    count = backup.prove(taken)
    octets = backup.to_octets(taken, b64decode(arguments["passphrase"]))
    return {"zones": len(taken.zones), "keys": count, "backup": b64encode(octets).decode()}


def verify_backup(state: State, arguments: Arguments, now: int) -> Facts:
    """What a backup holds, and what would be lost by restoring it now: nothing is changed."""
    del now
    taken, zones = _given(state, arguments)
    with state.reader() as tx:
        differences = [line for zone in zones for line in backup.behind(zone, backup.present(tx, state.vault, zone))]
    keys = backup.prove(taken)
    return {"made_at": taken.made_at, "zones": len(taken.zones), "keys": keys, "differences": differences}


def restore(state: State, arguments: Arguments, now: int) -> Facts:
    """Put a backup, or one zone of it, in the place of what is there."""
    taken, zones = _given(state, arguments)
    backup.prove(taken)
    with state.transaction(now) as tx:
        done = backup.restore(tx, state.vault, taken, zones, now, force=bool(arguments.get("force")))
    state.wipe_log()
    restored = [{"zone": name_to_text(origin), "view": view} for origin, view in done.zones]
    return {"made_at": taken.made_at, "restored": restored, "same": done.same, "differences": list(done.differences)}


DEEDS: Final[Mapping[str, Deed]] = {
    "key.export": export,
    "key.trash": show_trash,
    "key.purge": purge,
    "key.passphrase": change_passphrase,
    "key.backup": make_backup,
    "key.verify-backup": verify_backup,
    "key.restore": restore,
}
"""By the names the control socket knows."""


def lay_down(directory: Path, octets: bytes, name: str) -> Path:
    """A file for the server that owns the state directory, which may be another user than whoever asks it."""
    path = directory / f"{RESTORING}{name}"
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123 (a descriptor)
        if os.geteuid() == 0:
            owner = directory.stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        file.write(octets)
    return path


def _given(state: State, arguments: Arguments) -> tuple[backup.Backup, list[backup.ZoneBackup]]:
    """The backup that was laid down, and the zones of it that are meant."""
    name = str(arguments["file"])
    if not name.startswith(RESTORING) or "/" in name:
        raise ControlError("a backup is laid down in the state directory")
    taken = backup.from_octets((state.directory / name).read_bytes(), b64decode(arguments["passphrase"]))
    origin = _origin(arguments)
    zones = [zone for zone in taken.zones if origin is None or zone.origin == origin]
    if not zones:
        raise ControlError("no such zone in the backup")
    return taken, zones


def _origin(arguments: Arguments) -> bytes | None:
    return named(arguments).origin if arguments.get("zone") else None


def _trash_facts(one: store.Trashed) -> Facts:
    return {
        "zone": name_to_text(one.origin),
        "view": one.view,
        "tag": one.tag,
        "algorithm": one.dnskey[3],
        "deleted_at": one.deleted_at,
        "wiped_at": one.deleted_at + trash.GRACE,
        "reason": one.reason,
    }
