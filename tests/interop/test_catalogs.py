"""Catalog zones that we make, consumed by BIND and Knot DNS, and theirs, consumed here: members come and go alike."""

import contextlib
import signal

import dns.exception
import dns.query
import dns.rcode
import dns.update
import pytest

from tools.servers import LOOPBACK, Knot, Named, Zone, Zonewright, free_port, wait_until

CATALOG = "catalog.test."
COREFILE = """catalog.test.:{{port}} {{
    bind 127.0.0.1
    catalog {{
        zones *.corp.test group corp
        zones *
    }}
    transfer {{
        to * 127.0.0.1:{theirs}
    }}
}}
.:{{port}} {{
    bind 127.0.0.1
    auto {{
        directory {directory} (.*)\\.zone {{1}}
        reload 2s
    }}
    transfer {{
        to * 127.0.0.1:{theirs}
    }}
}}
"""
TEXT = "$TTL 60\n@ SOA ns admin 1 3600 600 604800 300\n@ NS ns\nns A 127.0.0.1\n"


def knot(port):
    more = f"""template:
  - id: member
    master: p{port}
    semantic-checks: off
"""
    return Zone(CATALOG, primary_port=port, more="    catalog-role: interpret\n    catalog-template: member\n"), more


def consumer(run, kind, ours, port):
    """The other server, with our catalog and nothing else."""
    if kind is Named:
        primaries = f"default-primaries {{ {LOOPBACK} port {ours.port}; }} in-memory yes min-update-interval 1"
        return run(
            Named,
            port=port,
            zones=[Zone(CATALOG, primary_port=ours.port)],
            more=f'catalog-zones {{ zone "{CATALOG}" {primaries}; }};',
        )
    zone, more = knot(ours.port)
    return run(Knot, port=port, zones=[zone], more=more)


def serves(server, zone):
    with contextlib.suppress(dns.exception.DNSException, OSError):
        return bool(server.texts(zone, "SOA"))
    return False


@pytest.mark.parametrize(
    "kind", [pytest.param(Named, marks=pytest.mark.peer("named")), pytest.param(Knot, marks=pytest.mark.peer("knotd"))]
)
def test_a_consumer_serves_what_we_list_and_no_more(run, tmp_path, kind):
    directory = tmp_path / "zones"
    directory.mkdir()
    for name in ("one.test", "a.corp.test", "two.test"):
        (directory / f"{name}.zone").write_text(TEXT)
    port = free_port()
    ours = run(Zonewright, corefile=COREFILE.format(directory=directory, theirs=port))
    ours.wait_sealed(CATALOG)
    lines = ours.transfer(CATALOG)
    assert sum("PTR" in node.to_text(name) for name, node in lines.nodes.items()) == 3
    theirs = consumer(run, kind, ours, port)
    for name in ("one.test.", "a.corp.test.", "two.test."):
        wait_until(lambda name=name: serves(theirs, name), 30, f"{name} is served\n{theirs.log[-2000:]}")
    serial = ours.serial(CATALOG)
    (directory / "three.test.zone").write_text(TEXT)
    (directory / "two.test.zone").unlink()
    wait_until(lambda: serves(theirs, "three.test."), 30, f"a new one is served\n{theirs.log[-2000:]}")
    wait_until(lambda: not serves(theirs, "two.test."), 30, f"one is gone\n{theirs.log[-2000:]}")
    assert serves(theirs, "one.test.")
    assert ours.serial(CATALOG) > serial
    after = ours.serial(CATALOG)
    ours.kill()
    ours.start()
    wait_until(lambda: serves(ours, CATALOG), 10, "the catalog is served again")
    assert ours.serial(CATALOG) == after


CONSUMER = """.:{{port}} {{
    bind 127.0.0.1
    secondary catalog.test {{
        transfer from 127.0.0.1:{theirs}
        refresh 1s 1s
        retry 1s 1s
        catalog test {{
            group other from 127.0.0.1:{other}
        }}
    }}
    file {by_hand} hand.test
}}
"""
UPDATED = "allow-update { any; };"
LISTED = """$TTL 0
@ SOA invalid. invalid. 1 3600 600 2147483646 0
@ NS invalid.
version TXT "2"
m1.zones PTR one.test.
m2.zones PTR hand.test.
m3.zones PTR elsewhere.example.
"""


def change(server, *, add=(), delete=(), zone=CATALOG):
    """Change their catalog by UPDATE."""
    update = dns.update.UpdateMessage(zone)
    for name in delete:
        update.delete(name)
    for name, rtype, rdata in add:
        update.add(name, 0, rtype, rdata)
    assert dns.query.udp(update, LOOPBACK, 5, server.port).rcode() == dns.rcode.NOERROR


def text_file(path, text):
    path.write_text(text)
    return path


@pytest.mark.peer("named")
def test_what_a_catalog_of_bind_lists_is_served_as_long_as_it_is_listed(run, tmp_path):
    member = text_file(tmp_path / "member", TEXT)
    zones = [Zone(f"{name}.test.", member) for name in ("one", "two", "three", "hand")]
    catalog = Zone(CATALOG, text_file(tmp_path / "catalog", LISTED), more=UPDATED)
    theirs = run(Named, zones=[catalog, *zones])
    other = run(Named, zones=[Zone("three.test.", text_file(tmp_path / "other", TEXT + "other A 127.0.0.9\n"))])
    by_hand = text_file(tmp_path / "hand", TEXT + "hand A 127.0.0.8\n")
    ours = run(Zonewright, corefile=CONSUMER.format(theirs=theirs.port, other=other.port, by_hand=by_hand))
    wait_until(lambda: serves(ours, "one.test."), 20, "a member is served\n" + ours.new_log[-2000:])
    assert ours.texts("hand.hand.test.", "A") == ["127.0.0.8"]
    for reason in ("elsewhere.example. is listed and not taken", "hand.test. is listed and not taken"):
        assert reason in ours.log

    # A new one, one of another group from its own primary; then the first one is gone.
    change(
        theirs,
        add=[("m4.zones", "PTR", "two.test."), ("m5.zones", "PTR", "three.test."), ("group.m5.zones", "TXT", "other")],
    )
    wait_until(lambda: serves(ours, "two.test.") and serves(ours, "three.test."), 20, "new ones\n" + ours.log[-2000:])
    assert ours.texts("other.three.test.", "A") == ["127.0.0.9"]
    change(theirs, delete=["m1.zones"])
    wait_until(lambda: not serves(ours, "one.test."), 20, "one is gone\n" + ours.log[-2000:])

    # Another label of the same name is another zone, taken whole though its serial is the same.
    whole = ours.log.count("two.test.: serial 1 by AXFR")
    change(theirs, delete=["m4.zones"], add=[("m6.zones", "PTR", "two.test.")])
    wait_until(lambda: ours.log.count("two.test.: serial 1 by AXFR") > whole, 20, "taken whole\n" + ours.log[-2000:])

    # A broken catalog changes nothing, nor does a reload; after a kill members are served without any primary.
    change(theirs, delete=["version"])
    wait_until(lambda: "version is none" in ours.log, 20, "it is broken\n" + ours.log[-2000:])
    ours.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "is in force" in ours.log, 20, "reloaded\n" + ours.log[-2000:])
    assert serves(ours, "two.test.")
    change(theirs, add=[("version", "TXT", "2")])
    wait_until(lambda: ours.texts(CATALOG, "SOA") == theirs.texts(CATALOG, "SOA"), 20, "the last catalog")
    theirs.stop()
    other.stop()
    ours.kill()
    ours.start()
    assert serves(ours, "two.test.")
    assert ours.texts("other.three.test.", "A") == ["127.0.0.9"]


@pytest.mark.peer("named")
def test_a_member_is_handed_over_from_one_catalog_to_another_without_a_gap(run, tmp_path):
    """RFC 9432 section 4.3.1: the other one has it only when the first says so."""
    member = text_file(tmp_path / "member", TEXT)
    empty = LISTED.partition("m1.zones")[0]
    other = Zone("new.test.", text_file(tmp_path / "new", empty), more=UPDATED)
    catalog = Zone(CATALOG, text_file(tmp_path / "catalog", empty + "m1.zones PTR one.test.\n"), more=UPDATED)
    theirs = run(Named, zones=[catalog, other, Zone("one.test.", member)])
    first, second = "secondary catalog.test", "secondary new.test"
    corefile = CONSUMER.format(theirs=theirs.port, other=theirs.port, by_hand=member)
    begin, end = corefile.index("    secondary"), corefile.index("    file")
    both = corefile[begin:end] + corefile[begin:end].replace(first, second)
    ours = run(Zonewright, corefile=corefile[:begin] + both + corefile[end:])
    wait_until(lambda: serves(ours, "one.test."), 20, "a member is served\n" + ours.log[-2000:])
    change(theirs, add=[("x1.zones", "PTR", "one.test.")], zone="new.test.")
    wait_until(lambda: "new.test.: one.test. is listed and not taken" in ours.log, 20, "it is the other's\n" + ours.log)
    change(theirs, add=[("coo.m1.zones", "PTR", "new.test.")])
    wait_until(lambda: "new.test.: serial 2 lists" in ours.log, 20, "it is taken over\n" + ours.log[-2000:])
    change(theirs, delete=["m1.zones", "coo.m1.zones"])
    wait_until(lambda: ours.texts(CATALOG, "SOA") == theirs.texts(CATALOG, "SOA"), 20, "the first has it no more")
    assert serves(ours, "one.test.")
    change(theirs, delete=["x1.zones"], zone="new.test.")
    wait_until(lambda: not serves(ours, "one.test."), 20, "it goes with the second\n" + ours.log[-2000:])


@pytest.mark.peer("knotd")
def test_what_a_catalog_of_knot_lists_is_served(run, tmp_path):
    member = text_file(tmp_path / "member", TEXT)
    listed = "    catalog-role: member\n    catalog-zone: catalog.test.\n"
    zones = [Zone(f"{name}.test.", member, more=listed) for name in ("one", "two")]
    theirs = run(Knot, zones=[*zones, Zone(CATALOG, tmp_path / "none", more="    catalog-role: generate\n")])
    by_hand = text_file(tmp_path / "hand", TEXT)
    ours = run(Zonewright, corefile=CONSUMER.format(theirs=theirs.port, other=theirs.port, by_hand=by_hand))
    wait_until(lambda: serves(ours, "one.test.") and serves(ours, "two.test."), 20, "members\n" + ours.log[-2000:])
