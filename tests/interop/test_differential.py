"""Our answers beside NSD's for the same zone and the same questions: rcode, flags and sections alike, or a listed reason."""

import os

import dns.flags
import dns.message
import dns.rcode
import pytest

from tests.interop.questions import questions
from tools import make_zone
from tools.servers import Nsd, Zone

ORIGIN = "example.test."
COUNT = 3000 if "SOAK" not in os.environ else 1000 * int(os.environ["SOAK"])
FLAGS = dns.flags.QR | dns.flags.AA | dns.flags.TC | dns.flags.RD | dns.flags.RA | dns.flags.AD | dns.flags.CD


WITH_NAMES = {dns.rdatatype.from_text(text) for text in ("NS", "CNAME", "DNAME", "MX", "SOA", "PTR", "SRV")}


def section(rrsets) -> list[str]:
    """A section as sorted lines; names in lower case, because NSD compresses to the question's case and we do not."""
    return sorted(
        f"{rrset.name.to_text().lower()} {rrset.ttl} {dns.rdatatype.to_text(rrset.rdtype)} "
        + (rdata.to_text().lower() if rrset.rdtype in WITH_NAMES else rdata.to_text())
        for rrset in rrsets
        for rdata in rrset
    )


def facts(response: dns.message.Message) -> dict[str, object]:
    """What must be equal. The additional section is a courtesy but for glue, and is compared only on referrals."""
    is_referral = not response.answer and not response.flags & dns.flags.AA
    return {
        "rcode": dns.rcode.to_text(response.rcode()),
        "flags": dns.flags.to_text(response.flags & FLAGS),
        "answer": section(response.answer),
        "authority": authority(response),
        "additional": section(response.additional) if is_referral else [],
    }


def authority(response: dns.message.Message) -> list[str]:
    """The authority section; the apex NS that NSD adds to positive answers is left out, it is a courtesy."""
    lines = section(response.authority)
    if response.answer and response.flags & dns.flags.AA:
        return [line for line in lines if f"{ORIGIN} 3600 NS" not in line]
    return lines


@pytest.mark.peer("nsd")
@pytest.mark.parametrize("seed", [1, 2])
def test_answers_equal_nsd_s_for_random_questions(serve, run, tmp_path, seed):
    ours = serve(ORIGIN, 4000, signed=False, seed=seed)
    nsd = run(Nsd, zones=[Zone(ORIGIN, tmp_path / f"{ORIGIN}zone")])
    records = list(make_zone.records(ORIGIN, 4000, seed))
    different = []
    for qname, qtype in questions(records, COUNT // 2, seed):
        mine, theirs = facts(ours.ask(qname, qtype)), facts(nsd.ask(qname, qtype))
        if mine != theirs:
            wrong = {key: (mine[key], theirs[key]) for key in mine if mine[key] != theirs[key]}
            different.append(f"{qname} {qtype}: {wrong}")
    assert different == [], f"{len(different)} of {COUNT // 2} differ (ours, NSD's):\n" + "\n".join(different[:20])


@pytest.mark.peer("nsd")
def test_signed_answers_equal_nsd_s_over_the_same_sealed_dump(serve, run, tmp_path):
    """NSD serves the very zone we sealed; proofs and signatures must be the same records."""
    ours = serve(ORIGIN, 1500)
    ours.wait_sealed(ORIGIN)
    dump = tmp_path / "dump.zone"
    dump.write_text(ours.dump(ORIGIN))
    nsd = run(Nsd, zones=[Zone(ORIGIN, dump)])
    records = list(make_zone.records(ORIGIN, 1500))
    different = []
    for qname, qtype in questions(records, 800, seed=5):
        mine, theirs = (facts(server.ask(qname, qtype, dnssec=True)) for server in (ours, nsd))
        for side in (mine, theirs):
            side["authority"] = [line for line in side["authority"] if " RRSIG NS " not in line or not side["answer"]]
        if mine != theirs:
            wrong = {key: (mine[key], theirs[key]) for key in mine if mine[key] != theirs[key]}
            different.append(f"{qname} {qtype}: {wrong}")
    assert different == [], f"{len(different)} of 800 differ (ours, NSD's):\n" + "\n".join(different[:20])
