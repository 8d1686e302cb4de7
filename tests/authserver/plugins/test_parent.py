"""What `parent` reads, and what it says of what it can't use."""

import pytest

from authserver import chain
from authserver.errors import CorefileErrors
from authserver.plugin import PARENT

KEY = 'key "push." { algorithm hmac-sha512; secret "c2VjcmV0"; };\n'


def load(body: str):
    text = "example.org {\n    file db.example.org\n    dnssec\n    parent {\n" + body + "    }\n}\n"
    return chain.load(text, {})


def rule(body: str):
    (found,) = load(body).blocks[0].offered(PARENT)
    return found


def refusal(body: str) -> str:
    with pytest.raises(CorefileErrors) as caught:
        load(body)
    return str(caught.value)


def test_everything_is_read(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("// of the parent\n" + KEY)
    found = rule(
        "resolver 127.0.0.1 [::1]:5353\nservers 192.0.2.1\nservers 192.0.2.2:54\nanchor org.anchor\npoll 10m\n"
        f"notify 192.0.2.3:55\npush 192.0.2.4 key push {keys}\nhook /bin/tell --now\n"
    )
    assert found.resolvers == (("127.0.0.1", 53), ("::1", 5353))
    assert found.servers == (("192.0.2.1", 53), ("192.0.2.2", 54))
    assert (found.poll, found.notified, found.hook) == (600, (("192.0.2.3", 55),), ("/bin/tell", "--now"))
    assert found.anchor.name == "org.anchor"
    assert (found.push.address, found.push.port) == ("192.0.2.4", 53)
    assert (found.push.key.name, found.push.key.algorithm, found.push.key.secret) == ("push.", "hmac-sha512", b"secret")
    assert "secret" not in repr(found.push.key)


def test_without_more_it_asks_once_an_hour_and_tells_nobody():
    found = rule("resolver 127.0.0.1\n")
    assert (found.poll, found.push, found.hook, found.notified) == (3600, None, (), ())


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("poll 1h\n", "Corefile:4: parent: it names neither a resolver nor servers"),
        ("servers 192.0.2.1\npoll 1s\n", "parent: poll is below 10 s"),
        (
            "servers 192.0.2.1\npush 192.0.2.1 push\n",
            "Corefile:6: parent: push: after the address comes `key NAME FILE`",
        ),
        ("servers 192.0.2.1\npush 192.0.2.1 key push /nowhere\n", "/nowhere: can't be read"),
    ],
)
def test_what_it_can_t_use_is_said_at_its_line(body, reason):
    assert reason in refusal(body)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "has no key; accepted:"),
        ('key push { secret "%%%"; };', "key push: its secret is not base64"),
        ("key push { algorithm hmac-sha256; };", "key push: has no secret"),
        ('key push { algorithm md5; secret "c2U="; };', "algorithm 'md5' is unknown; accepted: hmac-sha1"),
        ('key other { secret "c2U="; };', "has no key push; it has other."),
    ],
)
def test_a_file_of_keys_that_can_t_be_used_is_named(tmp_path, text, reason):
    file = tmp_path / "keys"
    file.write_text(text)
    assert reason in refusal(f"servers 192.0.2.1\npush 192.0.2.1 key push {file}\n")
