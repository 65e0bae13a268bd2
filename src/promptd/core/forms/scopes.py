"""Places in a form: a scope such as `#/properties/auth/properties/user`, in the schema and in the data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Names = tuple[str, ...]

_PROPERTY = "properties"


def scope_of(names: Names) -> str:
    """The scope of the setting that these names lead to."""
    escaped = (name.replace("~", "~0").replace("/", "~1") for name in names)
    return "#" + "".join(f"/{_PROPERTY}/{name}" for name in escaped)


def names_of(scope: str) -> Names | None:
    """The names in a scope, or None if it is none. Scopes lead through objects, never into lists."""
    parts = scope.split("/")
    if parts[0] != "#" or len(parts) % 2 == 0 or len(parts) < 3 or set(parts[1::2]) != {_PROPERTY}:
        return None
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in parts[2::2])


def variants(schema: Mapping[str, Any], node: Any) -> Iterator[dict[str, Any]]:
    """The schema `node` and all that it refers to or chooses from, each once."""
    waiting, seen = [node], set()
    while waiting:
        one = waiting.pop(0)
        if not isinstance(one, dict) or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        if isinstance(one.get("$ref"), str):
            waiting.append(referred(schema, one["$ref"]))
        for word in ("allOf", "anyOf", "oneOf"):
            if isinstance(one.get(word), list):
                waiting += one[word]


def referred(schema: Mapping[str, Any], reference: str) -> Any:
    """What a reference into `$defs` leads to, or None."""
    name = reference.removeprefix("#/$defs/").replace("~1", "/").replace("~0", "~")
    return (schema.get("$defs") or {}).get(name) if reference.startswith("#/$defs/") else None


def properties(schema: Mapping[str, Any], node: Any) -> dict[str, Any]:
    """The properties that an object of schema `node` can have."""
    found: dict[str, Any] = {}
    for one in variants(schema, node):
        if isinstance(one.get(_PROPERTY), dict):
            found = one[_PROPERTY] | found
    return found


def at(schema: Mapping[str, Any], names: Names) -> dict[str, Any] | None:
    """The schema of the setting that `names` lead to, or None."""
    node: Any = schema
    for name in names:
        node = properties(schema, node).get(name)
        if not isinstance(node, dict):
            return None
    return node if isinstance(node, dict) else None


def value_at(data: Any, names: Names) -> tuple[bool, Any]:
    """Whether the data has something there, and what."""
    for name in names:
        if not isinstance(data, dict) or name not in data:
            return False, None
        data = data[name]
    return True, data


def element_id(type_id: str, object_id: str, scope: str) -> str:
    """The id of a control on a page. Different types, objects or scopes never share one."""
    return "f-" + "-".join(
        "".join(sign if sign.isascii() and sign.isalnum() else f"_{ord(sign):x}_" for sign in part)
        for part in (type_id, object_id, scope)
    )
