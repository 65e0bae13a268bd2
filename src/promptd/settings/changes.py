"""What a reload changes: the running settings and those that are wanted, compared section by section."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from msgspec import Struct

from promptd.settings.forms import Section
from promptd.settings.model import Settings

#: Sections and keys that a working house can take over. All others are built into sockets, the database, open streams
#: and stored keys, and take a restart.
LIVE: Final = frozenset(
    {
        "connections",
        "models",
        "default_model",
        "limits",
        "guard",
        "retention",
        "retry",
        "history",
        "log",
        "queue.max_waiting",
        "streams.max_answer_bytes",
    }
)


class Changes(Struct, frozen=True, kw_only=True):
    """Dotted keys, in the order of the settings; never values, for they may be secrets."""

    settings: Settings  #: the running ones with every change that needs no restart
    changed: tuple[str, ...]
    restart_required: tuple[str, ...]


def compare(running: Settings, wanted: Settings) -> Changes:
    """How to get from `running` to `wanted` without a restart, and what is then still missing."""
    changed: list[str] = []
    restart: list[str] = []
    update: dict[str, Any] = {}
    for name in Settings.model_fields:
        old, new = getattr(running, name), getattr(wanted, name)
        kept: list[str] = []
        for key, attribute in _differences(name, old, new):
            if name in LIVE or key in LIVE:
                changed.append(key)
            else:
                restart.append(key)
                kept.append(attribute)
        if kept:
            new = (
                new.model_copy(update={attribute: getattr(old, attribute) for attribute in kept})
                if isinstance(new, Section)
                else old
            )
        update[name] = new
    return Changes(settings=running.model_copy(update=update), changed=tuple(changed), restart_required=tuple(restart))


def _differences(name: str, old: Any, new: Any) -> Iterator[tuple[str, str]]:
    """Each differing key below `name` and what it is called inside: of a section, of a mapping, or `name` itself."""
    if isinstance(new, Section):
        for attribute, field in type(new).model_fields.items():
            if getattr(old, attribute) != getattr(new, attribute):
                yield f"{name}.{field.alias or attribute}", attribute
    elif isinstance(new, dict):
        for key in {**old, **new}:
            if old.get(key) != new.get(key):
                yield f"{name}.{key}", key
    elif old != new:
        yield name, name
