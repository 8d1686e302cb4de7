import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rrset
import pytest

from authserver.query import Response


def test_a_query_has_what_the_engine_parsed_and_no_message(query):
    asked = query("WWW.Example.ORG. MX", edns=True)
    assert asked.qname == b"\x03WWW\x07Example\x03ORG\x00"
    assert asked.name == dns.name.from_text("www.example.org.")
    assert asked._message == []
    assert asked.message.question[0].to_text() == "WWW.Example.ORG. IN MX"
    assert asked.message is asked.message


@pytest.mark.parametrize(
    ("origin", "below"),
    [
        ("example.org.", True),
        ("org.", True),
        (".", True),
        ("www.example.org.", True),
        ("ample.org.", False),
        ("a.www.example.org.", False),
        ("example.net.", False),
    ],
)
def test_a_query_knows_what_it_is_below(query, origin, below):
    assert query("WWW.Example.ORG. A").is_below(dns.name.from_text(origin).to_wire()) is below


def test_the_family_is_that_of_the_client(query):
    assert query(client=("192.0.2.1", 1)).family == 4
    assert query(client=("2001:db8::1", 1)).family == 6


def test_another_question_is_another_query(query):
    asked = query("a.example. A", edns=True)
    other = asked.with_question(dns.name.from_text("longer.b.example.").to_wire(), 28)
    assert asked.message.question[0].to_text() == "a.example. IN A"
    assert other.message.question[0].to_text() == "longer.b.example. IN AAAA"
    assert other.message.edns == 0
    assert (other.qtype, other.id) == (28, asked.id)


def test_a_tag_is_on_the_new_query_only(query):
    asked = query()
    assert (asked.with_tag("geo/city", "Delft").tags, asked.tags) == ((("geo/city", "Delft"),), ())


@pytest.mark.parametrize("rcode", [dns.rcode.SERVFAIL, dns.rcode.REFUSED, dns.rcode.NOERROR])
def test_a_response_without_records_copies_header_and_question(query, rcode):
    asked = query("Example.org. A")
    message = dns.message.from_wire(asked.respond(rcode).octets)
    assert message.id == asked.id
    assert message.rcode() == rcode
    assert message.question == asked.message.question
    assert message.flags & (dns.flags.QR | dns.flags.RD | dns.flags.AA) == dns.flags.QR | dns.flags.RD
    assert message.edns == -1
    assert b"Example" in asked.respond(rcode).octets


def test_edns_is_answered_with_do_extended_rcode_and_extended_error(query):
    response = query(do=True).respond(dns.rcode.BADVERS, ede=14)
    message = response.message
    assert message.rcode() == dns.rcode.BADVERS
    assert message.ednsflags & dns.flags.DO
    assert message.payload == 1232
    assert [option.code for option in message.options if isinstance(option, dns.edns.EDEOption)] == [14]


def test_an_extended_error_needs_edns(query):
    assert query().respond(2, ede=14).message.edns == -1


def test_a_long_response_over_udp_is_truncated(query):
    def answer(asked):
        message = dns.message.make_response(asked.message)
        message.answer.append(
            dns.rrset.from_text("example.org.", 1, "IN", "TXT", *[f'"{n} {"x" * 50}"' for n in range(20)])
        )
        return asked.respond_with(message)

    short = answer(query("example.org. TXT"))
    assert short.is_truncated
    assert len(short.octets) <= 512
    long = answer(query("example.org. TXT", transport="tcp"))
    assert not long.is_truncated
    assert long.message.answer[0].to_text().count("TXT") == 20


def test_a_response_reads_its_header_alone(query):
    response = query().respond(dns.rcode.NXDOMAIN)
    assert (response.rcode, response.answer_count, response.is_truncated) == (3, 0, False)
    assert response._message == []
    assert response == Response(response.octets)
