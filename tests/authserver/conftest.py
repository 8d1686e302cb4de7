"""Queries for tests of the chain, made without the engine."""

import asyncio
from dataclasses import dataclass

import dns.flags
import dns.message
import dns.rcode
import pytest

from authserver.query import Query


@dataclass(frozen=True)
class Head:
    """What `engine.parse_query` would give."""

    id: int
    opcode: int
    flags: int
    qname: bytes
    qtype: int
    qclass: int
    has_edns: bool
    udp_size: int
    dnssec_ok: bool


def make_query(text="example.org. A", *, client=("192.0.2.1", 40212), transport="udp", edns=False, do=False, **more):
    name, rtype = text.split()
    message = dns.message.make_query(name, rtype, id=4711)
    if edns or do:
        message.use_edns(payload=1232, ednsflags=dns.flags.DO if do else 0)
    octets = message.to_wire()
    question = message.question[0]
    head = Head(
        id=message.id,
        opcode=0,
        flags=int(message.flags),
        qname=question.name.to_wire(),
        qtype=int(question.rdtype),
        qclass=1,
        has_edns=edns or do,
        udp_size=1232 if edns or do else 512,
        dnssec_ok=do,
    )
    return Query.from_head(octets, head, client, transport, **more)


class Answering:
    """A handler that answers an RCODE, or raises."""

    def __init__(self, rcode=dns.rcode.NOERROR, error=None):
        self.rcode = rcode
        self.error = error
        self.seen = []

    async def serve(self, query):
        self.seen.append(query)
        if self.error is not None:
            raise self.error
        return query.respond(self.rcode)


@pytest.fixture
def query():
    return make_query


@pytest.fixture
def answering():
    return Answering


@pytest.fixture
def ask():
    """Serve one query by a handler and give the answer."""

    def ask(handler, query):
        return asyncio.run(handler.serve(query))

    return ask
