"""A bare git repository that tests and the demo commit zone files to, with an author and a clock of its own.

Commits are made with plumbing (hash-object, update-index, write-tree, commit-tree, update-ref), so that a tree may hold
what no `git add` would put there: links out of the tree, submodules, names that look like options.
"""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FILE = "100644"
LINK = "120000"
SUBMODULE = "160000"


@dataclass(frozen=True, slots=True)
class Entry:
    """A tree entry that is more than a plain file: its mode and its octets (for SUBMODULE: an object id)."""

    mode: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Repository:
    """The bare repository at `path`; `branch` is what commits go to."""

    path: Path
    branch: str = "main"

    @property
    def url(self) -> str:
        return f"file://{self.path}"

    def create(self) -> "Repository":
        """Make it, empty."""
        self.git("init", "--bare", "--quiet", f"--initial-branch={self.branch}", str(self.path), repository=False)
        return self

    def git(self, *arguments: str, octets: bytes = b"", index: Path | None = None, repository: bool = True) -> str:
        """One git command; its output without the last newline."""
        environment = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": str(self.path.parent),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_AUTHOR_NAME": "Hostmaster",
            "GIT_AUTHOR_EMAIL": "hostmaster@example.test",
            "GIT_COMMITTER_NAME": "Hostmaster",
            "GIT_COMMITTER_EMAIL": "hostmaster@example.test",
        }
        if index is not None:
            environment["GIT_INDEX_FILE"] = str(index)
        where = ["--git-dir", str(self.path)] if repository else []
        words = ["git", *where, *arguments]
        done = subprocess.run(words, input=octets, capture_output=True, env=environment, check=True)
        return done.stdout.decode(errors="replace").rstrip("\n")

    def head(self) -> str | None:
        """The branch's commit, None when it has none."""
        try:
            return self.git("rev-parse", "--verify", "--quiet", f"refs/heads/{self.branch}")
        except subprocess.CalledProcessError:
            return None

    def commit(
        self, changes: Mapping[str, str | bytes | Entry | None], message: str = "Change zones", *, fresh: bool = False
    ) -> str:
        """Commit files (None deletes one) on top of the branch; `fresh` starts from an empty tree without a parent."""
        parent = None if fresh else self.head()
        index = self.path / "zonewright-index"
        index.unlink(missing_ok=True)
        if parent:
            self.git("read-tree", parent, index=index)
        lines = b"".join(self._index_line(path, change) for path, change in changes.items())
        self.git("update-index", "-z", "--index-info", octets=lines, index=index)
        return self._record(self.git("write-tree", index=index), parent, message)

    def commit_tree(self, entries: list[tuple[str, str, str]], message: str = "A raw tree") -> str:
        """Commit a root tree of (mode, object id, name), unchecked: for names that an index refuses."""
        octets = b"".join(
            mode.encode() + b" " + name.encode() + b"\0" + bytes.fromhex(oid) for mode, oid, name in entries
        )
        tree = self.git("hash-object", "-t", "tree", "-w", "--literally", "--stdin", octets=octets)
        return self._record(tree, self.head(), message)

    def blob(self, content: bytes) -> str:
        """Store a blob; its object id."""
        return self.git("hash-object", "-w", "--stdin", octets=content)

    def _index_line(self, path: str, change: str | bytes | Entry | None) -> bytes:
        if change is None:
            return f"0 {'0' * 40}\t{path}".encode() + b"\0"
        if isinstance(change, Entry):
            is_link_to_commit = change.mode == SUBMODULE
            oid = change.content.decode() if is_link_to_commit else self.blob(change.content)
            return f"{change.mode} {oid}\t{path}".encode() + b"\0"
        content = change.encode() if isinstance(change, str) else change
        return f"{FILE} {self.blob(content)}\t{path}".encode() + b"\0"

    def _record(self, tree: str, parent: str | None, message: str) -> str:
        parents = ["-p", parent] if parent else []
        commit = self.git("commit-tree", tree, *parents, "-m", message)
        self.git("update-ref", f"refs/heads/{self.branch}", commit)
        return commit
