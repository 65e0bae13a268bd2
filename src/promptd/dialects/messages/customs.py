"""Custom tools, which take any text, for a service whose tools take an object: the text becomes the one member of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Iterable
from contextlib import aclosing
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from promptd.core.content import Tool, ToolCall
from promptd.core.model import Chunk
from promptd.dialects.offers import is_custom

INPUT: Final = "input"
_decode: Final = msgspec.json.Decoder().decode


class CustomCalls:
    """Takes the text out of calls of custom tools again. The pieces of such a call wait until it is whole."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = names
        self._said: dict[int, list[str]] = {}

    def take(self, chunk: Chunk) -> list[Chunk]:
        """The chunk as its caller may have it; of a `done`, what is left comes before it."""
        if chunk.kind == "done":
            return [*[_call(index, "".join(said)) for index, said in self._said.items()], chunk]
        if not chunk.tool_calls:
            return [chunk]
        calls: list[ToolCall] = []
        for call in chunk.tool_calls:
            if call.name in self._names and call.index not in self._said:
                self._said[call.index] = []
                calls.append(replace(call, arguments="", custom=True))
            said = self._said.get(call.index)
            if said is None:
                calls.append(call)
            elif call.arguments:
                said.append(call.arguments)
        chunk = replace(chunk, tool_calls=tuple(calls))
        told = [chunk] if calls or chunk.text or chunk.thinking or chunk.signature or chunk.sealed else []
        for index, said in [*self._said.items()]:
            if said and said[-1].rstrip().endswith("}") and (text := _text("".join(said))) is not None:
                del self._said[index]
                told.append(_call(index, text))
        return told


def taken(chunks: AsyncGenerator[Chunk, None], tools: Iterable[Tool]) -> AsyncGenerator[Chunk, None]:
    """`chunks` as the caller who offered `tools` may have them."""
    names = {tool.name for tool in tools if is_custom(tool)}
    return _taken(chunks, CustomCalls(names)) if names else chunks


async def _taken(chunks: AsyncGenerator[Chunk, None], customs: CustomCalls) -> AsyncGenerator[Chunk, None]:
    async with aclosing(chunks):
        async for chunk in chunks:
            for told in customs.take(chunk):
                yield told


def _call(index: int, text: str) -> Chunk:
    return Chunk("progress", tool_calls=(ToolCall(index, arguments=text, custom=True),))


def _text(arguments: str) -> str | None:
    """None where the arguments are not whole, or not what was asked for."""
    try:
        decoded: Any = _decode(arguments)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None
    text = decoded.get(INPUT) if isinstance(decoded, dict) else None
    return text if isinstance(text, str) else None
