"""The face of private keys to the other rooms: they may be sealed, opened into signing handles, and never be seen."""

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
    public_handle,
    signing_keys,
    usable_signing_keys,
    verify,
)
from keys.vault import change_passphrase

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
    "open_vault",
    "public_handle",
    "signing_keys",
    "usable_signing_keys",
    "verify",
]
