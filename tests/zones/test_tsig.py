"""TSIG beside dnspython, which signs and verifies on its own, and what RFC 8945 says of everything that is wrong."""

import time

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import dns.tsig
import pytest

from engine import find_tsig
from keys import tsigfile
from keys.tsigfile import TSIGKey
from zones.errors import TSIGError
from zones.tsig import (
    ALGORITHMS,
    BADKEY,
    BADSIG,
    BADTIME,
    BADTRUNC,
    FORMERR,
    NOTAUTH,
    UNSIGNED_IN_A_ROW,
    Keyring,
    Rejected,
    Signed,
    StreamSigner,
    StreamVerifier,
    check_request,
    name_of,
    sign_request,
)

SECRET = bytes(range(32))
KEY = TSIGKey("xfr.example.", "hmac-sha256", SECRET)
OTHER = TSIGKey("xfr.example.", "hmac-sha256", b"another secret of the same name.")
RING = Keyring([KEY])
WHOLE = [name for name in ALGORITHMS if name.count("-") == 1]
CUT = [name for name in ALGORITHMS if name.count("-") == 2]


def now():
    return int(time.time())


def query(number=4711, qname="example.org"):
    return dns.message.make_query(qname, "AXFR", id=number)


def theirs(key):
    """The key as dnspython has it."""
    return dns.tsig.Key(key.name, key.secret, key.algorithm)


def signed_by_dnspython(key=KEY, message=None):
    message = message or query()
    message.use_tsig(theirs(key))
    return message.to_wire(), message.mac


def response(number=4711, text="192.0.2.1"):
    message = dns.message.make_response(query(number))
    message.answer.append(dns.rrset.from_text("example.org.", 60, "IN", "A", text))
    return message.to_wire()


def key_of(algorithm):
    return TSIGKey("xfr.example.", algorithm, SECRET)


def error_of(signed):
    """What an answer's TSIG says: its error, its MAC, its times."""
    start, owner, rdata = find_tsig(signed)
    assert start < len(signed)
    assert owner == name_of(KEY)
    return dns.rdata.from_wire("ANY", "TSIG", rdata, 0, len(rdata))


def test_the_algorithms_of_files_are_those_that_can_be_used():
    assert sorted(tsigfile.ALGORITHMS) == sorted(ALGORITHMS)


# ------------------------------------------------------------------ what asks


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_dnspython_signs_is_right_and_comes_out_as_it_was(algorithm):
    octets, mac = signed_by_dnspython(key_of(algorithm))
    signed = check_request(octets, Keyring([key_of(algorithm)]), now())
    assert isinstance(signed, Signed)
    assert (signed.message, signed.mac, signed.key_name) == (query().to_wire(), mac, b"\3xfr\7example\0")


@pytest.mark.parametrize("algorithm", WHOLE)
def test_what_we_sign_is_right_for_dnspython(algorithm):
    octets, mac = sign_request(query().to_wire(), key_of(algorithm), now())
    message = dns.message.from_wire(octets, keyring=theirs(key_of(algorithm)))
    assert (message.had_tsig, message.mac, message.question) == (True, mac, query().question)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_we_sign_is_right_for_ourselves_and_so_is_the_answer(algorithm):
    key = key_of(algorithm)
    octets, mac = sign_request(query().to_wire(), key, now())
    signed = check_request(octets, Keyring([key]), now())
    assert isinstance(signed, Signed)
    signer = signed.answers()
    answer = signer.sign(response(), now())
    assert len(answer) == len(response()) + signer.room
    assert len(mac) == ALGORITHMS[key.algorithm].octets
    verifier = StreamVerifier(key, mac)
    assert verifier.check(answer, now()) == response()
    verifier.finish()


@pytest.mark.parametrize("algorithm", CUT)
def test_a_mac_cut_short_is_the_beginning_of_the_whole_one(algorithm):
    """As BIND sends it, which knows the whole algorithm's name alone."""
    at = now()
    _, mac = sign_request(query().to_wire(), key_of(algorithm), at)
    _, whole = sign_request(query().to_wire(), key_of(algorithm.rpartition("-")[0]), at)
    assert 0 < len(mac) < len(whole)
    assert whole.startswith(mac)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_dnspython_takes_our_answer_to_its_query(algorithm):
    octets, mac = signed_by_dnspython(key_of(algorithm))
    signed = check_request(octets, Keyring([key_of(algorithm)]), now())
    answer = signed.answers().sign(response(), now())
    message = dns.message.from_wire(answer, keyring=theirs(key_of(algorithm)), request_mac=mac)
    assert message.had_tsig
    assert message.answer[0].to_text() == "example.org. 60 IN A 192.0.2.1"


def test_what_is_not_signed_is_neither_right_nor_wrong():
    assert check_request(query().to_wire(), RING, now()) is None


def test_names_of_keys_are_of_any_case():
    octets, _ = signed_by_dnspython(TSIGKey("XFR.Example.", "hmac-sha256", SECRET))
    assert isinstance(check_request(octets, RING, now()), Signed)


def test_both_secrets_of_a_name_verify_and_the_first_signs():
    both = Keyring([KEY, OTHER])
    for key in (KEY, OTHER):
        octets, mac = sign_request(query().to_wire(), key, now())
        signed = check_request(octets, both, now())
        assert signed.key is key
        StreamVerifier(key, mac).check(signed.answers().sign(response(), now()), now())
    assert both.signing(name_of(KEY)) is KEY
    assert both.signing(b"\5other\0") is None
    assert both.names == [name_of(KEY)]


def test_a_query_that_was_forwarded_has_its_original_id_signed():
    octets, _ = sign_request(query(1).to_wire(), KEY, now())
    signed = check_request(b"\0\2" + octets[2:], RING, now())
    assert isinstance(signed, Signed)
    assert signed.message == query(2).to_wire()


# ------------------------------------------------------------------ what is wrong


@pytest.mark.parametrize(
    "key",
    [TSIGKey("other.example.", "hmac-sha256", SECRET), TSIGKey("xfr.example.", "hmac-sha512", SECRET)],
    ids=["name", "algorithm"],
)
def test_a_key_or_algorithm_that_is_not_known_is_badkey(key):
    octets, _ = sign_request(query().to_wire(), key, now())
    rejected = check_request(octets, RING, now())
    assert isinstance(rejected, Rejected)
    assert (rejected.rcode, rejected.error, rejected.message) == (NOTAUTH, BADKEY, query().to_wire())


def test_badkey_and_badsig_are_answered_without_a_mac():
    for key, error in ((TSIGKey("xfr.example.", "hmac-sha1", SECRET), BADKEY), (OTHER, BADSIG)):
        octets, mac = sign_request(query().to_wire(), key, now())
        rejected = check_request(octets, RING, now())
        answer = rejected.sign(response(), now())
        found = error_of(answer)
        assert (found.error, found.mac, found.other) == (error, b"", b"")
        assert len(answer) <= len(response()) + rejected.room
        with pytest.raises(TSIGError, match=dns.rcode.to_text(error, tsig=True)):
            StreamVerifier(key, mac).check(answer, now())


@pytest.mark.parametrize("at", [2, 15, -1, -20])
def test_a_changed_octet_is_badsig(at):
    octets, _ = sign_request(query().to_wire(), KEY, now())
    changed = bytearray(octets)
    changed[at] ^= 1
    rejected = check_request(bytes(changed), RING, now())
    assert isinstance(rejected, Rejected)
    assert rejected.error in {BADSIG, 0}
    assert rejected.rcode == (NOTAUTH if rejected.error else FORMERR)


@pytest.mark.parametrize("apart", [301, -301])
def test_clocks_apart_are_badtime_with_both_times(apart):
    octets, mac = sign_request(query().to_wire(), KEY, now())
    at = now() + apart
    rejected = check_request(octets, RING, at)
    assert (rejected.rcode, rejected.error) == (NOTAUTH, BADTIME)
    answer = rejected.sign(response(), at)
    found = error_of(answer)
    # RFC 8945 section 5.2.3: the client's time, and the server's beside it; signed, with the query's MAC.
    assert (found.error, int.from_bytes(found.other, "big"), found.fudge) == (BADTIME, at, 300)
    assert abs(found.time_signed - now()) < 60
    made, _ = dns.tsig.sign(response(), theirs(KEY), found, found.time_signed, mac)
    assert made.mac == found.mac
    with pytest.raises(TSIGError, match=f"BADTIME, its clock is at {at}") as caught:
        StreamVerifier(KEY, mac).check(answer, now())
    assert caught.value.error == BADTIME


@pytest.mark.parametrize("apart", [299, -299])
def test_clocks_may_be_five_minutes_apart(apart):
    octets, _ = sign_request(query().to_wire(), KEY, now())
    assert isinstance(check_request(octets, RING, now() + apart), Signed)


def test_a_mac_shorter_than_the_key_wants_is_badtrunc_and_signed():
    octets, mac = sign_request(query().to_wire(), key_of("hmac-sha256-128"), now())
    rejected = check_request(octets, RING, now())
    assert (rejected.rcode, rejected.error) == (NOTAUTH, BADTRUNC)
    answer = rejected.sign(response(), now())
    found = error_of(answer)
    made, _ = dns.tsig.sign(response(), theirs(KEY), found, found.time_signed, mac)
    assert found.error == BADTRUNC
    assert made.mac == found.mac


def test_a_key_that_is_cut_short_takes_the_whole_mac():
    octets, _ = sign_request(query().to_wire(), KEY, now())
    assert isinstance(check_request(octets, Keyring([key_of("hmac-sha256-128")]), now()), Signed)


@pytest.mark.parametrize("octets", [0, 9, 15, 33])
def test_a_mac_of_an_impossible_length_is_a_format_error(octets):
    """RFC 8945 section 5.2.2.1: at least ten octets and half the MAC, at most the whole."""
    message, mac = sign_request(query().to_wire(), KEY, now())
    start, owner, rdata = find_tsig(message)
    found = dns.rdata.from_wire("ANY", "TSIG", rdata, 0, len(rdata)).replace(mac=(mac + mac)[:octets])
    wire = found.to_wire()
    record = owner + b"\0\xfa\0\xff\0\0\0\0" + len(wire).to_bytes(2, "big") + wire
    rejected = check_request(message[:start] + record, RING, now())
    assert (rejected.rcode, rejected.error) == (FORMERR, 0)
    assert rejected.sign(response(), now()) == response()


def test_a_tsig_that_is_not_the_last_record_or_malformed_is_a_format_error():
    octets, _ = sign_request(query().to_wire(), KEY, now())
    twice, _ = sign_request(octets, KEY, now())
    start, _, rdata = find_tsig(octets)
    torn = octets[: -len(rdata) - 2] + b"\0\4abcd"
    for message in (twice, octets + b"x", octets[:-1], torn):
        rejected = check_request(message, RING, now())
        assert isinstance(rejected, Rejected)
        assert (rejected.rcode, rejected.error) == (FORMERR, 0)
    in_answer = octets[:6] + b"\0\1\0\0\0\0" + octets[12:]
    assert check_request(in_answer, RING, now()).rcode == FORMERR
    assert start == len(query().to_wire())


def test_no_secret_is_shown():
    octets, _ = sign_request(query().to_wire(), KEY, now())
    signed = check_request(octets, RING, now())
    late = check_request(octets, RING, now() + 1000)
    for thing in (KEY, RING, signed, late, signed.answers()):
        assert repr(SECRET)[2:-1] not in repr(thing)
        assert SECRET.hex() not in repr(thing)


# ------------------------------------------------------------------ streams


def stream(count):
    return [response(4711, f"192.0.2.{number % 256}") for number in range(count)]


def signed_stream(count=5, key=KEY):
    _, mac = sign_request(query().to_wire(), key, now())
    signer = StreamSigner(key, mac)
    return mac, [signer.sign(message, now()) for message in stream(count)]


def test_dnspython_takes_a_stream_of_ours():
    octets, mac = signed_by_dnspython()
    signer = check_request(octets, RING, now()).answers()
    context = None
    for message in stream(5):
        taken = dns.message.from_wire(
            signer.sign(message, now()), keyring=theirs(KEY), request_mac=mac, multi=True, tsig_ctx=context
        )
        context = taken.tsig_ctx
        assert taken.had_tsig
        assert taken.answer == dns.message.from_wire(message).answer


def their_stream(signs, count):
    """Messages of which dnspython signs those whose number `signs` says."""
    _, mac = sign_request(query().to_wire(), KEY, now())
    context, messages = None, []
    for number, message in enumerate(stream(count)):
        if not signs(number):
            context.update(message)
            messages.append(message)
            continue
        empty = dns.rdtypes.ANY.TSIG.TSIG("ANY", "TSIG", dns.tsig.HMAC_SHA256, now(), 300, b"", 4711, 0, b"")
        rdata, context = dns.tsig.sign(message, theirs(KEY), empty, now(), mac, context, multi=True)
        wire = rdata.to_wire()
        record = name_of(KEY) + b"\0\xfa\0\xff\0\0\0\0" + len(wire).to_bytes(2, "big") + wire
        messages.append(message[:10] + b"\0\1" + message[12:] + record)
    return mac, messages


@pytest.mark.parametrize("every", [1, 2, 100])
def test_a_stream_with_gaps_is_right(every):
    count = 2 * every + 1
    mac, messages = their_stream(lambda number: number % every == 0, count)
    verifier = StreamVerifier(KEY, mac)
    assert [verifier.check(message, now()) for message in messages] == stream(count)
    verifier.finish()


def test_a_hundred_unsigned_messages_in_a_row_are_one_too_many():
    mac, messages = their_stream(lambda number: number == 0, 101)
    verifier = StreamVerifier(KEY, mac)
    for message in messages[: UNSIGNED_IN_A_ROW + 1]:
        verifier.check(message, now())
    with pytest.raises(TSIGError, match="more than 99"):
        verifier.check(messages[-1], now())


def test_a_stream_that_ends_unsigned_or_before_it_began_is_not_right():
    mac, messages = their_stream(lambda number: number == 0, 2)
    verifier = StreamVerifier(KEY, mac)
    with pytest.raises(TSIGError, match="nothing came"):
        verifier.finish()
    for message in messages:
        verifier.check(message, now())
    with pytest.raises(TSIGError, match="last message is not signed"):
        verifier.finish()


def test_the_first_message_has_to_be_signed_and_what_it_says_is_told():
    _, mac = sign_request(query().to_wire(), KEY, now())
    refused = dns.message.make_response(query())
    refused.set_rcode(dns.rcode.REFUSED)
    with pytest.raises(TSIGError, match="not signed, and it says REFUSED"):
        StreamVerifier(KEY, mac).check(refused.to_wire(), now())


@pytest.mark.parametrize("at", range(5))
def test_a_message_left_out_changed_or_put_in_another_place_is_noticed(at):
    mac, messages = signed_stream()
    changed = bytearray(messages[at])
    changed[30] ^= 1
    wrong = [
        [*messages[:at], *messages[at + 1 :], messages[at]] if at < 4 else [*messages[:3], messages[4], messages[3]],
        [*messages[:at], bytes(changed), *messages[at + 1 :]],
        [*messages[:at], response(4711, "198.51.100.1"), *messages[at:]],
    ]
    for one in wrong:
        verifier = StreamVerifier(KEY, mac)
        with pytest.raises(TSIGError):  # noqa: PT012 (which of them, depends)
            for message in one:
                verifier.check(message, now())
            verifier.finish()


def test_the_answer_to_another_query_is_not_the_answer():
    _, messages = signed_stream()
    _, mac = sign_request(query(7).to_wire(), KEY, now())
    with pytest.raises(TSIGError, match="wrong") as caught:
        StreamVerifier(KEY, mac).check(messages[0], now())
    assert caught.value.error == BADSIG


def test_another_key_s_answer_is_not_the_answer():
    mac, messages = signed_stream(key=TSIGKey("other.example.", "hmac-sha256", SECRET))
    with pytest.raises(TSIGError, match="another key"):
        StreamVerifier(KEY, mac).check(messages[0], now())


def test_an_answer_that_is_late_is_not_taken():
    mac, messages = signed_stream()
    with pytest.raises(TSIGError, match="clocks") as caught:
        StreamVerifier(KEY, mac).check(messages[0], now() + 400)
    assert caught.value.error == BADTIME


def test_nothing_that_is_no_message_is_taken():
    with pytest.raises(TSIGError):
        StreamVerifier(KEY, b"").check(b"\0\1\x80", now())
    assert check_request(b"\0\1", RING, now()).rcode == FORMERR
