"""A desk of downloads, and a server to fetch from."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from promptd.core.files import Download, DownloadStatus, download_id
from promptd.egress import Egress
from promptd.service.clock import Ids
from promptd.service.contents import Contents
from promptd.service.downloads import Downloads
from promptd.service.transfer import DownloadRules
from promptd.service.uploads import Uploads
from promptd.stores.files import FolderFiles
from promptd.stores.sqlite import Database
from tests.service.house import PATIENCE, Clock
from tests.service.origin import Origin, origin

DATA = os.urandom(3_000_000)


DIGEST = hashlib.sha256(DATA).hexdigest()


MUCH = 10**12


class Desk:
    """Downloads with all they need; a second one on the same folder follows the first as after a restart."""

    def __init__(self, home: Path, clock: Clock, hub: str, rules: DownloadRules) -> None:
        self.home, self.clock = home, clock
        self.database = Database(home / "promptd.db")
        self.files = FolderFiles(home / "files")
        self.contents = Contents(self.files, self.database.records)
        self.http = Egress([hub, "http://localhost:*"], public=True)
        self.told: list[tuple[str, DownloadStatus]] = []
        self.slept: list[float] = []
        self._looked = asyncio.Event()
        self.free: Callable[[Path], int] = lambda _: MUCH
        self.uploads = Uploads(
            contents=self.contents, records=self.database.records, clock=clock, ids=Ids(clock, os.urandom)
        )
        self.downloads = Downloads(
            contents=self.contents,
            records=self.database.records,
            http=self.http,
            folder=home / "downloads",
            clock=self._time,
            rules=rules,
            listener=lambda record: self.told.append((record.name, record.status)),
            sleep=self._sleep,
            free=lambda folder: self.free(folder),
        )

    def _time(self) -> float:
        self._looked.set()  # a download looks at the clock behind each piece
        return self.clock()

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)

    async def stop(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self.downloads.close()
            await self.http.close()
            await self.database.close()

    # ------------------------------------------------------------ shorthands

    async def fetch(self, url: str, **more: str) -> Download:
        """Start and wait for the end."""
        await self.downloads.start(url, **more)
        async with asyncio.timeout(PATIENCE):
            return await self.downloads.wait(url)

    async def stored(self, url: str) -> Download:
        found = await self.database.records.get(Download, download_id(url))
        assert found is not None
        return found

    async def content(self, url: str) -> bytes:
        _, file = await self.downloads.open(url)
        with file:
            return file.read()

    @property
    def parts(self) -> list[str]:
        return [path.name for path in (self.home / "downloads").iterdir()]

    def kept(self) -> list[str]:
        return [path.name for path in (self.home / "files").rglob("*") if path.is_file()]

    async def received(self, url: str, size: int) -> None:
        """Wait until so many bytes have come."""
        async with asyncio.timeout(PATIENCE):
            while True:
                self._looked.clear()
                found = await self.downloads.get(url)
                if found is not None and found.received >= size:
                    return
                await self._looked.wait()


@pytest.fixture
async def web() -> AsyncIterator[Origin]:
    async with origin() as found:
        yield found


@pytest.fixture
async def reopen(tmp_path: Path, web: Origin) -> AsyncIterator[Callable[..., Desk]]:
    desks: list[Desk] = []
    clock = Clock()

    def make(**rules: object) -> Desk:
        given = {"hub": web.url, "reserve_bytes": 0, "tries": 4} | rules
        desks.append(Desk(tmp_path, clock, web.url, DownloadRules(**given)))  # type: ignore[arg-type]
        return desks[-1]

    yield make
    for desk in desks:
        await desk.stop()


@pytest.fixture
async def desk(reopen: Callable[..., Desk]) -> Desk:
    made = reopen()
    await made.downloads.resume()
    return made
