"""What people are told of rollovers, and may do about them, by the state alone."""

import xml.etree.ElementTree as ET

import pytest

from authserver import rolling
from authserver.control import ControlError
from authserver.facts import key_facts
from authserver.state import State
from engine import name_from_text
from keys import introduction, store
from keys.policy import KeySpec, Policy, Role
from keys.rollover import Move, ServedTTLs, Wait
from keys.states import RecordKind, Sighting
from tests.keys.rolling import word
from zones import history

NOW = 1_800_000_000
DAY = 86400
NAME = "example.test."
ORIGIN = name_from_text(NAME)
POLICY = Policy("split", keys=(KeySpec(Role.KSK, lifetime=200 * DAY), KeySpec(Role.ZSK, lifetime=60 * DAY)))
TTLS = ServedTTLs(3600, 3600, 300)


class Life:
    """A zone's keys in a state, moved on as a server would."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.now = NOW
        self.moves: list[tuple[int, str]] = []
        with state.transaction(NOW) as tx:
            history.see(tx, ORIGIN, "", NOW)
            history.record_ttls(tx, ORIGIN, "", {"zone_max": 3600, "negative": 300, "dnskey": 3600}, NOW)
            store.record_policy(tx, ORIGIN, "", POLICY)
        self.look()

    def look(self) -> Wait:
        with self.state.transaction(self.now) as tx:
            while True:
                keys = store.load(tx, ORIGIN)
                progress = introduction.advance(tx, self.state.vault, (ORIGIN, ""), keys, POLICY, TTLS, self.now)
                introduction.served(tx, progress.keys, self.now)
                self.moves += [
                    (one.since, f"{one.kind} {one.state}") for one in progress.steps if isinstance(one, Move)
                ]
                if not progress.steps:
                    return progress.wait

    def run(self, until: int, confirm_after: int | None = None) -> None:
        """Look when it is time; an operator confirms what the parent did so long after it was asked."""
        while self.now < until:
            wait = self.look()
            asked = [
                key.states[RecordKind.DS].since
                for key in self.stored()
                if RecordKind.DS in key.states
                and word(key)[3] in "RUS"
                and (key.sighting is None or key.sighting.is_present != (word(key)[3] == "R"))
            ]
            moments = [until, *([wait.until] if wait.until else [])]
            if asked and confirm_after is not None:
                moments.append(min(asked) + confirm_after)
            self.now = max(self.now + 1, min(moments))
            if asked and confirm_after is not None and self.now >= min(asked) + confirm_after:
                rolling.carry_out("key.confirm", self.state, {"zone": NAME}, self.now)
        self.look()

    def stored(self) -> list[introduction.Key]:
        with self.state.reader() as tx:
            return store.load(tx, ORIGIN)

    def do(self, command: str, **arguments: object) -> object:
        return rolling.carry_out(command, self.state, {"zone": NAME, **arguments}, self.now)


@pytest.fixture
def life(tmp_path):
    with State.open(tmp_path / "state") as state:
        yield Life(state)


def test_why_names_the_timer_and_then_the_parent_with_the_exact_ds(life):
    why = life.do("key.why")
    assert {wait["reason"] for wait in why["waits"] if wait["record"] == "dnskey"} == {
        "until no cache has an older DNSKEY RRset"
    }
    assert why["to_do"] == []
    life.run(NOW + DAY)
    why = life.do("key.why")
    (ksk,) = [key for key in life.stored() if key.is_ksk]
    assert [wait["reason"] for wait in why["waits"] if wait["record"] == "ds"] == [
        "until every server of the parent has the DS"
    ]
    assert f"{NAME} 86400 IN DS {ksk.tag} 13 2 " in why["to_do"][1]
    assert why["to_do"][2].endswith(f"zonewright key confirm {NAME}")


def test_why_names_the_rule_that_holds_a_key_back(life):
    life.run(NOW + 3 * DAY, confirm_after=600)
    life.do("key.roll", role="ksk")
    life.run(life.now + DAY)
    (blocked,) = [wait for wait in life.do("key.why")["waits"] if wait["record"] == "dnskey" and wait["rules"]]
    assert (blocked["role"], blocked["to"]) == ("ksk", "unretentive")
    assert blocked["rules"] == [
        "a DNSKEY of algorithm 13 that a DS points to must be in every cache, with its signature"
    ]


def test_every_blocked_state_has_a_reason(life):
    for _ in range(60):
        life.run(life.now + 12 * 3600, confirm_after=2 * DAY)
        assert all(wait["reason"] for wait in life.do("key.why")["waits"])


def test_what_is_planned_is_what_happens(life):
    life.run(NOW + 3 * DAY, confirm_after=3600)
    plan = life.do("key.plan", seconds=400 * DAY, parent_delay=3600)
    planned = [(event["at"], event["what"]) for event in plan["events"] if " " in event["what"]]
    planned = [one for one in planned if one[1].split()[0] in set(RecordKind)]
    before = len(life.moves)
    life.run(NOW + 403 * DAY, confirm_after=3600)
    assert len(planned) > 60
    assert sorted(life.moves[before:]) == sorted(planned)


def test_a_roll_by_hand_is_taken_back_by_hand(life):
    life.run(NOW + 3 * DAY, confirm_after=600)
    (zsk,) = [key for key in life.stored() if not key.is_ksk]
    (rolled,) = life.do("key.roll", role="zsk")
    assert (rolled["tag"], rolled["retire_at"]) == (zsk.tag, life.now)
    life.run(life.now + 60)
    new = next(key for key in life.stored() if key.predecessor == zsk.id)
    life.do("key.abort", tag=new.tag)
    life.run(life.now + 10 * DAY)
    assert {key.tag: word(key) for key in life.stored() if not key.is_ksk} == {zsk.tag: "OOHH", new.tag: "HHHH"}


def test_what_can_t_be_done_is_said(life):
    with pytest.raises(ControlError, match="no key of tag 77 there; it has"):
        life.do("key.abort", tag=77)
    with pytest.raises(ControlError, match="is not on its way in as the successor"):
        life.do("key.abort", tag=life.stored()[0].tag)
    with pytest.raises(ControlError, match="no such key to roll"):
        life.do("key.roll", role="csk")
    with pytest.raises(ControlError, match="nothing is asked of the parent"):
        life.do("key.confirm")
    with pytest.raises(ControlError, match="it was never served with dnssec"):
        rolling.carry_out("key.why", life.state, {"zone": "other.test"}, NOW)


def test_an_operators_word_about_the_parent_is_told_from_what_was_seen(life):
    life.run(NOW + DAY)
    life.do("key.confirm")
    (seen,) = life.do("key.why")["parent_seen"]
    assert (seen["present"], seen["by"], seen["since"]) == (True, "operator", life.now)
    (ksk,) = [key for key in life.stored() if key.is_ksk]
    assert (key_facts(ksk)["seen_at_parent"], key_facts(ksk)["seen_by"]) == (True, "operator")
    with life.state.transaction(life.now) as tx:
        assert store.history(tx, ksk.id)[-1] == (life.now, "ds", "seen", "by an operator's word")
        introduction.sighted(tx, ksk, Sighting(True, life.now + 60, life.now + 60, 300))
    assert [seen["by"] for seen in life.do("key.why")["parent_seen"]] == ["servers"]
    assert life.state.last_event() == life.now, "a word that holds for ever is no event of the far future"


def test_the_picture_is_one_with_a_row_for_each_record_and_a_line_for_now(life):
    life.run(NOW + 70 * DAY, confirm_after=600)
    picture = ET.fromstring(life.do("key.timeline", seconds=100 * DAY)["svg"])
    texts = [text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")]
    for key in life.stored():
        assert f"{key.role} {key.tag}" in texts
    assert "zsk to be made" in texts
    bars = [rect for rect in picture.iter("{http://www.w3.org/2000/svg}rect") if rect.find("*") is not None]
    assert len(bars) > 10
    assert all(0 < int(bar.get("width")) < 960 for bar in bars)
