"""Whether the judges of other projects find every way of denial right: whole zones, and answer by answer."""

import signal
import subprocess
from pathlib import Path

import pytest

from tests.interop.conftest import SIGNED, UNSIGNED, corefile
from tests.interop.test_validators import DENIED, ORIGIN, VALIDATED, ZONE, judge
from tools import make_zone
from tools.servers import Zonewright, delv, program, trust_anchors

CHOICES = ["nsec3", "nsec3 opt-out", "nsec3 iterations 5 salt aabbccdd", "compact"]
HOLDING = UNSIGNED.replace("{file} {origin}", "{file} {origin} {{\n        presigned hold\n    }}")


@pytest.fixture(params=CHOICES)
def denial(request):
    """What stands behind `denial` in the Corefile."""
    return request.param


@pytest.fixture
def server(run, tmp_path, denial):
    """The little zone of the other tests and a thousand records more, signed and sealed."""
    file = tmp_path / "small.zone"
    more = [record for record in make_zone.records("more." + ORIGIN, 1000, 3) if record[2] != "SOA"]
    file.write_text(ZONE + "".join(" ".join(map(str, record)) + "\n" for record in more))
    template = SIGNED.replace("    dnssec\n", f"    dnssec {{{{\n        denial {denial}\n    }}}}\n")
    server = run(Zonewright, corefile=corefile(template, ORIGIN, file))
    server.wait_served(ORIGIN)
    server.wait_sealed(ORIGIN)
    return server


@pytest.fixture
def dumped(server, tmp_path):
    """The zone as `zone dump --signed` writes it."""
    path = tmp_path / "dump.zone"
    path.write_text(server.dump(ORIGIN))
    return path


def validate(server: Zonewright, anchors: Path, *, opt_out: bool) -> None:
    """Ask delv of every kind of answer. What opt-out leaves open is insecure to it (RFC 5155 section 9.2)."""
    for qname, qtype, *denied in [*VALIDATED, *DENIED]:
        done = delv(server, qname, qtype, anchors, ORIGIN)
        said = done.stdout + done.stderr
        wanted = "negative response, fully validated" if denied else "; fully validated"
        is_open = opt_out and (denied or ".wild." in qname or ".alias." in qname)
        assert (
            wanted in said
            or (is_open and "; unsigned answer" in said.lower())
            or (is_open and "negative response, unsigned" in said)
        ), f"{qname} {qtype}\n{said}"


@pytest.mark.peer("dnssec-verify", "ldns-verify-zone", "kzonecheck", "named-checkzone")
def test_four_checkers_are_content_with_a_sealed_dump(dumped, denial):
    kind = "NSEC3" if denial.startswith("nsec3") else "NSEC"
    assert f"\tIN\t{kind}\t" in dumped.read_text()
    judge("dnssec-verify", "-z", "-q", "-o", ORIGIN, dumped)
    judge("ldns-verify-zone", "-V", "1", dumped)
    judge("kzonecheck", "-d", "on", "-o", ORIGIN, dumped)
    judge("named-checkzone", "-i", "none", ORIGIN, dumped)


@pytest.mark.peer("delv")
def test_delv_validates_what_is_signed_and_the_same_zone_presigned(server, run, dumped, anchors_of, denial):
    anchors = anchors_of(server, ORIGIN)
    validate(server, anchors, opt_out="opt-out" in denial)
    brought = run(Zonewright, corefile=corefile(HOLDING, ORIGIN, dumped))
    brought.wait_served(ORIGIN)
    validate(brought, anchors, opt_out="opt-out" in denial)


def command(*words: str | Path) -> str:
    """What a program of BIND's says."""
    done = subprocess.run([program(str(words[0])), *map(str, words[1:])], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.peer("dnssec-signzone", "dnssec-keygen", "dnssec-dsfromkey", "delv")
@pytest.mark.parametrize("words", [["-3", "-"], ["-3", "aabb", "-H", "4", "-A"], []], ids=["nsec3", "opt-out", "nsec"])
def test_a_zone_that_bind_signed_is_served_as_it_is(run, tmp_path, words):
    source, signed = tmp_path / "bind.zone", tmp_path / "bind.signed"
    keygen = ("dnssec-keygen", "-q", "-K", tmp_path, "-a", "13")
    ksk, zsk = command(*keygen, "-f", "KSK", ORIGIN), command(*keygen, ORIGIN)
    source.write_text(ZONE + "".join((tmp_path / f"{name}.key").read_text() for name in (ksk, zsk)))
    command("dnssec-signzone", "-q", "-d", tmp_path, "-K", tmp_path, "-o", ORIGIN, "-f", signed, *words, source)
    anchors = tmp_path / "anchors"
    _, _, ds = command("dnssec-dsfromkey", "-2", tmp_path / f"{ksk}.key").partition(" DS ")
    anchors.write_text(trust_anchors(ORIGIN, [ds]))
    server = run(Zonewright, corefile=corefile(HOLDING, ORIGIN, signed))
    server.wait_served(ORIGIN)
    validate(server, anchors, opt_out="-A" in words)


def test_a_stopped_server_s_state_gives_the_same_dump(server, dumped):
    server.stop()
    assert server.dump(ORIGIN) == dumped.read_text()


@pytest.mark.peer("dnssec-verify")
def test_denial_is_changed_by_the_corefile_while_it_serves(run, tmp_path):
    file = tmp_path / "small.zone"
    file.write_text(ZONE)
    server = run(Zonewright, corefile=corefile(SIGNED, ORIGIN, file))
    server.wait_sealed(ORIGIN)
    for serial, denial in ((2, "nsec3"), (3, "nsec3 opt-out"), (4, "nsec")):
        template = SIGNED.replace("    dnssec\n", f"    dnssec {{{{\n        denial {denial}\n    }}}}\n")
        server.write_corefile(corefile(template, ORIGIN, file))
        server.process.send_signal(signal.SIGHUP)
        server.wait_sealed(ORIGIN, serial=serial)
        path = tmp_path / f"{serial}.zone"
        path.write_text(server.dump(ORIGIN))
        assert ("\tNSEC3PARAM\t" in path.read_text()) == (denial != "nsec")
        judge("dnssec-verify", "-z", "-q", "-o", ORIGIN, path)
