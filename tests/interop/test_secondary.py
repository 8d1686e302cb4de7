"""Whether our copies of zones of BIND, NSD and Knot DNS equal theirs, whatever happens to either side."""

import contextlib
import json
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.opcode
import dns.query
import dns.rcode
import dns.rdatatype
import dns.rrset
import dns.update
import pytest

from tests.certificates import Authority
from tests.interop.conftest import zone_file
from tests.interop.test_transfers import has_serial
from tests.interop.test_tsig import KEY
from tools.servers import (
    LOOPBACK,
    Knot,
    Named,
    Nsd,
    Peer,
    Server,
    Zone,
    Zonewright,
    free_port,
    program,
    wait_until,
    zone_records,
    zonewright,
)

ORIGIN = "example.test."
WRAPPING = 4294967290
COREFILE = """{origin}:{{port}} {{
    bind 127.0.0.1
    secondary {{
        transfer from {primaries}
        {more}
    }}
    {plugins}
    transfer {{
        to *
    }}
}}
"""
PRIMARIES = [
    pytest.param(Named, marks=pytest.mark.peer("named")),
    pytest.param(Nsd, marks=pytest.mark.peer("nsd")),
    pytest.param(Knot, marks=pytest.mark.peer("knotd")),
]
QUICK = "refresh 1s 1s\n        retry 1s 1s"


def corefile(*ports: int, more: str = "", plugins: str = "", origin: str = ORIGIN) -> str:
    """Our server block with these primaries on loopback."""
    primaries = " ".join(f"{LOOPBACK}:{port}" for port in ports)
    return COREFILE.format(origin=origin, primaries=primaries, more=more, plugins=plugins)


class Edited:
    """A primary of the real kind and how its zone is changed: by UPDATE, or by its file where it takes none."""

    def __init__(self, kind: type[Peer], run: Callable[..., Server], directory: Path, notified: int | None) -> None:
        self.file = zone_file(directory, ORIGIN, 300, serial=WRAPPING)
        self.count = 0
        facts: dict[str, object] = {}
        match kind.__name__:
            case "Named":
                tell = f"notify explicit; also-notify {{ {LOOPBACK} port {notified}; }};" if notified else "notify no;"
                more = f"allow-update {{ any; }}; notify-delay 0; {tell}"
            case "Nsd":
                more = f"  notify: {LOOPBACK}@{notified} NOKEY\n" if notified else ""
                more += "  store-ixfr: yes\n"
            case _:
                more = "    notify: ours\n" if notified else ""
                facts["more"] = f"remote:\n  - id: ours\n    address: {LOOPBACK}@{notified}\n" if notified else ""
        self.server = run(kind, zones=[Zone(ORIGIN, self.file, more=more)], port=free_port(), **facts)

    def edit(self) -> None:
        """One more record, and a serial that is one more."""
        self.count += 1
        if isinstance(self.server, Nsd):
            before, now = ((WRAPPING + count) % 2**32 for count in (self.count - 1, self.count))
            text = self.file.read_text().replace(f" {before} ", f" {now} ", 1)
            self.file.write_text(text + f'edit{self.count}.{ORIGIN} 60 IN TXT "{self.count}"\n')
            self.server.process.send_signal(signal.SIGHUP)
            return
        update = dns.update.UpdateMessage(ORIGIN)
        update.add(f"edit{self.count}", 60, "TXT", f'"{self.count}"')
        if self.count > 3:
            update.delete(f"edit{self.count - 3}")
        answer = dns.query.udp(update, LOOPBACK, 5, self.server.port)
        assert answer.rcode() == dns.rcode.NOERROR


def records(server: Server) -> list[str]:
    """All it transfers; nothing while it can't."""
    with contextlib.suppress(dns.exception.DNSException, OSError):
        return zone_records(server.transfer(ORIGIN))
    return []


def wait_equal(ours: Zonewright, theirs: Server) -> None:
    """Until both transfer the same."""

    def is_equal() -> bool:
        with contextlib.suppress(dns.exception.DNSException, OSError, IndexError):
            return ours.texts(ORIGIN, "SOA") == theirs.texts(ORIGIN, "SOA") and records(ours) == records(theirs) != []
        return False

    wait_until(is_equal, 20, "the copy equals\n" + ours.new_log[-3000:])


@pytest.mark.parametrize("primary", PRIMARIES)
def test_the_copy_follows_each_edit_also_across_kills_of_either_side(run, tmp_path, primary):
    """Edits by one and in bursts; the serial wraps; NOTIFY alone says when, refresh is far away."""
    port = free_port()
    edited = Edited(primary, run, tmp_path, port)
    ours = run(Zonewright, corefile=corefile(edited.server.port), port=port)
    wait_equal(ours, edited.server)
    for _ in range(2):
        edited.edit()
        wait_equal(ours, edited.server)
    for _ in range(6):
        edited.edit()
    wait_equal(ours, edited.server)
    last = records(edited.server)

    edited.server.stop()
    ours.kill()
    ours.start()
    assert records(ours) == last, "served from the state, without any primary"
    edited.server.start()
    edited.edit()
    wait_equal(ours, edited.server)
    if not isinstance(edited.server, Nsd):
        assert "the whole zone is taken" not in ours.new_log


HASHED = "policy:\n  - id: hashed\n    nsec3: on\n    nsec3-iterations: 0\n    nsec3-salt-length: 0\n"


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(Named, marks=pytest.mark.peer("named", "ldns-verify-zone"), id="BIND-NSEC"),
        pytest.param(Knot, marks=pytest.mark.peer("knotd", "ldns-verify-zone"), id="Knot-NSEC3"),
    ],
)
def test_a_zone_that_its_primary_signs_is_served_with_its_own_proofs(run, tmp_path, kind):
    file = zone_file(tmp_path, ORIGIN, 60, serial=1)
    if kind is Named:
        more = f'dnssec-policy default; inline-signing yes; key-directory "{tmp_path}"; allow-update {{ any; }};'
        theirs = run(Named, zones=[Zone(ORIGIN, file, more=more)])
    else:
        more = "    dnssec-signing: on\n    dnssec-policy: hashed\n"
        theirs = run(Knot, zones=[Zone(ORIGIN, file, more=more)], more=HASHED)
    ours = run(Zonewright, corefile=corefile(theirs.port, more=QUICK))
    wait_until(lambda: sum(" RRSIG " in line for line in records(theirs)) > 60, 20, "they sign")
    wait_equal(ours, theirs)
    update = dns.update.UpdateMessage(ORIGIN)
    update.add("added", 60, "TXT", '"added"')
    assert dns.query.udp(update, LOOPBACK, 5, theirs.port).rcode() == dns.rcode.NOERROR
    wait_until(lambda: any(line.startswith(f"added.{ORIGIN}") for line in records(theirs)), 20, "they add it")
    wait_equal(ours, theirs)
    assert any(" NSEC3PARAM " in line for line in records(ours)) == (kind is Knot)
    for name in (f"none.{ORIGIN}", f"added.{ORIGIN}", ORIGIN):
        said = [one.ask(name, "AAAA", dnssec=True) for one in (ours, theirs)]
        assert said[0].rcode() == said[1].rcode()
        assert set(map(str, said[0].authority)) == set(map(str, said[1].authority)), name
    dumped = tmp_path / "dumped"
    dumped.write_text("\n".join(records(ours)) + "\n")
    done = subprocess.run(
        [program("ldns-verify-zone") or "", "-V", "1", str(dumped)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


# -------------------------------------------------------------------- primaries that lie


SOA_TEXT = "ns.example.test. admin.example.test. {serial} 3600 600 {expire} 300"


def rrset(owner: str, rtype: str, *texts: str) -> dns.rrset.RRset:
    """An RRset of the zone."""
    return dns.rrset.from_text(owner, 300, "IN", rtype, *texts)


class Liar(threading.Thread):
    """A primary on a real socket whose answers to transfers are what `lie` makes of a query; its SOA says `serial`."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.serial, self.expire = 1, 86400
        self.lie: Callable[[dns.message.Message, socket.socket], None] = self.whole
        self.asked: list[str] = []
        self.listening = socket.create_server((LOOPBACK, 0))
        self.port = self.listening.getsockname()[1]
        self.datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.datagrams.bind((LOOPBACK, self.port))
        threading.Thread(target=self.tell, daemon=True).start()
        self.start()

    def soa(self, serial: int | None = None) -> dns.rrset.RRset:
        """The zone's SOA."""
        text = SOA_TEXT.format(serial=self.serial if serial is None else serial, expire=self.expire)
        return rrset(ORIGIN, "SOA", text)

    def tell(self) -> None:
        """Answer about the SOA by UDP."""
        while True:
            octets, client = self.datagrams.recvfrom(4096)
            self.datagrams.sendto(self.answer(dns.message.from_wire(octets), [self.soa()]), client)

    def run(self) -> None:
        """Answer each transfer."""
        while True:
            connection, _ = self.listening.accept()
            with connection, contextlib.suppress(OSError, dns.exception.DNSException):
                query, _ = dns.query.receive_tcp(connection, time.time() + 5)
                self.asked.append(dns.rdatatype.to_text(query.question[0].rdtype))
                self.lie(query, connection)

    @staticmethod
    def answer(query: dns.message.Message, answers: list[dns.rrset.RRset], rcode: int = 0) -> bytes:
        """One message."""
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AA
        response.set_rcode(rcode)
        response.answer = answers
        return response.to_wire(max_size=65535)

    def send(
        self, query: dns.message.Message, connection: socket.socket, answers: list[dns.rrset.RRset], **more: int
    ) -> None:
        """One message by TCP."""
        octets = self.answer(query, answers, **more)
        connection.sendall(len(octets).to_bytes(2, "big") + octets)

    def content(self) -> list[dns.rrset.RRset]:
        """The zone, SOA first and last."""
        said = rrset("said." + ORIGIN, "TXT", f'"{self.serial}"')
        ns, address = rrset(ORIGIN, "NS", "ns." + ORIGIN), rrset("ns." + ORIGIN, "A", "192.0.2.1")
        return [self.soa(), ns, address, said, self.soa()]

    def whole(self, query: dns.message.Message, connection: socket.socket) -> None:
        """The truth."""
        self.send(query, connection, self.content())

    def refuse(self, query: dns.message.Message, connection: socket.socket) -> None:
        self.send(query, connection, [], rcode=dns.rcode.REFUSED)

    def close(self, query: dns.message.Message, connection: socket.socket) -> None:
        self.send(query, connection, self.content()[:3])

    def truncate(self, query: dns.message.Message, connection: socket.socket) -> None:
        octets = self.answer(query, self.content())
        connection.sendall(len(octets).to_bytes(2, "big") + octets[:40])

    def garbage(self, query: dns.message.Message, connection: socket.socket) -> None:
        octets = self.answer(query, self.content())[:30] + bytes(range(200))
        connection.sendall(len(octets).to_bytes(2, "big") + octets)

    def other_zone(self, query: dns.message.Message, connection: socket.socket) -> None:
        other = dns.message.make_query("other.test.", query.question[0].rdtype, id=query.id)
        self.send(other, connection, [rrset("other.test.", "SOA", SOA_TEXT.format(serial=9, expire=9))] * 2)

    def foreign_names(self, query: dns.message.Message, connection: socket.socket) -> None:
        soa, *rest = self.content()
        self.send(query, connection, [soa, rrset("www.other.test.", "A", "192.0.2.66"), *rest])

    def trickle(self, query: dns.message.Message, connection: socket.socket) -> None:
        octets = self.answer(query, self.content())
        connection.sendall(len(octets).to_bytes(2, "big"))
        for octet in octets[:8]:
            connection.sendall(bytes([octet]))
            time.sleep(0.3)

    def back_in_serial(self, query: dns.message.Message, connection: socket.socket) -> None:
        self.send(query, connection, [self.soa(0), *self.content()[1:-1], self.soa(0)])

    def broken(self, query: dns.message.Message, connection: socket.socket) -> None:
        alias = rrset("said." + ORIGIN, "CNAME", "ns." + ORIGIN)
        self.send(query, connection, [*self.content()[:-1], alias, self.soa()])

    def endless(self, query: dns.message.Message, connection: socket.socket) -> None:
        self.send(query, connection, self.content()[:2])
        for number in range(1000):
            later = dns.message.make_response(query)
            later.answer = [rrset(f"n{number}.{ORIGIN}", "A", "192.0.2.1")]
            octets = later.to_wire()
            connection.sendall(len(octets).to_bytes(2, "big") + octets)


LIES = (
    "refuse", "close", "truncate", "garbage", "other_zone", "foreign_names", "trickle", "back_in_serial", "broken", "endless",
)  # fmt: skip


def said(server: Zonewright) -> str:
    """The serial that the content is of."""
    with contextlib.suppress(dns.exception.DNSException, OSError):
        return "".join(server.texts("said." + ORIGIN, "TXT"))
    return ""


def has(server: Zonewright, serial: int) -> bool:
    """Whether the content of this serial is answered."""
    return said(server) == f'"{serial}"'


def hint(server: Zonewright) -> int:
    """A NOTIFY, and the rcode of its answer."""
    notify = dns.message.make_query(ORIGIN, "SOA")
    notify.set_opcode(dns.opcode.NOTIFY)
    return dns.query.udp(notify, LOOPBACK, 5, server.port).rcode()


def is_told(server: Zonewright, liar: Liar, before: int) -> bool:
    """Whether the log has one more line of what the liar did."""
    return server.new_log.count(f"nothing from {LOOPBACK}:{liar.port}: ") > before


def test_no_lie_harms_what_serves_and_an_honest_primary_is_asked_next(run):
    """One server, and one lie after another by the first primary; the second is away at first."""
    liar, honest = Liar(), Liar()
    more = "refresh 10s 10s\n        retry 10s 10s\n        idle 1s\n        within 3s\n        max_records 500"
    ours = run(Zonewright, corefile=corefile(liar.port, honest.port, more=more))
    wait_until(lambda: said(ours) == '"1"', 10, "the truth is taken\n" + ours.new_log)
    for number, name in enumerate(LIES, 2):
        # The honest one has nothing new; then it has.
        told = ours.new_log.count(f"nothing from {LOOPBACK}:{liar.port}: ")
        liar.lie, liar.serial = getattr(liar, name), number
        hint(ours)
        wait_until(partial(is_told, ours, liar, told), 15, f"{name} is told\n" + ours.new_log)
        assert said(ours) == f'"{number - 1}"', f"{name} harms nothing"
        honest.serial = number
        hint(ours)
        wait_until(partial(has, ours, number), 15, f"{name}: the honest one is asked\n" + ours.new_log)


def expired_by(server: Zonewright) -> bool:
    """Whether the zone is answered SERVFAIL with the extended error that says why (RFC 8914 section 4.25)."""
    answer = server.ask(ORIGIN, "SOA", dnssec=True)
    codes = [option.code for option in answer.options if isinstance(option, dns.edns.EDEOption)]
    return answer.rcode() == dns.rcode.SERVFAIL and codes == [24]


def test_a_copy_that_nobody_confirms_expires_also_across_a_restart_and_comes_back(run):
    primary = Liar()
    more = "refresh 1s 1s\n        retry 1s 1s\n        expire 1s 2s"
    ours = run(Zonewright, corefile=corefile(primary.port, more=more))
    wait_until(partial(has, ours, 1), 10, "the zone is there\n" + ours.new_log)
    primary.lie, primary.serial = primary.refuse, 2
    wait_until(partial(expired_by, ours), 10, "it expires\n" + ours.new_log)
    with pytest.raises(dns.exception.DNSException):
        ours.transfer(ORIGIN)
    ours.kill()
    ours.start()
    assert expired_by(ours), "no restart makes it young"
    primary.lie = primary.whole
    wait_until(partial(has, ours, 2), 10, "it is served again\n" + ours.new_log)
    shown = json.loads(ours.control("zone", "show", ORIGIN, "--json").stdout)
    assert (shown["kind"], shown["expired"], shown["primary_serial"]) == ("secondary", False, 2)
    assert shown["expires_in"] <= 2


def test_a_notify_is_heeded_from_primaries_and_whom_the_corefile_names_alone(run):
    primary = Liar()
    ours = run(Zonewright, corefile=corefile(primary.port, more="notify from 127.0.0.8"))
    wait_until(partial(has, ours, 1), 10, "the zone is there\n" + ours.new_log)
    notify = dns.message.make_query(ORIGIN, "SOA")
    notify.set_opcode(dns.opcode.NOTIFY)
    for serial, source in enumerate(("127.0.0.1", "127.0.0.8"), 2):
        primary.serial = serial
        assert dns.query.udp(notify, LOOPBACK, 5, ours.port, source=source).rcode() == dns.rcode.NOERROR
        wait_until(partial(has, ours, serial), 5, f"{source} is heeded\n" + ours.new_log)
    asked = len(primary.asked)
    primary.serial = 9
    assert dns.query.udp(notify, LOOPBACK, 5, ours.port, source="127.0.0.9").rcode() == dns.rcode.REFUSED
    time.sleep(0.3)
    assert (len(primary.asked), said(ours)) == (asked, '"3"')
    assert ours.control("zone", "refresh", ORIGIN).returncode == 0
    assert said(ours) == '"9"'
    primary.serial = 4
    done = ours.control("zone", "refresh", ORIGIN, "--json")
    assert "its serial 4 is before ours, which is 9" in json.loads(done.stdout)["transfer_problem"]
    assert ours.control("zone", "retransfer", ORIGIN).returncode == 0
    assert (said(ours), ours.serial(ORIGIN)) == ('"4"', 10), "no serial goes back"


def test_an_unsigned_primary_is_signed_here_and_that_is_served_as_it_is_by_the_next_secondary(run, tmp_path):
    """Bump in the wire with NSEC3 and ZONEMD; the second one verifies the digest, and both have the same records."""
    (tmp_path / "policies.yaml").write_text("policies:\n  wire:\n    denial: nsec3\n    zonemd: true\n")
    port, hidden = free_port(), Liar()
    plugins = f"dnssec {{\n        policies {tmp_path}/policies.yaml\n        policy wire\n    }}"
    signing = corefile(hidden.port, plugins=plugins).replace("to *", f"to * 127.0.0.1:{port}")
    ours = run(Zonewright, corefile=signing)
    wait_until(partial(has, ours, 1), 10, "the zone is there\n" + ours.new_log)
    ours.wait_sealed(ORIGIN)
    second = run(Zonewright, corefile=corefile(ours.port), port=port)
    wait_equal(second, ours)
    hidden.serial = 7
    hint(ours)
    wait_until(partial(has, second, 7), 10, "the change comes through\n" + second.new_log)
    wait_equal(second, ours)
    missing = second.ask("missing." + ORIGIN, "A", dnssec=True)
    assert missing.rcode() == dns.rcode.NXDOMAIN
    types = {dns.rdatatype.to_text(one.rdtype) for one in missing.authority}
    assert types == {"SOA", "RRSIG", "NSEC3"}
    assert any(" ZONEMD " in line for line in records(second))
    ours.kill()
    ours.start()
    hidden.serial = 8
    hint(ours)
    wait_until(partial(has, second, 8), 10, "also after a restart\n" + second.new_log + ours.new_log)


def test_a_zone_whose_digest_is_wrong_is_held(run):
    primary = Liar()
    ours = run(Zonewright, corefile=corefile(primary.port))
    wait_until(partial(has, ours, 1), 10, "the zone is there\n" + ours.new_log)
    digest = rrset(ORIGIN, "ZONEMD", "2 1 1 " + "00" * 48)
    honest = primary.content
    primary.serial, primary.content = 2, lambda: [*honest()[:-1], digest, honest()[-1]]
    hint(ours)
    wait_until(lambda: "zonemd-wrong" in ours.new_log, 10, "it is held\n" + ours.new_log)
    assert said(ours) == '"1"'


@pytest.mark.parametrize(
    "odd",
    [
        "transfer from 192.0.2.0/24",
        "transfer to 192.0.2.1",
        "transfer from",
        "transfer from ::1\n        notify from x",
    ],
)
def test_a_line_that_can_not_be_is_told_with_its_place(tmp_path, odd):
    (tmp_path / "Corefile").write_text(f"example.test {{\n    secondary {{\n        {odd}\n    }}\n}}\n")
    done = zonewright("check", "Corefile", cwd=tmp_path)
    assert done.returncode == 1
    assert f"Corefile:{3 + odd.count(chr(10))}: " in done.stdout


KEYED = """    tsig {{
        secret {name} {secret}
    }}
    tls primary.test {{
        ca {ca}
    }}
"""


@pytest.mark.peer("named")
def test_bind_is_followed_by_a_key_and_by_tls_and_nobody_without_them_gets_anything(run, tmp_path):
    authority = Authority(tmp_path)
    own = authority.certify("primary.test")
    tls_port, port = free_port(), free_port()
    file = zone_file(tmp_path, ORIGIN, 4000)
    notified = f"notify explicit; also-notify {{ {LOOPBACK} port {port} key {KEY.name}; }}; notify-delay 0;"
    more = f"allow-transfer {{ key {KEY.name}; }}; allow-update {{ any; }}; {notified}"
    theirs = run(
        Named,
        zones=[Zone(ORIGIN, file, key=KEY, more=more)],
        top=f'tls own {{ cert-file "{own.certificate}"; key-file "{own.key}"; }};',
        more=f"listen-on port {tls_port} tls own {{ {LOOPBACK}; }};",
    )
    keyed = KEYED.format(name=KEY.name, secret=KEY.secret, ca=authority.path)
    plain = corefile(theirs.port, plugins=keyed).replace(f":{theirs.port}", f":{theirs.port} key {KEY.name}")
    ours = run(Zonewright, corefile=plain, port=port)
    secured = corefile(tls_port, plugins=keyed, more="refresh 1s 1s").replace(
        f":{tls_port}", f":{tls_port} key {KEY.name} tls primary.test"
    )
    strict = run(Zonewright, corefile=secured)
    keyless = run(Zonewright, corefile=corefile(theirs.port))
    stranger = run(Zonewright, corefile=secured.replace("primary.test", "another.test"))
    for serial in (2026010101, 2026010102):
        for one in (ours, strict):
            wait_until(partial(has_serial, one, serial), 15, f"{serial} is there\n" + one.new_log)
        if serial == 2026010101:
            update = dns.update.UpdateMessage(ORIGIN)
            update.add("edit", 60, "TXT", "edited")
            assert dns.query.udp(update, LOOPBACK, 5, theirs.port).rcode() == dns.rcode.NOERROR
    assert "the answer is REFUSED" in keyless.new_log
    assert "certificate" in stranger.new_log
    # A NOTIFY without the key is none of the primary's.
    assert hint(ours) == dns.rcode.REFUSED


def test_a_key_that_is_not_defined_is_told_with_its_place(tmp_path):
    text = "example.test {\n    secondary {\n        transfer from 192.0.2.1 key no.such\n    }\n}\n"
    (tmp_path / "Corefile").write_text(text)
    done = zonewright("check", "Corefile", cwd=tmp_path)
    assert done.returncode == 1
    assert "Corefile:3: error: secondary: key no.such. is not defined" in done.stdout


def test_it_is_ready_without_a_primary_and_a_reload_changes_where_a_zone_comes_from(run, tmp_path):
    first, second = Liar(), Liar()
    ours = run(Zonewright, corefile=corefile(free_port()))
    assert ours.ask(ORIGIN, "SOA").rcode() == dns.rcode.SERVFAIL
    for number, primary in enumerate((first, second), 1):
        primary.serial = number
        ours.write_corefile(corefile(primary.port))
        ours.process.send_signal(signal.SIGHUP)
        wait_until(partial(has, ours, number), 15, f"primary {number} is asked\n" + ours.new_log)
    asked = len(first.asked)
    file = zone_file(tmp_path, ORIGIN, 20, serial=3)
    ours.write_corefile(f"{ORIGIN}:{{port}} {{\n    bind 127.0.0.1\n    file {file}\n}}\n")
    ours.process.send_signal(signal.SIGHUP)
    wait_until(lambda: ours.serial(ORIGIN) == 3, 15, "the file serves\n" + ours.new_log)
    assert ours.control("zone", "refresh", ORIGIN).returncode == 1
    second.serial = 9
    assert hint(ours) == dns.rcode.REFUSED
    assert (len(first.asked), ours.serial(ORIGIN)) == (asked, 3)
