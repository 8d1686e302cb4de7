import pytest

from authserver.plugin import LISTEN


def test_addresses_and_interfaces_add_up(load):
    (block,) = load(". {\nbind 127.0.0.1 lo\nbind 2001:DB8::0:1 {\nexcept 127.0.0.2 eth0\n}\n}\n").blocks
    assert block.addresses == ("127.0.0.1", "lo", "2001:db8::1")
    assert [listen.excluded for listen in block.offered(LISTEN)] == [(), ("127.0.0.2", "eth0")]
    assert block.is_direct


def test_a_link_local_address_keeps_its_scope(load):
    assert load(". {\nbind fe80::1%eth0\n}\n").blocks[0].addresses == ("fe80::1%eth0",)


@pytest.mark.parametrize("word", ["300.0.0.1", "127.0.0.1:53", "1.2", "fe80:::1", "10.0.0.0/8", "a" * 16])
def test_what_can_be_neither_is_an_error(errors, word):
    assert errors(f". {{\nbind {word}\n}}\n") == [
        f"Corefile:2: bind: ADDRESS|INTERFACE: '{word}' is not an IP address or the name of an interface"
    ]


def test_bind_needs_an_argument(errors):
    assert errors(". {\nbind\n}\n")[0].startswith("Corefile:2: bind: ADDRESS|INTERFACE is missing")
