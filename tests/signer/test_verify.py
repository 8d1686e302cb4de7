from collections.abc import Callable
from typing import Any

import pytest

from engine import EngineError, SignatureError, SignedVersion, Version
from keys.policy import DEFAULT
from signer import plan
from signer.verify import NOT_SEALED, Expected, before_live, before_sealed

ORIGIN = b"\x07example\x04test\x00"
NOW = 1_700_000_000
AT = Expected(NOW)


class Stub:
    """A signed version that fails or dawdles as told."""

    serial = 7

    def __init__(self, make: Any = True, verify: Any = True) -> None:
        self.version = self
        self.origin = ORIGIN
        self._make, self._verify = make, verify

    def make(self, budget_us: int) -> bool:
        return self._answer(self._make)

    def verify(self, budget_us: int, now: int, **_: object) -> bool:
        return self._answer(self._verify)

    @staticmethod
    def _answer(what: Any) -> bool:
        if isinstance(what, Exception):
            raise what
        return bool(what)


@pytest.fixture
def signed(version: Callable[..., Version], make_signer: Any) -> SignedVersion:
    one = make_signer()
    zone = plan.prepare(version(), [one.key], {one.key.id: one.handle}, DEFAULT, 9, NOW)
    return SignedVersion(zone.version, zone.plan)


def test_a_well_made_version_may_go_live_and_be_sealed(signed: SignedVersion) -> None:
    assert not before_live(signed, AT).is_held
    verdict = before_sealed(signed, 1_000_000, AT)
    assert verdict.is_complete
    assert not verdict.is_held
    signed.seal()
    assert signed.is_sealed


def test_there_may_be_more_to_do() -> None:
    for stub in (Stub(make=False), Stub(verify=False)):
        verdict = before_sealed(stub, 1, AT)
        assert not verdict.is_complete
        assert not verdict.is_held


@pytest.mark.parametrize("error", [SignatureError("www A"), EngineError("no key")])
def test_a_wrong_signature_holds_the_version(error: Exception) -> None:
    (found,) = before_sealed(Stub(verify=error), 1, AT).findings
    reason = f"serial 7 fails its verification and no secondary gets it: {error}"
    assert str(found) == f"example.test.: {reason} [{NOT_SEALED}]"


def test_a_key_that_is_not_published_is_found(version: Callable[..., Version], make_signer: Any) -> None:
    one = make_signer()
    zone = plan.prepare(version(), [one.key], {one.key.id: one.handle}, DEFAULT, 9, NOW)
    without = zone.version.edited([(ORIGIN, 48, 3600, [make_signer().key.dnskey])])
    assert before_live(SignedVersion(without, zone.plan), AT).is_held
