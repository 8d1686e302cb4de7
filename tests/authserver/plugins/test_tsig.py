"""The directive `tsig`, and the keys that `transfer` names."""

from base64 import b64encode

import pytest

from authserver import chain
from authserver.errors import CorefileErrors
from authserver.plugin import TRANSFER, TSIG
from zones.tsig import name_of

SECRET = bytes(range(32))
TEXT = b64encode(SECRET).decode()
NAME = b"\3xfr\7example\0"


def load(body, env=None, zone="example.org"):
    return chain.load(f"{zone} {{\nfile db.example.org\n{body}\n}}", env or {}).blocks[0]


def problems(body):
    with pytest.raises(CorefileErrors) as caught:
        load(body)
    return [str(problem) for problem in caught.value.problems]


def keys(block):
    return next(iter(block.offered(TSIG)))


def test_a_secret_is_of_sha256_where_nothing_else_is_said():
    ring = keys(load(f"tsig {{\nsecret XFR.example {TEXT}\nsecret other.example. {TEXT} hmac-sha512\n}}")).keyring
    found = ring.signing(NAME)
    assert (found.name, found.algorithm, found.secret) == ("xfr.example.", "hmac-sha256", SECRET)
    assert ring.signing(b"\5other\7example\0").algorithm == "hmac-sha512"


def test_a_secret_comes_from_the_environment():
    ring = keys(load("tsig {\nsecret xfr.example {$XFR_SECRET}\n}", {"XFR_SECRET": TEXT})).keyring
    assert ring.signing(NAME).secret == SECRET


def test_secrets_come_from_a_file_in_bind_s_syntax(tmp_path):
    file = tmp_path / "keys"
    file.write_text(f'key "xfr.example" {{ algorithm hmac-sha384; secret "{TEXT}"; }};\n')
    block = load(f"tsig {{\nsecrets {file}\n}}")
    assert [(key.algorithm, key.secret) for key in keys(block).keyring.named(NAME)] == [("hmac-sha384", SECRET)]


def test_a_file_that_can_t_be_read_is_an_error_at_its_line(tmp_path):
    assert problems(f"tsig {{\nsecrets {tmp_path}/none\n}}")[0].startswith(
        f"Corefile:4: tsig: secrets: {tmp_path}/none: can't be read"
    )


def test_two_secrets_of_a_name_are_in_their_order_and_three_are_too_many():
    second = b64encode(b"the secret that was before this.").decode()
    two = f"secret xfr.example {TEXT}\nsecret xfr.example {second}\n"
    ring = keys(load(f"tsig {{\n{two}}}")).keyring
    assert [key.secret for key in ring.named(NAME)] == [SECRET, b"the secret that was before this."]
    assert ring.signing(NAME).secret == SECRET
    assert problems(f"tsig {{\n{two}secret xfr.example {TEXT}\n}}") == [
        "Corefile:3: tsig: key xfr.example. has 3 secrets; 2 are the most"
    ]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("secret xfr.example c2VjcmV0!", "Corefile:4: tsig: secret: BASE64: it is not base64"),
        ('secret xfr.example ""', "Corefile:4: tsig: secret: BASE64: it is empty"),
        (f"secret xfr.example {TEXT} hmac-md5", "Corefile:4: tsig: secret: ALGORITHM: 'hmac-md5' is unknown"),
        (f"secret a.example {TEXT}\nrequire AXFR all", "Corefile:5: tsig: require: all and none stand alone"),
        (f"secret a.example {TEXT}\nrequire AFXR", "Corefile:5: tsig: require: QTYPE: 'AFXR' is no type"),
        (
            f"secret a.example {TEXT}\nrequire_opcode TELL",
            "Corefile:5: tsig: require_opcode: OPCODE: 'TELL' is no opcode",
        ),
        ("require AXFR", "Corefile:3: tsig: has no key; accepted: secret, secrets"),
    ],
)
def test_errors_have_their_line_and_no_secret(body, expected):
    found = problems(f"tsig {{\n{body}\n}}")
    assert found[0].startswith(expected)
    assert TEXT not in "".join(found)
    assert "c2VjcmV0" not in "".join(found)


@pytest.mark.parametrize(
    ("line", "is_direct"),
    [("", True), ("require", True), ("require none", True), ("require AXFR IXFR", True), ("require A", False),
     ("require all", False), ("require_opcode NOTIFY UPDATE", True), ("require_opcode QUERY", False)],
)  # fmt: skip
def test_only_what_the_engine_would_answer_makes_a_block_chained(line, is_direct):
    assert load(f"tsig {{\nsecret xfr.example {TEXT}\n{line}\n}}").is_direct is is_direct


def test_opcodes_are_known_by_their_names():
    block = load(f"tsig {{\nsecret xfr.example {TEXT}\nrequire_opcode NOTIFY UPDATE\n}}")
    assert keys(block).opcodes == {4, 5}


def test_transfer_names_keys_that_are_there():
    block = load(
        f"transfer {{\nto 192.0.2.1 * key Xfr.Example\nto 192.0.2.2\nalso 192.0.2.3:5300 key xfr.example\n}}\n"
        f"tsig {{\nsecret xfr.example {TEXT}\n}}"
    )
    (rule,) = block.offered(TRANSFER)
    assert [group.key for group in (*rule.to, *rule.also)] == [NAME, None, NAME]
    assert [target.port for target in rule.also[0].targets] == [5300]
    assert name_of(keys(block).keyring.signing(NAME)) == NAME


def test_a_key_that_is_not_there_is_an_error_at_its_line():
    assert problems("transfer {\nto 192.0.2.1 key xfr.example\n}") == [
        "Corefile:4: transfer: key xfr.example. is not defined; `tsig` of this server block has: none"
    ]
    with_other = f"tsig {{\nsecret other.example {TEXT}\n}}\ntransfer {{\nto * key xfr.example\n}}"
    assert problems(with_other) == [
        "Corefile:7: transfer: key xfr.example. is not defined; `tsig` of this server block has: other.example."
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("to * key", "to: 'key' needs a name; usage: transfer: to ADDRESS|PREFIX|*... [key NAME]"),
        ("to * key a key a", "to: 'key' stands twice"),
        ("to * key a.example 192.0.2.1", "to: '192.0.2.1' is no clause"),
        ("to key a.example", "to: ADDRESS|PREFIX|* is missing"),
        ("also *", "also: ADDRESS: '*' is not an address"),
        ("also 192.0.2.0/24", "also: ADDRESS: '192.0.2.0/24' is not an address"),
    ],
)
def test_lines_of_transfer_that_mean_nothing(line, reason):
    found = problems(f"tsig {{\nsecret a {TEXT}\n}}\ntransfer {{\nto 192.0.2.9\n{line}\n}}")
    assert found[0].startswith(f"Corefile:8: transfer: {reason}")
