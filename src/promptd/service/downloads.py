"""Downloads: files that the server fetches by itself, such as models. They survive pauses, broken lines and restarts."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Final

from msgspec.structs import replace

from promptd.core.errors import (
    Conflict,
    InvalidOutput,
    InvalidRequest,
    NotFound,
    Overloaded,
    PromptdError,
    ShuttingDown,
    StoreUnavailable,
)
from promptd.core.files import (
    MAX_FOLDER,
    Download,
    DownloadStatus,
    HubTag,
    checked_sha256,
    download_id,
    name_in,
    source_of,
)
from promptd.core.filters import Page, Query
from promptd.core.model import Failure
from promptd.core.ports import HttpClient, Records
from promptd.service.clock import Clock
from promptd.service.contents import Contents
from promptd.service.fetching import find_on_hub
from promptd.service.partial import Part, size_of
from promptd.service.transfer import DownloadRules, Listener, Means, Sleep, Transfer

_log = logging.getLogger(__name__)
_STORE_PAUSE: Final = 1.0  # seconds until a status is written again that the store did not take


class Downloads:
    """Call `resume` once at the start and `close` at the end.

    `http` is an egress of its own: it may go to public addresses and to those that the operator names. `listener` hears
    of every new status. `folder` holds what is not complete; complete files go to `contents`.
    """

    def __init__(
        self,
        *,
        contents: Contents,
        records: Records,
        http: HttpClient,
        folder: Path,
        clock: Clock,
        rules: DownloadRules | None = None,
        listener: Listener | None = None,
        sleep: Sleep = asyncio.sleep,
        free: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
    ) -> None:
        self._contents, self._records, self._folder = contents, records, folder
        self._rules = rules or DownloadRules()
        self._means = Means(
            http=http,
            records=records,
            clock=clock,
            sleep=sleep,
            free=free,
            rules=self._rules,
            slots=asyncio.Semaphore(self._rules.at_once),
            listener=listener,
        )
        self._live: dict[str, Transfer] = {}
        self._starting = asyncio.Lock()
        self._closing = False

    # ------------------------------------------------------------ verbs

    async def start(
        self, url: str, folder: str | None = None, user: str = "", *, sha256: str | None = None
    ) -> Download:
        """Begin or go on, in the background; a completed download stays as it is unless `sha256` wants other content.

        `url` may be a hub's `owner/repo/file` or `owner/repo:TAG`. Raises `InvalidRequest`, `Overloaded`, and for a tag
        what asking the hub raises (a `PromptExecutionError`).
        """
        wanted = checked_sha256(sha256)
        if folder is not None and len(folder) > MAX_FOLDER:
            raise InvalidRequest(field="folder", expected=f"at most {MAX_FOLDER} characters")
        source = source_of(url, self._rules.hub)
        address = await find_on_hub(self._means.http, self._rules.hub, source) if isinstance(source, HubTag) else source
        key = download_id(address)
        async with self._starting:
            while (live := self._live.get(key)) is not None and live.pausing:
                await asyncio.wait({live.end})
            if live is not None:
                if wanted not in (None, live.record.sha256):
                    raise Conflict("this download is in progress without this checksum; pause it first")
                return live.shown
            old = await self._records.get(Download, key)
            if old is not None and old.status is DownloadStatus.COMPLETED and self._is_there(old, wanted):
                return old
            if self._closing:
                raise ShuttingDown
            if len(self._live) >= self._rules.most:
                raise Overloaded(f"{self._rules.most} downloads are under way or waiting")
            return await self._begin(old, address, user, folder, wanted)

    async def pause(self, url: str) -> Download:
        """Stop for now; the record says what came of it: a download that is not in progress stays as it is.

        `url` may be the download's id. Raises `NotFound`.
        """
        live = self._live.get(self._key(url))
        if live is None:
            return await self._known(url)
        live.pausing = True
        live.work.cancel()
        await asyncio.wait({live.end})
        return live.record

    async def get(self, url: str) -> Download | None:
        """By URL or id, with the progress of this moment."""
        key = self._key(url)
        live = self._live.get(key)
        return live.shown if live is not None else await self._records.get(Download, key)

    async def find(self, query: Query) -> Page[Download]:
        """Raises `InvalidRequest`."""
        page = await self._records.find(Download, query)
        items = tuple(self._live[item.id].shown if item.id in self._live else item for item in page.items)
        return Page(items=items, after=page.after, count=page.count)

    async def wait(self, url: str) -> Download:
        """The download as soon as it is no longer in progress. Raises `NotFound`."""
        while (live := self._live.get(self._key(url))) is not None:
            await asyncio.wait({live.end})
        return await self._known(url)

    async def path(self, url: str) -> Path:
        """Where a completed file lies, for programs that open files themselves. Raises `NotFound`."""
        return self._contents.path((await self._completed(url)).digest or "")

    async def open(self, url: str) -> tuple[Download, BinaryIO]:
        """A completed file, to be closed by the caller. Raises `NotFound`, `StoreUnavailable`."""
        record = await self._completed(url)
        return record, self._contents.open(record.digest or "")

    # ------------------------------------------------------------ life

    async def resume(self) -> None:
        """Take up what the last run left: go on with what was in progress, and clear away parts that nobody knows.

        Raises `StoreUnavailable`.
        """
        parts = self._parts()
        known: set[Path] = set()
        after: str | None = None
        while True:
            page = await self._records.find(Download, Query(limit=1000, after=after))
            for record in page.items:
                if record.status is not DownloadStatus.COMPLETED:
                    known.add(self._part_path(record.id))
                    await self._take_up(record)
            after = page.after
            if after is None:
                break
        for path in parts - known:
            path.unlink(missing_ok=True)

    def _parts(self) -> set[Path]:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return set(self._folder.glob("*.part"))
        except OSError as error:
            raise StoreUnavailable("the folder of downloads can't be used", detail=str(error)) from error

    async def close(self) -> None:
        """Stop what is under way; its status stays, so that the next `resume` goes on."""
        self._closing = True
        for live in self._live.values():
            live.work.cancel()
        ends = [live.end for live in self._live.values()]
        if ends:
            await asyncio.wait(ends)

    async def _take_up(self, record: Download) -> None:
        there = min(record.received, size_of(self._part_path(record.id)))
        if record.status is DownloadStatus.IN_PROGRESS:
            self._spawn(replace(record, received=there))
        elif there != record.received:
            await self._records.put(replace(record, received=there, version=record.version + 1))

    async def _begin(
        self, old: Download | None, url: str, user: str, folder: str | None, wanted: str | None
    ) -> Download:
        now = self._means.clock()
        record = old or Download(id=download_id(url), url=url, name=name_in(url), user=user, created=now, updated=now)
        begun = replace(
            record,
            folder=record.folder if folder is None else folder,
            status=DownloadStatus.IN_PROGRESS,
            sha256=wanted or record.sha256,
            digest=None,
            error=None,
            received=min(record.received, size_of(self._part_path(record.id))),
            updated=now,
            version=0 if old is None else old.version + 1,
        )
        await self._records.put(begun)
        if old is not None and old.digest is not None:
            await self._contents.release(old.digest)
        self._means.tell(begun)
        return self._spawn(begun).shown

    def _spawn(self, record: Download) -> Transfer:
        live = self._live[record.id] = Transfer(self._means, record, Part(self._part_path(record.id), record.received))
        live.work = asyncio.create_task(live.fetch(), name=f"download {record.id}")
        live.end = asyncio.create_task(self._end(live), name=f"end of download {record.id}")
        return live

    # ------------------------------------------------------------ fetching

    # ------------------------------------------------------------ ends

    async def _end(self, live: Transfer) -> None:
        await asyncio.wait({live.work})
        try:
            await live.part.close()
            if live.work.cancelled():
                status = DownloadStatus.PAUSED if live.pausing else DownloadStatus.IN_PROGRESS
                await self._settle(live, status)
            elif (error := live.work.exception()) is not None:
                await self._fail(live, error)
            else:
                await self._complete(live)
        finally:
            del self._live[live.record.id]

    async def _complete(self, live: Transfer) -> None:
        expected = live.record.sha256 or live.linked
        size, found = live.part.received, live.part.digest
        if expected not in (None, found):
            live.part.path.unlink(missing_ok=True)
            await self._fail(live, InvalidOutput(f"the checksum is wrong: expected {expected}, got {found}"))
            return

        async def record(digest: str) -> None:
            await self._settle(live, DownloadStatus.COMPLETED, received=size, size=size, digest=digest, error=None)

        try:
            await self._contents.adopt(live.part.path, found, record)
        except Exception as error:  # whatever it is, the record must not say that it goes on
            await self._fail(live, error)

    async def _fail(self, live: Transfer, error: BaseException) -> None:
        if isinstance(error, PromptdError):
            failure = Failure(error.code, error.message)
        else:
            _log.error("download of %s failed", live.record.url, exc_info=error, extra={"action": "download_failed"})
            failure = Failure(PromptdError.code, PromptdError.title)
        await self._settle(live, DownloadStatus.ERRORED, error=failure)

    async def _settle(self, live: Transfer, status: DownloadStatus, **changes: Any) -> None:
        """Record how it ended, as soon as the store takes it; only a shutdown gives up."""
        there = {"received": min(live.part.safe, size_of(live.part.path))}
        while True:
            try:
                await live.save(status=status, **{**there, **changes})
            except StoreUnavailable as error:
                if self._closing:
                    _log.warning("%s: %s", live.record.url, error, extra={"action": "download_unsaved"})
                    return
                await self._means.sleep(_STORE_PAUSE)
            else:
                return

    # ------------------------------------------------------------ look-ups

    def _key(self, text: str) -> str:
        """The id that a URL, a hub's file or an id means; no record has it where the text means nothing."""
        try:
            source = source_of(text, self._rules.hub)
        except InvalidRequest:
            return text
        return text if isinstance(source, HubTag) else download_id(source)

    async def _known(self, url: str) -> Download:
        record = await self._records.get(Download, self._key(url))
        if record is None:
            raise NotFound(f"there is no download of {url[:200]!r}")
        return record

    async def _completed(self, url: str) -> Download:
        record = await self._known(url)
        if record.status is not DownloadStatus.COMPLETED:
            raise NotFound(f"the download is {record.status}")
        return record

    def _is_there(self, record: Download, wanted: str | None) -> bool:
        if record.digest is None or wanted not in (None, record.digest):
            return False
        try:
            self._contents.path(record.digest)
        except NotFound:
            return False
        return True

    def _part_path(self, key: str) -> Path:
        return self._folder / f"{key}.part"
