"""The directive `tls`: the certificates of listeners, and how servers are known."""

import pytest

from authserver import chain
from authserver.errors import CorefileErrors
from authserver.listeners import places_of, tls_of
from authserver.plugin import TLS, TLS_CLIENT
from tests.certificates import Authority


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    authority = Authority(tmp_path_factory.mktemp("tls"))
    return authority, authority.certify("ns.example")


def load(text):
    return chain.load(text, {})


def problems(text):
    with pytest.raises(CorefileErrors) as caught:
        load(text)
    return [str(problem) for problem in caught.value.problems]


def block(pair, more="", *, key="tls://example.org", ca="", body=""):
    return f"{key} {{\nbind 127.0.0.1\nwhoami\ntls {pair.certificate} {pair.key} {ca} {body}\n{more}\n}}\n"


def test_a_certificate_is_for_tls_places_alone(made):
    _, pair = made
    configuration = load(block(pair, key="tls://example.org example.org"))
    places = set(places_of(configuration.blocks[0]))
    assert places == {("127.0.0.1", 853, "tls"), ("127.0.0.1", 53, "dns")}
    assert set(tls_of(configuration)) == {("127.0.0.1", 853, "tls")}
    assert configuration.warnings == ()


@pytest.mark.parametrize(
    ("ca", "body", "auth"),
    [
        (False, "", "nocert"),
        (True, "", "require_and_verify"),
        (True, "{\nclient_auth verify_if_given\n}", "verify_if_given"),
    ],
)
def test_an_authority_means_that_clients_show_certificates(made, ca, body, auth):
    authority, pair = made
    configuration = load(block(pair, ca=authority.path if ca else "", body=body))
    assert configuration.blocks[0].offered(TLS)[0].files.client_auth == auth


def test_a_name_says_how_a_server_is_known(made):
    authority, pair = made
    body = f"{{\nca {authority.path}\nhostname other.example\ncert {pair.certificate} {pair.key}\n}}"
    loaded = load(f"example.org {{\nwhoami\ntls NS1.example. {body}\ntls ns2.example\n}}\n").blocks[0]
    first, second = loaded.offered(TLS_CLIENT)
    assert (first.name, first.hostname, first.ca) == ("ns1.example", "other.example", authority.path)
    assert (second.name, second.hostname, second.ca, second.own) == ("ns2.example", "ns2.example", None, None)


def test_what_can_t_be_used_is_an_error_at_its_line(made, tmp_path):
    authority, pair = made
    other = Authority(tmp_path, "other").certify("ns.example")
    junk = tmp_path / "junk"
    junk.write_text("no certificate")
    wrong = [
        (f"tls {tmp_path}/none {pair.key}", f"{tmp_path}/none: can't be read: No such file or directory"),
        (f"tls {pair.certificate} {other.key}", f"{pair.certificate}: can't be used: key values mismatch"),
        (f"tls {junk} {pair.key}", f"{junk}: can't be used"),
        (f"tls {pair.certificate} {pair.key} {junk}", f"{junk}: can't be used"),
        (f"tls ns.example {{\nca {tmp_path}/none\n}}", f"{tmp_path}/none: can't be read"),
        ("tls a b c d", "takes CERT KEY [CA] or one NAME, not 4 words"),
        (f"tls {pair.certificate} {pair.key} {{\nclient_auth require_and_verify\n}}", "needs a CA"),
        (f"tls {pair.certificate} {pair.key} {authority.path} {{\nclient_auth require\n}}", "without checking them"),
        (f"tls {pair.certificate} {pair.key} {{\nca {authority.path}\n}}", "ca is for a NAME alone"),
    ]
    for line, reason in wrong:
        found = problems(f"tls://example.org {{\nwhoami\n{line}\n}}\n")
        assert found[0].startswith(("Corefile:3: tls: ", "Corefile:4: tls: "))
        assert reason in found[0]


def test_tls_without_a_certificate_and_two_certificates_for_one_place_are_errors(made, tmp_path):
    _, pair = made
    assert problems("tls://example.org {\nwhoami\n}\n") == [
        "Corefile:1: key tls://example.org: tls:// needs a certificate; accepted: tls CERT KEY [CA]"
    ]
    other = Authority(tmp_path, "other").certify("ns.example")
    found = problems(block(pair) + block(other, key="tls://example.net"))
    assert found == ["Corefile:7: key tls://example.net: port 853 is tls:// with other files at Corefile:1"]
    assert len(problems(block(pair) + "example.net:853 {\nbind 127.0.0.1\nwhoami\n}\n")) == 1


def test_a_certificate_without_tls_is_a_warning(made):
    _, pair = made
    (warning,) = load(block(pair, key="example.org")).warnings
    assert "no key of this server block begins with tls://" in str(warning)


def test_transfer_names_clients_where_their_certificates_are_asked_for(made):
    authority, pair = made
    transfer = "file db.example.org\ntransfer {\nto 192.0.2.1 tls ns2.example\n}"
    found = problems(block(pair, transfer))
    assert found[0].startswith("Corefile:7: transfer: tls: no certificate is asked of clients here")
    assert load(block(pair, transfer, ca=authority.path)).blocks
