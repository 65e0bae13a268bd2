"""The generated parts of the docs. cog calls these functions (`make docs` writes, `make check` compares)."""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from promptd import registry
from promptd.core import errors as tree
from promptd.core.engine import Engine
from promptd.core.lifecycle import FINAL, TRANSITIONS, Move, Status
from promptd.core.localisation import Key, resolve
from promptd.settings import ConnectionSettings, Settings

_BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
_TYPES = {
    "str": "text",
    "int": "whole number",
    "float": "number",
    "bool": "true or false",
    "SecretStr": "secret",
    "Path": "path",
    "IPvAnyNetwork": "address or network",
    "JsonValue": "JSON value",
}


#: what stands behind a key whose value is a list or a mapping of sections
_MANY: Final[Mapping[Any, str]] = {tuple: "[…]", list: "[…]", dict: ".NAME"}


def configuration() -> str:
    """Tables of all settings, a section each."""
    out: list[str] = []
    single: list[tuple[str, FieldInfo]] = []
    for name, field in Settings.model_fields.items():
        if name == "home":
            continue
        section = _section(field.annotation)
        if section is None:
            single.append((name, field))
            continue
        many = get_origin(field.annotation)
        title = {None: name, dict: f"{name}.NAME", tuple: f"{name}[…]"}[many]
        text = f"{inspect.getdoc(section)} {field.description}".strip()
        out += ["", f"## `{title}`", "", text, "", *_table(_rows(section))]
        if section is ConnectionSettings:
            for engine in _built_in():
                text = f"Keys of the engine `{engine.type_id}`. {_text(engine.display_description_key, engine)}".strip()
                out += ["", f"### `{title}` with `engine: {engine.type_id}`", "", text, ""]
                out += _table((key, field) for key, field in _rows(engine.connection_config_class()) if key != "slots")
    top = ["## Top level", "", *_table(single)]
    return "\n".join([*top, *out]).rstrip()


def _text(key: str, engine: Engine[Any, Any]) -> str:
    found = resolve(Key(key), engine.localizer(), "en")
    return found if found.endswith(".") else f"{found}."


def _built_in() -> list[Engine[Any, Any]]:
    found = registry.load().engines.values()
    return sorted(
        (engine for engine in found if type(engine).__module__.startswith("promptd.engines.")),
        key=lambda engine: engine.type_id,
    )


def _rows(section: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in section.model_fields.items():
        key = prefix + (field.alias or name)
        inner = _section(field.annotation)
        if inner is None:
            yield key, field
        else:
            many = _MANY.get(get_origin(_plain(field.annotation)), "")
            yield from _rows(inner, f"{key}{many}.")


def _table(rows: Iterable[tuple[str, FieldInfo]]) -> list[str]:
    lines = ["| key | type | default | what it says |", "|---|---|---|---|"]
    for key, field in rows:
        cells = [f"`{key}`", _kind(field), _default(field), field.description or ""]
        if "bytes" in key:
            cells = [re.sub(r"\d{7,}", _in_mib, cell) for cell in cells]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return lines


def _plain(kind: Any) -> Any:
    """Without `| None` and `Annotated`."""
    rest = [argument for argument in get_args(kind) if argument is not type(None)]
    if get_origin(kind) in (Union, types.UnionType) and len(rest) == 1:
        return _plain(rest[0])
    return _plain(rest[0]) if get_origin(kind) is Annotated else kind


def _section(kind: Any) -> type[BaseModel] | None:
    """The model of a section, also of a mapping or list of sections."""
    kind = _plain(kind)
    if get_origin(kind) in _MANY:
        kind = _plain(get_args(kind)[1 if get_origin(kind) is dict else 0])
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _kind(field: FieldInfo) -> str:
    kind = _plain(field.annotation)
    if get_origin(kind) in (tuple, list):
        name = f"list of {_word(_plain(get_args(kind)[0]))}"
    elif get_origin(kind) is dict:
        key, value = (_word(_plain(item)) for item in get_args(kind))
        name = f"mapping of {key} to {value}"
    elif get_origin(kind) is Literal:
        name = ", ".join(f"`{value}`" for value in get_args(kind))
    else:
        name = _word(kind)
    bounds = [f"{sign} {_number(value)}" for value, sign in _bounds(field)]
    return f"{name} {', '.join(bounds)}".strip()


def _word(kind: Any) -> str:
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return ", ".join(f"`{value}`" for value in kind)
    return _TYPES[kind.__name__]


def _bounds(field: FieldInfo) -> Iterator[tuple[float, str]]:
    metadata = list(field.metadata)
    kinds: list[Any] = [field.annotation]
    while kinds:
        kind = kinds.pop()
        if get_origin(kind) is Annotated:
            for item in get_args(kind)[1:]:
                metadata += getattr(item, "metadata", [item])
        kinds += [inner for inner in get_args(kind) if get_origin(kind) in (Union, types.UnionType)]
    for item in metadata:
        for attribute, sign in _BOUNDS.items():
            if (value := getattr(item, attribute, None)) is not None:
                yield value, sign


def _number(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) and value < 1e6 else f"{value:.0f}"


def _in_mib(match: re.Match[str]) -> str:
    return f"{match[0]} ({int(match[0]) // (1024 * 1024)} MiB)"


def _default(field: FieldInfo) -> str:
    default = field.default
    if default is PydanticUndefined:
        return "" if field.default_factory else "required"
    if default is None or isinstance(default, SecretStr):
        return ""
    if isinstance(default, str) and not default:
        return "empty"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, (int, float)):
        return _number(default)
    if isinstance(default, tuple) and default:
        return ", ".join(f"`{item}`" for item in default)
    return "none" if default in ((), {}) else f"`{default}`"


def errors() -> str:
    """The error tree, and a row for each class."""
    # plugins may have added classes of their own
    classes = list(tree.leaves())
    drawing = (tree.__doc__ or "").split("\n\n", 1)[1].strip()
    lines = [
        "```text",
        drawing,
        "```",
        "",
        "| class | code | HTTP | retried? | what it says |",
        "|---|---|---|---|---|",
    ]
    for kind in classes:
        retried = "yes" if kind.retryable else "no"
        lines.append(f"| `{kind.__name__}` | `{kind.code}` | {kind.http_status} | {retried} | {kind.title} |")
    return "\n".join(lines)


def lifecycle() -> str:
    """The transition table as a diagram and as a table."""
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {Status.SCHEDULED}"]
    lines += [f"    {status} --> {to}: {move}" for (status, move), to in TRANSITIONS.items()]
    lines += [f"    {status} --> [*]" for status in Status if status in FINAL]
    lines += ["```", "", "| from | " + " | ".join(f"`{move}`" for move in Move) + " |", "|---" * (len(Move) + 1) + "|"]
    for status in Status:
        row = [str(TRANSITIONS.get((status, move), "")) for move in Move]
        lines.append(f"| **{status}** | " + " | ".join(row) + " |")
    return "\n".join(lines)
