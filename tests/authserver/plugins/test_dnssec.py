from pathlib import Path

import pytest

from authserver.plugin import SIGNING, SOURCES
from keys.policy import BUILT_IN, DEFAULT, Denial
from tests.keys.making import ZSK, write_key


def policies(configuration):
    return [signing.policy for signing in configuration.offered(SIGNING)]


def denials(configuration):
    return [policy.denial for policy in policies(configuration)]


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


@pytest.fixture
def policy_file(tmp_path):
    """Write the file of policies that `policies` names."""
    path = tmp_path / "policies.yaml"

    def write(text):
        path.write_text(text)
        return path

    return write


def test_without_a_policy_it_is_the_default(load):
    assert policies(load(zone())) == [DEFAULT]


@pytest.mark.parametrize("name", BUILT_IN)
def test_what_comes_with_the_product_needs_no_file(load, name):
    assert policies(load(zone(f"policy {name}"))) == [BUILT_IN[name]]


def test_a_policy_is_found_in_the_file_below_the_root(load, policy_file):
    path = policy_file("""
stores: {hsm: {kind: pkcs11, module: /m.so, token: t}, other: {kind: pkcs11, module: /m.so, token: o}}
policies: {corp: {store: hsm, refresh: 6d}}
""")
    (signing,) = load(
        f"example.org {{\nroot {path.parent}\nfile db.example.org\n"
        "dnssec {\npolicies policies.yaml\npolicy corp\n}\n}\n"
    ).offered(SIGNING)
    assert (signing.policy.name, signing.policy.refresh) == ("corp", 6 * 86400)
    assert [(store.name, store.token) for store in signing.stores] == [("hsm", "t")]


def test_denial_of_the_corefile_overrides_that_of_the_policy(load, policy_file):
    path = policy_file("policies: {corp: {denial: {kind: nsec3, opt-out: true}, refresh: 6d}}")
    said = load(zone(f"policies {path}\npolicy corp")), load(zone(f"policies {path}\npolicy corp\ndenial compact"))
    assert [denials(configuration) for configuration in said] == [[Denial("nsec3", opt_out=True)], [Denial("compact")]]
    assert policies(said[1])[0].refresh == 6 * 86400


def test_an_unknown_policy_is_an_error_with_the_nearest_one(errors, policy_file):
    path = policy_file("policies: {corp: {}}")
    assert errors(zone(f"policies {path}\npolicy crop")) == [
        (
            "Corefile:5: dnssec: policy: 'crop' is unknown; did you mean 'corp'?; "
            "accepted: default, corporate, nsec3, insecure, corp"
        )
    ]


def test_a_file_is_read_once_and_everything_wrong_with_it_told_once(errors, policy_file):
    path = policy_file("policies:\n  corp: {refresch: 3d,\n    cds: alway}\n")
    text = f"{{\nfile db\ndnssec {{\npolicies {path}\npolicy nobody\n}}\n}}\n"
    found = errors(f"a.example {text}b.example {text}c.example {{\nno-such-plugin\n}}\n")
    assert [error.split(";")[0] for error in found] == [
        "Corefile:16: unknown directive 'no-such-plugin'",
        f"{path}:2:10: policy corp: 'refresch' is unknown",
        f"{path}:3:10: policy corp: cds: 'alway' is unknown",
    ]


def test_a_file_that_is_not_there_is_an_error(errors, tmp_path):
    path = tmp_path / "none.yaml"
    assert errors(zone(f"policies {path}\npolicy corp")) == [f"{path}: can't be read: No such file or directory"]


def test_warnings_of_the_file_are_shown(load, policy_file):
    path = policy_file("policies: {corp: {denial: {kind: nsec3, iterations: 5}}}")
    warnings = [str(warning) for warning in load(zone(f"policies {path}\npolicy corp")).warnings]
    assert f"{path}:1:53: policy corp: denial: iterations 5: more work for everybody" in " ".join(warnings)


def test_a_store_is_the_same_in_every_file(load, errors, tmp_path):
    for name, token in (("a", "t"), ("b", "t"), ("c", "other")):
        stores = f"stores: {{hsm: {{kind: pkcs11, module: /m.so, token: {token}}}}}\n"
        (tmp_path / f"{name}.yaml").write_text(stores + "policies: {corp: {store: hsm}}\n")

    def blocks(*names):
        body = f"file db\ndnssec {{\npolicies {tmp_path}/NAME.yaml\npolicy corp\n}}\n"
        return "".join(f"{name}.example {{\n{body.replace('NAME', name)}}}\n" for name in names)

    assert len(load(blocks("a", "b")).offered(SIGNING)) == 2
    assert errors(blocks("a", "c")) == [
        f"Corefile:11: dnssec: policies: store 'hsm' is another one in {tmp_path}/a.yaml than in {tmp_path}/c.yaml"
    ]


# -------------------------------------------------------------------- key files


def key_files(configuration):
    return [[key.tag for key in signing.policy.key_files] for signing in configuration.offered(SIGNING)]


def block(directory, *lines, origin="example.test"):
    body = "\n".join(lines)
    return f"{origin} {{\nroot {directory}\nfile db.example\ndnssec {{\n{body}\n}}\n}}\n"


def tag(stem):
    return int(stem.name[-5:])


@pytest.mark.parametrize("suffix", ["", ".key", ".private"])
def test_key_files_are_named_by_stem_or_by_either_file_relative_to_root(load, tmp_path, suffix):
    one, other = write_key(tmp_path), write_key(tmp_path)
    configuration = load(block(tmp_path, f"key file {one.name}{suffix} {other}{suffix}"))
    assert key_files(configuration) == [[tag(one), tag(other)]]


def test_key_lines_repeat_and_a_key_counts_once(load, tmp_path):
    one, other = write_key(tmp_path), write_key(tmp_path, flags=ZSK)
    lines = [f"key file {one.name}", f"key file {other.name} {one.name}.key"]
    assert key_files(load(block(tmp_path, *lines))) == [[tag(one), tag(other)]]


def test_a_key_that_others_can_read_is_warned_of(load, tmp_path):
    stem = write_key(tmp_path)
    Path(f"{stem}.private").chmod(0o644)
    warnings = [str(one) for one in load(block(tmp_path, f"key file {stem.name}")).warnings]
    reason = "permissions 0644 let others read the private key; 0600 would not"
    assert f"Corefile:5: dnssec: key: {stem}.private: {reason}" in warnings


def test_everything_that_is_wrong_with_key_files_is_told_at_its_line(errors, tmp_path):
    good, old, mixed = (write_key(tmp_path) for _ in range(3))
    stranger = write_key(tmp_path, "example.net.")
    for suffix in (".key", ".private"):
        path = Path(f"{old}{suffix}")
        path.write_text(path.read_text().replace(" 3 13 ", " 3 6 ").replace("Algorithm: 13", "Algorithm: 6"))
    Path(f"{mixed}.key").write_text(Path(f"{good}.key").read_text())
    lines = [f"key file {name}" for name in (good.name, "Kgone", old.name, mixed.name, stranger.name)]
    missing, unsupported, mismatched, unrelated = errors(block(tmp_path, *lines))
    assert missing == f"Corefile:6: dnssec: key: {tmp_path}/Kgone.key: no such file or directory"
    assert unsupported.startswith(
        f"Corefile:7: dnssec: key: {old}.private:2: algorithm 6 (DSA-NSEC3-SHA1) signs nothing here"
    )
    reason = "the private key is not the one of the public file"
    assert mismatched == f"Corefile:8: dnssec: key: {mixed}.private: {reason}"
    reason = "is a key of example.net., which can sign none of example.test."
    assert unrelated == f"Corefile:9: dnssec: key: {stranger}.private {reason}"


@pytest.mark.parametrize("line", ["key", "key file", "key aws_secretsmanager arn", "key directory /keys"])
def test_other_words_behind_key_are_refused(errors, tmp_path, line):
    (error,) = errors(block(tmp_path, line))
    assert error.startswith("Corefile:5: ")
