"""What servers say to every way of asking, after ISC's EDNS compliance set: ours beside BIND, NSD and Knot DNS.

Compared are what a resolver acts on: response code, header bits, whether there is an OPT, its version and flags, the
counts of question and answer, and that no unknown option comes back.
"""

import socket
import struct

import dns.flags
import dns.message
import dns.name
import dns.rcode
import pytest

from tests.interop.conftest import SIGNED, corefile
from tools.servers import LOOPBACK, Knot, Named, Nsd, Zone, Zonewright

ORIGIN = "example.test."
ZONE = """$ORIGIN example.test.
$TTL 300
@ SOA ns1 hostmaster 1 7200 900 1209600 300
@ NS ns1
ns1 A 192.0.2.1
alias CNAME ns1
""" + "".join(f'large TXT "{letter * 200}"\n' for letter in "abcdefgh")

NSID, SUBNET, EXPIRE, COOKIE, KEEPALIVE, PADDING, UNKNOWN = 3, 8, 9, 10, 11, 12, 100
OPTIONS = {
    NSID: b"",
    SUBNET: bytes.fromhex("00010000"),
    EXPIRE: b"",
    COOKIE: bytes(range(8)),
    PADDING: bytes(8),
    UNKNOWN: b"unknown",
}
DO = 0x8000


def query(
    qname=ORIGIN, qtype=6, *, flags=0, qclass=1, edns=None, version=0, bits=0, options=(), questions=1, opts=1, more=b""
):
    """One query; `edns` is the size of its OPT, None for none."""
    question = dns.name.from_text(qname).to_wire() + struct.pack("!HH", qtype, qclass)
    data = b"".join(struct.pack("!HH", code, len(OPTIONS[code])) + OPTIONS[code] for code in options)
    opt = b"" if edns is None else struct.pack("!BHHBBHH", 0, 41, edns, 0, version, bits, len(data)) + data
    count = 0 if edns is None else opts
    return struct.pack("!6H", 4711, flags, questions, 0, 0, count) + question * questions + opt * count + more


CASES = {
    "plain": query(),
    "plain-nodata": query(qtype=1),
    "plain-nxdomain": query("none." + ORIGIN),
    "plain-alias": query("alias." + ORIGIN, 1),
    "plain-refused": query("example.org."),
    "plain-type666": query(qtype=666),
    "flag-aa": query(flags=0x0400),
    "flag-tc": query(flags=0x0200),
    "flag-rd": query(flags=0x0100),
    "flag-ra": query(flags=0x0080),
    "flag-z": query(flags=0x0040),
    "flag-ad": query(flags=0x0020),
    "flag-cd": query(flags=0x0010),
    "flag-all": query(flags=0x07F0),
    "edns@0": query(edns=1232),
    "edns@0-nxdomain": query("none." + ORIGIN, edns=1232),
    "edns@0-refused": query("example.org.", edns=1232),
    "edns@0-type666": query(qtype=666, edns=1232),
    "edns@0-size-0": query(edns=0),
    "edns@0-size-511": query(edns=511),
    "edns@0-size-65535": query(edns=65535),
    "edns@1": query(edns=1232, version=1),
    "edns@255": query(edns=1232, version=255),
    "edns@1-options": query(edns=1232, version=1, options=(UNKNOWN,)),
    "edns@1-flags": query(edns=1232, version=1, bits=0x0080),
    "edns@1-do": query(edns=1232, version=1, bits=DO),
    "unknown-flag": query(edns=1232, bits=0x0080),
    "unknown-flags": query(edns=1232, bits=0x3FFF),
    "unknown-option": query(edns=1232, options=(UNKNOWN,)),
    "do": query(edns=1232, bits=DO),
    "do-nodata": query(qtype=1, edns=1232, bits=DO),
    "do-nxdomain": query("none." + ORIGIN, edns=1232, bits=DO),
    "do-dnskey": query(qtype=48, edns=4096, bits=DO),
    "do-unknown-flag": query(edns=1232, bits=DO | 0x0080),
    "do-ad-cd": query(flags=0x0030, edns=1232, bits=DO),
    "nsid": query(edns=1232, options=(NSID,)),
    "subnet": query(edns=1232, options=(SUBNET,)),
    "expire": query(edns=1232, options=(EXPIRE,)),
    "cookie": query(edns=1232, options=(COOKIE,)),
    "padding": query(edns=1232, options=(PADDING,)),
    "optlist": query(edns=1232, options=(NSID, SUBNET, EXPIRE, COOKIE)),
    "optlist-do": query(edns=1232, bits=DO, options=(NSID, SUBNET, EXPIRE, COOKIE, UNKNOWN)),
    "two-opts": query(edns=1232, opts=2),
    "512-large": query("large." + ORIGIN, 16, edns=512),
    "512-large-do": query("large." + ORIGIN, 16, edns=512, bits=DO),
    "plain-large": query("large." + ORIGIN, 16),
    "4096-large": query("large." + ORIGIN, 16, edns=4096),
    "class-any": query(qclass=255),
    "class-none": query(qclass=254),
    "opcode-1": query(flags=0x0800),
    "opcode-2": query(flags=0x1000),
    "opcode-15": query(flags=0x7800),
    "opcode-15-edns": query(flags=0x7800, edns=1232),
    "response": query(flags=0x8000),
    "two-questions": query(questions=2),
    "trailing-octet": query(more=b"\0"),
}

CD = "CD is copied (RFC 4035 section 3.1.6)"
CLASS = "no answer to class ANY is authoritative (RFC 1034 section 3.7.1), and no zone is of class NONE (RFC 2136)"
HEAD = "what cannot be read as one query gets its header back and nothing of its body"
OPCODE = "an opcode that is not known says nothing of the rest of the message (RFC 1035 section 4.1.1)"
ACCEPTED = {
    **dict.fromkeys([(case, peer) for case in ("flag-cd", "flag-all", "do-ad-cd") for peer in ("nsd", "knotd")], CD),
    ("edns@1-do", "nsd"): "DO is copied in every response with an OPT (RFC 6891 section 6.1.4)",
    **dict.fromkeys([("class-any", "named"), ("class-any", "nsd"), ("class-any", "knotd")], CLASS),
    **dict.fromkeys([("class-none", "named"), ("class-none", "nsd")], CLASS),
    **dict.fromkeys([("two-opts", "named"), ("two-opts", "knotd"), ("two-questions", "knotd")], HEAD),
    **dict.fromkeys([("trailing-octet", "named"), ("trailing-octet", "nsd"), ("trailing-octet", "knotd")], HEAD),
    **dict.fromkeys([(f"opcode-{which}", "knotd") for which in ("1", "2", "15", "15-edns")], OPCODE),
    ("opcode-15-edns", "named"): OPCODE,
}
"""(case, peer) → what differs there, and why ours is right."""


def ask(server, octets, *, tcp):
    """The answer, None for silence."""
    kind = socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as asking:
        asking.settimeout(2.0 if not tcp else 5.0)
        asking.connect((LOOPBACK, server.port))
        try:
            if not tcp:
                asking.send(octets)
                return asking.recv(65535)
            asking.sendall(struct.pack("!H", len(octets)) + octets)
            stream = asking.makefile("rb")
            head = stream.read(2)
            return stream.read(int.from_bytes(head, "big")) if len(head) == 2 else None
        except (TimeoutError, ConnectionResetError):
            return None


def facts(octets):
    """What a resolver acts on."""
    if octets is None:
        return "silence"
    message = dns.message.from_wire(octets, ignore_trailing=True, raise_on_truncation=False)
    bits = [name for name in ("AA", "TC", "RD", "RA", "AD", "CD") if message.flags & dns.flags.Flag[name]]
    z = ["Z"] if int.from_bytes(octets[2:4], "big") & 0x40 else []
    opt = "no OPT"
    if message.edns >= 0:
        unknown = [int(option.otype) for option in message.options if option.otype in {UNKNOWN, PADDING, KEEPALIVE}]
        opt = f"OPT {message.edns} {message.ednsflags & 0xFFFF:04x} {unknown or ''}".rstrip()
    counts = f"{octets[5]} {int.from_bytes(octets[6:8], 'big') if not message.flags & dns.flags.TC else 'part'}"
    return " ".join([dns.rcode.to_text(message.rcode()), *bits, *z, counts, opt])


@pytest.mark.peer("named", "nsd", "knotd")
def test_every_way_of_asking_is_answered_as_three_others_answer_it(run, tmp_path):
    file = tmp_path / "small.zone"
    file.write_text(ZONE)
    ours = run(Zonewright, corefile=corefile(SIGNED, ORIGIN, file))
    ours.wait_sealed(ORIGIN)
    dump = tmp_path / "dump.zone"
    dump.write_text(ours.dump(ORIGIN))
    peers = [run(kind, zones=[Zone(ORIGIN, dump)]) for kind in (Named, Nsd, Knot)]
    different = {}
    for name, octets in CASES.items():
        for tcp in (False, True):
            mine = facts(ask(ours, octets, tcp=tcp))
            for peer in peers:
                theirs = facts(ask(peer, octets, tcp=tcp))
                if mine != theirs:
                    different[name, peer.name] = f"ours {mine}, theirs {theirs}"
    left = {key: said for key, said in different.items() if key not in ACCEPTED}
    assert not left, "\n".join(f"{key}: {said}" for key, said in left.items())
    assert set(ACCEPTED) <= set(different), "no longer different"
