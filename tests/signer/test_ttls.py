import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from engine import Version
from keys.policy import DEFAULT
from keys.rollover import ServedTTLs, not_before
from signer.ttls import served_ttls, ttls_of
from zones import history

ORIGIN = b"\x07example\x04test\x00"
NOW = 1_700_000_000


@pytest.fixture
def tx() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for statement in history.SCHEMA:
        connection.execute(statement)
    history.see(connection, ORIGIN, "", NOW)
    yield connection
    connection.close()


def test_the_ttls_of_a_version(version: Callable[..., Version]) -> None:
    assert ttls_of(version()) == {"zone_max": 86400, "negative": 300}
    signed = version().edited([(ORIGIN, 48, 1234, [b"\x01\x01\x03\x0d" + bytes(64)])])
    assert ttls_of(signed) == {"zone_max": 86400, "negative": 300, "dnskey": 1234}


def test_denial_lasts_no_longer_than_the_soas_own_ttl(version: Callable[..., Version]) -> None:
    text = "$ORIGIN example.test.\n@ 60 SOA ns admin 7 3600 600 604800 300\n@ 60 NS ns\nns 60 A 192.0.2.1\n"
    assert ttls_of(version(text=text))["negative"] == 60


def test_a_ttl_counts_until_the_states_that_it_delays_have_arrived(tx: sqlite3.Connection, make_signer: Any) -> None:
    key = make_signer("RRRH").key.served(NOW)
    history.record_ttls(tx, ORIGIN, "", {"zone_max": 86400, "negative": 300, "dnskey": 3600}, NOW - 1000)
    history.record_ttls(tx, ORIGIN, "", {"zone_max": 60}, NOW)
    for now in (NOW, NOW + 86400 + 299, NOW + 10**6):
        ttls = served_ttls(tx, ORIGIN, "", [key], now)
        assert ttls == ServedTTLs(dnskey=3600, zone_max=86400, negative=300)
        assert not_before([key], DEFAULT, ttls) == NOW + 86400 + 300


def test_a_ttl_that_nothing_waits_for_is_forgotten_when_no_cache_can_have_it(
    tx: sqlite3.Connection, make_signer: Any
) -> None:
    key = make_signer("OOOH").key
    history.record_ttls(tx, ORIGIN, "", {"zone_max": 86400}, NOW - 1000)
    history.record_ttls(tx, ORIGIN, "", {"zone_max": 60}, NOW)
    assert served_ttls(tx, ORIGIN, "", [key], NOW + 86400).zone_max == 86400
    assert served_ttls(tx, ORIGIN.upper(), "", [key], NOW + 86401).zone_max == 60


def test_a_zone_never_served_has_none(tx: sqlite3.Connection) -> None:
    assert served_ttls(tx, ORIGIN, "", [], NOW) == ServedTTLs()
