"""`make demo`: a git repository of zones, served signed, changed while you watch, every answer checked by delv.

A temporary bare repository gets the zones of tools/demo_zones; `zonewright serve` follows it on 127.0.0.1 port 5300.
What is shown is what happened: each line's tick is a validating client's, whose trust anchor was made from
`zonewright key ds`. Ends with Ctrl-C, or by itself with `--once`; its exit status tells whether all went well.

**Limits.** Without delv, positive answers are verified with dnspython, and denials only shown.
"""

import argparse
import contextlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import dns.dnssec
import dns.exception
import dns.name
import dns.rcode
import dns.rdatatype

from tools.repository import Repository
from tools.servers import LOOPBACK, NotStartedError, Zonewright, delv, free_port, program, trust_anchors, wait_until

HERE = Path(__file__).parent
PORT = 5300
PARENT = "corp.example."
CHILD = "lab.corp.example."
ZONES = (PARENT, CHILD, "shop.example.", "2.0.192.in-addr.arpa.")

COREFILE = """# Written by tools/demo.py. One block serves every zone the repository has.
.:{port} {
    bind 127.0.0.1
    auto {
        git URL {
            branch main
            path zones
            every 1s
        }
        directory . (.*)\\.zone {1}
    }
    dnssec
    transfer {
        to *
    }
    errors
}
"""

QUESTIONS: tuple[tuple[str, str, str], ...] = (
    ("corp.example.", "SOA", "the apex"),
    ("corp.example.", "MX", "mail exchangers"),
    ("www.corp.example.", "A", "a chain of two aliases"),
    ("feature-7.dev.corp.example.", "A", "made by a wildcard"),
    ("api.old.corp.example.", "A", "below a renamed branch"),
    ("_sip._udp.corp.example.", "SRV", "a service"),
    ("corp.example.", "CAA", "who may issue certificates"),
    ("corp.example.", "HTTPS", "a service binding"),
    ("_25._tcp.mail.corp.example.", "TLSA", "a certificate's digest"),
    ("nothing-here.corp.example.", "A", "proved not to exist"),
    ("mail.corp.example.", "TXT", "proved to have no such type"),
    ("partner.corp.example.", "DS", "proved to be an unsigned delegation"),
)


@dataclass(slots=True)
class Show:
    """What is printed, and whether anything went wrong."""

    failures: list[str] = field(default_factory=list)

    def title(self, text: str) -> None:
        print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}", flush=True)

    def line(self, is_good: bool, text: str, detail: str = "") -> None:  # noqa: FBT001 a tick or a cross is what it prints
        if not is_good:
            self.failures.append(text)
        print(f"  {'✓' if is_good else '✗'} {text}" + (f"\n      {detail}" if detail else ""), flush=True)

    def note(self, text: str) -> None:
        print(f"    {text}", flush=True)


@dataclass(slots=True)
class Demo:
    """The pieces on the stage."""

    show: Show
    directory: Path
    repository: Repository
    server: Zonewright
    anchors: Path

    def ds(self, origin: str) -> list[str]:
        """DS rdata of a zone by `key ds`."""
        done = self.server.control("key", "ds", origin)
        lines = [line.split(";")[0].strip() for line in done.stdout.splitlines()]
        return [line.split(" DS ")[1].strip() for line in lines if " DS " in line]

    def validate(self, qname: str, qtype: str, what: str) -> None:
        """One answer, judged; its outcome in one line."""
        if program("delv") is None:
            self._verify(qname, qtype, what)
            return
        done = delv(self.server, qname, qtype, self.anchors, PARENT)
        said = (done.stdout + done.stderr).splitlines()
        is_good = any("fully validated" in line for line in said)
        data = [" ".join(line.split()[4:]) for line in said if is_record(line, qtype)]
        self.show.line(
            is_good, f"{qname} {qtype}: {what}", ", ".join(data) or said[0].removeprefix(";; ") if said else ""
        )

    def _verify(self, qname: str, qtype: str, what: str) -> None:
        """As validate, without delv: the answer's signatures under the zone's DNSKEY."""
        response = self.server.ask(qname, qtype, dnssec=True)
        signed = [rrset for rrset in response.answer if rrset.rdtype != dns.rdatatype.RRSIG]
        zone = dns.name.from_text(PARENT)
        keys = self.server.ask(PARENT, "DNSKEY").answer[0]
        is_good = True
        for rrset in signed:
            signatures = response.get_rrset(
                response.answer, rrset.name, rrset.rdclass, dns.rdatatype.RRSIG, rrset.rdtype
            )
            try:
                dns.dnssec.validate(rrset, signatures, {zone: keys})  # type: ignore[arg-type]
            except dns.exception.DNSException:
                is_good = False
        text = ", ".join(rdata.to_text() for rrset in signed for rdata in rrset)
        self.show.line(is_good, f"{qname} {qtype}: {what} (no delv)", text or dns.rcode.to_text(response.rcode()))

    def commit(self, changes: dict[str, str], message: str, is_live: Callable[[], bool]) -> bool:
        """Commit, and say how long it took to be live."""
        commit = self.repository.commit(changes, message)
        started = time.monotonic()
        try:
            wait_until(is_live, 15, "the commit is live")
        except AssertionError:
            self.show.line(False, f"commit {commit[:10]} “{message}”: not live in 15 s", self.server.new_log[-500:])
            return False
        took = time.monotonic() - started
        self.show.line(
            True, f"commit {commit[:10]} “{message}”: live after {took:.2f} s, the wait for the poll included"
        )
        return True


def is_record(line: str, qtype: str) -> bool:
    """Whether a line of delv's output is a record of the asked type or an alias on the way."""
    words = line.split()
    return len(words) > 4 and not line.startswith(";") and words[3] in {qtype, "CNAME"}


def zone_text(origin: str) -> str:
    """A zone file of the demo."""
    return (HERE / "demo_zones" / f"{origin}zone").read_text()


def port_to_use(show: Show) -> int:
    """5300, or another one when that is taken."""
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind((LOOPBACK, PORT))
            except OSError:
                port = free_port()
                show.note(f"port {PORT} is taken, using {port}")
                return port
    return PORT


def need_delv(show: Show) -> None:
    """Install delv where that can be done."""
    if program("delv") is None:
        subprocess.run([HERE / "install_peers.sh", "bind9-dnsutils"], check=False)
    if program("delv") is None:
        show.note("delv (Debian: bind9-dnsutils) is not here; signatures are verified with dnspython instead")


def start(demo: Demo) -> None:
    """Repository, server, trust anchor."""
    show = demo.show
    show.title("A bare git repository of four zones, and a Corefile of one block")
    commit = demo.repository.commit(
        {f"zones/{zone}zone": zone_text(zone) for zone in ZONES}, "The zones of corp.example"
    )
    show.note(f"{demo.repository.url} at {commit[:10]}: {', '.join(ZONES)}")
    started = time.monotonic()
    demo.server.start()
    for zone in ZONES:
        demo.server.wait_served(zone)
    show.line(
        True, f"all four are live, signed with keys made just now, {time.monotonic() - started:.2f} s after the start"
    )
    ds = demo.ds(PARENT)
    show.line(bool(ds), f"zonewright key ds {PARENT}", ds[0] if ds else demo.server.control("key", "ds", PARENT).stderr)
    demo.anchors.write_text(trust_anchors(PARENT, ds))


def answers(demo: Demo) -> None:
    """What a validating client thinks of every kind of answer."""
    demo.show.title("Answers, judged by delv with that trust anchor and nothing else")
    for qname, qtype, what in QUESTIONS:
        demo.validate(qname, qtype, what)


def change(demo: Demo) -> None:
    """A commit, live and valid."""
    demo.show.title("A commit")
    text = zone_text(PARENT).replace("192.0.2.25\n", "192.0.2.26\n") + 'news TXT "committed while you watched"\n'
    before = demo.server.serial(PARENT)

    def is_live() -> bool:
        return demo.server.texts("news.corp.example.", "TXT") != []

    if demo.commit({f"zones/{PARENT}zone": text}, "Move the mail server, announce it", is_live):
        demo.validate("news.corp.example.", "TXT", "new")
        demo.validate("mail.corp.example.", "A", "changed")
        demo.show.note(f"published serial {before} → {demo.server.serial(PARENT)}; the file still says 1")


def secure_child(demo: Demo) -> None:
    """The child's DS, committed into the parent's file."""
    demo.show.title("A chain of trust to a child zone, by committing its DS to the parent")
    ds = demo.ds(CHILD)
    if not ds:
        demo.show.line(False, f"zonewright key ds {CHILD} gives a DS")
        return
    done = demo.server.control("key", "ds", CHILD)
    notes = [line for line in (done.stdout + done.stderr).splitlines() if "before" in line.lower()]
    if notes:
        demo.show.note(f"{notes[0].strip(' ;')}; nobody has cached this new zone, so the demo need not wait")
    text = demo.repository.git("show", f"main:zones/{PARENT}zone") + f"\nlab DS {ds[0]}\n"
    is_live = lambda: demo.server.texts(CHILD, "DS") != []  # noqa: E731 one line says it
    if demo.commit({f"zones/{PARENT}zone": text}, "Secure lab.corp.example", is_live):
        demo.validate("bench1.lab.corp.example.", "A", "validated from the parent's key down")


def hold(demo: Demo) -> None:
    """A broken commit changes nothing that serves."""
    demo.show.title("A commit that breaks one zone and changes another")
    good = zone_text("shop.example.") + "new A 198.51.100.30\n"
    bad = zone_text("2.0.192.in-addr.arpa.") + "81 PTR\n"
    line = bad.count("\n")

    def is_live() -> bool:
        return demo.server.texts("new.shop.example.") == ["198.51.100.30"]

    files = {"zones/shop.example.zone": good, "zones/2.0.192.in-addr.arpa.zone": bad}
    if demo.commit(files, "Add a host; forget a name", is_live):
        still = demo.server.texts("25.2.0.192.in-addr.arpa.", "PTR") == ["mail.corp.example."]
        demo.show.line(still, "the broken zone's last good version serves on")
        mark = f"2.0.192.in-addr.arpa.zone:{line}"
        with contextlib.suppress(AssertionError):
            wait_until(lambda: mark in demo.server.new_log, 5, "the finding is logged")
        said = [text for text in demo.server.new_log.splitlines() if mark in text]
        demo.show.line(bool(said), "and the log says where", said[0] if said else demo.server.new_log[-500:])


def stay(demo: Demo) -> None:
    """Until Ctrl-C."""
    port, state = demo.server.port, demo.server.state
    demo.show.title("It stays up until Ctrl-C. Try:")
    print(
        f"""    dig @127.0.0.1 -p {port} +dnssec www.corp.example
    delv @127.0.0.1 -p {port} -a {demo.anchors} +root=corp.example mail.corp.example
    dig @127.0.0.1 -p {port} axfr shop.example
    .venv/bin/zonewright zone list --state {state}
    .venv/bin/zonewright key show corp.example. --state {state}
    git clone {demo.repository.path} && edit, commit, push: the server follows within a second""",
        flush=True,
    )
    with contextlib.suppress(KeyboardInterrupt):
        while demo.server.process is not None and demo.server.process.poll() is None:
            time.sleep(0.5)


def main() -> int:
    """The command line; 0 when everything shown was good."""
    parser = argparse.ArgumentParser(description="Show a signed zone served from git.")
    parser.add_argument("--once", action="store_true", help="end by itself instead of waiting for Ctrl-C")
    arguments = parser.parse_args()
    show = Show()
    directory = Path(tempfile.mkdtemp(prefix="zonewright-demo-"))
    repository = Repository(directory / "zones.git").create()
    corefile = COREFILE.replace("URL", repository.url)
    server = Zonewright(directory=directory / "server", corefile=corefile, port=port_to_use(show))
    demo = Demo(show, directory, repository, server, directory / "anchors")
    need_delv(show)
    try:
        for scene in (start, answers, change, secure_child, hold):
            scene(demo)
        if not arguments.once and not show.failures:
            stay(demo)
    except KeyboardInterrupt:
        pass
    except (NotStartedError, AssertionError, OSError, dns.exception.DNSException) as error:
        show.line(False, "the demo could not go on", f"{error}\n{server.log[-3000:]}")
    finally:
        status = server.stop()
        show.line(status == 0, f"the server ended with status {status}")
        shutil.rmtree(directory, ignore_errors=True)
    return 1 if show.failures else 0


if __name__ == "__main__":
    sys.exit(main())
