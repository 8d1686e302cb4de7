import dns.flags
import pytest


@pytest.fixture
def whoami(load):
    return load(". {\nwhoami\n}\n").blocks[0].handler


def additional(ask, handler, asked):
    message = ask(handler, asked).message
    assert message.answer == []
    assert message.flags & dns.flags.AA
    return [rrset.to_text() for rrset in message.additional]


def test_a_client_gets_its_address_and_port(ask, whoami, query):
    assert additional(ask, whoami, query("example.org. TXT")) == [
        "example.org. 0 IN A 192.0.2.1",
        "_udp.example.org. 0 IN SRV 0 0 40212 .",
    ]


def test_ipv6_and_tcp_are_told_as_such(ask, whoami, query):
    assert additional(ask, whoami, query(". NS", client=("2001:db8::1", 7), transport="tcp", do=True)) == [
        ". 0 IN AAAA 2001:db8::1",
        "_tcp. 0 IN SRV 0 0 7 .",
    ]


def test_a_name_too_long_for_its_srv_record_goes_without(ask, whoami, query):
    longest = ".".join(["x" * 63] * 3 + ["x" * 61]) + ". A"
    assert len(additional(ask, whoami, query(longest))) == 1
