"""Parents and children that are both ours: the DS comes and goes by itself, through a whole life of keys."""

from dataclasses import replace

import pytest

from authserver import rolling
from authserver.family import Family
from authserver.publication import Content, Work, Zone, ZoneKey
from authserver.publisher import Publisher, mark_served
from authserver.state import State
from engine import Clock, Version, ZoneSlot, name_from_text, read_zone
from keys import introduction, store
from keys.ds import ds_rdata
from keys.policy import DEFAULT, INSECURE, KeySpec, Role
from keys.states import RecordKind
from signer.plan import effect_of
from zones import history

NOW = 1_800_000_000
DAY = 86400
DS, CDS = 43, 59
PARENT = "example.test."
CHILD = "sub.example.test."
TEXTS = {
    PARENT: "$TTL 3600\n@ SOA ns admin 7 3600 600 604800 300\n@ NS ns\nns A 192.0.2.1\nsub NS ns.sub\nns.sub A 192.0.2.2\n",
    CHILD: "$TTL 3600\n@ SOA ns admin 3 3600 600 604800 300\n@ NS ns\n@ NS ns.example.test.\nns A 192.0.2.2\n",
}


class World:
    """A state, a stopped clock, and zones that know each other."""

    def __init__(self, state: State, **policies: object) -> None:
        self.start(state, NOW, **policies)
        for name, text in TEXTS.items():
            self.read(name, text)

    def start(self, state: State, now: int, **policies: object) -> None:
        """A process begins, and has read nothing yet."""
        self.state = state
        self.clock = Clock()
        self.clock.stop_at(now)
        self.zones: dict[ZoneKey, Zone] = {}
        self.family = Family(lambda: self.zones)
        self.publisher = Publisher(state, self.clock, family=self.family)
        for name in (PARENT, CHILD):
            origin = name_from_text(name)
            self.zones[ZoneKey(origin)] = Zone(ZoneKey(origin), policies.get(name, DEFAULT), ZoneSlot(origin))

    def __getitem__(self, name: str) -> Zone:
        return self.zones[ZoneKey(name_from_text(name))]

    def read(self, name: str, text: str) -> None:
        version, findings = Version.build(read_zone(name_from_text(name), [(name, text.encode())]))
        assert version is not None, findings
        self.publisher.run([Work(self[name], Content(version, (), text, name))])
        self.seal()

    def seal(self) -> None:
        """What the sealer and the pipeline do, until nothing new comes of it."""
        for _ in range(6):
            for zone in self.zones.values():
                live = zone.live
                if live is None or zone.sealed is live:
                    continue
                while not (live.signed.make(10**6) and live.signed.verify(10**6, self.clock.now())):
                    pass
                live.signed.seal()
                with self.state.transaction() as tx:
                    history.record_sealed(tx, *zone.key, live.serial, self.clock.now())
                    mark_served(tx, zone.key, live, self.clock.now())
                zone.sealed = live
            self.publisher.run([Work(zone) for zone in self.zones.values()])

    def at(self, now: int) -> None:
        self.clock.stop_at(now)
        self.publisher.run([Work(zone, resign=True) for zone in self.zones.values()])
        self.seal()

    def go(self, seconds: int, step: int = 3 * 3600) -> None:
        end = self.clock.now() + seconds
        while self.clock.now() < end:
            self.at(min(end, self.clock.now() + step))

    def keys(self, name: str) -> list[introduction.Key]:
        with self.state.reader() as tx:
            return store.load(tx, name_from_text(name))

    def words(self, name: str) -> list[str]:
        return ["".join(key.state(kind).value[0].upper() for kind in RecordKind) for key in self.keys(name)]

    def ds(self) -> list[bytes]:
        """The DS RRset that the parent serves."""
        current = self[PARENT].slot.current
        assert current is not None
        return (current.rrset(name_from_text(CHILD), DS) or (0, []))[1]


@pytest.fixture
def state(tmp_path):
    with State.open(tmp_path / "state") as state:
        yield state


def test_the_ds_of_a_child_comes_into_its_parent_when_it_may_and_is_believed_when_it_has_been_there(state):
    world = World(state)
    assert world.ds() == []
    world.go(3600)
    assert world.ds() == []
    world.go(3 * 3600)
    (key,) = world.keys(CHILD)
    assert world.ds() == [ds_rdata(key)]
    assert world.words(CHILD) == ["OOOR"]
    world.go(DAY)
    assert world.words(CHILD) == ["OOOO"]
    assert world.words(PARENT) == ["OOOR"], "nobody has said that its own parent has anything"


def test_a_csk_is_rolled_with_the_parents_ds_and_nobodys_hands(state):
    world = World(state)
    world.go(3 * DAY)
    (old,) = world.keys(CHILD)
    with state.transaction() as tx:
        introduction.roll(tx, old, world.clock.now(), "by hand", world.clock.now())
    seen = []
    for _ in range(40):
        world.go(3 * 3600)
        seen.append(tuple(world.ds()))
    old, new = world.keys(CHILD)
    assert list(dict.fromkeys(seen)) == [(ds_rdata(old),), (ds_rdata(new),)]
    assert world.words(CHILD) == ["HHHH", "OOOO"]


def test_a_child_that_turns_insecure_takes_its_ds_away_first(state):
    world = World(state)
    world.go(3 * DAY)
    world[CHILD].policy = INSECURE
    world.at(world.clock.now() + 1)
    assert world.ds() == []
    current = world[CHILD].slot.current
    assert current.is_signed
    assert current.rrset(name_from_text(CHILD), CDS)[1] == [bytes(5)]
    world.go(3 * DAY)
    assert not world[CHILD].slot.current.is_signed
    assert world.words(CHILD) == ["HHHH"]


def test_people_are_told_of_the_way_to_insecure_by_the_policy_that_leads_there(state):
    world = World(state)
    world.go(3 * DAY)
    world[CHILD].policy = INSECURE
    world.at(world.clock.now() + 1)
    why = rolling.carry_out("key.why", state, {"zone": CHILD}, world.clock.now())
    assert (why["policy"], why["due"]) == ("insecure", None)
    plan = rolling.carry_out("key.plan", state, {"zone": CHILD, "parent_delay": 0}, world.clock.now())
    assert "to be present" not in {event["what"] for event in plan["events"]}
    assert {event["what"] for event in plan["events"]} >= {"ds hidden", "dnskey hidden", "removed"}


def test_a_ds_that_is_not_the_childs_stays_in_the_parent(state):
    world = World(state)
    foreign = "sub DS 12345 13 2 " + "AB" * 32 + "\n"
    world.read(PARENT, TEXTS[PARENT] + foreign)
    world.go(2 * DAY)
    (key,) = world.keys(CHILD)
    assert sorted(world.ds()) == sorted([ds_rdata(key), bytes.fromhex("30390d02" + "ab" * 32)])


def test_a_ds_written_by_hand_of_a_key_of_ours_stays_until_the_key_is_to_go(state):
    world = World(state)
    (key,) = world.keys(CHILD)
    digest = ds_rdata(key)[4:].hex()
    world.read(PARENT, TEXTS[PARENT] + f"sub DS {key.tag} 13 2 {digest}\n")
    assert world.ds() == [ds_rdata(key)], "an operator may know better than the clock"
    world.go(4 * DAY)
    assert world.ds() == [ds_rdata(key)]
    assert world.words(CHILD) == ["OOOO"]


def test_without_a_cut_there_is_no_ds(state):
    world = World(state)
    world.read(PARENT, "$TTL 3600\n@ SOA ns admin 9 3600 600 604800 300\n@ NS ns\nns A 192.0.2.1\n")
    world.go(2 * DAY)
    assert world.ds() == []
    assert world.words(CHILD) == ["OOOR"]


def test_bootstrapping_shows_the_cds_below_the_name_servers_until_there_is_a_ds(state):
    world = World(state, **{CHILD: replace(DEFAULT, bootstrap=True)})
    signal = name_from_text("_dsboot.sub.example.test._signal.ns.example.test.")
    assert world[PARENT].slot.current.rrset(signal, CDS) is None
    world.go(4 * 3600)
    (key,) = world.keys(CHILD)
    assert world[PARENT].slot.current.rrset(signal, CDS) == (3600, [ds_rdata(key)])
    world.go(2 * DAY)
    assert world[PARENT].slot.current.rrset(signal, CDS) is None


def test_a_parent_keeps_the_ds_of_a_child_that_can_not_serve_again_yet(state):
    """As after a restore on another machine: keys are there, and nothing that was served."""
    before = World(state)
    before.go(3 * DAY)
    with state.transaction() as tx:
        tx.execute("DELETE FROM image")
    world = World.__new__(World)
    world.start(state, before.clock.now())
    world.publisher.run(world.publisher.restore(world.zones.values()))
    world.read(PARENT, TEXTS[PARENT])
    assert world[CHILD].live is None
    assert world.ds() == before.ds() == [ds_rdata(world.keys(CHILD)[0])]
    world.read(CHILD, TEXTS[CHILD])
    assert world.ds() == before.ds()


def in_the_midst_of_a_roll(state):
    """The child's new key is published, and used as soon as it is time."""
    world = World(state)
    world.go(3 * DAY)
    (old,) = world.keys(CHILD)
    with state.transaction() as tx:
        introduction.roll(tx, old, world.clock.now(), "by hand", world.clock.now())
    world.at(world.clock.now())
    assert world.words(CHILD) == ["OOOO", "RHRH"]
    return world


def run(world):
    world.publisher.run([Work(zone) for zone in world.zones.values()])


def test_after_a_jump_of_the_clock_signatures_come_first_and_keys_move_when_they_are_sealed(state):
    world = in_the_midst_of_a_roll(state)
    before = world[CHILD].live
    now = world.clock.now() + 30 * DAY
    world.clock.stop_at(now)
    for _ in range(2):
        run(world)
        live = world[CHILD].live
        assert live.serial == before.serial + 1
        assert effect_of(live.keys, DEFAULT) == effect_of(before.keys, DEFAULT)
        assert world.words(CHILD) == ["OOOO", "RHRH"]
    while not live.signed.make(10**6):
        pass
    assert live.signed.earliest_expiration > now + DEFAULT.refresh
    world.seal()
    assert world.words(CHILD) == ["OUOU", "OROR"], "the new key is in every cache by now, and takes over"


def test_a_server_that_was_down_while_signatures_ran_out_signs_first_and_moves_keys_later(state):
    down = in_the_midst_of_a_roll(state)
    now = down.clock.now() + 30 * DAY
    world = World.__new__(World)
    world.start(state, now)
    world.publisher.run(world.publisher.restore(world.zones.values()))
    assert world[CHILD].live.serial == down[CHILD].live.serial + 1
    assert world.words(CHILD) == ["OOOO", "RHRH"]
    run(world)
    assert world.words(CHILD) == ["OOOO", "RHRH"]
    world.seal()
    assert world.words(CHILD) == ["OUOU", "OROR"]


def test_a_sleep_that_no_signature_noticed_is_no_fault(state):
    world = in_the_midst_of_a_roll(state)
    world.clock.stop_at(world.clock.now() + DAY)
    run(world)
    assert world.words(CHILD) == ["OUOU", "OROR"]


SPLIT = (KeySpec(Role.KSK, 13), KeySpec(Role.ZSK, 13))
LIVES = {
    "algorithm": [(KeySpec(Role.CSK, 15),), (KeySpec(Role.CSK, 14),)],
    "scheme": [SPLIT, (KeySpec(Role.CSK, 13),)],
    "both": [(KeySpec(Role.KSK, 15), KeySpec(Role.ZSK, 15)), SPLIT],
    "off and on": [(), (KeySpec(Role.CSK, 13),)],
}


@pytest.mark.parametrize("life", LIVES)
def test_every_kind_of_roll_goes_through_every_gate(state, life):
    world = World(state)
    world.go(2 * DAY)
    for keys in LIVES[life]:
        world[CHILD].policy = replace(DEFAULT, keys=keys) if keys else INSECURE
        world.at(world.clock.now() + 1)
        for _ in range(40):
            world.go(4 * 3600, 4 * 3600)
            assert world[CHILD].findings == ()
            assert world[PARENT].findings == ()
        known = sorted(word for word in world.words(CHILD) if word != "HHHH")
        assert known == sorted(AT_REST[spec.role] for spec in keys)
        assert len(world.ds()) == bool(keys)


AT_REST = {Role.CSK: "OOOO", Role.KSK: "OHOO", Role.ZSK: "OOHH"}
