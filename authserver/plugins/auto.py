"""The `auto` directive: serves every zone file of a directory, or of a folder of a git repository."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from authserver.backend import ZoneHandler, ZoneTable, in_order
from authserver.plugin import (
    ROOT,
    SOURCES,
    ZONES,
    Argument,
    Build,
    Choice,
    Duration,
    Link,
    PathKind,
    Schema,
    Settings,
    Source,
    Word,
    Zone,
)
from zones.errors import GitError, NamingError
from zones.git import GitRemote, git_remote
from zones.naming import DEFAULT_REGEXP, DEFAULT_TEMPLATE, Naming, naming

ZONE: Final = Argument("ZONES", Zone(), optional=True, repeat=True)
DIRECTORY: Final = Argument("DIR", PathKind())
REGEXP: Final = Argument("REGEXP", Word("a regular expression"), optional=True)
TEMPLATE: Final = Argument("TEMPLATE", Word("an origin, {1} for the first group"), optional=True)
URL: Final = Argument("URL", Word("the URL of a git repository, or an absolute path"))
WORD: Final = Argument("NAME", Word())
FILE: Final = Argument("FILE", PathKind())
REWRITE: Final = Argument("POLICY", Choice(("hold", "follow")))
PRESIGNED: Final = Argument("POLICY", Choice(("warn", "hold")))
RELOAD: Final = Argument("DURATION", Duration(or_zero=True))
EVERY: Final = Argument("DURATION", Duration(minimum=1))
ANYTHING: Final = Argument("WORDS", Word(), optional=True, repeat=True)
DEFAULT_RELOAD: Final = 60.0
LATER: Final = "this version of Zonewright does not have it yet; leave the line out"

SCHEMA: Final = Schema(
    arguments=(ZONE,),
    properties={
        "directory": Schema(arguments=(DIRECTORY, REGEXP, TEMPLATE), once=True),
        "reload": Schema(arguments=(RELOAD,), once=True),
        "presigned": Schema(arguments=(PRESIGNED,), once=True),
        "upstream": Schema(arguments=(ANYTHING,), ignored="CoreDNS ignores it too"),
        "git": Schema(
            arguments=(URL,),
            once=True,
            properties={
                "branch": Schema(arguments=(WORD,), once=True),
                "ref": Schema(arguments=(WORD,), once=True),
                "path": Schema(arguments=(WORD,), once=True),
                "every": Schema(arguments=(EVERY,), once=True),
                "on_rewrite": Schema(arguments=(REWRITE,), once=True),
                "ssh_key": Schema(arguments=(FILE,), once=True),
                "known_hosts": Schema(arguments=(FILE,), once=True),
                "webhook": Schema(arguments=(ANYTHING,), refused=LATER),
                "trust": Schema(arguments=(ANYTHING,), refused=LATER),
            },
        ),
    },
)


@dataclass(frozen=True, slots=True)
class AutoOptions:
    """What a directory's or repository's source also says: the table to fill, how files are named, the remote."""

    table: ZoneTable
    naming: Naming
    remote: GitRemote | None = None
    includes: bool = False


def setup(build: Build) -> Link | None:
    """One table and one link for each `auto`."""
    return in_order([_one(build, settings) for settings in build.settings])


def _one(build: Build, settings: Settings) -> Link:
    table = ZoneTable()
    directory, repository = settings.property("directory"), settings.property("git")
    if directory is None and repository is None:
        build.fail(f"directory or git is missing; usage: {SCHEMA.usage(build.name)}", settings.place)
    named = _naming(build, directory)
    build.offer(ZONES, table)
    if repository is not None:
        build.offer(SOURCES, _git(build, settings, repository, AutoOptions(table, named)))
    elif directory is not None:
        options = AutoOptions(table, named, includes=bool(build.block.offered(ROOT)))
        build.offer(SOURCES, _directory(build, settings, directory, options))
    return lambda following: ZoneHandler(table, build.configuration, build.block, following)


def _naming(build: Build, directory: Settings | None) -> Naming:
    if directory is None:
        return naming()
    try:
        return naming(directory.get(REGEXP, DEFAULT_REGEXP), directory.get(TEMPLATE, DEFAULT_TEMPLATE))
    except NamingError as error:
        build.fail(f"directory: {error.reason}", directory.place)


def _directory(build: Build, settings: Settings, directory: Settings, options: AutoOptions) -> Source:
    reload = settings.property("reload")
    return Source(
        plugin=build.name,
        kind="directory",
        location=str(build.path(directory.one(DIRECTORY))),
        origins=build.zones(settings.all(ZONE)),
        reload=reload.one(RELOAD) if reload is not None else DEFAULT_RELOAD,
        place=settings.place,
        presigned=_presigned(settings),
        options=options,
    )


def _git(build: Build, settings: Settings, repository: Settings, options: AutoOptions) -> Source:
    every = repository.property("every")
    return Source(
        plugin=build.name,
        kind="git",
        location=repository.one(URL),
        origins=build.zones(settings.all(ZONE)),
        reload=every.one(EVERY) if every is not None else DEFAULT_RELOAD,
        place=repository.place,
        presigned=_presigned(settings),
        options=AutoOptions(options.table, options.naming, _remote(build, settings, repository)),
    )


def _presigned(settings: Settings) -> Literal["warn", "hold"]:
    line = settings.property("presigned")
    return "hold" if line is not None and line.one(PRESIGNED) == "hold" else "warn"


def _remote(build: Build, settings: Settings, repository: Settings) -> GitRemote:
    def word(name: str, default: str) -> str:
        line = repository.property(name)
        return default if line is None else line.one(WORD)

    def file(name: str) -> str | None:
        line = repository.property(name)
        return None if line is None else str(Path(build.path(line.one(FILE))).absolute())

    rewrite = repository.property("on_rewrite")
    # `directory` names a folder inside of the folder that `path` names.
    directory = settings.property("directory")
    folders = [word("path", ""), directory.one(DIRECTORY) if directory is not None else "."]
    try:
        return git_remote(
            repository.one(URL),
            ref=word("ref", word("branch", "HEAD")),
            path="/".join(folder.strip("/") for folder in folders if folder not in ("", ".", "./")),
            on_rewrite="follow" if rewrite is not None and rewrite.one(REWRITE) == "follow" else "hold",
            ssh_key=file("ssh_key"),
            known_hosts=file("known_hosts"),
        )
    except GitError as error:
        build.fail(f"git: {error.reason}", repository.place)
