"""kill -9 at random points: afterwards the last published versions serve with the same keys, and no serial has two contents."""

import os
import random
import time

import dns.exception
import pytest

from tests.interop.conftest import SIGNED, corefile, zone_file
from tools.servers import Zonewright, zone_records, zone_serial

ORIGIN = "example.test."
ROUNDS = 8 if "SOAK" not in os.environ else max(8, int(os.environ["SOAK"]) // 3)


class Observed:
    """What the world has seen of one zone: keys, serials, and per serial the transferred content."""

    def __init__(self) -> None:
        self.keys: list[str] | None = None
        self.serial = 0
        self.contents: dict[int, list[str]] = {}
        self.values: dict[int, str] = {}

    def look(self, server: Zonewright) -> None:
        """Ask, and hold the answers against all that was seen before."""
        keys, serial = server.texts(ORIGIN, "DNSKEY"), server.serial(ORIGIN)
        assert self.keys in (None, keys), "the keys changed"
        assert serial >= self.serial, f"the serial went back from {self.serial} to {serial}"
        self.keys, self.serial = keys, serial

    def take(self, server: Zonewright) -> None:
        """A transfer, if one is given now."""
        try:
            zone = server.transfer(ORIGIN, timeout=5)
        except (dns.exception.DNSException, OSError):
            return
        serial, records = zone_serial(zone), zone_records(zone)
        assert self.contents.setdefault(serial, records) == records, f"serial {serial} stands for two contents"


@pytest.mark.slow
def test_kill_at_random_points_never_breaks_what_was_published(tmp_path):
    dice = random.Random(int(os.environ.get("SEED", "20")))
    file = zone_file(tmp_path, ORIGIN, 800)
    base = file.read_text()
    server = Zonewright(directory=tmp_path / "server", corefile=corefile(SIGNED, ORIGIN, file))
    observed = Observed()
    served_value = ""
    try:
        for number in range(ROUNDS):
            server.start()
            server.wait_served(ORIGIN)
            observed.look(server)
            if served_value:
                assert server.texts("value." + ORIGIN, "TXT"), "a published record is gone after a restart"
            file.write_text(base + f'value.{ORIGIN} 60 IN TXT "{number}"\n')
            time.sleep(dice.choice((0.0, 0.05, 0.2, 0.5, 1.0, 2.0)) * dice.random())
            with_answer = server.texts("value." + ORIGIN, "TXT")
            served_value = with_answer[0] if with_answer else served_value
            observed.look(server)
            observed.take(server)
            server.kill()
        server.start()
        server.wait_sealed(ORIGIN)
        observed.look(server)
        observed.take(server)
    finally:
        server.stop()
    assert observed.contents, "no transfer was ever given"


@pytest.mark.slow
def test_kill_during_the_first_start_leaves_a_state_that_opens(tmp_path):
    dice = random.Random(3)
    files = [zone_file(tmp_path, f"zone{number}.test.", 200, seed=number) for number in range(30)]
    text = "".join(corefile(SIGNED, f"zone{number}.test.", file) for number, file in enumerate(files))
    server = Zonewright(directory=tmp_path / "server", corefile=text, start_seconds=60)
    try:
        seen: dict[str, list[str]] = {}
        for _ in range(6):
            server.launch()
            time.sleep(0.3 + dice.random() * 1.2)
            for number in range(0, 30, 7):
                origin = f"zone{number}.test."
                try:
                    keys = server.ask(origin, "DNSKEY", timeout=0.2).answer
                except (dns.exception.DNSException, OSError):
                    continue
                if keys:
                    found = sorted(rdata.to_text() for rdata in keys[0])
                    assert seen.setdefault(origin, found) == found, "a key seen by the world is gone"
            server.kill()
        server.start()
        for number in range(30):
            server.wait_served(f"zone{number}.test.")
        for origin, keys in seen.items():
            assert server.texts(origin, "DNSKEY") == keys
    finally:
        server.stop()
