"""Responses of offline KSKs of every algorithm: made, checked, and refused when one octet is another."""

import sqlite3
from dataclasses import replace
from itertools import pairwise

import pytest

from authserver.state import MIGRATIONS
from keys import custody, ksr, offline, store
from keys.errors import CeremonyError, KeySetError
from keys.ksr import CDNSKEY, CDS, DNSKEY, Section
from keys.policy import KeySpec, Policy, Role
from keys.rollover import ServedTTLs
from signer import ceremony

DAY = 86400
NOW = 1_800_000_000
ZONE = (b"\x07example\x04test\x00", "")
VAULT = custody.PlainVault()
TTLS = ServedTTLs(3600, 86400, 900)


def policy(algorithm: int) -> Policy:
    keys = (KeySpec(Role.KSK, algorithm), KeySpec(Role.ZSK, algorithm, lifetime=30 * DAY))
    return Policy("offline", keys=keys, max_zone_ttl=DAY, digests=(2, 4), offline_ksk=True)


@pytest.fixture
def tx() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for statement in (statement for group in MIGRATIONS for statement in group):
        connection.execute(statement)
    return connection


def request(tx: sqlite3.Connection, by: Policy, until: int = 60 * DAY) -> list[Section]:
    return offline.request(tx, VAULT, ZONE, by, TTLS, (NOW, NOW + until), NOW)


def respond(tx: sqlite3.Connection, by: Policy, asked: list[Section], **more: object) -> list[Section]:
    keys = offline.anchors(tx, VAULT, ZONE, by, asked, NOW, **more)
    handles = custody.signing_keys(tx, VAULT, keys)
    signer = custody.SlowSigner(tx, VAULT, [key for key in keys if handles[key.id].is_slow])
    return ceremony.respond(asked, keys, handles, signer, by)


def ours(asked: list[Section]) -> set[bytes]:
    return {dnskey for one in asked for dnskey in one.dnskeys}


@pytest.mark.parametrize("algorithm", [8, 13, 14, 15, 16])
def test_a_response_of_each_algorithm_is_found_right_and_a_changed_one_wrong(
    tx: sqlite3.Connection, algorithm: int
) -> None:
    by = policy(algorithm)
    asked = request(tx, by, 20 * DAY)
    made = respond(tx, by, asked)
    text = ksr.write(made, ksr.RESPONSE, NOW)
    read = ksr.read(text, ksr.RESPONSE, "skr")
    assert [(one.since, one.rrsets, one.rrsigs) for one in read] == [
        (one.since, one.rrsets, one.rrsigs) for one in made
    ]
    ceremony.check(read, ours(asked), "skr", NOW)
    for rtype in (DNSKEY, CDS, CDNSKEY):
        (rrsig,) = made[1].rrsigs[rtype]
        for at in (9, 13, len(rrsig) - 1):
            octets = bytearray(rrsig)
            octets[at] ^= 1
            changed = replace(made[1], rrsigs={**made[1].rrsigs, rtype: (bytes(octets),)})
            with pytest.raises(CeremonyError, match=r"does not verify|is not valid before|ends at|by other keys"):
                ceremony.check([made[0], changed, *made[2:]], ours(asked), "skr", NOW)


def test_the_same_span_gives_the_same_request_and_a_later_one_goes_on_with_its_keys(tx: sqlite3.Connection) -> None:
    by = policy(13)
    asked = request(tx, by)
    assert request(tx, by) == asked
    later = offline.request(tx, VAULT, ZONE, by, TTLS, (NOW + 40 * DAY, NOW + 120 * DAY), NOW + 40 * DAY)
    at = max(one.since for one in asked if one.since <= NOW + 40 * DAY)
    assert later[0].dnskeys == next(one for one in asked if one.since == at).dnskeys
    assert all(len(one.dnskeys) in (1, 2) for one in (*asked, *later))
    assert all(one.dnskeys & other.dnskeys for one, other in pairwise(later))


def test_keys_that_were_made_ahead_and_are_long_gone_are_forgotten(tx: sqlite3.Connection) -> None:
    by = policy(13)
    for start in range(0, 1000 * DAY, 50 * DAY):
        offline.request(tx, VAULT, ZONE, by, TTLS, (NOW + start, NOW + start + 60 * DAY), NOW + start)
        # As when a response had brought them all.
        tx.execute("UPDATE key_planned SET octets = NULL")
    assert len(offline.plan_of(tx, ZONE)) < 10


def test_a_roll_announces_the_new_ksk_when_it_is_in_every_cache_and_the_old_one_leaves_when_told(
    tx: sqlite3.Connection,
) -> None:
    by = policy(13)
    asked = request(tx, by)
    (old,) = {key.dnskey for key in offline.anchors(tx, VAULT, ZONE, by, asked, NOW)}
    with pytest.raises(KeySetError, match="no KSK 1 that has a successor"):
        respond(tx, by, asked, retire=1)
    rolled = respond(tx, by, asked, is_rolling=True)
    (new,) = rolled[0].dnskeys - ours(asked) - {old}
    assert all({old, new} <= one.dnskeys and len(one.signers()) == 2 for one in rolled)
    assert rolled[0].rrsets[CDNSKEY][1] == (old,)
    assert [one.rrsets[CDNSKEY][1] == (new,) for one in rolled] == [one.since >= NOW + 2 * 3600 + 300 for one in rolled]
    ceremony.check(rolled, ours(asked), "skr", NOW)
    with pytest.raises(KeySetError, match="is under way"):
        respond(tx, by, asked, is_rolling=True)
    tag = next(key.tag for key in store.load(tx, *ZONE) if key.dnskey == old)
    last = respond(tx, by, asked, retire=tag)
    gone_at = NOW + DAY + 2 * 3600
    assert [old in one.dnskeys for one in last] == [one.since < gone_at for one in last]
    ceremony.check(last, ours(asked), "skr", NOW)


def test_what_is_wrong_with_a_request_is_told_with_its_line() -> None:
    for text, reason in (
        (
            ";; KeySigningRequest 1.0 20260101000000 (x)\n",
            "f:1: the section of 2026-01-01T00:00:00Z has no DNSKEY",
        ),
        (";; KeySigningRequest 2.0 1\n", "f:1: is a KeySigningRequest 2.0, not a KeySigningRequest 1.0"),
        (";; KeySigningRequest 1.0 1\na. 1 IN DNSKEY 256 3 13 x!\n", "f:2: "),
        (
            ";; KeySigningRequest 1.0 1\na. 1 DNSKEY 256 3 13 (\nAAAA )\nb. 1 DNSKEY 256 3 13 AAAA\n",
            "f:4: is of more than one",
        ),
        (";; KeySigningRequest 1.0 1\na. 1 DNSKEY 256 3 13 AAAA\na. 2 DNSKEY 256 3 13 AABA\n", "f:3: another TTL"),
        (";; KeySigningRequest 1.0 1\n$TTL 60\n", "f:2: a directive"),
        (";; KeySigningRequest 1.0 99999999999\na. 1 IN DNSKEY 256 3 13 AAAA\n", "is no time"),
    ):
        with pytest.raises(CeremonyError) as caught:
            ksr.read(text, ksr.REQUEST, "f")
        assert reason in str(caught.value)
