"""The `dnssec` directive: signs zones, with keys the server makes and keeps or with those of the operator's files."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from authserver.plugin import (
    SIGNING,
    Argument,
    Build,
    Choice,
    Integer,
    Link,
    PathKind,
    Place,
    Problem,
    Schema,
    Settings,
    Signing,
    Word,
    Zone,
    name_text,
)
from keys import keyfiles, policyfile, policywords
from keys.errors import Fault, KeyImportError, PolicyFileError
from keys.filekey import FileKey
from keys.policy import BUILT_IN, DEFAULT, MAX_ITERATIONS, Denial
from zones.naming import is_at_or_below

ZONE: Final = Argument("ZONES", Zone(), optional=True, repeat=True)
FILE: Final = Argument("FILE", PathKind("a YAML file"))
POLICY: Final = Argument("NAME", Word("the name of a policy"))
CAPACITY: Final = Argument("N", Integer())
KIND: Final = Argument("KIND", Choice(("nsec", "nsec3", "compact")))
PARAMETERS: Final = Argument("PARAMETERS", Word("opt-out, iterations N, salt HEX"), optional=True, repeat=True)
OTHERS: Final = {"nsec": Denial(), "compact": Denial("compact")}
ITERATIONS: Final = Integer(0, MAX_ITERATIONS)
PROVIDER: Final = Argument("PROVIDER", Choice(("file",)))
KEY: Final = Argument("KEY", Word("BIND's K<zone>.+<algorithm>+<tag>, with or without .key or .private"), repeat=True)
MAX_KEYS: Final = 1000
NO_FILE: Final = policyfile.PolicyFile("", {}, {})

SCHEMA: Final = Schema(
    arguments=(ZONE,),
    once=True,
    properties={
        "policies": Schema(arguments=(FILE,), once=True),
        "policy": Schema(arguments=(POLICY,), once=True),
        "denial": Schema(arguments=(KIND, PARAMETERS), once=True),
        "key": Schema(arguments=(PROVIDER, KEY)),
        "cache_capacity": Schema(arguments=(CAPACITY,), ignored="every signature is kept with its zone"),
    },
)


def setup(build: Build) -> Link | None:
    """Offers which zones are signed; nothing of it stands in the path of queries."""
    for settings in build.settings:
        file = _file(build, settings.property("policies"))
        if file is None:
            continue
        line = settings.property("policy")
        name = line.one(POLICY) if line is not None else DEFAULT.name
        known = {**BUILT_IN, **file.policies}
        if name not in known:
            reason = f"policy: '{name}' is unknown{policywords.nearest(name, known)}; accepted: {', '.join(known)}"
            build.fail(reason, line.place if line is not None else None)
        policy = known[name]
        if (denial := settings.property("denial")) is not None:
            policy = replace(policy, denial=_denial(build, denial))
        stores = tuple(file.stores[one] for one in dict.fromkeys(key.store for key in policy.keys) if one)
        origins = build.zones(settings.all(ZONE))
        policy = replace(policy, key_files=tuple(_key_files(build, settings, origins)))
        build.offer(SIGNING, Signing(origins, policy, stores, settings.place))
    return None


def _file(build: Build, line: Settings | None) -> policyfile.PolicyFile | None:
    """The file of policies; one without any when none is named, None when it has errors, which are noted."""
    if line is None:
        return NO_FILE
    found = build.read(build.path(line.one(FILE)), _read)
    if isinstance(found, PolicyFileError):
        build.findings.problems += map(_problem, found.faults)
        return None
    build.findings.warnings += map(_problem, found.warnings)
    _compare_stores(build, line.place, found)
    return found


def _compare_stores(build: Build, place: Place, file: policyfile.PolicyFile) -> None:
    """A key is found again by the name of its store, whatever block and file its zone is in."""
    for _, other in build.configuration.read_files.values():
        stores = other.stores if isinstance(other, policyfile.PolicyFile) else {}
        for name in sorted(stores.keys() & file.stores.keys()):
            if stores[name] != file.stores[name]:
                reason = f"policies: store '{name}' is another one in {other.file} than in {file.file}"
                build.problem(place, reason)


def _read(path: Path) -> policyfile.PolicyFile | PolicyFileError:
    try:
        return policyfile.read(path)
    except PolicyFileError as error:
        return error


def _problem(fault: Fault) -> Problem:
    return Problem(Place(fault.file, fault.line, fault.column), fault.message)


def _key_files(build: Build, settings: Settings, origins: Sequence[bytes]) -> Iterator[FileKey]:
    """The keys of all `key` lines, each named once; what is wrong with one is an error of its line."""
    lines = settings.properties("key")
    if sum(len(line.all(KEY)) for line in lines) > MAX_KEYS:
        build.fail(f"key: more than {MAX_KEYS} key files", lines[-1].place)
    seen = set()
    for line in lines:
        for word in line.all(KEY):
            try:
                key = keyfiles.read(build.path(word))
            except KeyImportError as error:
                build.problem(line.place, f"key: {error}")
                continue
            for warning in key.warnings:
                build.warn(line.place, f"key: {warning}")
            if not any(is_at_or_below(one, key.owner) or is_at_or_below(key.owner, one) for one in origins):
                owner, zones = name_text(key.owner), ", ".join(map(name_text, origins))
                build.problem(line.place, f"key: {key.file} is a key of {owner}, which can sign none of {zones}")
            elif key.dnskey not in seen:
                seen.add(key.dnskey)
                yield key


def _denial(build: Build, line: Settings) -> Denial:
    kind, words = line.one(KIND), line.all(PARAMETERS)
    if words and kind != "nsec3":
        build.fail(f"denial: '{words[0]}' belongs to nsec3 alone", line.place)
    try:
        denial = _nsec3(words) if kind == "nsec3" else OTHERS[kind]
    except ValueError as error:
        build.fail(f"denial: {error}", line.place)
    for warning in policywords.denial_warnings(denial).values():
        build.warn(line.place, f"denial: {warning}")
    return denial


def _nsec3(words: Sequence[str]) -> Denial:
    """What stands behind `nsec3`, in any order. Raises ValueError with a reason."""
    opt_out, iterations, salt = False, 0, b""
    rest = iter(words)
    for word in rest:
        match word.lower():
            case "opt-out":
                opt_out = True
            case "iterations":
                iterations = ITERATIONS.parse(next(rest, ""))
            case "salt":
                salt = policywords.salt(next(rest, ""))
            case _:
                raise ValueError(f"'{word}' is unknown; accepted: opt-out, iterations N, salt HEX")
    return Denial("nsec3", opt_out, iterations, salt)
