import pytest

from authserver.plugin import SIGNING, SOURCES
from keys.policy import Denial


def denials(configuration):
    return [signing.denial for signing in configuration.offered(SIGNING)]


def zone(line=""):
    return f"example.org {{\nfile db.example.org\ndnssec {{\n{line}\n}}\n}}\n"


@pytest.mark.parametrize(
    ("line", "denial"),
    [
        ("", Denial()),
        ("denial nsec", Denial()),
        ("denial compact", Denial("compact")),
        ("denial nsec3", Denial("nsec3")),
        ("denial NSEC3 opt-out", Denial("nsec3", opt_out=True)),
        ("denial nsec3 salt AAbb iterations 5 opt-out", Denial("nsec3", True, 5, b"\xaa\xbb")),
        ("denial nsec3 salt - iterations 0", Denial("nsec3")),
    ],
)
def test_denial_is_what_the_line_says(load, line, denial):
    assert denials(load(zone(line))) == [denial]


def test_iterations_and_a_salt_are_warned_of(load):
    """RFC 9276 section 3.1."""
    warnings = [str(warning) for warning in load(zone("denial nsec3 iterations 1 salt aa")).warnings]
    iterations, salt = (warning for warning in warnings if "9276" in warning)
    assert iterations.startswith("Corefile:4: dnssec: denial: iterations 1: more work for everybody")
    assert salt == "Corefile:4: dnssec: denial: a salt is of no use (RFC 9276 section 3.1); leave it out"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("denial nsec opt-out", "'opt-out' belongs to nsec3 alone"),
        ("denial nsec3 opt-in", "'opt-in' is unknown; accepted: opt-out, iterations N, salt HEX"),
        ("denial nsec3 iterations 151", "'151' is not a number from 0 to 150"),
        ("denial nsec3 iterations", "'' is not a number from 0 to 150"),
        ("denial nsec3 salt xyz", "salt 'xyz' is not 1 to 255 octets in hexadecimal, nor -"),
        ("denial nsec3 salt " + "ab" * 256, "is not 1 to 255 octets in hexadecimal, nor -"),
    ],
)
def test_what_a_denial_can_not_have_is_an_error(errors, line, reason):
    (error,) = errors(zone(line))
    assert error.startswith("Corefile:4: dnssec: denial: ")
    assert reason in error


def test_presigned_is_a_matter_of_the_source(load):
    text = "example.org {{\nfile db.example.org {{\n{}\n}}\n}}\n"
    found = [load(text.format(line)).offered(SOURCES)[0].presigned for line in ("", "presigned warn", "presigned hold")]
    assert found == ["warn", "warn", "hold"]
