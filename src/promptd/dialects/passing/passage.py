"""The way of one stream through the house: packets in, pieces out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable

from promptd.core.passing_streams import Sink, pour
from promptd.dialects.passing.streams import Stream


class Passage:
    """Pieces go to the sink as they come, where there is one; else they are asked for one by one."""

    __slots__ = ("_at_once", "_feed", "_packets", "_raw", "_stream", "open")

    def __init__(self, stream: Stream, packets: AsyncIterator[bytes], sink: Sink | None) -> None:
        self._stream, self._packets = stream, packets
        self._feed = stream.feed
        self._at_once = sink.at_once if sink is not None else _refuse
        self._raw = b""
        self.open = True  #: the body may not be at its end

    def go_on(self) -> Awaitable[bool]:
        """To be awaited: pieces go to the sink until one has to wait, or the stream ends. Tell `rest` what it returns."""
        return pour(self._packets, self._take)

    def rest(self, more: bool) -> bytes:
        """The piece that has to wait; may be empty. Look at `error` and `ended` of the stream then.

        Raises what its `finish` does, and the sink.
        """
        self.open = more
        if not more and (raw := self._stream.finish()) and not self._at_once(raw):
            self._raw = raw
        raw, self._raw = self._raw, b""
        return raw

    def _take(self, packet: bytes) -> bool:
        raw = self._feed(packet)
        if raw and not self._at_once(raw):
            self._raw = raw
            return False
        return not self._stream.over


def _refuse(raw: bytes) -> bool:
    """Where nobody takes pieces, each is asked for."""
    return False
