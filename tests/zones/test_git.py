"""What git is told, and what is refused before it is told anything."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zones.errors import GitError, GitRefusedError
from zones.git import (
    GitLimits,
    Snapshot,
    TreeEntry,
    configuration,
    environment,
    fetch_arguments,
    git_remote,
    ls_remote_arguments,
    ls_tree_arguments,
    object_header,
    parse_tip,
    parse_tree,
    tree_of_folder,
    url_scheme,
)

ID = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("url", "scheme"),
    [
        ("https://git.example.net/dns/zones.git", "https"),
        ("http://127.0.0.1:3000/zones", "http"),
        ("https://[2001:db8::1]:8443/zones.git", "https"),
        ("ssh://git@git.example.net:2222/zones.git", "ssh"),
        ("git@git.example.net:dns/zones.git", "ssh"),
        ("git.example.net:zones", "ssh"),
        ("git://git.example.net/zones", "git"),
        ("file:///srv/zones.git", "file"),
        ("/srv/zones.git", "file"),
    ],
)
def test_urls_that_are_taken(url: str, scheme: str) -> None:
    assert url_scheme(url) == scheme


@pytest.mark.parametrize(
    "url",
    [
        "",
        "-uhttps://x/",
        "--upload-pack=touch x",
        "ext::sh -c touch% /tmp/x",
        "ext::x",
        "fd::17",
        "https::https://x/",
        "https://x/a::b",
        "transport::https://[::1]/x",
        "ftp://x/zones",
        "HTTPS://x/zones",
        "https:///zones",
        "https://-x/zones",
        "ssh://-oProxyCommand=x/zones",
        "ssh://-oProxyCommand@x/zones",
        "-oProxyCommand=x:zones",
        "https://u:secret@x/zones",
        "https://x/zo nes",
        "https://x/zo\nnes",
        "https://x/zo\x00nes",
        "https://x/$HOME",
        "https://x/`id`",
        "file://host/zones",
        "relative/zones",
        "zones",
        "https://x:99999/zones",
        "https://" + "x" * 2048,
    ],
)
def test_urls_that_are_refused(url: str) -> None:
    with pytest.raises(GitRefusedError) as caught:
        url_scheme(url)
    assert caught.value.rule == "git-url"
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("ref", "full"),
    [
        ("main", "refs/heads/main"),
        ("feature/dns", "refs/heads/feature/dns"),
        ("refs/tags/v1.0", "refs/tags/v1.0"),
        ("refs/pull/7/head", "refs/pull/7/head"),
        ("HEAD", "HEAD"),
    ],
)
def test_refs_that_are_taken(ref: str, full: str) -> None:
    assert git_remote("/srv/zones.git", ref=ref).ref == full


@pytest.mark.parametrize(
    "ref",
    [
        "",
        "-x",
        "a b",
        "a..b",
        "a~1",
        "a^",
        "a:b",
        "a?",
        "a*",
        "a[",
        "a\\",
        "/a",
        "a/",
        "a//b",
        ".a",
        "a/.b",
        "a.lock",
        "a.lock/b",
        "a.",
        "@",
        "a@{1}",
        "a\nb",
        "a\x7f",
        "a/-b",
        "é\udce9",
    ],
)
def test_refs_that_are_refused(ref: str) -> None:
    with pytest.raises(GitRefusedError) as caught:
        git_remote("/srv/zones.git", ref=ref)
    assert caught.value.rule == "git-ref"


@pytest.mark.parametrize(("path", "kept"), [("", ""), (".", ""), ("zones", "zones"), ("./zones/a/", "zones/a")])
def test_folders_that_are_taken(path: str, kept: str) -> None:
    assert git_remote("/srv/zones.git", path=path).path == kept


@pytest.mark.parametrize("path", ["/zones", "..", "zones/../..", "a//b", "a/./b", ".git", "a\nb", "a\0b"])
def test_folders_that_are_refused(path: str) -> None:
    with pytest.raises(GitRefusedError) as caught:
        git_remote("/srv/zones.git", path=path)
    assert caught.value.rule == "git-path"


def test_only_the_transport_of_the_url_is_allowed_and_what_is_foreign_stands_last() -> None:
    remote = git_remote("https://git.example.net/zones.git", ref="main")
    for arguments in (fetch_arguments("/cache", remote), ls_remote_arguments("/cache", remote)):
        allowed = [word for word in arguments if word.startswith("protocol.")]
        assert allowed == ["protocol.allow=never", "protocol.https.allow=always"]
        assert arguments[-3:-1] == ["--", remote.url]
        assert {"core.hooksPath=/dev/null", "fetch.fsckObjects=true", "core.fsmonitor=false"} <= set(arguments)
    local = [word for word in ls_tree_arguments("/cache", ID) if word.startswith("protocol.")]
    assert local == ["protocol.allow=never"]


@pytest.mark.parametrize("text", ["", "HEAD", "-x", ID[:-1], ID + "\n", ID.upper(), ID + ":x"])
def test_only_object_ids_are_handed_on_as_such(text: str) -> None:
    with pytest.raises(ValueError, match="is not an object id"):
        ls_tree_arguments("/cache", text)


def test_the_environment_is_gits_own() -> None:
    remote = git_remote("ssh://git@x/zones", ssh_key="/etc/zonewright/key", known_hosts="/etc/zonewright/hosts")
    ours = {"PATH": "/bin", "GIT_DIR": "/x", "LD_PRELOAD": "/x", "HOME": "/root", "SSH_AUTH_SOCK": "/x", "EDITOR": "x"}
    made = environment(ours, "/empty", "/conf", remote)
    assert not {"GIT_DIR", "LD_PRELOAD", "SSH_AUTH_SOCK", "EDITOR"} & made.keys()
    assert (made["HOME"], made["GIT_CONFIG_GLOBAL"], made["GIT_CONFIG_NOSYSTEM"]) == ("/empty", "/conf", "1")
    assert "StrictHostKeyChecking=yes" in made["GIT_SSH_COMMAND"]
    assert "UserKnownHostsFile=/etc/zonewright/hosts" in made["GIT_SSH_COMMAND"]


def test_a_local_repository_is_safe_whoever_owns_it_and_no_other() -> None:
    text = configuration("/cache", git_remote("/srv/a.git"))
    assert '\tdirectory = "/srv/a.git"\n' in text
    assert "*" not in text
    assert "directory" in configuration("/cache", git_remote("https://x/y"))


def test_the_tip_is_of_exactly_the_ref() -> None:
    output = f"{'1' * 40}\trefs/heads/x/refs/heads/main\n{ID}\trefs/heads/main\nnonsense\trefs/heads/main\n".encode()
    assert parse_tip(output, "refs/heads/main") == ID
    assert parse_tip(output, "refs/heads/other") is None
    assert parse_tip(b"", "HEAD") is None


@given(st.binary(min_size=1, max_size=30).filter(lambda name: b"\0" not in name))
def test_names_in_trees_come_back_exact(name: bytes) -> None:
    record = f"100644 blob {ID}      12\t".encode() + name
    (entry,) = parse_tree(iter([record]))
    assert (entry.mode, entry.kind, entry.object_id, entry.size) == ("100644", "blob", ID, 12)
    assert entry.name.encode("utf-8", "surrogateescape") == name


def test_the_header_of_a_blob() -> None:
    assert object_header(TreeEntry("100644", "blob", ID, 12, "db.a")) == f"{ID} blob 12\n".encode()


def test_the_configured_folder_has_to_be_one() -> None:
    remote = git_remote("/srv/zones.git", path="zones")
    tree = TreeEntry("040000", "tree", ID, None, "zones")
    assert tree_of_folder(remote, ID, [tree]) == ID
    for wrong in (
        [],
        [TreeEntry("120000", "blob", ID, None, "zones")],
        [TreeEntry("160000", "commit", ID, None, "zones")],
    ):
        with pytest.raises(GitError) as caught:
            tree_of_folder(remote, ID, wrong)
        assert caught.value.rule == "git-path-missing"


@pytest.mark.parametrize(
    ("mode", "kind", "size", "rule"),
    [
        ("100644", "blob", 12, None),
        ("100755", "blob", 12, None),
        ("120000", "blob", 12, "git-symlink"),
        ("160000", "commit", None, "git-submodule"),
        ("100644", "blob", 101, "file-too-large"),
        ("100644", "blob", None, "file-too-large"),
        ("140000", "blob", 1, "file-not-regular"),
    ],
)
def test_which_entries_are_read(mode: str, kind: str, size: int | None, rule: str | None) -> None:
    entry = TreeEntry(mode, kind, ID, size, "db.example.org")
    snapshot = Snapshot(git_remote("/srv/zones.git"), ID, ID, {entry.name: entry})
    (listed,) = snapshot.listed(GitLimits(blob_octets=100))
    assert (listed.refused and listed.refused[0]) == rule
