"""Uploads: streamed, bounded, shared by content, and gone with their last record."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from promptd.core.errors import Forbidden, InvalidRequest, NotFound, PayloadTooLarge, StoreUnavailable
from promptd.core.files import Upload
from promptd.core.filters import Filter, Order, Query
from promptd.core.model import Caller
from promptd.core.ports import Files
from promptd.service.clock import Ids
from promptd.service.contents import Contents
from promptd.service.uploads import Uploads
from promptd.stores.files import FolderFiles
from promptd.stores.sqlite import Database
from promptd.testing.files import stream
from tests.service.house import ADMIN, ANN, BOB, Clock

MUCH = 10**9


class Desk:
    """Uploads with the real stores under them."""

    def __init__(self, home: Path, files: Files | None = None) -> None:
        self.home, self.clock = home, Clock()
        self.database = Database(home / "promptd.db")
        self.files = files or FolderFiles(home / "files")
        self.contents = Contents(self.files, self.database.records)
        self.uploads = Uploads(
            contents=self.contents,
            records=self.database.records,
            clock=self.clock,
            ids=Ids(self.clock, os.urandom),
        )

    async def save(self, content: bytes, name: str = "note.txt", user: str = "ann") -> Upload:
        return await self.uploads.save(user, name, None, stream([content]), MUCH)

    def kept(self) -> list[str]:
        return [path.name for path in (self.home / "files").rglob("*") if path.is_file()]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    made = Desk(tmp_path)
    yield made
    await made.database.close()


async def test_what_is_saved_comes_back(desk: Desk) -> None:
    upload = await desk.uploads.save("ann", "a/b\\Report.PDF", None, stream([b"one ", b"two"]), MUCH)
    assert (upload.name, upload.media_type, upload.size, upload.user) == ("Report.PDF", "application/pdf", 7, "ann")
    assert re.fullmatch(r"file-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", upload.id)
    assert await desk.uploads.get(upload.id) == upload
    record, file = await desk.uploads.open(upload.id)
    with file:
        assert (record, file.read()) == (upload, b"one two")
    assert await desk.uploads.read(upload.id, 7) == b"one two"
    with pytest.raises(PayloadTooLarge, match=r"Report\.PDF has 7 bytes"):
        await desk.uploads.read(upload.id, 6)


async def test_nothing_is_a_file_too(desk: Desk) -> None:
    upload = await desk.uploads.save("ann", "", None, stream([]), 0)
    assert (upload.name, upload.size) == ("file", 0)
    assert await desk.uploads.read(upload.id, 0) == b""


async def test_a_file_that_is_too_large_leaves_nothing(desk: Desk) -> None:
    assert (await desk.uploads.save("ann", "f", None, stream([b"x" * 1000] * 3), 3000)).size == 3000
    before = desk.kept()
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield b"y" * 1000

    with pytest.raises(PayloadTooLarge):
        await desk.uploads.save("ann", "f", None, endless(), 2_000_000)
    assert taken == 2001
    assert desk.kept() == before
    assert len((await desk.uploads.find(None, Query())).items) == 1


async def test_a_broken_stream_leaves_nothing(desk: Desk) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await desk.uploads.save("ann", "f", None, broken(), MUCH)
    assert desk.kept() == []
    await asyncio.wait_for(desk.contents.release("0" * 64), 5)


async def test_a_media_type_that_is_none(desk: Desk) -> None:
    with pytest.raises(InvalidRequest, match="media_type"):
        await desk.uploads.save("ann", "f", "text", stream([b"x"]), MUCH)
    assert desk.kept() == []


async def test_lists(desk: Desk) -> None:
    for number, user in enumerate(("ann", "bob", "ann")):
        desk.clock.now += 1
        await desk.save(b"%d" % number, f"{number}.txt", user)
    newest = Query(order=(Order("created", descending=True),))
    assert [item.name for item in (await desk.uploads.find(None, newest)).items] == ["2.txt", "1.txt", "0.txt"]
    assert [item.name for item in (await desk.uploads.find("ann", newest)).items] == ["2.txt", "0.txt"]
    named = Query(filters=(Filter("name", "eq", "1.txt"),))
    assert (await desk.uploads.find("ann", named)).items == ()
    with pytest.raises(InvalidRequest):
        await desk.uploads.find("ann", Query(filters=(Filter("nonsense", "eq", 1),)))


@pytest.mark.parametrize("identifier", ["file-x", "", "../../etc/passwd", "\x00"])
async def test_unknown_files(desk: Desk, identifier: str) -> None:
    for verb in (desk.uploads.get, desk.uploads.open):
        with pytest.raises(NotFound):
            await verb(identifier)
    with pytest.raises(NotFound):
        await desk.uploads.read(identifier, 10)
    with pytest.raises(NotFound):
        await desk.uploads.delete(ADMIN, identifier)


async def test_owner_and_admins_delete(desk: Desk) -> None:
    mine, other = await desk.save(b"mine"), await desk.save(b"other")
    with pytest.raises(Forbidden):
        await desk.uploads.delete(BOB, mine.id)
    assert await desk.uploads.read(mine.id, 10) == b"mine"
    await desk.uploads.delete(ANN, mine.id)
    await desk.uploads.delete(ADMIN, other.id)
    assert desk.kept() == []
    with pytest.raises(NotFound):
        await desk.uploads.delete(ANN, mine.id)


async def test_bytes_stay_while_another_upload_has_them(desk: Desk) -> None:
    first, second = await desk.save(b"same"), await desk.save(b"same", "other.md", "bob")
    assert len(desk.kept()) == 1
    await desk.uploads.delete(ANN, first.id)
    assert await desk.uploads.read(second.id, 10) == b"same"
    await desk.uploads.delete(Caller("bob"), second.id)
    assert desk.kept() == []


async def test_an_open_file_survives_its_deletion(desk: Desk) -> None:
    upload = await desk.save(b"read on")
    _, file = await desk.uploads.open(upload.id)
    await desk.uploads.delete(ANN, upload.id)
    with file:
        assert file.read() == b"read on"


class SlowFiles(FolderFiles):
    """Waits between the moment when the content has its place and the moment when its saver knows."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.placed, self.go_on = asyncio.Event(), asyncio.Event()

    async def save(self, chunks: AsyncIterator[bytes]) -> str:
        digest = await super().save(chunks)
        self.placed.set()
        await self.go_on.wait()
        return digest


async def test_a_deletion_never_takes_the_bytes_of_an_upload_that_is_being_recorded(tmp_path: Path) -> None:
    files = SlowFiles(tmp_path / "files")
    files.go_on.set()
    desk = Desk(tmp_path, files)
    first = await desk.save(b"same")
    files.placed.clear()
    files.go_on.clear()
    saving = asyncio.create_task(desk.save(b"same"))
    await files.placed.wait()
    deleting = asyncio.create_task(desk.uploads.delete(ANN, first.id))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not deleting.done()
    files.go_on.set()
    second = await saving
    await deleting
    assert await desk.uploads.read(second.id, 10) == b"same"
    await desk.database.close()


async def test_a_slow_client_holds_up_no_deletion(desk: Desk) -> None:
    upload = await desk.save(b"short")
    go_on = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"slow"
        await go_on.wait()

    saving = asyncio.create_task(desk.uploads.save("ann", "f", None, slow(), MUCH))
    await asyncio.wait_for(desk.uploads.delete(ANN, upload.id), 5)
    go_on.set()
    assert (await saving).size == 4


async def test_saved_and_deleted_at_the_same_time(desk: Desk) -> None:
    """Whatever the order: a record without its bytes never comes about."""

    async def come_and_go(number: int) -> None:
        upload = await desk.save(b"the same for all")
        assert await desk.uploads.read(upload.id, 100) == b"the same for all"
        if number % 4:
            await desk.uploads.delete(ANN, upload.id)

    await asyncio.gather(*map(come_and_go, range(40)))
    left = (await desk.uploads.find(None, Query(limit=100))).items
    assert len(left) == 10
    for upload in left:
        assert await desk.uploads.read(upload.id, 100) == b"the same for all"
        await desk.uploads.delete(ANN, upload.id)
    assert desk.kept() == []


async def test_what_cannot_be_recorded_is_not_kept(desk: Desk) -> None:
    other = await desk.save(b"kept")
    digest = hashlib.sha256(b"new").hexdigest()

    async def refuse(digest: str) -> None:
        raise StoreUnavailable

    for content in (b"new", b"kept"):
        with pytest.raises(StoreUnavailable):
            await desk.contents.keep(stream([content]), refuse)
    assert digest not in desk.kept()
    assert await desk.uploads.read(other.id, 10) == b"kept"


async def test_a_caller_that_leaves_while_its_file_is_recorded(desk: Desk) -> None:
    recording, go_on, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def record(digest: str) -> None:
        recording.set()
        await go_on.wait()
        ended.set()

    saving = asyncio.create_task(desk.contents.keep(stream([b"x"]), record))
    await recording.wait()
    saving.cancel()
    await asyncio.sleep(0)
    saving.cancel()
    await asyncio.sleep(0)
    assert not saving.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await saving
    assert ended.is_set()


async def test_a_store_that_is_gone(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    await desk.database.close()
    with pytest.raises(StoreUnavailable):
        await desk.save(b"x")


async def test_bytes_that_no_record_names_are_swept_away(desk: Desk) -> None:
    kept = await desk.save(b"kept")
    orphan = await desk.files.save(stream([b"nobody's"]))
    assert await desk.contents.sweep() == 1
    assert list(await desk.files.digests()) == [kept.digest]
    assert orphan != kept.digest
    assert await desk.contents.sweep() == 0
