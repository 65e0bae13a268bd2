"""Adapters of the port `Vault`: secrets at rest."""

from promptd.vault.aesgcm import AesGcmVault

__all__ = ["AesGcmVault"]
