"""Whether a list of parameters is still the one that somebody was bound to, and what changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any, Final

import msgspec

from promptd.core.descriptors.param import Param

#: what a reader sees and a binding does not depend on
_HINTS: Final = frozenset(("title", "description", "examples", "deprecated", "multiline", "widget", "group"))
_UNSET: Final = object()


def fingerprint(params: Sequence[Param]) -> str:
    """64 hexadecimal digits that change with what values are taken or given, not with texts, hints or order."""
    return sha256(msgspec.json.encode(_canonical(params), order="sorted")).hexdigest()


def drift(before: Sequence[Param], after: Sequence[Param]) -> list[str]:
    """One sentence for each change between two lists; none if and only if their fingerprints are the same."""
    return list(_changes("", _canonical(before), _canonical(after)))


def _canonical(params: Sequence[Param]) -> dict[str, Any]:
    return {param.name: _facts(param) for param in params}


def _facts(param: Param) -> dict[str, Any]:
    """Every member with its value, so that a default which changes with promptd's version is seen as well."""
    facts = {
        name: msgspec.to_builtins(getattr(param, name))
        for name in Param.__struct_fields__
        if name not in _HINTS and name not in ("name", "default", "properties", "items")
    }
    facts["default"] = "none" if param.default is msgspec.UNSET else [msgspec.to_builtins(param.default)]
    facts["media_types"] = sorted(param.media_types)
    facts["properties"] = _canonical(param.properties)
    facts["items"] = {} if param.items is None else {"[]": _facts(param.items)}
    return facts


def _changes(where: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    for name in sorted(before.keys() | after.keys()):
        path = f"{where}[]" if name == "[]" else f"{where}.{name}" if where else name
        old, new = before.get(name, _UNSET), after.get(name, _UNSET)
        if new is _UNSET:
            yield f"{path} is gone"
        elif old is _UNSET:
            yield f"{path} is new" + (" and required" if new["required"] else "")
        else:
            yield from _differences(path, old, new)


def _differences(path: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    for fact in new:
        if fact in ("properties", "items"):
            yield from _changes(path, old[fact], new[fact])
        elif _said(old[fact]) != _said(new[fact]):
            yield f"{path}: {fact} was {_shown(fact, old)}, is {_shown(fact, new)}"


def _said(value: Any) -> bytes:
    """What the fingerprint is made of: 1, 1.0 and True are three things here, and equal in Python."""
    return msgspec.json.encode(value, order="sorted")


def _shown(fact: str, facts: dict[str, Any]) -> str:
    if facts["sensitive"] and fact in ("default", "enum", "schema"):
        return "another" if facts[fact] != "none" else "none"
    text = _said(facts[fact]).decode()
    return text if len(text) <= 80 else f"{text[:80]}…"
