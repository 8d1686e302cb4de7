"""Versions beside a plain dictionary: build, edit, compare, write and read back, sign, carry over, restore, seal."""

import random

import dns.name
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine import EngineError, ImageError, SignedVersion, SigningPlan, Version, name_from_text, read_zone
from keys import private
from tests.engine.asking import EXPIRATION, NOW, build, sealed, signed, signing_key
from tools import odd_zone

ORIGIN = name_from_text("example.")
SOA = (ORIGIN, 6)
NS, A, TXT, CNAME, DNSKEY, NSEC, RRSIG = 2, 1, 16, 5, 48, 47, 46

Key = tuple[bytes, int]
Zone = dict[Key, tuple[int, frozenset[bytes]]]
"""A zone as the tests have it: (owner in lower case, type) → (TTL, rdatas)."""


def soa(serial: int = 1) -> bytes:
    return b"\x02ns\x00\x01a\x00" + b"".join(field.to_bytes(4, "big") for field in (serial, 2, 3, 4, 5))


APEX: Zone = {SOA: (60, frozenset({soa()})), (ORIGIN, NS): (60, frozenset({b"\x02ns\x00"}))}

labels = st.sampled_from([b"a", b"b", b"*", b"_x", b"zz", b"\x00", b"\xff\\", b"long" * 9])
owners = st.lists(labels, min_size=1, max_size=4).map(
    lambda parts: b"".join(bytes([len(part)]) + part for part in parts) + ORIGIN
)
# Types that go with one another, so that no zone is held.
rdatas = {
    A: st.binary(min_size=4, max_size=4),
    TXT: st.binary(max_size=20).map(lambda text: bytes([len(text)]) + text),
    65400: st.binary(max_size=30),
    15: owners.map(lambda name: b"\x00\x05" + name),
}
rrset = st.sampled_from(sorted(rdatas)).flatmap(
    lambda rtype: st.tuples(
        owners, st.just(rtype), st.integers(0, 2**31 - 1), st.frozensets(rdatas[rtype], min_size=1, max_size=4)
    )
)
zones = st.lists(rrset, max_size=12).map(
    lambda found: APEX | {(owner, rtype): (ttl, data) for owner, rtype, ttl, data in found}
)
edits = st.lists(
    st.one_of(rrset, st.tuples(owners, st.sampled_from(sorted(rdatas)), st.just(0), st.just(frozenset()))), max_size=6
)
relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=120)


def text_of(zone: Zone, order: random.Random | None = None) -> str:
    r"""A master file in \# form, so that nothing but the reader's frame is between model and version."""
    found = [
        f"{dns.name.from_wire(owner, 0)[0]} {ttl} TYPE{rtype} \\# {len(rdata)} {rdata.hex()}"
        for (owner, rtype), (ttl, data) in zone.items()
        for rdata in data
    ]
    if order:
        order.shuffle(found)
    return "\n".join(found) + "\n"


def version_of(zone: Zone, previous: Version | None = None, order: random.Random | None = None) -> Version:
    records = read_zone(ORIGIN, [("zone", text_of(zone, order).encode())])
    version, findings = Version.build(records, previous)
    assert version is not None, [*records.diagnostics, *findings]
    return version


def names(zone: Zone) -> set[bytes]:
    """Every name that exists, empty non-terminals included (RFC 4592 section 2.2.2)."""
    found = {ORIGIN}
    for owner, _ in zone:
        rest = owner
        while rest != ORIGIN:
            found.add(rest)
            rest = rest[1 + rest[0] :]
    return found


def assert_is(version: Version, zone: Zone) -> None:
    assert version.rrset_count == len(zone)
    assert version.record_count == sum(len(data) for _, data in zone.values())
    assert version.name_count == len(names(zone))
    assert version.max_ttl == max(ttl for ttl, _ in zone.values())
    for name in names(zone):
        assert version.rtypes(name) == sorted(rtype for owner, rtype in zone if owner == name)
    for (owner, rtype), (ttl, data) in zone.items():
        found = version.rrset(owner, rtype)
        assert found is not None
        assert (found[0], frozenset(found[1])) == (ttl, data)
        assert len(found[1]) == len(data)
        assert found[1] == sorted(found[1])


def applied(zone: Zone, changes: list[tuple[bytes, int, int, frozenset[bytes]]]) -> Zone:
    zone = dict(zone)
    for owner, rtype, ttl, data in changes:
        if data:
            zone[owner, rtype] = (ttl, data)
        else:
            zone.pop((owner, rtype), None)
    return zone


def as_edits(changes):
    return [(owner, rtype, ttl, list(data)) for owner, rtype, ttl, data in changes]


@relaxed
@given(zones, st.randoms(use_true_random=False))
def test_a_version_is_what_was_read_in_any_order(zone, order):
    version = version_of(zone)
    assert_is(version, zone)
    other = version_of(zone, order=order)
    assert other.to_text() == version.to_text()
    assert other.content_digest == version.content_digest


@relaxed
@given(zones, edits, edits)
def test_edits_are_those_of_a_dictionary(zone, first, second):
    version = version_of(zone)
    once = version.edited(as_edits(first))
    assert_is(once, applied(zone, first))
    twice = once.edited(as_edits(second))
    assert_is(twice, applied(applied(zone, first), second))
    assert_is(version, zone)
    assert twice.to_text() == version_of(applied(applied(zone, first), second)).to_text()


@relaxed
@given(zones, zones)
def test_a_build_after_another_version_is_the_same_and_shares_what_did_not_change(older, newer):
    previous = version_of(older)
    alone, after = version_of(newer), version_of(newer, previous)
    assert after.to_text() == alone.to_text()
    assert after.content_digest == alone.content_digest
    assert_is(after, newer)
    assert_is(previous, older)


def test_a_build_of_the_same_content_holds_hardly_more_than_one():
    zone = APEX | {(bytes([4]) + b"n%03d" % i + ORIGIN, A): (60, frozenset({bytes([1, 2, 3, i])})) for i in range(200)}
    previous = version_of(zone)
    changed = zone | {(b"\x04n100" + ORIGIN, A): (60, frozenset({b"\x05\x06\x07\x08"}))}
    assert version_of(changed, previous).octets < previous.octets * 1.1


@relaxed
@given(zones, zones)
def test_a_difference_leads_from_one_version_to_the_other(older, newer):
    difference = version_of(older).diff(version_of(newer), 10_000)
    zone = {key: (ttl, set(data)) for key, (ttl, data) in older.items()}
    for owner, rtype, ttl, data in difference.removed:
        assert zone[owner, rtype][0] == ttl
        zone[owner, rtype][1].difference_update(data)
    zone = {key: value for key, value in zone.items() if value[1]}
    for owner, rtype, ttl, data in difference.added:
        assert zone.setdefault((owner, rtype), (ttl, set()))[0] == ttl
        zone[owner, rtype][1].update(data)
    assert zone == {key: (ttl, set(data)) for key, (ttl, data) in newer.items()}
    assert difference.changed_rrsets == sum(older.get(key) != newer.get(key) for key in older | newer)
    assert difference.removed_records == sum(len(data) for *_, data in difference.removed)
    assert difference.added_records == sum(len(data) for *_, data in difference.added)


@relaxed
@given(zones, edits)
def test_an_image_is_the_version(zone, changes):
    for version in (version_of(zone), version_of(zone).edited(as_edits(changes))):
        again = Version.from_image(version.image())
        assert again.to_text() == version.to_text()
        assert again.image() == version.image()
        assert again.content_digest == version.content_digest
        assert (again.origin, again.serial, again.name_count) == (version.origin, version.serial, version.name_count)
    assert_is(Version.from_image(version.image()), applied(zone, changes))


def test_an_image_without_apex_records_still_has_its_apex():
    bare = build("@ 60 SOA ns a 1 2 3 4 5\n@ 60 NS ns\nns.deep 60 A 192.0.2.1\n")
    bare = bare.edited([(ORIGIN, 6, 0, []), (ORIGIN, NS, 0, [])])
    again = Version.from_image(bare.image())
    assert again.rtypes(ORIGIN) == []
    assert again.to_text() == bare.to_text()
    assert again.name_count == bare.name_count == 3


@given(st.integers(0, 10**6), st.integers(1, 255))
def test_a_damaged_image_is_refused(place, change):
    image = bytearray(version_of(APEX).image())
    image[place % len(image)] ^= change
    with pytest.raises(ImageError):
        Version.from_image(bytes(image))
    with pytest.raises(ImageError):
        Version.from_image(bytes(image[: place % len(image)]))


@relaxed
@given(zones, st.sets(st.sampled_from([A, TXT, 15, 65400])))
def test_a_version_without_types_lacks_them_alone(zone, gone):
    version = version_of(zone).without(sorted(gone))
    assert_is(version, {key: value for key, value in zone.items() if key[1] not in gone})


@relaxed
@given(zones, st.integers(0, 2**32 - 1))
def test_the_digest_is_of_content_without_serial_and_case(zone, serial):
    version = version_of(zone)
    again = version.edited([(ORIGIN, 6, 60, [soa(serial)])])
    assert again.serial == serial
    assert again.content_digest == version.content_digest
    shouted = {(owner.upper(), rtype): value for (owner, rtype), value in zone.items()}
    assert version_of(shouted).content_digest == version.content_digest


def test_the_digest_sees_ttl_rdata_owner_and_type():
    base = APEX | {(b"\x01a" + ORIGIN, TXT): (60, frozenset({b"\x01x"}))}
    others = [
        APEX,
        APEX | {(b"\x01a" + ORIGIN, TXT): (61, frozenset({b"\x01x"}))},
        APEX | {(b"\x01a" + ORIGIN, TXT): (60, frozenset({b"\x01y"}))},
        APEX | {(b"\x01a" + ORIGIN, 65400): (60, frozenset({b"\x01x"}))},
        APEX | {(b"\x01b" + ORIGIN, TXT): (60, frozenset({b"\x01x"}))},
    ]
    digests = [version_of(zone).content_digest for zone in (base, *others)]
    assert len(set(digests)) == len(digests)


# ------------------------------------------------------------------ signatures


def signatures(version: SignedVersion, zone: Version) -> dict[tuple[bytes, int], bytes]:
    """(owner, type covered) → RRSIG rdata of everything signed."""
    found = {}
    for line in zone.to_text().decode().splitlines():
        owner = name_from_text(line.split()[0])
        for rrsig in (version.rrset(owner, RRSIG) or (0, []))[1]:
            found[owner, int.from_bytes(rrsig[:2], "big")] = rrsig
    return found


@pytest.mark.parametrize("seed", range(6))
def test_only_what_changed_loses_its_signature(seed):
    """RFC 4034 section 3.1.8.1: octets, TTL and owner; the NSEC before a name that came or went changes too."""
    zones = (build(odd_zone.text(odd_zone.plain_records(10 * seed + more)), odd_zone.ORIGIN) for more in range(10))
    # Below a DNAME at the apex nothing new would be signed.
    older = next(zone for zone in zones if zone.rrset(zone.origin, 39) is None)
    first = sealed(signed(older))
    origin = older.origin
    host = name_from_text(f"quite.new.{odd_zone.ORIGIN}")
    newer = older.edited(
        [
            (host, A, 60, [b"\x01\x02\x03\x04"]),
            (
                origin,
                6,
                older.rrset(origin, 6)[0],
                [older.rrset(origin, 6)[1][0][:-20] + bytes([0, 0, 0, 9]) + older.rrset(origin, 6)[1][0][-16:]],
            ),
        ]
    )
    second = signed(newer, first)
    carried = second.slots_made
    made = sealed(signed(newer))
    new_units = 4  # SOA, the new A, its NSEC, the NSEC before it
    assert carried == second.slots - new_units
    sealed(second)
    before, after = signatures(first, older), signatures(second, newer)
    lost = {key for key in after if before.get(key) != after[key]}
    assert {rtype for _, rtype in lost} == {6, A, NSEC}
    assert len(lost) == new_units
    assert made.slots == second.slots


def test_a_signature_is_not_carried_over_when_key_ttl_or_validity_say_no():
    version = build("@ 60 SOA ns a 1 2 3 4 5\n@ 60 NS ns\nns 60 A 192.0.2.1\n")
    first = sealed(signed(version))
    assert signed(version, first, carry_until=EXPIRATION).slots_made == 0
    assert signed(version, first, carry_until=EXPIRATION - 1).slots_made == first.slots
    other = version.edited([(name_from_text("ns.example."), A, 61, [b"\xc0\x00\x02\x01"])])
    assert signed(other, first).slots_made == first.slots - 1
    shorter = version.edited([(ORIGIN, 6, 4, version.rrset(ORIGIN, 6)[1])])  # the TTL of every NSEC
    assert signed(shorter, first).slots_made == first.slots - 1 - 2


def test_jitter_only_shortens_and_is_the_same_each_time():
    version = build("@ 60 SOA ns a 1 2 3 4 5\n@ 60 NS ns\n" + "".join(f"h{i} 60 A 192.0.2.{i}\n" for i in range(50)))
    one, two = (sealed(signed(version, jitter=86400)) for _ in range(2))
    assert one.earliest_expiration == two.earliest_expiration
    assert EXPIRATION - 86400 < one.earliest_expiration < EXPIRATION
    for owner, _ in signatures(one, version):
        ends = [[int.from_bytes(rrsig[8:12], "big") for rrsig in each.rrset(owner, RRSIG)[1]] for each in (one, two)]
        assert ends[0] == ends[1]


@pytest.mark.parametrize("seed", range(4))
def test_signatures_are_restored_after_an_image(seed):
    version = build(odd_zone.text(odd_zone.plain_records(seed)), odd_zone.ORIGIN)
    first = sealed(signed(version))
    again = signed(Version.from_image(version.image()))
    assert again.restore(first.signatures()) == first.slots == again.slots
    assert (again.slots_made, again.slots_verified) == (first.slots, 0)
    assert not again.is_sealed
    sealed(again)
    assert again.to_text() == first.to_text()
    assert again.signatures() == first.signatures()


def test_signatures_of_other_content_serial_or_key_are_not_restored():
    version = build("@ 60 SOA ns a 1 2 3 4 5\n@ 60 NS ns\nns 60 A 192.0.2.1\n")
    kept = sealed(signed(version)).signatures()
    assert signed(version.edited([(ORIGIN, TXT, 60, [b"\x01x"])])).restore(kept) == 0
    later = version.rrset(ORIGIN, 6)[1][0]
    assert signed(version.edited([(ORIGIN, 6, 60, [later[:-20] + b"\0\0\0\x02" + later[-16:]])])).restore(kept) == 0
    assert signed(version, carry_until=EXPIRATION).restore(kept) == 0
    with pytest.raises(ImageError):
        signed(version).restore(kept[:-1])
    damaged = bytearray(kept)
    damaged[60] ^= 1
    with pytest.raises(ImageError):
        signed(version).restore(bytes(damaged))


def test_a_version_is_sealed_only_when_all_is_made_and_verified():
    one = signed(build("@ 60 SOA ns a 1 2 3 4 5\n@ 60 NS ns\nns 60 A 192.0.2.1\n"))
    with pytest.raises(EngineError):
        one.seal()
    assert not one.verify(1_000_000, NOW)
    while not one.make(1_000_000):
        pass
    with pytest.raises(EngineError):
        one.seal()
    while not one.verify(1_000_000, NOW):
        pass
    one.seal()
    assert one.is_sealed
    assert one.slots == one.slots_made == one.slots_verified == 6  # SOA, NS, DNSKEY, A, two NSECs
    assert one.check(NOW) == []


def test_a_version_without_a_plan_has_nothing_to_sign_and_is_sealed_at_once():
    one = SignedVersion(build("@ 60 SOA ns a 1 2 3 4 5\n@ 60 NS ns\n"))
    assert (one.slots, one.is_signed, one.earliest_expiration) == (0, False, None)
    assert one.make(0)
    assert one.verify(0, NOW)
    one.seal()
    assert one.is_sealed


def test_the_check_finds_a_key_that_is_not_published():
    key = signing_key()
    version = build("@ 60 SOA ns a 1 2 3 4 5\n@ 60 NS ns\n")
    plan = SigningPlan([(key, True, True)], inception=NOW, expiration=EXPIRATION)
    (found,) = SignedVersion(version, plan).check(NOW)
    assert found.rule == "apex-rrset-missing"
    _, other = private.generate(13)
    with_other = version.edited([(version.origin, DNSKEY, 60, [other])])
    assert "key-not-published" in {found.rule for found in SignedVersion(with_other, plan).check(NOW)}


@pytest.mark.parametrize("seed", range(8))
def test_the_check_accepts_every_odd_zone(seed):
    assert signed(build(odd_zone.text(odd_zone.plain_records(seed)), odd_zone.ORIGIN)).check(NOW) == []
