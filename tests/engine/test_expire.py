"""The EXPIRE option (RFC 7314): what is said, to whom, and to nobody else."""

import dns.edns
import dns.message
import pytest

from engine import ZoneSlot, name_from_text
from tests.engine.asking import NOW, Serving, query, sealed, serve, signed
from tests.engine.asking import build as built

EXPIRE = 9
ZONE = "$TTL 60\n@ SOA ns a 7 2 3 3600000 5\n@ NS ns\nns A 192.0.2.1\n"


def said(response: dns.message.Message) -> int | None:
    """The seconds of the option."""
    found = [option.to_wire() for option in response.options if option.otype == EXPIRE]
    assert len(found) <= 1
    return int.from_bytes(found[0], "big") if found else None


def asking(qname: str, qtype: str) -> dns.message.Message:
    request = query(qname, qtype)
    request.use_edns(0, options=[dns.edns.GenericOption(EXPIRE, b"")])
    return request


def asked(zone: Serving, qname: str = "example.", qtype: str = "SOA", transport: str = "udp") -> int | None:
    return said(dns.message.from_wire(zone.octets(asking(qname, qtype).to_wire(), transport)))


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_primary_says_what_its_soa_says(transport):
    zone = serve(ZONE)
    assert asked(zone, transport=transport) == 3600000
    assert asked(zone, "EXAMPLE.", transport=transport) == 3600000
    assert said(zone.ask("example.", "SOA", payload=1232, transport=transport)) is None


def test_nothing_but_the_soa_of_the_zone_has_it():
    zone = serve(ZONE)
    assert asked(zone, "ns.example.", "A") is None
    assert asked(zone, "example.", "NS") is None
    assert asked(zone, "ns.example.", "SOA") is None


@pytest.mark.parametrize(("left", "expected"), [(600, 600), (0, 0), (-1, 0), (2**40, 2**32 - 1)])
def test_of_a_zone_that_expires_here_the_rest_is_said(left, expected):
    zone = serve(ZONE)
    slot = zone.slots["example."]
    slot.expires_at = NOW + left
    assert (slot.expires_at, slot.seconds_to_expiry(NOW)) == (NOW + left, expected)
    assert asked(zone) == expected
    slot.expires_at = None
    assert slot.expires_at is None
    assert asked(zone) == 3600000


def test_a_slot_without_a_version_says_nothing():
    assert ZoneSlot(name_from_text("example.")).seconds_to_expiry(NOW) is None


def test_the_answer_leaves_room_for_it():
    """In 512 octets a little less fits, and what does not is told by TC as ever."""
    zone = serve(ZONE + "".join(f"@ NS {'n' * 40}{i}\n" for i in range(8)))
    response = dns.message.from_wire(zone.octets(asking("example.", "SOA").to_wire(), "udp"))
    assert said(response) == 3600000


def test_transfers_say_it_in_each_message_to_who_asks():
    version = sealed(signed(built(ZONE + "".join(f"h{i} A 192.0.2.{i}\n" for i in range(60)))))
    position, seen = 0, []
    while position != -1:
        octets, position = version.transfer(asking("example.", "AXFR").to_wire(), position, 1000, expire=77)
        seen.append(said(dns.message.from_wire(octets)))
    assert len(seen) > 3
    assert set(seen) == {77}
    octets, _ = version.transfer(query("example.", "AXFR", payload=1232).to_wire(), expire=77)
    assert said(dns.message.from_wire(octets)) is None
