"""Two open versions that share signatures: what is verified for one of them counts for both."""

import engine
from keys import private

ORIGIN = engine.name_from_text("example.test.")
NOW = 1_800_000_000
TEXT = "@ 300 SOA ns1 h 1 2 3 4 5\n@ 300 NS ns1\nns1 300 A 192.0.2.1\na 300 A 192.0.2.2\n"
DNSKEY = 48


def test_a_version_can_be_sealed_when_its_predecessor_was_verified_after_it_was_made():
    pkcs8, dnskey = private.generate(13)
    key = engine.SigningKey(pkcs8, dnskey)
    plan = engine.SigningPlan([(key, True, True)], inception=NOW - 3600, expiration=NOW + 14 * 86400, carry_until=NOW)

    def version(text: str, previous: engine.Version | None = None) -> engine.Version:
        built, findings = engine.Version.build(engine.read_zone(ORIGIN, [("zone", text.encode())]), previous)
        assert built, findings
        return built.edited([(ORIGIN, DNSKEY, 300, [dnskey])])

    older = engine.SignedVersion(version(TEXT), plan)
    assert older.make(10**7)
    newer = engine.SignedVersion(version(TEXT + "b 300 A 192.0.2.3\n"), plan, older)
    assert older.verify(10**7, NOW)
    assert newer.make(10**7)
    assert newer.verify(10**7, NOW)
    newer.seal()
    assert newer.is_sealed
