"""Where the vault's keys are kept: a private file, the settings (from an environment variable), or the system's keyring.

Keys are kept as lines `pv1 <key in base64>`, the current one first. A key's id is the start of its SHA-256, so that the
lines can't say one thing and mean another.
"""

from __future__ import annotations

import binascii
import hashlib
import os
import secrets
from base64 import b64decode, b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from promptd.core.errors import ConfigUnusable

KEY_BYTES: Final = 32
ID_BYTES: Final = 8
_LINE: Final = "pv1"

Keys = Mapping[bytes, bytes]
"""Keys by id, the current one first."""


def key_id(key: bytes) -> bytes:
    """The 8 bytes by which an envelope names its key."""
    return hashlib.sha256(key).digest()[:ID_BYTES]


def fresh() -> dict[bytes, bytes]:
    """One new key."""
    key = secrets.token_bytes(KEY_BYTES)
    return {key_id(key): key}


def written(keys: Keys) -> str:
    """The lines of `keys`."""
    return "".join(f"{_LINE} {b64encode(key).decode()}\n" for key in keys.values())


def read(text: str, place: str) -> dict[bytes, bytes]:
    """The keys of `text`, lines or the same with commas between. Raises `ConfigUnusable`, naming `place` and the line."""
    keys: dict[bytes, bytes] = {}
    for number, line in enumerate(text.strip().replace(",", "\n").splitlines(), 1):
        mark, _, encoded = line.strip().partition(" ")
        try:
            key = b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if mark != _LINE or len(key) != KEY_BYTES:
            raise ConfigUnusable(f"{place} is damaged in line {number}")
        keys[key_id(key)] = key
    if not keys:
        raise ConfigUnusable(f"{place} is empty")
    return keys


class KeySource(Protocol):
    """Every method raises `ConfigUnusable` where the place can't be read, written or trusted."""

    #: whether promptd itself can put other keys there
    writable: bool

    def load(self) -> dict[bytes, bytes]:
        """The keys; empty where none was made yet."""

    def create(self) -> dict[bytes, bytes]:
        """The keys, with a fresh one where there was none."""

    def replace(self, keys: Keys) -> None:
        """Keep these instead, all or none."""


class KeyFile:
    """A file of mode 0600; the first need of a key makes it."""

    writable = True

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> dict[bytes, bytes]:
        try:
            with self._path.open("rb") as file:
                if os.fstat(file.fileno()).st_mode & 0o077:
                    raise ConfigUnusable(f"the key file {self._path} is open to others; make it private: chmod 600")
                text = file.read().decode("ascii", "replace")
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise ConfigUnusable(f"the key file {self._path} can't be read", detail=repr(error)) from None
        return read(text, f"the key file {self._path}")

    def create(self) -> dict[bytes, bytes]:
        """Another process may be faster: then its key is the key. Readers never see half of the file."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft = self._draft(fresh())
            try:
                os.link(draft, self._path)
            except FileExistsError:
                pass
            finally:
                draft.unlink()
            _sync_folder(self._path.parent)
        except OSError as error:
            raise ConfigUnusable(f"the key file {self._path} can't be made", detail=repr(error)) from None
        return self.load()

    def replace(self, keys: Keys) -> None:
        try:
            self._draft(keys).replace(self._path)
            _sync_folder(self._path.parent)
        except OSError as error:
            raise ConfigUnusable(f"the key file {self._path} can't be written", detail=repr(error)) from None

    def _draft(self, keys: Keys) -> Path:
        """A private file beside the key file, on disk before it takes the name."""
        draft = self._path.with_name(f".{self._path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(written(keys).encode())
            file.flush()
            os.fsync(file.fileno())
        return draft


class KeyText:
    """Keys that the operator gives, in a variable: only the operator can change them.

    To rotate, a fresh key is put in front of the old one, and the old one is removed once all is sealed anew.
    """

    writable = False

    def __init__(self, text: str, place: str = "the vault's key") -> None:
        self._text, self._place = text, place

    def load(self) -> dict[bytes, bytes]:
        return read(self._text, self._place)

    def create(self) -> dict[bytes, bytes]:
        return self.load()

    def replace(self, keys: Keys) -> None:
        raise ConfigUnusable(f"{self._place} is given from outside; put a fresh key in front of it there")


class KeyRing:
    """The operating system's keyring, by the package `keyring` (the extra `keyring`)."""

    writable = True

    def __init__(self, service: str, user: str = "vault") -> None:
        self._service, self._user = service, user

    def load(self) -> dict[bytes, bytes]:
        ring = _keyring()
        try:
            text = ring.get_password(self._service, self._user)
        except Exception as error:  # a backend may raise anything: D-Bus, a prompt that was refused …
            raise ConfigUnusable("the system's keyring can't be read", detail=repr(error)) from None
        return {} if text is None else read(text, f"the entry {self._service!r} of the system's keyring")

    def create(self) -> dict[bytes, bytes]:
        self.replace(fresh())
        return self.load()

    def replace(self, keys: Keys) -> None:
        ring = _keyring()
        try:
            ring.set_password(self._service, self._user, written(keys))
        except Exception as error:  # as above
            raise ConfigUnusable("the system's keyring can't be written", detail=repr(error)) from None


def _keyring() -> Any:
    try:
        import keyring  # an extra, and slow to import
    except ImportError:
        raise ConfigUnusable("the system's keyring needs the package keyring: pip install 'promptd[keyring]'") from None
    return keyring


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
