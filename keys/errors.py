"""The exceptions of keys: what can't be stored, opened, imported or promised, each with its facts as attributes."""

from collections.abc import Iterable
from dataclasses import dataclass


class KeysError(Exception):
    """Something about keys that an operator has to look at."""


class PolicyError(KeysError):
    """A policy whose times contradict each other; nothing is signed by it."""

    def __init__(self, policy: str, reason: str) -> None:
        super().__init__(f"policy {policy}: {reason}")
        self.policy = policy
        self.reason = reason


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One thing that is wrong in a policy file, or only doubtful, and where; lines and columns count from 1."""

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}" if self.line else f"{self.file}: {self.message}"


class PolicyFileError(KeysError):
    """A file of policies can't be used; `faults` is all that is wrong with it."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults: tuple[Fault, ...] = tuple(faults)
        super().__init__("\n".join(map(str, self.faults)))


class PassphraseError(KeysError):
    """The private keys are encrypted and the passphrase is missing or wrong."""


class PrivateKeyError(KeysError):
    """A stored private key can't be opened, or doesn't belong to its DNSKEY."""

    def __init__(self, key_id: str, reason: str) -> None:
        super().__init__(f"key {key_id}: {reason}")
        self.key_id = key_id
        self.reason = reason


class StoreError(KeysError):
    """A store of keys outside the state can't be reached, or doesn't do what it is asked."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"store {name}: {reason}")
        self.name = name
        self.reason = reason


class ResponseMissingError(StoreError):
    """Nothing that an offline KSK signed ahead can be served now: it waits for a signed key response."""

    def __init__(self, zone: str, reason: str) -> None:
        super().__init__(zone, reason)
        self.args = (f"{zone}: {reason}",)


class SlowKeyError(KeysError):
    """A key that signs outside the engine made a wrong signature, or none."""

    def __init__(self, key_id: str, reason: str) -> None:
        super().__init__(f"key {key_id}: {reason}")
        self.key_id = key_id
        self.reason = reason


class BackupError(KeysError):
    """A backup can't be read, or restoring it would go back behind what is known: each difference in a line."""

    def __init__(self, reason: str, differences: tuple[str, ...] = ()) -> None:
        super().__init__("\n".join((reason, *differences)))
        self.reason = reason
        self.differences = differences


class KeyImportError(KeysError):
    """A key file can't be imported: which file, which line (0: none in particular), why."""

    def __init__(self, file: str, reason: str, line: int = 0) -> None:
        super().__init__(f"{file}:{line}: {reason}" if line else f"{file}: {reason}")
        self.file = file
        self.line = line
        self.reason = reason


class ProviderError(KeysError):
    """What is said of another provider of a zone, or its servers say, can't be."""


class KeySetError(KeysError):
    """The keys of a zone, taken together, can't sign it."""

    def __init__(self, zone: str, reason: str) -> None:
        super().__init__(f"{zone}: {reason}")
        self.zone = zone
        self.reason = reason


class CeremonyError(KeysError):
    """A request or response of an offline KSK can't be used: which file, which line (0: none in particular), why."""

    def __init__(self, file: str, reason: str, line: int = 0) -> None:
        super().__init__(f"{file}:{line}: {reason}" if line else f"{file}: {reason}")
        self.file = file
        self.line = line
        self.reason = reason
