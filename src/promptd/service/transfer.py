"""One download under way: fetching over broken lines, checking what comes, and its record."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from promptd.core.errors import InvalidInput, NetworkError, PayloadTooLarge, PromptExecutionError, StoreUnavailable
from promptd.core.files import Download, DownloadStatus, validator_of
from promptd.core.ports import HttpClient, Records
from promptd.service.clock import Clock
from promptd.service.contents import unbroken
from promptd.service.fetching import Landing, content_length, content_range, follow, refusal
from promptd.service.partial import Part

Sleep = Callable[[float], Awaitable[None]]
Listener = Callable[[Download], None]

_log = logging.getLogger(__name__)
_LONGEST_PAUSE: Final = 300.0  # seconds, whatever a server's Retry-After says


class DownloadRules(Struct, frozen=True):
    """The operator's choices."""

    hub: str = "https://huggingface.co"  #: base URL that ids such as `owner/repo/file.gguf` belong to
    at_once: int = 3
    most: int = 1000  #: under way and waiting together
    max_bytes: int = 1024**4  #: largest file
    reserve_bytes: int = 1024**3  #: of the disk, which downloads leave free
    tries: int = 5  #: in a row that bring no byte
    backoff_seconds: float = 1.0  #: before the second try; doubles from try to try
    progress_seconds: float = 1.0  #: between two writes of the progress


class Means(Struct, frozen=True, kw_only=True):
    """What all transfers share."""

    http: HttpClient
    records: Records
    clock: Clock
    sleep: Sleep
    free: Callable[[Path], int]  #: bytes that a folder's disk has left
    rules: DownloadRules
    slots: asyncio.Semaphore
    listener: Listener | None

    def tell(self, record: Download) -> None:
        """A new status, to the log and whoever listens."""
        _log.info("%s: %s", record.url, record.status, extra={"action": "download_status", "status": record.status})
        if self.listener is not None:
            self.listener(record)


class Transfer:
    """A download that is in progress or waits for its turn. `record` is what is stored."""

    work: asyncio.Task[None]  #: fetches, and may be cancelled
    end: asyncio.Task[None]  #: records how it ended, and is never cancelled

    def __init__(self, means: Means, record: Download, part: Part) -> None:
        self.record, self.part = record, part
        self.linked: str | None = None  #: SHA-256 that the hub names
        self.pausing = False
        self._means = means
        self._saved = record.updated

    @property
    def shown(self) -> Download:
        """The record with the progress of this moment."""
        going = self.record.status is DownloadStatus.IN_PROGRESS
        return replace(self.record, received=self.part.received) if going else self.record

    async def fetch(self) -> None:
        """Fetch until all is there; tries in a row that bring nothing are counted."""
        failures = 0
        async with self._means.slots:
            while True:
                before = self.part.received
                try:
                    await self._try()
                except PromptExecutionError as error:
                    failures = 1 if self.part.received > before else failures + 1
                    if not error.retryable or failures >= self._means.rules.tries:
                        raise
                    pause = error.retry_after or self._means.rules.backoff_seconds * 2.0 ** (failures - 1)
                    _log.info("%s: %s; trying again", self.record.url, error, extra={"action": "download_retry"})
                    await self._means.sleep(min(pause, _LONGEST_PAUSE))
                else:
                    return

    async def _try(self) -> None:
        part = self.part
        await part.sync()
        while True:
            headers = {}
            if part.received and (self.record.validator or self.record.sha256):
                headers["range"] = f"bytes={part.received}-"
                if self.record.validator:
                    headers["if-range"] = self.record.validator
            elif part.received:
                await part.reset()
            async with follow(
                self._means.http, self.record.url, headers=headers, max_bytes=self._means.rules.max_bytes + 1
            ) as landing:
                if await self._take(landing, part.received):
                    return
            # what is there and what the server has now don't fit together
            await part.reset()

    async def _take(self, landing: Landing, offset: int) -> bool:
        """Take an answer's content to its end; False where it does not continue what is there."""
        response, headers, part = landing.response, landing.response.headers, self.part
        self.linked = landing.linked_digest(self._means.rules.hub)
        self._check_linked()
        validator = validator_of(headers.get("etag", ""), headers.get("last-modified", ""))
        start, total = content_range(headers)
        if response.status == 416 and offset:
            return total == offset
        if response.status == 206 and offset:
            changed = bool(validator and self.record.validator and validator != self.record.validator)
            if start != offset or changed or (None not in (total, self.record.size) and total != self.record.size):
                return False
            size = total
            validator = validator or self.record.validator
        elif response.status == 200:
            if offset:
                await part.reset()
            size = content_length(headers)
        else:
            raise refusal(response)
        self._check_size(size or 0)
        self._check_space(size)
        await self.save(size=size, validator=validator, received=part.safe)
        async for chunk in response.chunks():
            await part.add(chunk)
            self._check_size(part.received)
            if self._means.clock() - self._saved >= self._means.rules.progress_seconds:
                await part.sync()
                self._check_space(size)
                await self.save(received=part.safe)
        if size is not None and part.received != size:
            raise NetworkError(f"the server sent {part.received} of {size} bytes")
        return True

    def _check_linked(self) -> None:
        if self.linked and self.record.sha256 not in (None, self.linked):
            raise InvalidInput(f"sha256: the hub says that the file's is {self.linked}")

    def _check_size(self, size: int) -> None:
        if size > self._means.rules.max_bytes:
            raise PayloadTooLarge(f"the file is larger than {self._means.rules.max_bytes} bytes")

    def _check_space(self, size: int | None) -> None:
        needed = max(0, (size or 0) - self.part.received)
        free = self._means.free(self.part.path.parent) - self._means.rules.reserve_bytes
        if free < needed:
            raise StoreUnavailable(
                f"not enough disk space: {needed} bytes are needed, {max(free, 0)} are free "
                f"beside the {self._means.rules.reserve_bytes} that stay so"
            )

    async def save(self, **changes: Any) -> None:
        """Store the record with changes; its status is told where it is new. A cancelled caller waits for the store."""

        async def put() -> None:
            now = self._means.clock()
            new = replace(self.record, **changes, updated=now, version=self.record.version + 1)
            await self._means.records.put(new)
            old, self.record, self._saved = self.record, new, now
            if new.status is not old.status:
                self._means.tell(new)

        await unbroken(put())
