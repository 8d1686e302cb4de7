"""Following real git repositories, hostile ones too; each is made in a temporary directory by the real git."""

import asyncio
import http.server
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from authserver.gitrun import GitCache, one_line, remove_leftovers
from zones.errors import GitError, GitRewrittenError, SourceError
from zones.git import GitLimits, Snapshot, git_remote
from zones.naming import naming, scan
from zones.source import ABSENT, is_unchanged, read_candidate

ORIGIN = b"\x07example\x03org\x00"
ZONE = "@ 3600 SOA ns admin 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n"
SMALL = GitLimits(entries=50, blob_octets=10_000, network_seconds=20)


class Repository:
    """A bare repository that commits are written into by plumbing, so that anything can be in them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.git("init", "--quiet", "--bare", "--initial-branch=main", str(path), where=path.parent)

    def git(self, *words: str, octets: bytes = b"", where: Path | None = None) -> str:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.path.parent),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "Ada",
            "GIT_AUTHOR_EMAIL": "ada@example.org",
            "GIT_AUTHOR_DATE": "1700000000 +0000",
            "GIT_COMMITTER_NAME": "Ada",
            "GIT_COMMITTER_EMAIL": "ada@example.org",
            "GIT_COMMITTER_DATE": "1700000000 +0000",
        }
        done = subprocess.run(
            ["git", *words], cwd=where or self.path, env=environment, input=octets, capture_output=True, check=True
        )
        return done.stdout.decode().strip()

    def blob(self, content: str | bytes) -> str:
        octets = content.encode() if isinstance(content, str) else content
        return self.git("hash-object", "-w", "--stdin", octets=octets)

    def tree(self, entries: dict[bytes, tuple[str, str]]) -> str:
        """A tree of (mode, object id) by name; names with a slash make subtrees."""
        lines = bytearray()
        below: dict[bytes, dict[bytes, tuple[str, str]]] = {}
        for name, (mode, object_id) in entries.items():
            head, slash, rest = name.partition(b"/")
            if slash:
                below.setdefault(head, {})[rest] = (mode, object_id)
            else:
                lines += self._line(mode, object_id, name)
        for name, inner in below.items():
            lines += self._line("040000", self.tree(inner), name)
        return self.git("mktree", "-z", "--missing", octets=bytes(lines))

    @staticmethod
    def _line(mode: str, object_id: str, name: bytes) -> bytes:
        kind = {"040000": "tree", "160000": "commit"}.get(mode, "blob")
        return f"{mode} {kind} {object_id}\t".encode() + name + b"\0"

    def commit_tree(self, tree: str, *, parent: str | None = None, ref: str = "refs/heads/main") -> str:
        words = ["commit-tree", tree, "-m", "Change zones", *(["-p", parent] if parent else [])]
        commit = self.git(*words)
        self.git("update-ref", ref, commit)
        return commit

    def commit(self, files: dict[str, str | bytes], *, parent: str | None = None, ref: str = "refs/heads/main") -> str:
        """A commit of exactly these files."""
        tree = self.tree({os.fsencode(name): ("100644", self.blob(content)) for name, content in files.items()})
        return self.commit_tree(tree, parent=parent, ref=ref)


@pytest.fixture
def origin(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "zones.git")


def cache_of(repository: Repository, tmp_path: Path, **options: object) -> GitCache:
    limits = options.pop("limits", SMALL)
    remote = git_remote(str(options.pop("url", repository.path)), **options)  # type: ignore[arg-type]
    return GitCache(remote, tmp_path / "state" / "git", limits=limits)  # type: ignore[arg-type]


def poll(cache: GitCache, served: str | None = None) -> Snapshot | None:
    return asyncio.run(cache.poll(served))


def taken(cache: GitCache, served: str | None = None) -> Snapshot:
    snapshot = poll(cache, served)
    assert snapshot is not None
    cache.accept(snapshot)
    return snapshot


def test_the_files_of_the_tip_are_listed_and_read_by_object_id(origin: Repository, tmp_path: Path) -> None:
    commit = origin.commit({"zones/db.example.org": ZONE, "README": "x"})
    cache = cache_of(origin, tmp_path, ref="main", path="zones")
    snapshot = taken(cache)
    assert (snapshot.commit, list(snapshot.entries)) == (commit, ["db.example.org"])
    with cache.blobs(snapshot) as blobs:
        candidate = read_candidate(
            blobs, "db.example.org", ORIGIN, includes=True, provenance=snapshot.provenance("db.example.org")
        )
        assert is_unchanged(blobs, candidate.stamps)
    assert not candidate.is_held
    assert candidate.provenance is not None
    assert candidate.provenance.file == "zones/db.example.org"
    assert candidate.provenance.blob == snapshot.entries["db.example.org"].object_id


def test_without_a_ref_the_repository_says_which_branch(origin: Repository, tmp_path: Path) -> None:
    commit = origin.commit({"db.example.org": ZONE})
    assert taken(cache_of(origin, tmp_path)).commit == commit


@pytest.mark.parametrize("form", ["file://{}", "{}/"])
def test_local_urls(origin: Repository, tmp_path: Path, form: str) -> None:
    commit = origin.commit({"db.example.org": ZONE})
    assert taken(cache_of(origin, tmp_path, url=form.format(origin.path))).commit == commit


def test_a_repository_of_another_user_is_read(origin: Repository, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    commit = origin.commit({"db.example.org": ZONE})
    for folder, _, files in os.walk(origin.path):
        for path in (folder, *(f"{folder}/{name}" for name in files)):
            os.chown(path, 65534, 65534)
    assert taken(cache_of(origin, tmp_path)).commit == commit


def test_a_work_tree_is_followed_too(tmp_path: Path) -> None:
    tree = tmp_path / "work"
    tree.mkdir()
    helper = Repository(tmp_path / "other.git")
    helper.git("init", "--quiet", "--initial-branch=main", ".", where=tree)
    (tree / "db.example.org").write_text(ZONE)
    helper.git("add", ".", where=tree)
    helper.git("commit", "--quiet", "-m", "First", where=tree)
    assert list(taken(cache_of(helper, tmp_path, url=tree)).entries) == ["db.example.org"]


def test_nothing_new_costs_one_process(origin: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    origin.commit({"db.example.org": ZONE})
    cache = cache_of(origin, tmp_path)
    snapshot = taken(cache)
    started = []
    real = asyncio.create_subprocess_exec

    async def counted(*words: str, **options: object) -> asyncio.subprocess.Process:
        started.append(words)
        return await real(*words, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", counted)
    assert poll(cache, snapshot.commit) is None
    assert len(started) == 1


def test_what_was_not_accepted_is_given_again(origin: Repository, tmp_path: Path) -> None:
    origin.commit({"db.example.org": ZONE})
    cache = cache_of(origin, tmp_path)
    assert poll(cache) is not None
    assert poll(cache) is not None


def test_a_new_commit_is_seen_and_unchanged_files_keep_their_ids(origin: Repository, tmp_path: Path) -> None:
    first = origin.commit({"db.example.org": ZONE, "db.example.net": ZONE})
    cache = cache_of(origin, tmp_path)
    before = taken(cache)
    second = origin.commit({"db.example.org": ZONE + "x A 192.0.2.2\n", "db.example.net": ZONE}, parent=first)
    after = taken(cache, first)
    assert after.commit == second
    changed = [name for name in after.entries if after.entries[name] != before.entries[name]]
    assert changed == ["db.example.org"]


def test_a_rewritten_history_is_held_and_said_again_without_fetching(origin: Repository, tmp_path: Path) -> None:
    first = origin.commit({"db.example.org": ZONE})
    cache = cache_of(origin, tmp_path)
    taken(cache)
    other = origin.commit({"db.example.org": ZONE + "evil A 192.0.2.66\n"})
    for _ in range(2):
        with pytest.raises(GitRewrittenError) as caught:
            poll(cache, first)
        assert (caught.value.rule, caught.value.served, caught.value.tip) == ("git-rewritten", first, other)
    healed = origin.commit({"db.example.org": ZONE}, parent=first)
    assert taken(cache, first).commit == healed


def test_an_older_commit_is_a_rewrite(origin: Repository, tmp_path: Path) -> None:
    first = origin.commit({"db.example.org": ZONE})
    second = origin.commit({"db.example.org": ZONE + "\n"}, parent=first)
    cache = cache_of(origin, tmp_path)
    taken(cache)
    origin.git("update-ref", "refs/heads/main", first)
    with pytest.raises(GitRewrittenError):
        poll(cache, second)


def test_a_rewrite_is_seen_with_a_new_cache_too(origin: Repository, tmp_path: Path) -> None:
    origin.commit({"db.example.org": ZONE})
    with pytest.raises(GitRewrittenError):
        poll(cache_of(origin, tmp_path), "1" * 40)


def test_a_rewritten_history_is_followed_where_that_is_the_policy(origin: Repository, tmp_path: Path) -> None:
    first = origin.commit({"db.example.org": ZONE})
    cache = cache_of(origin, tmp_path, on_rewrite="follow")
    taken(cache)
    other = origin.commit({"db.example.org": ZONE + "\n"})
    assert taken(cache, first).commit == other


def test_a_tag_that_moves_is_held_although_it_moves_forward(origin: Repository, tmp_path: Path) -> None:
    first = origin.commit({"db.example.org": ZONE}, ref="refs/tags/v1")
    cache = cache_of(origin, tmp_path, ref="refs/tags/v1")
    taken(cache)
    origin.commit({"db.example.org": ZONE + "\n"}, parent=first, ref="refs/tags/v1")
    with pytest.raises(GitRewrittenError):
        poll(cache, first)


def test_an_annotated_tag_stands_for_its_commit(origin: Repository, tmp_path: Path) -> None:
    commit = origin.commit({"db.example.org": ZONE})
    origin.git("tag", "-a", "v1", "-m", "Version", commit)
    cache = cache_of(origin, tmp_path, ref="refs/tags/v1")
    assert taken(cache).commit == commit
    assert poll(cache, commit) is None


@pytest.mark.parametrize(
    ("ruin", "rule"),
    [
        (lambda origin: shutil.rmtree(origin.path), "git-unreachable"),
        (lambda origin: origin.git("update-ref", "-d", "refs/heads/main"), "git-ref-missing"),
        (lambda origin: origin.commit_tree(origin.tree({})), "git-path-missing"),
        (lambda origin: origin.commit({"other/db.example.org": ZONE}), "git-path-missing"),
        (lambda origin: origin.commit({"zones": ZONE}), "git-path-missing"),
        (lambda origin: origin.commit({f"zones/{n}": ZONE for n in range(51)}), "git-too-many-entries"),
        (
            lambda origin: origin.commit_tree(origin.tree({b"zones": ("120000", origin.blob("/etc"))})),
            "git-path-missing",
        ),
    ],
    ids=["gone", "branch gone", "emptied", "folder gone", "folder a file", "too many files", "folder a link"],
)
def test_what_can_not_be_taken_is_a_named_error(
    origin: Repository, tmp_path: Path, ruin: Callable[[Repository], object], rule: str
) -> None:
    first = origin.commit({"zones/db.example.org": ZONE})
    cache = cache_of(origin, tmp_path, ref="main", path="zones", on_rewrite="follow")
    taken(cache)
    ruin(origin)
    with pytest.raises(GitError) as caught:
        poll(cache, first)
    assert caught.value.rule == rule


def test_an_empty_commit_is_an_error_and_not_zero_zones(origin: Repository, tmp_path: Path) -> None:
    origin.commit_tree(origin.tree({}))
    with pytest.raises(GitError, match="holds no file") as caught:
        poll(cache_of(origin, tmp_path))
    assert caught.value.rule == "git-empty"


def test_a_repository_that_comes_back_goes_on(origin: Repository, tmp_path: Path) -> None:
    first = origin.commit({"db.example.org": ZONE})
    cache = cache_of(origin, tmp_path)
    taken(cache)
    origin.path.rename(tmp_path / "away.git")
    with pytest.raises(GitError):
        poll(cache, first)
    (tmp_path / "away.git").rename(origin.path)
    assert poll(cache, first) is None


def test_links_and_submodules_are_refused_by_name_and_hold_their_zone(origin: Repository, tmp_path: Path) -> None:
    entries = {
        b"db.link.example": ("120000", origin.blob("/etc/passwd")),
        b"db.module.example": ("160000", "1" * 40),
        b"db.example.org": ("100644", origin.blob(ZONE)),
        b".gitmodules": ("100644", origin.blob('[submodule "x"]\n\tpath = db.module.example\n\turl = ./x\n')),
    }
    origin.commit_tree(origin.tree(entries))
    cache = cache_of(origin, tmp_path)
    snapshot = taken(cache)
    result = scan(snapshot.listed(SMALL), naming(), [])
    assert list(result.zones) == [ORIGIN]
    rules = {one.file: one.rule for one in result.findings}
    assert rules == {"db.link.example": "git-symlink", "db.module.example": "git-submodule"}
    with cache.blobs(snapshot) as blobs, pytest.raises(SourceError, match="symbolic link"):
        blobs.read("db.link.example")


def test_attributes_change_no_octet(origin: Repository, tmp_path: Path) -> None:
    text = ZONE + "; $Id$\n"
    origin.commit({".gitattributes": "* text eol=crlf ident working-tree-encoding=UTF-16\n", "db.example.org": text})
    cache = cache_of(origin, tmp_path)
    snapshot = taken(cache)
    with cache.blobs(snapshot) as blobs:
        assert blobs.read("db.example.org")[1] == text.encode()


def test_names_come_exact_whatever_is_in_them(origin: Repository, tmp_path: Path) -> None:
    blob = origin.blob(ZONE)
    names = [b"--upload-pack=touch x", b"db.new\nline", b"db.caf\xe9.example", b"db.EXAMPLE.org", b"db.example.org"]
    origin.commit_tree(origin.tree(dict.fromkeys(names, ("100644", blob))))
    snapshot = taken(cache_of(origin, tmp_path))
    assert {os.fsencode(name) for name in snapshot.entries} == set(names)
    result = scan(snapshot.listed(SMALL), naming(), [])
    assert not result.zones
    assert sorted(one.rule for one in result.findings) == [
        "duplicate-origin",
        "duplicate-origin",
        "file-name",
        "file-name",
    ]


def test_a_big_blob_holds_its_zone_and_is_not_read(origin: Repository, tmp_path: Path) -> None:
    origin.commit({"db.example.org": ZONE, "db.big.example": b"\0" * 2_000_000})
    cache = cache_of(origin, tmp_path)
    snapshot = taken(cache)
    result = scan(snapshot.listed(SMALL), naming(), [])
    assert list(result.zones) == [ORIGIN]
    assert [one.rule for one in result.findings] == ["file-too-large"]
    with cache.blobs(snapshot) as blobs:
        assert blobs.stamp("db.big.example") == ABSENT


def test_a_tree_bomb_is_cut_off_early(origin: Repository, tmp_path: Path) -> None:
    blob = origin.blob("x")
    tree = origin.tree({b"%d" % n: ("100644", blob) for n in range(10)})
    for _ in range(9):
        tree = origin.tree({b"%d" % n: ("040000", tree) for n in range(10)})
    origin.commit_tree(tree)
    with pytest.raises(GitError) as caught:
        poll(cache_of(origin, tmp_path))
    assert caught.value.rule == "git-too-many-entries"


def test_a_pack_over_the_limit_is_not_taken_and_leaves_nothing(origin: Repository, tmp_path: Path) -> None:
    origin.commit({"db.example.org": os.urandom(3_000_000)})
    cache = cache_of(origin, tmp_path, limits=GitLimits(pack_octets=1_000_000))
    with pytest.raises(GitError) as caught:
        poll(cache)
    assert caught.value.rule in {"git-too-large", "git-unreachable"}
    assert not list((tmp_path / "state" / "git").rglob("tmp_*"))


def test_a_malformed_tree_is_refused(origin: Repository, tmp_path: Path) -> None:
    blob = bytes.fromhex(origin.blob(ZONE))
    raw = b"100644 .git\0" + blob
    tree = origin.git("hash-object", "-t", "tree", "-w", "--stdin", "--literally", octets=raw)
    origin.commit_tree(tree)
    with pytest.raises(GitError) as caught:
        poll(cache_of(origin, tmp_path))
    assert caught.value.rule == "git-malformed"


def test_includes_stay_in_the_folder_of_the_commit(origin: Repository, tmp_path: Path) -> None:
    files = {
        "zones/db.example.org": ZONE + "$INCLUDE parts/a\n$INCLUDE ../secret\n$INCLUDE /etc/passwd\n",
        "zones/parts/a": "a A 192.0.2.3\n",
        "secret": "hunter2\n",
    }
    origin.commit(dict(files))
    cache = cache_of(origin, tmp_path, path="zones")
    snapshot = taken(cache)
    with cache.blobs(snapshot) as blobs:
        candidate = read_candidate(blobs, "db.example.org", ORIGIN, includes=True)
    missing = [(one.file, one.line) for one in candidate.findings if one.rule == "include-missing"]
    assert missing == [("db.example.org", 5), ("db.example.org", 6)]
    assert ("parts/a", snapshot.entries["parts/a"].object_id) in candidate.stamps
    assert not any("hunter2" in one.message for one in candidate.findings)


def test_a_pointer_of_lfs_is_named(origin: Repository, tmp_path: Path) -> None:
    origin.commit({"db.example.org": "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"})
    cache = cache_of(origin, tmp_path)
    with cache.blobs(taken(cache)) as blobs, pytest.raises(SourceError) as caught:
        read_candidate(blobs, "db.example.org", ORIGIN, includes=False)
    assert caught.value.rule == "git-lfs-pointer"


def test_a_reader_that_was_closed_reads_no_more_and_its_git_is_gone(origin: Repository, tmp_path: Path) -> None:
    origin.commit({"db.example.org": ZONE})
    cache = cache_of(origin, tmp_path)
    with cache.blobs(taken(cache)) as blobs:
        assert blobs.read("db.example.org")[1] == ZONE.encode()
        process = blobs._process
    assert process is not None
    assert process.returncode is not None
    with pytest.raises(SourceError, match="any more"):
        blobs.read("db.example.org")


def test_a_git_that_dies_between_two_reads_is_started_again(origin: Repository, tmp_path: Path) -> None:
    origin.commit({"db.example.org": ZONE})
    cache = cache_of(origin, tmp_path)
    with cache.blobs(taken(cache)) as blobs:
        blobs.read("db.example.org")
        assert blobs._process is not None
        blobs._process.kill()
        with pytest.raises(SourceError) as caught:
            blobs.read("db.example.org")
        assert caught.value.rule == "git-blob"
        assert blobs.read("db.example.org")[1] == ZONE.encode()


def test_threads_read_from_one_reader(origin: Repository, tmp_path: Path) -> None:
    files = {f"db.z{number}.example": ZONE + f"; {number}\n" * number for number in range(40)}
    origin.commit(dict(files))
    cache = cache_of(origin, tmp_path)
    with cache.blobs(taken(cache)) as blobs, ThreadPoolExecutor(8) as threads:
        read = threads.map(lambda name: blobs.read(name)[1].decode(), files)
        assert list(read) == list(files.values())


def test_hooks_and_configuration_of_the_repository_run_nothing(origin: Repository, tmp_path: Path) -> None:
    witness = tmp_path / "ran"
    for hook in ("post-checkout", "pre-receive", "post-update", "reference-transaction", "fsmonitor"):
        path = origin.path / "hooks" / hook
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\ntouch {witness}\n")
        path.chmod(0o755)
    origin.git("config", "uploadpack.packObjectsHook", f"touch {witness}; exit 1; :")
    origin.git("config", "core.fsmonitor", f"touch {witness}")
    origin.commit({"db.example.org": ZONE})
    witness.unlink(missing_ok=True)
    taken(cache_of(origin, tmp_path))
    assert not witness.exists()


def test_the_callers_git_environment_is_not_handed_on(
    origin: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = origin.commit({"db.example.org": ZONE})
    for name, value in {
        "GIT_DIR": "/nonexistent",
        "GIT_OBJECT_DIRECTORY": "/nonexistent",
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": "/nonexistent",
        "GIT_CONFIG_COUNT": "bad",
        "GIT_EXEC_PATH": "/nonexistent",
    }.items():
        monkeypatch.setenv(name, value)
    assert taken(cache_of(origin, tmp_path)).commit == commit


def test_a_damaged_cache_is_made_anew(origin: Repository, tmp_path: Path) -> None:
    first = origin.commit({"db.example.org": ZONE})
    cache = cache_of(origin, tmp_path)
    taken(cache)
    for pack in (tmp_path / "state" / "git").rglob("*.pack"):
        pack.chmod(0o600)
        pack.write_bytes(b"PACK" + b"\0" * 100)
    second = origin.commit({"db.example.org": ZONE + "\n"}, parent=first)
    assert taken(cache, first).commit == second


def test_leftovers_of_a_killed_fetch_are_removed(tmp_path: Path) -> None:
    for name in ("objects/pack/tmp_pack_x", "objects/00/tmp_obj_x", "refs/zonewright/candidate.lock", "config.lock"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "objects/tmp_objdir-incoming-x/pack").mkdir(parents=True)
    remove_leftovers(tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file() or "tmp_" in path.name] == []


def test_a_remote_that_hangs_is_given_up_and_its_processes_end(tmp_path: Path) -> None:
    async def given_up() -> GitError:
        async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(30)
            writer.close()

        server = await asyncio.start_server(hang, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        remote = git_remote(f"git://127.0.0.1:{port}/zones.git")
        cache = GitCache(remote, tmp_path / "git", limits=GitLimits(network_seconds=1))
        try:
            with pytest.raises(GitError) as caught:
                await cache.poll(None)
        finally:
            server.close()
        return caught.value

    assert asyncio.run(given_up()).rule == "git-timeout"


def test_the_commits_facts_are_read(origin: Repository, tmp_path: Path) -> None:
    commit = origin.commit({"db.example.org": ZONE})
    cache = cache_of(origin, tmp_path)
    taken(cache)
    facts = cache.facts(commit)
    assert (facts.author, facts.committed_at, facts.subject) == ("Ada <ada@example.org>", 1_700_000_000, "Change zones")


def test_complaints_are_one_printable_line() -> None:
    assert one_line(b"\nerror: bad \x1b[0m thing\nfatal: x\nhint: y\n") == "bad \\027[0m thing; x"
    assert one_line(b"") == ""


def test_many_commits_leave_few_packs(origin: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("authserver.gitrun.PACKS", 3)
    cache = cache_of(origin, tmp_path)
    parent = None
    for number in range(6):
        commit = origin.commit({"db.example.org": ZONE + f"; {number}\n"}, parent=parent)
        taken(cache, parent)
        parent = commit
    assert len(list((tmp_path / "state" / "git").rglob("*.pack"))) <= 3


@contextmanager
def http_server(answer: Callable[[http.server.BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """A server on loopback whose answers a test makes; its URL."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def simple(status: int, **headers: str) -> Callable[[http.server.BaseHTTPRequestHandler], None]:
    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()

    return answer


def test_a_repository_over_http_is_followed(origin: Repository, tmp_path: Path) -> None:
    first = origin.commit({"db.example.org": ZONE})

    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        path = origin.path.parent / request.path.partition("?")[0].lstrip("/")
        octets = path.read_bytes() if path.is_file() else None
        request.send_response(404 if octets is None else 200)
        request.end_headers()
        request.wfile.write(octets or b"")

    with http_server(answer) as url:
        origin.git("update-server-info")
        cache = cache_of(origin, tmp_path, url=f"{url}/zones.git")
        assert taken(cache).commit == first
        second = origin.commit({"db.example.org": ZONE + "\n"}, parent=first)
        origin.git("update-server-info")
        assert taken(cache, first).commit == second


@pytest.mark.parametrize(
    ("answer", "rule"),
    [
        (simple(401, WWW_Authenticate='Basic realm="x"'), "git-authentication"),
        (simple(403), "git-unreachable"),
        (simple(500), "git-unreachable"),
        (simple(302, Location="file:///etc"), "git-unreachable"),
        (simple(302, Location="http://127.0.0.1:1/zones.git/info/refs"), "git-unreachable"),
    ],
    ids=["password wanted", "forbidden", "broken", "sent to a file", "sent elsewhere"],
)
def test_a_forge_that_refuses_is_a_named_error_at_once(
    origin: Repository,
    tmp_path: Path,
    answer: Callable[[http.server.BaseHTTPRequestHandler], None],
    rule: str,
) -> None:
    with http_server(answer) as url:
        start = time.monotonic()
        with pytest.raises(GitError) as caught:
            poll(cache_of(origin, tmp_path, url=f"{url}/zones.git"))
        assert time.monotonic() - start < 10
    assert caught.value.rule == rule


def test_a_repository_over_gits_own_protocol_is_followed(origin: Repository, tmp_path: Path) -> None:
    commit = origin.commit({"db.example.org": ZONE})
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = ["git", "daemon", "--export-all", "--listen=127.0.0.1", f"--port={port}", f"--base-path={tmp_path}"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    daemon = subprocess.Popen(words, env=environment, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        assert taken(cache_of(origin, tmp_path, url=f"git://127.0.0.1:{port}/zones.git")).commit == commit
    finally:
        os.killpg(daemon.pid, 9)
        daemon.wait()
