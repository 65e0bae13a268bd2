"""What batches work with, and how their files are read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Final

from msgspec import Struct

from promptd.core.batches import Cutter
from promptd.core.errors import PromptdError, StoreUnavailable
from promptd.core.model import Caller, Prompt
from promptd.core.ports import Records
from promptd.core.routing import Route
from promptd.dialects.asked import Asked
from promptd.service.clock import Clock, Ids
from promptd.service.contents import Contents
from promptd.service.filed import Filed
from promptd.service.intake import Intake
from promptd.service.prompts import Prompts
from promptd.service.streams import Streams

_PIECE: Final = 256 * 1024


class Decoded(Struct, frozen=True):
    """A line's request as prompts, at least one, and what makes one body of their answers, in the same order.

    `encode` is kept for as long as the prompts run, so it should not hold the request. It raises `PromptdError` where
    the answer can't have the form that is wanted.
    """

    asked: tuple[Asked, ...]
    encode: Callable[[Sequence[Prompt]], bytes]


class Kind(Struct, frozen=True):
    """How an endpoint reads the requests of a batch and tells of errors: its face says so.

    `decode` raises `InvalidRequest`; `refuse` gives status and body.
    """

    decode: Callable[[bytes], Decoded]
    refuse: Callable[[PromptdError], tuple[int, bytes]]


class BatchRules(Struct, frozen=True, kw_only=True):
    at_once: int = 32  #: batches that are worked on
    queued: int = 32  #: lines of one batch that are in the queue at a time
    unfinished: int = 1000  #: batches in all that may wait
    priority: int = -50
    max_line_bytes: int = 16 * 1024 * 1024
    safe_seconds: float = 1.0  #: what is done is safe at most so much later
    pause_seconds: float = 2.0  #: between two tries while the store fails


class Tools(Struct, frozen=True, kw_only=True):
    """Every batch has the same."""

    records: Records
    contents: Contents
    filed: Filed
    intake: Intake
    prompts: Prompts
    streams: Streams
    renew: Callable[[Caller], Awaitable[Caller | None]]  #: what a caller of before may do now; None: nothing any more
    resolve: Callable[[str], Route]  #: raises `InvalidRequest`
    kinds: Mapping[str, Kind]  #: by path
    clock: Clock
    ids: Ids
    folder: Path  #: for files under way
    rules: BatchRules


def spools(folder: Path, identifier: str) -> tuple[Path, Path]:
    """Where the answers and the errors of a batch are gathered."""
    return folder / f"{identifier}.output", folder / f"{identifier}.error"


async def lines_of(tools: Tools, file_id: str) -> AsyncGenerator[tuple[int, bytes], None]:
    """The lines of an upload with their numbers. Raises `NotFound`, `Overlong`, `StoreUnavailable`."""
    _, file = await tools.filed.open(file_id)
    cutter = Cutter(tools.rules.max_line_bytes)
    with file:
        while piece := await _piece(file):
            for line in cutter.feed(piece):
                yield line
        for line in cutter.end():
            yield line


async def beginning_of(path: Path, size: int) -> AsyncGenerator[bytes, None]:
    """The first `size` bytes of a file. Raises `StoreUnavailable`."""
    with _open(path) as file:
        while size > 0:
            piece = await _piece(file)
            if not piece:
                raise StoreUnavailable("a file of a batch is shorter than it was")
            yield piece[:size]
            size -= len(piece)


def _open(path: Path) -> BinaryIO:
    """On the loop: a thread whose caller is cancelled would leave the file open."""
    try:
        return path.open("rb")
    except OSError as error:
        raise StoreUnavailable("a file of a batch can't be read", detail=str(error)) from error


async def _piece(file: BinaryIO) -> bytes:
    try:
        return await asyncio.to_thread(file.read, _PIECE)
    except OSError as error:
        raise StoreUnavailable("a file of a batch can't be read", detail=str(error)) from error
