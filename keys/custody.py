"""The face of private keys to the other rooms: they may be sealed, opened into signing handles, and never be seen."""

from keys.private import (
    ImportedKey,
    PlainVault,
    Vault,
    import_bind,
    open_vault,
    signing_keys,
    usable_signing_keys,
)

__all__ = [
    "ImportedKey",
    "PlainVault",
    "Vault",
    "import_bind",
    "open_vault",
    "signing_keys",
    "usable_signing_keys",
]
