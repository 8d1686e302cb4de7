"""NOTIFY messages, and who may transfer."""

import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import pytest

from zones.errors import TransferMessageError
from zones.transfer import (
    allowed,
    is_notify_answer,
    is_transfer,
    notified,
    notify_message,
    notify_rcode,
    parse_target,
    parse_targets,
)

ORIGIN = b"\x07example\x03org\x00"
SOA = "ns.example.org. admin.example.org. 7 3600 900 604800 300"


@pytest.mark.parametrize(
    ("words", "client", "may"),
    [
        (["*"], "192.0.2.1", True),
        (["*"], "2001:db8::1", True),
        ([], "192.0.2.1", False),
        (["192.0.2.1"], "192.0.2.1", True),
        (["192.0.2.1:5353"], "192.0.2.1", True),
        (["192.0.2.1"], "192.0.2.2", False),
        (["192.0.2.0/24"], "192.0.2.200", True),
        (["192.0.2.7/24"], "192.0.2.200", True),
        (["192.0.2.0/24"], "::ffff:192.0.2.3", True),
        (["2001:db8::/32"], "2001:db8::5", True),
        (["2001:db8::/32"], "192.0.2.1", False),
        (["fe80::1"], "fe80::1%eth0", True),
        (["192.0.2.1"], "nonsense", False),
    ],
)
def test_who_may_transfer(words: list[str], client: str, may: bool) -> None:
    assert allowed(parse_targets(words), client) is may


def test_single_addresses_get_a_notify_each_once() -> None:
    words = [
        "*",
        "192.0.2.1",
        "192.0.2.1:53",
        "127.0.0.1:5353",
        "127.0.0.1@5354",
        "[::1]:53",
        "2001:db8::1",
        "10.0.0.0/8",
    ]
    assert notified(parse_targets(words)) == (
        ("192.0.2.1", 53),
        ("127.0.0.1", 5353),
        ("127.0.0.1", 5354),
        ("::1", 53),
        ("2001:db8::1", 53),
    )


def test_an_ipv6_address_may_have_a_port_after_an_at_sign() -> None:
    assert notified([parse_target("2001:db8::1@5353")]) == (("2001:db8::1", 5353),)


@pytest.mark.parametrize(
    "word",
    ["", "example.org", "192.0.2.1:0", "192.0.2.1:65536", "192.0.2.1:x", "192.0.2.0/33", "[::1", "300.1.1.1", "@53"],
)
def test_words_that_are_no_target(word: str) -> None:
    with pytest.raises(TransferMessageError) as caught:
        parse_target(word)
    assert caught.value.rule == "transfer-to"


def test_axfr_and_ixfr_are_transfers() -> None:
    assert [is_transfer(qtype) for qtype in (252, 251, 6, 255)] == [True, True, False, False]


def message() -> bytes:
    rdata = dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.SOA, SOA)
    return notify_message(ORIGIN, 3600, rdata.to_wire(), 4711)


def test_a_notify_says_what_changed() -> None:
    notify = dns.message.from_wire(message())
    assert (notify.id, notify.opcode()) == (4711, dns.opcode.NOTIFY)
    assert notify.flags & dns.flags.AA
    assert not notify.flags & (dns.flags.QR | dns.flags.RD)
    assert [question.to_text() for question in notify.question] == ["example.org. IN SOA"]
    assert [rrset.to_text() for rrset in notify.answer] == [f"example.org. 3600 IN SOA {SOA}"]


@pytest.mark.parametrize("rcode", [dns.rcode.NOERROR, dns.rcode.NOTAUTH])
def test_its_answer_is_understood(rcode: dns.rcode.Rcode) -> None:
    answer = dns.message.make_response(dns.message.from_wire(message()))
    answer.set_rcode(rcode)
    assert notify_rcode(answer.to_wire(), ORIGIN, 4711) == rcode


def test_an_answer_without_its_question_is_one() -> None:
    answer = dns.message.make_response(dns.message.from_wire(message()))
    answer.question = []
    assert is_notify_answer(answer.to_wire(), ORIGIN, 4711)


def test_what_is_not_its_answer_is_told_apart() -> None:
    notify = dns.message.from_wire(message())
    answer = dns.message.make_response(notify).to_wire()
    assert not is_notify_answer(answer, ORIGIN, 4712)
    assert not is_notify_answer(answer, b"\x03net\x00", 4711)
    assert not is_notify_answer(message(), ORIGIN, 4711)
    assert not is_notify_answer(b"\x12\x67junk", ORIGIN, 4711)
    assert not is_notify_answer(b"", ORIGIN, 4711)
