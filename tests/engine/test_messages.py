"""What answers carry besides records: OPT and its options, cookies, sizes, extended errors."""

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from engine import Block, Clock, Cookies, Declined, Effects, Limiter, Responder, SignedVersion, ZoneSlot, name_from_text
from tests.engine.asking import NOW, build, lines, signed

ZONE = """\
$TTL 300
@ SOA ns hostmaster 1 3600 600 86400 300
@ NS ns
@ MX 10 mail
ns A 192.0.2.1
mail A 192.0.2.2
large TXT "{}"
large TXT "{}"
large TXT "{}"
*.wild A 192.0.2.3
cut NS ns.cut
ns.cut A 192.0.2.4
""".format(*(letter * 250 for letter in "abc"))

SECRET = bytes.fromhex("e5e973e5a6b2a43f48e7dc849e37bfcf")
OLD = bytes.fromhex("445536bcd2513298075a5d379663c962")
CLIENT = bytes.fromhex("2464c4abcf10c957")
COOKIE, NSID, KEEPALIVE, PADDING = 10, 3, 11, 12


class Server:
    """One block over one zone, asked without a socket; its clock stands."""

    def __init__(self, *, is_signed=False, chained=False, idle_ms=10_000, **effects):
        self.idle_ms = idle_ms
        self.clock = Clock()
        self.clock.stop_at(NOW)
        self.responder = Responder(self.clock)
        origin = name_from_text("example.")
        self.slot = ZoneSlot(origin)
        version = build(ZONE)
        self.slot.publish(signed(version) if is_signed else SignedVersion(version))
        self.effects = Effects(**effects)
        zones = [(origin, self.slot)]
        self.responder.route([Block(0, [0], [origin], zones, chained=chained, effects=self.effects)])

    def octets(self, octets, transport="udp", client="192.0.2.99"):
        answer = self.responder.answer(0, octets, (client, 4242), transport, self.idle_ms)
        if not isinstance(answer, Declined):
            return answer
        # The least that a chain does.
        response = self.responder.answer_from(self.slot, octets, transport, self.effects)
        return self.responder.dress(answer, response)

    def ask(self, qname="ns.example.", qtype="A", transport="udp", client="192.0.2.99", **edns):
        octets = self.octets(make(qname, qtype, **edns), transport, client)
        return None if octets is None else dns.message.from_wire(octets)


def make(qname="ns.example.", qtype="A", *, options=(), payload=1232, edns=0, flags=0):
    query = dns.message.make_query(qname, qtype)
    if edns is not None:
        query.use_edns(edns, flags, payload, options=[dns.edns.GenericOption(*option) for option in options])
    return query.to_wire()


def bare(options):
    """A query without a question (RFC 7873 section 5.4)."""
    query = dns.message.Message(id=1)
    query.use_edns(0, 0, 1232, options=[dns.edns.GenericOption(*option) for option in options])
    return query.to_wire()


def option(message, code):
    found = [one for one in message.options if one.otype == code]
    assert len(found) <= 1
    return found[0].to_wire() if found else None


@pytest.fixture(params=[False, True], ids=["direct", "chained"])
def serve(request):
    """A server with effects, once direct and once chained: both answer alike."""
    return lambda **effects: Server(chained=request.param, **effects)


# ------------------------------------------------------------------ NSID


def test_nsid_is_told_to_those_who_ask(serve):
    server = serve(nsid=b"ams-2")
    assert option(server.ask(options=[(NSID, b"")]), NSID) == b"ams-2"
    assert option(server.ask(), NSID) is None
    assert option(serve().ask(options=[(NSID, b"")]), NSID) is None


def test_what_belongs_to_no_block_has_the_first_blocks_nsid():
    answer = Server(nsid=b"ams-2").ask("www.test.", options=[(NSID, b"")])
    assert (answer.rcode(), option(answer, NSID)) == (dns.rcode.REFUSED, b"ams-2")


def test_an_nsid_is_at_most_128_octets():
    with pytest.raises(ValueError, match="128"):
        Effects(nsid=b"x" * 129)


# ------------------------------------------------------------------ cookies


def test_a_client_gets_a_cookie_that_is_good_from_then_on(serve):
    server = serve(cookies=Cookies([SECRET], required=True))
    first = server.ask(options=[(COOKIE, CLIENT)])
    cookie = option(first, COOKIE)
    assert (first.rcode(), len(cookie), cookie[:8], first.answer) == (dns.rcode.BADCOOKIE, 24, CLIENT, [])
    again = server.ask(options=[(COOKIE, cookie)])
    assert (again.rcode(), option(again, COOKIE)) == (dns.rcode.NOERROR, cookie)
    assert lines(again.answer) == ["ns.example. 300 A 192.0.2.1"]
    assert server.ask(options=[(COOKIE, cookie)], client="192.0.2.98").rcode() == dns.rcode.BADCOOKIE


def test_cookies_are_the_vectors_of_rfc_9018():
    server = Server(cookies=Cookies([SECRET]))
    server.clock.stop_at(1559731985)
    cookie = option(server.ask(options=[(COOKIE, CLIENT)], client="198.51.100.100"), COOKIE)
    assert cookie.hex() == "2464c4abcf10c957010000005cf79f111f8130c3eee29480"


def test_a_cookie_that_is_not_required_is_answered_and_no_more(serve):
    server = serve(cookies=Cookies([SECRET]))
    for cookie in (CLIENT, CLIENT + bytes(16), CLIENT + bytes(32)):
        answer = server.ask(options=[(COOKIE, cookie)])
        assert (answer.rcode(), len(answer.answer), len(option(answer, COOKIE))) == (dns.rcode.NOERROR, 1, 24)
    assert option(server.ask(), COOKIE) is None


def test_two_servers_with_one_secret_know_each_others_cookies():
    one, other = (Server(cookies=Cookies([SECRET], required=True)) for _ in range(2))
    cookie = option(one.ask(options=[(COOKIE, CLIENT)]), COOKIE)
    assert other.ask(options=[(COOKIE, cookie)]).rcode() == dns.rcode.NOERROR


def test_a_cookie_of_the_second_secret_is_good_and_replaced():
    old = Server(cookies=Cookies([OLD]))
    new = Server(cookies=Cookies([SECRET, OLD], required=True))
    cookie = option(old.ask(options=[(COOKIE, CLIENT)]), COOKIE)
    answer = new.ask(options=[(COOKIE, cookie)])
    assert answer.rcode() == dns.rcode.NOERROR
    assert option(answer, COOKIE) not in (cookie, None)


def test_without_a_directive_cookies_are_answered_and_with_off_they_are_not(serve):
    assert len(option(serve().ask(options=[(COOKIE, CLIENT)]), COOKIE)) == 24
    assert option(serve(cookies=Cookies([])).ask(options=[(COOKIE, CLIENT)]), COOKIE) is None


def test_who_knows_no_cookies_is_sent_to_tcp_where_they_are_required(serve):
    server = serve(cookies=Cookies([SECRET], required=True))
    for edns in (0, None):
        answer = server.ask(edns=edns)
        assert (answer.flags & dns.flags.TC, answer.answer) == (dns.flags.TC, [])
        assert len(server.ask(edns=edns, transport="tcp").answer) == 1
    assert server.responder.totals()["cookies_wanted"] == 2


@pytest.mark.parametrize("length", [0, 1, 7, 9, 15, 41, 100])
def test_an_option_of_no_cookies_length_is_a_format_error(serve, length):
    assert serve().ask(options=[(COOKIE, bytes(length))]).rcode() == dns.rcode.FORMERR


def test_of_two_cookies_the_first_counts():
    answer = Server().ask(options=[(COOKIE, CLIENT), (COOKIE, bytes(8))])
    assert option(answer, COOKIE)[:8] == CLIENT


def test_a_cookie_alone_may_be_asked_for():
    server = Server(cookies=Cookies([SECRET]))
    answer = dns.message.from_wire(server.octets(bare([(COOKIE, CLIENT)])))
    cookie = option(answer, COOKIE)
    assert (answer.rcode(), answer.question, len(cookie)) == (dns.rcode.NOERROR, [], 24)
    answer = dns.message.from_wire(server.octets(bare([(COOKIE, cookie)])))
    assert (answer.rcode(), option(answer, COOKIE)) == (dns.rcode.NOERROR, cookie)
    answer = dns.message.from_wire(server.octets(bare([(COOKIE, CLIENT + bytes(16))])))
    assert (answer.rcode(), len(option(answer, COOKIE))) == (dns.rcode.BADCOOKIE, 24)
    assert dns.message.from_wire(server.octets(bare([]))).rcode() == dns.rcode.FORMERR
    off = Server(cookies=Cookies([]))
    assert dns.message.from_wire(off.octets(bare([(COOKIE, CLIENT)]))).rcode() == dns.rcode.FORMERR


# ------------------------------------------------------------------ sizes and streams


@pytest.mark.parametrize(("size", "payload", "limit"), [(1232, 4096, 1232), (4096, 4096, 4096), (4096, 800, 800)])
def test_a_response_is_as_long_as_client_and_server_let_it_be(serve, size, payload, limit):
    server = serve(size=size)
    octets = server.octets(make("large.example.", "TXT", payload=payload))
    answer = dns.message.from_wire(octets)
    assert len(octets) <= limit
    assert (len(answer.answer), bool(answer.flags & dns.flags.TC)) == ((1, False) if limit > 831 else (0, True))
    assert answer.payload == size


def test_a_size_below_512_is_512(serve):
    answer = serve(size=512).ask("large.example.", "TXT", payload=100)
    assert answer.flags & dns.flags.TC
    assert lines(serve().ask(payload=1).answer) == ["ns.example. 300 A 192.0.2.1"]


def test_a_cookie_counts_in_the_size(serve):
    server = serve(size=850)
    plain = make("large.example.", "TXT")
    assert len(server.octets(plain)) + 28 > 850
    octets = server.octets(make("large.example.", "TXT", options=[(COOKIE, CLIENT)]))
    answer = dns.message.from_wire(octets)
    assert (bool(answer.flags & dns.flags.TC), len(option(answer, COOKIE)), answer.answer) == (True, 24, [])


def test_keepalive_is_told_in_streams_and_ignored_in_datagrams(serve):
    query = {"options": [(KEEPALIVE, b"")]}
    assert option(serve().ask(transport="tcp", **query), KEEPALIVE) == (100).to_bytes(2, "big")
    assert option(serve().ask(transport="udp", **query), KEEPALIVE) is None
    assert option(serve().ask(transport="tcp"), KEEPALIVE) is None


@pytest.mark.parametrize(("idle_ms", "tenths"), [(0, 0), (99, 0), (100, 1), (6_553_500, 65535), (86_400_000, 65535)])
def test_keepalive_is_what_is_in_force_when_the_query_comes(serve, idle_ms, tenths):
    answer = serve(idle_ms=idle_ms).ask(transport="tcp", options=[(KEEPALIVE, b"")])
    assert option(answer, KEEPALIVE) == tenths.to_bytes(2, "big")


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_no_answer_in_clear_is_padded(serve, transport):
    padded = serve().octets(make(options=[(PADDING, bytes(64))]), transport)
    assert option(dns.message.from_wire(padded), PADDING) is None
    assert len(padded) == len(serve().octets(make(), transport))


# ------------------------------------------------------------------ extended errors and response codes


@pytest.mark.parametrize(
    ("qname", "qtype", "rcode", "code"),
    [
        ("www.test.", "A", dns.rcode.REFUSED, 20),
        ("example.", "MAILB", dns.rcode.NOTIMP, 21),
        ("example.", "TYPE128", dns.rcode.FORMERR, 30),
    ],
)
def test_a_refusal_says_why(qname, qtype, rcode, code):
    answer = Server().ask(qname, qtype)
    assert (answer.rcode(), [one.code for one in answer.options]) == (rcode, [code])
    assert Server().ask(qname, qtype, edns=None).options == ()


def test_another_class_is_not_supported():
    query = dns.message.make_query("version.bind.", "TXT", "CH", use_edns=0)
    answer = dns.message.from_wire(Server().octets(query.to_wire()))
    assert (answer.rcode(), [one.code for one in answer.options]) == (dns.rcode.REFUSED, [21])


def test_extended_response_codes_are_counted_whole():
    server = Server(cookies=Cookies([SECRET], required=True))
    server.ask(options=[(COOKIE, CLIENT)])
    codes = {row[5] for row in server.responder.counters() if row[4] == "rcode"}
    assert codes == {23}


def test_what_a_chain_answered_keeps_its_own_options_and_codes():
    server = Server(chained=True, nsid=b"x")
    query = make(options=[(NSID, b"")])
    declined = server.responder.answer(0, query, ("192.0.2.99", 4242), "udp")
    response = server.responder.refuse(query, 16, 15)
    answer = dns.message.from_wire(server.responder.dress(declined, response))
    assert answer.rcode() == 16
    assert sorted(one.otype for one in answer.options) == [NSID, 15]


def test_what_a_chain_answered_without_edns_has_512_octets_and_no_more_by_udp():
    server = Server(chained=True)
    query = make("large.example.", "TXT", edns=None)
    for transport, is_cut in (("udp", True), ("tcp", False)):
        declined = server.responder.answer(0, query, ("192.0.2.99", 4242), transport)
        whole = server.responder.answer_from(server.slot, query, "tcp", server.effects)
        answer = server.responder.dress(declined, whole)
        assert len(whole) > 512
        assert (len(answer) <= 512, bool(answer[2] & 2)) == (is_cut, is_cut)


# ------------------------------------------------------------------ any and minimal


HINFO = ['example. 8482 HINFO "ANY obsoleted" "See RFC 8482"']


def test_any_gets_one_rrset_a_hinfo_or_all(serve):
    assert len(serve().ask("example.", "ANY").answer) == 1
    assert lines(serve(any_="hinfo").ask("example.", "ANY").answer) == HINFO
    assert {rrset.rdtype for rrset in serve(any_="all").ask("example.", "ANY").answer} == {2, 6, 15}
    assert serve(any_="hinfo").ask("none.example.", "ANY").rcode() == dns.rcode.NXDOMAIN


def test_in_a_signed_zone_any_gets_no_hinfo():
    answer = Server(is_signed=True, any_="hinfo").ask("example.", "ANY", flags=dns.flags.DO)
    assert {rrset.rdtype for rrset in answer.answer} == {2, 46}


def test_any_is_answered_where_a_chain_has_no_zone():
    responder = Responder(Clock())
    origin = name_from_text("example.")
    responder.route([Block(0, [0], [origin], [], chained=True, effects=Effects(any_="hinfo"))])
    answer = dns.message.from_wire(responder.answer(0, make("example.", "ANY"), ("192.0.2.1", 1), "udp"))
    assert lines(answer.answer) == HINFO


def test_minimal_answers_have_what_was_asked_for_alone(serve):
    assert len(serve().ask("example.", "MX").additional) == 1
    assert serve(minimal=True).ask("example.", "MX").additional == []
    referral = serve(minimal=True).ask("a.cut.example.")
    assert (len(referral.authority), len(referral.additional)) == (1, 1)


@pytest.mark.parametrize("chained", [False, True])
def test_minimal_keeps_the_proof_of_a_wildcard(chained):
    server = Server(is_signed=True, chained=chained, minimal=True)
    answer = server.ask("a.wild.example.", "A", flags=dns.flags.DO)
    assert {rrset.rdtype for rrset in answer.authority} == {47, 46}


# ------------------------------------------------------------------ rates


def test_alike_responses_are_limited_and_slip(serve):
    server = serve(limiter=Limiter([2, 2, 2, 2, 2, 0]))
    answers = [server.ask() for _ in range(6)]
    assert [answer and bool(answer.flags & dns.flags.TC) for answer in answers] == [
        False, False, None, True, None, True,
    ]  # fmt: skip
    assert len(server.ask("mail.example.").answer) == 1
    assert len(server.ask(transport="tcp").answer) == 1
    server.clock.stop_at(NOW + 20)
    assert len(server.ask().answer) == 1


@pytest.mark.parametrize(
    "qnames",
    [
        ["a.wild.example.", "b.wild.example.", "c.b.wild.example."],
        ["nx1.example.", "nx2.example.", "nx3.example."],
        ["a.cut.example.", "b.cut.example.", "cut.example."],
        ["a.test.", "b.test.", "c.test."],
    ],
    ids=["wildcard", "no such name", "referral", "error"],
)
def test_what_is_alike_is_one_account(qnames):
    server = Server(limiter=Limiter([1] * 5 + [0], slip=0))
    assert [server.ask(qname) is None for qname in qnames] == [False, True, True]


def test_a_good_cookie_is_not_limited():
    server = Server(limiter=Limiter([1] * 5 + [0], slip=0))
    cookie = option(server.ask(options=[(COOKIE, CLIENT)]), COOKIE)
    assert server.ask(options=[(COOKIE, CLIENT)]) is None
    assert all(len(server.ask(options=[(COOKIE, cookie)]).answer) == 1 for _ in range(5))


def test_a_slipped_response_holds_nothing_but_the_question():
    server = Server(limiter=Limiter([1] * 5 + [0], slip=1))
    server.ask()
    answer = server.ask()
    assert (answer.rcode(), len(answer.question)) == (dns.rcode.NOERROR, 1)
    assert (answer.answer, answer.authority, answer.additional) == ([], [], [])


def test_a_limiter_counts_and_its_memory_stays():
    limiter = Limiter([1] * 5 + [0], log_only=True, accounts=4096)
    server = Server(limiter=limiter)
    octets = limiter.octets
    for number in range(5000):
        server.ask(client=f"10.{number // 250}.{number % 250}.1")
    server.ask(client="10.0.0.1")
    assert limiter.octets == octets == 4096 * 8
    assert limiter.totals()["dropped"] + limiter.totals()["slipped"] == limiter.totals()["limited"]
