"""Real DNS servers as child processes on loopback, for tests, demo and benchmarks: ours, BIND, NSD, Knot DNS, unbound.

Each has a directory of its own, a free port, a log in that directory, a bounded start and a bounded stop by pid.
Nothing here decides what is right; it starts, asks, reads and stops.

**Limits.** Loopback IPv4 only; one process each; no privileges are needed beyond what the programs themselves want.
"""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.zone

LOOPBACK = "127.0.0.1"
START_SECONDS = 20.0
"""How long a server may take to give its first answer, where the caller does not say."""

PACKAGES: Mapping[str, str] = {
    "named": "bind9",
    "named-checkzone": "bind9-utils",
    "delv": "bind9-dnsutils",
    "nsupdate": "bind9-dnsutils",
    "dnssec-keygen": "bind9-utils",
    "dnssec-signzone": "bind9-utils",
    "dnssec-verify": "bind9-utils",
    "nsd": "nsd",
    "knotd": "knot",
    "kzonecheck": "knot",
    "ldns-verify-zone": "ldnsutils",
    "unbound": "unbound",
    "dnsperf": "dnsperf",
    "softhsm2-util": "softhsm2",
    "faketime": "faketime",
    "kdig": "knot-dnsutils",
    "certbot": "python3-certbot-dns-rfc2136",
}
"""Program → the Debian package that has it."""


class NotStartedError(Exception):
    """A server gave no sign of life in its time; the message ends with its log."""

    def __init__(self, name: str, reason: str, log: str) -> None:
        self.name = name
        self.reason = reason
        self.log = log
        super().__init__(f"{name}: {reason}\n{log}")


def program(name: str) -> str | None:
    """Path of a program; /usr/sbin is looked at too, a plain user's PATH often lacks it."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return shutil.which(name, path=path)


def free_port() -> int:
    """A port that is free for UDP and TCP on loopback now, below the ephemeral range so that it stays so."""
    for _ in range(500):
        port = random.randrange(16000, 32000)
        with contextlib.ExitStack() as stack:
            try:
                for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                    taken = stack.enter_context(socket.socket(socket.AF_INET, kind))
                    taken.bind((LOOPBACK, port))
            except OSError:
                continue
            return port
    raise OSError("no free port on loopback")


def wait_until(condition: object, seconds: float, what: str = "condition") -> None:
    """Call `condition` until it is true; AssertionError with `what` when the time is up."""
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not in {seconds:g} s: {what}")
        time.sleep(0.02)


@dataclass(kw_only=True)
class Server:
    """One server process; a context manager that starts and stops it."""

    name: str
    directory: Path
    port: int = field(default_factory=free_port)
    address: str = LOOPBACK
    probe: str | None = None
    """A zone whose SOA must be answered NOERROR before the server counts as started; None: any answer will do."""
    prefix: Sequence[str] = ()
    """Words ahead of the command, such as `taskset -c 0`."""
    start_seconds: float = START_SECONDS
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """What to run; configuration files are written here."""
        raise NotImplementedError

    @property
    def log_path(self) -> Path:
        return self.directory / f"{self.name}.log"

    @property
    def log(self) -> str:
        """What the server has said so far."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def launch(self) -> None:
        """Start the process without waiting for it."""
        self.directory.mkdir(parents=True, exist_ok=True)
        words = [*self.prefix, *self.command()]
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )

    def start(self) -> Self:
        """Start it and wait for its first answer."""
        self.launch()
        deadline = time.monotonic() + self.start_seconds
        while not self.is_ready():
            assert self.process is not None
            if self.process.poll() is not None:
                raise NotStartedError(self.name, f"exit status {self.process.returncode}", self.log[-4000:])
            if time.monotonic() > deadline:
                self.stop()
                raise NotStartedError(self.name, f"not ready in {self.start_seconds:g} s", self.log[-4000:])
            time.sleep(0.02)
        return self

    def is_ready(self) -> bool:
        """Whether it answers."""
        try:
            response = self.ask(self.probe or ".", "SOA", timeout=0.3)
        except (OSError, dns.exception.DNSException):
            return False
        return self.probe is None or response.rcode() == dns.rcode.NOERROR

    def stop(self, seconds: float = 10.0) -> int | None:
        """TERM, then KILL when it does not listen; the exit status."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.process.returncode

    def kill(self) -> None:
        """SIGKILL to the process and its whole session, as a power cut would."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def ask(
        self, qname: str, qtype: str = "A", *, dnssec: bool = False, tcp: bool = False, timeout: float = 3.0
    ) -> dns.message.Message:
        """One query, one response; truncated answers are asked again over TCP unless `tcp`."""
        query = dns.message.make_query(qname, qtype, want_dnssec=dnssec, payload=1232 if dnssec else None)
        query.flags &= ~dns.flags.RD
        if tcp:
            return dns.query.tcp(query, self.address, timeout, self.port)
        response, _by_tcp = dns.query.udp_with_fallback(query, self.address, timeout, self.port)
        return response

    def texts(self, qname: str, qtype: str = "A") -> list[str]:
        """The answer section's rdata in presentation form, sorted; [] when there is none."""
        answer = self.ask(qname, qtype).answer
        return sorted(rdata.to_text() for rrset in answer for rdata in rrset)

    def transfer(self, origin: str, timeout: float = 60.0) -> dns.zone.Zone:
        """The zone by AXFR. Raises what dnspython raises when it is refused."""
        zone = dns.zone.Zone(dns.name.from_text(origin), relativize=False)
        query = dns.message.make_query(origin, "AXFR")
        dns.query.inbound_xfr(self.address, zone, query, port=self.port, timeout=timeout, lifetime=timeout)
        return zone

    def cpu_ticks(self) -> tuple[int, int]:
        """(user, system) clock ticks of the process and its threads so far, children in its session included."""
        user = system = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                user += int(fields[11])
                system += int(fields[12])
        return user, system

    def rss(self) -> int:
        """Resident memory in octets: of the largest process, where there are several that share pages."""
        sizes = [0]
        for pid in self.pids():
            with contextlib.suppress(OSError):
                lines = Path(f"/proc/{pid}/status").read_text().splitlines()
                sizes.extend(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))
        return max(sizes)

    def pids(self) -> list[int]:
        """The process and all others of its session."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError, IndexError):
                    if int((entry / "stat").read_text().rpartition(")")[2].split()[3]) == self.pid:
                        found.append(int(entry.name))
        return found


def zonewright_command() -> list[str]:
    """How to run our own command line: beside this Python, where `make` put it."""
    beside = Path(sys.executable).with_name("zonewright")
    return [str(beside)] if beside.exists() else [sys.executable, "-m", "authserver.cli"]


def zonewright(*arguments: str | Path, timeout: float = 60.0, **keywords: object) -> subprocess.CompletedProcess[str]:
    """One run of the command line to its end, output captured."""
    words = [*zonewright_command(), *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, timeout=timeout, check=False, **keywords)  # type: ignore[call-overload, no-any-return]


@dataclass(kw_only=True)
class Zonewright(Server):
    """Our own server, started by its command line on a Corefile's text."""

    name: str = "zonewright"
    corefile: str = ""
    """Its text; {port} and {directory} are put in."""

    @property
    def corefile_path(self) -> Path:
        return self.directory / "Corefile"

    @property
    def state(self) -> Path:
        return self.directory / "state"

    def write_corefile(self, text: str) -> None:
        """Write (or change) the Corefile, {port} and {directory} put in."""
        self.corefile = text
        self.directory.mkdir(parents=True, exist_ok=True)
        filled = text.replace("{port}", str(self.port)).replace("{directory}", str(self.directory))
        self.corefile_path.write_text(filled)

    def command(self) -> list[str]:
        self.write_corefile(self.corefile)
        return [*zonewright_command(), "serve", "--conf", str(self.corefile_path), "--state", str(self.state)]

    def is_ready(self) -> bool:
        """Whether its `ready` line is there, in this start's part of the log."""
        return any(line.startswith("ready ") for line in self.log[self._log_start :].splitlines())

    def launch(self) -> None:
        self._log_start = len(self.log)
        super().launch()

    @property
    def new_log(self) -> str:
        """What this start has said."""
        return self.log[self._log_start :]

    def control(self, *arguments: str | Path, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        """A command such as `zone show` for this server's state directory."""
        return zonewright(*arguments, "--state", self.state, timeout=timeout)

    def dump(self, origin: str, *, signed: bool = True) -> str:
        """`zone dump`."""
        flags = ["--signed"] if signed else []
        done = self.control("zone", "dump", origin, *flags)
        if done.returncode != 0:
            raise AssertionError(f"zone dump {origin}: {done.returncode}\n{done.stderr}\n{self.new_log[-4000:]}")
        return done.stdout

    def wait_served(self, origin: str, seconds: float = 20.0) -> None:
        """Until the zone's SOA is answered."""

        def is_served() -> bool:
            with contextlib.suppress(dns.exception.DNSException, OSError):
                return self.ask(origin, "SOA", timeout=1.0).rcode() == dns.rcode.NOERROR
            return False

        wait_until(is_served, seconds, f"{origin} is served\n{self.new_log[-2000:]}")

    def wait_sealed(self, origin: str, seconds: float = 60.0, serial: int | None = None) -> dns.zone.Zone:
        """Until a transfer of the zone is given (of this serial, or of the served one), and that transfer."""
        found: list[dns.zone.Zone] = []

        def is_sealed() -> bool:
            with contextlib.suppress(dns.exception.DNSException, OSError):
                served = serial or self.serial(origin)
                zone = self.transfer(origin)
                if zone_serial(zone) == served:
                    found.append(zone)
            return bool(found)

        wait_until(is_sealed, seconds, f"{origin} is sealed\n{self.new_log[-2000:]}")
        return found[0]

    def serial(self, origin: str) -> int:
        """The SOA serial it answers."""
        return int(self.texts(origin, "SOA")[0].split()[2])


def zone_serial(zone: dns.zone.Zone) -> int:
    """The SOA serial of a transferred zone."""
    rdataset = zone.find_rdataset(zone.origin or "@", dns.rdatatype.SOA)
    return int(rdataset[0].serial)


def zone_records(zone: dns.zone.Zone) -> list[str]:
    """All records as sorted lines, for comparing two transfers whole."""
    return sorted(
        f"{owner.to_text().lower()} {ttl} {dns.rdatatype.to_text(rdata.rdtype)} {rdata.to_text()}"
        for owner, ttl, rdata in zone.iterate_rdatas()
    )


@dataclass(frozen=True, slots=True)
class SharedKey:
    """A TSIG key, as each server's configuration has it."""

    name: str
    secret: str = field(repr=False)
    """Base64."""
    algorithm: str = "hmac-sha256"

    @property
    def dig(self) -> str:
        """The argument of `dig -y`."""
        return f"{self.algorithm}:{self.name}:{self.secret}"


@dataclass(frozen=True, slots=True)
class Zone:
    """A zone of a peer: from a file, or from a primary on loopback."""

    origin: str
    file: Path | None = None
    primary_port: int | None = None
    more: str = ""
    """More lines of a primary's zone, as its server has them."""
    key: SharedKey | None = None
    """What the transfer from the primary and its NOTIFY are signed with."""
    tls: str = ""
    """The transfer goes by TLS, as `top` of the server defines it under this name."""
    is_incremental: bool = False
    """Whether BIND and NSD ask for IXFR, as Knot DNS always does."""


@dataclass(kw_only=True)
class Peer(Server):
    """Another server with zones."""

    zones: Sequence[Zone] = ()

    def __post_init__(self) -> None:
        if self.probe is None and self.zones and self.zones[0].file is not None:
            self.probe = self.zones[0].origin

    @property
    def keys(self) -> list[SharedKey]:
        """Those of all zones, each once."""
        return list(dict.fromkeys(zone.key for zone in self.zones if zone.key is not None))

    def write(self, name: str, text: str) -> Path:
        """A file in the server's directory."""
        path = self.directory / name
        path.write_text(text)
        return path


@dataclass(kw_only=True)
class Named(Peer):
    """BIND, authoritative only."""

    name: str = "named"
    more: str = ""
    """More lines of its options."""
    top: str = ""
    """Statements beside the options."""

    def command(self) -> list[str]:
        zones = "".join(map(self._zone, self.zones))
        keys = "".join(
            f'key "{key.name}" {{ algorithm {key.algorithm}; secret "{key.secret}"; }};\n' for key in self.keys
        )
        configuration = self.write(
            "named.conf",
            f"""options {{
  directory "{self.directory}"; pid-file "{self.directory}/named.pid"; session-keyfile "{self.directory}/session.key";
  listen-on port {self.port} {{ {self.address}; }}; listen-on-v6 {{ none; }};
  recursion no; dnssec-validation no; allow-transfer {{ any; }}; notify no; check-names primary ignore;
  minimal-responses no; allow-query {{ any; }}; request-ixfr no; managed-keys-directory "{self.directory}";
  {self.more}
}};
controls {{ }};
{self.top}
{keys}{zones}""",
        )
        return [program("named") or "named", "-g", "-n", "1", "-c", str(configuration)]

    def _zone(self, zone: Zone) -> str:
        if zone.file is not None:
            return f'zone "{zone.origin}" {{ type primary; file "{zone.file}"; {zone.more} }};\n'
        file = f"{self.directory}/{zone.origin}zone"
        signed = f" key {zone.key.name}" if zone.key else ""
        secured = f" tls {zone.tls}" if zone.tls else ""
        primary = f"primaries {{ {LOOPBACK} port {zone.primary_port}{signed}{secured}; }}"
        allowed = f"key {zone.key.name}" if zone.key else "any"
        return (
            f'zone "{zone.origin}" {{ type secondary; file "{file}"; masterfile-format text; '
            f"{primary}; allow-notify {{ {allowed}; }}; request-ixfr {'yes' if zone.is_incremental else 'no'}; "
            f"{zone.more} }};\n"
        )


@dataclass(kw_only=True)
class Nsd(Peer):
    """NSD with one server process, its rate limits off."""

    name: str = "nsd"
    more: str = ""
    """More lines of its server section."""
    top: str = ""
    """Sections beside it."""

    def command(self) -> list[str]:
        here = self.directory
        zones = "".join(map(self._zone, self.zones))
        keys = "".join(
            f'key:\n  name: {key.name}\n  algorithm: {key.algorithm}\n  secret: "{key.secret}"\n' for key in self.keys
        )
        configuration = self.write(
            "nsd.conf",
            f"""server:
  ip-address: {self.address}@{self.port}
  server-count: 1
  username: ""
  zonesdir: "{here}"
  database: ""
  pidfile: "{here}/nsd.pid"
  xfrdfile: "{here}/xfrd.state"
  xfrdir: "{here}"
  zonelistfile: "{here}/zone.list"
  hide-version: yes
  refuse-any: no
  rrl-ratelimit: 0
  {self.more}
  xfrd-reload-timeout: 0
  verbosity: 1
remote-control:
  control-enable: no
{self.top}
{keys}{zones}""",
        )
        return [program("nsd") or "nsd", "-d", "-c", str(configuration)]

    def _zone(self, zone: Zone) -> str:
        lines = f"zone:\n  name: {zone.origin}\n  provide-xfr: {LOOPBACK} NOKEY\n"
        if zone.file is not None:
            return lines + f'  zonefile: "{zone.file}"\n' + zone.more
        key = zone.key.name if zone.key else "NOKEY"
        kind = "" if zone.is_incremental else "AXFR "
        return lines + (
            f"  request-xfr: {kind}{LOOPBACK}@{zone.primary_port} {key} {zone.tls}\n"
            f"  allow-notify: {LOOPBACK} {key}\n"
            f'  zonefile: "{self.directory}/{zone.origin}zone"\n'
        )


@dataclass(kw_only=True)
class Knot(Peer):
    """Knot DNS with one UDP worker."""

    name: str = "knotd"
    more: str = ""
    """More sections of its configuration, such as policies."""

    def command(self) -> list[str]:
        here = self.directory
        primaries = {zone.primary_port: zone.key for zone in self.zones if zone.primary_port}
        remotes = "".join(
            f"  - id: p{port}\n    address: {LOOPBACK}@{port}\n" + (f"    key: {key.name}\n" if key else "")
            for port, key in sorted(primaries.items())
        )
        keys = "".join(
            f"  - id: {key.name}\n    algorithm: {key.algorithm}\n    secret: {key.secret}\n" for key in self.keys
        )
        keyed = "".join(f"    key: {key.name}\n" for key in self.keys)
        zones = "".join(map(self._zone, self.zones))
        configuration = self.write(
            "knot.conf",
            f"""server:
    rundir: "{here}"
    listen: {self.address}@{self.port}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
    tcp-io-timeout: 20000
log:
  - target: stderr
    any: info
database:
    storage: "{here}"
{"key:" if keys else ""}
{keys}
{"remote:" if remotes else ""}
{remotes}
acl:
  - id: asking
    address: {LOOPBACK}
    action: [transfer, update]
  - id: telling
    address: {LOOPBACK}
    action: notify
{keyed}
{self.more}
zone:
{zones}""",
        )
        return [program("knotd") or "knotd", "-c", str(configuration)]

    def _zone(self, zone: Zone) -> str:
        lines = (
            f"  - domain: {zone.origin}\n    acl: [asking, telling]\n    storage: {self.directory}\n"
            f"    semantic-checks: off\n{zone.more}"
        )
        if zone.file is not None:
            return lines + f'    file: "{zone.file}"\n    zonefile-sync: -1\n'
        return lines + f"    master: p{zone.primary_port}\n"


@dataclass(kw_only=True)
class Unbound(Server):
    """A validating resolver that knows our zones by stub and their trust anchors by file."""

    name: str = "unbound"
    stubs: Mapping[str, int] = field(default_factory=dict)
    """Zone → port of its server on loopback."""
    forward: int | None = None
    """Port of a resolver on loopback that is asked for everything without a stub."""
    anchors: str = ""
    """DS or DNSKEY records as a master file has them."""
    modules: str = "validator iterator"
    """Without `validator` it caches what it is given."""
    control_port: int = field(default_factory=free_port)

    def command(self) -> list[str]:
        here = self.directory
        (here / "anchors").write_text(self.anchors)
        onward = f"forward-zone:\n  name: .\n  forward-addr: {LOOPBACK}@{self.forward}\n" if self.forward else ""
        stubs = "".join(
            f"stub-zone:\n  name: {zone}\n  stub-addr: {LOOPBACK}@{port}\n  stub-no-cache: no\n"
            for zone, port in self.stubs.items()
        )
        configuration = here / "unbound.conf"
        configuration.write_text(
            f"""server:
  directory: "{here}"
  chroot: ""
  username: ""
  pidfile: "{here}/unbound.pid"
  interface: {self.address}
  port: {self.port}
  access-control: 127.0.0.0/8 allow
  do-daemonize: no
  do-ip6: no
  use-syslog: no
  logfile: ""
  val-log-level: 2
  num-threads: 1
  module-config: "{self.modules}"
  trust-anchor-file: "{here}/anchors"
  do-not-query-localhost: no
  unblock-lan-zones: yes
  local-zone: "test." nodefault
  aggressive-nsec: no
{stubs}{onward}remote-control:
  control-enable: yes
  control-interface: {LOOPBACK}
  control-port: {self.control_port}
  control-use-cert: no
"""
        )
        return [program("unbound") or "unbound", "-d", "-c", str(configuration)]

    def is_ready(self) -> bool:
        """Whether its port is open; its first answers may take long."""
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.settimeout(0.3)
            return probe.connect_ex((self.address, self.port)) == 0

    def forget(self) -> None:
        """Empty every cache, as a restart does."""
        with socket.create_connection((LOOPBACK, self.control_port), 10) as control:
            control.sendall(b"UBCT1 reload\n")
            said = control.makefile("rb").read()
        assert said == b"ok\n", said

    def resolve(self, qname: str, qtype: str, timeout: float = 8.0) -> dns.message.Message:
        """A recursive query with DO."""
        query = dns.message.make_query(qname, qtype, want_dnssec=True, payload=1232)
        response, _by_tcp = dns.query.udp_with_fallback(query, self.address, timeout, self.port)
        return response


def delv(server: Server, qname: str, qtype: str, anchors: Path, root: str) -> subprocess.CompletedProcess[str]:
    """Delv's judgement of one answer; `anchors` is a file of BIND's trust-anchors, `root` the name it is for."""
    words = [
        program("delv") or "delv", f"@{server.address}", "-p", str(server.port), "-a", str(anchors), f"+root={root}",
        "+nocdflag", "-t", qtype, "-q", qname,
    ]  # fmt: skip
    return subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)


def trust_anchors(origin: str, ds_rdatas: Sequence[str]) -> str:
    """A trust-anchors statement for delv from DS rdata in presentation form."""
    lines = []
    for rdata in ds_rdatas:
        tag, algorithm, digest_type, *digest = rdata.split()
        lines.append(f'  "{origin}" static-ds {tag} {algorithm} {digest_type} "{"".join(digest)}";\n')
    return "trust-anchors {\n" + "".join(lines) + "};\n"


@contextlib.contextmanager
def stopped(servers: Sequence[Server]) -> Iterator[None]:
    """Stop all of them at the end, whatever happens."""
    try:
        yield
    finally:
        for server in servers:
            server.stop()
