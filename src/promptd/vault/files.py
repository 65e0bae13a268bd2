"""Files at rest: AES-256-GCM in blocks, under a key that belongs to one file, so that any part is read without the rest.

A block's nonce is its number. Whether it is the last one is authenticated too: nothing is cut off, moved or added unseen.
"""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from promptd.core.errors import ConfigUnusable

BLOCK: Final = 64 * 1024
_TAG: Final = 16
_MORE, _LAST = b"more", b"last"

if TYPE_CHECKING:
    from typing_extensions import Buffer


async def encrypted(pieces: AsyncIterator[bytes], key: bytes) -> AsyncIterator[bytes]:
    """The blocks of a stream. A key is for one stream only."""
    cipher, rest, number = AESGCM(key), bytearray(), 0
    async for piece in pieces:
        rest += piece
        while len(rest) > BLOCK:
            yield cipher.encrypt(_nonce(number), bytes(rest[:BLOCK]), _MORE)
            del rest[:BLOCK]
            number += 1
    yield cipher.encrypt(_nonce(number), bytes(rest), _LAST)


def decrypted(file: BinaryIO, key: bytes) -> BinaryIO:
    """What was encrypted, to be read from any place; closing it closes `file`. Raises `ConfigUnusable` where it was changed,
    and so does reading."""
    try:
        return cast(BinaryIO, io.BufferedReader(_Decrypted(file, AESGCM(key)), BLOCK))
    except BaseException:
        file.close()
        raise


class _Decrypted(io.RawIOBase):
    def __init__(self, file: BinaryIO, cipher: AESGCM) -> None:
        self._file, self._cipher = file, cipher
        whole = file.seek(0, io.SEEK_END)
        self._last = max(0, (whole - 1) // (BLOCK + _TAG))
        self._size = whole - (self._last + 1) * _TAG
        self._place = 0
        self._number, self._block = self._last, self._read(self._last)  # a file that was cut is found here

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        self._place = max(0, start + offset)
        return self._place

    def readinto(self, target: Buffer) -> int:
        number, offset = divmod(self._place, BLOCK)
        if number > self._last:
            return 0
        if number != self._number:
            self._number, self._block = number, self._read(number)
        view = memoryview(target).cast("B")
        found = self._block[offset : offset + len(view)]
        view[: len(found)] = found
        self._place += len(found)
        return len(found)

    def close(self) -> None:
        self._file.close()
        super().close()

    def _read(self, number: int) -> bytes:
        self._file.seek(number * (BLOCK + _TAG))
        block = self._file.read(BLOCK + _TAG)
        try:
            return self._cipher.decrypt(_nonce(number), block, _LAST if number == self._last else _MORE)
        except (InvalidTag, ValueError):
            raise ConfigUnusable("a stored file was changed or cut off") from None


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "big")
