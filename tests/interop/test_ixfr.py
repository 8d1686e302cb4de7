"""Whether BIND, NSD and Knot DNS follow a zone of ours by IXFR alone, and end up with what we have, valid where signed."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rrset
import dns.zone
import pytest

from tests.interop.conftest import SIGNED, UNSIGNED, corefile, zone_file
from tests.interop.test_transfers import has_serial
from tools.servers import (
    LOOPBACK,
    Knot,
    Named,
    Nsd,
    Server,
    Zone,
    Zonewright,
    free_port,
    program,
    wait_until,
    zone_records,
    zone_serial,
)

ORIGIN = "example.test."
COUNT = 200


class Followed:
    """A zone of ours, its file, and secondaries that follow it."""

    def __init__(self, run, tmp_path: Path, template: str, kinds: list[type[Server]], serial: int = 100) -> None:
        self.file = zone_file(tmp_path, ORIGIN, COUNT, serial=serial)
        self.head = self.file.read_text()
        self.lines: dict[str, str] = {}
        ports = [free_port() for _ in kinds]
        to = " ".join(f"{LOOPBACK}:{port}" for port in ports) or "*"
        self.ours: Zonewright = run(Zonewright, corefile=corefile(template, ORIGIN, self.file, to=to))
        self.ours.wait_sealed(ORIGIN)
        self.theirs: list[Server] = [
            run(kind, zones=[Zone(ORIGIN, primary_port=self.ours.port, is_incremental=True)], port=port)
            for kind, port in zip(kinds, ports, strict=True)
        ]
        self.settle()

    def edit(self, name: str, value: str | None) -> None:
        """One name gets another value, or none."""
        self.lines.pop(name, None)
        if value is not None:
            self.lines[name] = f'{name}.{ORIGIN} 60 IN TXT "{value}"\n'
        self.file.write_text(self.head + "".join(self.lines.values()))

    def settle(self, value: tuple[str, str] | None = None) -> None:
        """Until a value is live and sealed, and everybody has it; all are equal then."""
        if value is not None:
            wait_until(
                lambda: self.ours.texts(f"{value[0]}.{ORIGIN}", "TXT") == [f'"{value[1]}"'], 20, f"{value} is live"
            )
        expected = self.ours.wait_sealed(ORIGIN)
        for server in self.theirs:
            wait_until(lambda: has_serial(server, zone_serial(expected)), 30, f"{server.name}\n{server.log[-3000:]}")  # noqa: B023
            assert zone_records(server.transfer(ORIGIN)) == zone_records(expected), server.name

    def handed(self) -> dict[str, int]:
        """What was handed out, by kind."""
        done = self.ours.control("zone", "journal", ORIGIN, "--json")
        assert done.returncode == 0, done.stderr
        return {kind: one["whole"] for kind, one in json.loads(done.stdout)["handed_out"].items()}


def is_valid(server: Server, directory: Path) -> None:
    """What a secondary has is a valid zone to ldns."""
    file = directory / f"{server.name}.zone"
    file.write_text("".join(f"{line}\n" for line in soa_first(zone_records(server.transfer(ORIGIN)))))
    done = subprocess.run(
        [program("ldns-verify-zone") or "", "-V", "1", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, server.name + done.stdout + done.stderr


def soa_first(records: list[str]) -> list[str]:
    return sorted(records, key=lambda line: line.split()[2] != "SOA")


@pytest.mark.peer("named", "nsd", "knotd", "ldns-verify-zone")
@pytest.mark.parametrize("template", [UNSIGNED, SIGNED], ids=["unsigned", "signed"])
def test_secondaries_follow_by_ixfr_alone(run, tmp_path, template):
    """One edit at a time, a burst, new signatures: after the first transfer of each there is no AXFR any more."""
    zone = Followed(run, tmp_path, template, [Named, Nsd, Knot])
    transfers = zone.handed()["axfr"]
    for number in range(3):
        zone.edit("value", str(number))
        zone.settle(("value", str(number)))
    for number in range(10):
        zone.edit(f"burst{number}", "x")
        zone.edit("value", f"burst {number}")
    zone.settle(("value", "burst 9"))
    if template is SIGNED:
        before = zone.ours.serial(ORIGIN)
        done = zone.ours.control("key", "roll", ORIGIN)
        assert done.returncode == 0, done.stderr
        wait_until(lambda: zone.ours.serial(ORIGIN) != before, 20, "the roll is in the zone")
        zone.settle()
    zone.edit("value", "last")
    zone.edit("burst1", None)
    zone.settle(("value", "last"))
    handed = zone.handed()
    our_own = 2 + 5 * (1 + (template is SIGNED))
    assert handed["ixfr"] >= 5 * 3
    assert handed["axfr"] - transfers <= our_own * 3, handed
    if template is SIGNED:
        for server in zone.theirs:
            is_valid(server, tmp_path)


@pytest.mark.peer("named", "knotd")
def test_serials_wrap_and_secondaries_follow(run, tmp_path):
    """RFC 1982: from the last serials to the first ones; 0 is left out."""
    zone = Followed(run, tmp_path, UNSIGNED, [Named, Knot], serial=2**32 - 3)
    before = zone.handed()["axfr"]
    serials = []
    for number in range(5):
        zone.edit("value", str(number))
        zone.settle(("value", str(number)))
        serials.append(zone.ours.serial(ORIGIN))
    assert serials == [2**32 - 2, 2**32 - 1, 1, 2, 3]
    handed = zone.handed()
    assert handed["ixfr"] == 2 * 5
    assert handed["axfr"] - before <= 3 * 5  # our own looks


def ixfr_query(serial: int, payload: int | None = None) -> dns.message.Message:
    query = dns.message.make_query(ORIGIN, "IXFR", use_edns=payload is not None, payload=payload)
    (soa,) = dns.rrset.from_text(ORIGIN, 0, "IN", "SOA", f". . {serial} 0 0 0 0")
    query.find_rrset(query.authority, ORIGIN, soa.rdclass, soa.rdtype, create=True).add(soa, 0)
    return query


def by_udp(server: Zonewright, serial: int, payload: int | None = None) -> list[str]:
    """The answer's records."""
    response = dns.query.udp(ixfr_query(serial, payload), LOOPBACK, 5, server.port, one_rr_per_rrset=True)
    assert not response.flags & dns.flags.TC
    assert response.rcode() == 0
    return [rrset.to_text() for rrset in response.answer]


def test_what_a_secondary_is_given(run, tmp_path):
    """Changes by TCP, by UDP if they fit; one SOA to who has it; the whole zone to who is too far behind."""
    zone = Followed(run, tmp_path, SIGNED, [])
    ours = zone.ours
    copies = [ours.wait_sealed(ORIGIN)]
    for number in range(3):
        zone.edit("value", str(number))
        zone.settle(("value", str(number)))
        copies.append(ours.wait_sealed(ORIGIN))
    oldest, *_, newest = copies
    serial, expected = zone_serial(newest), zone_records(newest)

    def given(by: Callable[[], object]) -> str:
        before = zone.handed()
        by()
        after = zone.handed()
        (kind,) = [kind for kind in after if after[kind] != before.get(kind, 0)]
        return kind

    def follow(copy: dns.zone.Zone, since: int) -> None:
        dns.query.inbound_xfr(LOOPBACK, copy, ixfr_query(since), port=ours.port, timeout=10, lifetime=10)

    assert given(lambda: follow(oldest, zone_serial(oldest))) == "ixfr"
    assert zone_records(oldest) == expected
    assert given(lambda: follow(copies[1], 5)) == "axfr"
    assert zone_records(copies[1]) == expected

    for since in (serial, serial + 1, serial + 2**31 - 1):
        (soa,) = by_udp(ours, since)
        assert soa.split()[6] == str(serial)
    assert given(lambda: dns.query.tcp(ixfr_query(serial), LOOPBACK, 5, ours.port)) == "soa"

    # Signatures of five names are more than 512 octets.
    assert len(by_udp(ours, serial - 1)) == 1
    records = by_udp(ours, serial - 1, 4096)
    assert records[0] == records[-1]
    assert " SOA " in records[1]
    assert len(records) > 8
    assert len(by_udp(ours, 5, 4096)) == 1


def test_an_ixfr_query_without_an_soa_is_malformed(serve):
    server = serve(ORIGIN, 20)
    server.wait_sealed(ORIGIN)
    query = dns.message.make_query(ORIGIN, "IXFR")
    assert dns.query.tcp(query, LOOPBACK, 5, server.port).rcode() == dns.rcode.FORMERR


def test_who_may_not_transfer_gets_no_changes_either(serve):
    server = serve(ORIGIN, 20, to="127.0.0.9")
    for ask in (dns.query.tcp, dns.query.udp):
        assert ask(ixfr_query(1), LOOPBACK, 5, server.port).rcode() == dns.rcode.REFUSED


def test_the_journal_is_told_by_the_server_and_by_its_state(run, tmp_path):
    zone = Followed(run, tmp_path, SIGNED, [])
    zone.edit("value", "1")
    zone.settle(("value", "1"))
    ours = zone.ours
    sealed = ours.dump(ORIGIN)
    shown = ours.control("zone", "show", ORIGIN, "--signed")
    assert shown.stdout == sealed
    assert "RRSIG" in sealed
    running = json.loads(ours.control("zone", "journal", ORIGIN, "--json").stdout)
    (entry,) = running["entries"]
    assert (entry["from"], entry["to"]) == (100, 101)
    assert 0 < entry["deleted"] < entry["added"]
    assert running["octets"] == entry["octets"] > 0
    assert running["secondaries"][0]["address"] == LOOPBACK
    told = ours.control("zone", "journal", ORIGIN).stdout
    assert "100 to 101\t" in told
    assert f"; {LOOPBACK} got serial 101" in told
    ours.stop()
    stored = json.loads(ours.control("zone", "journal", ORIGIN, "--json").stdout)
    assert stored["entries"] == running["entries"]
    assert ours.dump(ORIGIN) == sealed
    assert ours.control("zone", "journal", "nowhere.test").returncode == 1


def test_a_frozen_zone_takes_nothing_until_it_is_thawed(run, tmp_path):
    zone = Followed(run, tmp_path, UNSIGNED, [])
    ours = zone.ours
    assert json.loads(ours.control("zone", "freeze", ORIGIN, "--json").stdout)["frozen"]
    zone.edit("value", "1")
    looked = ours.control("zone", "reload", ORIGIN)
    assert looked.returncode == 0, looked.stderr
    assert ours.texts("value." + ORIGIN, "TXT") == []
    assert ours.serial(ORIGIN) == 100
    assert not json.loads(ours.control("zone", "thaw", ORIGIN, "--json").stdout)["frozen"]
    zone.settle(("value", "1"))
    ours.stop()
    assert ours.control("zone", "freeze", ORIGIN).returncode == 1


def test_metrics_tell_what_was_handed_out(run, tmp_path):
    port = free_port()
    zone = Followed(run, tmp_path, UNSIGNED.replace("    file", f"    prometheus 127.0.0.1:{port}\n    file"), [])
    zone.edit("value", "1")
    zone.settle(("value", "1"))
    done = subprocess.run(
        ["curl", "-sS", "-f", f"http://{LOOPBACK}:{port}/metrics"], capture_output=True, text=True, check=True
    )
    named = f'view="",zone="{ORIGIN}"'
    assert f"zonewright_zone_journal_entries{{{named}}} 1.0" in done.stdout
    assert f"zonewright_zone_sealed_serial{{{named}}} 101.0" in done.stdout
    assert f'zonewright_transfer_out_serial{{peer="{LOOPBACK}",{named}}} 101.0' in done.stdout
    assert f'zonewright_transfer_out_total{{kind="axfr",{named}}}' in done.stdout
