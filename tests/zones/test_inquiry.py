"""Questions to primaries, and answers about the SOA."""

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from zones.errors import TransferMessageError
from zones.inquiry import SOAAnswer, axfr_query, is_answer_to, ixfr_query, read_soa_answer, soa_query

ORIGIN = b"\x07example\x03org\x00"
SOA = dns.rrset.from_text("example.org.", 300, "IN", "SOA", "ns.example.org. admin.example.org. 7 3600 900 604800 300")


def answer(*options: dns.edns.Option, rcode: int = 0, flags: int = dns.flags.AA) -> dns.message.Message:
    """A good answer to the SOA query with id 9."""
    response = dns.message.make_response(dns.message.from_wire(soa_query(ORIGIN, 9)))
    response.flags |= flags
    response.set_rcode(rcode)
    response.use_edns(0, options=list(options))
    response.answer = [SOA]
    return response


def test_queries_ask_for_expire_and_ixfr_has_our_soa():
    rdata = SOA[0].to_wire()
    for octets, rtype in (
        (soa_query(ORIGIN, 9), "SOA"),
        (axfr_query(ORIGIN, 9), "AXFR"),
        (ixfr_query(ORIGIN, 9, rdata), "IXFR"),
    ):
        message = dns.message.from_wire(octets)
        assert (message.id, message.opcode(), message.flags) == (9, 0, 0)
        assert (message.question[0].name.to_text(), dns.rdatatype.to_text(message.question[0].rdtype)) == (
            "example.org.",
            rtype,
        )
        assert [option.otype for option in message.options] == [9]
        assert [rrset[0] for rrset in message.authority] == ([SOA[0]] if rtype == "IXFR" else [])


def test_an_answer_gives_the_serial_and_how_long_the_copy_is_good():
    assert read_soa_answer(answer().to_wire(), ORIGIN, 9) == SOAAnswer(7, None)
    expire = dns.edns.GenericOption(9, (1234).to_bytes(4, "big"))
    assert read_soa_answer(answer(expire).to_wire(), ORIGIN.upper(), 9) == SOAAnswer(7, 1234)
    assert read_soa_answer(answer(dns.edns.GenericOption(9, b"x")).to_wire(), ORIGIN, 9) == SOAAnswer(7, None)
    assert read_soa_answer(answer(flags=dns.flags.AA | dns.flags.TC).to_wire(), ORIGIN, 9) is None


def test_what_is_no_answer_is_said_to_be_none():
    without = answer()
    without.answer = []
    other = dns.message.make_response(dns.message.from_wire(soa_query(b"\x05other\x00", 9)))
    cases = [
        (b"", "can't be read"),
        (answer().to_wire()[:-3], "can't be read"),
        (dns.message.from_wire(soa_query(ORIGIN, 9)).to_wire(), "about something else"),
        (other.to_wire(), "about something else"),
        (answer(rcode=dns.rcode.REFUSED).to_wire(), "is REFUSED"),
        (answer(flags=0).to_wire(), "not authoritative"),
        (without.to_wire(), "has no SOA"),
    ]
    for octets, said in cases:
        with pytest.raises(TransferMessageError, match=said):
            read_soa_answer(octets, ORIGIN, 9)


def test_datagrams_of_others_are_told_by_id():
    octets = answer().to_wire()
    assert is_answer_to(octets, 9)
    assert not is_answer_to(octets, 8)
    assert not is_answer_to(soa_query(ORIGIN, 9), 9)
    assert not is_answer_to(octets[:5], 9)
