from dataclasses import replace

import pytest

from engine import SignedVersion
from keys.policy import DEFAULT, Denial
from signer import plan
from signer.denial import NSEC3PARAM, denials_of, nsec3param_rdatas
from signer.verify import Expected, before_live, presigned

ORIGIN = b"\x07example\x04test\x00"
NOW = 1_700_000_000
CHOICES = [Denial(), Denial("compact"), Denial("nsec3"), Denial("nsec3", True), Denial("nsec3", True, 12, b"\xaa\xbb")]


def signed_by(denial, version, one):
    policy = replace(DEFAULT, denial=denial)
    zone = plan.prepare(version, [one.key], {one.key.id: one.handle}, policy, 9, NOW)
    return SignedVersion(zone.version, zone.plan)


@pytest.mark.parametrize("denial", CHOICES)
def test_a_zone_signed_by_any_choice_passes_its_check(denial, version, make_signer):
    zone = signed_by(denial, version("sub NS ns.elsewhere.test.\nx.sub2 NS ns.elsewhere.test.\n"), make_signer())
    assert not before_live(zone, Expected(NOW)).is_held
    assert denial in denials_of(zone.version) or denial.kind == "compact"


def test_nsec3param_has_the_parameters_and_no_flags():
    assert nsec3param_rdatas(Denial("nsec3", True, 12, b"\xaa\xbb")) == [bytes.fromhex("0100000c02aabb")]
    assert nsec3param_rdatas(Denial("nsec3")) == [bytes.fromhex("0100000000")]
    assert nsec3param_rdatas(Denial("compact")) == []


def test_nsec3param_comes_and_goes_with_nsec3(version, make_signer):
    one = make_signer()
    zone = signed_by(Denial("nsec3"), version(), one).version
    assert zone.rrset(ORIGIN, NSEC3PARAM) == (0, [bytes.fromhex("0100000000")])
    assert signed_by(Denial(), zone, one).version.rrset(ORIGIN, NSEC3PARAM) is None


@pytest.mark.parametrize("policy", ["warn", "hold"])
def test_what_is_wrong_with_a_presigned_zone_is_as_bad_as_the_policy_says(policy, version, make_signer):
    text = signed_by(Denial("nsec3"), version(), make_signer()).to_text().decode()
    good, bad = version(text=text), version(text=text.replace("192.0.2.2", "192.0.2.3"))
    assert presigned(SignedVersion(good), policy, NOW) == ()
    (finding,) = presigned(SignedVersion(bad), policy, NOW)
    assert finding.rule == "presigned-signature-wrong"
    assert finding.severity == {"warn": "warning", "hold": "error"}[policy]
