"""The `update` directive: what it offers, and what it refuses at FILE:LINE."""

import pytest

from authserver.errors import CorefileErrors
from authserver.plugin import SOURCES, UPDATES
from engine import name_from_text

KEYS = "tsig {\nsecret k.example.org NoTCJU+DMqFWywaPyxSijrDEA/eC3nK0xi3AMEZuPVk=\n}\n"
FILE = "file db.example.org\n"


def block(*lines, head=""):
    return f"example.org {{\n{head}update {{\n" + "\n".join(lines) + "\n}\n}\n"


def problems(load, *lines, head=""):
    with pytest.raises(CorefileErrors) as raised:
        load(block(*lines, head=head))
    return [str(problem) for problem in raised.value.problems]


def test_without_an_overlay_the_zone_is_update_s(load):
    configuration = load(block("initial db.example.org", "allow 192.0.2.1"))
    (source,) = configuration.offered(SOURCES)
    assert (source.kind, source.origins) == ("update", (name_from_text("example.org"),))
    (rule,) = configuration.offered(UPDATES)
    assert not rule.updating.is_overlay


def test_an_overlay_leaves_the_zone_to_its_source(load):
    configuration = load(block("overlay _acme-challenge.*", "allow * key k.example.org type TXT", head=FILE + KEYS))
    assert [source.kind for source in configuration.offered(SOURCES)] == ["file"]
    (rule,) = configuration.offered(UPDATES)
    assert rule.updating.holds(name_from_text("_acme-challenge.www.example.org"))
    assert rule.rules[0].keys == (name_from_text("k.example.org"),)


@pytest.mark.parametrize(
    ("lines", "head", "said"),
    [
        (["allow 192.0.2.1"], FILE, "Corefile:3: update: example.org. is of `file`"),
        (["overlay x.example.org"], "", "no zone in this server block"),
        (["overlay x.example.net"], FILE, "in none of the zones"),
        (["overlay self"], FILE, "self is for `allow`"),
        (["overlay a.*.b.*"], FILE, "more than one *"),
        (["initial f", "overlay x.example.org"], FILE, "not both"),
        (["allow key nobody"], "", "key nobody. is not defined"),
        (["allow name www"], "", "neither who"),
        (["allow 192.0.2.300"], "", "no address, prefix or *"),
        (["allow 192.0.2.1 type RRSIG"], "", "made by the signer"),
        (["allow 192.0.2.1 type NONSENSE"], "", "type NONSENSE is unknown"),
        (["allow 192.0.2.1 name"], "", "nothing is named after name"),
        (["permit 192.0.2.1"], "", "property 'permit' is unknown"),
    ],
)
def test_what_it_refuses(load, lines, head, said):
    assert said in "\n".join(problems(load, *lines, head=head))


def test_what_it_warns_of(load):
    warned = [str(one) for one in load(block("initial db")).warnings]
    assert any("nobody may update it" in one for one in warned)
    warned = [str(one) for one in load(block("initial db", "allow *")).warnings]
    assert any("* without a key is everybody" in one for one in warned)
