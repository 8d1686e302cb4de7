"""Zones signed with keys that `dnssec-keygen` made and that stay in their files: valid, whole by transfer, after kill -9."""

import os
import signal
import subprocess
from pathlib import Path

import dns.dnssec
import dns.name
import pytest

from tests.interop.test_validators import ZONE, judge
from tools.servers import Zonewright, delv, program, wait_until

ORIGIN = "example.test."
TEMPLATE = """example.test:{port} {
    bind 127.0.0.1
    root {directory}
    file db.example.test
    dnssec {
        KEYS
    }
    transfer {
        to *
    }
}
"""
PLAIN = "denial nsec"


def keygen(directory: Path, algorithm: str, *words: str) -> str:
    """A new key of the zone in the directory; its base name."""
    command = [program("dnssec-keygen"), "-q", "-a", algorithm, "-K", str(directory), *words, ORIGIN]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip()


@pytest.fixture
def start(run, tmp_path):
    """The little zone served with these words within `dnssec`; its directory has the keys."""
    directory = tmp_path / "server"
    directory.mkdir()
    (directory / "db.example.test").write_text(ZONE)

    def start(words: str) -> Zonewright:
        server = run(Zonewright, directory=directory, corefile=TEMPLATE.replace("KEYS", words))
        server.wait_served(ORIGIN)
        return server

    return start


@pytest.fixture
def directory(tmp_path):
    """Where the server and its keys are."""
    return tmp_path / "server"


def tags(server):
    return sorted(dns.dnssec.key_id(key) for key in server.ask(ORIGIN, "DNSKEY").answer[0])


def reload(server, words):
    server.write_corefile(TEMPLATE.replace("KEYS", words))
    os.kill(server.pid, signal.SIGHUP)


def anchors(directory, *names):
    """What delv trusts: the public parts as the files have them."""
    keys = [(directory / f"{name}.key").read_text().splitlines()[-1].split() for name in names]
    path = directory / "anchors"
    lines = [f'"{key[0]}" static-key {key[3]} {key[4]} {key[5]} "{"".join(key[6:])}";' for key in keys]
    path.write_text("trust-anchors {\n" + "\n".join(lines) + "\n};\n")
    return path


@pytest.mark.peer("dnssec-keygen", "dnssec-verify", "ldns-verify-zone", "delv")
@pytest.mark.parametrize(
    "made",
    [
        [("ECDSAP256SHA256", "-f", "KSK"), ("ECDSAP256SHA256",)],
        [("ED25519", "-f", "KSK")],
        [("ECDSAP256SHA256",)],  # as CoreDNS's manual has it
        [("ECDSAP384SHA384", "-f", "KSK"), ("ED25519", "-f", "KSK"), ("ED25519",)],
    ],
    ids=["ksk-zsk", "csk", "one-without-sep", "two-algorithms"],
)
def test_what_they_sign_is_valid_by_every_judge_and_the_same_after_a_kill(start, directory, made):
    names = [keygen(directory, *words) for words in made]
    server = start(f"key file {' '.join(names)}")
    before = server.wait_sealed(ORIGIN)
    assert tags(server) == sorted(int(name[-5:]) for name in names)
    dump = directory / "dump"
    dump.write_text(server.dump(ORIGIN))
    judge("dnssec-verify", *(["-z"] if len(names) != 2 else []), "-q", "-o", ORIGIN, dump)
    judge("ldns-verify-zone", "-V", "1", dump)
    done = delv(server, "any.thing.wild.example.test.", "A", anchors(directory, *names), ORIGIN)
    assert "; fully validated" in done.stdout, done.stdout + done.stderr
    server.kill()
    server.start()
    assert server.wait_sealed(ORIGIN) == before


@pytest.mark.peer("dnssec-keygen")
def test_keepers_change_by_reload_and_back_by_import(start, directory):
    server = start(PLAIN)
    (own,) = tags(server)
    name = keygen(directory, "ECDSAP256SHA256", "-f", "KSK")
    file_tag = int(name[-5:])
    # Nobody was asked for a DS of the first key yet: it gives way.
    reload(server, f"key file {name}")
    wait_until(lambda: tags(server) == [file_tag], 20, "the key file signs")
    assert own != file_tag
    # It is named no more, but the parent may have its DS.
    reload(server, PLAIN)
    wait_until(lambda: "other-keys-sign" in server.new_log, 20, "the warning")
    assert tags(server) == [file_tag]
    server.kill()
    server.start()
    server.wait_served(ORIGIN)
    assert tags(server) == [file_tag]
    done = server.control("key", "import", ORIGIN, directory / name)
    assert done.returncode == 0, done.stdout + done.stderr
    # Now it is the state's own: the files are needed no more.
    for path in directory.glob("K*"):
        path.unlink()
    server.stop()
    server.start()
    server.wait_sealed(ORIGIN)
    assert tags(server) == [file_tag]
