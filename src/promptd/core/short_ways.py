"""What short ways through an engine's chunks have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Any, Self

from promptd.core.model import Chunk


class ShortWay(AsyncGenerator[Chunk, None]):
    """A generator of chunks for everybody who does not know its short way: nothing can be sent or thrown into it."""

    __slots__ = ()

    def __aiter__(self) -> Self:
        return self

    @abstractmethod
    async def __anext__(self) -> Chunk: ...

    @abstractmethod
    async def aclose(self) -> None: ...

    async def asend(self, value: Any) -> Chunk:
        return await self.__anext__()

    async def athrow(
        self,
        kind: type[BaseException] | BaseException,
        value: object = None,
        trace: TracebackType | None = None,
        /,
    ) -> Chunk:
        await self.aclose()
        raise kind
