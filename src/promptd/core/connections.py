"""Connections that are stored, beside those of the settings file (contracts/formcycle.md §3)."""

from __future__ import annotations

from base64 import b64encode
from typing import Any, Final

from msgspec import Struct, field

#: stands for settings that nobody can read now, because their type is not installed or their key is gone
SEALED: Final = "$sealed"


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


def sealed_mark(settings: StoredSettings) -> dict[str, Any]:
    """The settings for a file, as they lie in the store: only the server that wrote them knows what they are."""
    return {SEALED: b64encode(settings.sealed).decode()}


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
