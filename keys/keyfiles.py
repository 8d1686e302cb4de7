"""Keys that stay in the operator's files: read, never copied, never rolled; and which of them sign a zone now.

The state remembers the public part and the place of each file key that signs a zone. So a change of the files, or of
who keeps the keys, is made only where no validator can lose its chain by it: between keys of the state and keys of
files when the parent can't have a DS of the ones that go, or the ones that come include them; from files to other
files when some key stays in both. Otherwise the keys in force go on signing, and the `notice` says why.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

from engine import SignatureError, SigningKey, key_tag, name_to_text
from keys import store
from keys.errors import KeyImportError, KeySetError
from keys.filekey import FileKey
from keys.private import import_bind
from keys.states import Goal, Key, Provenance, RecordKind, RecordState, Standing, key_id, kinds_of

SCHEMA: Final[tuple[str, ...]] = (
    """CREATE TABLE key_files (
        origin BLOB NOT NULL,
        view TEXT NOT NULL,
        dnskey BLOB NOT NULL,
        file TEXT NOT NULL,
        since INTEGER NOT NULL,
        PRIMARY KEY (origin, view, dnskey)
    ) STRICT, WITHOUT ROWID""",
)

Zone = tuple[bytes, str]
"""Origin and view."""

_SEP: Final = 0x0001


class Noted(NamedTuple):
    """What the state remembers of a file key that signs a zone."""

    dnskey: bytes
    file: str
    since: int


class Roles(NamedTuple):
    """What a key signs."""

    is_ksk: bool
    is_zsk: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """Who signs a zone: these file keys, or those of the state when there are none.

    `is_change` is whether others did before, which `take` is to note with the version that they sign; `notice` says
    what was configured and not done.
    """

    noted: tuple[Noted, ...] = ()
    keys: tuple[Key, ...] = ()
    handles: Mapping[str, SigningKey] = field(default_factory=dict, repr=False)
    is_change: bool = False
    notice: str = ""


# ------------------------------------------------------------------ reading


def read(path: Path | str) -> FileKey:
    """The key in BIND's files, whichever of the two or their stem is named. Raises KeyImportError."""
    one = import_bind(path)
    try:
        handle = SigningKey(one.pkcs8, one.dnskey)
    except SignatureError as error:
        raise KeyImportError(one.file, str(error)) from error
    return FileKey(one.owner, one.dnskey, one.tag, one.file, handle, one.warnings)


def for_zone(files: Iterable[FileKey], origin: bytes) -> tuple[FileKey, ...]:
    """Those that sign a zone: the keys of its own name, or else of the closest name above it. Raises KeySetError.

    A key pair is bound to no name but by the DNSKEY's owner, which here is always the zone.
    """
    by_owner: dict[bytes, dict[bytes, FileKey]] = {}
    for one in files:
        by_owner.setdefault(one.owner, {}).setdefault(one.dnskey, one)
    owner = origin.lower()
    while True:
        if owner in by_owner:
            return tuple(by_owner[owner].values())
        if owner in (b"", b"\0"):
            names = ", ".join(sorted(map(name_to_text, by_owner)))
            raise KeySetError(name_to_text(origin), f"no key file is of it or of a zone above; they are of {names}")
        owner = owner[owner[0] + 1 :]


def roles(dnskeys: Iterable[bytes]) -> dict[bytes, Roles]:
    """Who signs what: per algorithm the SEP flag parts key signing keys from the others; of one kind, all do both."""
    known = list(dnskeys)
    parted = {one[3] for one in known if _is_sep(one)} & {one[3] for one in known if not _is_sep(one)}
    return {
        one: Roles(_is_sep(one), not _is_sep(one)) if one[3] in parted else Roles(is_ksk=True, is_zsk=True)
        for one in known
    }


def _is_sep(dnskey: bytes) -> bool:
    return bool(int.from_bytes(dnskey[:2], "big") & _SEP)


# ------------------------------------------------------------------ choosing


def choose(
    tx: store.Transaction, zone: Zone, files: Sequence[FileKey], stored: Sequence[Key], now: int, *, is_wanted: bool
) -> Choice:
    """Who signs the zone from now on, with `files` configured (none: keys of the state).

    `is_wanted` is whether the zone is to be signed at all. Raises KeySetError when no file is the zone's, or when the
    files that have to go on signing can't be read any more.
    """
    wanted = for_zone(files, zone[0]) if files else ()
    noted = load(tx, zone)
    reason = _obstacle(wanted, noted, stored, is_wanted=is_wanted)
    if reason:
        return _choice(zone, noted, _reread(zone, noted, files), is_change=False, notice=reason)
    since = {one.dnskey: one.since for one in noted}
    coming = [Noted(one.dnskey, one.file, since.get(one.dnskey, now)) for one in wanted]
    return _choice(zone, coming, wanted, is_change={one.dnskey for one in coming} != set(since))


def _choice(
    zone: Zone, noted: Sequence[Noted], files: Iterable[FileKey], *, is_change: bool, notice: str = ""
) -> Choice:
    keys = keys_of(zone, noted)
    handles = {one.dnskey: one.handle for one in files}
    return Choice(tuple(noted), tuple(keys), {key.id: handles[key.dnskey] for key in keys}, is_change, notice)


def _obstacle(wanted: Sequence[FileKey], noted: Sequence[Noted], stored: Sequence[Key], *, is_wanted: bool) -> str:
    """Why the wanted keys can't take over from those in force without breaking somebody's chain; empty: they can."""
    coming = roles(one.dnskey for one in wanted)
    if not noted:
        return _break_of_store(stored, coming) if wanted else ""
    if wanted:
        return _break_of_files(roles(one.dnskey for one in noted), coming)
    own = {key.dnskey for key in stored}
    missing = [one.file for one in noted if one.dnskey not in own or not is_wanted]
    return (
        f"the parent may have the DS of {', '.join(missing)}: it goes on signing; `zonewright key import` takes it "
        "over, and `policy insecure` of dnssec takes the signatures away after that"
        if missing
        else ""
    )


def _break_of_files(going: Mapping[bytes, Roles], coming: Mapping[bytes, Roles]) -> str:
    stays = [one for one in going if one in coming]
    if any(going[one].is_ksk and coming[one].is_ksk for one in stays) and any(
        going[one].is_zsk and coming[one].is_zsk for one in stays
    ):
        return ""
    return (
        "not one key that signs the keys and one that signs the zone stay in the files: caches would lose the chain; "
        "name old and new ones together first, and the new ones alone when caches and the parent's DS have changed"
    )


def _break_of_store(stored: Sequence[Key], coming: Mapping[bytes, Roles]) -> str:
    anchored = [key for key in stored if _may_have_ds(key)]
    lost = [key for key in anchored if not (key.dnskey in coming and coming[key.dnskey].is_ksk)]
    signing = [key for key in stored if key.is_zsk and key.goal is Goal.PRESENT and key.dnskey in coming]
    if not anchored or (not lost and any(coming[key.dnskey].is_zsk for key in signing)):
        return ""
    tags = ", ".join(str(key.tag) for key in lost or anchored)
    return (
        f"the parent may have the DS of key {tags} of the state, and the key files can't take its place: the keys of "
        "the state go on signing"
    )


def _may_have_ds(key: Key) -> bool:
    return key.is_ksk and key.state(RecordKind.DS) is not RecordState.HIDDEN


def _reread(zone: Zone, noted: Sequence[Noted], files: Iterable[FileKey]) -> list[FileKey]:
    at_hand = {one.dnskey: one for one in files}
    found = []
    for one in noted:
        try:
            key = at_hand.get(one.dnskey) or read(one.file)
        except KeyImportError as error:
            raise KeySetError(name_to_text(zone[0]), f"it is signed with a key file that is gone: {error}") from error
        if key.dnskey != one.dnskey:
            raise KeySetError(name_to_text(zone[0]), f"{one.file} is another key than the one it is signed with")
        found.append(key)
    return found


# ------------------------------------------------------------------ what the state remembers


def load(tx: store.Transaction, zone: Zone) -> list[Noted]:
    """The file keys that sign a zone; none when those of the state do."""
    sql = "SELECT dnskey, file, since FROM key_files WHERE origin = ? AND view = ? ORDER BY dnskey"
    rows = tx.execute(sql, (zone[0].lower(), zone[1]))
    return [Noted(bytes(dnskey), str(file), int(since)) for dnskey, file, since in rows]


def in_force(tx: store.Transaction, zone: Zone) -> list[Key]:
    """The keys that sign a zone as the state knows it: those in files, or else its own."""
    noted = load(tx, zone)
    return keys_of(zone, noted) if noted else store.load(tx, *zone)


def all_in_force(tx: store.Transaction) -> list[Key]:
    """The same for all zones."""
    zones = [(bytes(origin), str(view)) for origin, view in tx.execute("SELECT DISTINCT origin, view FROM key_files")]
    files = {zone: keys_of(zone, load(tx, zone)) for zone in zones}
    return [key for keys in {**store.load_all(tx), **files}.values() for key in keys]


def take(tx: store.Transaction, zone: Zone, choice: Choice, stored: Iterable[Key], now: int) -> None:
    """Note that these keys sign; keys made here, on which then nobody relies, are gone: they would be out of date."""
    forget(tx, zone)
    for one in choice.noted:
        row = (zone[0].lower(), zone[1], one.dnskey, one.file, one.since)
        tx.execute("INSERT INTO key_files (origin, view, dnskey, file, since) VALUES (?, ?, ?, ?, ?)", row)
    for key in stored:
        if choice.noted and key.provenance is Provenance.GENERATED:
            store.delete(tx, key, "gave way to key files, the parent having no DS of it", now)


def forget(tx: store.Transaction, zone: Zone) -> None:
    """Nothing is remembered of a zone's file keys."""
    tx.execute("DELETE FROM key_files WHERE origin = ? AND view = ?", (zone[0].lower(), zone[1]))


def keys_of(zone: Zone, noted: Sequence[Noted]) -> list[Key]:
    """File keys as keys of a zone: published since they were noted, asking the parent for nothing.

    They stand in one order however they were named: stored signatures are found by it.
    """
    signs = roles(one.dnskey for one in noted)
    return [_key((zone[0].lower(), zone[1]), one, signs[one.dnskey]) for one in sorted(noted)]


def usable(zone: Zone, noted: Sequence[Noted], files: Iterable[FileKey]) -> tuple[list[Key], dict[str, SigningKey]]:
    """A zone's file keys and the handles of those that can be read: at a start, what can be served has to be."""
    at_hand = {one.dnskey: one for one in files}
    handles = {}
    for one in noted:
        try:
            found = at_hand.get(one.dnskey) or read(one.file)
        except KeyImportError:
            continue
        if found.dnskey == one.dnskey:
            handles[key_id(*zone, one.dnskey)] = found.handle
    return keys_of(zone, noted), handles


def _key(zone: Zone, one: Noted, signs: Roles) -> Key:
    kinds = kinds_of(is_ksk=signs.is_ksk, is_zsk=signs.is_zsk)
    states: dict[RecordKind, Standing] = dict.fromkeys(kinds, Standing(RecordState.RUMOURED, one.since, one.since))
    if signs.is_ksk:
        states[RecordKind.DS] = Standing(RecordState.HIDDEN, one.since)
    return Key(
        id=key_id(*zone, one.dnskey),
        origin=zone[0],
        view=zone[1],
        algorithm=one.dnskey[3],
        is_ksk=signs.is_ksk,
        is_zsk=signs.is_zsk,
        dnskey=one.dnskey,
        tag=key_tag(one.dnskey),
        goal=Goal.PRESENT,
        states=MappingProxyType(states),
        created_at=one.since,
        active_at=one.since,
        provenance=Provenance.FILE,
    )
