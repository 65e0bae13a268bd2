"""Waiting for what a server does in its own time, where it offers no event to wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 20.0  # seconds until a test that waits for nothing fails
_PAUSE = 0.01


async def eventually(look: Callable[[], Awaitable[T]], *, seconds: float = PATIENCE) -> T:
    """What `look` finds, asked again until that is true. Raises `TimeoutError` after `seconds`."""
    async with asyncio.timeout(seconds):
        while not (found := await look()):
            await asyncio.sleep(_PAUSE)
    return found
