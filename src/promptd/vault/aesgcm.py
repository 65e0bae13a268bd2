"""AES-256-GCM under keys in one private file.

An envelope is `version (1) · key id (8) · nonce (12) · ciphertext and tag`; version and key id are authenticated too.
The key file holds one line per key, the current one first: `pv1 <key in base64>`. A key's id is the start of its
SHA-256, so the file can't say one thing and mean another.
"""

from __future__ import annotations

import binascii
import hashlib
import os
import secrets
from base64 import b64decode, b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from promptd.core.errors import ConfigUnusable

_VERSION: Final = b"\x01"
_KEY_BYTES: Final = 32
_ID_BYTES: Final = 8
_NONCE_BYTES: Final = 12
_HEADER_BYTES: Final = len(_VERSION) + _ID_BYTES
_LINE: Final = "pv1"


def key_id(key: bytes) -> bytes:
    """The 8 bytes by which an envelope names its key."""
    return hashlib.sha256(key).digest()[:_ID_BYTES]


class AesGcmVault:
    """Seals with the current key of `path`, opens with any key of it. The first `seal` makes the file, mode 0600.

    Every method raises `ConfigUnusable` where the key file can't be read, written or trusted.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
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

    def stale(self, sealed: bytes) -> bool:
        """Whether an envelope is not under the current key, so that `seal(open(sealed))` would renew it."""
        return sealed[:_HEADER_BYTES] != _VERSION + next(iter(self._load(create=True)))

    def rotate(self) -> None:
        """Seal with a fresh key from now on. Older keys stay, until `forget`, to open what they sealed."""
        fresh = secrets.token_bytes(_KEY_BYTES)
        self._replace({key_id(fresh): fresh, **self._load()})

    def forget(self) -> None:
        """Drop every key but the current one; what they sealed can't be opened any more."""
        identifier, key = next(iter(self._load(create=True).items()))
        self._replace({identifier: key})

    def _load(self, *, create: bool = False) -> dict[bytes, bytes]:
        if self._keys:
            return self._keys
        try:
            self._keys = self._read()
        except FileNotFoundError:
            if create:
                self._create()
                self._keys = self._read()
        except OSError as error:
            raise ConfigUnusable(f"the key file {self._path} can't be read", detail=repr(error)) from None
        return self._keys

    def _read(self) -> dict[bytes, bytes]:
        with self._path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise ConfigUnusable(f"the key file {self._path} is open to others; make it private: chmod 600")
            lines = file.read().decode("ascii", "replace").splitlines()
        keys: dict[bytes, bytes] = {}
        for number, line in enumerate(lines, 1):
            mark, _, text = line.partition(" ")
            try:
                key = b64decode(text, validate=True)
            except (binascii.Error, ValueError):
                key = b""
            if mark != _LINE or len(key) != _KEY_BYTES:
                raise ConfigUnusable(f"the key file {self._path} is damaged in line {number}")
            keys[key_id(key)] = key
        if not keys:
            raise ConfigUnusable(f"the key file {self._path} is empty")
        return keys

    def _create(self) -> None:
        """Make the file with a fresh key unless another process was faster; readers never see half of it."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft = self._draft([secrets.token_bytes(_KEY_BYTES)])
            try:
                os.link(draft, self._path)
            except FileExistsError:
                pass  # the other's key is the key
            finally:
                draft.unlink()
            _sync_folder(self._path.parent)
        except OSError as error:
            raise ConfigUnusable(f"the key file {self._path} can't be made", detail=repr(error)) from None

    def _replace(self, keys: dict[bytes, bytes]) -> None:
        try:
            draft = self._draft(list(keys.values()))
            draft.replace(self._path)
            _sync_folder(self._path.parent)
        except OSError as error:
            raise ConfigUnusable(f"the key file {self._path} can't be written", detail=repr(error)) from None
        self._keys = keys

    def _draft(self, keys: Sequence[bytes]) -> Path:
        """A private file beside the key file, on disk before it takes the name."""
        draft = self._path.with_name(f".{self._path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write("".join(f"{_LINE} {b64encode(key).decode()}\n" for key in keys).encode())
            file.flush()
            os.fsync(file.fileno())
        return draft


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
