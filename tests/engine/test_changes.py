"""What leads from one published version to the next: applied by dnspython to the version before, it gives the next one."""

import itertools

import dns.message
import dns.name
import dns.rdatatype
import dns.xfr
import dns.zone
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import (
    EngineError,
    ImageError,
    SignedVersion,
    SigningPlan,
    Version,
    change_message,
    count_records,
    fold_changes,
    name_from_text,
    rrtype_from_text,
)
from tests.engine.asking import build, query, sealed
from tests.engine.test_carried import changed
from tests.signer.signed_zones import DENIALS, DNSKEY, EXPIRATION, INCEPTION, NOW, NSEC3PARAM, PARAMS, TestKey, key
from tools import odd_zone
from tools.servers import zone_records

MOST = 1 << 30
ZONE = "$TTL 300\n@ SOA ns a 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n"
Change = tuple[bytes, bytes]


def published(
    version: Version,
    serial: int,
    by: TestKey | None,
    denial: str = "nsec",
    previous: SignedVersion | None = None,
    *,
    inception: int = INCEPTION,
) -> SignedVersion:
    """The version of a serial, signed and sealed; unsigned without a key."""
    ttl, (soa,) = version.rrset(version.origin, 6) or (0, [b""])
    soa = soa[:-20] + serial.to_bytes(4, "big") + soa[-16:]
    edits = [(version.origin, 6, ttl, [soa])]
    if by is None:
        return sealed(SignedVersion(version.edited(edits)))
    params = [bytes.fromhex(PARAMS[denial])] if denial in PARAMS else []
    edits += [(version.origin, DNSKEY, 3600, [by.dnskey]), (version.origin, NSEC3PARAM, 0, params)]
    plan = SigningPlan(
        [(by.handle, True, True)],
        inception=inception,
        expiration=EXPIRATION + inception - INCEPTION,
        carry_until=NOW if inception == INCEPTION else EXPIRATION,
        denial=DENIALS[denial],
    )
    return sealed(SignedVersion(version.edited(edits), plan, previous))


def whole(version: SignedVersion) -> dns.zone.Zone:
    """What a secondary has after an AXFR."""
    zone = dns.zone.Zone(dns.name.from_wire(version.version.origin, 0)[0], relativize=False)
    request = query(zone.origin or "", "AXFR")
    position = 0
    with dns.xfr.Inbound(zone, dns.rdatatype.AXFR) as inbound:
        while position != -1:
            octets, position = version.transfer(request.to_wire(), position)
            is_done = inbound.process_message(dns.message.from_wire(octets, xfr=True, one_rr_per_rrset=True))
    assert is_done
    return zone


def incremented(zone: dns.zone.Zone, serial: int, change: Change, size: int = 65535) -> dns.zone.Zone:
    """The secondary's zone of this serial after an IXFR."""
    request = query(zone.origin or "", "IXFR")
    position = 0
    with dns.xfr.Inbound(zone, dns.rdatatype.IXFR, serial) as inbound:
        while position != -1:
            octets, position = change_message(request.to_wire(), *change, position, size)
            assert len(octets) <= size
            is_done = inbound.process_message(dns.message.from_wire(octets, xfr=True, one_rr_per_rrset=True))
    assert is_done
    return zone


def change_of(older: SignedVersion, newer: SignedVersion) -> Change:
    change = newer.changes_since(older, MOST)
    assert change is not None
    return change


def judge_all_ways(versions: list[SignedVersion]) -> None:
    """From each version to each later one, by the folded steps between."""
    steps = [change_of(older, newer) for older, newer in itertools.pairwise(versions)]
    contents = [zone_records(whole(version)) for version in versions]
    for first, last in itertools.combinations(range(len(versions)), 2):
        folded = fold_changes(steps[first:last])
        zone = incremented(whole(versions[first]), versions[first].serial, folded)
        assert zone_records(zone) == contents[last], (first, last)
        direct = change_of(versions[first], versions[last])
        assert sorted(map(len, folded)) == sorted(map(len, direct))


@pytest.mark.parametrize("denial", [None, *DENIALS])
@pytest.mark.parametrize("seed", range(3))
def test_changes_of_odd_zones_applied_by_another_give_the_next_version(seed, denial):
    text = odd_zone.text(odd_zone.plain_records(seed))
    by, versions = key(0) if denial else None, []
    for serial in range(1, 4):
        previous = versions[-1] if versions else None
        versions.append(published(build(text, odd_zone.ORIGIN), serial, by, denial or "", previous))
        text = changed(seed + serial, text)
    judge_all_ways(versions)


NAMES = ("a", "b.a", "*", "c", "D", "d.c", "x.y.z", "@")
RECORDS = (
    ("A", ("192.0.2.1", "192.0.2.2")),
    ("A", ("192.0.2.2",)),
    ("A", ()),
    ("TXT", ('"one"', '"two"', '"three"')),
    ("TXT", ('"two"',)),
    ("TXT", ()),
    ("MX", ("1 Mail.example.", "2 mail.example.")),
    ("MX", ("1 mail.example.",)),
    ("NS", ("ns.example.",)),
    ("NS", ()),
    ("DS", ("1 13 2 " + "ab" * 32,)),
    ("DS", ()),
)
EDITS = st.lists(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(RECORDS), st.sampled_from((60, 300))), min_size=1, max_size=4
)


def edited(version: Version, edits: list[tuple[str, tuple[str, tuple[str, ...]], int]]) -> Version:
    made = []
    for name, (rtype, rdatas), ttl in edits:
        if name == "@" and rtype in {"NS", "DS"}:
            continue
        number = rrtype_from_text(rtype)
        wires = [rdata(number, one) for one in rdatas]
        made.append((name_from_text(name, version.origin) if name != "@" else version.origin, number, ttl, wires))
    return version.edited(made)


def rdata(rtype: int, text: str) -> bytes:
    from engine import rdata_from_text

    return rdata_from_text(rtype, text, b"\0")


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(
        st.tuples(EDITS, st.sampled_from([None, *DENIALS]), st.integers(0, 1), st.sampled_from((0, 1800))),
        min_size=2,
        max_size=4,
    ),
    start=st.sampled_from((1, 2**32 - 2)),
)
def test_random_edits_new_keys_other_proofs_and_new_signatures_are_all_in_the_changes(steps, start):
    keys = key(0), key(1)
    version, versions = build(ZONE), []
    for number, (edits, denial, by, later) in enumerate(steps):
        version = edited(version, edits)
        previous = versions[-1] if versions else None
        serial = (start + number) % 2**32 or 1
        inception = INCEPTION + later
        one = keys[by] if denial else None
        versions.append(published(version, serial, one, denial or "", previous, inception=inception))
    if len({one.serial for one in versions}) == len(versions):
        judge_all_ways(versions)


def test_what_is_the_same_is_in_no_change():
    first = published(build(ZONE + "www A 192.0.2.7\n"), 1, key(0))
    second = published(build(ZONE + "www A 192.0.2.7\nnew A 192.0.2.9\n"), 2, key(0), previous=first)
    deleted, added = change_of(first, second)
    # The SOA, the NSEC before the new name, and their signatures; beside them the new name's own.
    assert (count_records(deleted), count_records(added)) == (4, 8)
    assert b"\x03www" not in deleted + added


def test_the_case_of_an_owner_is_no_change():
    first = published(build(ZONE + "www A 192.0.2.7\n"), 1, None)
    second = published(build(ZONE + "WWW A 192.0.2.7\nnew A 192.0.2.9\n"), 2, None, previous=first)
    third = published(build(ZONE + "new A 192.0.2.9\n"), 3, None, previous=second)
    steps = change_of(first, second), change_of(second, third)
    assert [count_records(run) for step in steps for run in step] == [1, 2, 2, 1]
    assert b"\x03WWW" in fold_changes(steps)[0]


def test_versions_out_of_their_images_are_compared_as_those_in_memory():
    for denial in [*DENIALS, None]:
        by = key(0) if denial else None
        first = published(build(ZONE + "www A 192.0.2.7\nsub NS ns.sub\nns.sub A 192.0.2.8\n"), 1, by, denial or "")
        second = published(build(ZONE + "www A 192.0.2.8\n"), 2, by, denial or "", first)
        images = (first.version.image(), first.signatures() if denial else None)
        restored = SignedVersion.from_images(*images)
        assert restored.serial == 1
        assert second.changes_since(restored, MOST) == second.changes_since(first, MOST)
        assert restored.to_text() == first.to_text()


def test_images_that_do_not_belong_together_are_refused():
    first = published(build(ZONE), 1, key(0))
    other = published(build(ZONE + "www A 192.0.2.7\n"), 1, key(0))
    with pytest.raises(ImageError):
        SignedVersion.from_images(first.version.image(), other.signatures())
    with pytest.raises(ImageError):
        SignedVersion.from_images(first.version.image(), first.signatures()[:-1])


def test_a_change_that_is_longer_than_asked_for_is_none():
    first = published(build(ZONE), 1, None)
    second = published(build(ZONE + "".join(f"h{i} A 192.0.2.1\n" for i in range(100))), 2, None)
    deleted, added = change_of(first, second)
    assert second.changes_since(first, len(deleted) + len(added)) == (deleted, added)
    assert second.changes_since(first, len(deleted) + len(added) - 1) is None
    assert abs(second.transfer_octets - len(added) - 60) < 60


def test_versions_that_can_t_be_compared_are_refused():
    first = published(build(ZONE), 1, None)
    with pytest.raises(EngineError, match="two zones"):
        published(build(ZONE, "other."), 1, None).changes_since(first, MOST)
    plan = SigningPlan([(key(0).handle, True, True)], inception=INCEPTION, expiration=EXPIRATION)
    with pytest.raises(EngineError, match="missing"):
        SignedVersion(build(ZONE), plan).changes_since(first, MOST)


@pytest.mark.parametrize("size", [300, 700, 65535])
def test_a_change_is_spread_over_messages_of_a_size(size):
    first = published(build(ZONE), 1, key(0))
    second = published(build(ZONE + "".join(f"h{i} A 192.0.2.1\n" for i in range(100))), 2, key(0), previous=first)
    zone = incremented(whole(first), 1, change_of(first, second), size)
    assert zone_records(zone) == zone_records(whole(second))


def test_runs_that_are_no_change_are_errors():
    deleted, added = change_of(published(build(ZONE), 1, None), published(build(ZONE), 2, None))
    octets = query("example.", "IXFR").to_wire()
    for runs in ((deleted, b""), (deleted, b"\1"), (deleted, added[:-1])):
        with pytest.raises(EngineError):
            change_message(octets, *runs)
        with pytest.raises(EngineError):
            fold_changes([runs])
    with pytest.raises(EngineError):
        count_records(added[:-1])
    with pytest.raises(EngineError):
        fold_changes([])
    with pytest.raises(EngineError):
        change_message(octets, deleted, added, 0, 40)
