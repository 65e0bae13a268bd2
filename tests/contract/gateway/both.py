"""One test for the synchronous and the asynchronous half of an SDK: what is awaitable is awaited, the rest is there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from inspect import isawaitable
from typing import Any


async def got(value: Any) -> Any:
    """The result of a call."""
    return await value if isawaitable(value) else value


async def each(stream: Any) -> AsyncIterator[Any]:
    """Everything that a stream or a paged list gives."""
    if hasattr(stream, "__aiter__"):
        async for item in stream:
            yield item
    else:
        for item in stream:
            yield item


async def every(stream: Any) -> list[Any]:
    """The stream to its end."""
    return [item async for item in each(await got(stream))]


@asynccontextmanager
async def entered(manager: Any) -> AsyncIterator[Any]:
    """The SDKs' `.stream(…)` context managers."""
    if hasattr(manager, "__aenter__"):
        async with manager as stream:
            yield stream
    else:
        with manager as stream:
            yield stream
