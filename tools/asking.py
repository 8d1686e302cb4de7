"""Questions to another server, many under way at a time, and by TCP one after another."""

import contextlib
import select
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass

from engine import name_to_text
from tools.facts import NOERROR, SOA, read
from tools.servers import Peer

ANSWER_SECONDS = 1.0
"""How long an answer may take before it is asked for again."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of all."""

    qname: bytes
    qtype: int
    size: int
    """Of the datagram that may come back; 0 without EDNS."""
    dnssec: bool

    @property
    def room(self) -> int:
        """Octets that a datagram may have (RFC 6891 section 6.2.5), by our own limit too."""
        return min(max(self.size, 512), 1232)

    def to_wire(self, number: int) -> bytes:
        """The query with an id."""
        head = struct.pack("!6H", number, 0, 1, 0, 0, self.size > 0)
        opt = struct.pack("!BHHIH", 0, 41, self.size, 0x8000 * self.dnssec, 0) if self.size else b""
        return head + self.qname + struct.pack("!HH", self.qtype, 1) + opt


class Asking:
    """One peer, many questions under way."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.udp.connect((peer.address, peer.port))
        self.tcp: socket.socket | None = None

    def need_zones(self, origins: Sequence[bytes]) -> None:
        """Raise ValueError with the log where a zone is not served: nothing would be compared."""
        queries = [Question(origin, SOA, 0, False).to_wire(number) for number, origin in enumerate(origins)]
        self.send(queries)
        for origin, answer in zip(origins, self.receive(queries), strict=True):
            if read(answer).rcode != NOERROR:
                said = [line for line in self.peer.log.splitlines() if name_to_text(origin).rstrip(".") in line]
                raise ValueError("\n".join([f"{self.peer.name} does not serve {name_to_text(origin)}", *said[-20:]]))

    def send(self, queries: Sequence[bytes]) -> None:
        """Send what will be received."""
        for query in queries:
            self.udp.send(query)

    def receive(self, queries: Sequence[bytes]) -> list[bytes]:
        """The answers, in the order of the queries; what is lost is asked again."""
        found: dict[bytes, bytes] = {}
        waiting = {query[:2]: query for query in queries}
        for _ in range(20):
            deadline = time.monotonic() + ANSWER_SECONDS
            while waiting and select.select([self.udp], [], [], max(0.0, deadline - time.monotonic()))[0]:
                answer = self.udp.recv(65535)
                if waiting.pop(answer[:2], None) is not None:
                    found[answer[:2]] = answer
            if not waiting:
                return [found[query[:2]] for query in queries]
            self.send(list(waiting.values()))
        raise TimeoutError(f"{self.peer.name} does not answer {next(iter(waiting.values())).hex()}")

    def by_tcp(self, query: bytes) -> bytes:
        """The answer by TCP; a connection that the peer has closed is made anew."""
        for _ in range(3):
            with contextlib.suppress(OSError):
                if self.tcp is None:
                    self.tcp = socket.create_connection((self.peer.address, self.peer.port), 10)
                self.tcp.sendall(struct.pack("!H", len(query)) + query)
                length = struct.unpack("!H", self._exactly(self.tcp, 2))[0]
                return self._exactly(self.tcp, length)
            self.tcp = None
        raise TimeoutError(f"{self.peer.name} does not answer by TCP")

    @staticmethod
    def _exactly(stream: socket.socket, count: int) -> bytes:
        octets = b""
        while len(octets) < count:
            if not (more := stream.recv(count - len(octets))):
                raise OSError("closed")
            octets += more
        return octets
