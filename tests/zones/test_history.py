"""What `zones.history` remembers, on a real SQLite database."""

import sqlite3
from collections.abc import Iterator

import pytest

from zones import history
from zones.source import Provenance

ORIGIN = b"\x07example\x03org\x00"
NOW = 1_800_000_000


@pytest.fixture
def tx() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.execute("PRAGMA foreign_keys = ON")
    for statement in history.SCHEMA:
        connection.execute(statement)
    yield connection
    connection.close()


def publish(tx: sqlite3.Connection, serial: int, digest: bytes, now: int = NOW, origin: bytes = ORIGIN) -> None:
    history.record_published(
        tx,
        origin,
        "",
        serial=serial,
        source_serial=1,
        content_digest=digest,
        identity="id",
        provenance=Provenance("https://git.example/zones", "c" * 40, "b" * 40, "db.example.org"),
        now=now,
    )


def test_nothing_is_published_at_first(tx: sqlite3.Connection) -> None:
    assert history.last_published(tx, ORIGIN, "") is None
    assert history.next_serial(tx, ORIGIN, "", 2026010100, b"a") == 2026010100


def test_the_last_published_version_comes_back_with_its_provenance(tx: sqlite3.Connection) -> None:
    publish(tx, 7, b"a")
    last = history.last_published(tx, ORIGIN, "")
    assert last == history.Published(
        7,
        1,
        b"a",
        "id",
        NOW,
        None,
        Provenance("https://git.example/zones", "c" * 40, "b" * 40, "db.example.org"),
    )


def test_views_are_apart(tx: sqlite3.Connection) -> None:
    publish(tx, 7, b"a")
    assert history.last_published(tx, ORIGIN, "internal") is None


def test_a_serial_never_stands_for_two_contents(tx: sqlite3.Connection) -> None:
    publish(tx, 7, b"a")
    with pytest.raises(ValueError, match="serial 7 was published with another content"):
        publish(tx, 7, b"b")


def test_the_same_content_again_keeps_its_time_and_seal(tx: sqlite3.Connection) -> None:
    publish(tx, 7, b"a")
    history.record_sealed(tx, ORIGIN, "", 7, NOW + 1)
    publish(tx, 7, b"a", NOW + 100)
    history.record_sealed(tx, ORIGIN, "", 7, NOW + 101)
    last = history.last_published(tx, ORIGIN, "")
    assert last is not None
    assert (last.published_at, last.sealed_at) == (NOW, NOW + 1)
    assert len(history.published(tx, ORIGIN, "")) == 1


def test_a_reverted_content_gets_a_later_serial(tx: sqlite3.Connection) -> None:
    for digest in (b"a", b"b", b"a"):
        publish(tx, history.next_serial(tx, ORIGIN, "", 5, digest), digest)
    assert [one.serial for one in history.published(tx, ORIGIN, "")] == [7, 6, 5]


def test_only_a_bounded_number_of_versions_is_remembered(tx: sqlite3.Connection) -> None:
    for serial in range(1, history.KEPT_PER_ZONE + 12):
        publish(tx, serial, b"%d" % serial)
    rows = tx.execute("SELECT count(*), min(serial) FROM published").fetchone()
    assert rows == (history.KEPT_PER_ZONE, 12)


def test_the_last_sealed_version_is_found_while_a_newer_one_is_open(tx: sqlite3.Connection) -> None:
    publish(tx, 1, b"a")
    history.record_sealed(tx, ORIGIN, "", 1, NOW)
    publish(tx, 2, b"b")
    sealed = history.last_sealed(tx, ORIGIN, "")
    assert sealed is not None
    assert sealed.serial == 1


def test_a_ttl_counts_until_it_can_be_cached_no_more(tx: sqlite3.Connection) -> None:
    history.see(tx, ORIGIN, "", NOW)
    history.record_ttls(tx, ORIGIN, "", {"zone": 86400, "dnskey": 3600}, NOW)
    history.record_ttls(tx, ORIGIN, "", {"zone": 300}, NOW + 1000)
    assert history.largest_ttls(tx, ORIGIN, "", NOW + 1000 + 86400) == {"zone": 86400, "dnskey": 3600}
    assert history.largest_ttls(tx, ORIGIN, "", NOW + 1001 + 86400) == {"zone": 300, "dnskey": 3600}


def test_a_ttl_that_comes_back_is_served_again(tx: sqlite3.Connection) -> None:
    history.see(tx, ORIGIN, "", NOW)
    for now, ttl in ((0, 60), (10, 30), (20, 60)):
        history.record_ttls(tx, ORIGIN, "", {"zone": ttl}, NOW + now)
    assert history.largest_ttls(tx, ORIGIN, "", NOW + 10**6) == {"zone": 60}


def image(serial: int, kind: history.Kind = "content") -> history.Image:
    return history.Image(ORIGIN, "", serial, kind, "00000001.pack", serial * 100, 50)


def test_images_of_the_last_published_version_are_what_a_start_needs(tx: sqlite3.Connection) -> None:
    for serial in (1, 2):
        publish(tx, serial, b"%d" % serial)
        history.record_image(tx, image(serial), NOW)
        history.record_image(tx, image(serial, "signatures"), NOW)
    assert history.last_images(tx) == [image(2), image(2, "signatures")]
    assert len(history.images_of(tx)) == 4


def test_superseded_images_go_but_the_last_sealed_one_stays(tx: sqlite3.Connection) -> None:
    for serial in (1, 2, 3, 4):
        publish(tx, serial, b"%d" % serial)
        history.record_image(tx, image(serial), NOW)
    history.record_sealed(tx, ORIGIN, "", 2, NOW)
    history.drop_superseded_images(tx, ORIGIN, "")
    assert history.images_of(tx) == [image(2), image(4)]


def test_a_removed_zone_is_kept_ninety_days_and_then_forgotten(tx: sqlite3.Connection) -> None:
    publish(tx, 1, b"a")
    history.record_image(tx, image(1), NOW)
    history.record_ttls(tx, ORIGIN, "", {"zone": 60}, NOW)
    history.mark_removed(tx, ORIGIN, "", NOW)
    history.mark_removed(tx, ORIGIN, "", NOW + 50)
    assert history.last_images(tx) == []
    assert history.expired(tx, NOW + history.RETENTION - 1) == []
    assert history.expired(tx, NOW + history.RETENTION) == [(ORIGIN, "")]
    history.forget(tx, ORIGIN, "")
    assert history.zones(tx) == []
    assert history.images_of(tx) == []


def test_a_zone_that_comes_back_in_time_keeps_everything(tx: sqlite3.Connection) -> None:
    publish(tx, 1, b"a")
    history.mark_removed(tx, ORIGIN, "", NOW)
    history.see(tx, ORIGIN, "", NOW + 1000)
    assert history.zones(tx) == [history.KnownZone(ORIGIN, "", NOW, None)]
    assert history.next_serial(tx, ORIGIN, "", 1, b"b") == 2


def test_the_commit_taken_last_is_known_by_source(tx: sqlite3.Connection) -> None:
    assert history.served_commit(tx, "a") is None
    history.record_commit(tx, "a", "1" * 40, NOW)
    history.record_commit(tx, "a", "2" * 40, NOW + 1)
    assert history.served_commit(tx, "a") == "2" * 40
    assert history.served_commit(tx, "b") is None


def test_the_audit_log_shows_the_newest_first(tx: sqlite3.Connection) -> None:
    lines = [
        history.AuditLine(NOW, ORIGIN, "", "server", "key-made", "tag 7"),
        history.AuditLine(NOW + 1, None, None, "operator", "reload", ""),
    ]
    for line in lines:
        history.record_audit(tx, line)
    assert history.audit_log(tx) == lines[::-1]
    assert history.audit_log(tx, ORIGIN) == lines[:1]


def test_noting_something_of_an_unseen_zone_is_an_error(tx: sqlite3.Connection) -> None:
    with pytest.raises(LookupError):
        history.record_ttls(tx, ORIGIN, "", {"zone": 60}, NOW)
