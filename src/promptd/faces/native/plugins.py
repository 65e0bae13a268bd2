"""Plugins in the native API: which types of service there are, and what is wrong with those that can't be used."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from promptd.core.calls import NoConfig
from promptd.core.engine import Engine
from promptd.core.icons import Icon
from promptd.core.identity import MODEL_VIEW
from promptd.core.localisation import Key, resolve
from promptd.core.model import Capability
from promptd.faces.native.locales import AcceptLanguage, LocaleQuery, locale_of
from promptd.faces.native.operation import Call, Desk, Operation, Reply, json_reply
from promptd.service.connection_tests import localizer_of
from promptd.service.installed import Origin, Problem


class IconView(Struct, frozen=True):
    """A `name` of those that promptd draws, or the `svg` of a picture, from which everything that acts was removed."""

    name: str
    svg: str


class PluginView(Struct, frozen=True):
    """A type of service, and the plugin that brings it. One with `queries` has prompts of its own kind, with settings of
    their own. `isolation` says where a stranger's code runs: in a `thread`, in a `process`; empty: in the server itself."""

    type: str
    name: str
    description: str
    icon: IconView
    capabilities: tuple[Capability, ...]
    queries: bool
    connection_version: int
    query_version: int
    plugin: str
    version: str
    isolation: str


class PluginProblemView(Struct, frozen=True):
    """A plugin, or a type of one, that can't be used, or with a `warning` only. `entry` is its entry point."""

    plugin: str
    entry: str
    reason: str
    traceback: str
    severity: str


class PluginList(Struct, frozen=True):
    """`problems` are shown to admins only."""

    items: tuple[PluginView, ...]
    problems: tuple[PluginProblemView, ...]


def plugin_view(engine: Engine[Any, Any], origin: Origin | None, locale: str) -> PluginView:
    localizer = localizer_of(engine)
    icon = engine.icon if isinstance(engine.icon, Icon) else Icon.NEUTRAL
    return PluginView(
        engine.type_id,
        resolve(Key(engine.display_name_key), localizer, locale),
        resolve(Key(engine.display_description_key), localizer, locale),
        IconView(icon.name, icon.data),
        tuple(sorted(engine.capabilities)),
        engine.query_config_class() is not NoConfig,
        engine.connection_version,
        engine.query_version,
        origin.plugin if origin is not None else "",
        origin.version if origin is not None else "",
        origin.isolation if origin is not None else "",
    )


def _problem_view(problem: Problem) -> PluginProblemView:
    return PluginProblemView(problem.plugin, problem.entry, problem.reason, problem.traceback, problem.severity)


async def list_plugins(desk: Desk, call: Call[LocaleQuery, None]) -> Reply:
    installed, locale = desk.walk.installed, locale_of(call)
    items = tuple(
        plugin_view(engine, installed.origins.get(name), locale) for name, engine in sorted(installed.engines.items())
    )
    problems = tuple(map(_problem_view, installed.problems)) if call.caller.admin else ()
    return json_reply(200, PluginList(items, problems))


def operations(base: str) -> tuple[Operation, ...]:
    """The rows of the API's table."""
    return (
        Operation(
            method="GET",
            path=f"{base}/plugins",
            handler=list_plugins,
            summary="The types of service that connections can have; for admins also why others can't be used",
            group="connections",
            permission=MODEL_VIEW,
            query=LocaleQuery,
            headers={"Accept-Language": AcceptLanguage},
            answers={200: PluginList},
        ),
    )
