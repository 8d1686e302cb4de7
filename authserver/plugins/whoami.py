"""The `whoami` directive: tells a client its own address, port and transport."""

from dataclasses import dataclass

import dns.flags
import dns.message
import dns.name
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from authserver.plugin import Build, Handler, Link, Query, Response, Schema, Transfer

SCHEMA = Schema(once=True)


@dataclass(frozen=True, slots=True)
class Whoami:
    """Answers every query; nothing goes further."""

    async def serve(self, query: Query) -> Response | Transfer:
        """No answer records; address and port stand in the additional section."""
        response = dns.message.make_response(query.message)
        response.flags |= dns.flags.AA
        response.additional.append(_record(query, query.name, "AAAA" if query.family == 6 else "A", query.client[0]))
        try:
            owner = dns.name.Name([f"_{query.transport}".encode(), *query.name.labels])
        except dns.name.NameTooLong:
            return query.respond_with(response)
        response.additional.append(_record(query, owner, "SRV", f"0 0 {query.client[1]} ."))
        return query.respond_with(response)


def _record(query: Query, owner: dns.name.Name, rtype: str, text: str) -> dns.rrset.RRset:
    return dns.rrset.from_text(
        owner, 0, dns.rdataclass.to_text(dns.rdataclass.RdataClass.make(query.qclass)), rtype, text
    )


def setup(_build: Build) -> Link | None:
    """Stands in the path of queries, at its end."""

    def link(_following: Handler) -> Handler:
        return Whoami()

    return link
