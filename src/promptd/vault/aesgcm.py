"""AES-256-GCM under keys of one source.

An envelope is `version (1) · key id (8) · nonce (12) · ciphertext and tag`; version and key id are authenticated too.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import BinaryIO, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from promptd.core.errors import ConfigUnusable
from promptd.vault.files import decrypted, encrypted
from promptd.vault.sources import ID_BYTES, KeySource, fresh

_VERSION: Final = b"\x01"
_NONCE_BYTES: Final = 12
_HEADER_BYTES: Final = len(_VERSION) + ID_BYTES


class AesGcmVault:
    """Seals with the current key of `source`, opens with any key of it. The first `seal` makes a key where there is none.

    Every method raises `ConfigUnusable` where the source can't be read, written or trusted.
    """

    def __init__(self, source: KeySource) -> None:
        self._source = source
        self._keys: dict[bytes, bytes] = {}  # by id, the current one first

    def seal(self, secret: bytes) -> bytes:
        """The envelope of `secret`; each call gives another one."""
        identifier, key = next(iter(self._load(create=True).items()))
        header, nonce = _VERSION + identifier, os.urandom(_NONCE_BYTES)
        return header + nonce + AESGCM(key).encrypt(nonce, secret, header)

    def open(self, sealed: bytes) -> bytes:
        """What was sealed. Raises `ConfigUnusable` for an unknown key, a changed envelope or another version."""
        header, nonce = sealed[:_HEADER_BYTES], sealed[_HEADER_BYTES : _HEADER_BYTES + _NONCE_BYTES]
        if not header.startswith(_VERSION) or len(nonce) < _NONCE_BYTES:
            raise ConfigUnusable("a stored secret has an unknown form")
        key = self._load().get(header[len(_VERSION) :])
        if key is None:
            raise ConfigUnusable("a stored secret was sealed with another key")
        try:
            return AESGCM(key).decrypt(nonce, sealed[_HEADER_BYTES + _NONCE_BYTES :], header)
        except InvalidTag:
            raise ConfigUnusable("a stored secret was changed or cut off") from None

    def seal_file(self, pieces: AsyncIterator[bytes]) -> tuple[bytes, AsyncIterator[bytes]]:
        """The envelope of a fresh key, and the bytes under that key."""
        key = AESGCM.generate_key(256)
        return self.seal(key), encrypted(pieces, key)

    def open_file(self, file: BinaryIO, key: bytes) -> BinaryIO:
        """The bytes under the key that was in the envelope; closing it closes `file`. Raises `ConfigUnusable` where they
        were changed or cut off, and so does reading."""
        return decrypted(file, key)

    def check(self) -> None:
        """Read the keys now, as far as there are any, so that a wrong source is found at the start."""
        self._load()

    def stale(self, sealed: bytes) -> bool:
        """Whether an envelope is not under the current key, so that `seal(open(sealed))` would renew it."""
        return sealed[:_HEADER_BYTES] != _VERSION + next(iter(self._load(create=True)))

    @property
    def changing(self) -> bool:
        """Whether older keys are still kept: a change of the key has begun and not come to its end."""
        return len(self._load()) > 1

    def rotate(self) -> bool:
        """Seal with a fresh key from now on; older keys stay, until `forget`, to open what they sealed.

        A change that has begun goes on with the key that it began with. False where promptd can't change the keys and
        nobody put another one in front: then there is nothing to change to.
        """
        keys = self._load(create=True)
        if len(keys) > 1:
            return True
        if not self._source.writable:
            return False
        self._replace({**fresh(), **keys})
        return True

    def forget(self) -> bool:
        """Drop every key but the current one; what they sealed can't be opened any more.

        False where only the operator can do so.
        """
        identifier, key = next(iter(self._load(create=True).items()))
        if not self._source.writable:
            return False
        self._replace({identifier: key})
        return True

    def _load(self, *, create: bool = False) -> dict[bytes, bytes]:
        if not self._keys:
            self._keys = self._source.load()
            if create and not self._keys:
                self._keys = self._source.create()
        return self._keys

    def _replace(self, keys: dict[bytes, bytes]) -> None:
        self._source.replace(keys)
        self._keys = keys
