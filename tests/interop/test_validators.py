"""Whether BIND, ldns and Knot DNS find our signed zones right, answer by answer and whole."""

import subprocess
from pathlib import Path

import pytest

from tools.servers import delv, program

ORIGIN = "example.test."


@pytest.fixture
def dumped(serve, tmp_path):
    """A sealed zone of two thousand records, as `zone dump --signed` writes it."""
    server = serve(ORIGIN, 2000)
    server.wait_sealed(ORIGIN)
    path = tmp_path / "dump.zone"
    path.write_text(server.dump(ORIGIN))
    return path


def judge(*words: str | Path) -> None:
    """Run a checker that must be content."""
    done = subprocess.run(
        [program(str(words[0])), *map(str, words[1:])], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.mark.peer("dnssec-verify")
def test_dnssec_verify_is_content_with_a_sealed_dump(dumped):
    judge("dnssec-verify", "-z", "-q", "-o", ORIGIN, dumped)


@pytest.mark.peer("ldns-verify-zone")
def test_ldns_verify_zone_is_content_with_a_sealed_dump(dumped):
    judge("ldns-verify-zone", "-V", "1", dumped)


@pytest.mark.peer("kzonecheck")
def test_kzonecheck_is_content_with_a_sealed_dump(dumped):
    judge("kzonecheck", "-d", "on", "-o", ORIGIN, dumped)


@pytest.mark.peer("named-checkzone")
def test_named_checkzone_loads_a_sealed_dump(dumped):
    judge("named-checkzone", "-i", "none", ORIGIN, dumped)


ZONE = """$ORIGIN example.test.
$TTL 300
@ SOA ns1 hostmaster 1 7200 900 1209600 300
@ NS ns1
@ MX 10 mail
ns1 A 192.0.2.1
mail A 192.0.2.25
www CNAME host
host A 192.0.2.80
host AAAA 2001:db8::80
*.wild A 192.0.2.99
*.alias CNAME host
a.b.ent TXT "below an empty non-terminal"
signed NS ns.signed
signed DS 12345 13 2 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
ns.signed A 192.0.2.10
plain NS ns.plain
ns.plain A 192.0.2.11
_443._tcp.host TLSA 3 1 1 bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
svc HTTPS 1 . alpn=h2
"""

VALIDATED = [
    (ORIGIN, "SOA"),
    (ORIGIN, "DNSKEY"),
    (ORIGIN, "MX"),
    ("host." + ORIGIN, "A"),
    ("www." + ORIGIN, "AAAA"),
    ("any.thing.wild." + ORIGIN, "A"),
    ("x.alias." + ORIGIN, "A"),
    ("_443._tcp.host." + ORIGIN, "TLSA"),
    ("svc." + ORIGIN, "HTTPS"),
    ("signed." + ORIGIN, "DS"),
]
DENIED = [
    ("host." + ORIGIN, "TXT", "NODATA"),
    ("b.ent." + ORIGIN, "A", "NODATA"),
    ("any.wild." + ORIGIN, "TXT", "NODATA"),
    ("nothing." + ORIGIN, "A", "NXDOMAIN"),
    ("deep.er.nothing." + ORIGIN, "A", "NXDOMAIN"),
    ("plain." + ORIGIN, "DS", "NODATA"),
]


@pytest.fixture
def small(run, tmp_path):
    """The little zone above, signed."""
    from tests.interop.conftest import SIGNED, corefile
    from tools.servers import Zonewright

    file = tmp_path / "small.zone"
    file.write_text(ZONE)
    server = run(Zonewright, corefile=corefile(SIGNED, ORIGIN, file))
    server.wait_served(ORIGIN)
    return server


@pytest.mark.peer("delv")
def test_delv_validates_every_kind_of_positive_answer(small, anchors_of):
    anchors = anchors_of(small, ORIGIN)
    for qname, qtype in VALIDATED:
        done = delv(small, qname, qtype, anchors, ORIGIN)
        assert "; fully validated" in done.stdout, f"{qname} {qtype}\n{done.stdout}{done.stderr}"


@pytest.mark.peer("delv")
def test_delv_validates_every_kind_of_denial(small, anchors_of):
    anchors = anchors_of(small, ORIGIN)
    for qname, qtype, kind in DENIED:
        done = delv(small, qname, qtype, anchors, ORIGIN)
        said = done.stdout + done.stderr
        assert "negative response, fully validated" in said, f"{qname} {qtype} {kind}\n{said}"


@pytest.mark.peer("delv")
def test_delv_refuses_a_foreign_trust_anchor(small, tmp_path):
    """The harness itself is checked: a wrong anchor must not validate."""
    from tools.servers import trust_anchors

    anchors = tmp_path / "wrong"
    anchors.write_text(trust_anchors(ORIGIN, ["12345 13 2 " + "ab" * 32]))
    done = delv(small, "host." + ORIGIN, "A", anchors, ORIGIN)
    assert "fully validated" not in done.stdout
