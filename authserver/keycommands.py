"""The commands of `zonewright key` that are about the stores of keys: what they take, print and leave in files."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from authserver.cli import (
    FAILED,
    GOOD,
    add_zone_argument,
    ask,
    duration,
    facts_command,
    failed,
    finish,
    passphrase_of,
    print_json,
    time_text,
    usage,
)
from authserver.control import ControlError

Options = argparse.Namespace


def _with_secret(options: Options, command: str, arguments: Mapping[str, Any]) -> Any:
    """As `ask`, with the passphrase of a file. Raises ControlError."""
    try:
        passphrase = passphrase_of(options.passphrase_file) or b""
    except OSError as error:
        raise ControlError(f"{options.passphrase_file}: {error.strerror or error}") from error
    return ask(options, command, {**arguments, "passphrase": b64encode(passphrase).decode()})


def _write_private(path: Path, octets: bytes) -> None:
    """Write a file that nobody else may read and that is not there yet. Raises ControlError."""
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123 (a descriptor)
            file.write(octets)
            file.flush()
            os.fsync(descriptor)
    except OSError as error:
        raise ControlError(f"{path}: {error.strerror or error}") from error


def _reporting(command: Callable[[Options], int]) -> Callable[[Options], int]:
    """A command whose ControlError is said, line by line."""

    def run(options: Options) -> int:
        try:
            return command(options)
        except ControlError as error:
            return failed(str(error))

    return run


def _export(options: Options) -> int:
    arguments = {"zone": options.zone, "view": options.view, "tag": options.tag, "trash": options.trash}
    files = ask(options, "key.export", arguments)
    written = []
    for one in files:
        for suffix in ("key", "private"):
            path = options.directory / f"{one['stem']}.{suffix}"
            _write_private(path, one[suffix].encode())
            written.append(str(path))
    if options.json:
        print_json(written)
    else:
        print(*written, sep="\n")
    return GOOD


def _purge(options: Options) -> int:
    if (options.zone is None) != options.all:
        return usage("key purge ZONE wipes what is in the trash of a zone, key purge --all the whole trash")
    done = ask(options, "key.purge", {"zone": options.zone, "view": options.view})
    if options.json:
        print_json(done)
    else:
        _show_trash(done["wiped"])
        for one in done["kept"]:
            print(f"zonewright: {one['zone']} key {one['tag']} is kept: {one['problem']}", file=sys.stderr)
    return FAILED if done["kept"] else GOOD


def _change_passphrase(options: Options) -> int:
    done = _with_secret(options, "key.passphrase", {})
    if options.json:
        print_json(done)
    else:
        print(f"{done['keys']} keys are sealed anew; the next start needs this passphrase")
    return GOOD


def _backup(options: Options) -> int:
    if options.verify:
        return _verify_backup(options)
    done = _with_secret(options, "key.backup", {"zone": options.zone})
    _write_private(options.file, b64decode(done.pop("backup")))
    if options.json:
        print_json(done)
    else:
        print(f"{options.file}: {done['zones']} zones, {done['keys']} keys")
    return GOOD


def _verify_backup(options: Options) -> int:
    from authserver.state import default_directory

    if (options.state or default_directory(os.geteuid())).exists():
        done = _with_laid_down(options, "key.verify-backup", {"zone": options.zone})
    else:
        done = _verify_alone(options)
    if options.json:
        print_json(done)
    else:
        made = time_text(done["made_at"])
        print(f"{options.file}: made {made}, {done['zones']} zones, {done['keys']} keys, all whole")
        print(*done["differences"], sep="\n", end="\n" if done["differences"] else "")
    return GOOD


def _verify_alone(options: Options) -> Any:
    """What a backup holds, where there is no state to compare it with. Raises ControlError."""
    from authserver import backup
    from keys.errors import KeysError

    try:
        taken = backup.from_octets(options.file.read_bytes(), passphrase_of(options.passphrase_file) or b"")
        keys = backup.prove(taken)
    except (KeysError, OSError) as error:
        raise ControlError(str(error)) from error
    return {"made_at": taken.made_at, "zones": len(taken.zones), "keys": keys, "differences": []}


def _restore(options: Options) -> int:
    done = _with_laid_down(options, "key.restore", {"zone": options.zone, "force": options.force})
    if options.json:
        print_json(done)
        return GOOD
    print(*done["differences"], sep="\n", end="\n" if done["differences"] else "")
    for one in done["restored"]:
        print(f"{one['zone']}: restored as of {time_text(done['made_at'])}")
    print(f"{len(done['restored'])} zones restored, {done['same']} were the same")
    return GOOD


def _with_laid_down(options: Options, command: str, arguments: Mapping[str, Any]) -> Any:
    """Ask about the file of a backup, which whoever answers finds in the state directory. Raises ControlError."""
    from authserver.state import default_directory
    from authserver.stores import lay_down

    state = options.state or default_directory(os.geteuid())
    try:
        octets = options.file.read_bytes()
        if not state.exists():
            state.mkdir(mode=0o700, parents=True)
        path = lay_down(state, octets, secrets.token_hex(8))
    except OSError as error:
        raise ControlError(f"{error.filename or options.file}: {error.strerror or error}") from error
    try:
        return _with_secret(options, command, {**arguments, "file": path.name})
    finally:
        path.unlink(missing_ok=True)


def _ksr(options: Options) -> int:
    arguments = {"from_seconds": options.from_seconds, "seconds": options.seconds}
    done = ask(options, "key.ksr", {"zone": options.zone, "view": options.view, **arguments})
    return _show_ceremony(options, done, "a request")


def _sign_ksr(options: Options) -> int:
    from authserver.ceremonies import policy_text
    from keys.errors import PolicyFileError

    try:
        policy = policy_text(options.policies, options.policy)
    except PolicyFileError as error:
        raise ControlError(str(error)) from error
    arguments = {**_text_of(options.file), "view": options.view, "roll": options.roll, "retire": options.retire}
    done = ask(options, "key.sign-ksr", {**arguments, "policy": policy})
    for key in done["keys"]:
        made = ", made now" if key["made"] else ""
        until = f", until {time_text(key['until'])}" if key["until"] else ""
        print(f"zonewright: signed by KSK {key['tag']}{made}{until}", file=sys.stderr)
    return _show_ceremony(options, done, "a response")


def _import_skr(options: Options) -> int:
    arguments = {"zone": options.zone, "view": options.view, **_text_of(options.file)}
    done = ask(options, "key.import-skr", arguments)
    if options.json:
        print_json(done)
    else:
        print(f"{_said(done)}: taken")
    return GOOD


def _text_of(file: Path) -> dict[str, str]:
    """A file's text and name, as arguments. Raises ControlError."""
    try:
        return {"name": str(file), "text": file.read_text()}
    except (OSError, ValueError) as error:
        raise ControlError(f"{file}: {getattr(error, 'strerror', None) or error}") from error


def _show_ceremony(options: Options, done: dict[str, Any], what: str) -> int:
    """Write the text of a request or response, where the options say."""
    text = done.pop("text")
    if options.out is None and options.json:
        print_json({**done, "text": text})
        return GOOD
    if options.out is None:
        sys.stdout.write(text)
    else:
        _write_private(options.out, text.encode())
    print(f"zonewright: {what} of {_said(done)}", file=sys.stderr)
    return GOOD


def _said(done: Mapping[str, Any]) -> str:
    return f"{done['zone']} {done['sections']} sections, {time_text(done['since'])} to {time_text(done['until'])}"


def _add_ceremonies(inner: Any) -> None:
    """The commands of an offline KSK."""
    ask_for = inner.add_parser("ksr", help="ask an offline KSK for signatures ahead: write a Key Signing Request")
    add_zone_argument(ask_for)
    ask_for.add_argument("--from", type=duration, dest="from_seconds", metavar="DURATION", help="from when on (now)")
    ask_for.add_argument("--until", type=duration, dest="seconds", metavar="DURATION", help="how far ahead (90d)")
    sign = inner.add_parser("sign-ksr", help="sign a request, where the KSK is: write a Signed Key Response")
    sign.add_argument("file", type=Path, metavar="FILE")
    sign.add_argument("--view", default="", help="the name of the zone's view, if it is in one")
    sign.add_argument("--policies", type=Path, help="a file of policies")
    sign.add_argument("--policy", metavar="NAME", help="the zone's policy (the one of the last time)")
    sign.add_argument("--roll", action="store_true", help="begin a roll: sign with a new KSK, too")
    sign.add_argument("--retire", type=int, metavar="TAG", help="the parent has the DS of this KSK no more: it leaves")
    take = inner.add_parser("import-skr", help="check a Signed Key Response, and serve what it has when it is due")
    add_zone_argument(take)
    take.add_argument("file", type=Path, metavar="FILE")
    for one in (ask_for, sign):
        one.add_argument("--out", type=Path, metavar="FILE", help="write it there, not to standard output")
    for one, run in ((ask_for, _ksr), (sign, _sign_ksr), (take, _import_skr)):
        finish(one, _reporting(run))


def _show_trash(keys: Sequence[Mapping[str, Any]]) -> None:
    for key in keys:
        moment = f"deleted {time_text(key['deleted_at'])}, wiped from {time_text(key['wiped_at'])}"
        print(f"{key['zone']}\t{key['tag']}\talgorithm {key['algorithm']}\t{moment}\t{key['reason']}")


def add(inner: Any) -> None:
    """Add the commands to those of `key`."""
    export = inner.add_parser("export", help="write BIND's K*.key and K*.private files of a zone's keys")
    add_zone_argument(export)
    export.add_argument("--directory", type=Path, default=Path(), help="where to (the current directory)")
    export.add_argument("--tag", type=int, help="only the key of this tag")
    export.add_argument("--trash", action="store_true", help="of deleted keys, while they are in the trash")
    finish(export, _reporting(_export))
    trash = inner.add_parser("trash", help="deleted keys that are not wiped yet")
    add_zone_argument(trash, optional=True)
    finish(trash, facts_command("key.trash", _show_trash))
    purge = inner.add_parser("purge", help="wipe deleted keys now, for good")
    add_zone_argument(purge, optional=True)
    purge.add_argument("--all", action="store_true", help="those of all zones")
    finish(purge, _reporting(_purge))
    passphrase = inner.add_parser("passphrase", help="seal the private keys under another passphrase")
    passphrase.add_argument("passphrase_file", type=Path, metavar="FILE", help="has the new passphrase")
    finish(passphrase, _reporting(_change_passphrase))
    _add_ceremonies(inner)
    backup = inner.add_parser("backup", help="write all keys and what their timing rests on into an encrypted file")
    backup.add_argument("--verify", action="store_true", help="read such a file, and say what it holds")
    restore = inner.add_parser("restore", help="take keys and states out of a backup")
    restore.add_argument("--force", action="store_true", help="also where more is known here than the backup says")
    for one, run in ((backup, _backup), (restore, _restore)):
        one.add_argument("file", type=Path, metavar="FILE")
        one.add_argument("--passphrase-file", type=Path, required=True, help="has the passphrase of the backup")
        one.add_argument("--zone", help="only this zone")
        finish(one, _reporting(run))
