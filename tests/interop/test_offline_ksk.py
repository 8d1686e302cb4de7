"""An offline KSK at a real server, its requests and responses exchanged with Knot DNS's keymgr, and with ourselves."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.interop.conftest import SIGNED, corefile, zone_file
from tests.interop.test_keys import judge_dump
from tools.servers import Zonewright, delv, program, trust_anchors, wait_until, zonewright, zonewright_command

ORIGIN = "example.test."
POLICIES = """policies:
  offline:
    keys:
      - {role: ksk, algorithm: ecdsap256sha256}
      - {role: zsk, algorithm: ecdsap256sha256, lifetime: 30d}
    offline-ksk: true
    max-zone-ttl: 1d
  hasty:
    extends: offline
    dnskey-ttl: 1s
    max-zone-ttl: 2s
    propagation-delay: 0
    publish-safety: 0
    retire-safety: 0
    validity: 18s
    refresh: 10s
    jitter: 0
    inception-offset: 1s
"""
KNOT = """server:
  rundir: "{place}"
database:
  storage: "{place}"
policy:
  - id: p
    algorithm: ecdsap256sha256
    zsk-lifetime: 30d
    dnskey-ttl: 3600
    zone-max-ttl: 86400
    offline-ksk: on
    manual: on
    cds-cdnskey-publish: always
zone:
  - domain: {origin}
    dnssec-signing: on
    dnssec-policy: p
"""
ROOT = Path(__file__).parents[2]
Run = Callable[..., Zonewright]


def keymgr(place: Path, *words: object) -> str:
    """What a command of Knot's keymgr prints, on a configuration of its own."""
    place.mkdir(exist_ok=True)
    conf = place / "knot.conf"
    conf.write_text(KNOT.format(place=place, origin=ORIGIN))
    line = [program("keymgr"), "-c", conf, ORIGIN, *words]
    done = subprocess.run(list(map(str, line)), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def serve(run: Run, directory: Path, policy: str) -> Zonewright:
    """A server whose zone waits for its first response."""
    policies = directory / "policies.yaml"
    policies.write_text(POLICIES)
    template = SIGNED.replace("dnssec\n", f"dnssec {{{{\n policies {policies}\n policy {policy}\n }}}}\n")
    server = run(Zonewright, corefile=corefile(template, ORIGIN, zone_file(directory, ORIGIN, 30)))
    wait_until(lambda: "nothing that its offline KSK signed" in server.new_log, 20, server.new_log[-2000:])
    return server


def judge(server: Zonewright, directory: Path, ds: list[str], origin: str = ORIGIN) -> None:
    """What is served is found right from the DS on, what is transferred as a whole."""
    judge_dump(server, directory, origin)
    anchors = directory / "anchors"
    anchors.write_text(trust_anchors(origin, ds))
    answer = delv(server, origin, "SOA", anchors, origin)
    assert "; fully validated" in answer.stdout, answer.stdout + answer.stderr


def good(server: Zonewright, *words: object) -> str:
    """The output of a command that has to succeed."""
    done = server.control(*map(str, words))
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.peer("keymgr", "delv", "dnssec-verify", "ldns-verify-zone")
def test_our_request_is_signed_by_knot_and_served(run: Run, tmp_path: Path) -> None:
    server = serve(run, tmp_path, "offline")
    request = tmp_path / "ksr"
    good(server, "key", "ksr", ORIGIN, "--until", "60d", "--out", request)
    ksk = keymgr(tmp_path / "knot", "generate", "algorithm=13", "ksk=yes").split()[0]
    response = tmp_path / "skr"
    response.write_text(keymgr(tmp_path / "knot", "sign-ksr", request))
    assert "taken" in good(server, "key", "import-skr", ORIGIN, response)
    server.wait_served(ORIGIN)
    ds = [line.split(" DS ")[1] for line in keymgr(tmp_path / "knot", "ds", ksk).splitlines() if " DS " in line]
    judge(server, tmp_path, [one for one in ds if one.split()[2] == "2"][:1])
    listed = good(server, "key", "list", ORIGIN)
    assert "ksk" in listed
    assert "zsk" in listed
    refused = server.control("key", "export", ORIGIN, "--directory", tmp_path)
    assert "its private part is offline" in refused.stderr
    broken = tmp_path / "broken"
    broken.write_text(response.read_text().replace("SignedKeyResponse", "KeySigningRequest", 1))
    refused = server.control("key", "import-skr", ORIGIN, broken)
    assert refused.returncode == 1
    assert f"{broken}:1: " in refused.stderr


@pytest.mark.peer("keymgr")
def test_knot_s_request_is_signed_by_us_and_valid_to_knot(tmp_path: Path) -> None:
    policies = tmp_path / "policies.yaml"
    policies.write_text(POLICIES)
    keymgr(tmp_path / "knot", "pregenerate", "+90d")
    request, response = tmp_path / "ksr", tmp_path / "skr"
    request.write_text(keymgr(tmp_path / "knot", "generate-ksr", "+0", "+60d"))
    place = ("--state", tmp_path / "vault")
    named = ("--policies", policies, "--policy", "offline")
    done = zonewright("key", "sign-ksr", request, *named, "--out", response, *place)
    assert done.returncode == 0, done.stderr
    assert ", made now" in done.stderr
    keymgr(tmp_path / "knot", "validate-skr", response)
    keymgr(tmp_path / "knot", "import-skr", response)
    assert keymgr(tmp_path / "knot", "show-offline").count("Offline records for") == response.read_text().count(
        "SignedKeyResponse 1.0 1"
    )
    # A roll: the next response has both KSKs, and Knot takes it.
    request.write_text(keymgr(tmp_path / "knot", "generate-ksr", "+10d", "+60d"))
    done = zonewright("key", "sign-ksr", request, "--roll", *place)
    assert done.returncode == 0, done.stderr
    response.write_text(done.stdout)
    keymgr(tmp_path / "knot", "validate-skr", response)


@pytest.mark.peer("delv", "dnssec-verify", "ldns-verify-zone")
def test_the_zone_is_valid_over_the_periods_of_a_response(run: Run, tmp_path: Path) -> None:
    server = serve(run, tmp_path, "hasty")
    request, response = tmp_path / "ksr", tmp_path / "skr"
    good(server, "key", "ksr", ORIGIN, "--until", "16s", "--out", request)
    place = ("--state", tmp_path / "vault", "--policies", tmp_path / "policies.yaml", "--policy", "hasty")
    done = zonewright("key", "sign-ksr", request, "--out", response, *place)
    assert done.returncode == 0, done.stderr
    good(server, "key", "import-skr", ORIGIN, response)
    server.wait_served(ORIGIN)
    vault = zonewright("key", "ds", ORIGIN, *place[:2])
    ds = [line.split(" DS ")[1] for line in vault.stdout.splitlines() if " DS " in line]
    seen = set()
    for _ in range(2):
        judge(server, tmp_path, ds)
        seen.add(signature(server))
        wait_until(lambda: signature(server) not in seen, 30, "the next period" + server.new_log[-2000:])
    judge(server, tmp_path, ds)
    wait_until(lambda: "offline-ksk-ends" in server.new_log, 20, "somebody is told in time")


def signature(server: Zonewright) -> str:
    """The RRSIG over DNSKEY that is served."""
    answer = server.ask(ORIGIN, "DNSKEY", dnssec=True).answer
    return next(rdata.to_text() for rrset in answer if rrset.rdtype == 46 for rdata in rrset)


@pytest.mark.peer("dnssec-verify", "ldns-verify-zone", "delv")
def test_the_steps_of_the_manual_work(run: Run, tmp_path: Path) -> None:
    manual = (ROOT / "docs/manual/offline-ksk.md").read_text()
    (policies,) = re.findall(r"```yaml\n(.*?)```", manual, re.DOTALL)
    (tmp_path / "policies.yaml").write_text(policies)
    template = SIGNED.replace(
        "dnssec\n", f"dnssec {{{{\n policies {tmp_path / 'policies.yaml'}\n policy vaulted\n }}}}\n"
    )
    server = run(Zonewright, corefile=corefile(template, "example.org.", zone_file(tmp_path, "example.org.", 30)))
    wait_until(lambda: "nothing that its offline KSK signed" in server.new_log, 20, server.new_log[-2000:])
    steps = re.findall(r"^(online|offline)\$ zonewright (.*)$", manual, re.MULTILINE)
    assert len(steps) == 9
    ds: list[str] = []
    for side, step in steps[:8]:
        state = server.state if side == "online" else tmp_path / "offline"
        words = [*zonewright_command(), *step.split(), "--state", str(state)]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        if step.startswith("key ds"):
            ds = [line.split(" DS ")[1] for line in done.stdout.splitlines() if " DS " in line]
            server.wait_served("example.org.")
            judge(server, tmp_path, ds, "example.org.")
    # The old KSK is named by its tag, when there is a new one.
    wait_until(lambda: len(server.ask("example.org.", "DNSKEY").answer[0]) == 3, 20, server.new_log[-2000:])
    judge(server, tmp_path, ds, "example.org.")
    good(server, "key", "ksr", "example.org", "--out", tmp_path / "next.ksr")
    words = [*zonewright_command(), *steps[8][1].replace("12345", ds[0].split()[0]).split()]
    words += ["--state", str(tmp_path / "offline")]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert f"signed by KSK {ds[0].split()[0]}, until " in done.stderr
