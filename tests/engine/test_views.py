"""Several blocks of one zone on one listener: who gets a query, over the boundary, directly and by a chain."""

import dns.flags
import dns.message
import dns.rcode
import pytest

from authserver.expression import parse
from engine import Block, Clock, Declined, Predicate, Responder, SignedVersion, ZoneSlot, name_from_text
from tests.engine.asking import build

ZONE = '@ SOA ns hostmaster 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\nalias CNAME x.other.\n* TXT "{}"\n'
INSIDE = "incidr(client_ip(), '127.0.0.2/32')"


def slot(origin, text):
    one = ZoneSlot(name_from_text(origin))
    one.publish(SignedVersion(build(ZONE.format(text) + "sub NS ns.sub\nns.sub A 192.0.2.2\n", origin)))
    return one


def view(*expressions):
    program = [operation for text in expressions for operation in parse(text).program]
    return Predicate(program)


class Serving:
    """Blocks in an order: (zone, text it answers, view or None), each direct or each chained."""

    def __init__(self, *blocks, chained=False):
        self.responder = Responder(Clock())
        self.slots = [slot(origin, text) for origin, text, _ in blocks]
        self.responder.route(
            [
                Block(
                    number,
                    [0],
                    [one.origin],
                    [(one.origin, one)],
                    chained=chained,
                    view=expression and view(expression),
                    counted_as=text,
                )
                for number, (one, (_, text, expression)) in enumerate(zip(self.slots, blocks, strict=True))
            ]
        )

    def ask(self, qname, qtype="TXT", client="127.0.0.1", transport="udp", local=None, **facts):
        octets = dns.message.make_query(qname, qtype, **facts).to_wire()
        answer = self.responder.answer(0, octets, (client, 4242), transport, 0, local)
        if isinstance(answer, Declined):
            response = self.responder.answer_from(
                self.slots[answer.block], octets, transport, None, 0, answer.client, answer.local
            )
            answer = self.responder.dress(answer, response)
        return dns.message.from_wire(answer)

    def said(self, qname, **facts):
        response = self.ask(qname, **facts)
        if response.rcode() == dns.rcode.REFUSED:
            return "refused"
        return response.answer[0][0].to_text().strip('"')


@pytest.fixture(params=[False, True], ids=["direct", "chained"])
def serve(request):
    """Both ways answer alike."""
    return lambda *blocks: Serving(*blocks, chained=request.param)


def test_the_first_block_whose_view_holds_gets_the_query(serve):
    server = serve(("example.", "inside", INSIDE), ("example.", "tcp", "proto() == 'tcp'"), ("example.", "all", None))
    assert server.said("x.example.", client="127.0.0.2") == "inside"
    assert server.said("x.example.", client="127.0.0.2", transport="tcp") == "inside"
    assert server.said("x.example.", client="127.0.0.3", transport="tcp") == "tcp"
    assert server.said("x.example.", client="127.0.0.3") == "all"


def test_the_order_is_that_of_the_blocks(serve):
    server = serve(("example.", "first", "true"), ("example.", "second", INSIDE))
    assert server.said("x.example.", client="127.0.0.2") == "first"
    server = serve(("example.", "all", None), ("example.", "never", "true"))
    assert server.said("x.example.") == "all"


def test_a_query_that_no_view_takes_goes_to_the_parent_zones_and_the_root_is_last(serve):
    server = serve(
        (".", "root", "not do()"),
        ("b.example.", "b", INSIDE),
        ("example.", "parent", "type() != 'A' and proto() == 'udp'"),
        ("b.example.", "b second", "server_ip() == '127.0.0.9'"),
    )
    assert server.said("x.b.example.", client="127.0.0.2") == "b"
    assert server.said("x.b.example.") == "parent"
    assert server.said("x.b.example.", transport="tcp") == "root"
    assert server.said("x.b.example.", transport="tcp", want_dnssec=True) == "refused"


def test_a_ds_question_goes_to_the_longest_matching_proper_parent_that_takes_it(serve):
    server = serve(
        ("sub.example.", "child", None),
        ("example.", "inside", INSIDE),
        ("example.", "parent", "proto() == 'udp'"),
        (".", "root", None),
    )

    def asked(**facts):
        response = server.ask("sub.example.", "DS", **facts)
        (soa,) = response.authority
        return soa.name.to_text()

    assert asked() == "example."
    assert asked(client="127.0.0.2", transport="tcp") == "example."
    assert asked(transport="tcp") == "."
    assert server.ask("sub.example.", "SOA", transport="tcp").answer[0].name.to_text() == "sub.example."


def test_a_ds_question_below_the_apex_stays_in_the_zone(serve):
    server = serve(("sub.example.", "child", None), ("example.", "parent", None))
    (soa,) = server.ask("x.sub.example.", "DS").authority
    assert soa.name.to_text() == "sub.example."


def test_a_ds_question_whose_parent_is_not_served_is_the_zone_s_own(serve):
    (soa,) = serve(("sub.example.", "child", None)).ask("sub.example.", "DS").authority
    assert soa.name.to_text() == "sub.example."


def test_an_alias_is_followed_into_the_zone_that_the_client_would_get():
    server = Serving(
        ("example.", "first", None), ("other.", "inside", f"{INSIDE} and name() == 'x.other.'"), ("other.", "all", None)
    )
    assert [rrset[0].to_text() for rrset in server.ask("alias.example.", client="127.0.0.2").answer] == [
        "x.other.",
        '"inside"',
    ]
    assert server.ask("alias.example.").answer[-1][0].to_text() == '"all"'


def test_reverse_zones_of_a_network_are_served_by_their_names():
    server = Serving(("0.0.10.in-addr.arpa.", "small", None), ("0.10.in-addr.arpa.", "large", None))
    assert server.said("1.0.0.10.in-addr.arpa.") == "small"
    assert server.said("1.1.0.10.in-addr.arpa.") == "large"
    assert server.said("1.1.1.10.in-addr.arpa.") == "refused"


def test_a_listener_s_address_and_port_are_facts():
    server = Serving(("example.", "all", None))
    number = server.responder.bind("127.0.0.1", 0)
    port = server.responder.address(number)[1]
    origin = server.slots[0].origin
    expression = view(f"server_port() == '{port}'", "server_ip() in ['127.0.0.1', '127.0.0.7']")
    server.responder.route([Block(0, [number], [origin], [(origin, server.slots[0])], view=expression)])
    query = dns.message.make_query("x.example.", "TXT").to_wire()

    def rcode(local=None):
        answer = server.responder.answer(number, query, ("127.0.0.1", 4242), "tcp", 0, local)
        return dns.message.from_wire(answer).rcode()

    assert (rcode(), rcode("127.0.0.7"), rcode("127.0.0.8")) == (0, 0, 5)
    server.responder.stop()


def test_a_chained_block_of_a_view_is_told_by_its_number_and_its_transfers_too():
    server = Serving(("example.", "inside", INSIDE), ("example.", "all", None), chained=True)
    for qtype, client, block in (("AXFR", "127.0.0.2", 0), ("AXFR", "127.0.0.1", 1), ("IXFR", "127.0.0.2", 0)):
        query = dns.message.make_query("example.", qtype).to_wire()
        assert server.responder.answer(0, query, (client, 4242), "tcp").block == block


def test_counts_stay_with_what_a_block_is_counted_as_when_blocks_change_places():
    blocks = [("example.", "inside", INSIDE), ("example.", "all", None)]
    server = Serving(*blocks)
    server.said("x.example.", client="127.0.0.2")
    zones = [(server.slots[0].origin, one) for one in server.slots]
    server.responder.route(
        [
            Block(0, [0], [zones[1][0]], [zones[1]], view=view("not " + INSIDE), counted_as="all"),
            Block(1, [0], [zones[0][0]], [zones[0]], view=view(INSIDE), counted_as="inside"),
        ]
    )
    server.said("x.example.", client="127.0.0.2")
    server.said("x.example.")
    counts = {row[0]: row[6] for row in server.responder.counters() if row[4:6] == ("type", 16)}
    assert counts == {"inside": 2, "all": 1}


@pytest.mark.parametrize(
    "program",
    [
        [("and", None)],
        [("constant", True), ("not", None), ("choice", None)],
        [("fact", "colour")],
        [("constant", True), ("xor", None)],
        [("constant", "a"), ("matches", "(")],
        [("constant", "a"), ("within", "10.0.0.0/33")],
        [("constant", True)] + [("not", None)] * 200,
        [("constant", True)] * 10_001,
    ],
)
def test_what_is_no_program_is_refused(program):
    with pytest.raises(ValueError, match=r".+"):
        Predicate(program)


def test_kinds_that_were_mixed_all_the_same_are_false():
    query = dns.message.make_query("x.example.", "A").to_wire()
    for program in (
        [("constant", 1.0), ("negative", None), ("constant", "a"), ("+", None)],
        [("constant", True), ("constant", 1.0), ("<", None)],
        [("constant", 1.0), ("constant", 2.0), ("contains", None)],
        [("constant", "a"), ("negative", None)],
        [("constant", True), ("matches", "x")],
        [("constant", "10.0.0.1"), ("within", "10.0.0.0/8")],
        [("constant", 1.0)],
    ):
        assert not Predicate(program).holds(query, ("127.0.0.1", 1), "udp"), program
