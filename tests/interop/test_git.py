"""The real server on git repositories: what is committed is live, and what a hostile one holds changes nothing that serves."""

import shutil
import time

import pytest

from tools.make_zone import write
from tools.repository import LINK, SUBMODULE, Entry, Repository
from tools.servers import Zonewright, wait_until

COREFILE = """.:{port} {{
    bind 127.0.0.1
    auto {{
        git {url} {{
            branch main
            path zones
            every 1s
        }}
        directory . (.*)\\.zone {{1}}
    }}
    dnssec
    transfer {{
        to *
    }}
}}
"""
ZONE = """$TTL 300
@ SOA ns1 hostmaster 1 7200 900 1209600 300
@ NS ns1
ns1 A 192.0.2.1
www A {address}
"""


def text(address: str = "192.0.2.80") -> str:
    """A little zone whose www has this address."""
    return ZONE.format(address=address)


@pytest.fixture
def repository(tmp_path):
    """Two zones in a bare repository."""
    made = Repository(tmp_path / "zones.git").create()
    made.commit({"zones/one.test.zone": text(), "zones/two.test.zone": text(), "README": "zones\n"})
    return made


@pytest.fixture
def server(run, repository) -> Zonewright:
    """Our server, following it."""
    corefile = COREFILE.format(url=repository.url, port="{port}").replace("{{1}}", "{1}")
    server = run(Zonewright, corefile=corefile)
    server.wait_served("one.test.")
    server.wait_served("two.test.")
    return server


def wait_address(server, zone: str, address: str, seconds: float = 10.0) -> None:
    """Until www of the zone has this address."""
    what = f"www.{zone} is {address}\n{server.new_log[-2000:]}"
    wait_until(lambda: server.texts("www." + zone) == [address], seconds, what)


def test_a_commit_goes_live_and_only_its_zone_changes(server, repository):
    before = server.serial("two.test.")
    repository.commit({"zones/one.test.zone": text("192.0.2.81")})
    wait_address(server, "one.test.", "192.0.2.81")
    assert server.serial("one.test.") > 1
    assert server.serial("two.test.") == before


def test_a_new_zone_appears_and_a_revert_raises_the_serial(server, repository):
    first = repository.head()
    repository.commit({"zones/one.test.zone": text("192.0.2.82"), "zones/three.test.zone": text()})
    server.wait_served("three.test.", 10)
    wait_address(server, "one.test.", "192.0.2.82")
    serial = server.serial("one.test.")
    repository.commit({"zones/one.test.zone": text()}, f"Revert to {first}")
    wait_address(server, "one.test.", "192.0.2.80")
    assert server.serial("one.test.") > serial


def test_a_broken_zone_is_held_and_the_rest_of_the_commit_goes_live(server, repository):
    repository.commit({"zones/one.test.zone": text("192.0.2.999"), "zones/two.test.zone": text("192.0.2.83")})
    wait_address(server, "two.test.", "192.0.2.83")
    assert server.texts("www.one.test.") == ["192.0.2.80"]
    wait_until(lambda: "one.test.zone:5" in server.new_log, 5, "held, with file and line\n" + server.new_log[-2000:])


def test_a_cold_start_without_the_network_serves_the_last_published_versions(server, repository, tmp_path):
    repository.commit({"zones/one.test.zone": text("192.0.2.84")})
    wait_address(server, "one.test.", "192.0.2.84")
    serial, keys = server.serial("one.test."), server.texts("one.test.", "DNSKEY")
    server.kill()
    shutil.move(repository.path, tmp_path / "away")
    server.start()
    wait_address(server, "one.test.", "192.0.2.84", 5)
    assert server.serial("one.test.") == serial
    assert server.texts("one.test.", "DNSKEY") == keys


def gone(repository, tmp_path):
    shutil.move(repository.path, tmp_path / "gone")


def emptied(repository, tmp_path):
    repository.commit({"zones/one.test.zone": None, "zones/two.test.zone": None})


def rewritten(repository, tmp_path):
    repository.commit({"zones/one.test.zone": text("192.0.2.66")}, "Another history", fresh=True)


def branch_deleted(repository, tmp_path):
    repository.git("update-ref", "-d", "refs/heads/main")


def link_to_passwd(repository, tmp_path):
    repository.commit({"zones/one.test.zone": Entry(LINK, b"/etc/passwd")})


def directory_is_a_link(repository, tmp_path):
    repository.commit({
        "zones/one.test.zone": None,
        "zones/two.test.zone": None,
        "zones": Entry(LINK, b"/etc"),
    })  # fmt: skip


def submodule(repository, tmp_path):
    repository.commit({
        ".gitmodules": '[submodule "x"]\n path = zones/x\n url = ext::sh -c touch% /tmp/zonewright-pwned\n',
        "zones/one.test.zone": Entry(SUBMODULE, b"1" * 40),
    })  # fmt: skip


def attributes_and_bad_zone(repository, tmp_path):
    repository.commit({
        ".gitattributes": "* text eol=crlf filter=evil ident\n*.zone working-tree-encoding=UTF-16\n",
        "zones/one.test.zone": "$INCLUDE /etc/passwd\n" + text("192.0.2.66"),
    })  # fmt: skip


def include_out_of_the_tree(repository, tmp_path):
    repository.commit({"zones/one.test.zone": text("192.0.2.66") + "$INCLUDE ../../../../../etc/passwd\n"})


def generate_bomb(repository, tmp_path):
    repository.commit({"zones/one.test.zone": text("192.0.2.66") + "$GENERATE 0-2000000000 h$ A 192.0.2.66\n"})


def huge_blob(repository, tmp_path):
    repository.commit({"zones/one.test.zone": b"; " + bytes(200_000_000)})


def not_a_zone(repository, tmp_path):
    repository.commit({"zones/one.test.zone": bytes(range(256)) * 50})


HOSTILE = [
    gone, emptied, rewritten, branch_deleted, link_to_passwd, directory_is_a_link, submodule,
    attributes_and_bad_zone, include_out_of_the_tree, generate_bomb, huge_blob, not_a_zone,
]  # fmt: skip


@pytest.mark.parametrize("deed", HOSTILE, ids=lambda deed: deed.__name__)
def test_a_hostile_repository_changes_nothing_that_serves_and_is_named_in_the_log(server, repository, tmp_path, deed):
    said = len(server.new_log)
    keys = server.texts("one.test.", "DNSKEY")
    deed(repository, tmp_path)
    wait_until(lambda: len(server.new_log) > said, 15, "something is said about it")
    time.sleep(2.5)
    assert server.texts("www.one.test.") == ["192.0.2.80"], server.new_log[said:]
    assert server.texts("www.two.test.") == ["192.0.2.80"], server.new_log[said:]
    assert server.texts("one.test.", "DNSKEY") == keys
    assert "root:" not in server.new_log, "a file of the machine is quoted in the log"
    assert "Traceback" not in server.new_log


def test_names_like_options_and_odd_names_do_no_harm(server, repository, tmp_path):
    evil = {
        "zones/--upload-pack=touch zonewright-pwned.zone": text(),
        "zones/-oProxyCommand=x.zone": text(),
        "zones/new\nline.zone": text(),
        "zones/$(touch zonewright-pwned).zone": text(),
        "zones/one.test.zone": text("192.0.2.85"),
    }
    repository.commit(evil)
    wait_address(server, "one.test.", "192.0.2.85")
    assert not list(tmp_path.rglob("zonewright-pwned"))
    assert "Traceback" not in server.new_log


def test_names_that_climb_out_of_a_tree_are_refused(server, repository, tmp_path):
    blob = repository.blob(text("192.0.2.66").encode())
    inner = f"100644 {'..'}".encode() + b"\0" + bytes.fromhex(blob)
    tree = repository.git("hash-object", "-t", "tree", "-w", "--literally", "--stdin", octets=inner)
    said = len(server.new_log)
    repository.commit_tree([("40000", tree, "zones")])
    wait_until(lambda: len(server.new_log) > said, 15, "something is said about it")
    time.sleep(1.5)
    assert server.texts("www.one.test.") == ["192.0.2.80"]


@pytest.mark.parametrize("url", ["--upload-pack=touch /tmp/x", "ext::sh -c id", "-u"])
def test_a_url_like_an_option_is_an_error_of_the_corefile(tmp_path, url):
    from tools.servers import NotStartedError

    corefile = COREFILE.format(url=f'"{url}"', port="{port}").replace("{{1}}", "{1}")
    server = Zonewright(directory=tmp_path / "server", corefile=corefile)
    with pytest.raises(NotStartedError, match="exit status 1") as caught:
        server.start()
    assert "Corefile:4" in caught.value.log


@pytest.mark.slow
def test_a_one_record_commit_to_a_large_zone_goes_live_and_its_time_is_said(run, tmp_path):
    """The time is printed, not asserted: machines differ. `git commit` to live includes up to a second of polling."""
    file = tmp_path / "large"
    with file.open("w") as out:
        write(out, "large.test.", 100_000)
    repository = Repository(tmp_path / "large.git").create()
    base = file.read_text()
    repository.commit({"zones/large.test.zone": base})
    corefile = COREFILE.format(url=repository.url, port="{port}").replace("{{1}}", "{1}")
    server = run(Zonewright, corefile=corefile, start_seconds=60)
    server.wait_served("large.test.", 60)
    for number in range(3):
        repository.commit({"zones/large.test.zone": base + f"added.large.test. 60 IN A 192.0.2.{number + 1}\n"})
        started = time.monotonic()
        wanted = [f"192.0.2.{number + 1}"]
        wait_until(lambda wanted=wanted: server.texts("added.large.test.") == wanted, 30, "the commit is live")
        print(f"one record in 100 000, commit {number + 1}: live after {time.monotonic() - started:.2f} s")


def test_several_blocks_may_follow_one_repository(run, repository):
    block = COREFILE.format(url=repository.url, port="{port}").replace("{{1}}", "{1}")
    origins = ("one.test.", "two.test.", "three.test.", "four.test.")
    repository.commit({f"zones/{origin}zone": text() for origin in origins})
    server = run(Zonewright, corefile="".join(block.replace(".:{port}", f"{one}:{{port}}") for one in origins))
    for number in range(81, 84):
        repository.commit({f"zones/{origin}zone": text(f"192.0.2.{number}") for origin in origins})
        for origin in origins:
            wait_address(server, origin, f"192.0.2.{number}")
    assert "refs/zonewright/candidate" not in server.new_log
    assert "No such file" not in server.new_log
