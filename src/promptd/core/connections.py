"""Connections that are stored, beside those of the settings file (contracts/formcycle.md §3)."""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

from msgspec import Struct, field
from msgspec.structs import replace

#: stands for settings that nobody can read now, because their type is not installed or their key is gone
SEALED: Final = "$sealed"
_MOST_EARLIER: Final = 16  #: changes of the vault's key that a mark outlives


class StoredSlot(Struct, frozen=True):
    """A file that belongs to settings. `digest` names its content, `key` is the envelope of the key that this lies under;
    `modified` is UTC seconds, in whole milliseconds."""

    filename: str
    media_type: str
    modified: float
    digest: str
    size: int  #: bytes of the file itself
    key: bytes = b""  #: empty: the content is not sealed, as earlier versions left it


class StoredSettings(Struct, frozen=True, omit_defaults=True):
    """Settings as an engine wrote them (`SerializedConfig`); `sealed` is the data under the vault's key."""

    sealed: bytes
    content_type: str = "application/json"
    version: int | None = None
    files: dict[str, StoredSlot] = field(default_factory=dict)  #: by slot
    engine: str = ""  #: the `type_id` of who wrote them; empty: not known, as earlier versions left it
    earlier: tuple[bytes, ...] = ()  #: SHA-256 of what `sealed` was under earlier keys of the vault, the latest last


def resealed(settings: StoredSettings, sealed: bytes, files: dict[str, StoredSlot]) -> StoredSettings:
    """The same settings under another key of the vault. What was told of them under the one before still means them."""
    known = (*settings.earlier, sha256(settings.sealed).digest())
    return replace(settings, sealed=sealed, files=files, earlier=known[-_MOST_EARLIER:])


def sealed_mark(settings: StoredSettings) -> dict[str, Any]:
    """The settings for a file, as they lie in the store: only the server that wrote them knows what they are."""
    return {SEALED: b64encode(settings.sealed).decode()}


def is_mark_of(settings: StoredSettings, values: Mapping[str, Any]) -> bool:
    """Whether `values` is what `sealed_mark` tells of the settings, or told before the vault's key was changed."""
    told = values.get(SEALED)
    if len(values) != 1 or not isinstance(told, str):
        return False
    try:
        envelope = b64decode(told, validate=True)
    except (Error, ValueError):
        return False
    return envelope == settings.sealed or sha256(envelope).digest() in settings.earlier


class TestNote(Struct, frozen=True):
    """How the last test of a connection ended, for whoever lists them."""

    ok: bool
    message: str
    time: float
    discovered: dict[str, Any] = field(default_factory=dict)  #: options for forms, by the name of their source


class StoredConnection(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An engine with settings that somebody saved; a lane of its own under its `name`."""

    id: str  #: a UUID, given once
    name: str  #: unique, among those of the settings file too
    engine: str  #: its `type_id`; it stays as it is while that is not installed
    settings: StoredSettings
    created: float
    changed: float
    user: str  #: who made it
    description: str = ""
    slots: int = 4
    backup: StoredSettings | None = None  #: what `settings` were before the last save
    tested: TestNote | None = None
    version: int = 0
