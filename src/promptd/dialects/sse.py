"""Server-sent events from bytes, whatever way the packets cut them (WHATWG HTML, "Server-sent events")."""

from __future__ import annotations

from typing import NamedTuple

from promptd.core.errors import InvalidOutput

_BOM = b"\xef\xbb\xbf"


class Event(NamedTuple):
    """One event. `data` stays bytes: its UTF-8 is checked by whoever decodes it, once it is whole."""

    data: bytes
    name: str = "message"
    id: str = ""


class Parser:
    """Incremental parser; lines end with CR, LF or CRLF. An event may hold `max_event` bytes."""

    def __init__(self, max_event: int = 1024 * 1024) -> None:
        self._max_event = max_event
        self._line = b""  # a line whose end has not come yet
        self._data: list[bytes] = []
        self._held = 0
        self._name = b""
        self._id = b""
        self._started = False
        self._after_cr = False

    def feed(self, packet: bytes) -> list[Event]:
        """The events that `packet` completes. Raises `InvalidOutput` when an event grows beyond the bound."""
        if self._after_cr and packet:
            self._after_cr = False
            packet = packet.removeprefix(b"\n")
        if packet.endswith(b"\r"):
            self._after_cr = True
        buffered = self._line + packet
        if not self._started:
            if len(buffered) < len(_BOM) and _BOM.startswith(buffered):
                self._line = buffered
                return []
            self._started = True
            buffered = buffered.removeprefix(_BOM)
        if b"\r" in buffered:
            buffered = buffered.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, self._line = buffered.split(b"\n")
        events = [event for line in lines if (event := self._take(line)) is not None]
        if self._held + len(self._line) > self._max_event:
            raise InvalidOutput(f"the stream holds an event of more than {self._max_event} bytes")
        return events

    def finish(self) -> list[Event]:
        """What an upstream left open that ended its stream without the empty line behind its last event."""
        return self.feed(b"\n\n")

    def _take(self, line: bytes) -> Event | None:
        if not line:
            return self._dispatch()
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
            self._held += len(value) + 1
            if self._held > self._max_event:
                raise InvalidOutput(f"the stream holds an event of more than {self._max_event} bytes")
        elif field == b"event":
            self._name = value
        elif field == b"id" and b"\0" not in value:
            self._id = value
        return None

    def _dispatch(self) -> Event | None:
        if not self._data:
            self._name = b""
            return None
        event = Event(
            b"\n".join(self._data),
            self._name.decode("utf-8", "replace") or "message",
            self._id.decode("utf-8", "replace"),
        )
        self._data.clear()
        self._held = 0
        self._name = b""
        return event
