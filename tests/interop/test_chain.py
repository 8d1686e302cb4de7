"""Blocks that go through Python, and what watches the server: whoami, log, metrics, health, ready, reload, foreign plugins."""

import os
import re
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.interop.conftest import zone_file
from tools.servers import Zonewright, free_port, wait_until

ORIGIN = "example.test."


def fetch(port: int, path: str) -> tuple[int, str]:
    """Status and body of an HTTP GET."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_whoami_answers_through_the_chain_over_udp_and_tcp(run):
    server = run(Zonewright, corefile=".:{port} {\n    bind 127.0.0.1\n    whoami\n}\n")
    for tcp in (False, True):
        response = server.ask("who.test.", "A", tcp=tcp)
        assert response.rcode() == 0
        texts = [rdata.to_text() for rrset in response.additional for rdata in rrset]
        assert "127.0.0.1" in texts
    assert "whoami" in server.new_log, "the start says which plugin made the block chained"


def test_chained_and_direct_blocks_live_on_one_port(run, tmp_path):
    file = zone_file(tmp_path, ORIGIN, 50)
    text = f"""{ORIGIN}:{{port}} {{
    bind 127.0.0.1
    file {file}
}}
who.test.:{{port}} {{
    bind 127.0.0.1
    whoami
}}
"""
    server = run(Zonewright, corefile=text)
    server.wait_served(ORIGIN)
    assert server.texts("mail." + ORIGIN) == ["192.0.2.25"]
    assert server.ask("who.test.").additional
    assert server.ask("elsewhere.test.").rcode() == 5


def test_the_query_log_has_a_line_for_each_query(run, tmp_path):
    file = zone_file(tmp_path, ORIGIN, 50)
    text = f"{ORIGIN}:{{port}} {{\n    bind 127.0.0.1\n    file {file}\n    log\n}}\n"
    server = run(Zonewright, corefile=text)
    server.wait_served(ORIGIN)
    server.ask("mail." + ORIGIN)
    server.ask("no." + ORIGIN, tcp=True)
    line = re.compile(rf'127\.0\.0\.1:\d+ - \d+ "A IN mail\.{ORIGIN} udp \d+ false 512" NOERROR qr,aa\S* \d+ [\d.]+s')
    wait_until(lambda: line.search(server.new_log), 5, "the UDP query is logged\n" + server.new_log[-1000:])
    denied = re.compile(rf'"A IN no\.{ORIGIN} tcp \d+ \w+ \d+" NXDOMAIN')
    wait_until(lambda: denied.search(server.new_log), 5, "the TCP query is logged\n" + server.new_log[-1000:])


def test_metrics_count_what_the_engine_answers(run, tmp_path):
    file, metrics = zone_file(tmp_path, ORIGIN, 50), free_port()
    text = f"{ORIGIN}:{{port}} {{\n    bind 127.0.0.1\n    file {file}\n    prometheus 127.0.0.1:{metrics}\n}}\n"
    server = run(Zonewright, corefile=text)
    server.wait_served(ORIGIN)
    for number in range(20):
        server.ask(f"no{number}." + ORIGIN)

    def is_counted() -> bool:
        _, body = fetch(metrics, "/metrics")
        lines = [line for line in body.splitlines() if line.startswith("coredns_dns_responses_total{")]
        return any('rcode="NXDOMAIN"' in line and float(line.rpartition(" ")[2]) == 20 for line in lines)

    wait_until(is_counted, 5, "twenty denials are counted\n" + fetch(metrics, "/metrics")[1][-3000:])


def test_health_and_ready_tell_apart_life_and_zones(run, tmp_path):
    file, health, ready = zone_file(tmp_path, ORIGIN, 50), free_port(), free_port()
    text = f"""{ORIGIN}:{{port}} {{
    bind 127.0.0.1
    file {file}
    health 127.0.0.1:{health}
    ready 127.0.0.1:{ready}
}}
"""
    run(Zonewright, corefile=text)
    assert fetch(health, "/health")[0] == 200
    wait_until(lambda: fetch(ready, "/ready")[0] == 200, 5, "ready")


def test_an_edited_corefile_is_live_by_reload_and_its_imports_count(run, tmp_path):
    common = tmp_path / "common.conf"
    common.write_text("whoami\n")
    text = f".:{{port}} {{\n    bind 127.0.0.1\n    import {common}\n    reload 2s 0\n}}\n"
    server = run(Zonewright, corefile=text)
    assert server.ask("who.test.").additional
    file = zone_file(tmp_path, ORIGIN, 50)
    common.write_text(f"file {file} {ORIGIN}\n")
    wait_until(lambda: server.texts("mail." + ORIGIN) == ["192.0.2.25"], 10, "the new import is live")


PLUGIN = '''"""The `hello` directive: answers TXT with a greeting; made by a test, as a third party would."""

import dns.message
import dns.rrset

from authserver.plugin import Schema

SCHEMA = Schema(once=True)


class Hello:
    """Answers everything."""

    async def serve(self, query):
        """A greeting."""
        response = dns.message.make_response(query.message)
        response.answer.append(dns.rrset.from_text(query.name, 60, "IN", "TXT", "hello"))
        return query.respond_with(response)


def setup(_build):
    """Stands at the chain's end."""
    return lambda _following: Hello()
'''


@pytest.fixture
def third_party(tmp_path) -> Path:
    """A distribution with one plugin, installed by nothing but a path."""
    site = tmp_path / "site"
    (site / "zonewright_hello-1.0.dist-info").mkdir(parents=True)
    (site / "zonewright_hello.py").write_text(PLUGIN)
    info = site / "zonewright_hello-1.0.dist-info"
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: zonewright-hello\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[zonewright.plugins]\nhello = zonewright_hello\n")
    return site


def test_a_third_party_s_plugin_is_found_by_its_entry_point(run, third_party):
    text = ".:{port} {\n    bind 127.0.0.1\n    hello\n}\n"
    path = os.pathsep.join(filter(None, [str(third_party), os.environ.get("PYTHONPATH")]))
    server = run(Zonewright, corefile=text, environment={"PYTHONPATH": path})
    assert server.texts("any.test.", "TXT") == ['"hello"']


def test_udp_goes_on_while_the_python_side_is_stopped_for_a_while(run, tmp_path):
    """A plugin hangs the loop; direct answers come from the engine's threads."""
    file = zone_file(tmp_path, ORIGIN, 50)
    text = f"{ORIGIN}:{{port}} {{\n    bind 127.0.0.1\n    file {file}\n    busy\n}}\n"
    site = tmp_path / "site"
    (site / "zonewright_busy-1.0.dist-info").mkdir(parents=True)
    (site / "zonewright_busy.py").write_text(BUSY)
    info = site / "zonewright_busy-1.0.dist-info"
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: zonewright-busy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[zonewright.plugins]\nbusy = zonewright_busy\n")
    flag = tmp_path / "hang"
    environment = {"PYTHONPATH": str(site), "HANG": str(flag)}
    server = run(Zonewright, corefile=text, environment=environment)
    server.wait_served(ORIGIN)
    flag.touch()
    wait_until(lambda: not flag.exists(), 10, "the loop hangs now")
    for _ in range(50):
        assert server.ask("mail." + ORIGIN, timeout=0.5).answer


BUSY = '''"""The `busy` directive: hangs the whole loop for five seconds when a file appears; made by a test."""

import asyncio
import os
import time
from pathlib import Path

from authserver.plugin import EFFECT, Effect, Schema

SCHEMA = Schema(once=True)


async def hang():
    """Blocks the loop's thread with the GIL held most of the time."""
    flag = Path(os.environ["HANG"])
    while not flag.exists():
        await asyncio.sleep(0.05)
    flag.unlink()
    end = time.monotonic() + 5
    while time.monotonic() < end:
        pass


def setup(build):
    """Passive: nothing stands in the path of queries."""
    tasks = []

    async def on_start(*_things):
        tasks.append(asyncio.get_running_loop().create_task(hang()))

    build.on_start(on_start)
    return None
'''


def test_one_block_of_a_broken_zone_file_still_lets_it_get_ready(run, tmp_path):
    bad = tmp_path / "bad.zone"
    bad.write_text("x A 1.2.3.4\n")
    ready = free_port()
    text = f"bad.test.:{{port}} {{\n    bind 127.0.0.1\n    file {bad}\n    ready 127.0.0.1:{ready}\n}}\n"
    server = run(Zonewright, corefile=text)
    wait_until(lambda: fetch(ready, "/ready")[0] == 200, 5, "held counts as ready")
    assert server.ask("bad.test.", "SOA").rcode() == 2


def test_an_entry_of_the_command_line_prints_json(run, tmp_path):
    import json

    file = zone_file(tmp_path, ORIGIN, 50)
    text = f"{ORIGIN}:{{port}} {{\n    bind 127.0.0.1\n    file {file}\n    dnssec\n}}\n"
    server = run(Zonewright, corefile=text)
    server.wait_served(ORIGIN)
    for words in (
        ["zone", "list"],
        ["zone", "show", ORIGIN],
        ["key", "list"],
        ["key", "show", ORIGIN],
        ["key", "ds", ORIGIN],
    ):
        done: subprocess.CompletedProcess[str] = server.control(*words, "--json")
        assert done.returncode == 0, f"{words}: {done.stderr}"
        assert "example.test" in json.dumps(json.loads(done.stdout)), words
