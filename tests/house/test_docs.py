"""What the documentation says is so: examples are accepted, links lead somewhere, commands exist, the example starts."""

import os
import re
import socket
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from keys import policyfile
from keys.policy import BUILT_IN
from keys.policywords import ELSEWHERE, POLICY_WORDS
from tests.certificates import Authority
from tests.keys.making import write_documented_key
from tools.servers import LOOPBACK, Zonewright, wait_until, zonewright

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
MANUALS = sorted((ROOT / "authserver/plugins").glob("*.md"))
FENCE = re.compile(r"^```corefile\n(.*?)^```", re.MULTILINE | re.DOTALL)
YAML = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
ZONE = "$TTL 300\n@ SOA ns1 hostmaster 1 2 3 4 5\n@ NS ns1\nns1 A 192.0.2.1\n"


def examples():
    """Every corefile fence of the documentation with its page's files of policies, by page and number."""
    for page in [*PAGES, *MANUALS]:
        for number, text in enumerate(FENCE.findall(page.read_text()), 1):
            yield pytest.param(text, policies(page), id=f"{page.relative_to(ROOT)}#{number}")


def policies(page):
    """The fences of a page that are files of policies."""
    return [text for text in YAML.findall(page.read_text()) if "policies:" in text]


@pytest.mark.parametrize(("text", "files"), list(examples()))
def test_a_corefile_of_the_documentation_is_accepted(tmp_path, text, files):
    if "policies.yaml" in text:
        (tmp_path / "policies.yaml").write_text(files[0])
    (tmp_path / "zones").mkdir()
    (tmp_path / "zones/example.org.zone").write_text(ZONE)
    text = text.replace("/etc/zonewright/zones", str(tmp_path / "zones"))
    for name in set(re.findall(r"\bdb\.[a-z.]+", text)):
        (tmp_path / name).write_text(ZONE)
    write_documented_key(tmp_path)
    Authority(tmp_path, "secondaries").certify("ns1.example.org", "server")
    (tmp_path / "Corefile").write_text(text)
    done = zonewright("check", "Corefile", cwd=tmp_path, env={**os.environ, "ZONEWRIGHT_PORT": "5300"})
    assert done.returncode == 0, text + done.stdout + done.stderr


@pytest.mark.parametrize("text", policies(ROOT / "docs/manual/policies.md"))
def test_a_file_of_policies_of_the_manual_is_accepted_and_its_built_in_ones_are_ours(text):
    for name, policy in policyfile.parse(text, "policies.yaml").policies.items():
        if name.endswith("-in-words"):
            built_in = BUILT_IN[name.removesuffix("-in-words")]
            assert replace(policy, name=built_in.name) == built_in


def test_the_manual_has_every_word_of_policies_and_what_others_call_it():
    text = (ROOT / "docs/manual/policies.md").read_text()
    assert [word for word in [*POLICY_WORDS, *ELSEWHERE] if f"`{word}`" not in text] == []


@pytest.mark.parametrize("page", [*PAGES, *MANUALS], ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_that_are_there(page):
    prose = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", prose)
    lost = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert lost == []


def test_the_files_named_in_the_table_of_rfcs_are_there():
    named = set(
        re.findall(r"`((?:engine|zones|keys|signer|authserver|tests)/[^`]+)`", (ROOT / "docs/rfc.md").read_text())
    )
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_every_make_target_that_is_named_exists():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    named = {target for page in PAGES for target in re.findall(r"`make ([a-z]+)|^\$ make ([a-z]+)", page.read_text())}
    assert {word for pair in named for word in pair if word} <= targets


def test_each_make_target_is_a_line_or_three():
    recipes = re.split(r"\n\n", (ROOT / "Makefile").read_text())
    assert [text for text in recipes if len([line for line in text.splitlines() if line.startswith("\t")]) > 3] == []


COMMANDS = re.findall(
    r"^\$ zonewright (\w+)(?: (\w+))?", (ROOT / "docs/manual/command-line.md").read_text(), re.MULTILINE
)


def test_help_names_every_command_of_the_manual():
    done = zonewright("--help")
    assert done.returncode == 0
    for command in {first for first, _ in COMMANDS}:
        assert re.search(rf"\b{command}\b", done.stdout), command


@pytest.mark.parametrize("group", ["zone", "key", "policy"])
def test_help_of_a_group_names_its_commands(group):
    done = zonewright(group, "--help")
    assert done.returncode == 0
    for command in {second for first, second in COMMANDS if first == group}:
        assert re.search(rf"\b{command}\b", done.stdout), command


def test_wrong_usage_exits_2():
    assert zonewright("no-such-command").returncode == 2
    assert zonewright("serve", "--no-such-option").returncode == 2


def test_the_corefile_example_passes_its_check():
    done = zonewright("check", "Corefile.example", cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def taken(port: int) -> bool:
    """Whether somebody has the port."""
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


class Example(Zonewright):
    """Corefile.example as it stands, from the root of the repository."""

    def command(self) -> list[str]:
        words = super().command()
        words[words.index("--conf") + 1] = "Corefile.example"
        return ["/usr/bin/env", "-C", str(ROOT), *words]


def test_the_corefile_example_starts_as_it_is_and_answers(run):
    busy = [port for port in (1053, 1080, 1081, 1153) if taken(port)]
    if busy:
        pytest.skip(f"ports of Corefile.example are taken: {busy}")
    server = run(Example, port=1053)
    server.wait_served("corp.example.")
    assert server.texts("mail.corp.example.") == ["192.0.2.25"]
    for url in ("http://127.0.0.1:1080/health", "http://127.0.0.1:1081/ready", "http://127.0.0.1:1153/metrics"):
        fetched = subprocess.run(["curl", "-sS", "-f", url], capture_output=True, text=True, timeout=10, check=False)
        assert fetched.returncode == 0, url + fetched.stderr


def test_the_tour_of_the_readme_goes_as_it_says(run, tmp_path):
    readme = (ROOT / "README.md").read_text()
    zone = re.search(r"^\$ cat > zones/example\.org\.zone <<'END'\n(.*?)^END$", readme, re.MULTILINE | re.DOTALL)
    assert zone
    directory = tmp_path / "tour"
    (directory / "zones").mkdir(parents=True)
    (directory / "zones/example.org.zone").write_text(zone[1])
    text = FENCE.findall(readme)[0]
    server = run(Zonewright, directory=directory, corefile=text.replace(":5300", ":{port}"))
    server.wait_served("example.org.")
    assert "192.0.2.25" in server.texts("www.example.org.")
    for words in (["key", "ds", "example.org"], ["zone", "list"]):
        assert server.control(*words).returncode == 0
    server.wait_sealed("example.org.")
    assert "RRSIG" in server.dump("example.org")
    broken = zone[1] + "www A 192.0.2.300\n"
    (directory / "zones/example.org.zone").write_text(broken)
    line = broken.count("\n")
    wait_until(lambda: f"example.org.zone:{line}:" in server.new_log, 5, "the log says why\n" + server.new_log)
    assert "192.0.2.25" in server.texts("www.example.org.")
