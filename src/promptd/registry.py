"""Plugins: finds entry points, loads each one alone, and lists what can't be used instead of failing.

An engine's entry is a class, or a callable that returns classes. promptd's own entries take the same way as a
stranger's; they only come first, so that no plugin takes a built-in's name, and run in the server itself. A stranger's
engine is loaded within a time limit and put where it can do no harm (`promptd.isolation`).
"""

from __future__ import annotations

import inspect
import re
import traceback
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from importlib import metadata
from typing import Any, Final, Literal, ParamSpec, Protocol, TypeVar

from msgspec import Struct
from pydantic import ValidationError

from promptd.core.engine import Config, Engine
from promptd.core.errors import SettingsError
from promptd.core.forms import Form, FormContext, form_keys
from promptd.core.icons import Icon
from promptd.core.localisation import Localizer
from promptd.core.model import Capability
from promptd.isolation import ImportFailed, Isolation, Rules, normal, within
from promptd.settings import ConnectionSettings, PluginSettings, Settings, explain, suggestion

P = ParamSpec("P")
R = TypeVar("R")

ENGINES: Final = "promptd.engines"
GUARDS: Final = "promptd.guards"
FACES: Final = "promptd.faces"
HOST: Final = "promptd"
API_VERSION: Final = 1

_TYPE_ID: Final = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
_LONGEST_TYPE_ID: Final = 120
_LISTED: Final = 10  # missing texts that a warning names
#: keys of a connection that promptd reads itself; an engine whose config has them too gets their values
_COMMON: Final = frozenset(ConnectionSettings.model_fields)


class PluginProblem(Struct, frozen=True):
    """Why an entry, or one engine of it, can't be used. For admins; the rest of the server goes on.

    A `warning` tells what is wrong with an engine that is used all the same.
    """

    plugin: str  #: name of the distribution
    entry: str  #: `group:name`
    reason: str
    traceback: str = ""
    severity: Literal["error", "warning"] = "error"


class Origin(Struct, frozen=True):
    """Where an engine comes from, and where it runs."""

    plugin: str  #: name of the distribution
    version: str  #: of the distribution; empty where its metadata has none
    entry: str  #: `group:name`
    isolation: Literal["", "thread", "process"] = ""  #: empty: in the server itself


class Entry(Protocol):
    """What the registry needs of `importlib.metadata.EntryPoint`."""

    @property
    def name(self) -> str: ...
    @property
    def group(self) -> str: ...
    @property
    def value(self) -> str: ...
    @property
    def dist(self) -> metadata.Distribution | None: ...
    def load(self) -> Any: ...


class Registry(Struct, frozen=True):
    """What is installed: engines by `type_id` (one instance each), guards and faces by entry name."""

    engines: Mapping[str, Engine[Any, Any]]
    guards: Mapping[str, Any]
    faces: Mapping[str, Any]
    problems: tuple[PluginProblem, ...]
    origins: Mapping[str, Origin] = {}  #: of the engines, by `type_id`


class _Refused(Exception):
    """A plugin breaks a rule of the plugin class."""


class _Found(Struct, frozen=True):
    """An engine that keeps every rule, its texts, and what is not quite right with it."""

    engine: Engine[Any, Any]
    localizer: Localizer | None
    warnings: tuple[str, ...]


def load(entries: Iterable[Entry] | None = None, isolation: Isolation | None = None) -> Registry:
    """Load `entries`, by default all that are installed. Never raises for a plugin's fault."""
    if entries is None:
        entries = [entry for group in (ENGINES, GUARDS, FACES) for entry in metadata.entry_points(group=group)]
    isolation = isolation or Isolation()
    problems: list[PluginProblem] = []
    engines: dict[str, Engine[Any, Any]] = {}
    origins: dict[str, Origin] = {}
    named: dict[str, dict[str, Any]] = {GUARDS: {}, FACES: {}}
    for entry in sorted(entries, key=lambda entry: (_plugin(entry) != HOST, _plugin(entry), entry.name)):
        if entry.group == ENGINES:
            for kind in _guarded(entry, problems, isolation, _engine_classes, entry, isolation) or ():
                found = _guarded(entry, problems, isolation, _engine, kind, engines, _plugin(entry) == HOST)
                if found is not None:
                    place = _place(entry, found, problems, isolation)
                    engines[found.engine.type_id] = place
                    origins[found.engine.type_id] = _origin(entry, isolation)
        elif entry.group in named:
            thing = _guarded(entry, problems, isolation, _named, entry, named[entry.group])
            if thing is not None:
                named[entry.group][entry.name] = thing
    return Registry(engines, named[GUARDS], named[FACES], tuple(problems), origins)


def check_connections(settings: Settings, registry: Registry) -> dict[str, Config]:
    """Each connection's settings as its engine's config. Raises `SettingsError` with the full path of what is wrong."""
    return {name: _config(name, connection, registry) for name, connection in settings.connections.items()}


def isolation(settings: Settings) -> Isolation:
    """Where strangers' engines run, as the settings say."""
    most = settings.streams.max_answer_bytes
    return Isolation(
        {name: _rules(one, most) for name, one in settings.plugins.items()}, _rules(PluginSettings(), most)
    )


def _rules(plugin: PluginSettings, max_answer_bytes: int) -> Rules:
    return Rules(
        mode=plugin.isolation,
        threads=plugin.threads,
        blocked_seconds=plugin.blocked_seconds,
        most_stuck=plugin.most_stuck,
        max_answer_bytes=max_answer_bytes,
        start_seconds=plugin.start_seconds,
        memory_bytes=plugin.memory_limit_mb * 1_000_000,
        cpu_seconds=plugin.cpu_seconds,
    )


def check_plugins(named: Iterable[str], registry: Registry) -> None:
    """Raises `SettingsError` for a distribution in the settings `plugins` that has no plugin here, or that is our own."""
    plugins = {one.plugin for one in registry.origins.values()} | {one.plugin for one in registry.problems}
    known = {normal(plugin) for plugin in plugins - {HOST}}
    for name in named:
        if normal(name) not in known:
            key = f"plugins.{name}"
            raise SettingsError(f'{key}: no plugin of a distribution "{name}"{suggestion(name, known)}', key=key)


def _config(name: str, connection: ConnectionSettings, registry: Registry) -> Config:
    place = f"connections.{name}"
    engine = registry.engines.get(connection.engine)
    if engine is None:
        key = f"{place}.engine"
        entry = f"{ENGINES}:{connection.engine}"
        failed = next((p for p in registry.problems if p.entry == entry and p.severity == "error"), None)
        hint = f"; it failed to load: {failed.reason}" if failed else suggestion(connection.engine, registry.engines)
        raise SettingsError(f'{key}: unknown engine "{connection.engine}"{hint}', key=key)
    model: type[Config] = engine.connection_config_class()
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
    return (entry.dist.name if entry.dist is not None else "") or ""


def _origin(entry: Entry, isolation: Isolation) -> Origin:
    plugin = _plugin(entry)
    try:
        version = (entry.dist.version if entry.dist is not None else "") or ""
    except Exception:  # metadata may be broken in many ways, and a version is only shown
        version = ""
    return Origin(plugin, version, _entry(entry), "" if plugin == HOST else isolation.rules_of(plugin).mode)


def _entry(entry: Entry) -> str:
    return f"{entry.group}:{entry.name}"


def _guarded(
    entry: Entry,
    problems: list[PluginProblem],
    isolation: Isolation,
    step: Callable[P, R],
    *args: P.args,
    **kwargs: P.kwargs,
) -> R | None:
    """The result of `step`, or None and a problem."""
    plugin = _plugin(entry)
    try:
        if plugin == HOST:
            return step(*args, **kwargs)
        return within(isolation.rules_of(plugin).start_seconds, lambda: step(*args, **kwargs))
    except _Refused as refused:
        problems.append(PluginProblem(plugin, _entry(entry), str(refused)))
    except ImportFailed as failed:
        problems.append(PluginProblem(plugin, _entry(entry), str(failed), failed.trace))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a stranger's import and constructor may raise anything, even exit
        problems.append(PluginProblem(plugin, _entry(entry), _said(error), traceback.format_exc()))
    return None


def _said(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # how a stranger's error spells itself is the stranger's code
        return type(error).__name__


def _place(entry: Entry, found: _Found, problems: list[PluginProblem], isolation: Isolation) -> Engine[Any, Any]:
    """The engine as the server uses it: its own as it is, a stranger's at a distance."""
    plugin = _plugin(entry)
    name = found.engine.type_id
    problems += [PluginProblem(plugin, _entry(entry), f"{name}: {text}", "", "warning") for text in found.warnings]
    if plugin == HOST:
        return found.engine
    return isolation.isolate(plugin, entry.value, found.engine, found.localizer)


def _engine_classes(entry: Entry, isolation: Isolation) -> list[Any]:
    if _plugin(entry) != HOST:
        isolation.probe(_plugin(entry), entry.value)
    found = entry.load()
    if inspect.isclass(found):
        return [found]
    if callable(found):
        return list(found())
    raise _Refused("neither a class nor a callable that returns classes")


def _engine(kind: Any, taken: Mapping[str, Engine[Any, Any]], own: bool) -> _Found:
    """An instance of the engine class `kind`, if it keeps every rule. Making all forms takes a tenth of a second; those of
    promptd's `own` engines are made by the tests, not at each start."""
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
    _check_methods(kind)
    if not kind.capabilities or not all(isinstance(item, Capability) for item in kind.capabilities):
        raise _Refused(f"{name}.capabilities must hold at least one Capability and nothing else")
    for version in ("connection_version", "query_version"):
        if type(getattr(kind, version)) is not int or getattr(kind, version) < 1:
            raise _Refused(f"{name}.{version} is {getattr(kind, version)!r}, expected 1 or more")
    connection, query = kind.connection_config_class(), kind.query_config_class()
    for model in (connection, query):
        _check_config(model, schema=not own)
    if "engine" in connection.model_fields:
        raise _Refused(f"{connection.__name__}.engine would hide the connection's own key; choose another name")
    engine = kind()
    localizer, warnings = (engine.localizer(), []) if own else _texts(engine)
    icon: Any = kind.icon
    if not isinstance(icon, Icon):
        warnings.append(f"icon is {type(icon).__name__}, no Icon: the neutral one is shown")
    return _Found(engine, localizer, tuple(warnings))


def _check_methods(kind: type[Engine[Any, Any]]) -> None:
    for method in [name for name, thing in vars(Engine).items() if callable(thing) or isinstance(thing, classmethod)]:
        if not method.startswith("_") and not callable(getattr(kind, method)):
            raise _Refused(f"{kind.__name__}.{method} is no method")
    if kind.run is Engine.run and kind.execute is Engine.execute:
        raise _Refused(f"{kind.__name__} has neither run nor execute")
    if inspect.iscoroutinefunction(kind.run):
        raise _Refused(f"{kind.__name__}.run must yield chunks; a method that returns one result is `execute`")


def _check_config(model: Any, *, schema: bool) -> None:
    if not (inspect.isclass(model) and issubclass(model, Config)):
        raise _Refused(f"the config class is {model!r}, expected a subclass of promptd.plugins.Config")
    try:
        model()
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, problem["loc"])) for problem in error.errors())
        raise _Refused(f"{model.__name__} can't be made without arguments: give a default to {fields}") from None
    if schema:
        model.model_json_schema()  # forms and reference pages are made from it


def _texts(engine: Engine[Any, Any]) -> tuple[Localizer | None, list[str]]:
    """The engine's texts, and warnings about those that are missing. An engine without any shows its keys.

    Texts and forms are the stranger's code, and nothing that an engine needs to run.
    """
    warnings: list[str] = []
    localizer: Any = _tried(engine.localizer, "localizer", warnings)
    if localizer is not None and not isinstance(localizer, Localizer):
        warnings.append(f"localizer() gave {type(localizer).__name__}: keys are shown as texts")
        localizer = None
    keys = [engine.display_name_key, engine.display_description_key]
    for form in (engine.connection_form, engine.query_form):
        keys += _tried(partial(_keys, form, engine.type_id), form.__name__, warnings) or []
    if localizer is None:
        return None, warnings
    warnings += localizer.problems
    missing = localizer.missing_keys(keys) if localizer.locales else []
    if missing:
        more = f" and {len(missing) - _LISTED} more" if len(missing) > _LISTED else ""
        warnings.append(f"no text in {localizer.default!r} for {', '.join(missing[:_LISTED])}{more}")
    return localizer, warnings


def _keys(form: Callable[[FormContext], Form], type_id: str) -> list[str]:
    return form_keys(form(FormContext(type_id)))


def _tried(step: Callable[[], R], name: str, warnings: list[str]) -> R | None:
    try:
        return step()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # as in `_guarded`
        warnings.append(f"{name} raised {_said(error)}")
        return None


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
