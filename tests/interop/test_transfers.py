"""Whether BIND, NSD and Knot DNS take our zones by AXFR, hear our NOTIFY, and end up with the same contents."""

import contextlib

import dns.exception
import pytest

from tests.interop.conftest import SIGNED, UNSIGNED, corefile, zone_file
from tools.servers import Knot, Named, Nsd, Server, Zone, Zonewright, free_port, wait_until, zone_records

ORIGIN = "example.test."
SECONDARIES = [
    pytest.param(Named, marks=pytest.mark.peer("named")),
    pytest.param(Nsd, marks=pytest.mark.peer("nsd")),
    pytest.param(Knot, marks=pytest.mark.peer("knotd")),
]


def has_serial(server: Server, serial: int) -> bool:
    """Whether a secondary answers this serial."""
    with contextlib.suppress(dns.exception.DNSException, OSError, IndexError):
        return int(server.texts(ORIGIN, "SOA")[0].split()[2]) == serial
    return False


@pytest.mark.parametrize("template", [UNSIGNED, SIGNED], ids=["unsigned", "signed"])
@pytest.mark.parametrize("secondary", SECONDARIES)
def test_a_secondary_gets_the_zone_and_every_change(run, tmp_path, secondary, template):
    """First by its own asking, then by our NOTIFY; NSD asks for AXFR only, the others for what they like."""
    file = zone_file(tmp_path, ORIGIN, 2000)
    their_port = free_port()
    text = corefile(template, ORIGIN, file, to=f"127.0.0.1:{their_port} *")
    ours = run(Zonewright, corefile=text)
    first = ours.wait_sealed(ORIGIN)
    theirs = run(secondary, zones=[Zone(ORIGIN, primary_port=ours.port)], port=their_port)
    wait_until(lambda: has_serial(theirs, ours.serial(ORIGIN)), 30, "the secondary has the zone\n" + theirs.log[-2000:])
    assert zone_records(theirs.transfer(ORIGIN)) == zone_records(first)

    before = ours.serial(ORIGIN)
    file.write_text(file.read_text() + f'added.{ORIGIN} 60 IN TXT "by a change"\n')
    wait_until(lambda: ours.texts("added." + ORIGIN, "TXT") == ['"by a change"'], 10, "the change is live")
    second = ours.wait_sealed(ORIGIN)
    wait_until(lambda: has_serial(theirs, ours.serial(ORIGIN)), 30, "NOTIFY brought the change\n" + theirs.log[-2000:])
    assert ours.serial(ORIGIN) > before
    assert zone_records(theirs.transfer(ORIGIN)) == zone_records(second)


def test_transfer_is_refused_to_who_is_not_listed(serve):
    server = serve(ORIGIN, 50, to="127.0.0.9")
    with pytest.raises(dns.exception.DNSException):
        server.transfer(ORIGIN)


def test_a_large_zone_is_transferred_whole(serve):
    server = serve(ORIGIN, 50_000, signed=False)
    zone = server.wait_sealed(ORIGIN)
    from tools import make_zone

    expected = {(owner.lower(), rtype) for owner, _, rtype, _ in make_zone.records(ORIGIN, 50_000)}
    got = {tuple(line.split()[:3:2]) for line in zone_records(zone)}
    assert got == expected


def test_a_change_before_the_first_version_is_sealed_is_sealed_itself(serve, tmp_path):
    """Two open versions share signatures for a while; what is verified for the one counts for the other."""
    server = serve(ORIGIN, 3000)
    file = tmp_path / f"{ORIGIN}zone"
    file.write_text(file.read_text() + f'early.{ORIGIN} 60 IN TXT "early"\n')
    wait_until(lambda: server.texts("early." + ORIGIN, "TXT"), 10, "the change is live")
    wait_until(lambda: f"serial {server.serial(ORIGIN)} is sealed" in server.new_log, 15, "sealed\n" + server.new_log)
    assert server.transfer(ORIGIN).get_rdataset("early." + ORIGIN, "TXT")
