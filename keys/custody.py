"""The face of private keys to the other rooms: they may be sealed, opened into signing handles, and never be seen."""

from keys.pkcs11 import tokens
from keys.private import (
    ExportedKey,
    ImportedKey,
    PlainVault,
    Signer,
    SlowSigner,
    Vault,
    destroy,
    export_bind,
    import_bind,
    open_vault,
    prove,
    public_handle,
    signing_keys,
    usable_signing_keys,
    verify,
)
from keys.vault import change_passphrase, lock_file, unlock_file

__all__ = [
    "ExportedKey",
    "ImportedKey",
    "PlainVault",
    "Signer",
    "SlowSigner",
    "Vault",
    "change_passphrase",
    "destroy",
    "export_bind",
    "import_bind",
    "lock_file",
    "open_vault",
    "prove",
    "public_handle",
    "signing_keys",
    "tokens",
    "unlock_file",
    "usable_signing_keys",
    "verify",
]
