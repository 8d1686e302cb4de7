from dataclasses import replace

import dns.dnssec
import dns.name
import dns.rdata
import pytest

from keys.ds import DELETE_CDNSKEY, DELETE_CDS, SHA256, SHA384, cdnskey_rdatas, cds_rdatas, ds_rdata
from keys.policy import DEFAULT, INSECURE, Policy
from keys.states import Goal, Key, RecordKind, RecordState, Standing

# RFC 6605 section 6.1, RFC 6605 section 6.2 and RFC 8080 section 6.1; each is checked against dnspython below.
EXAMPLES = [
    (
        "257 3 13 GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6edbkrSqQpF64cYbcB7wNcP+e+MAnLr+Wi9xMWyQLc8NAA==",
        SHA256,
        "55648 13 2 b4c8c1fe2e7477127b27115656ad6256f424625bf5c1e2770ce6d6e37df61d17",
    ),
    (
        "257 3 14 xKYaNhWdGOfJ+nPrL8/arkwf2EY3MDJ+SErKivBVSum1w/egsXvSADtNJhyem5RCOpgQ6K8X1DRSEkrbYQ+OB+v8/uX45NBwY8rp65F6Glur8I/mlVNgF6W/qTI37m40",
        SHA384,
        "10771 14 4 72d7b62976ce06438e9c0bf319013cf801f09ecc84b8d7e9495f27e305c6a9b0563a9b5f4d288405c3008a946df983d6",
    ),
    (
        "257 3 15 l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=",
        SHA256,
        "3613 15 2 3aa5ab37efce57f737fc1627013fee07bdf241bd10f3b1964ab55c78e79a304b",
    ),
]


def key_of(dnskey: bytes, tag: int, origin: bytes, word: str = "ooor") -> Key:
    letters = {state.value[0]: state for state in RecordState}
    return Key(
        id="k",
        origin=origin,
        view="",
        algorithm=dnskey[3],
        is_ksk=True,
        is_zsk=True,
        dnskey=dnskey,
        tag=tag,
        goal=Goal.PRESENT,
        states={kind: Standing(letters[letter], 0) for kind, letter in zip(RecordKind, word, strict=True)},
        created_at=0,
    )


@pytest.mark.parametrize(("dnskey", "digest_type", "expected"), EXAMPLES)
def test_the_ds_of_the_rfcs_examples(dnskey: str, digest_type: int, expected: str) -> None:
    rdata = dns.rdata.from_text("IN", "DNSKEY", dnskey)
    # The examples of RFC 8080 are of another name.
    owner = dns.name.from_text("example.com." if dnskey.startswith("257 3 15") else "example.net.")
    key = key_of(rdata.to_wire(), dns.dnssec.key_id(rdata), owner.to_wire())
    ours = dns.rdata.from_wire("IN", "DS", wire := ds_rdata(key, digest_type), 0, len(wire)).to_text()
    assert ours == expected
    theirs = dns.dnssec.make_ds(owner, rdata, {SHA256: "SHA256", SHA384: "SHA384"}[digest_type])
    assert ours == theirs.to_text()


def test_the_digest_is_over_the_lower_case_owner() -> None:
    dnskey = dns.rdata.from_text("IN", "DNSKEY", EXAMPLES[0][0]).to_wire()
    assert ds_rdata(key_of(dnskey, 55648, b"\x07eXaMpLe\x03NET\x00")) == ds_rdata(
        key_of(dnskey, 55648, b"\x07example\x03net\x00")
    )


def test_cds_and_cdnskey_are_of_the_same_keys() -> None:
    dnskey = dns.rdata.from_text("IN", "DNSKEY", EXAMPLES[0][0]).to_wire()
    due = key_of(dnskey, 55648, b"\x00")
    early = key_of(dnskey[:-1] + b"\x01", 1, b"\x00", "oooh")
    assert cds_rdatas([early, due], DEFAULT) == [ds_rdata(due)]
    assert cdnskey_rdatas([early, due], DEFAULT) == [dnskey]


def a_key(states: str = "ooor") -> Key:
    dnskey = dns.rdata.from_text("IN", "DNSKEY", EXAMPLES[0][0]).to_wire()
    return key_of(dnskey, 55648, b"\x00", states)


def test_digests_are_the_policys_and_cdnskey_can_be_left_out() -> None:
    key = a_key()
    policy = Policy(digests=(4, 2), cdnskey=False)
    assert cds_rdatas([key], policy) == [ds_rdata(key, SHA384), ds_rdata(key, SHA256)]
    assert cdnskey_rdatas([key], policy) == []
    assert cds_rdatas([key], Policy(cds="none")) == cdnskey_rdatas([key], Policy(cds="none")) == []


@pytest.mark.parametrize(
    ("states", "is_told"),
    [
        (["ooor"], True),
        (["oooo"], False),
        (["oooo", "ooou"], True),
        (["oooo", "ooos"], True),
        (["oooo", "hhhh"], False),
    ],
)
def test_in_rollovers_alone_the_parent_is_told_while_a_ds_is_to_come_or_go(states: list[str], is_told: bool) -> None:
    """RFC 7344 section 4: the RRset says what the whole DS RRset is to be."""
    keys = [a_key(one) for one in states]
    told = [ds_rdata(keys[0])]
    assert cds_rdatas(keys, Policy(cds="rollover")) == (told if is_told else [])
    assert cds_rdatas(keys, DEFAULT) == told


def test_a_zone_that_gives_up_asks_for_no_ds_as_far_as_its_policy_asks_for_anything() -> None:
    """RFC 8078 section 4."""
    keys = [a_key("ooou")]
    assert (cds_rdatas(keys, INSECURE), cdnskey_rdatas(keys, INSECURE)) == ([DELETE_CDS], [DELETE_CDNSKEY])
    silent = replace(INSECURE, cds="none")
    assert (cds_rdatas(keys, silent), cdnskey_rdatas(keys, silent)) == ([], [])
    assert cdnskey_rdatas(keys, replace(INSECURE, cdnskey=False)) == []
    assert cds_rdatas([a_key("oooh")], INSECURE) == []
