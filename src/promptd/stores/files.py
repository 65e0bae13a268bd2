"""Files in a folder, named by the SHA-256 of what is in them: `ab/abcdef…`, the temporary ones beside in `tmp/`.

A file appears under its name only when all of it is on disk. The same content twice is one file.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import re
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import BinaryIO, Final, ParamSpec, TypeVar

from promptd.core.errors import NotFound, StoreUnavailable

P = ParamSpec("P")
T = TypeVar("T")

#: Bytes gathered for one hand-over to a thread; about what a save needs of memory
_BATCH: Final = 1024 * 1024

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class FolderFiles:
    """The Files port on a folder that this process has for itself.

    Raises `StoreUnavailable` where the folder can't be read or written (disk full, read-only, gone). A save that fails
    or is cancelled leaves nothing behind, unless the cancel came when all was written: then the file is whole and stays.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._temporary = folder / "tmp"
        with _translated():
            self._temporary.mkdir(mode=0o700, parents=True, exist_ok=True)
            for leftover in self._temporary.iterdir():
                leftover.unlink()

    async def save(self, chunks: AsyncIterator[bytes]) -> str:
        """Store a stream; its SHA-256 in hex. An exception of the stream itself passes through."""
        upload = _Upload(self._temporary)
        try:
            batch: list[bytes] = []
            size = 0
            async for chunk in chunks:
                batch.append(chunk)
                size += len(chunk)
                if size >= _BATCH:
                    await _in_thread(upload.write, batch)
                    batch, size = [], 0
            return await _in_thread(upload.finish, batch, self._path)
        finally:
            await _in_thread(upload.discard)

    async def adopt(self, path: Path, digest: str | None = None) -> str:
        """Take over a finished file without copying it, where it lies on the same file system; its SHA-256 in hex.

        `path` must not be changed meanwhile; a given `digest` is believed. Raises `NotFound`, `ValueError` for what is
        no digest; on any failure the file stays where it is.
        """
        if digest is not None and not _DIGEST.fullmatch(digest):
            raise ValueError("the digest is no SHA-256 in lower-case hex")
        return await _in_thread(self._adopt, path, digest)

    def _adopt(self, path: Path, digest: str | None) -> str:
        try:
            file = path.open("rb")
        except FileNotFoundError:
            raise NotFound("no such file") from None
        with file:
            if digest is None:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            os.fchmod(file.fileno(), 0o600)
            os.fsync(file.fileno())
        target = _made(self._path(digest))
        try:
            path.replace(target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            return self._copy(path)
        _sync_folder(target.parent)
        return digest

    def _copy(self, path: Path) -> str:
        upload = _Upload(self._temporary)
        try:
            with path.open("rb") as file:
                while batch := file.read(_BATCH):
                    upload.write([batch])
            digest = upload.finish([], self._path)
        finally:
            upload.discard()
        path.unlink()
        return digest

    def open(self, digest: str) -> BinaryIO:
        """The content, to be closed by the caller. Raises `NotFound`, also for anything that is not a digest."""
        if not _DIGEST.fullmatch(digest):
            raise NotFound("no such file")
        with _translated():
            try:
                return self._path(digest).open("rb")
            except FileNotFoundError:
                raise NotFound("no such file") from None

    def path(self, digest: str) -> Path:
        """Where the content lies. Raises `NotFound`."""
        path = self._path(digest)
        if not _DIGEST.fullmatch(digest) or not path.is_file():
            raise NotFound("no such file")
        return path

    async def delete(self, digest: str) -> bool:
        """Whether there was such a file. Open readers keep what they read."""
        return bool(_DIGEST.fullmatch(digest)) and await _in_thread(_remove, self._path(digest))

    async def digests(self) -> Sequence[str]:
        """Everything that is stored, in no order."""
        return await _in_thread(self._all)

    def _all(self) -> list[str]:
        return [path.name for path in self._folder.glob("[0-9a-f][0-9a-f]/*") if _DIGEST.fullmatch(path.name)]

    def _path(self, digest: str) -> Path:
        return self._folder / digest[:2] / digest


class _Upload:
    """A temporary file that is being written; its methods block and are called one at a time, in threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: FileIO | None = None
        self._hash = hashlib.sha256()

    def write(self, batch: list[bytes]) -> None:
        file = self._opened()
        for chunk in batch:
            self._hash.update(chunk)
            rest = memoryview(chunk)
            while rest:  # a raw write may take less than it was given
                rest = rest[file.write(rest) :]

    def _opened(self) -> FileIO:
        if self._file is None:
            descriptor, self._name = tempfile.mkstemp(dir=self._folder)
            self._file = FileIO(descriptor, "wb")
        return self._file

    def finish(self, batch: list[bytes], path_of: Callable[[str], Path]) -> str:
        """Write the last batch and give the file its name; on return all of it is on disk."""
        self.write(batch)
        os.fsync(self._opened().fileno())
        digest = self._hash.hexdigest()
        target = _made(path_of(digest))
        Path(self._name).replace(target)
        _sync_folder(target.parent)
        return digest

    def discard(self) -> None:
        """Close, and take away what did not get its name."""
        if self._file is not None:
            self._file.close()
            Path(self._name).unlink(missing_ok=True)


def _made(target: Path) -> Path:
    """The same path, its folder made."""
    if not target.parent.is_dir():
        target.parent.mkdir(mode=0o700, exist_ok=True)
        _sync_folder(target.parent.parent)
    return target


def _remove(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    _sync_folder(path.parent)
    return True


def _sync_folder(folder: Path) -> None:
    """A new or removed name is only durable once its folder is synced."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreUnavailable(detail=str(error)) from error


async def _in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run blocking work. A cancelled caller waits until it has ended, so that nothing is closed under its hands."""
    task = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
    try:
        with _translated():
            return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait({task})
        raise
