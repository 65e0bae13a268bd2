"""The folder of files: the exam, and what is its own: nothing half-written, nothing left behind, nothing in memory."""

from __future__ import annotations

import asyncio
import hashlib
import os
import resource
import shutil
import stat
import tempfile
import threading
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from promptd.core.errors import NotFound, StoreUnavailable
from promptd.core.ports import Files
from promptd.stores.files import FolderFiles
from promptd.testing.files import FilesContract, stream


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "files"


class TestFolderFiles(FilesContract):
    @pytest.fixture
    def files(self, folder: Path) -> Files:
        return FolderFiles(folder)


def contents(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """The kernel refuses more (EFBIG), as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_one_private_file_under_its_digest(folder: Path) -> None:
    files = FolderFiles(folder)
    digest = await files.save(stream([b"once"]))
    await files.save(stream([b"once"]))
    assert contents(folder) == [digest]
    path = folder / digest[:2] / digest
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_files_are_there_after_a_restart_and_leftovers_are_not(folder: Path) -> None:
    digest = await FolderFiles(folder).save(stream([b"kept"]))
    (folder / "tmp" / "half").write_bytes(b"hal")
    files = FolderFiles(folder)
    assert contents(folder) == [digest]
    with files.open(digest) as file:
        assert file.read() == b"kept"


async def test_a_full_disk_leaves_nothing_behind(folder: Path) -> None:
    files = FolderFiles(folder)
    kept = await files.save(stream([b"kept"]))
    with no_file_larger_than(1_500_000), pytest.raises(StoreUnavailable) as refused:
        await files.save(stream([b"x" * 400_000] * 10))
    assert refused.value.retryable
    assert contents(folder) == [kept]
    assert await files.save(stream([b"x" * 400_000] * 10)) != kept, "it recovers by itself"


async def test_a_folder_that_went_away(folder: Path) -> None:
    files = FolderFiles(folder)
    shutil.rmtree(folder)
    with pytest.raises(StoreUnavailable):
        await files.save(stream([b"x"]))
    with pytest.raises(NotFound):
        files.open("0" * 64)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable):
        FolderFiles(tmp_path / "file" / "files")


async def test_a_file_that_cannot_be_read(folder: Path) -> None:
    files = FolderFiles(folder)
    (folder / "00" / ("0" * 64)).mkdir(parents=True)
    with pytest.raises(StoreUnavailable):
        files.open("0" * 64)
    with pytest.raises(StoreUnavailable):
        await files.delete("0" * 64)


async def test_nothing_is_seen_before_the_end(folder: Path) -> None:
    files = FolderFiles(folder)
    half, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"a" * 2_000_000
        half.set()
        await go_on.wait()
        yield b"b"

    saving = asyncio.create_task(files.save(slow()))
    await half.wait()
    assert len(contents(folder)) == 1
    assert [path.parent.name for path in folder.rglob("*") if path.is_file()] == ["tmp"]
    go_on.set()
    digest = await saving
    assert contents(folder) == [digest]


async def test_a_cancelled_save_leaves_nothing_behind(folder: Path) -> None:
    files = FolderFiles(folder)
    for steps in range(12):
        reached = asyncio.Event()

        async def endless(stop: int = steps, reached: asyncio.Event = reached) -> AsyncIterator[bytes]:
            for step in range(stop):
                yield bytes([step]) * 1_100_000
            reached.set()
            yield b"last" * 300_000
            await asyncio.Event().wait()

        saving = asyncio.create_task(files.save(endless()))
        await reached.wait()
        saving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await saving
        assert contents(folder) == []


async def test_a_cancelled_save_waits_for_its_thread(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = FolderFiles(folder)
    started, go_on = threading.Event(), threading.Event()
    make = tempfile.mkstemp

    def slow_disk(dir: Path) -> tuple[int, str]:  # noqa: A002 - the name of the original
        started.set()
        go_on.wait()
        return make(dir=str(dir))

    monkeypatch.setattr(tempfile, "mkstemp", slow_disk)
    saving = asyncio.create_task(files.save(stream([b"x" * 2_000_000])))
    await asyncio.to_thread(started.wait)
    for _ in range(3):
        saving.cancel()
        await asyncio.sleep(0)
    assert not saving.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await saving
    assert contents(folder) == []


async def test_open_files_survive_their_deletion(folder: Path) -> None:
    files = FolderFiles(folder)
    digest = await files.save(stream([b"read on"]))
    with files.open(digest) as file:
        assert await files.delete(digest)
        assert file.read() == b"read on"
    assert contents(folder) == []


async def test_a_large_stream_is_never_whole_in_memory(folder: Path) -> None:
    files = FolderFiles(folder)
    chunk = os.urandom(64 * 1024)
    tracemalloc.start()
    try:
        digest = await files.save(stream(bytes(chunk) for _ in range(512)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert digest == hashlib.sha256(chunk * 512).hexdigest()
    assert peak < 4 * 1024 * 1024


async def test_an_adopted_file_is_moved_not_copied_and_private(folder: Path, tmp_path: Path) -> None:
    files = FolderFiles(folder)
    finished = tmp_path / "finished"
    finished.write_bytes(b"moved")
    finished.chmod(0o644)
    inode = finished.stat().st_ino
    path = files.path(await files.adopt(finished))
    assert path.stat().st_ino == inode
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_file_of_another_file_system_is_copied(folder: Path, tmp_path: Path) -> None:
    files = FolderFiles(folder)
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system")
    with tempfile.NamedTemporaryFile(dir=memory, delete=False) as finished:
        finished.write(b"far away" * 300_000)
    digest = await files.adopt(Path(finished.name))
    assert not Path(finished.name).exists()
    assert contents(folder) == [digest]
    assert files.path(digest).read_bytes() == b"far away" * 300_000


async def test_a_failed_adoption_leaves_the_file_where_it_is(folder: Path, tmp_path: Path) -> None:
    files = FolderFiles(folder)
    shutil.rmtree(folder)
    finished = tmp_path / "finished"
    finished.write_bytes(b"kept")
    with pytest.raises(StoreUnavailable):
        await files.adopt(finished)
    assert finished.read_bytes() == b"kept"
