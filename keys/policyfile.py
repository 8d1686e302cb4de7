"""Files of policies: YAML to policies and the stores they name, with everything that is wrong at FILE:LINE:COLUMN.

The words of a policy are the fields of `Policy` with hyphens; a policy *extends* another one, of the file or built in,
and says only what differs. A *draft* is a policy as it is written, before what it extends is known.

PyYAML's safe loader makes the nodes, and the words are read here: so `1:30` is no number of minutes, and `no` is no
name but what the word's reader takes it for.

**Limits:** a file has at most 1 MiB and 1000 policies; 10 may stand one on the other.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import yaml

from keys.errors import Fault, PolicyError, PolicyFileError
from keys.policy import (
    BUILT_IN,
    RSA,
    RSA_DEFAULT_BITS,
    RSASHA512,
    Denial,
    KeySpec,
    Policy,
    Role,
    TokenStore,
)
from keys.policywords import (
    COMPOSED,
    DENIAL,
    KEY,
    KINDS,
    NAME,
    POLICY_WORDS,
    SCALARS,
    STATE,
    STORE,
    Read,
    choice,
    denial_warnings,
    digest,
    nearest,
    text_word,
    unknown,
)
from keys.refusals import Refusal, key_refusals, refusals

MAX_OCTETS: Final = 1 << 20
MAX_POLICIES: Final = 1000
MAX_EXTENDED: Final = 10


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """What a file says: its policies and stores by name, and what is allowed but hardly meant."""

    file: str
    policies: Mapping[str, Policy]
    stores: Mapping[str, TokenStore]
    warnings: tuple[Fault, ...] = ()


def read(path: Path) -> PolicyFile:
    """The policies of a file. Raises PolicyFileError with all that is wrong."""
    try:
        with path.open("rb") as file:
            octets = file.read(MAX_OCTETS + 1)
    except OSError as error:
        raise PolicyFileError([Fault(str(path), 0, 0, f"can't be read: {error.strerror or error}")]) from error
    return parse(octets, str(path))


def parse(text: str | bytes, file: str) -> PolicyFile:
    """The policies of a text, which faults call `file`. Raises PolicyFileError with all that is wrong."""
    if len(text) > MAX_OCTETS:
        raise PolicyFileError([Fault(file, 0, 0, f"is larger than {MAX_OCTETS} octets")])
    root = _compose(text, file)
    if root is None:
        raise PolicyFileError([Fault(file, 0, 0, "is empty; the least is 'policies: {NAME: {}}'")])
    return _Reader(file).file_of(root)


def _compose(text: str | bytes, file: str) -> yaml.Node | None:
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = " ".join(filter(None, [error.context, error.problem]))
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (0, 0)
        raise PolicyFileError([Fault(file, line, column, f"is not YAML: {reason}")]) from error
    except yaml.YAMLError as error:
        raise PolicyFileError([Fault(file, 0, 0, f"is not YAML: {' '.join(str(error).split())}")]) from error
    except RecursionError as error:
        raise PolicyFileError([Fault(file, 0, 0, "is nested too deep")]) from error


# ------------------------------------------------------------------ the file


@dataclass(frozen=True, slots=True)
class _Place:
    line: int
    column: int


@dataclass(slots=True)
class _Draft:
    """A policy as it is written: its values by field, and where each word stands, as `keys.0.lifetime`."""

    name: str
    place: _Place
    values: dict[str, Any]
    places: dict[str, _Place]
    extends: str = "default"
    store: str | None = None
    is_broken: bool = False


class _Reader:
    """Reads one file; what is wrong is noted, and reading goes on."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._folder = Path(file).parent
        self._faults: list[Fault] = []
        self._warnings: list[Fault] = []
        self._stores: dict[str, TokenStore] = {}
        self._broken_stores: set[str] = set()
        self._drafts: dict[str, _Draft] = {}

    def file_of(self, root: yaml.Node) -> PolicyFile:
        """Everything in the file. Raises PolicyFileError."""
        top = {key: value for key, _, value in self._entries(root, "the file", ("policies", "stores"))}
        for name, key, value in self._named(top.get("stores"), "stores"):
            self._store(name, key, value)
        for name, key, value in self._named(top.get("policies"), "policies"):
            self._draft(name, key, value)
        if len(self._drafts) > MAX_POLICIES:
            self._fault(_at(root), f"{len(self._drafts)} policies; at most {MAX_POLICIES} are taken")
        policies = {name: policy for name in self._drafts if (policy := self._policy(name)) is not None}
        if self._faults:
            raise PolicyFileError(sorted(set(self._faults)))
        return PolicyFile(
            self._file,
            MappingProxyType(policies),
            MappingProxyType(self._stores),
            tuple(sorted(set(self._warnings))),
        )

    # ---------------------------------------------------------------- nodes

    def _fault(self, place: _Place, message: str) -> None:
        self._faults.append(Fault(self._file, place.line, place.column, message))

    def _warn(self, place: _Place, message: str) -> None:
        self._warnings.append(Fault(self._file, place.line, place.column, message))

    def _entries(
        self, node: yaml.Node, what: str, accepted: Sequence[str] | None
    ) -> Iterator[tuple[str, _Place, yaml.Node]]:
        """(word, where, value) of a mapping; other words than the accepted ones and repeated ones are faults."""
        if not isinstance(node, yaml.MappingNode):
            words = f" of {', '.join(accepted)}" if accepted is not None else ""
            self._fault(_at(node), f"{what} is {_kind(node)}, not a mapping{words}")
            return
        first: dict[str, _Place] = {}
        for key, value in node.value:
            place = _at(key)
            if not isinstance(key, yaml.ScalarNode):
                self._fault(place, f"{what}: a key is {_kind(key)}, not a word")
            elif key.value in first:
                at = first[key.value]
                self._fault(place, f"{what}: '{key.value}' stands twice, first at line {at.line}")
            elif accepted is not None and key.value not in accepted:
                first[key.value] = place
                self._fault(place, f"{what}: {unknown(key.value, accepted)}")
            else:
                first[key.value] = place
                yield key.value, place, value

    def _named(self, node: yaml.Node | None, what: str) -> Iterator[tuple[str, _Place, yaml.Node]]:
        if node is None or _is_null(node):
            return
        for name, place, value in self._entries(node, what, None):
            if NAME.fullmatch(name):
                yield name, place, value
            else:
                self._fault(place, f"{what}: {name!r} is no name: letters, digits, '.', '_' and '-', at most 64")

    def _scalar(self, node: yaml.Node, what: str, read: Read) -> Any:
        """The value of a scalar. Raises ValueError with the whole message."""
        if not isinstance(node, yaml.ScalarNode):
            raise ValueError(f"{what} is {_kind(node)}, not one value")  # noqa: TRY004 (of the file, not of a caller)
        if _is_null(node):
            raise ValueError(f"{what} has no value")
        try:
            return read(node.value)
        except ValueError as error:
            raise ValueError(f"{what}: {error}") from None

    def _values_of(
        self, node: yaml.Node, what: str, readers: Mapping[str, Read]
    ) -> tuple[dict[str, Any], dict[str, _Place], bool]:
        """The values of a mapping whose words have one value each, where they stand, whether all were good."""
        before = len(self._faults)
        values: dict[str, Any] = {}
        places: dict[str, _Place] = {}
        for key, _, value in self._entries(node, what, tuple(readers)):
            places[key] = _at(value)
            try:
                values[key] = self._scalar(value, f"{what}: {key}", readers[key])
            except ValueError as error:
                self._fault(_at(value), str(error))
        return values, places, len(self._faults) == before

    # ---------------------------------------------------------------- stores

    def _store(self, name: str, place: _Place, node: yaml.Node) -> None:
        what = f"store {name}"
        self._broken_stores.add(name)
        if name == STATE:
            self._fault(place, f"{what}: the name is taken, it is the state database")
            return
        values, _, is_good = self._values_of(node, what, STORE)
        missing = [one for one in ("kind", "module", "token") if one not in values]
        if missing and is_good:
            self._fault(place, f"{what}: {', '.join(missing)} missing; it has kind, module, token and pin-file")
        elif is_good:
            self._broken_stores.discard(name)
            pin_file = self._folder / values["pin-file"] if "pin-file" in values else None
            self._stores[name] = TokenStore(name, self._folder / values["module"], values["token"], pin_file)

    def _check_store(self, name: str, place: _Place, what: str) -> bool:
        known = {*self._stores, STATE}
        if name in known or name in self._broken_stores:
            return True
        self._fault(place, f"{what}: '{name}' is unknown{nearest(name, known)}; accepted: {', '.join(sorted(known))}")
        return False

    # ---------------------------------------------------------------- drafts

    def _draft(self, name: str, place: _Place, node: yaml.Node) -> None:
        before = len(self._faults)
        draft = self._drafts[name] = _Draft(name, place, {}, {})
        what = f"policy {name}"
        if name in BUILT_IN:
            self._fault(place, f"{what} comes with the product; take another name, and 'extends: {name}'")
        for key, at, value in () if _is_null(node) else self._entries(node, what, POLICY_WORDS):
            draft.places[key] = at
            if key in COMPOSED:
                self._composed(draft, key, value)
                continue
            try:
                draft.values[key.replace("-", "_")] = self._scalar(value, f"{what}: {key}", SCALARS[key])
            except ValueError as error:
                self._fault(_at(value), str(error))
        draft.is_broken = len(self._faults) > before

    def _composed(self, draft: _Draft, key: str, node: yaml.Node) -> None:
        what = f"policy {draft.name}: {key}"
        try:
            match key:
                case "extends":
                    draft.extends = self._scalar(node, what, text_word)
                    draft.places[key] = _at(node)
                case "store":
                    draft.store = self._scalar(node, what, text_word)
                    self._check_store(draft.store, _at(node), what)
                case "keys":
                    draft.values["keys"] = self._keys(draft, what, node)
                case "denial":
                    draft.values["denial"] = self._denial(what, node)
                case _:
                    draft.values["digests"] = self._digests(what, node)
        except ValueError as error:
            self._fault(_at(node), str(error))

    def _keys(self, draft: _Draft, what: str, node: yaml.Node) -> tuple[KeySpec, ...]:
        if not isinstance(node, yaml.SequenceNode):
            raise ValueError(f"{what} is {_kind(node)}, not a list of keys, each with {', '.join(KEY)}")  # noqa: TRY004
        if not node.value:
            raise ValueError(f"{what} is empty; 'extends: insecure' makes a zone give its signatures up")
        keys = []
        for number, item in enumerate(node.value):
            values, places, is_good = self._values_of(item, what, KEY)
            draft.places[f"keys.{number}"] = _at(item)
            draft.places |= {f"keys.{number}.{name}": place for name, place in places.items()}
            if "store" in values:
                is_good &= self._check_store(values["store"], places["store"], f"{what}: store")
            if is_good and "role" not in values:
                self._fault(_at(item), f"{what}: role is missing; accepted: {', '.join(Role)}")
            elif is_good:
                keys.append(_key(values))
                if keys[-1].algorithm == RSASHA512:
                    self._warn(_at(item), f"{what}: rsasha512 is not recommended for signing (RFC 8624 section 3.1)")
        return tuple(keys)

    def _denial(self, what: str, node: yaml.Node) -> Denial:
        if isinstance(node, yaml.ScalarNode):
            return Denial(self._scalar(node, what, choice(*KINDS)))
        values, places, is_good = self._values_of(node, what, DENIAL)
        if is_good and "kind" not in values:
            raise ValueError(f"{what}: kind is missing; accepted: {', '.join(KINDS)}")
        kind = values.pop("kind", "nsec3")
        for key in values if kind != "nsec3" else ():
            self._fault(places[key], f"{what}: {key} belongs to nsec3 alone")
        denial = Denial(kind, **{key.replace("-", "_"): value for key, value in values.items()})
        for key, why in denial_warnings(denial).items():
            self._warn(places[key], f"{what}: {why}")
        return denial

    def _digests(self, what: str, node: yaml.Node) -> tuple[int, ...]:
        items = node.value if isinstance(node, yaml.SequenceNode) else [node]
        digests = []
        for item in items:
            try:
                digests.append(self._scalar(item, what, digest))
            except ValueError as error:
                self._fault(_at(item), str(error))
        return tuple(digests)

    # ---------------------------------------------------------------- policies

    def _policy(self, name: str) -> Policy | None:
        """The policy; None when it, or one that it extends, has faults."""
        draft = self._drafts[name]
        chain = self._chain(draft)
        if chain is None or any(one.is_broken for one in chain):
            self._refuse(draft, key_refusals(draft.values.get("keys", ())))
            return None
        base = BUILT_IN[chain[-1].extends]
        values: dict[str, Any] = {field.name: getattr(base, field.name) for field in fields(base)}
        for one in reversed(chain):
            values |= one.values
        store = next((one.store for one in chain if one.store is not None), STATE)
        values |= {"name": name, "keys": tuple(_in_store(key, store) for key in values["keys"])}
        try:
            policy = Policy(**values)
        except PolicyError as error:
            self._refuse(
                draft, [Refusal(("refresh", "validity", "jitter"), error.reason), *key_refusals(values["keys"])]
            )
            return None
        self._refuse(draft, refusals(policy))
        return policy

    def _refuse(self, draft: _Draft, found: Iterable[Refusal]) -> None:
        """Note what is refused, at the first word of it that stands in this policy; the rest is another's fault."""
        for refusal in found:
            place = next((draft.places[word] for word in refusal.words if word in draft.places), None)
            if place is not None:
                self._fault(place, f"policy {draft.name}: {refusal.message}")

    def _chain(self, draft: _Draft) -> list[_Draft] | None:
        """The policy and those of the file that it extends, the last one extending a built-in one; None with faults."""
        chain = [draft]
        names = [draft.name]
        while (base := chain[-1].extends) not in BUILT_IN:
            if base in names:
                circle = [*names[names.index(base) :], base]
                if draft.name == min(circle):
                    reason = f"extends itself: {' -> '.join(circle)}"
                    self._fault(draft.places["extends"], f"policy {draft.name}: {reason}")
                return None
            if base not in self._drafts:
                if len(chain) == 1:
                    known = [*BUILT_IN, *self._drafts]
                    reason = f"extends: '{base}' is unknown{nearest(base, known)}; accepted: {', '.join(known)}"
                    self._fault(draft.places["extends"], f"policy {draft.name}: {reason}")
                return None
            if len(chain) == MAX_EXTENDED:
                self._fault(draft.places["extends"], f"policy {draft.name}: extends more than {MAX_EXTENDED} policies")
                return None
            chain.append(self._drafts[base])
            names.append(base)
        return chain


def _key(values: Mapping[str, Any]) -> KeySpec:
    key = KeySpec(**values)
    return replace(key, bits=RSA_DEFAULT_BITS) if key.algorithm in RSA and key.bits is None else key


def _in_store(key: KeySpec, store: str) -> KeySpec:
    """The key with the policy's store if it names none; the state database has no name in a KeySpec."""
    chosen = key.store or store
    return replace(key, store="" if chosen == STATE else chosen)


def _at(node: yaml.Node) -> _Place:
    return _Place(node.start_mark.line + 1, node.start_mark.column + 1)


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _kind(node: yaml.Node) -> str:
    if _is_null(node):
        return "empty"
    if isinstance(node, yaml.ScalarNode):
        return f"'{node.value}'"
    return "a mapping" if isinstance(node, yaml.MappingNode) else "a list"
