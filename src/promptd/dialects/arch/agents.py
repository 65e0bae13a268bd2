"""Agents and filters: what a file says of them has to fit together, though they can't be used yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from promptd.dialects.arch.faults import fault, shown

_LISTS: Final = ("input_filters", "output_filters")


def check_agents(tree: Mapping[str, Any]) -> None:
    """Raises `SettingsError`."""
    ids: set[str] = set()
    for key in ("agents", "filters"):
        for index, one in enumerate(tree.get(key, [])):
            if one["id"] in ids:
                raise fault(f"Duplicate agent id '{shown(one['id'])}'", (key, index, "id"), one["id"])
            ids.add(one["id"])
    filters = {one["id"] for one in tree.get("filters", [])}
    agents = {one["id"] for one in tree.get("agents", [])}
    listeners = tree.get("listeners", [])
    for index, listener in enumerate(listeners if isinstance(listeners, list) else []):
        _check_filters(listener, filters, f"Listener '{shown(listener['name'])}'", ("listeners", index))
        for number, agent in enumerate(listener.get("agents", [])):
            path = ("listeners", index, "agents", number)
            if agent["id"] not in agents:
                raise fault(f"agent '{shown(agent['id'])}' is not defined in agents", (*path, "id"), agent["id"])
            _check_filters(agent, filters, f"Agent '{shown(agent['id'])}'", path)


def _check_filters(entry: Mapping[str, Any], filters: set[str], who: str, path: tuple[str | int, ...]) -> None:
    for key in _LISTS:
        for index, name in enumerate(entry.get(key, [])):
            if name not in filters:
                raise fault(
                    f"{who} references {key} id '{shown(name)}' which is not defined in filters",
                    (*path, key, index),
                    name,
                )
