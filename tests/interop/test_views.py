"""Split horizon on a real server: zones in views have content, keys and transfers of their own, whatever the order."""

import re
import signal
import socket
import urllib.request

import dns.dnssec
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.query
import dns.rcode
import dns.zone
import pytest

from tools.servers import Zonewright, free_port, wait_until

ORIGIN = "split.test."
INSIDE, OUTSIDE = "127.0.0.2", "127.0.0.1"
ZONE = "$TTL 300\n@ SOA ns admin {serial} 3600 600 604800 300\n@ NS ns\nns A 192.0.2.1\nwho TXT {text}\n"
BLOCK = """{origin}:{{port}} {{
    bind {bind}
    {view}
    file {file}
    dnssec
    transfer {{
        to {to}
    }}
    {more}
}}
"""
VIEW_INSIDE = "view inside {\n        expr incidr(client_ip(), '127.0.0.2/32')\n    }"
VIEW_OUTSIDE = "view outside {\n        expr not incidr(client_ip(), '127.0.0.2/32')\n    }"


def block(directory, name, *, view="", bind=OUTSIDE, to="*", more="", serial=1):
    file = directory / f"{name}.zone"
    if not file.exists():
        file.write_text(ZONE.format(serial=serial, text=name))
    return BLOCK.format(origin=ORIGIN, bind=bind, view=view, file=file, to=to, more=more)


def ask(server, qname, qtype, client=OUTSIDE, *, tcp=False, where=OUTSIDE):
    query = dns.message.make_query(qname, qtype, want_dnssec=True)
    by = dns.query.tcp if tcp else dns.query.udp
    return by(query, where, 5, server.port, source=client)


def who(server, client=OUTSIDE, *, tcp=False, where=OUTSIDE):
    """The text a client gets, its signature checked with the DNSKEYs the client gets."""
    answer = ask(server, f"who.{ORIGIN}", "TXT", client, tcp=tcp, where=where)
    assert answer.rcode() == dns.rcode.NOERROR, answer
    texts, signatures = answer.answer
    keys = ask(server, ORIGIN, "DNSKEY", client, tcp=True, where=where).answer[0]
    dns.dnssec.validate(texts, signatures, {keys.name: keys})
    return texts[0].to_text().strip('"')


def dnskeys(server, client=OUTSIDE, where=OUTSIDE):
    keys = ask(server, ORIGIN, "DNSKEY", client, tcp=True, where=where).answer[0]
    return {key.to_text() for key in keys}


def serial(server, client):
    return ask(server, ORIGIN, "SOA", client).answer[0][0].serial


def wait_for(server, *clients):
    for client in clients:
        wait_until(lambda client=client: not ask(server, ORIGIN, "SOA", client).rcode(), 20, f"{client} is served")


def transferred(server, client):
    zone = dns.zone.Zone(dns.name.from_text(ORIGIN), relativize=False)
    query = dns.message.make_query(ORIGIN, "AXFR")
    dns.query.inbound_xfr(OUTSIDE, zone, query, port=server.port, source=client, timeout=20, lifetime=20)
    return zone.find_rdataset(f"who.{ORIGIN}", "TXT")[0].to_text().strip('"')


@pytest.fixture
def chained(tmp_path):
    """A directive ahead of the zones that the engine can't stand in for, as a third party's plugin."""
    site = tmp_path / "site"
    (site / "zonewright_passing-1.0.dist-info").mkdir(parents=True)
    (site / "zonewright_passing.py").write_text(
        '"""Passes every query on."""\n\nfrom authserver.plugin import Schema\n\nSCHEMA = Schema(once=True)\n\n\n'
        "class Passing:\n    def __init__(self, following):\n        self.following = following\n\n"
        "    async def serve(self, query):\n        return await self.following.serve(query)\n\n\n"
        "def setup(build):\n    return Passing\n"
    )
    info = site / "zonewright_passing-1.0.dist-info"
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: zonewright-passing\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[zonewright.plugins]\npassing = zonewright_passing\n")
    return {"PYTHONPATH": str(site)}


@pytest.mark.parametrize("more", ["", "passing"], ids=["direct", "chained"])
def test_two_views_of_a_zone_have_content_keys_and_transfers_of_their_own(run, tmp_path, chained, more):
    text = block(tmp_path, "inside", view=VIEW_INSIDE, serial=7, more=more) + block(tmp_path, "outside", more=more)
    server = run(Zonewright, corefile=text, environment=chained)
    wait_for(server, INSIDE, OUTSIDE)
    for tcp in (False, True):
        assert (who(server, INSIDE, tcp=tcp), who(server, OUTSIDE, tcp=tcp)) == ("inside", "outside")
    assert not dnskeys(server, INSIDE) & dnskeys(server, OUTSIDE)
    assert (serial(server, INSIDE), serial(server, OUTSIDE)) == (7, 1)
    assert (transferred(server, INSIDE), transferred(server, OUTSIDE)) == ("inside", "outside")
    assert (" is chained: " in server.new_log) == bool(more)
    listed = server.control("zone", "list").stdout
    assert f"{ORIGIN}\t" in listed
    assert f"{ORIGIN} (inside)\t" in listed
    for view, client in (("inside", INSIDE), ("", OUTSIDE)):
        shown = server.control("key", "show", ORIGIN, "--view", view).stdout
        assert all(key.split()[-1][-20:] in shown.replace(" ", "") for key in dnskeys(server, client))
    assert server.control("key", "ds", ORIGIN, "--view", "inside").stdout
    assert server.control("key", "ds", ORIGIN, "--view", "nowhere").returncode == 1


def test_views_keep_keys_and_serials_when_their_blocks_change_places_and_after_a_restart(run, tmp_path):
    metrics = free_port()
    blocks = [
        block(tmp_path, "inside", view=VIEW_INSIDE, serial=7, more=f"prometheus 127.0.0.1:{metrics}"),
        block(tmp_path, "outside", view=VIEW_OUTSIDE, more=f"prometheus 127.0.0.1:{metrics}"),
    ]
    server = run(Zonewright, corefile="".join(blocks))
    wait_for(server, INSIDE, OUTSIDE)
    before = dnskeys(server, INSIDE), dnskeys(server, OUTSIDE), serial(server, INSIDE), serial(server, OUTSIDE)
    counted = _counted(metrics)
    server.write_corefile("".join(reversed(blocks)))
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "is in force" in server.new_log, 10, server.new_log)
    for client, name in ((INSIDE, "inside"), (OUTSIDE, "outside")):
        assert who(server, client) == name
    assert before == (
        dnskeys(server, INSIDE),
        dnskeys(server, OUTSIDE),
        serial(server, INSIDE),
        serial(server, OUTSIDE),
    )
    later = _counted(metrics)
    # `who` asks one TXT question of each view.
    assert {view: later[view] - counted.get(view, 0) for view in later} == {"inside": 1, "outside": 1}
    assert server.stop() == 0
    server.start()
    wait_for(server, INSIDE, OUTSIDE)
    assert (who(server, INSIDE), who(server, OUTSIDE)) == ("inside", "outside")
    assert before[:2] == (dnskeys(server, INSIDE), dnskeys(server, OUTSIDE))


def _counted(port):
    """Questions for TXT by view."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as response:
        text = response.read().decode()
    row = re.compile(r'coredns_dns_requests_total\{.*type="TXT",view="(\w*)",zone="split\.test\."\} ([0-9.]+)')
    other = re.compile(
        r'coredns_dns_requests_total\{server="[^"]*",zone="split\.test\.",view="(\w*)".*type="TXT"\} ([0-9.]+)'
    )
    counts = {}
    for view, count in row.findall(text) + other.findall(text):
        counts[view] = counts.get(view, 0) + int(float(count))
    return counts


def test_a_zone_per_address_keeps_its_keys_when_blocks_change_places(run, tmp_path):
    blocks = [block(tmp_path, "one", bind=OUTSIDE), block(tmp_path, "two", bind=INSIDE)]
    server = run(Zonewright, corefile="".join(blocks))

    def facts():
        return [(who(server, where=where), dnskeys(server, where=where)) for where in (OUTSIDE, INSIDE)]

    wait_until(lambda: not ask(server, ORIGIN, "SOA", where=INSIDE).rcode(), 20, "both are served")
    wait_for(server, OUTSIDE)
    before = facts()
    assert [name for name, _ in before] == ["one", "two"]
    assert before[0][1] != before[1][1]
    assert server.stop() == 0
    server.write_corefile("".join(reversed(blocks)))
    server.start()
    assert facts() == before


def test_a_view_that_is_renamed_is_warned_of(run, tmp_path):
    server = run(Zonewright, corefile=block(tmp_path, "one"))
    wait_for(server, OUTSIDE)
    server.write_corefile(block(tmp_path, "one", view="view named"))
    server.process.send_signal(signal.SIGHUP)
    warning = f"{ORIGIN} in view named: begins with new keys; those kept under the view's name '' are not used"
    wait_until(lambda: warning in server.new_log, 10, server.new_log)


def test_each_view_notifies_its_own_secondaries(run, tmp_path):
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
        one.settimeout(20)
    to = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    text = block(tmp_path, "inside", view=VIEW_INSIDE, serial=7, to=to[0]) + block(tmp_path, "outside", to=to[1])
    run(Zonewright, corefile=text)
    for one, expected in zip(sockets, (7, 1), strict=True):
        octets, sender = one.recvfrom(65535)
        message = dns.message.from_wire(octets)
        assert message.opcode() == dns.opcode.NOTIFY
        assert message.answer[0][0].serial == expected
        response = dns.message.make_response(message)
        response.flags |= dns.flags.AA
        one.sendto(response.to_wire(), sender)
        one.close()


def test_a_view_taken_from_a_bad_edit_leaves_the_old_one_in_force(run, tmp_path):
    text = block(tmp_path, "inside", view=VIEW_INSIDE) + block(tmp_path, "outside")
    server = run(Zonewright, corefile=text)
    wait_for(server, INSIDE, OUTSIDE)
    server.write_corefile(text.replace("client_ip()", "client()"))
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "the old configuration serves on" in server.new_log, 10, server.new_log)
    assert re.search(r"Corefile:4: view: expr: column 8: 'client' is unknown; did you mean 'client_ip'", server.new_log)
    assert who(server, INSIDE) == "inside"
