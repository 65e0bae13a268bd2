"""What a reload changes: the running settings and those that are wanted, compared section by section."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from promptd.dialects.arch import ArchConfig
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
#: Of an Arch file: sockets, and what follows from its shape.
_FIXED: Final = ("era", "listeners")
#: … what is only told of it, or stands in its sections
_ELSEWHERE: Final = frozenset({"version", "endpoints", "jailbreak", "tracing", "warnings", "chosen"})
_TAKEN_OVER: Final = tuple(
    name for name in ArchConfig.__struct_fields__ if name not in _FIXED and name not in _ELSEWHERE
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
    settings = running.model_copy(update=update)
    old_file, new_file = running.arch, wanted.arch
    if old_file is None or new_file is None:
        restart += [] if old_file is new_file else ["arch"]
    else:
        changed += _differing(_TAKEN_OVER, old_file, new_file)
        restart += _differing(_FIXED, old_file, new_file)
        settings = settings.with_arch(replace(new_file, era=old_file.era, listeners=old_file.listeners))
    return Changes(settings=settings, changed=tuple(changed), restart_required=tuple(restart))


def _differing(names: Iterable[str], old: ArchConfig, new: ArchConfig) -> list[str]:
    """What only the faces of an Arch file know; its connections and models are sections."""
    return [f"arch.{name}" for name in names if _seen(old, name) != _seen(new, name)]


def _seen(config: ArchConfig, name: str) -> Any:
    if name == "providers":
        return [(one.name, one.served, one.default, one.passthrough_auth) for one in config.providers]
    return getattr(config, name)


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
