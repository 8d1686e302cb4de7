"""A zone whose KSK is offline: its zone signing keys made ahead, and the responses that say which DNSKEYs there are.

Words: a *plan* is when zone signing keys made ahead come, sign and go; a *response* is what the offline KSK signed
ahead, in *sections* (`ksr`), each from one moment to the next. A section is *taken* when DNSKEY and KRRSIG of all keys
are moved to what it says. Only the newest one that has begun and is valid is taken, and only if no safety rule forbids
it; otherwise the one before it stays while its signatures are valid. All other moves are those of `rollover`.

**Limits:** a request has at most 1000 keys.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final, NamedTuple

from engine import key_tag, name_to_text
from keys import introduction, ksr, private, rules, store
from keys.errors import KeySetError
from keys.introduction import Zone
from keys.ksr import DNSKEY, Section
from keys.policy import KeySpec, Policy, Role
from keys.rollover import Creation, Move, ServedTTLs, Step, Wait
from keys.states import IN_ZONE, Goal, Key, Provenance, RecordKind, RecordState, hidden_states, key_id
from keys.timing import publish_interval, retire_interval

MOST_KEYS: Final = 1000
_SEP: Final = 0x0001
_DICTATED: Final = (RecordKind.DNSKEY, RecordKind.KRRSIG)


class Planned(NamedTuple):
    """A zone signing key made ahead: when its DNSKEY comes, when it signs, when the next one does (None: never)."""

    key_id: str
    dnskey: bytes
    publish_at: int
    active_at: int
    retire_at: int | None

    def is_published(self, at: int, retire: int) -> bool:
        """Whether its DNSKEY is there at a moment; `retire` is how long its signatures stay in caches."""
        return self.publish_at <= at and (self.retire_at is None or at < self.retire_at + retire)


# ------------------------------------------------------------------ asking


@dataclass(slots=True)
class _Planning:
    """Makes the zone signing keys that a request needs."""

    tx: store.Transaction
    vault: private.Vault
    zone: Zone
    policy: Policy
    ttls: ServedTTLs
    now: int
    plan: list[Planned] = field(default_factory=list)

    def extend(self, spec: KeySpec, keys: Sequence[Key], start: int, until: int) -> None:
        """The plan up to `until`, for keys of one kind."""
        own = [one for one in self.plan if one.dnskey[3] == spec.algorithm]
        last = own[-1] if own else self._first(spec, keys, start)
        lead = publish_interval(self.policy, self.ttls)
        while last.retire_at is not None and last.retire_at - lead < until:
            if len(self.plan) >= MOST_KEYS:
                raise KeySetError(name_to_text(self.zone[0]), f"the request would have more than {MOST_KEYS} keys")
            active_at = max(last.retire_at, start + lead)
            self._note(last._replace(retire_at=active_at))
            last = self._made(spec, active_at - lead, active_at)

    def _first(self, spec: KeySpec, keys: Sequence[Key], start: int) -> Planned:
        """The key that signs the zone already, or one that begins with the request."""
        current = [
            key for key in keys if key.role is Role.ZSK and key.algorithm == spec.algorithm and key.successor is None
        ]
        if not current:
            return self._made(spec, start, start)
        key = current[-1]
        since = key.active_at if key.active_at is not None else start
        one = Planned(key.id, key.dnskey, min(start, key.created_at), since, _end(spec, since))
        self._insert(one, None)
        return one

    def _made(self, spec: KeySpec, publish_at: int, active_at: int) -> Planned:
        known = [one.dnskey for one in self.plan] + [key.dnskey for key in store.load(self.tx, *self.zone)]
        taken = frozenset(tag for dnskey in known for tag in private.tags_of(dnskey))
        key, part = introduction.new_key(self.vault, self.zone, Creation(spec, None, 0, ""), self.now, taken)
        one = Planned(key.id, key.dnskey, publish_at, active_at, _end(spec, active_at))
        self._insert(one, self.vault.seal(key.id, part))
        return one

    def _insert(self, one: Planned, octets: bytes | None) -> None:
        self.tx.execute(
            "INSERT INTO key_planned (key_id, origin, view, dnskey, publish_at, active_at, retire_at, octets) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (one.key_id, self.zone[0].lower(), self.zone[1], *one[1:], octets),
        )
        self.plan.append(one)

    def _note(self, one: Planned) -> None:
        self.tx.execute("UPDATE key_planned SET retire_at = ? WHERE key_id = ?", (one.retire_at, one.key_id))
        self.plan = [one if old.key_id == one.key_id else old for old in self.plan]


def request(
    tx: store.Transaction,
    vault: private.Vault,
    zone: Zone,
    policy: Policy,
    ttls: ServedTTLs,
    span: tuple[int, int],
    now: int,
) -> list[Section]:
    """The sections of a request from one moment to another; keys that it needs are made and kept.

    The same span gives the same request. Raises KeySetError, StoreError.
    """
    start, until = span
    retire = retire_interval(policy, ttls)
    tx.execute(
        "DELETE FROM key_planned WHERE origin = ? AND view = ? AND octets IS NULL AND retire_at < ?",
        (zone[0].lower(), zone[1], now - retire - policy.purge_after),
    )
    planning = _Planning(tx, vault, zone, policy, ttls, now, plan_of(tx, zone))
    keys = store.load(tx, *zone)
    specs = [spec for spec in policy.keys if spec.role is Role.ZSK]
    for spec in specs:
        planning.extend(spec, keys, start, until)
    kinds = {spec.algorithm for spec in specs}
    plan = [one for one in planning.plan if one.dnskey[3] in kinds]
    changes = {at for one in plan for at in (one.publish_at, one.retire_at and one.retire_at + retire) if at}
    moments = sorted({start, until, *(at for at in changes if start < at < until)})
    return [
        Section(at, zone[0].lower(), {DNSKEY: (policy.dnskey_ttl, tuple(one.dnskey for one in found))})
        for at in moments
        if (found := sorted((one for one in plan if one.is_published(at, retire)), key=lambda one: one.dnskey))
    ]


def plan_of(tx: store.Transaction, zone: Zone) -> list[Planned]:
    """The zone signing keys made ahead, in the order in which they sign."""
    rows = tx.execute(
        "SELECT key_id, dnskey, publish_at, active_at, retire_at FROM key_planned WHERE origin = ? AND view = ? "
        "ORDER BY active_at, key_id",
        (zone[0].lower(), zone[1]),
    )
    return [Planned(row[0], bytes(row[1]), *row[2:]) for row in rows]


def _end(spec: KeySpec, active_at: int) -> int | None:
    return None if spec.lifetime is None else active_at + spec.lifetime


# ------------------------------------------------------------------ keeping what was signed


def zone_signers(tx: store.Transaction, vault: private.Vault, zone: Zone) -> list[bytes]:
    """DNSKEY rdatas of the zone signing keys that can sign here: those at work, and those made ahead."""
    at_work = [key for key in store.load(tx, *zone) if key.is_zsk]
    own = [key.dnskey for key in at_work if not private.is_offline(vault, key.id, store.pkcs8(tx, key.id))]
    rows = tx.execute(
        "SELECT dnskey FROM key_planned WHERE origin = ? AND view = ? AND octets IS NOT NULL",
        (zone[0].lower(), zone[1]),
    )
    return own + [bytes(dnskey) for (dnskey,) in rows]


def keep(tx: store.Transaction, zone: Zone, sections: Sequence[Section], now: int) -> None:
    """Keep a response; it takes the place of what was known from its begin on. What ran out is forgotten."""
    known = [one for one in responses(tx, zone) if one.since < sections[0].since and one.expiration > now]
    tx.execute("DELETE FROM key_response WHERE origin = ? AND view = ?", (zone[0].lower(), zone[1]))
    for one in (*known, *sections):
        text = ksr.write([one], ksr.RESPONSE, now)
        tx.execute(
            "INSERT INTO key_response (origin, view, since, text) VALUES (?, ?, ?, ?)",
            (zone[0].lower(), zone[1], one.since, text),
        )


def responses(tx: store.Transaction, zone: Zone) -> list[Section]:
    """All sections that are kept, oldest first."""
    sql = "SELECT text FROM key_response WHERE origin = ? AND view = ? ORDER BY since"
    rows = tx.execute(sql, (zone[0].lower(), zone[1])).fetchall()
    return [_kept(str(text)) for (text,) in rows]


@lru_cache(maxsize=1 << 12)
def _kept(text: str) -> Section:
    """A section as it is kept; remembered, as a zone's are looked at with each version."""
    (section,) = ksr.read(text, ksr.RESPONSE, "the state")
    return section


# ------------------------------------------------------------------ following


@dataclass(frozen=True, slots=True)
class Course:
    """The keys after all that was due, the section that is taken (None: there is none), and what there is to say.

    `ends_at` is when the last signature of the KSK ends; `obstacles` are the rules that keep a newer section out.
    """

    keys: list[Key]
    steps: list[Step]
    wait: Wait
    section: Section | None
    ends_at: int | None
    obstacles: tuple[str, ...] = ()

    @property
    def has_signers(self) -> bool:
        """Whether some key signs something."""
        kinds = (RecordKind.KRRSIG, RecordKind.ZRRSIG)
        return any(key.is_published(kind) for key in self.keys for kind in kinds)


def follow(
    tx: store.Transaction,
    vault: private.Vault,
    zone: Zone,
    keys: Sequence[Key],
    policy: Policy,
    ttls: ServedTTLs,
    now: int,
) -> Course:
    """Take and save all steps that are due, and those of the section that is in force."""
    known = responses(tx, zone)
    progress = introduction.advance(tx, vault, zone, keys, policy, ttls, now)
    steps, keys = [*progress.steps], progress.keys
    valid = [one for one in known if one.since <= now and one.inception <= now < _last_use(one)]
    is_ahead = any(key.newest_event > now for key in keys)
    section, obstacles = None, frozenset[str]()
    for one in reversed(valid):
        placed = _placed(zone, keys, one, _made_ahead(tx, zone), policy, now)
        if one.dnskeys == _published(keys) and placed.after == placed.before:
            section = one
            for key in keys:
                _give_up_private(tx, vault, key, now)
            break
        if is_ahead or not policy.is_dictated:
            continue  # nothing moves before the clock is right again, nor by a response while signatures are given up
        forbidden = rules.forbids(
            placed.before, placed.after, is_strict=policy.algorithm_roll == "strict", may_lose_ds=False
        )
        if not forbidden:
            section = one
            steps += _take(tx, vault, keys, placed, one, now)
            progress = introduction.advance(tx, vault, zone, placed.after, policy, ttls, now)
            steps, keys = [*steps, *progress.steps], progress.keys
            break
        obstacles |= forbidden
    later = [one.since for one in known if one.since > now] + ([_last_use(section)] if section is not None else [])
    until = min([*later, *([progress.wait.until] if progress.wait.until is not None else [])], default=None)
    ends_at = max((one.expiration for one in known), default=None)
    return Course(keys, steps, replace(progress.wait, until=until), section, ends_at, tuple(sorted(obstacles)))


def _last_use(section: Section) -> int:
    """Until when it may be answered with: a cache keeps it for its TTL, and no longer than it is valid."""
    return section.expiration - max(ttl for ttl, _ in section.rrsets.values())


def _published(keys: Iterable[Key]) -> frozenset[bytes]:
    return frozenset(key.dnskey for key in keys if key.is_published(RecordKind.DNSKEY))


@dataclass(frozen=True, slots=True)
class _Placed:
    """Keys before and after a section is taken; new ones are in both, hidden before."""

    before: list[Key]
    after: list[Key]
    new: frozenset[str]


def _made_ahead(tx: store.Transaction, zone: Zone) -> dict[bytes, Planned]:
    return {one.dnskey: one for one in plan_of(tx, zone)}


def _placed(
    zone: Zone, keys: Sequence[Key], section: Section, planned: Mapping[bytes, Planned], policy: Policy, now: int
) -> _Placed:
    before = list(keys)
    known = {key.dnskey for key in keys}
    coming = [dnskey for dnskey in section.dnskeys if dnskey not in known]
    new = set()
    for dnskey in sorted(coming, key=lambda one: (planned[one].active_at if one in planned else 0, one)):
        key = _public(zone, dnskey, before, planned, policy, now)
        new.add(key.id)
        before = [*(_succeeded(one, key) for one in before), key]
    return _Placed(before, [_as_told(key, section, now) for key in before], frozenset(new))


def _public(
    zone: Zone, dnskey: bytes, keys: Sequence[Key], planned: Mapping[bytes, Planned], policy: Policy, now: int
) -> Key:
    """A key that a section brings: one of ours that was made ahead, or a KSK that only has a public part here."""
    origin, view = zone[0].lower(), zone[1]
    is_zsk = dnskey in planned
    stores = [spec.store for spec in policy.keys if spec.role is Role.ZSK and spec.algorithm == dnskey[3]]
    same = [key for key in keys if (key.is_ksk, key.algorithm) == (not is_zsk, dnskey[3])]
    old = [key for key in same if key.goal is Goal.PRESENT and key.successor is None]
    return Key(
        id=key_id(origin, view, dnskey),
        origin=origin,
        view=view,
        algorithm=dnskey[3],
        is_ksk=not is_zsk,
        is_zsk=is_zsk,
        dnskey=dnskey,
        tag=key_tag(dnskey),
        goal=Goal.PRESENT,
        states=hidden_states(is_ksk=not is_zsk, is_zsk=is_zsk, since=now),
        created_at=now,
        predecessor=old[-1].id if old else None,
        provenance=Provenance.GENERATED if is_zsk else Provenance.OFFLINE,
        generation=len(same),
        store=stores[0] if is_zsk and stores else "",
    )


def _succeeded(old: Key, new: Key) -> Key:
    return replace(old, goal=Goal.ABSENT, successor=new.id) if old.id == new.predecessor else old


def _as_told(key: Key, section: Section, now: int) -> Key:
    """The key as it stands when the section is served."""
    is_there = key.dnskey in section.dnskeys
    is_signing = is_there and (key.tag, key.algorithm) in section.signers()
    for kind, wanted in zip(_DICTATED, (is_there, is_signing), strict=True):
        if kind in key.states and (to := _next_state(key.state(kind), is_wanted=wanted)) is not None:
            key = key.moved(kind, to, now)
    return key if is_there else replace(key, goal=Goal.ABSENT)


def _next_state(state: RecordState, *, is_wanted: bool) -> RecordState | None:
    if is_wanted:
        return None if state in IN_ZONE else RecordState.RUMOURED
    return {RecordState.OMNIPRESENT: RecordState.UNRETENTIVE, RecordState.RUMOURED: RecordState.SQUASHED}.get(state)


def _take(
    tx: store.Transaction, vault: private.Vault, keys: Sequence[Key], placed: _Placed, section: Section, now: int
) -> list[Step]:
    """Save what a section moves; its steps."""
    reason = f"the signed key response has it so from {ksr.shown(section.since)} on"
    stood = {key.id: key for key in keys}
    steps: list[Step] = []
    for before, after in zip(placed.before, placed.after, strict=True):
        if before.id in placed.new:
            store.insert(tx, before, _private_part(tx, vault, before), reason=reason)
        elif (old := stood[before.id]).goal != after.goal or old.successor != after.successor:
            store.update(tx, replace(before, goal=after.goal), "goal", after.goal, reason, now)
        moving = before
        for kind in _DICTATED:
            if kind in after.states and before.state(kind) != after.state(kind):
                moved = moving.moved(kind, after.state(kind), now)
                store.save_move(tx, moving, moved, kind, reason, now)
                steps.append(Move(moving, kind, after.state(kind), now, reason))
                moving = moved
        _give_up_private(tx, vault, after, now)
    return steps


def _private_part(tx: store.Transaction, vault: private.Vault, key: Key) -> bytes:
    """The sealed private part of a key that a section brings, out of those made ahead."""
    row = tx.execute("SELECT octets FROM key_planned WHERE key_id = ?", (key.id,)).fetchone()
    if row is None or row[0] is None:
        return vault.seal(key.id, private.OFFLINE)
    tx.execute("UPDATE key_planned SET octets = NULL WHERE key_id = ?", (key.id,))
    return bytes(row[0])


def _give_up_private(tx: store.Transaction, vault: private.Vault, key: Key, now: int) -> None:
    """A KSK that signs offline by now is not to be online any longer; one in a token is its operator's matter."""
    if key.provenance is Provenance.OFFLINE or not key.is_ksk or not key.is_published(RecordKind.KRRSIG):
        return
    if private.is_stored_here(vault, key.id, store.pkcs8(tx, key.id)):
        reason = "its signatures come in signed key responses"
        store.withdraw_private(tx, key, vault.seal(key.id, private.OFFLINE), reason, now)


def has_private_ksk(tx: store.Transaction, vault: private.Vault, keys: Iterable[Key]) -> bool:
    """Whether a KSK that signs can still do so here, as before the first response."""
    own = [key for key in keys if key.is_ksk and key.is_published(RecordKind.KRRSIG)]
    return bool(own) and all(not private.is_offline(vault, key.id, store.pkcs8(tx, key.id)) for key in own)


# ------------------------------------------------------------------ the other side: the machine that has the KSK


def anchors(
    tx: store.Transaction,
    vault: private.Vault,
    zone: Zone,
    policy: Policy,
    sections: Sequence[Section],
    now: int,
    *,
    is_rolling: bool = False,
    retire: int | None = None,
) -> list[Key]:
    """The KSKs that a request is to be signed with, oldest first; made where there is none, or another one is wanted.

    `active_at` of one is from when it signs; `retire_at`, of one that `retire` named by its tag, until when. Raises
    KeySetError.
    """
    keys = [key for key in store.load(tx, *zone) if key.is_ksk]
    start, name = sections[0].since, name_to_text(zone[0])
    if retire is not None:
        keys = _retired(tx, keys, retire, policy, start, name, now)
    taken = [dnskey for one in sections for dnskey in one.dnskeys]
    for spec in (spec for spec in policy.keys if spec.role is Role.KSK):
        own = [key for key in keys if key.algorithm == spec.algorithm and key.goal is Goal.PRESENT]
        if own and not is_rolling:
            continue
        if is_rolling and len(own) > 1:
            raise KeySetError(name, f"a roll from key {own[0].tag} to key {own[-1].tag} is under way")
        tags = frozenset(tag for dnskey in (*taken, *(key.dnskey for key in keys)) for tag in private.tags_of(dnskey))
        old = own[-1] if own else None
        key, part = introduction.new_key(vault, zone, Creation(spec, old, len(keys), ""), now, tags)
        key = replace(key, active_at=start, predecessor=old.id if old is not None else None)
        store.insert(tx, key, vault.seal(key.id, part), reason="made for a signed key response")
        if old is not None:
            keys = [replace(one, successor=key.id) if one.id == old.id else one for one in keys]
            store.update(tx, replace(old, successor=key.id), "successor", str(key.tag), "a roll begins", now)
        keys.append(key)
    return keys


def _retired(
    tx: store.Transaction, keys: list[Key], tag: int, policy: Policy, start: int, name: str, now: int
) -> list[Key]:
    """The KSKs, that of a tag leaving when no cache can have its DS, which the parent is said to have removed."""
    found = next((key for key in keys if key.tag == tag), None)
    if found is None or found.successor is None:
        there = ", ".join(str(key.tag) for key in keys if key.successor is not None) or "none"
        raise KeySetError(name, f"no KSK {tag} that has a successor; of those that have: {there}")
    if found.retire_at is not None:
        return keys
    wait = policy.parent_ds_ttl + policy.parent_propagation_delay + policy.retire_safety
    gone = replace(found, goal=Goal.ABSENT, retire_at=max(start, now + wait))
    store.update(tx, gone, "goal", gone.goal, "the parent has its DS no more", now)
    return [gone if key.id == gone.id else key for key in keys]


def announced_at(key: Key, policy: Policy) -> int:
    """From when CDS and CDNSKEY name a KSK: one that replaces another has to be in every cache first."""
    start = key.active_at if key.active_at is not None else 0
    return start if key.predecessor is None else start + publish_interval(policy, ServedTTLs())


def moments(keys: Iterable[Key], policy: Policy) -> list[int]:
    """When the KSKs of a response change, or what the parent is told of them."""
    return sorted(at for key in keys for at in (key.active_at, key.retire_at, announced_at(key, policy)) if at)


def signing_at(keys: Iterable[Key], at: int) -> list[Key]:
    """The KSKs that sign at a moment."""
    return [
        key
        for key in keys
        if (key.active_at is None or key.active_at <= at) and (key.retire_at is None or at < key.retire_at)
    ]


def announced(keys: Iterable[Key], policy: Policy, at: int) -> list[Key]:
    """The KSKs, one of each algorithm, that the parent is told of at a moment."""
    newest = {key.algorithm: key for key in signing_at(keys, at) if announced_at(key, policy) <= at}
    return list(newest.values())
