"""The contract of the Rust engine: shapes, units, errors and cost of everything Python may call.

Words: a *wire name* is an uncompressed domain name in octets (RFC 1035 section 3.1), root label included,
at most 255 octets; comparisons ignore ASCII case. Points in time are Unix seconds, durations seconds unless
the name has another unit. `rtype` and `qtype` are type numbers. Everything here is safe to call from any
thread; calls that may take over 10 microseconds release the GIL. All classes are frozen.
"""

from collections.abc import Sequence
from typing import Final, Literal, final

__all__: list[str]

FORMAT: Final[int]
"""The version number of the image formats this engine writes."""

# ------------------------------------------------------------------ names, types, rdata in text

def name_from_text(text: str, origin: bytes | None = None) -> bytes:
    r"""Wire name of presentation text (`\.` and `\DDD` escapes); a relative name gets `origin`, or the root if None.

    Raises NameSyntaxError.
    """

def name_to_text(name: bytes) -> str:
    """Presentation text of a wire name, absolute, with its final dot. Raises NameSyntaxError."""

def rrtype_from_text(text: str) -> int:
    """Number of a type mnemonic, any case, or of TYPEnnn (RFC 3597). Raises EngineError."""

def rrtype_to_text(rtype: int) -> str:
    """Mnemonic of a type number, TYPEnnn where it has none."""

def rdata_from_text(rtype: int, text: str, origin: bytes) -> bytes:
    r"""Uncompressed rdata of its presentation form, `\# n hex` included. Raises EngineError."""

def rdata_to_text(rtype: int, rdata: bytes) -> str:
    """Presentation form of uncompressed rdata; `\\# n hex` where the type is unknown or the rdata doesn't fit it."""

# ------------------------------------------------------------------ time

@final
class Clock:
    """The one clock that engine and Python read; tests move it."""

    def __new__(cls) -> Clock: ...
    def now(self) -> int:
        """The time, in Unix seconds: the system's plus the shift, or the time it is stopped at."""
    def stop_at(self, now: int) -> None:
        """From now on the clock stands at `now`, until told otherwise (tests)."""
    def shift(self, seconds: int) -> None:
        """The clock runs on with the system's, `seconds` away from it."""

# ------------------------------------------------------------------ the master-file reader

@final
class Diagnostic:
    """One finding at a place: `file:line:column: message [rule]`."""

    @property
    def file(self) -> str: ...
    @property
    def line(self) -> int:
        """From 1; 0 when the finding has no place."""
    @property
    def column(self) -> int:
        """From 1, in octets; 0 when unknown."""
    @property
    def rule(self) -> str:
        """A stable id in kebab case, such as `cname-and-other-data`."""
    @property
    def severity(self) -> Literal["error", "warning"]: ...
    @property
    def message(self) -> str: ...

@final
class Records:
    """What one reading of a zone's master files gave: records in file order, with their places."""

    @property
    def origin(self) -> bytes: ...
    @property
    def diagnostics(self) -> list[Diagnostic]:
        """All errors and warnings, in order of file and line."""
    @property
    def has_errors(self) -> bool: ...
    @property
    def missing_includes(self) -> list[str]:
        """Names of included files that `sources` lacked, as joined with the including file's directory; when not
        empty, read again with them in `sources`."""
    @property
    def included(self) -> list[str]:
        """Names of the sources that `$INCLUDE` used, in order of first use."""
    def __len__(self) -> int: ...

def read_zone(
    origin: bytes,
    sources: Sequence[tuple[str, bytes]],
    *,
    includes: bool = False,
    max_records: int = 0,
    max_generate: int = 65536,
) -> Records:
    """Read a zone from master files (RFC 1035 section 5, in BIND's dialect).

    `sources[0]` is the zone's file, the others may be included by it; each is (name, octets), the name is what
    diagnostics say. `$INCLUDE x` in file `d/f` means `d/x`, normalized; with `includes` False it is an error.
    At most 8 files deep and 64 files. `max_records` 0 is no limit. Never raises for what a file says. About 0.5 us
    a record, GIL released.
    """

# ------------------------------------------------------------------ versions

@final
class Version:
    """Immutable content of one zone in canonical order (RFC 4034 section 6.1); chunks are shared with earlier versions."""

    @staticmethod
    def build(records: Records, previous: Version | None = None) -> tuple[Version | None, list[Diagnostic]]:
        """Index the records; the findings are those of content (CNAME and other data, no SOA, glue …).

        None for the version when a finding is an error. With `previous`, unchanged RRsets share its chunks.
        Duplicate records are merged, RRsets of several TTLs take the first one (RFC 2181 section 5.2) with a warning.
        """
    @staticmethod
    def from_image(image: bytes) -> Version:
        """The version that `image()` wrote. Raises ImageError."""
    def image(self) -> bytes:
        """The version as one octet string with a checksum, for the state directory."""
    @property
    def origin(self) -> bytes: ...
    @property
    def serial(self) -> int: ...
    @property
    def record_count(self) -> int: ...
    @property
    def rrset_count(self) -> int: ...
    @property
    def name_count(self) -> int:
        """Names that exist, empty non-terminals included."""
    @property
    def octets(self) -> int:
        """Memory held by this version, shared chunks counted whole."""
    @property
    def max_ttl(self) -> int:
        """The largest TTL of any RRset."""
    @property
    def content_digest(self) -> bytes:
        """SHA-256 over the canonical form of all records with the SOA's serial taken as 0; computed at first use."""
    def rrset(self, owner: bytes, rtype: int) -> tuple[int, list[bytes]] | None:
        """(TTL, rdatas in canonical order) of one RRset, None if it isn't there."""
    def rtypes(self, owner: bytes) -> list[int] | None:
        """Types at a name, ascending; [] at an empty non-terminal; None where the name does not exist."""
    def edited(self, edits: Sequence[tuple[bytes, int, int, Sequence[bytes]]]) -> Version:
        """A new version with RRsets replaced: (owner, rtype, TTL, rdatas); no rdatas removes the RRset."""
    def with_changes(self, deleted: bytes, added: bytes) -> Version:
        """A new version without the records of one run and with those of another (owner, type, class, TTL, length, rdata,
        one after another, names uncompressed; RFC 1995 section 4). A copy of the index, the octets are shared.

        Raises EngineError when a run can't be read, a record is outside the zone or of no type a zone has, what is deleted
        is not there, or what is added is. TTLs of what is deleted don't matter; what is added last gives its RRset's TTL.
        An SOA is changed as everything is: the old one deleted, the new one added.
        """
    def with_all_changes(self, changes: Sequence[tuple[bytes, bytes]]) -> Version:
        """The same for several changes, one after another, at the cost of one. Raises EngineError."""
    def errors_at(self, runs: Sequence[bytes], file: str) -> list[Diagnostic]:
        """The errors of content (as Version.build finds them) at the owners in record runs and at the apex: all that a
        version can have that was made by these runs from one without errors. Raises EngineError for a run that can't be
        read."""
    def without(self, rtypes: Sequence[int]) -> Version:
        """A new version without any RRset of these types, RRSIGs over them included when RRSIG (46) is named."""
    def capped(self, most: int) -> tuple[Version, int, bytes, int, int] | None:
        """A new version in which no TTL is above `most` seconds: (version, how many RRsets had a longer one, owner, rtype and
        TTL of the first of those with the longest); None when there is none to shorten. A copy of the index, no octets."""
    def diff(self, newer: Version, limit: int = 1000) -> Difference:
        """What changes from this version to `newer`."""
    def to_text(self) -> bytes:
        """The zone as a master file, one record a line, canonical order, absolute names."""

@final
class Difference:
    """What changes between two versions, per RRset; the lists hold at most the asked limit of (owner, rtype, ttl, rdatas)."""

    @property
    def removed_records(self) -> int: ...
    @property
    def added_records(self) -> int: ...
    @property
    def changed_rrsets(self) -> int: ...
    @property
    def removed(self) -> list[tuple[bytes, int, int, list[bytes]]]: ...
    @property
    def added(self) -> list[tuple[bytes, int, int, list[bytes]]]: ...

# ------------------------------------------------------------------ transfers that come in

@final
class IncomingTransfer:
    """The response to an AXFR or IXFR query (RFC 5936, RFC 1995), its messages fed one by one."""

    def __new__(
        cls,
        origin: bytes,
        message_id: int,
        *,
        serial: int | None = None,
        file: str = "",
        max_records: int = 0,
        max_octets: int = 0,
    ) -> IncomingTransfer:
        """To the query with this id: IXFR from `serial`, AXFR without one. Findings of content will name `file` and the
        number of the record. Limits of 0 are none. Raises NameSyntaxError."""
    def feed(self, message: bytes) -> bool:
        """Take the next message (a TSIG in it is skipped); whether it is the last. Raises MessageError when the transfer can't
        be used: wrong id, question, rcode, owner or class, SOAs out of order, limits. About 0.3 us a record, GIL released."""
    @property
    def kind(self) -> Literal["current", "whole", "incremental"] | None:
        """None before the last message; `current` is one SOA that is not newer than `serial` (RFC 1995 section 2)."""
    @property
    def serial(self) -> int | None:
        """The serial of the first SOA, which is what the primary has; None before it came."""
    @property
    def expire(self) -> int | None:
        """Seconds until the zone expires at the primary, where it says so (RFC 7314)."""
    @property
    def counts(self) -> tuple[int, int, int]:
        """(messages, octets, records) so far."""
    def take_records(self) -> Records:
        """The records of a whole transfer, for Version.build; taken out."""
    def take_changes(self) -> list[tuple[bytes, bytes]]:
        """The (deleted, added) record runs of an incremental transfer, for Version.with_all_changes; taken out."""

# ------------------------------------------------------------------ signing

@final
class SigningKey:
    """A key that signs: a fast one inside the engine, a slow one elsewhere. No private part can be read back."""

    def __new__(cls, pkcs8: bytes, dnskey: bytes) -> SigningKey:
        """From PKCS#8 DER and the DNSKEY rdata (flags, 3, algorithm, public key). Algorithms 8, 10, 13, 14, 15; RSA of 2048 to
        4096 bits.

        Raises SignatureError when the two do not belong together or the algorithm is not a fast one.
        """
    @staticmethod
    def slow(dnskey: bytes) -> SigningKey:
        """A key of any algorithm whose private part is elsewhere: a version it signs is filled by `fill`. Raises
        SignatureError."""
    @property
    def is_slow(self) -> bool: ...
    @property
    def dnskey(self) -> bytes: ...
    @property
    def algorithm(self) -> int: ...
    @property
    def key_tag(self) -> int: ...

def key_tag(dnskey: bytes) -> int:
    """Key tag of DNSKEY rdata (RFC 4034 appendix B)."""

def verify_signature(dnskey: bytes, owner: bytes, rtype: int, ttl: int, rdatas: Sequence[bytes], rrsig: bytes) -> bool:
    """Whether RRSIG rdata is a correct signature by this DNSKEY over the RRset (times are not looked at)."""

@final
class Denial:
    """How absence is proved."""

    def __new__(
        cls,
        kind: Literal["nsec", "nsec3", "compact"] = "nsec",
        *,
        opt_out: bool = False,
        iterations: int = 0,
        salt: bytes | None = None,
    ) -> Denial:
        """NSEC; NSEC3 (RFC 5155), with opt-out, iterations and salt if asked; or compact (RFC 9824).

        A version signed with NSEC3 has the NSEC3PARAM of these parameters at its apex, or its check fails. Raises
        ValueError for parameters of NSEC3 with another kind, and for a salt over 255 octets.
        """

@final
class SigningPlan:
    """How a version is signed: keys and roles, validity; what `signer` decided."""

    def __new__(
        cls,
        keys: Sequence[tuple[SigningKey, bool, bool]],
        *,
        inception: int,
        expiration: int,
        jitter: int = 0,
        carry_until: int = 0,
        denial: Denial | None = None,
    ) -> SigningPlan:
        """`keys` are (key, signs the apex DNSKEY/CDS/CDNSKEY RRsets, signs everything else). Raises SignatureError for a
        slow key that signs everything else with compact denial.

        A signature's expiration is `expiration` minus a part of `jitter` that depends on owner and type alone. A
        signature of the previous version is carried over if octets, TTL and key are the same and it expires
        after `carry_until`. Without `denial` it is NSEC.
        """
    @property
    def inception(self) -> int: ...
    @property
    def expiration(self) -> int: ...

@final
class SignedVersion:
    """A version as it is published: content plus signature slots, one per RRset and key (none without a plan).

    Open until every slot is made, verified and `seal` was called; then sealed, and nothing in it changes any more.
    Without a plan the version is served as its source has it; there is nothing to sign, but `seal` is still due.
    """

    def __new__(
        cls, version: Version, plan: SigningPlan | None = None, previous: SignedVersion | None = None
    ) -> SignedVersion: ...
    @property
    def version(self) -> Version: ...
    @property
    def serial(self) -> int: ...
    @property
    def is_signed(self) -> bool: ...
    @property
    def is_sealed(self) -> bool: ...
    @property
    def slots(self) -> int:
        """Signatures the version will have when it is sealed."""
    @property
    def slots_made(self) -> int: ...
    @property
    def slots_verified(self) -> int: ...
    def check(
        self,
        now: int,
        *,
        horizon: int = 0,
        parent_ds: Sequence[bytes] = ...,
        foreign: Sequence[bytes] = ...,
        is_liberal: bool = False,
    ) -> list[Diagnostic]:
        """The verification before a version goes live, by a code path of its own: names and denial chain complete and
        exact, apex RRsets there, CDS and the parent's DS of keys that sign, the first signatures of each key right
        against the DNSKEY RRset. Empty is good. Of signatures that are brought along the same is asked.

        `horizon` is the seconds that a signature has to live on, or its TTL where that is shorter; `parent_ds` the DS
        rdatas known at the parent, () when nothing is known; `foreign` DNSKEY rdatas of other providers, which need
        not sign; `is_liberal`: one algorithm of the DNSKEY RRset has to sign, not each (RFC 6840 section 5.11).
        About 0.3 us a name with NSEC, 0.5 us with NSEC3."""
    def check_signatures(
        self, now: int, *, horizon: int = 0, foreign: Sequence[bytes] = ..., is_liberal: bool = False
    ) -> list[Diagnostic]:
        """Every signature, at once, whoever made it, with what must have one and has none; at most some twenty findings.

        `verify` does it in slices for what is signed here."""
    def check_presigned(self, now: int) -> list[Diagnostic]:
        """What is wrong at `now` with signatures and proofs that the zone brought along, all as warnings; empty for a
        version with a plan and for one without signatures. Verifies at most some ten thousand signatures."""
    @property
    def zone_digest(self) -> bytes:
        """The SHA-384 digest of the zone by scheme SIMPLE (RFC 8976 section 3.3), 48 octets; about 1 us a record.

        What is not signed yet is signed for it."""
    def zone_digest_by(self, hash_algorithm: int) -> bytes | None:
        """The same by a hash algorithm of RFC 8976 section 5.3: 1 is SHA-384, 2 is SHA-512; None for others."""
    def with_zone_digest(self) -> SignedVersion | None:
        """The same version with `zone_digest` in the place of a placeholder, 48 zeros, in its apex ZONEMD; signatures are
        carried over, and one more is to be made. None where there is no placeholder."""
    def make(self, budget_us: int) -> bool:
        """Make missing signatures of fast keys for about `budget_us`; True when none is missing, of slow keys neither. One
        caller at a time."""
    def verify(
        self,
        budget_us: int,
        now: int,
        *,
        horizon: int = 0,
        foreign: Sequence[bytes] = ...,
        is_liberal: bool = False,
    ) -> bool:
        """Verify made signatures for about `budget_us`; True when all are verified. What was carried over from a version
        that was verified is not verified again. Those of Ed448 are never verified here: see `unverified`. Raises
        SignatureError."""
    @property
    def slow_missing(self) -> int:
        """How many signatures by slow keys are missing; before it is 0 a version is not published."""
    def unsigned(self, limit: int = 256) -> list[tuple[int, int, bytes]]:
        """The next missing signatures by slow keys: (key number in the plan, unit number, octets to be signed)."""
    def fill(self, signatures: Sequence[tuple[int, int, bytes]]) -> None:
        """Take signatures by slow keys: (key number, unit number, signature as an RRSIG holds it), each verified at once
        where the engine can. Raises SignatureError for the first wrong one; the right ones are taken all the same."""
    def give(self, rrsigs: Sequence[bytes]) -> None:
        """Take RRSIG rdatas over RRsets of the apex that were made ahead of time, with a validity of their own, each verified
        where the engine can; a slot that is filled stays as it is. Raises SignatureError for the first that does not fit."""
    def unverified(self, limit: int = 256) -> list[tuple[int, int, bytes, bytes]]:
        """The next signatures that are there and the engine can't verify (Ed448): (key number, unit number, octets,
        signature). The octets are made by the path that verifies, not by the one that signs."""
    def note_verified(self, slots: Sequence[tuple[int, int]]) -> None:
        """These (key number, unit number) of `unverified` were right. Raises SignatureError."""
    def seal(self) -> None:
        """Raises EngineError while signatures are missing or not verified."""
    @property
    def earliest_expiration(self) -> int | None:
        """The first expiration of any signature made so far; None when there is none."""
    def signatures(self) -> bytes:
        """All signatures made so far as one octet string with a checksum."""
    def restore(self, signatures: bytes) -> int:
        """Fill slots from what `signatures()` wrote, where key, RRset and validity fit; how many. They count as made,
        not as verified. Raises ImageError."""
    def rrset(self, owner: bytes, rtype: int) -> tuple[int, list[bytes]] | None:
        """As Version.rrset, but NSEC (47), NSEC3 (50) and RRSIG (46) are also there as they are answered or, for NSEC3 and
        its RRSIG, transferred; made if need be."""
    def to_text(self) -> bytes:
        """The zone as a master file with all its NSEC or NSEC3 and RRSIG records; makes what is missing."""
    @staticmethod
    def from_images(content: bytes, signatures: bytes | None = None) -> SignedVersion:
        """A version out of `Version.image()` and `signatures()` with all its signatures, none of which counts as verified: to
        be compared and shown, not to be served. Without signatures it is one without a plan. Raises ImageError."""
    @property
    def transfer_octets(self) -> int:
        """About how many octets its records have uncompressed, proofs and signatures included. 50 ns a record."""
    def changes_since(self, previous: SignedVersion, most: int) -> tuple[bytes, bytes] | None:
        """What leads from `previous` to this version, as two record runs: what is deleted, what is added, each beginning with
        the SOA of its version; None when that is more than `most` octets.

        A *record run* is records one after another in uncompressed wire format. Proofs and signatures are in them. About
        30 ns a name, and 1 us a record of names at which something changed. Raises EngineError when a signature is missing
        or they are versions of two zones.
        """
    def transfer(
        self, query: bytes, position: int = 0, size: int = 65535, *, expire: int | None = None
    ) -> tuple[bytes, int]:
        """One AXFR message (RFC 5936) answering `query` from `position`, and the next position, -1 after the last.

        Many records a message, names compressed. `expire` is said to a query with the EXPIRE option (RFC 7314). Raises
        EngineError if the version is not sealed.
        """

def change_message(
    query: bytes, deleted: bytes, added: bytes, position: int = 0, size: int = 65535, *, expire: int | None = None
) -> tuple[bytes, int]:
    """One IXFR message (RFC 1995) of a change answering `query` from `position`, and the next position, -1 after the last.

    As `SignedVersion.transfer`. Raises EngineError for runs that are no change, and when a record is longer than `size`.
    """

def fold_changes(changes: Sequence[tuple[bytes, bytes]]) -> tuple[bytes, bytes]:
    """Changes of which each begins where the one before ends, as one (RFC 1995 section 5): what comes and goes again is not
    in it. About 0.3 us a record. Raises EngineError for runs that are no changes."""

def count_records(run: bytes) -> int:
    """How many records a run has. Raises EngineError where it is none of whole records of class IN."""

# ------------------------------------------------------------------ answering

@final
class ZoneSlot:
    """The place a zone's published version stands in; swapped alone, read by all threads."""

    def __new__(cls, origin: bytes) -> ZoneSlot: ...
    @property
    def origin(self) -> bytes: ...
    @property
    def current(self) -> SignedVersion | None: ...
    def publish(self, signed: SignedVersion) -> None:
        """Queries that come after this see `signed`; the old version is freed by the reaper thread."""
    def withdraw(self) -> None:
        """From now on SERVFAIL with EDE 14 (Not Ready, RFC 8914), as before the first publish."""
    def expire(self) -> None:
        """From now on SERVFAIL with EDE 24 (Invalid Data), whatever is published meanwhile, until `revive`."""
    def revive(self) -> None:
        """Answer from what is published again."""
    @property
    def expires_at(self) -> int | None:
        """When the zone expires here, in Unix seconds; None where it does not. Set by who knows."""
    @expires_at.setter
    def expires_at(self, moment: int | None) -> None: ...
    def seconds_to_expiry(self, now: int) -> int | None:
        """What the EXPIRE option says at `now` (RFC 7314): the seconds until `expires_at`, or else the EXPIRE of the SOA; None
        without a version."""

@final
class Cookies:
    """How DNS cookies are answered (RFC 7873, RFC 9018)."""

    def __new__(cls, secrets: Sequence[bytes], *, required: bool = False) -> Cookies:
        """Secrets of 16 octets: the first makes cookies, all are accepted; without any, COOKIE options are not answered.

        `required`: UDP queries without a good cookie get BADCOOKIE, or TC when they have none at all. Raises ValueError.
        """

@final
class Limiter:
    """Accounts of response rate limiting; its memory is taken at once and stays the same. Some tens of ns a response."""

    def __new__(
        cls,
        rates: Sequence[int],
        *,
        window: int = 15,
        slip: int = 2,
        prefixes: tuple[int, int] = ...,
        exempt: Sequence[tuple[str, int]] = ...,
        log_only: bool = False,
        accounts: int = 131072,
    ) -> Limiter:
        """`rates` are six numbers of responses a second, 0 for no limit: answers, no data, no such name, referrals,
        errors, all together. `exempt` are networks as (address, bits), `prefixes` the bits of an IPv4 and of an IPv6
        address that are one client, (24, 56) by default. Raises ValueError."""
    @property
    def octets(self) -> int: ...
    def notices(self) -> list[tuple[str, str, bytes]]:
        """Accounts that have been overdrawn since the last call: (a client of the network, the kind of response, the name
        that is answered or b"" for kinds that have none)."""
    def totals(self) -> dict[str, int]:
        """Responses over a limit since start: `limited`, and of these `slipped` and `dropped`."""

@final
class Effects:
    """What the plugins of a block do to its answers, as data."""

    def __new__(
        cls,
        *,
        log: bool = False,
        nsid: bytes | None = None,
        size: int = ...,
        any_: Literal["one", "all", "hinfo"] = "one",
        minimal: bool = False,
        cookies: Cookies | None = None,
        limiter: Limiter | None = None,
    ) -> Effects:
        """`size` is the most octets sent over UDP, at least 512, 1232 by default; `nsid` has at most 128. Raises ValueError.

        Without `cookies` in any block of a listener, cookies are answered with a secret of this process."""

@final
class Block:
    """A server block as the engine routes to it."""

    def __new__(
        cls,
        number: int,
        listeners: Sequence[int],
        origins: Sequence[bytes],
        zones: Sequence[tuple[bytes, ZoneSlot]],
        *,
        chained: bool = False,
        guarded: bool = False,
        effects: Effects | None = None,
        view: Predicate | None = None,
        counted_as: str = "",
    ) -> Block:
        """`origins` are the block's keys, `zones` what its zone backends serve, shadowed ones left out. A query goes
        to the block with the longest matching origin of its listener that has no `view` or whose view holds, the first
        one of equals, then to the block's longest matching zone; none: REFUSED. `chained`: all its queries are declined
        to Python; `guarded`: which has to see them ahead of its zones, so that no alias in another zone leads into these.
        `counted_as` names the block in `Responder.counters`."""

@final
class Predicate:
    """What an expression says of a query; it can't fail, and takes no longer than its size."""

    def __new__(
        cls, program: Sequence[tuple[str, bool | float | str | Sequence[bool | float | str] | None]]
    ) -> Predicate:
        """Of operators, each behind its operands; what is left has to hold, all of it.

        `constant` (a value), `fact` (its name as in expressions), `within` (prefix), `one_of` (values) and `matches`
        (regular expression) have something with them, `not`, `negative`, `choice` (condition, then, otherwise) and the
        operators of two operands `and or == < <= + - * / % contains startsWith endsWith` have None. Raises ValueError.
        """
    def holds(
        self,
        query: bytes,
        client: tuple[str, int],
        transport: Literal["udp", "tcp"],
        server: tuple[str, int] | None = None,
    ) -> bool:
        """Whether it holds for a query that came so. Raises MessageError."""

@final
class QueryHead:
    """The header, question and EDNS of a query, parsed and in bounds."""

    @property
    def id(self) -> int: ...
    @property
    def opcode(self) -> int: ...
    @property
    def flags(self) -> int:
        """The second 16 bits of the header."""
    @property
    def qname(self) -> bytes:
        """Wire name, case as it came."""
    @property
    def qtype(self) -> int: ...
    @property
    def qclass(self) -> int: ...
    @property
    def has_edns(self) -> bool: ...
    @property
    def udp_size(self) -> int:
        """What the client takes over UDP: 512 without EDNS."""
    @property
    def dnssec_ok(self) -> bool: ...

def parse_query(octets: bytes) -> QueryHead:
    """Raises MessageError."""

def find_tsig(message: bytes) -> tuple[int, bytes, bytes] | None:
    """The TSIG record of a message (RFC 8945 section 4.2), None where it has none: (where it begins, which is where the
    message ends without it; its owner as a wire name in lower case; its rdata). Some ns a record. Raises MessageError
    for what is malformed anywhere, and for a TSIG that is not the last record of ADDITIONAL."""

@final
class Declined:
    """A query the engine hands to Python, with all that its reply needs. Reply once, or never (drop)."""

    @property
    def block(self) -> int:
        """The number of the block it was routed to, -1 for none."""
    @property
    def octets(self) -> bytes: ...
    @property
    def head(self) -> QueryHead: ...
    @property
    def listener(self) -> int: ...
    @property
    def client(self) -> tuple[str, int]: ...
    @property
    def local(self) -> str | None:
        """The address that was asked, where the listener has many."""
    @property
    def transport(self) -> Literal["udp", "tcp"]: ...

@final
class Responder:
    """Sockets, UDP threads, routes and counters."""

    def __new__(cls, clock: Clock, *, queue: int = 4096) -> Responder:
        """`queue` bounds how many declined queries may wait for Python; more are dropped and counted."""
    def bind(self, address: str, port: int, threads: int = 1) -> int:
        """Bind UDP sockets (one a thread, SO_REUSEPORT) and give the listener's number. Port 0 takes a free one.

        Without threads nothing is bound: for queries that come by streams alone. The address is first probed without SO_REUSEPORT, so that a second server is an error. Raises OSError.
        """
    def address(self, listener: int) -> tuple[str, int]: ...
    def start(self) -> None:
        """Start the UDP threads of listeners that have none yet; capabilities and user ids must be final by now."""
    def close(self, listener: int) -> None: ...
    def stop(self) -> None:
        """Stop all threads, answer nothing more, close all sockets. Safe to call twice."""
    def route(self, blocks: Sequence[Block]) -> None:
        """Swap the whole route table."""
    def answer(
        self,
        listener: int,
        query: bytes,
        client: tuple[str, int],
        transport: Literal["udp", "tcp"],
        idle_ms: int = 0,
        local: str | None = None,
    ) -> bytes | Declined | None:
        """Answer octets that came by a stream: the response, a query for Python, or None to say nothing.

        `idle_ms` is how long the stream may be idle from now on, which a client is told that asks (RFC 7828); 0 asks it
        to close. Tenths of seconds count, 6553.5 s are the most. `local` is the address that was asked, where the
        listener has many."""
    def answer_from(
        self,
        slot: ZoneSlot,
        query: bytes,
        transport: Literal["udp", "tcp"],
        effects: Effects | None = None,
        listener: int | None = None,
        client: tuple[str, int] | None = None,
        local: str | None = None,
    ) -> bytes:
        """Answer from one zone's published version (for chained blocks). With a `listener` whose routes lead the query to
        this very slot, aliases and targets are followed into the other zones served there, as in a direct answer; views
        look at `client` and `local`, the address that was asked."""
    def dress(self, declined: Declined, response: bytes, room: int = 0) -> bytes | None:
        """What a chain answered, as it is sent: with the OPT, cookie and size that direct answers have, limited as they
        are, and with room for so many octets more. None: it is held back."""
    def refuse(self, query: bytes, rcode: int, ede: int | None = None) -> bytes:
        """A response with no records: header and question copied, EDNS answered, the extended error if given."""
    @property
    def wake_fd(self) -> int:
        """An eventfd that becomes readable when declined queries wait."""
    def declined(self, limit: int = 256) -> list[Declined]:
        """Take waiting queries off the queue and clear the eventfd when it is empty."""
    def reply(self, declined: Declined, octets: bytes) -> None:
        """Send the answer of a declined UDP query from the address that was asked."""
    def log_entries(
        self, limit: int = 10000
    ) -> list[tuple[int, int, str, int, str, bytes, int, int, int, int, int, int, int, bool, int]]:
        """Drain the query log ring of blocks with Effects(log=True). Each: (block, unix_us, client address, client port,
        transport, qname, qtype, qclass, id, opcode and flags as 16 bits of the response, query octets, response
        octets, EDNS size (0: none), DO, duration_us)."""
    @property
    def log_dropped(self) -> int: ...
    def counters(self) -> list[tuple[str, bytes, str, int, str, int, int]]:
        """Counts since start, one row for each combination that occurred: (what the block is counted as, origin that routed, transport,
        family 4 or 6, kind, key, count). Kinds: `type` (key is the qtype), `rcode` (key is the rcode), `do`
        (key 1), `request_octets` and `response_octets` and `duration_us` (key is the bucket's upper bound, 0 the last
        one, counts not cumulative), `request_octets_sum`, `response_octets_sum`, `duration_us_sum`."""
    def totals(self) -> dict[str, int]:
        """Process-wide counts: datagrams, malformed, dropped, declined, declined_dropped, refused, cookies_wanted,
        send_errors."""

def drop_capabilities(keep: Sequence[str]) -> None:
    """Drop all Linux capabilities but these (`CAP_NET_BIND_SERVICE` …) from this thread and its future children and
    forbid gaining new ones. Nothing happens without root. Raises OSError."""
