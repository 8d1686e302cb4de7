"""What there is to know about zones, keys and sources, as plain data: of a running server, and of a state at rest.

The commands `zone …` and `key …` are asked the same way of both; a server also carries out those that change
something. The data are JSON's; sentences are the command line's.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from authserver import ceremonies, multisigner, rolling, stores
from authserver.control import Command, ControlError
from authserver.handed import Handed
from authserver.listeners import shown
from authserver.parent import ParentStatus
from authserver.publication import Work, Zone, ZoneKey
from authserver.state import State
from authserver.telemetry import ZoneFacts
from engine import EngineError, SignedVersion, Version, name_to_text, rdata_to_text, rrtype_to_text
from keys import custody, introduction, keyfiles, providerstore, store
from keys.ds import ds_rdata
from keys.errors import KeysError
from keys.policy import DEFAULT
from keys.rollover import not_before
from keys.states import Goal, Key
from signer import plan as signing
from signer.denial import denials_of
from signer.ttls import served_ttls
from zones import history, journal

if TYPE_CHECKING:
    from authserver.secondaries import Secondary
    from authserver.server import Server

DS: Final = 43
DNSKEY: Final = 48
SEAL_WAIT_S: Final = 60.0

Facts = dict[str, Any]
Arguments = Mapping[str, Any]


# -------------------------------------------------------------------- of a running server


class LiveFacts:
    """Commands of a running server."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def commands(self) -> dict[str, Command]:
        """By the names the control socket knows."""
        return {
            "zone.list": self.zone_list,
            "zone.show": self.zone_show,
            "zone.dump": self.zone_dump,
            "zone.reload": self.zone_reload,
            "zone.freeze": self.zone_freeze,
            "zone.thaw": self.zone_thaw,
            "zone.notify": self.zone_notify,
            "zone.journal": self.zone_journal,
            "zone.refresh": self.zone_refresh,
            "zone.retransfer": self.zone_retransfer,
            "key.list": self.key_list,
            "key.ds": self.key_ds,
            "key.import": self.key_import,
            "status": self.status,
            **{name: self._rolling(name, rolling.carry_out) for name in (*rolling.LOOKS, *rolling.DEEDS)},
            **{name: self._rolling(name, multisigner.carry_out) for name in (*multisigner.LOOKS, *multisigner.DEEDS)},
            **{name: self._store_deed(name) for name in stores.DEEDS},
            **{name: self._ceremony(name) for name in ceremonies.DEEDS},
        }

    async def status(self, _: Arguments) -> Facts:
        """The server as a whole."""
        server = self._server
        return {
            "pid": os.getpid(),
            "ready": server.is_ready,
            "listening": [f"{address} {port}" for address, port in server.listeners.bound],
            "zones": len(server.pipeline.zones),
            "waiting_for_seal": server.pipeline.waiting_for_seal,
            "sources": [
                {
                    "source": one.name,
                    "looked_at": one.looked_at,
                    "commit": one.commit,
                    "zones": len(one.zones),
                    "problem": one.problem,
                    "findings": [str(found) for found in one.findings],
                }
                for one in server.followers
            ],
            "due": [{"name": due.name, "due_at": due.due_at} for due in server.schedule.due()[:100]],
            "tasks": server.schedule.tasks(),
        }

    async def zone_list(self, _: Arguments) -> list[Facts]:
        """All zones."""
        zones = sorted(self._server.pipeline.zones.items())
        return [{**zone_facts(zone), **self._server.secondaries.facts(zone)} for _, zone in zones]

    async def zone_show(self, arguments: Arguments) -> Facts:
        """One zone, with what is due for it and the versions it had."""
        zone = self._zone(arguments)
        due = {due.name: due.due_at for due in self._server.schedule.due()}
        facts = {**zone_facts(zone), **self._server.secondaries.facts(zone)}
        facts["refresh_at"] = due.get(f"refresh {zone.key}")
        facts["next_key_step_at"] = due.get(f"keys {zone.key}")
        facts["findings"] = [str(found) for found in zone.findings]
        facts["notified"] = [one.as_json() for one in self._server.notifier.facts() if one.zone == zone.key]
        facts["overlay"] = _overlay(zone)
        facts["history"] = await asyncio.to_thread(_history, self._server.state, zone.key)
        return facts

    async def zone_dump(self, arguments: Arguments) -> Facts:
        """The path of a file with the zone as a master file; whoever asked removes it."""
        zone = self._zone(arguments)
        if zone.live is None:
            raise ControlError(f"{zone.key}: no version is live")
        path = self._server.state.directory / f"dump.{secrets.token_hex(8)}"
        if arguments.get("signed"):
            signed = await self._sealed(zone)
            await asyncio.to_thread(lambda: _write(path, signed.to_text()))
        else:
            version = zone.live.signed.version
            await asyncio.to_thread(lambda: _write(path, version.to_text()))
        return {"path": str(path)}

    async def _sealed(self, zone: Zone) -> SignedVersion:
        """The live version once it is sealed; after a while the one sealed before, or the open one completed."""
        assert zone.live is not None
        for _ in range(int(SEAL_WAIT_S / 0.05)):
            if zone.sealed is not None and zone.live is zone.sealed:
                return zone.sealed.signed
            await asyncio.sleep(0.05)
        return zone.sealed.signed if zone.sealed is not None else zone.live.signed

    async def zone_reload(self, arguments: Arguments) -> list[Facts]:
        """Look at the sources of one zone, or of all, and say how it went."""
        server = self._server
        zones = [self._zone(arguments)] if arguments.get("zone") else None
        concerned = [
            one for one in server.followers if zones is None or any(zone in one.zones.values() for zone in zones)
        ]
        for one in concerned:
            one.forget(zones[0].key.origin if zones else None)
            await one.look()
        await server.pipeline.idle()
        return [zone_facts(zone) for zone in zones or server.pipeline.zones.values()]

    async def zone_freeze(self, arguments: Arguments) -> Facts:
        """Take nothing from the zone's source until it is thawed."""
        zone = self._zone(arguments)
        zone.is_frozen = True
        return zone_facts(zone)

    async def zone_thaw(self, arguments: Arguments) -> Facts:
        """Take what the source says again, and look at it now."""
        zone = self._zone(arguments)
        zone.is_frozen = False
        self._server.look_again(zone)
        return zone_facts(zone)

    async def zone_notify(self, arguments: Arguments) -> Facts:
        """Tell the zone's secondaries of its sealed version again."""
        zone = self._zone(arguments)
        if zone.sealed is None:
            raise ControlError(f"{zone.key}: no version is sealed yet")
        self._server.notifier.tell(zone, again=True)
        return zone_facts(zone)

    async def zone_journal(self, arguments: Arguments) -> Facts:
        """What the journal has of a zone, and what was handed out of it."""
        zone = self._zone(arguments)
        facts = await asyncio.to_thread(_journal, self._server.state, zone.key)
        return facts | handed_facts(self._server.outgoing.handed.get(zone.key))

    async def zone_refresh(self, arguments: Arguments) -> Facts:
        """Ask the primaries of a secondary zone now."""
        return await self._transferred(arguments, self._server.secondaries.look)

    async def zone_retransfer(self, arguments: Arguments) -> Facts:
        """Take a secondary zone whole now, whatever its serial is."""
        return await self._transferred(arguments, self._server.secondaries.take_whole)

    async def _transferred(self, arguments: Arguments, look: Callable[[Secondary], Awaitable[None]]) -> Facts:
        zone = self._zone(arguments)
        one = self._server.secondaries.of(zone)
        if one is None:
            raise ControlError(f"{zone.key}: not transferred from a primary")
        await look(one)
        return {**zone_facts(zone), **self._server.secondaries.facts(zone)}

    async def key_list(self, arguments: Arguments) -> list[Facts]:
        """The keys of one zone, or of all."""
        return await asyncio.to_thread(_keys, self._server.state, arguments)

    async def key_ds(self, arguments: Arguments) -> list[Facts]:
        """The DS records of a zone's keys."""
        now = self._server.clock.now()
        return await asyncio.to_thread(_ds, self._server.state, arguments, now)

    async def key_import(self, arguments: Arguments) -> list[Facts]:
        """Take over keys of BIND's files."""
        zone = self._zone(arguments)
        try:
            imported = [custody.import_bind(path) for path in arguments.get("files", ())]
            keys = await self._server.pipeline.adopt(zone, imported)
        except (KeysError, OSError) as error:
            raise ControlError(str(error)) from error
        self._server.look_again(zone)
        return [key_facts(key) for key in keys]

    def _rolling(self, name: str, carry_out: Callable[[str, State, Arguments, int], Any]) -> Command:
        async def run(arguments: Arguments) -> Any:
            server = self._server
            done = await asyncio.to_thread(carry_out, name, server.state, arguments, server.clock.now())
            key = rolling.named(arguments)
            if name in (*rolling.DEEDS, *multisigner.DEEDS):
                # A key that zones share is rolled in all of them.
                others = [_named(fact["zone"], fact["view"]) for fact in done] if name in rolling.DEEDS else []
                for one in dict.fromkeys([key, *others]):
                    if (zone := server.pipeline.zones.get(one)) is not None:
                        server.pipeline.submit([Work(zone)])
                        server.parents.look_soon(one)
                        server.providers.look_soon(one)
            elif name == "key.provider.show":
                server.providers.look_soon(key)  # whoever asks again is told what is so now
            elif name == "key.why" and key in server.pipeline.zones:
                done["parent"] = parent_facts(server.parents.status(key))
            return done

        return run

    def _store_deed(self, name: str) -> Command:
        async def run(arguments: Arguments) -> Any:
            server = self._server
            done = await asyncio.to_thread(stores.carry_out, name, server.state, arguments, server.clock.now())
            if name == "key.restore":
                keys = [_named(one["zone"], one["view"]) for one in done["restored"]]
                zones = [server.pipeline.zones[key] for key in keys if key in server.pipeline.zones]
                server.pipeline.submit(Work(zone, resign=True) for zone in zones)
            return done

        return run

    def _ceremony(self, name: str) -> Command:
        async def run(arguments: Arguments) -> Any:
            server = self._server
            done = await asyncio.to_thread(ceremonies.carry_out, name, server.state, arguments, server.clock.now())
            if name == "key.import-skr" and (zone := server.pipeline.zones.get(rolling.named(arguments))) is not None:
                server.pipeline.submit([Work(zone)])
                server.look_again(zone)
            return done

        return run

    def _zone(self, arguments: Arguments) -> Zone:
        key = _named(arguments.get("zone"), arguments.get("view"))
        zone = self._server.pipeline.zones.get(key)
        if zone is None:
            raise ControlError(f"{key}: no such zone")
        return zone


def zone_facts(zone: Zone) -> Facts:
    """One zone as it stands."""
    live = zone.live
    signed = live.signed if live is not None else None
    return {
        "zone": name_to_text(zone.key.origin),
        "view": zone.key.view,
        "status": "held" if zone.is_held else "live" if live is not None else "loading",
        "serving": live is not None,
        "serial": live.serial if live is not None else None,
        "source_serial": live.source_serial if live is not None else None,
        "records": signed.version.record_count if signed is not None else 0,
        "signed": signed.is_signed if signed is not None else False,
        "sealed": signed.is_sealed if signed is not None else False,
        "sealed_serial": zone.sealed.serial if zone.sealed is not None else None,
        "signatures": signed.slots if signed is not None else 0,
        "signatures_made": signed.slots_made if signed is not None else 0,
        "earliest_expiration": signed.earliest_expiration if signed is not None else None,
        "policy": _policy_name(zone),
        "frozen": zone.is_frozen,
        "update": _update(zone),
        "file": zone.file,
        "commit": live.provenance.commit if live is not None and live.provenance is not None else None,
        "source": live.provenance.source if live is not None and live.provenance is not None else None,
        "published_at": live.published_at if live is not None else None,
        "held": [str(found) for found in zone.findings if found.severity == "error"],
    }


def _update(zone: Zone) -> str | None:
    """Whether it takes updates: `zone` when it is all UPDATE's, `overlay` when some names are."""
    if zone.updating is None:
        return None
    return "overlay" if zone.updating.is_overlay else "zone"


def _overlay(zone: Zone) -> Facts | None:
    """The names that are UPDATE's, and the records it has there; those that the source hides are marked."""
    if zone.updating is None or not zone.updating.is_overlay:
        return None
    laid = zone.laid
    records = laid.records if laid is not None and laid.updating.is_overlay else ()
    return {
        "names": [pattern.text for pattern in zone.updating.patterns],
        "records": [
            {
                "owner": name_to_text(one.owner),
                "ttl": one.ttl,
                "type": rrtype_to_text(one.rtype),
                "rdata": rdata_to_text(one.rtype, one.rdata),
                "hidden": laid is not None and laid.is_hidden(one.owner),
            }
            for one in records
        ],
    }


def parent_facts(status: ParentStatus | None) -> Facts | None:
    """What the last look at a parent gave."""
    if status is None:
        return None
    return {
        "parent": status.parent,
        "looked_at": status.looked_at,
        "servers": [shown(server) for server in status.servers],
        "validated": status.is_validated,
        "ds": [rdata_to_text(DS, rdata) for rdata in status.present],
        "foreign_ds": [rdata_to_text(DS, rdata) for rdata in status.foreign],
        "trouble": [f"{server}: {reason}" if server else reason for server, reason in status.trouble],
    }


def _policy_name(zone: Zone) -> str | None:
    """The policy that signs what serves, or is to sign what will."""
    live = zone.live.policy if zone.live is not None else None
    policy = live or zone.policy
    return policy.name if policy is not None else None


def metric_facts(zones: Iterable[Zone]) -> list[ZoneFacts]:
    """What metrics tell about zones."""
    return [_metric_facts(zone) for zone in list(zones)]


def _metric_facts(zone: Zone) -> ZoneFacts:
    live = zone.live
    return ZoneFacts(
        origin=zone.key.origin,
        serial=live.serial if live is not None else None,
        records=live.signed.version.record_count if live is not None else 0,
        is_signed=live is not None and live.signed.is_signed,
        is_sealed=live is not None and live.signed.is_sealed,
        is_held=zone.is_held,
        published_at=live.published_at if live is not None else None,
        earliest_expiration=live.signed.earliest_expiration if live is not None else None,
        view=zone.key.view,
        sealed_serial=zone.sealed.serial if zone.sealed is not None else None,
        journal_entries=zone.journal.entries,
        journal_octets=zone.journal.octets,
    )


def key_facts(key: Key, sharers: Mapping[bytes, int] = MappingProxyType({})) -> Facts:
    """One key; `sharers` says how many zones have it."""
    return {
        "zone": name_to_text(key.origin),
        "view": key.view,
        "id": key.id,
        "tag": key.tag,
        "algorithm": key.algorithm,
        "role": key.role,
        "goal": str(key.goal),
        "provenance": str(key.provenance),
        "states": {str(kind): {"state": str(now.state), "since": now.since} for kind, now in key.states.items()},
        "created_at": key.created_at,
        "active_at": key.active_at,
        "retire_at": key.retire_at,
        "predecessor": key.predecessor,
        "successor": key.successor,
        "shared_by": key.sharing.policy if key.sharing is not None else None,
        "sharing_zones": sharers.get(key.dnskey, 1),
        "seen_at_parent": key.sighting.is_present if key.sighting is not None else None,
        "seen_by": rolling.seen_by(key),
        "seen_since": key.sighting.since if key.sighting is not None else None,
        "dnskey": f"{name_to_text(key.origin)} {DEFAULT.dnskey_ttl} IN DNSKEY {rdata_to_text(DNSKEY, key.dnskey)}",
    }


# -------------------------------------------------------------------- of a state at rest


class StoredFacts:
    """The same commands for a state that no server has."""

    def __init__(self, state: State, now: int) -> None:
        self._state = state
        self._now = now

    def answer(self, command: str, arguments: Arguments) -> Any:
        """The facts. Raises ControlError."""
        answers: dict[str, Callable[[Arguments], Any]] = {
            "zone.list": self.zone_list,
            "zone.show": self.zone_show,
            "zone.dump": self.zone_dump,
            "zone.journal": lambda given: _journal(self._state, _named(given.get("zone"), given.get("view"))),
            "key.list": lambda given: _keys(self._state, given),
            "key.ds": lambda given: _ds(self._state, given, self._now),
        }
        if command in rolling.LOOKS:
            return rolling.carry_out(command, self._state, arguments, self._now)
        if command in multisigner.LOOKS:
            return multisigner.carry_out(command, self._state, arguments, self._now)
        if command not in answers:
            raise ControlError(f"no server runs on {self._state.directory}, and this needs one")
        return answers[command](arguments)

    def zone_list(self, _: Arguments) -> list[Facts]:
        """All zones that are configured, as far as the state knows."""
        with self._state.reader() as tx:
            known = [zone for zone in history.zones(tx) if zone.removed_at is None]
            lasts = [
                (ZoneKey(zone.origin, zone.view), history.last_published(tx, zone.origin, zone.view)) for zone in known
            ]
        return [_stored_facts(key, last) for key, last in lasts]

    def zone_show(self, arguments: Arguments) -> Facts:
        """One zone, with the versions it had."""
        key = _named(arguments.get("zone"), arguments.get("view"))
        with self._state.reader() as tx:
            last = history.last_published(tx, *key)
        if last is None:
            raise ControlError(f"{key}: nothing was published")
        return {**_stored_facts(key, last), "history": _history(self._state, key)}

    def zone_dump(self, arguments: Arguments) -> Facts:
        """The text of the zone as it was published last, out of its image."""
        key = _named(arguments.get("zone"), arguments.get("view"))
        with self._state.reader() as tx:
            images = {i.kind: i for i in history.last_images(tx) if (i.origin, i.view) == key}
            keys = keyfiles.in_force(tx, key)
        handles = {one.id: custody.public_handle(one) for one in keys}
        if "content" not in images:
            raise ControlError(f"{key}: no image of a published version")
        try:
            version = Version.from_image(self._state.read_pack(images["content"]))
            if not arguments.get("signed") or not keys:
                return {"text": version.to_text().decode()}
            if "signatures" not in images:
                raise ControlError(f"{key}: serial {version.serial} was not sealed; start the server to seal it")
            signatures = self._state.read_pack(images["signatures"])
            for denial in denials_of(version):
                # As of long ago, so that signatures soon due for renewal are there, too.
                as_published = replace(DEFAULT, denial=denial)
                plan = signing.signing_plan(keys, handles, as_published, self._now - DEFAULT.validity)
                signed = SignedVersion(version, plan)
                if signed.restore(signatures) == signed.slots:
                    return {"text": signed.to_text().decode()}
            raise ControlError(f"{key}: serial {version.serial}: its signatures are not those of its keys")
        except (EngineError, KeysError) as error:
            raise ControlError(f"{key}: {error}") from error


def _stored_facts(key: ZoneKey, last: history.Published | None) -> Facts:
    provenance = last.provenance if last is not None else None
    return {
        "zone": name_to_text(key.origin),
        "view": key.view,
        "status": "stored" if last is not None else "seen",
        "serving": False,
        "serial": last.serial if last is not None else None,
        "source_serial": last.source_serial if last is not None else None,
        "sealed": last is not None and last.sealed_at is not None,
        "published_at": last.published_at if last is not None else None,
        "file": provenance.file if provenance is not None else "",
        "commit": provenance.commit if provenance is not None else None,
        "source": provenance.source if provenance is not None else None,
        "held": [],
    }


# -------------------------------------------------------------------- of both


def _named(zone: object, view: object) -> ZoneKey:
    return rolling.named({"zone": zone, "view": view})


def _history(state: State, key: ZoneKey) -> list[Facts]:
    with state.reader() as tx:
        return [
            {
                "serial": one.serial,
                "source_serial": one.source_serial,
                "published_at": one.published_at,
                "sealed_at": one.sealed_at,
                "commit": one.provenance.commit if one.provenance is not None else None,
            }
            for one in history.published(tx, *key, limit=20)
        ]


def _journal(state: State, key: ZoneKey) -> Facts:
    """Raises ControlError."""
    with state.reader() as tx:
        last = history.last_sealed(tx, *key)
        entries = journal.entries(tx, *key)
    if last is None:
        raise ControlError(f"{key}: no version of it was ever sealed")
    return {
        "zone": name_to_text(key.origin),
        "view": key.view,
        "serial": last.serial,
        "octets": sum(entry.length for entry in entries),
        "entries": [
            {
                "from": entry.before,
                "to": entry.after,
                "sealed_at": entry.sealed_at,
                "deleted": entry.deleted_records,
                "added": entry.added_records,
                "octets": entry.length,
            }
            for entry in entries
        ],
    }


def handed_facts(handed: Handed | None) -> Facts:
    """What secondaries were given of a zone since the server began."""
    if handed is None:
        return {"handed_out": {}, "secondaries": []}
    peers = [{"address": address, **asdict(given)} for address, given in reversed(handed.peers.items())]
    return {"handed_out": {kind: asdict(count) for kind, count in handed.counts.items()}, "secondaries": peers}


def _keys(state: State, arguments: Arguments) -> list[Facts]:
    with state.reader() as tx:
        if arguments.get("zone"):
            found: Sequence[Key] = keyfiles.in_force(tx, _named(arguments["zone"], arguments.get("view")))
        else:
            found = keyfiles.all_in_force(tx)
        sharers = store.sharers(tx)
    return [key_facts(key, sharers) for key in found]


def _ds(state: State, arguments: Arguments, now: int) -> list[Facts]:
    named = _named(arguments.get("zone"), arguments.get("view"))
    with state.reader() as tx:
        keys = keyfiles.in_force(tx, named)
        policy = store.policy_of(tx, *named)
        moment = not_before(keys, policy, served_ttls(tx, *named, keys, now), providerstore.load(tx, named))
    anchors = [key for key in keys if key.is_ksk and key.goal is Goal.PRESENT]
    if not anchors:
        raise ControlError(f"{named}: no key; it was never served with dnssec")
    name = name_to_text(named.origin)
    return [
        {
            "zone": name,
            "tag": key.tag,
            "ds": f"{name} {policy.parent_ds_ttl} IN DS {rdata_to_text(DS, ds_rdata(key, digest))}",
            "not_before": moment,
            "is_due": moment is not None and moment <= now,
        }
        for key in anchors
        for digest in policy.digests
    ]


def import_offline(state: State, arguments: Arguments, now: int) -> list[Facts]:
    """Take over keys of BIND's files while no server runs. Raises ControlError."""
    key = _named(arguments.get("zone"), arguments.get("view"))
    try:
        imported = [custody.import_bind(path) for path in arguments.get("files", ())]
        with state.transaction(now) as tx:
            history.see(tx, *key, now)
            return [key_facts(one) for one in introduction.adopt(tx, state.vault, key, imported, now)]
    except (KeysError, OSError) as error:
        raise ControlError(str(error)) from error


def _write(path: Path, text: bytes) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123 (a descriptor)
        file.write(text)
