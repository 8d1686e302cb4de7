"""What git is told and what it answers: a remote as configured, argument lists, the environment, results parsed.

Nothing is run here. A *cache* is a bare repository of ours, one for each remote, with no work tree: objects are
fetched into it and read by id, so that links, attributes, filters, hooks and submodules of what was fetched have
nothing to act on. *Candidate* is the ref the last fetch left.

Invariants: every list begins with the same locks; what comes from outside stands behind `--` or was checked by this
file to be a URL, a ref or an object id; only the transport of the configured URL is allowed.
Limits: no partial clones yet, so that the whole history is fetched once; repositories of SHA-1 objects only.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from zones.errors import GitError, GitRefusedError, SourceError
from zones.naming import Entry, is_showable, shown
from zones.source import Provenance

OnRewrite: TypeAlias = Literal["hold", "follow"]

SCHEMES: Final = frozenset({"https", "http", "ssh", "git", "file"})
CANDIDATE: Final = "refs/zonewright/candidate"
MAX_URL: Final = 2048
OBJECT_ID: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
SCP_LIKE: Final = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9._-]*@)?[A-Za-z0-9][A-Za-z0-9.-]*:(?!//)[^:].*")

REGULAR_MODES: Final = frozenset({"100644", "100755", "100664"})
LINK_MODE: Final = "120000"
SUBMODULE_MODE: Final = "160000"
TREE_MODE: Final = "040000"

PASSED_ON: Final = (
    "PATH",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
)
"""What git's environment takes from ours: how to find programs, proxies and certificates."""


@dataclass(frozen=True, slots=True)
class GitLimits:
    """What following a repository may cost: octets, counts, seconds."""

    entries: int = 100_000
    blob_octets: int = 256 << 20
    pack_octets: int = 2 << 30
    answer_octets: int = 64 << 20
    memory_octets: int = 4 << 30
    cpu_seconds: int = 900
    network_seconds: int = 120
    first_fetch_seconds: int = 3600
    local_seconds: int = 60


@dataclass(frozen=True, slots=True)
class GitRemote:
    """A repository as configured, checked: made by `git_remote` only."""

    url: str
    scheme: str
    ref: str
    path: str = ""
    on_rewrite: OnRewrite = "hold"
    ssh_key: str | None = None
    known_hosts: str | None = None

    @property
    def name(self) -> str:
        """What names this source in the state and in the name of its cache: URL, ref and path."""
        return f"{self.url}#{self.ref}:{self.path}"

    @property
    def cache_name(self) -> str:
        """The cache's directory name; every path of one URL and ref has the same objects, but its own cache."""
        return hashlib.sha256(self.name.encode()).hexdigest()[:24] + ".git"

    @property
    def is_tag(self) -> bool:
        """Whether the ref is one that is not expected to move."""
        return self.ref.startswith("refs/tags/")

    @property
    def local_path(self) -> str | None:
        """The repository's path on this machine, if it is on it."""
        if self.scheme != "file":
            return None
        return urllib.parse.unquote(self.url.removeprefix("file://")) if "://" in self.url else self.url


def git_remote(
    url: str,
    *,
    ref: str = "HEAD",
    path: str = "",
    on_rewrite: OnRewrite = "hold",
    ssh_key: str | None = None,
    known_hosts: str | None = None,
) -> GitRemote:
    """The remote of a URL (or absolute local path), a ref (`HEAD`, `refs/…`, or a branch's name) and a folder in it.

    Raises GitRefusedError for what git could take for something else, and for what is not to be allowed.
    """
    scheme = url_scheme(url)
    _check_ref(url, ref)
    full = ref if ref == "HEAD" or ref.startswith("refs/") else f"refs/heads/{ref}"
    return GitRemote(url, scheme, full, _checked_path(url, path), on_rewrite, ssh_key, known_hosts)


def url_scheme(url: str) -> str:
    """The transport of a URL; `file` for local paths. Raises GitRefusedError."""
    reason = _url_fault(url)
    if reason is not None:
        raise GitRefusedError(shown(url), "git-url", reason)
    if url.startswith("/"):
        return "file"
    return urllib.parse.urlsplit(url).scheme if "://" in url else "ssh"


def _url_fault(url: str) -> str | None:
    """Why a URL is refused, None if it isn't."""
    if not url or len(url) > MAX_URL:
        return f"a URL has 1 to {MAX_URL} characters"
    if url.startswith("-"):
        return "it begins with a hyphen, which git would take for an option"
    if not is_showable(url) or any(sign in url for sign in " \\\"'`$"):
        return "it has spaces, quotes or control characters"
    # `ext::`, `fd::` and the like start programs (git-remote-ext).
    if "::" in url and not re.match(r"[a-z]+://[^/]*\[[0-9A-Fa-f:.]+\]", url):
        return "it has '::', which would choose a transport helper"
    if url.startswith("/"):
        return None
    if "://" not in url:
        return None if SCP_LIKE.fullmatch(url) else "it is neither a URL, nor HOST:PATH, nor an absolute path"
    return _authority_fault(url)


def _authority_fault(url: str) -> str | None:
    """Why a URL with a scheme is refused, None if it isn't."""
    try:
        parts = urllib.parse.urlsplit(url)
        host, password, _ = parts.hostname, parts.password, parts.port
    except ValueError as error:
        return str(error).lower()
    if parts.scheme not in SCHEMES or not url.startswith(f"{parts.scheme}://"):
        return f"its scheme is none of {' '.join(sorted(SCHEMES))}"
    if password is not None:
        return "it has a password, which every list of processes and every log would show"
    if parts.scheme == "file":
        return "a file URL names no host" if host or not parts.path.startswith("/") else None
    if not host or host.startswith("-") or (parts.username or "").startswith("-"):
        return "it names no host"
    return None


def _check_ref(url: str, ref: str) -> None:
    """The rules of git-check-ref-format(1), and no hyphen at the beginning. Raises GitRefusedError."""
    parts = ref.split("/")
    if (
        not ref
        or ref == "@"
        or ref.startswith("-")
        or ref.endswith(".")
        or ".." in ref
        or "@{" in ref
        or any(not part or part.startswith((".", "-")) or part.endswith(".lock") for part in parts)
        or re.search(r"[\x00-\x20\x7f~^:?*\[\\]", ref)
        or not is_showable(ref)
    ):
        raise GitRefusedError(url, "git-ref", f"{shown(ref)!r} is not the name of a branch, tag or ref")


def _checked_path(url: str, path: str) -> str:
    """A folder inside the repository without slashes around it. Raises GitRefusedError."""
    trimmed = "" if path in (".", "./") else path.removeprefix("./").strip("/")
    parts = trimmed.split("/") if trimmed else []
    if path.startswith("/") or not is_showable(path) or any(part in ("", ".", "..", ".git") for part in parts):
        raise GitRefusedError(url, "git-path", f"{shown(path)!r} is not a folder inside the repository")
    return trimmed


# Arguments.


def _locked(cache: str, scheme: str | None) -> list[str]:
    """The beginning of every command: no hooks, no helpers, no transport but the one."""
    locks = {
        "core.hooksPath": "/dev/null",
        "core.fsmonitor": "false",
        "core.attributesFile": "/dev/null",
        "core.protectHFS": "true",
        "core.protectNTFS": "true",
        "core.alternateRefsCommand": "true",
        "core.askPass": "true",
        "credential.helper": "",
        "fetch.fsckObjects": "true",
        "transfer.fsckObjects": "true",
        "fetch.recurseSubmodules": "false",
        "submodule.recurse": "false",
        "fetch.unpackLimit": "1",
        "fetch.writeCommitGraph": "false",
        "transfer.bundleURI": "false",
        "gc.auto": "0",
        "maintenance.auto": "false",
        "http.followRedirects": "false",
        "http.lowSpeedLimit": "100",
        "http.lowSpeedTime": "30",
        "pack.threads": "1",
        "log.showSignature": "false",
        "advice.detachedHead": "false",
        "protocol.allow": "never",
    }
    if scheme is not None:
        locks[f"protocol.{scheme}.allow"] = "always"
    arguments = ["git", "--no-pager", "--no-replace-objects", "--literal-pathspecs", f"--git-dir={cache}"]
    for name, value in locks.items():
        arguments += ["-c", f"{name}={value}"]
    return arguments


def init_arguments(cache: str) -> list[str]:
    """Make an empty cache, with no template, and so without hooks."""
    return [*_locked(cache, None), "init", "--quiet", "--bare", "--template="]


def ls_remote_arguments(cache: str, remote: GitRemote) -> list[str]:
    """Ask for the tip alone: what a poll costs while nothing changes."""
    return [*_locked(cache, remote.scheme), "ls-remote", "--quiet", "--", remote.url, remote.ref]


def fetch_arguments(cache: str, remote: GitRemote) -> list[str]:
    """Fetch the ref's whole history into the candidate; whether it moves forward is looked at afterwards."""
    return [
        *_locked(cache, remote.scheme),
        "fetch",
        "--quiet",
        "--no-tags",
        "--no-recurse-submodules",
        "--no-write-fetch-head",
        "--no-auto-gc",
        "--no-progress",
        "--",
        remote.url,
        f"+{remote.ref}:{CANDIDATE}",
    ]


def commit_arguments(cache: str) -> list[str]:
    """The commit the candidate stands for, tags peeled."""
    return [*_locked(cache, None), "rev-parse", "--verify", "--quiet", "--end-of-options", f"{CANDIDATE}^{{commit}}"]


def ancestry_arguments(cache: str, ancestor: str, descendant: str) -> list[str]:
    """Exit status 0 if the first is an ancestor of the second, 1 if it isn't, others if it is not even there."""
    return [*_locked(cache, None), "merge-base", "--is-ancestor", _id(ancestor), _id(descendant)]


def folder_arguments(cache: str, commit: str, path: str) -> list[str]:
    """The entry of the configured folder."""
    return [*_locked(cache, None), "ls-tree", "-z", "--full-tree", _id(commit), "--", path]


def ls_tree_arguments(cache: str, tree: str) -> list[str]:
    """All files below a tree with their sizes; names come exact, ended by NUL."""
    return [*_locked(cache, None), "ls-tree", "-r", "-l", "-z", "--full-tree", _id(tree)]


def cat_file_arguments(cache: str) -> list[str]:
    """A process that reads object ids on its standard input and writes the objects."""
    return [*_locked(cache, None), "cat-file", "--batch"]


def repack_arguments(cache: str) -> list[str]:
    """One pack of all that the candidate reaches; what it doesn't goes."""
    return [*_locked(cache, None), "repack", "-a", "-d", "-q"]


def _id(text: str) -> str:
    if not OBJECT_ID.fullmatch(text):
        raise ValueError(f"{text!r} is not an object id")
    return text


# The environment and the one configuration file git reads.


def environment(ours: Mapping[str, str], home: str, configuration: str, remote: GitRemote) -> dict[str, str]:
    """Git's whole environment; `ours` is what little is taken from (PASSED_ON), `home` an empty directory."""
    return {name: ours[name] for name in PASSED_ON if name in ours} | {
        "HOME": home,
        "XDG_CONFIG_HOME": home,
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": configuration,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "true",
        "SSH_ASKPASS": "true",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_SSH_COMMAND": _ssh_command(remote),
        "GIT_SSH_VARIANT": "ssh",
    }


def _ssh_command(remote: GitRemote) -> str:
    """An ssh that asks nothing, forwards nothing, and talks to known hosts only."""
    options = ["BatchMode=yes", "StrictHostKeyChecking=yes", "ClearAllForwardings=yes", "ConnectTimeout=15"]
    options += ["ServerAliveInterval=15", "ServerAliveCountMax=3"]
    if remote.known_hosts is not None:
        options += [f"UserKnownHostsFile={remote.known_hosts}", "GlobalKnownHostsFile=/dev/null"]
    if remote.ssh_key is not None:
        options += [f"IdentityFile={remote.ssh_key}", "IdentitiesOnly=yes"]
    return shlex.join(["ssh", "-F", "/dev/null", *(word for option in options for word in ("-o", option))])


def configuration(cache: str, remote: GitRemote) -> str:
    """The text of the one configuration file git reads.

    A repository on this machine may belong to somebody else (a forge's user): the operator named it, so it is safe
    to read; git hands no `-c` on to the process that reads there, hence the file.
    """
    places = [cache]
    if remote.local_path is not None:
        local = remote.local_path.rstrip("/")
        for place in (local, os.path.realpath(local)):
            places += [place, f"{place}/.git", f"{place}.git"]
    lines = ["[safe]", *(f"\tdirectory = {_quoted(place)}" for place in dict.fromkeys(places))]
    return "\n".join(lines) + "\n"


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


# Results.


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """A file of a tree; the name has surrogates where its octets are not UTF-8, `size` is None for submodules."""

    mode: str
    kind: str
    object_id: str
    size: int | None
    name: str


def parse_tip(output: bytes, ref: str) -> str | None:
    """The object id `ls-remote` gives for exactly this ref, None when it has none."""
    for line in output.decode("utf-8", "surrogateescape").split("\n"):
        object_id, _, name = line.partition("\t")
        if name == ref and OBJECT_ID.fullmatch(object_id):
            return object_id
    return None


def parse_tree(records: Iterator[bytes]) -> Iterator[TreeEntry]:
    """Entries of `ls-tree -z`, with or without `-l`, as they come. Raises ValueError for what git never says."""
    for record in records:
        facts, _, name = record.partition(b"\t")
        mode, kind, object_id, *size = facts.decode("ascii").split()
        octets = int(size[0]) if size and size[0].isdigit() else None
        yield TreeEntry(mode, kind, _id(object_id), octets, name.decode("utf-8", "surrogateescape"))


def object_header(entry: TreeEntry) -> bytes:
    """What `cat-file --batch` writes before a blob's octets; one newline follows them."""
    return f"{entry.object_id} {entry.kind} {entry.size}\n".encode()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A commit's files below the configured folder, named relative to it. `tip` is what the ref pointed at."""

    remote: GitRemote
    tip: str
    commit: str
    entries: Mapping[str, TreeEntry]

    def listed(self, limits: GitLimits) -> list[Entry]:
        """The files for `zones.naming.scan`; refused ones with their rule."""
        return [Entry(name, entry_refusal(entry, limits)) for name, entry in self.entries.items()]

    def provenance(self, name: str) -> Provenance:
        """Where the zone of a file comes from."""
        remote = self.remote
        return Provenance(
            f"{remote.url}#{remote.ref}",
            self.commit,
            self.entries[name].object_id,
            f"{remote.path}/{name}" if remote.path else name,
        )

    def readable(self, name: str, limits: GitLimits) -> TreeEntry:
        """The entry of a regular file. Raises SourceError."""
        entry = self.entries.get(name)
        if entry is None:
            raise SourceError(name, "file-missing", f"it is not in commit {self.commit[:12]}")
        refusal = entry_refusal(entry, limits)
        if refusal is not None:
            raise SourceError(name, *refusal)
        return entry


def entry_refusal(entry: TreeEntry, limits: GitLimits) -> tuple[str, str] | None:
    """Why an entry is not read, as (rule, reason); None if it is."""
    if entry.mode == LINK_MODE:
        return "git-symlink", "it is a symbolic link, which is not followed in a repository"
    if entry.mode == SUBMODULE_MODE or entry.kind == "commit":
        return "git-submodule", "it is a submodule, which is not fetched"
    if entry.kind != "blob" or entry.mode not in REGULAR_MODES:
        return "file-not-regular", f"its mode is {entry.mode}"
    if entry.size is None or entry.size > limits.blob_octets:
        return "file-too-large", f"{entry.size} octets, over the limit of {limits.blob_octets}"
    return None


def tree_of_folder(remote: GitRemote, commit: str, entries: list[TreeEntry]) -> str:
    """The tree id of the configured folder out of `folder_arguments`' answer. Raises GitError."""
    for entry in entries:
        if entry.name == remote.path and entry.kind == "tree" and entry.mode == TREE_MODE:
            return entry.object_id
        if entry.name == remote.path:
            raise GitError(remote.url, "git-path-missing", f"in commit {commit[:12]} {remote.path!r} is no folder")
    raise GitError(remote.url, "git-path-missing", f"commit {commit[:12]} has no folder {remote.path!r}")
