"""AXFR messages put together again by dnspython: the zone, whole, in order, within the sizes asked for."""

import dns.message
import dns.name
import dns.rdatatype
import dns.zone
import pytest

from engine import EngineError, SignedVersion
from tests.engine.asking import build, lines, query, sealed, signed
from tools import odd_zone

HEAD = "$TTL 60\n@ SOA ns a 7 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n"


def messages(version: SignedVersion, size: int = 65535, request: dns.message.Message | None = None) -> list[bytes]:
    octets = (request or query(dns.name.from_wire(version.version.origin, 0)[0], "AXFR")).to_wire()
    found, position = [], 0
    while position != -1:
        message, position = version.transfer(octets, position, size)
        found.append(message)
    return found


def records(found: list[bytes]) -> list[str]:
    return [line for message in found for line in lines(dns.message.from_wire(message, one_rr_per_rrset=True).answer)]


def of_zone(text: bytes, origin: str) -> list[str]:
    """The records of a master file, by dnspython."""
    zone = dns.zone.from_text(text.decode(), origin, relativize=False, check_origin=False)
    return [
        f"{owner} {ttl} {dns.rdatatype.to_text(rdata.rdtype)} {rdata.to_text()}"
        for owner, ttl, rdata in zone.iterate_rdatas()
    ]


def unsigned(text: str, origin: str = "example.") -> SignedVersion:
    return sealed(SignedVersion(build(text, origin)))


@pytest.mark.parametrize("size", [65535, 4096, 700])
@pytest.mark.parametrize("seed", range(5))
def test_a_transfer_is_the_zone_between_two_soas(seed, size):
    version = sealed(signed(build(odd_zone.text(odd_zone.plain_records(seed)), odd_zone.ORIGIN)))
    found = messages(version, size)
    assert all(len(message) <= size for message in found)
    all_records = records(found)
    assert all_records[0] == all_records[-1]
    assert " SOA " in all_records[0]
    assert [record.split()[2] for record in all_records].count("SOA") == 2
    assert sorted(all_records[:-1]) == sorted(of_zone(version.to_text(), odd_zone.ORIGIN))


def test_an_rrset_larger_than_a_message_is_spread_over_several():
    text = HEAD + "".join(f'big TXT "{i:05} {"x" * 200}"\n' for i in range(700))
    found = messages(unsigned(text))
    assert len(found) == 3
    assert all(len(message) > 60_000 for message in found[:-1])
    assert len(records(found)) == 700 + 4


def test_records_stay_whole_at_every_size():
    version = unsigned(HEAD + "".join(f"h{i} A 192.0.2.{i}\n" for i in range(60)))
    whole = records(messages(version))
    for size in range(90, 400, 7):
        found = messages(version, size)
        assert records(found) == whole
        assert max(map(len, found)) <= size


def test_a_record_that_fits_into_no_message_is_an_error():
    version = unsigned(HEAD + f'big TXT "{"x" * 250}"\n')
    with pytest.raises(EngineError):
        messages(version, 200)


def test_names_keep_their_case_and_are_compressed():
    """RFC 5936 section 3.4."""
    version = unsigned("@ 60 SOA Ns a 7 2 3 4 5\n@ 60 NS nS\nNs 60 A 192.0.2.1\nWww 60 CNAME wWW2\n", "ExamPle.")
    (message,) = messages(version, request=query("eXAMPLE.", "AXFR"))
    response = dns.message.from_wire(message, one_rr_per_rrset=True)
    assert lines(response.answer) == [
        "ExamPle. 60 SOA Ns.ExamPle. a.ExamPle. 7 2 3 4 5",
        "ExamPle. 60 NS nS.ExamPle.",
        "Ns.ExamPle. 60 A 192.0.2.1",
        "Www.ExamPle. 60 CNAME wWW2.ExamPle.",
        "ExamPle. 60 SOA Ns.ExamPle. a.ExamPle. 7 2 3 4 5",
    ]
    assert message.count(b"\x07ExamPle") == 1


def test_each_message_answers_the_query_by_id_and_with_aa():
    """RFC 5936 section 2.2.1."""
    request = query("example.", "AXFR", payload=1232)
    version = unsigned(HEAD + "".join(f"h{i} A 192.0.2.{i}\n" for i in range(60)))
    for message in messages(version, 512, request):
        response = dns.message.from_wire(message)
        assert (response.id, int(response.flags), response.edns) == (request.id, 0x8400, 0)
        assert response.question == request.question


def test_an_open_version_is_not_transferred():
    with pytest.raises(EngineError):
        messages(signed(build(HEAD)))
    with pytest.raises(EngineError):
        messages(SignedVersion(build(HEAD)))


def test_a_position_of_nobody_is_no_panic():
    version = unsigned(HEAD)
    octets = query("example.", "AXFR").to_wire()
    for position in (1, 2, 3, 2**32, 2**33 + 1, 2**63, 2**64 - 1):
        message, following = version.transfer(octets, position)
        assert following == -1
        assert dns.message.from_wire(message).answer


def test_presigned_zones_are_transferred_as_they_are():
    text = sealed(signed(build(HEAD))).to_text()
    version = unsigned(text.decode())
    assert sorted(records(messages(version))[:-1]) == sorted(of_zone(text, "example."))
