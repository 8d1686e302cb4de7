"""The parent is BIND, signed: its DS is looked for, believed or not, and brought by UPDATE, NOTIFY or a command."""

import asyncio
import socket
import sys
from base64 import b64decode, b64encode
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType

import dns.message
import dns.opcode
import dns.rcode
import dns.rdatatype
import pytest

from authserver.parent import ParentWatcher
from authserver.plugin import ParentRule, Place, Push
from authserver.publication import Live, Zone, ZoneKey
from engine import Clock, SignedVersion, SigningKey, Version, ZoneSlot, key_tag, name_from_text, read_zone
from keys import private, tsigfile
from keys.ds import ds_rdata
from keys.policy import DEFAULT
from keys.providers import Provider, foreign_key
from keys.states import Goal, Key, RecordKind, RecordState, Sighting, Standing, key_id
from signer.plan import prepare
from tools.servers import Named, Unbound, free_port, wait_until
from tools.servers import Zone as Served

PARENT = "parent.test."
CHILD = "child.parent.test."
ORIGIN = name_from_text(CHILD)
SECRET = "c2VjcmV0IG9mIHRoZSB0ZXN0IHNlY3JldCBvZiB0aGU="
TEXT = """\
$TTL 300
@ SOA ns1 admin 1 3600 600 604800 300
@ NS ns1
ns1 A 127.0.0.1
child NS ns.child
ns.child A 127.0.0.1
nosuch.child 300 TXT "glue only"
"""

HASHED = [
    f"dnssec-policy {name} {{ keys {{ csk lifetime unlimited algorithm 13; }}; nsec3param optout {opt_out}; }};\n"
    for name, opt_out in (("nsec3", "no"), ("optout", "yes"))
]

pytestmark = pytest.mark.peer("named", "unbound")


def a_key(word: str, number: int = 0) -> tuple[Key, SigningKey]:
    pkcs8, dnskey = private.generate(13)
    letters = {state.value[0].upper(): state for state in RecordState}
    states = {kind: Standing(letters[one], 1000) for kind, one in zip(RecordKind, word, strict=True)}
    key = Key(
        id=key_id(ORIGIN, "", dnskey),
        origin=ORIGIN,
        view="",
        algorithm=13,
        is_ksk=True,
        is_zsk=True,
        dnskey=dnskey,
        tag=key_tag(dnskey),
        goal=Goal.PRESENT,
        states=MappingProxyType(states),
        created_at=1000 + number,
    )
    return key, SigningKey(pkcs8, dnskey)


def a_zone(*signers: tuple[Key, SigningKey]) -> Zone:
    """The child, live and sealed with these keys."""
    text = "$TTL 300\n@ SOA ns admin 1 3600 600 604800 300\n@ NS ns\nns A 127.0.0.1\n"
    version, _ = Version.build(read_zone(ORIGIN, [("child", text.encode())]))
    assert version is not None
    keys = tuple(key for key, _ in signers)
    clock = Clock()
    made = prepare(version, keys, {key.id: handle for key, handle in signers}, DEFAULT, 1, clock.now())
    zone = Zone(ZoneKey(ORIGIN), DEFAULT, ZoneSlot(ORIGIN), keys=keys)
    zone.live = zone.sealed = Live(SignedVersion(made.version, made.plan), 1, b"", keys, DEFAULT, clock.now())
    return zone


class Seen:
    """A watcher over one zone, and what it saw."""

    def __init__(self, zone: Zone, rule: ParentRule) -> None:
        self.zone = zone
        self.rule = rule
        self.seen: dict[str, Sighting] | None = None

    def look(self) -> "Seen":
        async def note(_: Zone, seen: dict[str, Sighting]) -> None:
            self.seen = dict(seen)

        async def run() -> None:
            watcher = ParentWatcher(Clock(), lambda: {self.zone.key: self.zone}, lambda _: self.rule, note)
            self.seen = None
            await watcher._look_within(asyncio.Semaphore(1), self.zone, self.rule)
            self.status = watcher.status(self.zone.key)

        asyncio.run(run())
        return self

    @property
    def present(self) -> list[bool] | None:
        return None if self.seen is None else [self.seen[key.id].is_present for key in self.zone.keys]


def a_rule(**facts: object) -> ParentRule:
    known = {
        "origins": (ORIGIN,),
        "resolvers": (),
        "servers": (),
        "anchor": None,
        "poll": 60.0,
        "notified": (),
        "push": None,
        "hook": (),
        "place": Place("Corefile", 1),
    }
    return ParentRule(**{**known, **facts})


@pytest.fixture
def parent(run, tmp_path):
    """BIND with a signed parent that takes updates by a key; dynamic, so that it signs what comes."""

    def start(policy: str = "default", text: str = TEXT) -> Named:
        directory = tmp_path / "named"
        directory.mkdir(exist_ok=True)
        file = directory / "parent.zone"
        file.write_text(text)
        more = f'dnssec-policy {policy}; key-directory "{directory}"; allow-update {{ key push; }};'
        top = f'key "push" {{ algorithm hmac-sha256; secret "{SECRET}"; }};\n' + "".join(HASHED)
        server = run(Named, zones=(Served(PARENT, file, more=more),), top=top, directory=directory)
        wait_until(lambda: server.ask(PARENT, "DNSKEY").answer, 20, "the parent is signed")
        wait_until(lambda: any(s.rdtype == 46 for s in server.ask(PARENT, "SOA", dnssec=True).answer), 20, "all of it")
        return server

    return start


@pytest.fixture
def anchor(tmp_path):
    def write(server: Named) -> Path:
        path = tmp_path / "anchor"
        path.write_text(server.ask(PARENT, "DNSKEY").answer[0].to_text() + "\n")
        return path

    return write


def pushing(server: Named) -> Push:
    return Push(server.address, server.port, tsigfile.TSIGKey("push.", "hmac-sha256", b64decode(SECRET)))


@pytest.mark.parametrize("policy", ["default", "nsec3", "optout"])
def test_a_ds_is_pushed_then_seen_and_its_absence_is_proved(parent, anchor, policy):
    server = parent(policy)
    where = {"servers": ((server.address, server.port),), "anchor": anchor(server)}
    key = a_key("OOOR")
    seen = Seen(a_zone(key), a_rule(**where)).look()
    assert seen.present == [False]
    assert seen.status.is_validated
    assert seen.status.trouble == ()
    assert Seen(a_zone(key), a_rule(**where, push=pushing(server))).look().status.trouble == ()
    wait_until(lambda: seen.look().present == [True], 10, "the pushed DS is seen, and validates")
    assert seen.status.present == (ds_rdata(key[0]),)
    assert seen.status.foreign == ()
    assert seen.seen[key[0].id].ttl == 3600
    # Rolled: the other key's DS takes its place.
    old, new = (key[0].moved(RecordKind.DS, RecordState.UNRETENTIVE, 2000), key[1]), a_key("OOOR", 1)
    rolled = Seen(a_zone(old, new), a_rule(**where, push=pushing(server))).look()
    assert rolled.present == [True, False]
    wait_until(lambda: rolled.look().present == [False, True], 10, "the DS is swapped")


def test_a_ds_of_nobody_is_named(parent, anchor):
    server = parent(text=TEXT + "child DS 4711 13 2 " + "ab" * 32 + "\n")
    seen = Seen(a_zone(a_key("OOOR")), a_rule(servers=((server.address, server.port),), anchor=anchor(server))).look()
    assert seen.present == [False]
    assert [rdata[:4] for rdata in seen.status.foreign] == [bytes.fromhex("12670d02")]


def test_a_ds_of_another_provider_is_nobodys_no_more_and_is_told_of_with_ours(parent, anchor):
    server = parent()
    where = {"servers": ((server.address, server.port),), "anchor": anchor(server)}
    key = a_key("OOOR")
    zone = a_zone(key)
    theirs = foreign_key((ORIGIN, ""), private.generate(13)[1], 1000, is_anchor=True)
    zone.providers = (Provider("other", keys=(theirs,)),)
    seen = Seen(zone, a_rule(**where, push=pushing(server))).look()
    wait_until(lambda: set(seen.look().status.present) == {ds_rdata(key[0]), ds_rdata(theirs)}, 10, "both are pushed")
    assert seen.status.foreign == ()
    assert seen.seen[theirs.id].is_present


def test_what_another_key_signed_is_not_believed(parent, tmp_path):
    server = parent()
    path = tmp_path / "wrong"
    wrong = a_key("OOOO")[0].dnskey
    path.write_text(f"{PARENT} 300 IN DNSKEY 257 3 13 {b64encode(wrong[4:]).decode()}\n")
    seen = Seen(a_zone(a_key("OOOR")), a_rule(servers=((server.address, server.port),), anchor=path)).look()
    assert seen.present is None
    assert "no DNSKEY of parent.test. is that of the anchor" in seen.status.trouble[0][1]


def test_one_server_that_does_not_answer_leaves_everything_open(parent, anchor):
    server = parent()
    silent = ("127.0.0.1", free_port())
    seen = Seen(a_zone(a_key("OOOR")), a_rule(servers=((server.address, server.port), silent), anchor=anchor(server)))
    assert seen.look().present is None
    assert [where for where, _ in seen.status.trouble] == [f"{silent[0]}:{silent[1]}"]


def test_a_resolver_finds_the_parent_and_vouches_for_its_keys(parent, run):
    server = parent()
    anchors = server.ask(PARENT, "DNSKEY").answer[0].to_text() + "\n"
    resolver = run(Unbound, stubs={PARENT: server.port}, anchors=anchors)
    # The addresses that the resolver finds have port 53, which is not free here: the servers are named beside it.
    rule = a_rule(resolvers=((resolver.address, resolver.port),), servers=((server.address, server.port),))
    seen = Seen(a_zone(a_key("OOOR")), rule).look()
    assert seen.status.parent == PARENT
    assert seen.status.is_validated
    assert seen.present == [False]


def test_a_notify_goes_to_whom_the_parent_names(parent, run):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.settimeout(10)
        port = listening.getsockname()[1]
        target = name_from_text("ns1.parent.test.")
        rdata = (59).to_bytes(2, "big") + b"\x01" + port.to_bytes(2, "big") + target
        server = parent(text=TEXT + f"child._dsync TYPE66 \\# {len(rdata)} {rdata.hex()}\n")
        anchors = server.ask(PARENT, "DNSKEY").answer[0].to_text() + "\n"
        resolver = run(Unbound, stubs={PARENT: server.port}, anchors=anchors)
        rule = a_rule(resolvers=((resolver.address, resolver.port),), servers=((server.address, server.port),))
        with ThreadPoolExecutor(1) as pool:
            looked = pool.submit(Seen(a_zone(a_key("OOOR")), rule).look)
            octets, client = listening.recvfrom(4096)
            notify = dns.message.from_wire(octets)
            listening.sendto(dns.message.make_response(notify).to_wire(), client)
            assert looked.result(30).status.trouble == ()
    assert notify.opcode() == dns.opcode.NOTIFY
    assert [(question.name.to_text(), question.rdtype) for question in notify.question] == [(CHILD, dns.rdatatype.CDS)]


def test_a_command_is_told_of_the_ds(parent, anchor, tmp_path):
    server = parent()
    out = tmp_path / "told"
    program = (
        f"import os; open({str(out)!r}, 'w').write(os.environ['ZONEWRIGHT_ZONE'] + '\\n' + os.environ['ZONEWRIGHT_DS'])"
    )
    key = a_key("OOOR")
    where = {"servers": ((server.address, server.port),), "anchor": anchor(server)}
    seen = Seen(a_zone(key), a_rule(**where, hook=(sys.executable, "-c", program))).look()
    assert seen.status.trouble == ()
    assert out.read_text().splitlines() == [CHILD, f"{key[0].tag} 13 2 {ds_rdata(key[0])[4:].hex().upper()}"]
