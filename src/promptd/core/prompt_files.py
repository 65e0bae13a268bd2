"""Files that go into a prompt's run or come out of it: opened where they are needed, never held in memory whole."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final, Self

from promptd.core.errors import InvalidRequest
from promptd.core.files import OCTETS, media_type_of, safe_name

_PIECE: Final = 64 * 1024


@dataclass(frozen=True, eq=False, slots=True)
class PromptFile:
    """A file at run time. `size` in bytes; each `open` starts at the first byte, and whoever opens it closes it."""

    filename: str
    media_type: str
    size: int
    opener: Callable[[], BinaryIO] = field(repr=False)

    @classmethod
    def from_bytes(cls, filename: str, data: bytes, media_type: str = "") -> Self:
        """Of bytes that are in memory anyway. Without `media_type` the name's extension tells. Raises `ValueError`."""
        name = safe_name(filename)
        return cls(name, _media_type(name, media_type), len(data), lambda: io.BytesIO(data))

    @classmethod
    def from_path(cls, path: Path, filename: str = "", media_type: str = "") -> Self:
        """Of a file on disk, which must stay as it is until the run is over. Raises `OSError`, `ValueError`."""
        name = safe_name(filename or path.name)
        return cls(name, _media_type(name, media_type), path.stat().st_size, lambda: path.open("rb"))

    def open(self) -> BinaryIO:
        """The content as a binary stream. Raises `OSError`."""
        return self.opener()

    def read(self, limit: int = -1) -> bytes:
        """The first `limit` bytes, or all of it, which is for small files only. Raises `OSError`."""
        with self.open() as stream:
            return stream.read(limit)

    def chunks(self, size: int = _PIECE) -> Iterator[bytes]:
        """The content in pieces of at most `size` bytes. Raises `OSError`."""
        with self.open() as stream:
            while piece := stream.read(size):
                yield piece


def _media_type(name: str, given: str) -> str:
    try:
        return media_type_of(name, given or OCTETS)
    except InvalidRequest as error:
        raise ValueError(error.message) from None
