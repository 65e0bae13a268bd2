"""Adapters of the port `Vault`: secrets at rest."""

from promptd.vault.aesgcm import AesGcmVault
from promptd.vault.sources import KeyFile, KeyRing, KeySource, KeyText, fresh, key_id, written

__all__ = ["AesGcmVault", "KeyFile", "KeyRing", "KeySource", "KeyText", "fresh", "key_id", "written"]
