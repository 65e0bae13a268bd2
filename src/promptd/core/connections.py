"""Connections that are stored, beside those of the settings file (contracts/formcycle.md §3)."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field


class StoredSlot(Struct, frozen=True):
    """A file that belongs to settings. `digest` names its content; `modified` is UTC seconds, in whole milliseconds."""

    filename: str
    media_type: str
    modified: float
    digest: str
    size: int


class StoredSettings(Struct, frozen=True, omit_defaults=True):
    """Settings as an engine wrote them (`SerializedConfig`); `sealed` is the data under the vault's key."""

    sealed: bytes
    content_type: str = "application/json"
    version: int | None = None
    files: dict[str, StoredSlot] = field(default_factory=dict)  #: by slot


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
