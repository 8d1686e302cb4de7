"""The `root` directive: the directory that relative paths of a server block start from."""

from pathlib import Path

from authserver.plugin import ROOT, Argument, Build, Link, PathKind, Schema

PATH = Argument("PATH", PathKind("a directory"))

SCHEMA = Schema(arguments=(PATH,))


def setup(build: Build) -> Link | None:
    """Offers the directory; the last one of a block counts."""
    for settings in build.settings:
        path = Path(settings.one(PATH))
        if path.exists() and not path.is_dir():
            build.problem(settings.place, f"{path} is not a directory")
        elif not path.exists():
            # Not an error, as in CoreDNS: a checkout or a mount may come later.
            build.warn(settings.place, f"{path} does not exist")
        build.offer(ROOT, path)
    return None
