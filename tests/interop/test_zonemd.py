"""The digest of a signed zone (RFC 8976): right for ldns and Knot DNS, also after a change and after a restart."""

import json
import subprocess

import pytest

from tests.interop.test_validators import judge
from tools.servers import Zonewright, program, wait_until

ORIGIN = "example.test."
COREFILE = """\
example.test:{{port}} {{
    bind 127.0.0.1
    root {{directory}}
    file db.example.test {{
        reload 100ms
    }}
    dnssec {{
        policies policies.yaml
        policy corp
        denial {denial}
    }}
}}
"""
POLICIES = "policies:\n  corp:\n    zonemd: true\n"
ZONE = "$TTL 300\n@ SOA ns1 hostmaster 7 2 3 4 5\n@ NS ns1\nns1 A 192.0.2.1\n*.Wild MX 10 Mail\nsub NS ns.sub\nns.sub A 192.0.2.2\n"


@pytest.fixture(params=["nsec", "nsec3", "nsec3 opt-out"])
def server(request, run, tmp_path):
    directory = tmp_path / "server"
    directory.mkdir()
    (directory / "db.example.test").write_text(ZONE)
    (directory / "policies.yaml").write_text(POLICIES)
    server = run(Zonewright, directory=directory, corefile=COREFILE.format(denial=request.param))
    wait_sealed(server, 1)
    return server


def wait_sealed(server, least):
    """Wait for a version that is newer, and has all its signatures."""

    def is_sealed():
        done = server.control("zone", "show", ORIGIN, "--json")
        facts = json.loads(done.stdout) if done.returncode == 0 else {}
        return bool(facts.get("sealed")) and facts["serial"] >= least

    wait_until(is_sealed, 20, "the zone is sealed")


def digest(server):
    """Serial, and the digest as it is answered."""
    (text,) = server.texts(ORIGIN, "ZONEMD")
    serial, scheme, algorithm, *octets = text.split()
    assert (scheme, algorithm) == ("1", "1")
    return int(serial), "".join(octets)


def dumped(server, tmp_path):
    path = tmp_path / "dump.zone"
    path.write_text(server.dump(ORIGIN))
    return path


@pytest.mark.peer("ldns-verify-zone")
def test_the_digest_is_right_for_ldns_after_a_change_and_after_a_restart(server, tmp_path):
    serial, first = digest(server)
    assert serial == server.serial(ORIGIN)
    judge("ldns-verify-zone", "-V", "1", "-Z", dumped(server, tmp_path))
    (server.directory / "db.example.test").write_text(ZONE + "new TXT new\n")
    wait_until(lambda: server.texts("new." + ORIGIN, "TXT"), 20, "the change is live")
    wait_sealed(server, serial + 1)
    wait_until(lambda: digest(server)[0] == server.serial(ORIGIN), 20, "the digest is of the new serial")
    wait_until(lambda: set(digest(server)[1]) != {"0"}, 20, "the digest is made")
    second = digest(server)[1]
    assert second != first
    judge("ldns-verify-zone", "-V", "1", "-Z", dumped(server, tmp_path))
    server.stop()
    server.start()
    wait_sealed(server, serial + 1)
    assert digest(server)[1] == second
    judge("ldns-verify-zone", "-V", "1", "-Z", dumped(server, tmp_path))


@pytest.mark.peer("ldns-verify-zone")
def test_ldns_refuses_a_zone_that_was_changed_behind_the_digest(server, tmp_path):
    path = dumped(server, tmp_path)
    path.write_text(path.read_text().replace("192.0.2.2", "192.0.2.3"))
    done = subprocess.run(
        [program("ldns-verify-zone"), "-V", "1", "-Z", path], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0, "glue is covered by the digest alone"
