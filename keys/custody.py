"""The face of private keys to the other rooms: they may be sealed, opened into signing handles, and never be seen."""

from keys.private import PlainVault, Vault, open_vault, signing_keys

__all__ = ["PlainVault", "Vault", "open_vault", "signing_keys"]
