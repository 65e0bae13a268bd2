"""The body of an answer: decoded, counted and never larger than its bound."""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Iterator

from promptd.core.errors import InvalidOutput
from promptd.core.passing_streams import Pouring, Take
from promptd.egress.connection import Connection

_PIECE = 64 * 1024
_NO_PIECES: Iterator[bytes] = iter(())


class Gunzip:
    """Incremental gzip, a piece at a time, so that a small packet never becomes a large buffer."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(wbits=31)
        self._begun = False

    def feed(self, packet: bytes) -> Iterator[bytes]:
        while packet:
            if self._inflate.eof:  # a further member
                self._inflate = zlib.decompressobj(wbits=31)
            self._begun = True
            try:
                piece = self._inflate.decompress(packet, _PIECE)
            except zlib.error as error:
                raise InvalidOutput("the service's answer is no proper gzip", detail=str(error)) from error
            packet = self._inflate.unconsumed_tail or self._inflate.unused_data
            if piece:
                yield piece

    def finish(self) -> None:
        if self._begun and not self._inflate.eof:
            raise InvalidOutput("the service's gzip answer is cut short")


class Body(Pouring):
    """Iterates over the decoded bytes. Raises `InvalidOutput` beyond `max_bytes` and for an unknown encoding."""

    __slots__ = ("_connection", "_gunzip", "_pieces")

    def __init__(self, connection: Connection, max_bytes: int) -> None:
        self._connection = connection
        connection.most = connection.left = max_bytes
        self._pieces = _NO_PIECES
        self._gunzip: Gunzip | None = None
        if connection.encoded:
            encoding = connection.headers["content-encoding"].strip().lower()
            if encoding not in ("", "identity", "gzip", "x-gzip"):
                raise InvalidOutput(f"the service sent the content encoding {encoding[:40]!r} that was not asked for")
            self._gunzip = Gunzip() if encoding.endswith("gzip") else None
        connection.forget_head()

    async def __anext__(self) -> bytes:
        connection = self._connection
        while True:
            piece = next(self._pieces, b"") if self._gunzip is not None else b""
            if piece:
                connection.count(piece)
                return piece
            while (packet := connection.take()) is None:
                await connection.more()
            if self._gunzip is None:
                if not packet:
                    raise StopAsyncIteration
                connection.count(packet)
                return packet
            if not packet:
                self._gunzip.finish()
                raise StopAsyncIteration
            self._pieces = self._gunzip.feed(packet)

    def pour(self, take: Take) -> Awaitable[bool]:
        return self._connection.pour(take) if self._gunzip is None else self._poured(take)

    async def _poured(self, take: Take) -> bool:
        async for piece in self:
            if not take(piece):
                return True
        return False

    async def whole(self) -> bytes:
        """All that comes."""
        return b"".join([packet async for packet in self])
