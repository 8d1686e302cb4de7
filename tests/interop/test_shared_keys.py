"""Zones whose policy shares a KSK, at a real server: one key pair, found right in each zone, rolled to one successor."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.interop.conftest import zone_file
from tests.interop.test_keys import judge_dump
from tools.servers import Zonewright, delv, wait_until

ORIGINS = ("one.test.", "two.test.")
POLICIES = """policies:
  family:
    keys:
      - {role: ksk, algorithm: ecdsap256sha256, shared: true}
      - {role: zsk, algorithm: ecdsap256sha256}
"""
BLOCK = """{origin}:{{port}} {{
    bind 127.0.0.1
    file {file} {origin}
    dnssec {{
        policies {policies}
        policy family
    }}
    transfer {{
        to *
    }}
}}
"""


def ksks(server: Zonewright, origin: str) -> list[dict[str, str]]:
    """The KSKs of a zone that are to stay, by `key list`."""
    keys = json.loads(server.control("key", "list", origin, "--json").stdout)
    return [key for key in keys if key["role"] == "ksk" and key["goal"] == "present"]


@pytest.mark.peer("dnssec-verify", "ldns-verify-zone", "delv")
def test_zones_that_share_a_key_are_each_valid_and_roll_to_one_successor(
    run: Callable[..., Zonewright], tmp_path: Path, anchors_of: Callable[[Zonewright, str], Path]
) -> None:
    policies = tmp_path / "policies.yaml"
    policies.write_text(POLICIES)
    corefile = "".join(
        BLOCK.format(origin=origin, file=zone_file(tmp_path, origin, 20), policies=policies).replace("{{", "{")
        for origin in ORIGINS
    )
    server = run(Zonewright, corefile=corefile.replace("}}", "}"))
    for origin in ORIGINS:
        (tmp_path / origin).mkdir()
        judge_dump(server, tmp_path / origin, origin)
        answer = delv(server, origin, "SOA", anchors_of(server, origin), origin)
        assert "; fully validated" in answer.stdout, answer.stdout + answer.stderr
    (one,), (two,) = (ksks(server, origin) for origin in ORIGINS)
    assert one["dnskey"].split(" DNSKEY ")[1] == two["dnskey"].split(" DNSKEY ")[1]
    assert one["id"] != two["id"]
    assert (one["shared_by"], one["sharing_zones"]) == ("family", 2)
    assert "shared by policy family, in 2 zones" in server.control("key", "list").stdout

    rolled = json.loads(server.control("key", "roll", ORIGINS[0], "--role", "ksk", "--json").stdout)
    assert [fact["zone"] for fact in rolled] == list(ORIGINS)

    def have_successor() -> bool:
        found = {key["tag"] for origin in ORIGINS for key in ksks(server, origin)}
        return len(found) == 1 and found != {one["tag"]}

    wait_until(have_successor, 20, "both zones have the one successor\n" + server.new_log[-2000:])
    for origin in ORIGINS:
        wait_until(lambda name=origin: len(server.ask(name, "DNSKEY").answer[0]) == 3, 20, "it is published")
        judge_dump(server, tmp_path / origin, origin)
