"""The exceptions of `zones`: what went wrong with a source, with its facts as attributes."""

from __future__ import annotations


class ZonesError(Exception):
    """A source or a message can't be used; `rule` is the stable id of the reason."""

    def __init__(self, rule: str, reason: str) -> None:
        super().__init__(f"{reason} [{rule}]")
        self.rule = rule
        self.reason = reason


class SourceError(ZonesError):
    """A file or directory can't be read as a source; what it served before goes on being served."""

    def __init__(self, file: str, rule: str, reason: str) -> None:
        super().__init__(rule, f"{file}: {reason}")
        self.file = file
        self.reason = reason


class NamingError(ZonesError):
    """The regexp or the template of `directory` can't be used (`naming-regexp`, `naming-template`)."""


class GitError(ZonesError):
    """A git repository can't be followed right now; `url` is safe to show."""

    def __init__(self, url: str, rule: str, reason: str) -> None:
        super().__init__(rule, f"{url}: {reason}")
        self.url = url
        self.reason = reason


class GitRefusedError(GitError):
    """The URL, ref or path as configured is refused (`git-url`, `git-ref`, `git-path`)."""


class GitRewrittenError(GitError):
    """The history was rewritten: the tip is not a descendant of the commit that serves (`git-rewritten`)."""

    def __init__(self, url: str, served: str, tip: str) -> None:
        super().__init__(url, "git-rewritten", f"commit {tip} is not a descendant of {served}, which serves")
        self.served = served
        self.tip = tip


class TransferMessageError(ZonesError):
    """Octets are not the answer that was waited for (`notify-answer`), or a `to` address is none (`transfer-to`)."""


class TSIGError(ZonesError):
    """A message is not signed as it should be; `error` is RFC 8945's code, FORMERR for what is malformed."""

    def __init__(self, error: int, reason: str) -> None:
        super().__init__("tsig", reason)
        self.error = error


class UpdateError(ZonesError):
    """An update can't be carried out; `rcode` is what its client is answered (RFC 2136 section 2.2)."""

    def __init__(self, rcode: int, reason: str) -> None:
        super().__init__("update", reason)
        self.rcode = rcode
        self.reason = reason


class UpdatePolicyError(ZonesError):
    """A word of `update` that names what may be updated is none (`update-name`)."""


class CatalogError(ZonesError):
    """A catalog zone is broken (RFC 9432 section 5.1): nothing of it counts (`catalog-broken`)."""

    def __init__(self, origin: bytes, reason: str) -> None:
        super().__init__("catalog-broken", reason)
        self.origin = origin
        self.reason = reason
