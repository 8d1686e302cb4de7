"""Zone transfer and NOTIFY as messages and rules: who may have a zone, who is told of it, what is said.

A *target* is a word after `to`: an address, with a port where NOTIFY goes (`192.0.2.1`, `192.0.2.1:5353`,
`192.0.2.1@5353`, `[2001:db8::1]:5353`), a prefix, or `*`. Ports don't matter for who may ask: a secondary asks from
any port. No socket is here, and no random number: message ids are handed in.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from zones.errors import TransferMessageError

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

DNS_PORT: Final = 53
IXFR: Final = 251
AXFR: Final = 252


@dataclass(frozen=True, slots=True)
class Target:
    """Who may transfer; `network` None is everybody, `port` None says that no NOTIFY is sent there."""

    network: Network | None
    port: int | None

    def holds(self, address: Address) -> bool:
        """Whether an address is meant."""
        network = self.network
        return network is None or (network.version == address.version and address in network)


def parse_target(word: str) -> Target:
    """The target of a word after `to`. Raises TransferMessageError."""
    if word == "*":
        return Target(None, None)
    try:
        if "/" in word:
            return Target(ipaddress.ip_network(word, strict=False), None)
        host, port = _host_and_port(word)
        return Target(ipaddress.ip_network(_plain(ipaddress.ip_address(host))), port)
    except ValueError:
        reason = f"{word!r} is no address, address with port, prefix or *"
        raise TransferMessageError("transfer-to", reason) from None


def parse_targets(words: Iterable[str]) -> tuple[Target, ...]:
    """The targets of all words, each once."""
    return tuple(dict.fromkeys(parse_target(word) for word in words))


def allowed(targets: Sequence[Target], address: str) -> bool:
    """Whether a client of this address may transfer; nobody may where there is no target."""
    try:
        client = _plain(ipaddress.ip_address(address.partition("%")[0]))
    except ValueError:
        return False
    return any(target.holds(client) for target in targets)


def notified(targets: Sequence[Target]) -> tuple[tuple[str, int], ...]:
    """(address, port) of everyone who gets a NOTIFY, each once: targets that are one address."""
    return tuple(
        dict.fromkeys(
            (str(target.network.network_address), target.port)
            for target in targets
            if target.network is not None and target.port is not None
        )
    )


@dataclass(frozen=True, slots=True)
class Group:
    """Servers that are known in the same way: by their addresses and, where they are named, by a key and a certificate.

    `key` is a TSIG key's wire name in lower case, `certificate` a name in lower case without a final dot.
    """

    targets: tuple[Target, ...]
    key: bytes | None = None
    certificate: str | None = None

    def admits(self, address: str, key: bytes, names: Collection[str]) -> bool:
        """Whether a client is one of them that signed with this key (or none) and has a certificate of these names."""
        is_known = self.key in {None, key} and (self.certificate is None or self.certificate in names)
        return is_known and allowed(self.targets, address)


def is_transfer(qtype: int) -> bool:
    """Whether a query asks for a zone transfer (RFC 5936 section 2, RFC 1995 section 3)."""
    return qtype in (AXFR, IXFR)


def notify_message(origin: bytes, soa_ttl: int, soa: bytes, message_id: int) -> bytes:
    """A NOTIFY for a zone, the SOA that serves (uncompressed rdata) in its answer section as the hint.

    RFC 1996 section 3.7: the secondary may spare its own SOA query if it trusts the hint.
    """
    name = dns.name.from_wire(origin, 0)[0]
    message = dns.message.make_query(name, dns.rdatatype.SOA, id=message_id)
    message.set_opcode(dns.opcode.NOTIFY)
    message.flags = (message.flags | dns.flags.AA) & ~dns.flags.RD
    rdata = dns.rdata.from_wire(dns.rdataclass.IN, dns.rdatatype.SOA, soa, 0, len(soa))
    message.answer.append(dns.rrset.from_rdata(name, soa_ttl, rdata))
    return message.to_wire()


def notify_rcode(answer: bytes, origin: bytes, message_id: int) -> int:
    """The rcode of the answer to a NOTIFY. Raises TransferMessageError for octets that are not its answer.

    RFC 1996 section 4.7: the answer has the id, the opcode and QR; its question may be left out.
    """
    try:
        message = dns.message.from_wire(answer, ignore_trailing=True)
    except (dns.exception.DNSException, ValueError) as error:
        raise TransferMessageError("notify-answer", f"not a message: {error}") from None
    if message.id != message_id or message.opcode() != dns.opcode.NOTIFY or not message.flags & dns.flags.QR:
        raise TransferMessageError("notify-answer", "the message answers something else")
    name = dns.name.from_wire(origin, 0)[0]
    if any(question.name != name for question in message.question):
        raise TransferMessageError("notify-answer", f"the answer is about {message.question[0].name}")
    return int(message.rcode())


def is_notify_answer(answer: bytes, origin: bytes, message_id: int) -> bool:
    """Whether octets are the answer to a NOTIFY, whatever it says: asking again would not change it."""
    try:
        notify_rcode(answer, origin, message_id)
    except TransferMessageError:
        return False
    return True


def _host_and_port(word: str) -> tuple[str, int]:
    match = re.fullmatch(r"\[([^\]]+)\](?:[:@]([0-9]+))?|([^:@]+)[:@]([0-9]+)|([^@\[\]]+)(?:@([0-9]+))?", word)
    if match is None:
        raise ValueError(word)
    host = match[1] or match[3] or match[5]
    port = int(match[2] or match[4] or match[6] or DNS_PORT)
    if not 0 < port < 1 << 16:
        raise ValueError(word)
    return host, port


def _plain(address: Address) -> Address:
    """An IPv4 address for an IPv6 one that stands for it: a dual-stack socket shows clients so."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
