"""The kinds of fault that are injected into signed zones, and the gate that has to refuse each.

A fault spoils records as they would be answered. `LIVE` faults must be found before the version goes live, `SEALED` ones
in the signatures of all other RRsets before it is sealed. A fault of a signature is of both kinds: at the apex RRsets
that the first gate looks at, and anywhere else.
"""

import base64
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import dns.dnssec
import dns.name

from tests.signer.signed_zones import EXPIRATION, NOW, Place, Records, Signature, key, twins
from tools.odd_zone import ORIGIN

LIVE: Final = "live"
SEALED: Final = "sealed"
Spoil = Callable[[Records, random.Random, Place], None]


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind: what it is called, which gate refuses it by which rule, which denials it can be injected into, how."""

    name: str
    gate: str
    rule: str
    denials: tuple[str, ...]
    spoil: Spoil


FAULTS: dict[str, Fault] = {}
NSEC: Final = ("nsec", "compact")
NSEC3: Final = ("nsec3", "salted", "opt-out")
OF_KEYS: Final = ("DNSKEY", "CDS", "CDNSKEY")
FIRST: Final = ("SOA", "NS", "DNSKEY", "CDS", "CDNSKEY")
"""The apex RRsets whose signatures the first gate looks at."""


def fault(gate: str, rule: str, denials: tuple[str, ...] = (*NSEC, *NSEC3)) -> Callable[[Spoil], Spoil]:
    """Register a kind under the name of its function."""

    def register(spoil: Spoil) -> Spoil:
        name = spoil.__name__.replace("_", "-")
        FAULTS[name] = Fault(name, gate, rule, denials, spoil)
        return spoil

    return register


def signature_fault(rule: str) -> Callable[[Spoil], Spoil]:
    """Two kinds at once: of an RRset at the apex, and of any other."""

    def register(spoil: Spoil) -> Spoil:
        name = spoil.__name__.replace("_", "-")
        for gate, suffix in ((LIVE, "-at-apex"), (SEALED, "")):
            FAULTS[name + suffix] = Fault(name + suffix, gate, rule, (*NSEC, *NSEC3), spoil)
        return spoil

    return register


def place_for(one: Fault, records: Records, dice: random.Random) -> Place:
    """A signed RRset that the fault's gate looks at."""
    at_first = [place for place in records.signatures if place[0] == ORIGIN and place[1] in FIRST]
    others = [place for place in records.signatures if place not in at_first]
    return dice.choice(at_first if one.gate == LIVE else others)


# ---------------------------------------------------------------- signatures


def lie(records: Records, place: Place, **lies: int | str) -> None:
    """Sign an RRset by a key of the zone, right but for these fields."""
    old = records.signatures[place][0]
    by = next(one for one in records.signers(place) if one.tag == old.tag)
    records.signatures[place][0] = records.signature(place, by, **lies)


@signature_fault("signature-expired")
def expired(records: Records, dice: random.Random, place: Place) -> None:
    lie(records, place, expiration=NOW - dice.randrange(3000))


@signature_fault("signature-expires-soon")
def expires_too_soon(records: Records, dice: random.Random, place: Place) -> None:
    records.put(place, records.rrsets[place][1], ttl=86400)
    lie(records, place, inception=NOW - 10**6, expiration=NOW + dice.randrange(1, 80000))


@signature_fault("signature-not-yet-valid")
def not_yet_valid(records: Records, dice: random.Random, place: Place) -> None:
    lie(records, place, inception=NOW + dice.randrange(1, 10**6))


@signature_fault("signature-window")
def ends_before_it_begins(records: Records, dice: random.Random, place: Place) -> None:
    lie(records, place, inception=EXPIRATION + dice.randrange(3))


@signature_fault("ttl-beyond-signature")
def ttl_beyond_the_signature(records: Records, dice: random.Random, place: Place) -> None:
    records.put(place, records.rrsets[place][1], ttl=dice.choice((1209600 + 3601, 1073741724)))


@signature_fault("signature-no-key")
def wrong_key(records: Records, _dice: random.Random, place: Place) -> None:
    records.signatures[place] = [records.signature(place, key(90))]


@signature_fault("signature-wrong")
def wrong_key_under_the_right_tag(records: Records, _dice: random.Random, place: Place) -> None:
    right = records.signatures[place][0]
    by = next(one for one in records.keys if one.tag == right.tag)
    records.signatures[place][0] = records.signature(place, key(90, by.algorithm), tag=right.tag)


@signature_fault("signature-wrong")
def same_tag_other_key(records: Records, _dice: random.Random, place: Place) -> None:
    published, hidden = twins()
    records.keys = [published]
    for one in list(records.signatures):
        if one[0] == ORIGIN and one[1] in OF_KEYS:
            text = {"DNSKEY": published.text, "CDNSKEY": published.text, "CDS": published.ds_text}[one[1]]
            records.put(one, [text])
        else:
            records.put(one, records.rrsets[one][1])
    records.parent_ds = (published.ds,)
    records.signatures[place] = [records.signature(place, hidden)]


@signature_fault("signature-no-key")
def signed_by_a_hidden_key_too(records: Records, _dice: random.Random, place: Place) -> None:
    records.signatures[place].append(records.signature(place, key(91)))


@signature_fault("signature-no-key")
def wrong_key_tag(records: Records, dice: random.Random, place: Place) -> None:
    lie(records, place, tag=records.signatures[place][0].tag ^ (1 << dice.randrange(16)))


@signature_fault("signature-no-key")
def wrong_algorithm(records: Records, dice: random.Random, place: Place) -> None:
    others = [number for number in (8, 13, 14, 15, 16) if number != records.signatures[place][0].algorithm]
    lie(records, place, algorithm=dice.choice(others))


@signature_fault("signature-fields")
def labels_too_few(records: Records, _dice: random.Random, place: Place) -> None:
    lie(records, place, labels=records.signatures[place][0].labels - 1)


@signature_fault("signature-fields")
def labels_too_many(records: Records, _dice: random.Random, place: Place) -> None:
    lie(records, place, labels=records.signatures[place][0].labels + 1)


@signature_fault("signature-fields")
def wrong_original_ttl(records: Records, dice: random.Random, place: Place) -> None:
    lie(records, place, original_ttl=records.ttl_of(place) + dice.randrange(1, 100))


@signature_fault("signature-fields")
def ttl_changed_after_signing(records: Records, dice: random.Random, place: Place) -> None:
    records.rrsets[place] = (records.ttl_of(place) + dice.randrange(1, 100), records.rrsets[place][1])


@signature_fault("signature-fields")
def wrong_signer(records: Records, dice: random.Random, place: Place) -> None:
    lie(records, place, signer=dice.choice(("test.", ".", "sub." + ORIGIN, "other.test.")))


@signature_fault("signature-wrong")
def truncated(records: Records, dice: random.Random, place: Place) -> None:
    one = records.signatures[place][0]
    one.octets = one.octets[: dice.randrange(1, len(one.octets))]


@signature_fault("signature-wrong")
def lengthened(records: Records, _dice: random.Random, place: Place) -> None:
    records.signatures[place][0].octets += b"\0"


@signature_fault("signature-wrong")
def bit_flipped_in_the_signature(records: Records, dice: random.Random, place: Place) -> None:
    flip(records.signatures[place][0], dice)


@signature_fault("signature-wrong")
def made_over_other_rdata(records: Records, dice: random.Random, place: Place) -> None:
    """As when a bit flips in rdata after signing."""
    one = records.signatures[place][0]
    by = next(by for by in records.signers(place) if by.tag == one.tag)
    covered = bytearray(records.covered(place, one))
    covered[-dice.randrange(1, 5)] ^= 1 << dice.randrange(8)
    one.octets = by.sign(one.head + bytes(covered))


@signature_fault("signature-wrong")
def of_another_rrset(records: Records, dice: random.Random, place: Place) -> None:
    """Swapped between two RRsets of one owner, or carried over to another name."""
    others = [one for one in records.signatures if one != place and records.signatures[one][0].octets]
    other = dice.choice(others)
    records.signatures[place][0].octets = records.signatures[other][0].octets


@signature_fault("signature-wrong")
def carried_over_from_another_owner(records: Records, _dice: random.Random, place: Place) -> None:
    by = next(one for one in records.signers(place) if one.tag == records.signatures[place][0].tag)
    # Every name below its parent is a wildcard's own, but not the parent itself.
    owner = place[0].removeprefix("*.") if place[0].startswith("*.") else "other." + place[0]
    records.signatures[place][0] = records.signature(place, by, owner=owner)


@signature_fault("signature-missing")
def not_signed(records: Records, _dice: random.Random, place: Place) -> None:
    del records.signatures[place]


@signature_fault("algorithm-unsigned")
def one_of_two_algorithms_missing(records: Records, _dice: random.Random, place: Place) -> None:
    """RFC 4035 section 2.2: the zone has two algorithms, and one signature lacks."""
    second = key(92, 15 if records.keys[0].algorithm != 15 else 13)
    records.keys.append(second)
    texts = {"DNSKEY": second.text, "CDNSKEY": second.text, "CDS": second.ds_text}
    for one in list(records.signatures):
        more = [texts[one[1]]] if one[0] == ORIGIN and one[1] in OF_KEYS else []
        records.put(one, records.rrsets[one][1] + more)
    records.signatures[place] = [one for one in records.signatures[place] if one.algorithm != second.algorithm]


@signature_fault("signature-extra")
def signed_twice_by_one_key(records: Records, _dice: random.Random, place: Place) -> None:
    by = next(one for one in records.signers(place) if one.tag == records.signatures[place][0].tag)
    records.signatures[place].append(records.signature(place, by, expiration=EXPIRATION - 100))


@fault(SEALED, "signature-wrong")
def a_signer_that_lies_now_and_then(records: Records, dice: random.Random, _place: Place) -> None:
    places = [place for place in records.signatures if place[0] != ORIGIN]
    for place in dice.sample(places, 1 + len(places) // 50):
        flip(records.signatures[place][0], dice)


@fault(SEALED, "signature-wrong")
def a_record_added_after_signing(records: Records, _dice: random.Random, _place: Place) -> None:
    records.rrsets["two." + ORIGIN, "A"][1].append("192.0.2.99")


@fault(SEALED, "signature-wrong")
def a_record_taken_away_after_signing(records: Records, _dice: random.Random, _place: Place) -> None:
    records.rrsets["two." + ORIGIN, "A"][1].pop()


@fault(SEALED, "signature-extra")
def a_signature_over_glue(records: Records, _dice: random.Random, _place: Place) -> None:
    place = ("ns.safe." + ORIGIN, "A")
    records.signatures[place] = [records.signature(place, one) for one in records.signers(place)]


@fault(SEALED, "signature-extra")
def a_signature_over_ns_at_a_cut(records: Records, dice: random.Random, _place: Place) -> None:
    place = (dice.choice(("safe.", "plain.")) + ORIGIN, "NS")
    records.signatures[place] = [records.signature(place, one) for one in records.signers(place)]


@fault(SEALED, "signature-extra")
def a_signature_over_nothing(records: Records, _dice: random.Random, _place: Place) -> None:
    place = ("two." + ORIGIN, "TXT")
    records.rrsets[place] = (300, ['"was here"'])
    records.signatures[place] = [records.signature(place, one) for one in records.signers(place)]
    del records.rrsets[place]


@fault(SEALED, "signature-missing")
def ds_at_a_cut_not_signed(records: Records, _dice: random.Random, _place: Place) -> None:
    del records.signatures["safe." + ORIGIN, "DS"]


def flip(one: Signature, dice: random.Random) -> None:
    octets = bytearray(one.octets)
    octets[dice.randrange(len(octets))] ^= 1 << dice.randrange(8)
    one.octets = bytes(octets)


# ---------------------------------------------------------------- the apex


@fault(LIVE, "signature-wrong")
def serial_changed_after_signing(records: Records, _dice: random.Random, _place: Place) -> None:
    ttl, (soa,) = records.rrsets[ORIGIN, "SOA"]
    mname, rname, serial, *rest = soa.split()
    records.rrsets[ORIGIN, "SOA"] = (ttl, [" ".join((mname, rname, str(int(serial) + 1), *rest))])


@fault(LIVE, "signature-wrong")
def stale_signature_over_the_old_dnskeys(records: Records, _dice: random.Random, _place: Place) -> None:
    records.rrsets[ORIGIN, "DNSKEY"][1].append(key(93, records.keys[0].algorithm).text)


@fault(LIVE, "signature-no-key")
def a_dnskey_that_signs_is_missing(records: Records, _dice: random.Random, _place: Place) -> None:
    zsks = [one for one in records.keys if one.is_zsk]
    stays = key(94, zsks[0].algorithm)
    wanted = [one.text for one in records.keys if one not in zsks] + [stays.text]
    records.put((ORIGIN, "DNSKEY"), wanted, keys=[one for one in records.keys if one not in zsks] or [stays])


@fault(LIVE, "algorithm-unsigned")
def a_dnskey_of_an_algorithm_that_signs_nothing(records: Records, _dice: random.Random, _place: Place) -> None:
    other = key(95, 14 if records.keys[0].algorithm != 14 else 15)
    records.put((ORIGIN, "DNSKEY"), [*records.rrsets[ORIGIN, "DNSKEY"][1], other.text])


@fault(LIVE, "key-malformed")
def a_dnskey_that_is_no_zone_key(records: Records, _dice: random.Random, _place: Place) -> None:
    text = records.keys[0].flagged(1).text
    records.put((ORIGIN, "DNSKEY"), [*records.rrsets[ORIGIN, "DNSKEY"][1], text])


@fault(LIVE, "key-malformed")
def a_dnskey_whose_key_is_cut_short(records: Records, _dice: random.Random, _place: Place) -> None:
    octets = base64.b64encode(records.keys[0].dnskey[4:-1]).decode()
    more = f"257 3 {records.keys[0].algorithm} {octets}"
    records.put((ORIGIN, "DNSKEY"), [*records.rrsets[ORIGIN, "DNSKEY"][1], more])


@fault(LIVE, "apex-rrset-missing")
def no_dnskey(records: Records, _dice: random.Random, _place: Place) -> None:
    for rtype in OF_KEYS:
        records.put((ORIGIN, rtype), [])


@fault(LIVE, "signature-wrong")
def the_zone_signed_by_a_revoked_key(records: Records, _dice: random.Random, _place: Place) -> None:
    revoked = replace(records.keys[0].flagged(0x181), is_ksk=True, is_zsk=True)
    records.put((ORIGIN, "DNSKEY"), [one.text for one in records.keys[1:]] + [revoked.text], keys=[revoked])
    records.put((ORIGIN, "SOA"), records.rrsets[ORIGIN, "SOA"][1], keys=[revoked])


@fault(LIVE, "cds-no-key")
def cds_of_a_key_that_is_not_in_the_zone(records: Records, _dice: random.Random, _place: Place) -> None:
    records.put((ORIGIN, "CDS"), [*records.rrsets[ORIGIN, "CDS"][1], key(96).ds_text])


@fault(LIVE, "cds-no-key")
def cdnskey_of_a_key_that_is_not_in_the_zone(records: Records, _dice: random.Random, _place: Place) -> None:
    records.put((ORIGIN, "CDNSKEY"), [*records.rrsets[ORIGIN, "CDNSKEY"][1], key(96).text])


@fault(LIVE, "cds-no-key")
def cds_with_a_wrong_digest(records: Records, dice: random.Random, _place: Place) -> None:
    tag, algorithm, kind, digest = records.keys[0].ds_text.split()
    at = dice.randrange(len(digest))
    wrong = digest[:at] + ("0" if digest[at] != "0" else "1") + digest[at + 1 :]
    records.put((ORIGIN, "CDS"), [f"{tag} {algorithm} {kind} {wrong}"])


@fault(LIVE, "cds-wrong")
def cds_and_cdnskey_of_different_keys(records: Records, _dice: random.Random, _place: Place) -> None:
    other = replace(key(97, records.keys[0].algorithm), is_zsk=False)
    records.keys.append(other)
    records.put((ORIGIN, "DNSKEY"), [*records.rrsets[ORIGIN, "DNSKEY"][1], other.text])
    for rtype in ("CDS", "CDNSKEY"):
        records.put((ORIGIN, rtype), records.rrsets[ORIGIN, rtype][1])
    records.put((ORIGIN, "CDS"), [*records.rrsets[ORIGIN, "CDS"][1], other.ds_text])


@fault(LIVE, "cds-wrong")
def cds_that_deletes_beside_another(records: Records, _dice: random.Random, _place: Place) -> None:
    records.put((ORIGIN, "CDS"), [*records.rrsets[ORIGIN, "CDS"][1], "0 0 0 00"])


@fault(LIVE, "cds-no-signer")
def cds_of_a_key_that_does_not_sign_the_dnskeys(records: Records, _dice: random.Random, _place: Place) -> None:
    other = key(98, records.keys[0].algorithm)
    records.put((ORIGIN, "DNSKEY"), [*records.rrsets[ORIGIN, "DNSKEY"][1], other.text])
    records.put((ORIGIN, "CDS"), [*records.rrsets[ORIGIN, "CDS"][1], other.ds_text])
    records.put((ORIGIN, "CDNSKEY"), [*records.rrsets[ORIGIN, "CDNSKEY"][1], other.text])


@fault(LIVE, "ds-no-signer")
def ds_of_no_key_of_the_zone(records: Records, _dice: random.Random, _place: Place) -> None:
    records.parent_ds = (key(99).ds,)


@fault(LIVE, "ds-no-signer")
def ds_with_a_wrong_digest(records: Records, _dice: random.Random, _place: Place) -> None:
    ds = records.keys[0].ds
    records.parent_ds = (ds[:-1] + bytes([ds[-1] ^ 1]),)


@fault(LIVE, "ds-no-signer")
def ds_of_a_key_that_does_not_sign_the_dnskeys(records: Records, _dice: random.Random, _place: Place) -> None:
    other = key(98, records.keys[0].algorithm)
    records.put((ORIGIN, "DNSKEY"), [*records.rrsets[ORIGIN, "DNSKEY"][1], other.text])
    records.parent_ds = (other.ds,)


# ---------------------------------------------------------------- NSEC


def nsecs(records: Records) -> list[tuple[str, str, list[str]]]:
    """(owner, next, types) in the order of the chain."""
    found = [
        (owner, *rdatas[0].split(None, 1)) for (owner, rtype), (_, rdatas) in records.rrsets.items() if rtype == "NSEC"
    ]
    found.sort(key=lambda one: dns.name.from_text(one[0]))
    return [(owner, named, types.split()) for owner, named, types in found]


def put_nsec(records: Records, owner: str, named: str, types: list[str]) -> None:
    records.put((owner, "NSEC"), [f"{named} {' '.join(types)}"], ttl=records.ttl_of((ORIGIN, "NSEC")))


def any_nsec(records: Records, dice: random.Random) -> tuple[str, str, list[str]]:
    return dice.choice(nsecs(records))


@fault(LIVE, "denial-gap", NSEC)
def nsec_missing(records: Records, dice: random.Random, _place: Place) -> None:
    """And the one before leads over the gap, so that the chain is closed."""
    chain = nsecs(records)
    at = dice.randrange(1, len(chain))
    records.put((chain[at][0], "NSEC"), [])
    put_nsec(records, chain[at - 1][0], chain[at][1], chain[at - 1][2])


@fault(LIVE, "denial-extra", NSEC)
def nsec_of_a_name_that_does_not_exist(records: Records, _dice: random.Random, _place: Place) -> None:
    chain = nsecs(records)
    put_nsec(records, "zzzz." + ORIGIN, ORIGIN, ["RRSIG", "NSEC"])
    put_nsec(records, chain[-1][0], "zzzz." + ORIGIN, chain[-1][2])


@fault(LIVE, "denial-wrong", NSEC)
def nsec_lacks_a_type(records: Records, dice: random.Random, _place: Place) -> None:
    owner, named, types = any_nsec(records, dice)
    types.remove(dice.choice(types))
    put_nsec(records, owner, named, types or ["TXT"])


@fault(LIVE, "denial-wrong", NSEC)
def nsec_lists_a_type_too_many(records: Records, dice: random.Random, _place: Place) -> None:
    owner, named, types = any_nsec(records, dice)
    put_nsec(records, owner, named, [*types, "TYPE65399"])


@fault(LIVE, "denial-wrong", NSEC)
def nsec_at_a_cut_lists_glue(records: Records, _dice: random.Random, _place: Place) -> None:
    owner, named, types = next(one for one in nsecs(records) if one[0] == "safe." + ORIGIN)
    put_nsec(records, owner, named, ["A", *types])


@fault(LIVE, "denial-wrong", NSEC)
def nsec_leads_over_a_name(records: Records, dice: random.Random, _place: Place) -> None:
    chain = nsecs(records)
    at = dice.randrange(len(chain))
    put_nsec(records, chain[at][0], chain[(at + 2) % len(chain)][0], chain[at][2])


@fault(LIVE, "denial-wrong", NSEC)
def nsec_leads_back_to_itself(records: Records, dice: random.Random, _place: Place) -> None:
    owner, _, types = any_nsec(records, dice)
    put_nsec(records, owner, owner, types)


@fault(LIVE, "denial-wrong", NSEC)
def nsec_chain_is_not_closed(records: Records, _dice: random.Random, _place: Place) -> None:
    owner, _, types = nsecs(records)[-1]
    put_nsec(records, owner, "zzzz." + ORIGIN, types)


@fault(LIVE, "denial-gap", NSEC)
def nsec_twice_at_one_name(records: Records, dice: random.Random, _place: Place) -> None:
    owner, named, types = any_nsec(records, dice)
    records.put((owner, "NSEC"), [f"{named} {' '.join(types)}", f"{ORIGIN} {' '.join([*types, 'TYPE65399'])}"])


@fault(LIVE, "denial-extra", NSEC)
def nsec_at_an_occluded_name(records: Records, _dice: random.Random, _place: Place) -> None:
    put_nsec(records, "ns.safe." + ORIGIN, ORIGIN, ["A", "RRSIG", "NSEC"])


@fault(LIVE, "denial-extra", NSEC)
def nsec_at_an_empty_non_terminal(records: Records, _dice: random.Random, _place: Place) -> None:
    chain = nsecs(records)
    at = next(at for at, one in enumerate(chain) if one[1] == "below.empty." + ORIGIN)
    put_nsec(records, "empty." + ORIGIN, "below.empty." + ORIGIN, ["RRSIG", "NSEC"])
    put_nsec(records, chain[at][0], "empty." + ORIGIN, chain[at][2])


@fault(LIVE, "denial-gap", NSEC)
def a_name_without_nsec(records: Records, _dice: random.Random, _place: Place) -> None:
    records.put(("zzzz." + ORIGIN, "TXT"), ['"new"'], ttl=60)


@fault(LIVE, "denial-extra", NSEC)
def a_name_gone_whose_nsec_stays(records: Records, _dice: random.Random, _place: Place) -> None:
    records.put(("two." + ORIGIN, "A"), [])


# ---------------------------------------------------------------- NSEC3


@dataclass(slots=True)
class Hashed:
    """The fields of an NSEC3 record as text."""

    owner: str
    algorithm: str
    flags: str
    iterations: str
    salt: str
    named: str
    types: list[str]

    def to_text(self) -> str:
        return " ".join((self.algorithm, self.flags, self.iterations, self.salt, self.named, *self.types))


def nsec3s(records: Records) -> list[Hashed]:
    """In the order of the chain."""
    found = [
        Hashed(owner, *fields[:5], fields[5:])
        for (owner, rtype), (_, rdatas) in records.rrsets.items()
        for fields in [rdatas[0].split()]
        if rtype == "NSEC3"
    ]
    return sorted(found, key=lambda one: one.owner.lower())


def put_nsec3(records: Records, one: Hashed) -> None:
    records.put((one.owner, "NSEC3"), [one.to_text()], ttl=records.ttl_of((nsec3s(records)[0].owner, "NSEC3")))


def any_nsec3(records: Records, dice: random.Random) -> Hashed:
    return dice.choice(nsec3s(records))


def an_nsec3_that_must_be_there(records: Records, dice: random.Random) -> Hashed:
    """Of a name with signatures: opt-out lets an unsigned delegation have one or none (RFC 5155 section 6)."""
    return nsec3_of(records, dice.choice(sorted({owner for owner, rtype in records.signatures if rtype != "NSEC3"})))


def nsec3_of(records: Records, owner: str) -> Hashed:
    one = nsec3s(records)[0]
    salt = "" if one.salt == "-" else one.salt
    label = dns.dnssec.nsec3_hash(owner, salt, int(one.iterations), 1).lower()
    return next(other for other in nsec3s(records) if other.owner.lower().startswith(label))


def take_out(records: Records, gone: Hashed) -> None:
    """Leave an NSEC3 out of a chain that is closed over the gap."""
    before = next(one for one in nsec3s(records) if gone.owner.lower().startswith(one.named.lower()))
    records.put((gone.owner, "NSEC3"), [])
    if before.owner != gone.owner:
        put_nsec3(records, replace(before, named=gone.named))


@fault(LIVE, "denial-gap", NSEC3)
def nsec3_missing(records: Records, _dice: random.Random, _place: Place) -> None:
    take_out(records, nsec3_of(records, "two." + ORIGIN))


@fault(LIVE, "denial-gap", NSEC3)
def nsec3_of_an_empty_non_terminal_missing(records: Records, _dice: random.Random, _place: Place) -> None:
    take_out(records, nsec3_of(records, "empty." + ORIGIN))


@fault(LIVE, "denial-gap", NSEC3)
def nsec3_of_a_secure_delegation_missing(records: Records, _dice: random.Random, _place: Place) -> None:
    take_out(records, nsec3_of(records, "safe." + ORIGIN))


@fault(LIVE, "denial-gap", ("nsec3", "salted"))
def nsec3_of_an_insecure_delegation_missing_without_opt_out(
    records: Records, _dice: random.Random, _place: Place
) -> None:
    take_out(records, nsec3_of(records, "plain." + ORIGIN))


@fault(LIVE, "denial-gap", NSEC3)
def nsec3_of_a_name_that_does_not_exist(records: Records, _dice: random.Random, _place: Place) -> None:
    last = nsec3s(records)[-1]
    extra = "v" * 32
    put_nsec3(records, replace(last, owner=f"{extra}.{ORIGIN}"))
    put_nsec3(records, replace(last, named=extra))


@fault(LIVE, "denial-gap", NSEC3)
def nsec3_with_a_broken_hash(records: Records, dice: random.Random, _place: Place) -> None:
    one = any_nsec3(records, dice)
    label = one.owner.split(".")[0]
    wrong = ("0" if label[-1] != "0" else "1").join((label[:-1], ""))
    records.put((one.owner, "NSEC3"), [])
    put_nsec3(records, replace(one, owner=f"{wrong}.{ORIGIN}"))
    before = next(other for other in nsec3s(records) if other.named.lower() == label.lower())
    put_nsec3(records, replace(before, named=wrong))


@fault(LIVE, "nsec3-wrong", NSEC3)
def nsec3_leads_over_a_name(records: Records, dice: random.Random, _place: Place) -> None:
    chain = nsec3s(records)
    at = dice.randrange(len(chain))
    put_nsec3(records, replace(chain[at], named=chain[(at + 2) % len(chain)].owner.split(".")[0]))


@fault(LIVE, "nsec3-wrong", NSEC3)
def nsec3_chain_is_not_closed(records: Records, _dice: random.Random, _place: Place) -> None:
    put_nsec3(records, replace(nsec3s(records)[-1], named="v" * 32))


@fault(LIVE, "nsec3-wrong", NSEC3)
def nsec3_lacks_a_type(records: Records, dice: random.Random, _place: Place) -> None:
    one = dice.choice([one for one in nsec3s(records) if one.types])
    one.types.remove(dice.choice(one.types))
    put_nsec3(records, one)


@fault(LIVE, "nsec3-wrong", NSEC3)
def nsec3_lists_a_type_too_many(records: Records, dice: random.Random, _place: Place) -> None:
    one = any_nsec3(records, dice)
    put_nsec3(records, replace(one, types=[*one.types, "TYPE65399"]))


@fault(LIVE, "nsec3-wrong", NSEC3)
def nsec3_with_the_opt_out_flag_wrong(records: Records, dice: random.Random, _place: Place) -> None:
    one = any_nsec3(records, dice)
    put_nsec3(records, replace(one, flags=str(1 - int(one.flags))))


@fault(LIVE, "denial-gap", NSEC3)
def nsec3_with_other_iterations(records: Records, dice: random.Random, _place: Place) -> None:
    one = an_nsec3_that_must_be_there(records, dice)
    put_nsec3(records, replace(one, iterations=str(int(one.iterations) + 1)))


@fault(LIVE, "denial-gap", NSEC3)
def nsec3_with_another_salt(records: Records, dice: random.Random, _place: Place) -> None:
    put_nsec3(records, replace(an_nsec3_that_must_be_there(records, dice), salt="ABCDEF"))


@fault(LIVE, "denial-gap", NSEC3)
def nsec3_with_an_unknown_hash(records: Records, dice: random.Random, _place: Place) -> None:
    put_nsec3(records, replace(an_nsec3_that_must_be_there(records, dice), algorithm="2"))


@fault(LIVE, "denial-gap", NSEC3)
def nsec3param_of_another_chain(records: Records, _dice: random.Random, _place: Place) -> None:
    records.put((ORIGIN, "NSEC3PARAM"), ["1 0 7 -"])


@fault(LIVE, "denial-gap", NSEC3)
def nsec3param_missing(records: Records, _dice: random.Random, _place: Place) -> None:
    records.put((ORIGIN, "NSEC3PARAM"), [])


@fault(LIVE, "nsec3-wrong", NSEC3)
def nsec3_twice_at_one_hash(records: Records, dice: random.Random, _place: Place) -> None:
    one = any_nsec3(records, dice)
    records.put((one.owner, "NSEC3"), [one.to_text(), replace(one, types=[*one.types, "TYPE65399"]).to_text()])


@fault(LIVE, "denial-gap", NSEC3)
def a_name_without_nsec3(records: Records, _dice: random.Random, _place: Place) -> None:
    records.put(("zzzz." + ORIGIN, "TXT"), ['"new"'], ttl=60)
