"""The vault's key is changed: everything that is sealed is sealed anew, and only then is the old key forgotten.

A process may end at any point of it. The old key is still there then, and the next change goes on where it stopped.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from msgspec import Struct

from promptd.core.errors import Conflict
from promptd.core.ports import Vault
from promptd.service.settings_vault import SettingsVault

_log = logging.getLogger(__name__)

Stale = Callable[[bytes], bool]
Place = Callable[[Stale], Awaitable[int]]
"""Seals what it holds anew, as far as it is stale, and tells how much that was."""


class KeyedVault(Vault, Protocol):
    """A vault whose key can be changed."""

    def stale(self, sealed: bytes) -> bool:
        """Whether it is not under the current key."""

    def rotate(self) -> bool:
        """Seal with a fresh key from now on, or with the one of a change that has begun. False where there is none."""

    def forget(self) -> bool:
        """Drop all keys but the current one. False where only the operator can."""


class Rotated(Struct, frozen=True):
    """`sealed` settings are under the current key now that were not before; is the old key `forgotten`, or is that left to
    the operator, who gave it?"""

    sealed: int
    forgotten: bool


class Rotation:
    """`places` hold everything that the vault has sealed."""

    def __init__(self, *, vault: KeyedVault, settings: SettingsVault, places: Sequence[Place]) -> None:
        self._vault, self._settings, self._places = vault, settings, places
        self._one_at_a_time = asyncio.Lock()

    async def __call__(self) -> Rotated:
        """Raises `Conflict` where there is no other key to change to, `ConfigUnusable`, `StoreUnavailable`."""
        async with self._one_at_a_time:
            if not await asyncio.to_thread(self._vault.rotate):
                raise Conflict("the vault's key is given from outside: put a fresh one in front of it and restart")
            # what was sealed under the old key a moment ago must be in the store before the places are searched
            await self._settings.settled()
            sealed = 0
            for place in self._places:
                sealed += await place(self._vault.stale)
            forgotten = await asyncio.to_thread(self._vault.forget)
        _log.info("the vault's key was changed", extra={"action": "vault_rotated", "count": sealed})
        return Rotated(sealed, forgotten)
