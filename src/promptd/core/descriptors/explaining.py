"""What a validator found, in words for people: the path of the value, and what would fit in its place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import jsonschema_rs
import msgspec

_PATH_LENGTH: Final = 200
_SHOWN: Final = 120
_ARTICLES: Final = {
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "boolean": "a boolean",
    "object": "an object",
    "array": "an array",
    "null": "null",
}
_LIMITS: Final = {
    "minimum": "a number of at least {}",
    "maximum": "a number of at most {}",
    "exclusiveMinimum": "a number above {}",
    "exclusiveMaximum": "a number below {}",
    "multipleOf": "a multiple of {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "minProperties": "at least {} members",
    "maxProperties": "at most {} members",
    "pattern": "text that matches `{}`",
    "format": "text of the format `{}`",
}
_NO_MEMBERS: Final = ("additionalProperties", "unevaluatedProperties")


def explain(problem: jsonschema_rs.ValidationError, *, tell: bool = True, below: str = "") -> tuple[str, str]:
    """The path of the value at fault (`order.items[2].price`), and what is expected there.

    `below` is what the whole value is called. Without `tell` names that the schema does not spell out, which are the writer's own words, stand as `*`.
    """
    problem, steps = _deepest(problem)
    kind, spelled = problem.kind.name, set(problem.schema_path)
    names: list[str | int] = [below] if below else []
    names += [step if tell or isinstance(step, int) or step in spelled else "*" for step in steps]
    value = problem.kind.value
    if kind == "required":
        return path([*names, str(value)]), "a value, which is required"
    if kind in _NO_MEMBERS and isinstance(value, list) and value:
        return path([*names, str(value[0]) if tell else "*"]), "no member of this name"
    return path(names), _expected(kind, value)


def path(steps: Iterable[str | int]) -> str:
    """`order.items[2].price`, cut where it is too long to be read."""
    written = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).removeprefix(".")
    shown = written if len(written) <= _PATH_LENGTH else f"{written[:_PATH_LENGTH]}…"
    return shown.encode(errors="replace").decode()


def articled(types: Iterable[str]) -> str:
    """`a string or null`."""
    return " or ".join(_ARTICLES.get(name, name) for name in sorted(types, key=lambda name: name == "null"))


def one_of(values: Iterable[Any]) -> str:
    """`one of "a", "b"`, cut where there are many."""
    shown = ", ".join(msgspec.json.encode(value).decode() for value in values)
    return f"one of {shown if len(shown) <= _SHOWN else shown[:_SHOWN] + '…'}"


def _deepest(
    problem: jsonschema_rs.ValidationError,
) -> tuple[jsonschema_rs.ValidationError, list[str | int]]:
    """Of alternatives none of which fits, the one that fits furthest: that is where its writer went wrong."""
    branches = getattr(problem.kind, "context", None)
    here = list(problem.instance_path)
    if not branches:
        return problem, here
    inner = [_deepest(found) for branch in branches for found in branch[:1]]
    best = max(inner, key=lambda found: len(found[1]), default=(problem, here))
    return best if len(best[1]) > len(here) or _is_nullable(branches) else (problem, here)


def _is_nullable(branches: Sequence[Sequence[jsonschema_rs.ValidationError]]) -> bool:
    """Whether the second of two alternatives is null: then it is the first that was meant."""
    last = branches[-1]
    return len(branches) == 2 and bool(last) and last[0].kind.name == "type" and last[0].kind.value == ["null"]


def _expected(kind: str, value: Any) -> str:
    if kind == "type":
        return articled(value if isinstance(value, list) else [value])
    if kind == "enum" and isinstance(value, list):
        return one_of(value)
    if kind == "const":
        return one_of([value]).removeprefix("one of ")
    if kind == "uniqueItems":
        return "items that differ"
    if kind == "falseSchema":
        return "no value"
    if kind in _LIMITS:
        return _LIMITS[kind].format(str(value)[:_SHOWN])
    return f"a value that fits `{kind}` of its schema"
