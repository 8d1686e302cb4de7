"""Every plugin has a manual with its sections, and every Corefile in a manual sets up."""

import re
from pathlib import Path

import pytest

from authserver import chain
from tests.certificates import Authority
from tests.keys.making import write_documented_key

PLUGINS = Path(__file__).parents[2] / "authserver/plugins"
NAMES = sorted(path.stem for path in PLUGINS.glob("*.py") if path.stem != "__init__")
SECTIONS = ["Name", "Description", "Syntax", "Examples", "Metrics", "Errors", "See also"]
OPTIONAL = {"Metrics"}


def examples():
    for path in sorted(PLUGINS.glob("*.md")):
        for number, text in enumerate(re.findall(r"```corefile\n(.*?)```", path.read_text(), re.DOTALL), 1):
            yield pytest.param(path.stem, text, id=f"{path.stem}-{number}")


@pytest.mark.parametrize("name", NAMES)
def test_a_plugin_has_a_manual_with_all_sections_in_order(name):
    text = (PLUGINS / f"{name}.md").read_text()
    assert text.startswith(f"# {name}\n")
    found = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert [section for section in SECTIONS if section not in OPTIONAL or section in found] == found
    assert f"*{name}* - " in text


@pytest.mark.parametrize("name", NAMES)
def test_a_manual_has_an_example(name):
    assert f"{name}" in "".join(re.findall(r"```corefile\n(.*?)```", (PLUGINS / f"{name}.md").read_text(), re.DOTALL))


@pytest.mark.parametrize("name", NAMES)
def test_a_manual_names_every_property_of_the_schema(name):
    pytest.importorskip(f"authserver.plugins.{name}", exc_type=ImportError)
    plugin = chain.directives.installed().plugin(name)
    assert plugin is not None
    properties = [word for word, schema in (plugin.schema.properties or {}).items() if not schema.ignored]
    text = (PLUGINS / f"{name}.md").read_text()
    assert [word for word in properties if f"`{word}" not in text and f"    {word}" not in text] == []


@pytest.fixture
def directory(tmp_path, monkeypatch):
    """Where what the examples name is to be found."""
    write_documented_key(tmp_path)
    Authority(tmp_path, "secondaries").certify("ns1.example.org", "server")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("directory")
@pytest.mark.parametrize(("name", "text"), list(examples()))
def test_every_corefile_in_a_manual_sets_up(name, text):
    for used in {name, *re.findall(r"^\s+(\w+)", text, re.MULTILINE)} & set(NAMES):
        pytest.importorskip(f"authserver.plugins.{used}", exc_type=ImportError)
    configuration = chain.load(text, {"HOME": "/home/example"}, file=f"{name}.md")
    assert configuration.blocks
