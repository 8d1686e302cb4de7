"""Knot DNS signs the same zone with keys of its own: unbound is sent to either, through a join, a roll and a leave."""

import itertools
import json
import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.update
import pytest

from authserver.control import call
from tests.interop.conftest import ds_of
from tools.servers import Knot, Server, Unbound, Zone, Zonewright, wait_until, zonewright

PARENT = "parent.test."
CHILD = "child.parent.test."
POLICY = """policies:
  fast:
    keys:
      - {role: ksk, algorithm: ecdsap256sha256}
      - {role: zsk, algorithm: ecdsap256sha256}
    dnskey-ttl: 1s
    max-zone-ttl: 1s
    publish-safety: 0s
    retire-safety: 0s
    propagation-delay: 0s
    parent-propagation-delay: 0s
    parent-registration-delay: 0s
    parent-ds-ttl: 1s
"""
BLOCK = """{origin}:{{port}} {{
    bind 127.0.0.1
    file {file} {origin}
    dnssec {{
        policies {policies}
        policy fast
    }}
}}
"""
TEXTS = {
    PARENT: "$TTL 1\n@ SOA ns admin 1 3600 600 604800 1\n@ NS ns\nns A 127.0.0.1\nchild NS ns.child\nns.child A 127.0.0.1\n",
    CHILD: "$TTL 1\n@ SOA ns admin 1 3600 600 604800 1\n@ NS ns\nns A 127.0.0.1\n* A 192.0.2.1\n",
}
KNOT_POLICY = """policy:
  - id: shared
    algorithm: ecdsap256sha256
    dnskey-ttl: 1
    zone-max-ttl: 1
    propagation-delay: 0
    ksk-lifetime: 0
    zsk-lifetime: 0
    cds-cdnskey-publish: none
    dnskey-management: incremental
    delete-delay: 1
"""


class Relay(threading.Thread):
    """What resolvers take for the child's name server: sends DNSKEY questions to one provider, others to each in turn."""

    def __init__(self, keys_from: Server, answers_from: Sequence[Server]) -> None:
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]
        self.send_to(keys_from, answers_from)

    def send_to(self, keys_from: Server, answers_from: Sequence[Server]) -> None:
        self.keys_from, self.answers_from = keys_from, itertools.cycle(answers_from)

    def run(self) -> None:
        while True:
            try:
                octets, client = self.socket.recvfrom(4096)
            except OSError:
                return
            (question,) = dns.message.from_wire(octets).question
            server = self.keys_from if question.rdtype == dns.rdatatype.DNSKEY else next(self.answers_from)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as onward:
                onward.settimeout(2)
                onward.sendto(octets, (server.address, server.port))
                try:
                    self.socket.sendto(onward.recv(4096), client)
                except OSError:
                    continue


class Asking(threading.Thread):
    """Asks a resolver for names that it does not know yet, all the time."""

    def __init__(self, resolver: Unbound, name: str) -> None:
        super().__init__(daemon=True)
        self.resolver, self.word = resolver, name
        self.asked = 0
        self.wrong: list[str] = []
        self.is_done = threading.Event()

    def run(self) -> None:
        while not self.is_done.wait(0.02):
            self.asked += 1
            qname = f"{self.word}{self.asked}.{CHILD}"
            try:
                response = self.resolver.resolve(qname, "A")
            except (OSError, dns.exception.DNSException) as error:
                self.wrong.append(f"{qname}: {error!r}")
                continue
            if response.rcode() != dns.rcode.NOERROR or not response.flags & dns.flags.AD:
                self.wrong.append(f"{qname}: {dns.rcode.to_text(response.rcode())}")


class Shared:
    """Both providers, two resolvers that have DNSKEYs of one and of the other, and what is asked of them."""

    def __init__(self, ours: Zonewright, theirs: Knot) -> None:
        self.ours, self.theirs = ours, theirs
        self.published: set[str] = set()

    def key(self, *words: object) -> dict[str, object]:
        done = self.ours.control("key", *map(str, words), "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def facts(self, command: str, **arguments: object) -> Any:
        """The same without a process of its own, to be asked often."""
        return call(self.ours.state / "control.sock", command, {"zone": CHILD, "provider": "knot", **arguments})

    def dnskeys(self, server: Server) -> set[str]:
        return {text.replace(" ", "") for text in server.texts(CHILD, "DNSKEY")}

    def our_keys(self) -> list[str]:
        """Our own DNSKEY records that are served."""
        served = self.dnskeys(self.ours)
        texts = [one["dnskey"].split(" DNSKEY ")[1] for one in self.facts("key.list")]
        return [text for text in texts if text.replace(" ", "") in served]

    def hand_over(self) -> None:
        """Give our DNSKEYs to Knot DNS, and take away those that are no more; its own are its own."""
        wanted = set(self.our_keys())
        update = dns.update.UpdateMessage(CHILD)
        for text in wanted - self.published:
            update.add(CHILD, 1, "DNSKEY", text)
        for text in self.published - wanted:
            update.delete(CHILD, "DNSKEY", text)
        response = dns.query.tcp(update, self.theirs.address, 5, self.theirs.port)
        assert response.rcode() == dns.rcode.NOERROR, self.theirs.log[-2000:]
        self.published = wanted
        have = {text.replace(" ", "") for text in wanted}
        wait_until(lambda: have <= self.dnskeys(self.theirs), 10, "Knot DNS publishes our keys")

    def steps(self) -> list[bool]:
        return [step["done"] for step in self.facts("key.provider.show")["steps"]]


@pytest.fixture
def shared(run, tmp_path: Path) -> Shared:
    (tmp_path / "policies.yaml").write_text(POLICY)
    blocks = ""
    for origin, text in TEXTS.items():
        (tmp_path / f"{origin}zone").write_text(text)
        file = tmp_path / f"{origin}zone"
        blocks += BLOCK.format(origin=origin, file=file, policies=tmp_path / "policies.yaml")
    ours = run(Zonewright, corefile=blocks)
    (tmp_path / "knot.zone").write_text(TEXTS[CHILD])
    more = (
        "    dnssec-signing: on\n    dnssec-policy: shared\n    journal-content: all\n    zonefile-load: difference\n"
    )
    zone = Zone(CHILD, tmp_path / "knot.zone", more=more)
    theirs = run(Knot, zones=(zone,), more=KNOT_POLICY)
    ours.wait_served(CHILD)
    wait_until(lambda: len(theirs.texts(CHILD, "DNSKEY")) == 2, 10, "Knot DNS signs")
    return Shared(ours, theirs)


@pytest.mark.peer("knotd", "unbound")
def test_unbound_validates_answers_of_either_with_keys_of_either_through_join_roll_and_leave(run, shared):
    ours, theirs = shared.ours, shared.theirs
    wait_until(lambda: ours.texts(CHILD, "DS"), 20, "our own DS is in the parent")
    anchors = "".join(f"{PARENT} 1 IN DS {rdata}\n" for rdata in ds_of(ours, PARENT))
    relays = [Relay(ours, [ours]), Relay(ours, [ours])]
    askings = []
    for number, relay in enumerate(relays):
        relay.start()
        resolver = run(Unbound, stubs={PARENT: ours.port, CHILD: relay.port}, anchors=anchors)
        wait_until(lambda r=resolver: r.resolve(f"x.{CHILD}", "A").flags & dns.flags.AD, 20, "unbound is there")
        askings.append(Asking(resolver, f"n{number}-"))
        askings[-1].start()
    both = [ours, theirs]

    # Join.
    theirs_text = "\n".join(f"{CHILD} 1 IN DNSKEY {text}" for text in theirs.texts(CHILD, "DNSKEY"))
    file = ours.directory / "theirs"
    file.write_text(theirs_text)
    shared.key("provider", "add", CHILD, "knot", "--server", f"127.0.0.1:{theirs.port}", "--dnskey", file)
    assert shared.steps()[1] is False
    shared.hand_over()
    words = ("key", "provider", "confirm", CHILD, "knot", "--dnskey", "-", "--state", ours.state)
    answer = "\n".join(f"{CHILD} 1 IN DNSKEY {text}" for text in theirs.texts(CHILD, "DNSKEY"))
    done = zonewright(*words, input=answer)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("published there since") == 2
    assert ours.control("key", "provider", "list", CHILD).stdout.split("\t")[:3] == [CHILD, "knot", "stays"]
    wait_until(lambda: shared.steps()[:3] == [True, True, True], 30, f"all steps are done: {shared.steps()}")
    assert len(ours.texts(CHILD, "DS")) == 2
    wait_until(
        lambda: {one["by"] for one in shared.facts("key.provider.show")["has_ours"]} == {"servers"},
        10,
        "it is seen, too",
    )
    shown = ours.control("key", "provider", "show", CHILD, "knot").stdout
    assert "3. [x] the parent has the DS of the keys of knot and of ours" in shown
    assert f"zonewright key csync {CHILD}; when it has: zonewright key csync {CHILD} --withdraw" in shown
    assert "published there since" in shown
    assert "(seen at all its servers)" in shown
    relays[0].send_to(ours, both)
    relays[1].send_to(theirs, both)
    shared.key("csync", CHILD)
    wait_until(lambda: ours.texts(CHILD, "CSYNC") == ["0 1 A NS"], 10, "CSYNC is served")
    shared.key("csync", CHILD, "--withdraw")
    wait_until(lambda: ours.texts(CHILD, "CSYNC") == [], 10, "CSYNC is withdrawn")

    # A ZSK of ours is rolled: it does not sign before Knot DNS publishes it.
    before = askings[1].asked
    shared.key("roll", CHILD, "--role", "zsk")
    wait_until(lambda: len(shared.our_keys()) == 3, 10, "the new ZSK is published here")
    new = shared.facts("key.list")[-1]
    wait_until(lambda: askings[1].asked > before + 100, 30, "two TTLs went by")
    signers = ours.ask(f"y.{CHILD}", "A", dnssec=True).answer[1]
    assert new["tag"] not in [rdata.key_tag for rdata in signers]
    assert "until knot publishes its DNSKEY, too" in ours.control("key", "why", CHILD).stdout
    shared.hand_over()

    def signs() -> bool:
        shared.steps()  # whoever asks has it looked for
        return new["tag"] in [rdata.key_tag for rdata in ours.ask(f"y.{CHILD}", "A", dnssec=True).answer[1]]

    wait_until(signs, 30, "the new ZSK signs")
    wait_until(lambda: len(shared.our_keys()) == 2, 30, "the old ZSK is gone")
    shared.hand_over()

    # Leave.
    relays[0].send_to(ours, [ours])
    relays[1].send_to(ours, [ours])
    shared.key("provider", "remove", CHILD, "knot", "--delegation-ttl", "1s")
    wait_until(lambda: shared.facts("key.provider.list") == [], 30, "it is forgotten")
    assert len(ours.texts(CHILD, "DNSKEY")) == 2
    assert len(ours.texts(CHILD, "DS")) == 1

    before = askings[0].asked
    wait_until(lambda: askings[0].asked > before + 50, 30, "it is asked for some time after")
    for asking in askings:
        asking.is_done.set()
        asking.join(10)
    assert [asking.wrong for asking in askings] == [[], []]
    assert min(asking.asked for asking in askings) > 200
    for relay in relays:
        relay.socket.close()
