"""Catalog zones that we make, consumed by BIND and Knot DNS: members come and go there as they do here."""

import contextlib

import dns.exception
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
