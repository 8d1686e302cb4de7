"""A primary of many signed zones and three secondaries, edited and killed at random: in the end all have the same.

Each content that any of the four ever transfers is noted by its zone and serial: no serial may stand for two.
"""

import contextlib
import hashlib
import os
import random
import time

import dns.exception
import pytest

from tools.servers import LOOPBACK, Knot, Named, Zone, Zonewright, free_port, wait_until, zone_records

SECONDS = float(os.environ.get("SOAK", "60"))
ZONES = 200
TEXT = "$TTL 60\n@ SOA ns admin 1 2 1 604800 300\n@ NS ns\nns A 127.0.0.1\n"
PRIMARY = """.:{{port}} {{
    bind 127.0.0.1
    auto {{
        directory {directory} (.*)\\.zone {{1}}
    }}
    dnssec
    transfer {{
        to * {told}
    }}
}}
"""
SECONDARY = """.:{{port}} {{
    bind 127.0.0.1
    secondary {zones} {{
        transfer from 127.0.0.1:{primary}
        refresh 1s 2s
        retry 1s 2s
    }}
    transfer {{
        to *
    }}
}}
"""
BIND_TIMES = "min-refresh-time 1; max-refresh-time 2; min-retry-time 1; max-retry-time 2;"
KNOT_TIMES = "".join(f"    {kind}-min-interval: 2\n    {kind}-max-interval: 3\n" for kind in ("refresh", "retry"))


class Contents:
    """What was ever transferred, by zone and serial."""

    def __init__(self):
        self.seen = {}

    def look(self, server, zone):
        """The digest of what a server transfers now, None while it can't; a serial with another content is an error."""
        try:
            transferred = server.transfer(zone)
        except (dns.exception.DNSException, OSError):
            return None
        text = "\n".join(sorted(zone_records(transferred)))
        serial = transferred.get_soa().serial
        digest = hashlib.sha256(text.encode()).hexdigest()
        first = self.seen.setdefault((zone, serial), (digest, server.name, text))
        assert first[0] == digest, (
            f"{zone} {serial} is one thing at {first[1]} and another at {server.name}: "
            f"{sorted(set(first[2].splitlines()) ^ set(text.splitlines()))[:6]}"
        )
        return digest


def edit(directory, zone, number, dice):
    """One more record, or one less, as an editor writes it: all at once."""
    path = directory / f"{zone.rstrip('.')}.zone"
    lines = path.read_text().splitlines()
    if len(lines) > 8 and dice.random() < 0.4:
        lines.pop(dice.randrange(4, len(lines)))
    else:
        lines.append(f'edit{number} TXT "{number}"')
    fresh = directory / f".{zone}new"
    fresh.write_text("\n".join(lines) + "\n")
    fresh.rename(path)


@pytest.mark.peer("named")
@pytest.mark.peer("knotd")
def test_after_edits_and_kills_all_have_the_same_and_no_serial_had_two_contents(run, tmp_path):
    dice, contents = random.Random(int(SECONDS)), Contents()
    directory = tmp_path / "zones"
    directory.mkdir()
    zones = [f"z{number}.test." for number in range(ZONES)]
    for zone in zones:
        (directory / f"{zone.rstrip('.')}.zone").write_text(TEXT)
    ports = [free_port() for _ in range(3)]
    told = " ".join(f"{LOOPBACK}:{port}" for port in ports)
    primary = run(Zonewright, corefile=PRIMARY.format(directory=directory, told=told))

    def copies(times):
        return [Zone(zone, primary_port=primary.port, is_incremental=True, more=times) for zone in zones]

    secondaries = [
        run(Named, port=ports[0], zones=copies(BIND_TIMES)),
        run(Knot, port=ports[1], zones=copies(KNOT_TIMES)),
        run(Zonewright, port=ports[2], corefile=SECONDARY.format(zones=" ".join(zones), primary=primary.port)),
    ]
    parties = [primary, *secondaries]
    until, next_kill, number, kills = time.monotonic() + SECONDS, time.monotonic() + 2, 0, 0
    while time.monotonic() < until:
        number += 1
        edit(directory, dice.choice(zones), number, dice)
        contents.look(dice.choice(parties), dice.choice(zones))
        if time.monotonic() > next_kill:
            victim = dice.choice(parties)
            victim.kill()
            time.sleep(dice.random() / 2)
            victim.start()
            kills += 1
            next_kill = time.monotonic() + 1 + 2 * dice.random()
        time.sleep(dice.random() / 10)
    assert kills > 2

    def are_equal(zone):
        with contextlib.suppress(dns.exception.DNSException, OSError, IndexError):
            (soa,) = primary.texts(zone, "SOA")
            return all(one.texts(zone, "SOA") == [soa] for one in secondaries)
        return False

    time.sleep(1)  # the last edit is seen
    for zone in zones:
        wait_until(lambda zone=zone: are_equal(zone), 60, f"{zone} is the same everywhere\n{primary.log[-2000:]}")
        digests = {one.name: contents.look(one, zone) for one in parties}
        assert None not in digests.values()
