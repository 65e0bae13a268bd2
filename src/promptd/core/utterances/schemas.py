"""Targets as tools of a model, and whether what it wants to call fits them (contracts/arch.md §5.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct, field

from promptd.core.content import Tool
from promptd.core.targets import Parameter, ParameterType, Target
from promptd.core.utterances.options import option_for
from promptd.core.utterances.shapes import plain

_JSON_TYPES: Final[Mapping[ParameterType, str]] = {
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "str": "string",
    "list": "array",
    "dict": "object",
}


class Checked(Struct, frozen=True, kw_only=True):
    """Arguments by the types of their parameters; `fault` says what else than missing values is wrong."""

    arguments: dict[str, Any] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    fault: str = ""


def tool_of(target: Target) -> Tool:
    """A target as any model takes it: the types are those of JSON Schema."""
    parameters = {one.name: _property(one) for one in target.parameters}
    required = [one.name for one in target.parameters if one.required]
    schema = {"type": "object", "properties": parameters, "required": required, "additionalProperties": False}
    return Tool(target.name, target.description, schema)


def check(target: Target, arguments: Mapping[str, Any]) -> Checked:
    """A value that is null, or none of its options, counts as missing; an unknown name and a wrong type are faults."""
    known = {one.name: one for one in target.parameters}
    kept: dict[str, Any] = {}
    for name, value in arguments.items():
        parameter = known.get(name)
        if parameter is None:
            return Checked(fault=f"unknown parameter {name[:60]!r}")
        if value is None:
            continue
        fits, typed = _typed(parameter, value)
        if not fits:
            return Checked(fault=f"{name}: expected {parameter.type}")
        if typed is not None:
            kept[name] = typed
    ordered = {name: kept[name] for name in known if name in kept}
    return Checked(arguments=ordered, missing=missing(target, ordered))


def missing(target: Target, arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """Required parameters that have no value."""
    return tuple([one.name for one in target.parameters if one.required and one.name not in arguments])


def _property(parameter: Parameter) -> dict[str, Any]:
    hints = [parameter.description, f"Format: {parameter.format}." if parameter.format else ""]
    if parameter.default is not None:
        hints.append(f"Default: {plain(parameter.default)}.")
    told: dict[str, Any] = {"type": _JSON_TYPES[parameter.type], "description": " ".join(filter(None, hints))}
    if parameter.enum:
        told["enum"] = list(parameter.enum)
    if parameter.type == "list":
        told["items"] = {}
    return told


def _typed(parameter: Parameter, value: Any) -> tuple[bool, Any]:
    """Whether the type fits, and the value as its parameter has it: None where it is none of the options."""
    if parameter.enum and isinstance(value, list):
        chosen = [option for one in value if (option := option_for(parameter.enum, one)) is not None]
        return parameter.type == "list", chosen or None
    if parameter.enum and not isinstance(value, dict):
        option = option_for(parameter.enum, value)
        return True, [option] if parameter.type == "list" and option is not None else option
    kind = parameter.type
    if kind == "str":
        if isinstance(value, str):
            return True, value.strip() or None
        return True, msgspec.json.encode(value).decode() if isinstance(value, list | dict) else plain(value)
    if kind == "list" and isinstance(value, str):
        value = _parsed(value)
    fits = {
        "int": isinstance(value, int) and not isinstance(value, bool),
        "float": isinstance(value, int | float) and not isinstance(value, bool),
        "bool": isinstance(value, bool),
        "list": isinstance(value, list),
        "dict": isinstance(value, dict),
    }[kind]
    if not fits:
        return False, None
    if kind in ("list", "dict") and not value:
        return True, None
    return True, _as_float(value) if kind == "float" else value


def _as_float(value: int | float) -> float | None:
    try:
        return float(value)
    except OverflowError:
        return None


def _parsed(value: str) -> Any:
    """A list that was written as text: JSON, or members with commas between."""
    try:
        decoded = msgspec.json.decode(value)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return [part.strip() for part in value.split(",") if part.strip()]
    return decoded if isinstance(decoded, list) else [decoded]
