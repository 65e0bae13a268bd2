"""Tools that stand in a namespace. The house and every other dialect know one level of names, so such a tool has one name.

It is made of both; where the Responses API is spoken, namespace and name are told apart again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from promptd.core.content import Tool
from promptd.core.errors import InvalidRequest

KIND: Final = "namespace"
_LONGEST: Final = 64  #: name of a tool, at every vendor
_DIGITS: Final = 8


class Place(NamedTuple):
    """Where a tool stands, and what it is called there."""

    namespace: str
    name: str


NOWHERE: Final[Mapping[str, Place]] = MappingProxyType({})


def joined(namespace: str, name: str) -> str:
    """The one name of a tool; always the same one for the same two."""
    whole = f"{namespace}__{name}"
    if len(whole) <= _LONGEST:
        return whole
    mark = sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]
    return f"{whole[: _LONGEST - _DIGITS - 1]}_{mark}"


def placed(tool: Tool, namespace: str, description: str) -> Tool:
    """`tool` with its one name; the namespace is kept in `extra`."""
    space = {"name": namespace, "description": description, "tool": tool.name}
    return replace(tool, name=joined(namespace, tool.name), extra={**tool.extra, KIND: space})


def places(tools: Iterable[Tool]) -> Mapping[str, Place]:
    """The tools that stand in a namespace, by their one name."""
    found = {tool.name: place for tool in tools if (place := _place(tool)) is not None}
    return found or NOWHERE


def check(tools: Sequence[Tool]) -> None:
    """Raises `InvalidRequest` where two different tools would have one name: nobody could tell which one is called."""
    known = {tool.name: _place(tool) for tool in tools}
    for tool in tools:
        place, other = _place(tool), known[tool.name]
        if place != other:
            spoken = " and ".join(
                [f"{one.name!r} of {one.namespace!r}" if one else "another" for one in (place, other)]
            )
            raise InvalidRequest(f"tools: two of them would be called {tool.name[:100]!r}: {spoken}", field="tools")


def found(tools: Iterable[Tool], name: str, namespace: str | None) -> str:
    """The one name of the tool that a client means; without a namespace it may mean the only one that is called so."""
    if namespace is not None:
        return joined(namespace, name)
    inside = [tool.name for tool in tools if (place := _place(tool)) is not None and place.name == name]
    return inside[0] if len(inside) == 1 and all(tool.name != name for tool in tools) else name


def named(tools: Sequence[Tool], name: str) -> dict[str, str]:
    """The wire's names of the tool that is chosen; the API has no place for a namespace there, unless it can't do without."""
    spaces = places(tools)
    if (place := spaces.get(name)) is None:
        return {"name": name}
    alike = [tool for tool in tools if spaces.get(tool.name, Place("", tool.name)).name == place.name]
    return {"name": place.name} if len(alike) == 1 else place._asdict()


def told(tools: Iterable[Tool], encode: Callable[[Tool], dict[str, Any]]) -> list[dict[str, Any]]:
    """`tools` in the wire's form: those of one namespace together, where its first one stood."""
    wire: list[dict[str, Any]] = []
    spaces: dict[str, dict[str, Any]] = {}
    for tool in tools:
        place = _place(tool)
        if place is None:
            wire.append(encode(tool))
            continue
        space = spaces.get(place.namespace)
        if space is None:
            words = tool.extra[KIND].get("description")
            space = {"type": KIND, "name": place.namespace, "description": words, "tools": []}
            spaces[place.namespace] = space
            wire.append(space)
        extra = {name: value for name, value in tool.extra.items() if name != KIND}
        space["tools"].append(encode(replace(tool, name=place.name, extra=extra)))
    return wire


def _place(tool: Tool) -> Place | None:
    """Other clients may call something else a tool's namespace."""
    match tool.extra.get(KIND):
        case {"name": str(namespace), "tool": str(name)} if joined(namespace, name) == tool.name:
            return Place(namespace, name)
    return None
