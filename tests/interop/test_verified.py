"""A zone whose signer lies, in the real server: what serves, what secondaries get, what it says; and how it heals."""

import sys

import dns.dnssec
import dns.name

from tests.interop.conftest import SIGNED, corefile
from tools.servers import Zonewright, wait_until, zone_serial

ORIGIN = "example.test."
ZONE = "@ 300 SOA ns admin {serial} 3600 600 604800 300\n@ 300 NS ns\nns 300 A 192.0.2.1\n{name} 300 A 192.0.2.2\n"


class LyingZonewright(Zonewright):
    """Started by tests/interop/lying_server.py."""

    def command(self) -> list[str]:
        """The same arguments, another program."""
        words = super().command()
        return [sys.executable, "-m", "tests.interop.lying_server", *words[words.index("serve") :]]


def test_a_version_with_a_wrong_signature_reaches_no_secondary_and_the_one_before_serves(run, tmp_path):
    file = tmp_path / "zone"
    file.write_text(ZONE.format(serial=1, name="good"))
    server = run(LyingZonewright, corefile=corefile(SIGNED, ORIGIN, file))
    server.wait_served(ORIGIN)
    assert zone_serial(server.wait_sealed(ORIGIN)) == 1

    file.write_text(ZONE.format(serial=2, name="lie"))
    wait_until(lambda: "held, serial 1 goes on being served" in server.new_log, 20, server.new_log)
    assert server.serial(ORIGIN) == 1
    assert server.texts("good." + ORIGIN) == ["192.0.2.2"]
    assert server.texts("lie." + ORIGIN) == []
    assert zone_serial(server.transfer(ORIGIN)) == 1
    listed = server.control("zone", "list")
    for shown in (server.new_log, server.control("zone", "show", ORIGIN).stdout):
        assert "serial 2 fails its verification" in shown, shown
        assert "does not verify" in shown
        assert "not-sealed" in shown
    assert "held" in listed.stdout

    file.write_text(ZONE.format(serial=3, name="better"))
    zone = server.wait_sealed(ORIGIN, serial=3)
    assert server.texts("better." + ORIGIN) == ["192.0.2.2"]
    assert "held" not in server.control("zone", "list").stdout
    keys = {zone.origin: zone.get_rdataset("@", "DNSKEY")}
    name = dns.name.from_text("better", zone.origin)
    rrset, rrsigs = zone.get_rdataset("better", "A"), zone.get_rdataset("better", "RRSIG", "A")
    dns.dnssec.validate((name, rrset), (name, rrsigs), keys, origin=zone.origin)
