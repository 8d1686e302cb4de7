"""UPDATE messages: their form, their prerequisites, and what they make of a zone, section by section of RFC 2136."""

import struct

import dns.message
import dns.name
import dns.rcode
import dns.update
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import Version, name_from_text, rdata_to_text, read_zone, rrtype_to_text
from zones.errors import UpdateError
from zones.update import Changes, apply, check_prerequisites, parse, prescan, records_of, run

ORIGIN = "example.test."
TEXT = """$TTL 3600
@ SOA ns admin 7 3600 600 604800 300
@ NS ns
@ NS ns2
@ MX 10 mail
ns A 192.0.2.1
ns2 A 192.0.2.2
www A 192.0.2.10
www A 192.0.2.11
www TXT "old"
alias CNAME WWW
deep.below.ent TXT "x"
"""


@pytest.fixture
def zone():
    version, findings = Version.build(read_zone(name_from_text(ORIGIN), [("db", TEXT.encode())]))
    assert version is not None, findings
    return version


def message(*lines, prerequisites=()):
    """An update of lines `add NAME TTL TYPE RDATA`, `delete NAME [TYPE [RDATA]]`; prerequisites as nsupdate has them."""
    update = dns.update.UpdateMessage(ORIGIN, id=1)
    for line in prerequisites:
        kind, name, *rest = line.split(None, 2)
        if kind == "nxdomain":
            update.absent(name)
        elif kind == "yxdomain":
            update.present(name)
        elif kind == "nxrrset":
            update.absent(name, rest[0])
        else:
            rtype, _, rdata = rest[0].partition(" ")
            update.present(name, rtype, *([rdata] if rdata else []))
    for line in lines:
        kind, name, *rest = line.split(None, 2)
        if kind == "add":
            ttl, rtype, rdata = rest[0].split(None, 2)
            update.add(name, int(ttl), rtype, rdata)
        elif rest:
            rtype, _, rdata = rest[0].partition(" ")
            update.delete(name, rtype, *([rdata] if rdata else []))
        else:
            update.delete(name)
    return update.to_wire()


def anything(_owner, _rtype):
    return True


def done(zone, *lines, prerequisites=(), serial=7, may=anything):
    """(gone, new) as lines of text, sorted."""
    parsed = parse(message(*lines, prerequisites=prerequisites))
    prescan(parsed, may)
    difference = apply(parsed, zone, serial, may).difference()
    return [sorted(map(shown, records)) for records in (difference.gone, difference.new)]


def shown(record):
    name = dns.name.from_wire(record.owner, 0)[0].relativize(dns.name.from_text(ORIGIN))
    return f"{name} {record.ttl} {rrtype_to_text(record.rtype)} {rdata_to_text(record.rtype, record.rdata)}"


def rcode(zone, *lines, prerequisites=(), may=anything):
    with pytest.raises(UpdateError) as raised:
        done(zone, *lines, prerequisites=prerequisites, may=may)
    return dns.rcode.to_text(dns.rcode.Rcode(raised.value.rcode))


# -------------------------------------------------------------------- section 3.4.2


def test_a_record_is_added_and_one_that_is_there_changes_nothing(zone):
    assert done(zone, "add new 60 A 192.0.2.3") == [[], ["new 60 A 192.0.2.3"]]
    assert done(zone, "add www 3600 A 192.0.2.10") == [[], []]


def test_an_rrset_has_the_ttl_that_came_last(zone):
    gone, new = done(zone, "add www 60 A 192.0.2.12")
    assert gone == ["www 3600 A 192.0.2.10", "www 3600 A 192.0.2.11"]
    assert new == ["www 60 A 192.0.2.10", "www 60 A 192.0.2.11", "www 60 A 192.0.2.12"]


def test_a_cname_and_other_data_keep_each_other_out(zone):
    assert done(zone, "add www 60 CNAME ns") == [[], []]
    assert done(zone, "add alias 60 A 192.0.2.3") == [[], []]
    assert done(zone, "delete www", "add www 60 CNAME ns")[1] == ["www 60 CNAME ns.example.test."]


def test_another_cname_takes_the_place_of_the_one(zone):
    gone, new = done(zone, "add alias 60 CNAME ns")
    assert (gone, new) == (["alias 3600 CNAME WWW.example.test."], ["alias 60 CNAME ns.example.test."])


@pytest.mark.parametrize(
    ("serial", "taken"), [(8, True), (7, False), (6, False), (7 + 2**31 - 1, True), (7 + 2**31, False)]
)
def test_a_soa_is_taken_only_with_a_greater_serial(zone, serial, taken):
    soa = f"ns admin {serial} 1 1 1 1"
    assert bool(done(zone, f"add @ 3600 SOA {soa}")[1]) is taken


def test_a_soa_below_the_apex_is_passed_over(zone):
    assert done(zone, "add www 3600 SOA ns admin 9 1 1 1 1") == [[], []]


def test_rrsets_and_names_are_deleted(zone):
    assert done(zone, "delete www A")[0] == ["www 3600 A 192.0.2.10", "www 3600 A 192.0.2.11"]
    assert len(done(zone, "delete www")[0]) == 3
    assert done(zone, "delete nothing") == [[], []]
    assert done(zone, "delete www A 192.0.2.11")[0] == ["www 3600 A 192.0.2.11"]
    assert done(zone, "delete www A 192.0.2.99") == [[], []]


def test_the_apex_keeps_its_soa_and_ns(zone):
    assert done(zone, "delete @")[0] == ["@ 3600 MX 10 mail.example.test."]
    assert done(zone, "delete @ NS") == [[], []]
    assert done(zone, "delete @ SOA") == [[], []]
    assert done(zone, "delete @ SOA ns admin 7 3600 600 604800 300") == [[], []]
    assert done(zone, "delete @ NS ns", "delete @ NS ns2")[0] == ["@ 3600 NS ns.example.test."]


def test_names_in_rdata_are_the_same_in_either_case(zone):
    assert done(zone, "delete alias CNAME www")[0] == ["alias 3600 CNAME WWW.example.test."]
    assert done(zone, "add @ 3600 MX 10 MAIL") == [[], []] or done(zone, "add @ 3600 MX 10 MAIL")[0] == []


def test_what_is_added_and_taken_away_again_leaves_nothing(zone):
    assert done(zone, "add new 60 A 192.0.2.3", "delete new") == [[], []]
    assert done(zone, "delete www A", "add www 3600 A 192.0.2.10", "add www 3600 A 192.0.2.11") == [[], []]


# -------------------------------------------------------------------- section 3.2


@pytest.mark.parametrize(
    ("prerequisite", "expected"),
    [
        ("yxdomain www", None),
        ("yxdomain nothing", "NXDOMAIN"),
        ("yxdomain below.ent", "NXDOMAIN"),
        ("nxdomain nothing", None),
        ("nxdomain www", "YXDOMAIN"),
        ("yxrrset www A", None),
        ("yxrrset www MX", "NXRRSET"),
        ("nxrrset www MX", None),
        ("nxrrset www A", "YXRRSET"),
        ("yxrrset alias CNAME www", None),
        ("yxrrset www A 192.0.2.10", "NXRRSET"),
        ("yxrrset nothing A 192.0.2.10", "NXRRSET"),
    ],
)
def test_prerequisites(zone, prerequisite, expected):
    if expected is None:
        assert done(zone, "add new 60 A 192.0.2.3", prerequisites=[prerequisite])[1]
    else:
        assert rcode(zone, "add new 60 A 192.0.2.3", prerequisites=[prerequisite]) == expected


def test_an_rrset_of_several_records_is_compared_whole(zone):
    both = ["yxrrset www A 192.0.2.11", "yxrrset www A 192.0.2.10"]
    assert done(zone, "add new 60 A 192.0.2.3", prerequisites=both)[1]


# -------------------------------------------------------------------- forms


def raw(*sections, zone=(ORIGIN, 6, 1), counts=None):
    """A message of raw records (name, type, class, TTL, rdata), one list for each section."""
    name, rtype, rclass = zone
    octets = name_from_text(name) + struct.pack("!HH", rtype, rclass)
    for section in sections:
        for owner, rtype_, rclass_, ttl, rdata in section:
            octets += (
                name_from_text(owner, name_from_text(ORIGIN))
                + struct.pack("!HHIH", rtype_, rclass_, ttl, len(rdata))
                + rdata
            )
    lengths = counts or (1, *(len(section) for section in sections), *([0] * (3 - len(sections))))
    return struct.pack("!HHHHHH", 1, 0x2800, *lengths) + octets


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (raw(zone=(ORIGIN, 1, 1)), "FORMERR"),
        (raw(zone=(ORIGIN, 6, 3)), "NOTAUTH"),
        (raw(counts=(0, 0, 0, 0)), "FORMERR"),
        (raw(counts=(1, 1, 0, 0)), "FORMERR"),
        (raw([], [("www", 1, 1, 60, b"\1\2\3")]), "FORMERR"),
        (raw([], [("www", 255, 1, 60, b"")]), "FORMERR"),
        (raw([], [("www", 252, 255, 0, b"")]), "FORMERR"),
        (raw([], [("www", 1, 255, 5, b"")]), "FORMERR"),
        (raw([], [("www", 1, 255, 0, b"\1\2\3\4")]), "FORMERR"),
        (raw([], [("www", 255, 254, 0, b"")]), "FORMERR"),
        (raw([], [("www", 1, 254, 1, b"\1\2\3\4")]), "FORMERR"),
        (raw([], [("www", 1, 3, 0, b"\1\2\3\4")]), "FORMERR"),
        (raw([], [("www.other.", 1, 1, 0, b"\1\2\3\4")]), "NOTZONE"),
        (raw([("www", 1, 255, 1, b"")], []), "FORMERR"),
        (raw([("www", 1, 1, 1, b"\1\2\3\4")], []), "FORMERR"),
        (raw([("www", 1, 3, 0, b"\1\2\3\4")], []), "FORMERR"),
        (raw([("www.other.", 1, 255, 0, b"")], []), "NOTZONE"),
    ],
)  # fmt: skip
def test_messages_of_no_such_form(zone, octets, expected):
    def judge():
        parsed = parse(octets)
        prescan(parsed, anything)
        return apply(parsed, zone, 7, anything)

    with pytest.raises(UpdateError) as raised:
        judge()
    assert dns.rcode.to_text(dns.rcode.Rcode(raised.value.rcode)) == expected


@given(st.binary(max_size=200))
def test_whatever_comes_is_read_or_refused(octets):
    head = struct.pack("!HHHHHH", 1, 0x2800, 1, 1, 1, 0) + name_from_text(ORIGIN) + b"\0\6\0\1"
    for one in (octets, head + octets):
        rcode = dns.rcode.NOERROR
        try:
            parse(one)
        except UpdateError as error:
            rcode = error.rcode
        assert rcode in (dns.rcode.NOERROR, dns.rcode.FORMERR, dns.rcode.NOTAUTH)


@pytest.mark.parametrize("rtype", ["RRSIG", "NSEC", "NSEC3", "NSEC3PARAM", "DNSKEY", "CDS", "CDNSKEY", "ZONEMD"])
def test_what_the_signer_makes_is_nobody_s(zone, rtype):
    assert rcode(zone, f"delete @ {rtype}") == "REFUSED"


def test_a_name_is_deleted_only_by_who_may_delete_all_it_has(zone):
    may_addresses = lambda _owner, rtype: rtype == 1  # noqa: E731
    assert rcode(zone, "delete www", may=may_addresses) == "REFUSED"
    assert done(zone, "delete ns", may=may_addresses)[0] == ["ns 3600 A 192.0.2.1"]
    assert rcode(zone, "add www 60 TXT x", may=may_addresses) == "REFUSED"


def test_what_a_zone_file_would_be_held_for_is_refused(zone):
    assert rcode(zone, "add @ 60 DS 1 13 2 " + "00" * 32) == "REFUSED"
    assert rcode(zone, "add *.x 60 NS ns") == "REFUSED"
    assert rcode(zone, "delete ns2", "add ns2 60 CNAME www") == "REFUSED"
    assert rcode(zone, "add @ 60 NS alias") == "REFUSED"
    assert rcode(zone, *[f"add big 60 TXT {'x' * 250}{number}" for number in range(240)]) == "REFUSED"


def test_a_run_comes_back(zone):
    parsed = parse(message("add new 60 A 192.0.2.3", "add other 5 TXT x"))
    assert list(records_of(run(parsed.updates))) == list(parsed.updates)


def test_changes_are_a_content_for_the_next_update(zone):
    first = Changes(zone)
    first.take(apply(parse(message("add new 60 A 192.0.2.3")), first, 7, anything))
    check_prerequisites(parse(message(prerequisites=["yxdomain new", "yxrrset new A 192.0.2.3"])), first)
    second = apply(parse(message("delete new")), first, 7, anything)
    assert not second.rtypes(name_from_text("new.example.test."))
    assert first.rtypes(name_from_text("new.example.test.")) == [1]
    first.take(second)
    assert not first.difference()
