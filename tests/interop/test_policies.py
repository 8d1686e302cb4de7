"""Policies of a file at a real server: what they say is in the zone, an edit of them goes live, a broken one does not."""

import json
import signal
import time
from datetime import UTC, datetime

import pytest

from tests.interop.test_validators import judge
from tools.servers import Zonewright, wait_until, zonewright

COREFILE = """\
example.org:{port} {
    bind 127.0.0.1
    root {directory}
    file db.example.org {
        reload 0
    }
    dnssec {
        policies policies.yaml
        policy corp
    }
}
"""
ZONE = "$TTL 300\n@ SOA ns1 hostmaster 7 2 3 4 5\n@ NS ns1\nns1 A 192.0.2.1\nlong 1073741724 A 192.0.2.2\n"
POLICIES = """\
policies:
  corp:
    extends: nsec3
    keys: [{role: csk, algorithm: ed25519}]
    max-zone-ttl: 2d
    dnskey-ttl: 1h30m
    serial: unixtime
    digests: [4, 2]
"""


@pytest.fixture
def server(run, tmp_path):
    directory = tmp_path / "server"
    directory.mkdir()
    (directory / "db.example.org").write_text(ZONE)
    (directory / "policies.yaml").write_text(POLICIES)
    server = run(Zonewright, directory=directory, corefile=COREFILE)
    server.wait_served("example.org.")
    wait_until(lambda: facts(server)["sealed"], 20, "the zone is sealed")
    return server


def facts(server):
    """What `zone show` says."""
    done = server.control("zone", "show", "example.org", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def ttl(server, qname, qtype):
    """The TTL of what is answered."""
    return server.ask(qname, qtype).answer[0].ttl


@pytest.mark.peer("dnssec-verify", "ldns-verify-zone")
def test_what_a_policy_says_is_in_the_zone(server, tmp_path):
    dump = tmp_path / "dump.zone"
    dump.write_text(server.dump("example.org"))
    judge("dnssec-verify", "-z", "-q", "-o", "example.org", dump)
    judge("ldns-verify-zone", "-V", "1", dump)
    assert "\tNSEC3\t" in dump.read_text()
    assert [rdata.algorithm for rdata in server.ask("example.org.", "DNSKEY").answer[0]] == [15]
    assert ttl(server, "example.org.", "DNSKEY") == 5400
    assert ttl(server, "long.example.org.", "A") == 2 * 86400
    shown = facts(server)
    assert shown["policy"] == "corp"
    assert abs(shown["serial"] - time.time()) < 600
    (found,) = [one for one in shown["findings"] if "ttl-capped" in one]
    assert "TTLs of 1 RRsets are shortened to the policy's max-zone-ttl 2d" in found
    assert "the longest is 1073741724 of long.example.org. A" in found
    assert "\tcorp\t" in server.control("zone", "list").stdout
    ds = server.control("key", "ds", "example.org").stdout
    assert [line.split()[6] for line in ds.splitlines() if "\tDS" in line or " DS " in line] == ["4", "2"]


def test_an_edited_policy_goes_live_and_a_broken_one_leaves_what_serves(server):
    before = facts(server)["serial"]
    (server.directory / "policies.yaml").write_text(POLICIES.replace("unixtime", "date").replace("2d", "3d"))
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: ttl(server, "long.example.org.", "A") == 3 * 86400, 20, server.new_log[-2000:])
    shown = facts(server)
    today = int(datetime.now(UTC).strftime("%Y%m%d"))
    assert abs(shown["serial"] // 100 - today) <= 1
    assert shown["serial"] > before
    (server.directory / "policies.yaml").write_text(POLICIES.replace("2d", "6d").replace("dnskey", "dnskye"))
    server.process.send_signal(signal.SIGHUP)
    path = server.directory / "policies.yaml"
    wait_until(lambda: "the old configuration serves on" in server.new_log, 20, server.new_log[-2000:])
    assert f"{path}:6:5: policy corp: 'dnskye-ttl' is unknown; did you mean 'dnskey-ttl'?" in server.new_log
    assert ttl(server, "long.example.org.", "A") == 3 * 86400
    done = zonewright("check", server.corefile_path)
    assert done.returncode == 1
    assert f"{path}:6:5: error: policy corp: 'dnskye-ttl' is unknown" in done.stdout


def test_after_a_restart_with_a_larger_ttl_allowed_the_source_counts_again(server):
    assert ttl(server, "long.example.org.", "A") == 2 * 86400
    server.stop()
    (server.directory / "policies.yaml").write_text(POLICIES.replace("2d", "4d"))
    server.start()
    wait_until(lambda: ttl(server, "long.example.org.", "A") == 4 * 86400, 20, server.new_log[-2000:])


def test_the_command_shows_a_policy_as_a_file_says_it(tmp_path):
    path = tmp_path / "policies.yaml"
    path.write_text(POLICIES)
    shown = zonewright("policy", "show", "corp", "--file", path)
    assert shown.returncode == 0
    path.write_text(shown.stdout)
    again = zonewright("policy", "show", "corp", "--file", path, "--json")
    assert json.loads(again.stdout)["max-zone-ttl"] == "2d"
    assert zonewright("policy", "show", "corp", "--file", path).stdout == shown.stdout
    listed = zonewright("policy", "list", "--file", path).stdout.splitlines()
    assert [line.split("\t")[0] for line in listed] == ["default", "corporate", "nsec3", "insecure", "corp"]
    assert listed[4].split("\t")[1:] == ["csk ed25519", "nsec3", "serial unixtime"]
    unknown = zonewright("policy", "show", "crop", "--file", path)
    assert unknown.returncode == 1
    assert "did you mean 'corp'?" in unknown.stderr
    path.write_text("policies: {corp: {refresh: 3}}")
    broken = zonewright("policy", "list", "--file", path)
    assert (broken.returncode, broken.stdout) == (1, "")
    assert broken.stderr.startswith(f"{path}:1:28: policy corp: refresh: '3' is not a duration")
