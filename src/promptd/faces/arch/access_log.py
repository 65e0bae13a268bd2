"""Access logs of listeners in the original's format (contracts/arch.md §2): one line per request.

Lines are gathered and written by a thread, so that no request waits for the disk. A file that has grown to its bound is set
aside once, and what comes faster than the disk takes it is dropped and counted. There is no query in a line: it may hold a
secret.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_log = logging.getLogger(__name__)
_MOST_WAITING: Final = 20_000  #: lines
_MOST_BYTES: Final = 64 * 1024 * 1024
_SECONDS: Final = 0.5  #: that lines are gathered
_LONGEST: Final = 512  #: characters of a value
_UNSAFE: Final = re.compile(r'[\x00-\x1f\x7f-\x9f"\\\u2028\u2029]')


class AccessLog:
    """One file, shared by the listeners of a kind. Nothing is written before the first `add`."""

    def __init__(
        self, path: Path, *, most_bytes: int = _MOST_BYTES, most_waiting: int = _MOST_WAITING, seconds: float = _SECONDS
    ) -> None:
        self.path = path
        self._most_bytes, self._most_waiting, self._seconds = most_bytes, most_waiting, seconds
        self._waiting: list[str] = []
        self._dropped = 0
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None

    def add(self, line: str) -> None:
        if len(self._waiting) >= self._most_waiting:
            self._dropped += 1
            return
        self._waiting.append(line)
        if self._timer is None and (self._writing is None or self._writing.done()):
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._begin)

    async def flush(self) -> None:
        """Return once every line is in the file."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._writing is not None:
            await asyncio.wait([self._writing])
        await self._write()

    def _begin(self) -> None:
        self._timer = None
        self._writing = asyncio.create_task(self._write(), name="access log")

    async def _write(self) -> None:
        while self._waiting:
            lines, self._waiting = self._waiting, []
            dropped, self._dropped = self._dropped, 0
            if dropped:
                _log.warning("%d lines of %s were dropped", dropped, self.path.name, extra={"action": "log_dropped"})
            try:
                await asyncio.to_thread(self._append, "".join(lines).encode("utf-8", "replace"))
            except OSError as error:
                reason = error.strerror or "it failed"
                _log.warning("%s can't be written: %s", self.path.name, reason, extra={"action": "log_failed"})
                return

    def _append(self, data: bytes) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists() and self.path.stat().st_size + len(data) > self._most_bytes:
            self.path.replace(self.path.with_suffix(self.path.suffix + ".1"))
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            file.write(data)


class Entry:
    """What a line tells of one request. Times are UTC seconds."""

    __slots__ = (
        "attempts",
        "cluster",
        "received",
        "request_id",
        "sent",
        "started",
        "status",
        "upstream",
        "upstream_ms",
    )

    def __init__(self) -> None:
        self.started = time.time()
        self.status = 0
        self.received = self.sent = 0  #: bytes of the bodies
        self.request_id = ""
        self.upstream = ""  #: host that answered
        self.cluster = ""  #: provider
        self.upstream_ms: int | None = None
        self.attempts = 0


def line_of(
    entry: Entry, method: str, path: str, version: str, headers: Mapping[bytes, bytes], *, now: float, newer: bool
) -> str:
    """`newer`: with what era E adds on model listeners."""
    moment = (
        time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(entry.started)) + f".{int(entry.started * 1000) % 1000:03d}Z"
    )
    given = [
        _text(headers.get(b"x-forwarded-for")),
        _text(headers.get(b"user-agent")),
        _plain(entry.request_id) or _text(headers.get(b"x-request-id")),
        _text(headers.get(b"host")),
        _plain(entry.upstream) or "-",
    ]
    if newer:
        given.append(_plain(entry.cluster) or "-")
    flags = "DC" if not entry.status else "-"  # the client left before it was answered
    upstream = "-" if entry.upstream_ms is None else str(entry.upstream_ms)
    asked = f'"{_plain(method)} {_plain(path)} HTTP/{_plain(version)}"'
    numbers = f"{entry.status} {flags} {entry.received} {entry.sent} {int((now - entry.started) * 1000)} {upstream}"
    told = " ".join([f'"{value}"' for value in given])
    more = f" attempts={entry.attempts}" if newer else ""
    return f"[{moment}] {asked} {numbers} {told}{more}\n"


def _text(value: bytes | None) -> str:
    return _plain(value.decode("latin-1")) if value else "-"


def _plain(text: str) -> str:
    """Without what would end the value or the line."""
    return _UNSAFE.sub("?", text[:_LONGEST])
