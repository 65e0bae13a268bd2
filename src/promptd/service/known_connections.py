"""A stored connection as it stands, and what may be said about one."""

from __future__ import annotations

import re
from typing import Any, Final, Literal

from msgspec import Struct

from promptd.core.configs import LoadReport
from promptd.core.connections import StoredConnection, StoredSettings
from promptd.core.engine import Config, Engine
from promptd.core.errors import (
    ConfigIncomplete,
    ConfigUnusable,
    HandlerUnavailable,
    InvalidRequest,
    PromptExecutionError,
    StaleVersion,
)
from promptd.service.connections import Connection
from promptd.service.forms import Subject

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}")
_MOST_DESCRIPTION: Final = 4000
_MOST_SLOTS: Final = 10_000

State = Literal["clean", "adjusted", "incomplete", "unreadable", "unusable", "unavailable"]
"""How the settings load: `unusable` raise when they are read, `unavailable` ones belong to an engine that is not here."""


class Known(Struct, frozen=True, kw_only=True):
    """Without `engine` or `config`, `problem` says why."""

    record: StoredConnection
    state: State
    engine: Engine[Any, Any] | None = None
    config: Config | None = None
    report: LoadReport | None = None
    problem: str = ""
    lane: Connection | None = None  #: what serves its prompts; None where it can't

    def subject(self, locale: str) -> Subject:
        """Its form. Raises `HandlerUnavailable`."""
        if self.engine is None:
            raise HandlerUnavailable(self.problem)
        return Subject(
            engine=self.engine,
            object_id=self.record.id,
            locale=locale,
            before=self.config,
            discovered=self.discovered,
        )

    @property
    def discovered(self) -> dict[str, Any]:
        """What its last test found: options for forms."""
        return self.record.tested.discovered if self.record.tested is not None else {}

    @property
    def refusal(self) -> PromptExecutionError:
        """Why nothing runs on it."""
        name = self.record.name
        if self.state == "unavailable":
            return HandlerUnavailable(f"the connection {name!r}: {self.problem}")
        if self.state == "incomplete":
            return ConfigIncomplete(f"the connection {name!r} lacks a required setting")
        return ConfigUnusable(
            f"the connection {name!r} can't be used: {self.problem or 'its settings can not be read'}"
        )


def both(record: StoredConnection) -> tuple[StoredSettings | None, ...]:
    """Its settings, and those before the last save."""
    return (record.settings, record.backup)


def whole(seconds: float) -> float:
    """Whole milliseconds, as they are shown."""
    return round(seconds * 1000) / 1000


def check_current(record: StoredConnection, changed: float) -> None:
    """Raises `StaleVersion` where somebody has changed it after `changed`."""
    if whole(changed) != record.changed:
        raise StaleVersion


def check_facts(*, name: str | None = None, description: str = "", slots: int = 1) -> None:
    """Raises `InvalidRequest`."""
    if name is not None and not _NAME.fullmatch(name):
        raise InvalidRequest(
            field="name", expected="1 to 128 of letters, digits and . _ : / -, with a letter or digit first"
        )
    if len(description) > _MOST_DESCRIPTION:
        raise InvalidRequest(field="description", expected=f"at most {_MOST_DESCRIPTION} characters")
    if not 1 <= slots <= _MOST_SLOTS:
        raise InvalidRequest(field="slots", expected=f"1 to {_MOST_SLOTS}")
