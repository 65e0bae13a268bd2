"""The events of our own server from bytes (WHATWG HTML, "Server-sent events"), with the retry hint."""

from __future__ import annotations

import json
from typing import Any, NamedTuple


class Event(NamedTuple):
    kind: str
    id: str
    data: dict[str, Any]


class Parser:
    """Incremental. What a broken connection left unfinished is dropped: the server sends it again."""

    def __init__(self) -> None:
        self._rest = b""
        self._kind = self._id = ""
        self._data: list[str] = []
        self.retry_seconds: float | None = None

    def feed(self, packet: bytes) -> list[Event]:
        """The events that `packet` completes."""
        *lines, self._rest = (self._rest + packet).split(b"\n")
        return [event for line in lines if (event := self._take(line.rstrip(b"\r").decode("utf-8", "replace")))]

    def _take(self, line: str) -> Event | None:
        if not line:
            return self._dispatch()
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            self._data.append(value)
        elif field == "event":
            self._kind = value
        elif field == "id":
            self._id = value
        elif field == "retry" and value.isascii() and value.isdigit():
            self.retry_seconds = int(value) / 1000
        return None

    def _dispatch(self) -> Event | None:
        text, kind = "\n".join(self._data), self._kind
        self._data, self._kind = [], ""
        if not text:
            return None
        try:
            data = json.loads(text)
        except ValueError:
            return None
        return Event(kind, self._id, data) if isinstance(data, dict) else None
