"""NOTIFY to real sockets: who is told what, how often, and what is known of it."""

import asyncio
from dataclasses import dataclass, field

import dns.flags
import dns.message
import dns.rcode
import dns.tsig
import pytest

from authserver.notifying import Notifier, notify_metrics
from authserver.publication import ZoneKey
from authserver.sockets import NotifyTarget
from engine import Clock, SignedVersion, Version, name_from_text, read_zone
from keys.tsigfile import TSIGKey

ORIGIN = name_from_text("example.org.")
KEY = TSIGKey("xfr.example.", "hmac-sha256", bytes(range(32)))
OTHER = TSIGKey("xfr.example.", "hmac-sha256", bytes(32))


def sealed(serial):
    text = f"@ 60 IN SOA ns hostmaster {serial} 3600 600 86400 300\n@ 60 IN NS ns\nns 60 IN A 192.0.2.1\n"
    version, _ = Version.build(read_zone(ORIGIN, [("db", text.encode())]))
    signed = SignedVersion(version)
    signed.make(10_000)
    signed.verify(10_000, 0)
    signed.seal()
    return signed


@dataclass
class Zone:
    """What the notifier asks of a zone."""

    key: ZoneKey = field(default_factory=lambda: ZoneKey(ORIGIN))
    sealed_version: SignedVersion | None = None


class Secondary(asyncio.DatagramProtocol):
    """Answers NOTIFY with an rcode, signed with a key, or not at all."""

    def __init__(self, rcode=dns.rcode.NOERROR, key=None, signs=None):
        self.rcode, self.key, self.signs = rcode, key, signs or key
        self.serials = []
        self.answers = True

    def connection_made(self, transport):
        self.transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, octets, sender):
        ring = dns.tsig.Key(KEY.name, KEY.secret) if self.key else None
        message = dns.message.from_wire(octets, keyring=ring)
        assert message.had_tsig == (self.key is not None)
        self.serials.append(message.answer[0][0].serial)
        if self.answers:
            response = dns.message.make_response(message)
            response.set_rcode(self.rcode)
            if self.signs is not None:
                response.use_tsig(dns.tsig.Key(KEY.name, self.signs.secret))
                response.request_mac = message.mac
            elif self.key is not None:
                response.had_tsig = False
                response.keyring = response.tsig = None
            self.transport.sendto(response.to_wire(), sender)


def telling(*secondaries, body, pauses=(0.2, 0.2)):
    async def run():
        loop = asyncio.get_running_loop()
        targets = []
        for one in secondaries:
            await loop.create_datagram_endpoint(lambda one=one: one, local_addr=("127.0.0.1", 0))
            targets.append(NotifyTarget("127.0.0.1", one.port, None, one.key))
        notifier = Notifier(Clock(), lambda _: targets)
        try:
            async with asyncio.timeout(20):
                await body(notifier, targets)
        finally:
            notifier.stop()
            for one in secondaries:
                one.transport.close()

    asyncio.run(run())


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch):
    monkeypatch.setattr("authserver.notifying.NOTIFY_PAUSES_S", (0.1, 0.1, 0.1))
    monkeypatch.setattr("authserver.notifying.HEARD_FOR_S", 0.1)
    monkeypatch.setattr("authserver.notifying.GAP_S", 0.2)


async def until(condition):
    while not condition():  # noqa: ASYNC110 (nothing says when)
        await asyncio.sleep(0.01)


def test_all_are_told_and_what_they_acknowledge_is_known():
    secondaries = [Secondary(), Secondary(key=KEY)]

    async def body(notifier, targets):
        notifier.tell(Zone(sealed_version=sealed(7)))
        await until(lambda: all(one.is_acknowledged for one in notifier.facts()))
        for one in notifier.facts():
            assert (one.serial, one.acknowledged, one.tries, one.error) == (7, 7, 1, "")
            assert one.acknowledged_at >= one.told_at > 0

    telling(*secondaries, body=body)
    assert [one.serials for one in secondaries] == [[7], [7]]


def test_the_same_version_is_told_once_unless_it_is_asked_for():
    secondary = Secondary()

    async def body(notifier, targets):
        zone = Zone(sealed_version=sealed(7))
        for again in (False, False, True):
            notifier.tell(zone, again=again)
            await until(lambda: not any(one.task for one in notifier._tellings.values()))

    telling(secondary, body=body)
    assert secondary.serials == [7, 7]


def test_a_burst_of_changes_is_told_by_its_first_and_its_last():
    secondary = Secondary()

    async def body(notifier, targets):
        zone = Zone()
        for serial in range(1, 31):
            zone.sealed_version = sealed(serial)
            notifier.tell(zone)
            await asyncio.sleep(0)
        await until(lambda: secondary.serials[-1:] == [30])
        await until(lambda: notifier.facts()[0].is_acknowledged)

    telling(secondary, body=body)
    assert len(secondary.serials) <= 3


def test_who_does_not_answer_is_told_again_and_holds_up_nobody():
    silent, other = Secondary(), Secondary()
    silent.answers = False

    async def body(notifier, targets):
        zone = Zone(sealed_version=sealed(7))
        notifier.tell(zone)
        await until(lambda: len(silent.serials) == 3)
        await until(lambda: not any(one.task for one in notifier._tellings.values()))
        facts = {one.port: one for one in notifier.facts()}
        assert (facts[silent.port].error, facts[silent.port].tries) == ("no answer", 3)
        assert facts[other.port].is_acknowledged
        silent.answers = True
        zone.sealed_version = sealed(8)
        notifier.tell(zone)
        await until(lambda: all(one.acknowledged == 8 for one in notifier.facts()))

    telling(silent, other, body=body)
    assert other.serials == [7, 8]


def test_what_changes_meanwhile_is_told_by_the_next_try():
    silent = Secondary()
    silent.answers = False

    async def body(notifier, targets):
        zone = Zone(sealed_version=sealed(7))
        notifier.tell(zone)
        await until(lambda: silent.serials)
        zone.sealed_version = sealed(8)
        notifier.tell(zone)
        silent.answers = True
        await until(lambda: notifier.facts()[0].acknowledged == 8)

    telling(silent, body=body)
    assert silent.serials[0] == 7
    assert set(silent.serials[1:]) == {8}


@pytest.mark.parametrize(
    ("secondary", "error"),
    [
        (Secondary(rcode=dns.rcode.REFUSED), "it answers REFUSED"),
        (Secondary(key=KEY, signs=OTHER), "the signature is wrong"),
    ],
    ids=["refused", "signed-by-another"],
)
def test_an_answer_that_is_no_acknowledgement_says_why(secondary, error):
    async def body(notifier, targets):
        notifier.tell(Zone(sealed_version=sealed(7)))
        await until(lambda: notifier.facts()[0].error)
        assert notifier.facts()[0].error == error
        assert not notifier.facts()[0].is_acknowledged
        (waiting, acknowledged, tries) = notify_metrics(notifier.facts())
        assert [sample.value for sample in waiting.samples] == [1]
        assert not acknowledged.samples
        assert tries.samples[0].labels == {"zone": "example.org.", "view": "", "target": f"127.0.0.1:{targets[0].port}"}

    telling(secondary, body=body)


def test_what_is_no_target_any_more_is_forgotten():
    secondary = Secondary()

    async def body(notifier, targets):
        zone = Zone(sealed_version=sealed(7))
        notifier.tell(zone)
        await until(lambda: notifier.facts()[0].is_acknowledged)
        targets.clear()
        notifier.keep([zone])
        assert notifier.facts() == []

    telling(secondary, body=body)
