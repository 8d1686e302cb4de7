"""Keys of every algorithm in BIND's, ldns's and our hands, in tokens too: taken over, given back, backed up while running."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.interop.conftest import SIGNED, corefile, zone_file
from tests.interop.test_validators import judge
from tests.softhsm import MODULE, SoftHSM
from tools.servers import Zonewright, delv, program, wait_until, zonewright, zonewright_command

ORIGIN = "example.test."
POLICIES = """policies:
  own:
    keys:
      - {{role: ksk, algorithm: {algorithm}{place}}}
      - {{role: zsk, algorithm: {algorithm}{place}}}
"""
ALGORITHMS = {
    "RSASHA256": 8,
    "RSASHA512": 10,
    "ECDSAP256SHA256": 13,
    "ECDSAP384SHA384": 14,
    "ED25519": 15,
    "ED448": 16,
}


def keygen(directory: Path, algorithm: str) -> list[Path]:
    """A KSK and a ZSK made by BIND; their public files."""
    directory.mkdir()
    bits = ["-b", "2048"] if algorithm.startswith("RSA") else []
    for flags in ([], ["-f", "KSK"]):
        words = [program("dnssec-keygen"), "-q", "-a", algorithm, *bits, *flags, "-K", directory, ORIGIN]
        subprocess.run(list(map(str, words)), check=True, capture_output=True, timeout=60)
    return sorted(directory.glob("K*.key"))


def judge_dump(server: Zonewright, directory: Path, origin: str = ORIGIN) -> None:
    """What transfers show is right to BIND and to ldns."""
    server.wait_served(origin)
    server.wait_sealed(origin)
    dump = directory / "dump.zone"
    dump.write_text(server.dump(origin))
    judge("dnssec-verify", "-q", "-o", origin, dump)
    judge("ldns-verify-zone", "-V", "1", dump)


@pytest.mark.peer("dnssec-keygen", "dnssec-verify", "ldns-verify-zone", "dnssec-signzone", "delv")
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_zone_of_each_algorithm_is_found_right_by_bind_and_ldns_and_its_keys_go_back_to_bind(
    algorithm: str, run: Callable[..., Zonewright], tmp_path: Path, anchors_of: Callable[[Zonewright, str], Path]
) -> None:
    file = zone_file(tmp_path, ORIGIN, 50)
    policies = tmp_path / "policies.yaml"
    policies.write_text(POLICIES.format(algorithm=algorithm.lower(), place=""))
    template = SIGNED.replace("dnssec\n", f"dnssec {{{{\n policies {policies}\n policy own\n }}}}\n")
    keys = keygen(tmp_path / "keys", algorithm)
    directory = tmp_path / "server"
    done = zonewright("key", "import", ORIGIN, *keys, "--state", directory / "state")
    assert done.returncode == 0, done.stderr
    server = run(Zonewright, directory=directory, corefile=corefile(template, ORIGIN, file))
    judge_dump(server, tmp_path)
    answer = delv(server, ORIGIN, "SOA", anchors_of(server, ORIGIN), ORIGIN)
    assert "; fully validated" in answer.stdout, answer.stdout + answer.stderr
    back = tmp_path / "back"
    back.mkdir()
    done = server.control("key", "export", ORIGIN, "--directory", back)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in back.glob("K*.key")) == sorted(path.name for path in keys)
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in back.iterdir())
    signed = tmp_path / "signed.zone"
    judge("dnssec-signzone", "-S", "-K", back, "-o", ORIGIN, "-f", signed, "-d", tmp_path, file)
    judge("dnssec-verify", "-q", "-o", ORIGIN, signed)


@pytest.mark.peer("dnssec-keygen")
def test_a_running_server_is_backed_up_and_a_new_one_goes_on_with_its_keys(
    run: Callable[..., Zonewright], tmp_path: Path
) -> None:
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("correct horse\n")
    file = zone_file(tmp_path, ORIGIN, 20)
    server = run(Zonewright, corefile=corefile(SIGNED, ORIGIN, file))
    server.wait_served(ORIGIN)
    server.wait_sealed(ORIGIN)
    saved = tmp_path / "backup"
    with_secret = ("--passphrase-file", passphrase)
    done = server.control("key", "backup", saved, *with_secret, "--json")
    assert json.loads(done.stdout) == {"zones": 1, "keys": 1}, done.stderr
    assert saved.stat().st_mode & 0o777 == 0o600
    assert server.control("key", "backup", saved, *with_secret).returncode == 1, "a file that is there stays"
    assert "whole" in server.control("key", "backup", "--verify", saved, *with_secret).stdout
    key = json.loads(server.control("key", "list", "--json").stdout)
    file.write_text(file.read_text() + "added A 192.0.2.99\n")
    server.stop()

    # Another server has begun with a key of its own; the backup takes its place while it runs.
    other = run(Zonewright, corefile=corefile(SIGNED, ORIGIN, file))
    other.wait_served(ORIGIN)
    other.wait_sealed(ORIGIN)
    refused = other.control("key", "restore", saved, *with_secret)
    assert refused.returncode == 1
    assert "is here, and not in the backup" in refused.stderr
    done = other.control("key", "restore", saved, *with_secret, "--force", "--json")
    assert [one["zone"] for one in json.loads(done.stdout)["restored"]] == [ORIGIN], done.stderr
    other.wait_served(ORIGIN)
    other.wait_sealed(ORIGIN)
    assert [one["id"] for one in json.loads(other.control("key", "list", "--json").stdout)] == [
        one["id"] for one in key
    ]
    wait_for_key(other, key[0]["dnskey"].split(" DNSKEY ")[1])
    assert len(json.loads(other.control("key", "trash", "--json").stdout)) == 1
    assert not list(other.state.glob("restore.*"))
    assert other.control("key", "purge", ORIGIN).returncode == 0
    assert json.loads(other.control("key", "trash", "--json").stdout) == []


def wait_for_key(server: Zonewright, rdata: str) -> None:
    """Until the zone is served with this DNSKEY alone."""

    def is_there() -> bool:
        answer = server.ask(ORIGIN, "DNSKEY").answer
        found = [one.to_text().replace(" ", "") for rrset in answer for one in rrset]
        return found == [rdata.replace(" ", "")]

    wait_until(is_there, 20, f"{rdata} is served\n{server.new_log[-2000:]}")


@pytest.mark.peer("dnssec-keygen")
def test_private_keys_are_in_no_log_and_no_database_under_a_passphrase(tmp_path: Path) -> None:
    (tmp_path / "passphrase").write_text("first\n")
    (tmp_path / "second").write_text("second\n")
    (public, other) = keygen(tmp_path / "keys", "RSASHA256")
    state = tmp_path / "state"
    environment = os.environ | {"ZONEWRIGHT_PASSPHRASE_FILE": str(tmp_path / "passphrase")}

    def command(*words: object, **changed: str) -> subprocess.CompletedProcess[str]:
        line = [*zonewright_command(), *map(str, words), "--state", str(state)]
        return subprocess.run(line, env=environment | changed, capture_output=True, text=True, timeout=60, check=False)

    assert command("key", "import", ORIGIN, public, other).returncode == 0
    assert command("key", "passphrase", tmp_path / "second").returncode == 0
    refused = command("key", "export", ORIGIN, "--directory", tmp_path)
    assert "does not open the private keys" in refused.stderr
    done = command(
        "key", "export", ORIGIN, "--directory", tmp_path, ZONEWRIGHT_PASSPHRASE_FILE=str(tmp_path / "second")
    )
    assert done.returncode == 0, done.stderr
    # PKCS#8 begins with these octets; nothing of that kind is anywhere in the state.
    for path in [path for path in state.rglob("*") if path.is_file()]:
        assert bytes.fromhex("300d06092a864886f70d0101010500") not in path.read_bytes(), path


@pytest.mark.peer("softhsm2-util", "dnssec-verify", "ldns-verify-zone")
def test_a_zone_whose_keys_are_in_a_token_is_signed_there(
    run: Callable[..., Zonewright], tmp_path: Path, softhsm: SoftHSM
) -> None:
    policies = tmp_path / "policies.yaml"
    policies.write_text(
        POLICIES.format(algorithm="ecdsap256sha256", place=", store: vault")
        + f"stores:\n  vault: {{kind: pkcs11, module: {MODULE}, token: {softhsm.label}, pin-file: {softhsm.pin_file}}}\n"
    )
    template = SIGNED.replace("dnssec\n", f"dnssec {{{{\n policies {policies}\n policy own\n }}}}\n")
    server = run(Zonewright, corefile=corefile(template, ORIGIN, zone_file(tmp_path, ORIGIN, 50)))
    judge_dump(server, tmp_path)
    done = server.control("key", "export", ORIGIN, "--directory", tmp_path)
    assert done.returncode == 0, done.stderr
    texts = [path.read_text() for path in tmp_path.glob("K*.private")]
    assert len(texts) == 2
    assert all("Label: pkcs11:token=zone%20keys;id=" in text and "PrivateKey" not in text for text in texts)
