"""Plugins: finds entry points, loads each one alone, and lists what can't be used instead of failing.

An engine's entry is a class, or a callable that returns classes. promptd's own entries take the same way as a
stranger's; they only come first, so that no plugin takes a built-in's name.
"""

from __future__ import annotations

import inspect
import re
import traceback
from collections.abc import Callable, Iterable, Mapping
from importlib import metadata
from typing import Any, Final, ParamSpec, Protocol, TypeVar

from msgspec import Struct
from pydantic import ValidationError

from promptd.core.engine import Config, Engine
from promptd.core.errors import SettingsError
from promptd.core.model import Capability
from promptd.settings import ConnectionSettings, Settings, explain, suggestion

P = ParamSpec("P")
R = TypeVar("R")

ENGINES: Final = "promptd.engines"
GUARDS: Final = "promptd.guards"
FACES: Final = "promptd.faces"
HOST: Final = "promptd"
API_VERSION: Final = 1

_TYPE_ID: Final = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
_LONGEST_TYPE_ID: Final = 120
#: keys of a connection that promptd reads itself; an engine whose config has them too gets their values
_COMMON: Final = frozenset(ConnectionSettings.model_fields)


class PluginProblem(Struct, frozen=True):
    """Why an entry, or one engine of it, can't be used. For admins; the rest of the server goes on."""

    plugin: str  #: name of the distribution
    entry: str  #: `group:name`
    reason: str
    traceback: str = ""


class Entry(Protocol):
    """What the registry needs of `importlib.metadata.EntryPoint`."""

    @property
    def name(self) -> str: ...
    @property
    def group(self) -> str: ...
    @property
    def dist(self) -> metadata.Distribution | None: ...
    def load(self) -> Any: ...


class Registry(Struct, frozen=True):
    """What is installed: engines by `type_id` (one instance each), guards and faces by entry name."""

    engines: Mapping[str, Engine[Any]]
    guards: Mapping[str, Any]
    faces: Mapping[str, Any]
    problems: tuple[PluginProblem, ...]


class _Refused(Exception):
    """A plugin breaks a rule of the plugin class."""


def load(entries: Iterable[Entry] | None = None) -> Registry:
    """Load `entries`, by default all that are installed. Never raises for a plugin's fault."""
    if entries is None:
        entries = [entry for group in (ENGINES, GUARDS, FACES) for entry in metadata.entry_points(group=group)]
    problems: list[PluginProblem] = []
    engines: dict[str, Engine[Any]] = {}
    named: dict[str, dict[str, Any]] = {GUARDS: {}, FACES: {}}
    for entry in sorted(entries, key=lambda entry: (_plugin(entry) != HOST, _plugin(entry), entry.name)):
        if entry.group == ENGINES:
            for kind in _guarded(entry, problems, _engine_classes, entry) or ():
                engine = _guarded(entry, problems, _engine, kind, engines)
                if engine is not None:
                    engines[engine.type_id] = engine
        elif entry.group in named:
            found = _guarded(entry, problems, _named, entry, named[entry.group])
            if found is not None:
                named[entry.group][entry.name] = found
    return Registry(engines, named[GUARDS], named[FACES], tuple(problems))


def check_connections(settings: Settings, registry: Registry) -> dict[str, Config]:
    """Each connection's settings as its engine's config. Raises `SettingsError` with the full path of what is wrong."""
    return {name: _config(name, connection, registry) for name, connection in settings.connections.items()}


def _config(name: str, connection: ConnectionSettings, registry: Registry) -> Config:
    place = f"connections.{name}"
    engine = registry.engines.get(connection.engine)
    if engine is None:
        key = f"{place}.engine"
        failed = next((p for p in registry.problems if p.entry == f"{ENGINES}:{connection.engine}"), None)
        hint = f"; it failed to load: {failed.reason}" if failed else suggestion(connection.engine, registry.engines)
        raise SettingsError(f'{key}: unknown engine "{connection.engine}"{hint}', key=key)
    model: type[Config] = engine.config_class()
    common = connection.model_dump(include=set(_COMMON.intersection(model.model_fields)))
    for key in connection.config:
        known = {field.alias or name for name, field in model.model_fields.items()} | _COMMON
        if key not in known:
            raise SettingsError(f"{place}.{key}: unknown setting{suggestion(key, known)}", key=f"{place}.{key}")
    try:
        return model.model_validate({**common, **connection.config})
    except ValidationError as error:
        raise explain(error, model, prefix=("connections", name)) from None


def _plugin(entry: Entry) -> str:
    return entry.dist.name if entry.dist is not None else ""


def _guarded(
    entry: Entry, problems: list[PluginProblem], step: Callable[P, R], *args: P.args, **kwargs: P.kwargs
) -> R | None:
    """The result of `step`, or None and a problem."""
    place = (_plugin(entry), f"{entry.group}:{entry.name}")
    try:
        return step(*args, **kwargs)
    except _Refused as refused:
        problems.append(PluginProblem(*place, str(refused)))
    except (Exception, SystemExit) as error:  # a stranger's import and constructor may raise anything, even exit
        problems.append(PluginProblem(*place, f"{type(error).__name__}: {error}", traceback.format_exc()))
    return None


def _engine_classes(entry: Entry) -> list[Any]:
    found = entry.load()
    if inspect.isclass(found):
        return [found]
    if callable(found):
        return list(found())
    raise _Refused("neither a class nor a callable that returns classes")


def _engine(kind: Any, taken: Mapping[str, Engine[Any]]) -> Engine[Any]:
    """An instance of the engine class `kind`, if it keeps every rule."""
    if not (inspect.isclass(kind) and issubclass(kind, Engine)):
        raise _Refused(f"{kind!r} is not a subclass of promptd.plugins.Engine")
    name = kind.__name__
    if kind.api_version != API_VERSION:
        raise _Refused(f"{name}.api_version is {kind.api_version!r}, this promptd speaks {API_VERSION}")
    type_id = getattr(kind, "type_id", None)
    if not isinstance(type_id, str) or not _TYPE_ID.fullmatch(type_id) or len(type_id) > _LONGEST_TYPE_ID:
        raise _Refused(f"{name}.type_id is {type_id!r}, expected something like company.service")
    if type_id in taken:
        raise _Refused(f'the type_id "{type_id}" is taken by {_path(type(taken[type_id]))}')
    if kind.run is Engine.run and kind.execute is Engine.execute:
        raise _Refused(f"{name} has neither run nor execute")
    if not kind.capabilities or not all(isinstance(item, Capability) for item in kind.capabilities):
        raise _Refused(f"{name}.capabilities must hold at least one Capability and nothing else")
    _check_config(kind.config_class())
    return kind()


def _check_config(model: type[Config]) -> None:
    try:
        model()
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, problem["loc"])) for problem in error.errors())
        raise _Refused(f"{model.__name__} can't be made without arguments: give a default to {fields}") from None
    if "engine" in model.model_fields:
        raise _Refused(f"{model.__name__}.engine would hide the connection's own key; choose another name")
    model.model_json_schema()  # forms and reference pages are made from it


def _named(entry: Entry, taken: Mapping[str, Any]) -> Any:
    """The object of a guard's or face's entry."""
    if entry.name in taken:
        raise _Refused(f'the name "{entry.name}" is taken by {_path(taken[entry.name])}')
    found = entry.load()
    if not callable(found):
        raise _Refused(f"{found!r} can't be called")
    return found


def _path(thing: Any) -> str:
    return f"{thing.__module__}.{getattr(thing, '__qualname__', thing)}"
