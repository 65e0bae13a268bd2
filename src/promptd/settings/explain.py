"""From a failed validation to one `SettingsError`: the dotted path, what was expected, and "did you mean"."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from promptd.core.errors import SettingsError

Path = tuple[str | int, ...]

#: how pydantic begins its sentences, and what fits behind "expected"
_LEADS = {
    "Input should be ": "",
    "Value error, ": "",
    "value is not ": "",
    "Value should have ": "",
    "String should have ": "",
    "String should ": "a text to ",
}


def dotted(path: Sequence[str | int]) -> str:
    """`("limits", 0, "name")` as `limits[0].name`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def suggestion(name: str, known: Iterable[str]) -> str:
    """`, did you mean "port"?`, or nothing where nothing is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f', did you mean "{near[0]}"?' if near else ""


def field_type(root: Any, path: Sequence[str | int]) -> Any:
    """The annotation at `path` below a model class; None where there is no such field, `Any` where all is allowed."""
    kind = root
    for part in path:
        kind = _child(_plain(kind), part)
        if kind is None or kind is Any:
            return kind
    return _plain(kind)


def field_names(model: type[BaseModel]) -> list[str]:
    """The keys of a section as users write them."""
    return [field.alias or name for name, field in model.model_fields.items()]


def _plain(kind: Any) -> Any:
    """Without `Annotated` and without `| None`."""
    while True:
        origin, arguments = get_origin(kind), get_args(kind)
        rest = [argument for argument in arguments if argument is not type(None)]
        if origin is Annotated or (origin in (Union, UnionType) and len(rest) == 1):
            kind = rest[0]
        else:
            return kind


def _child(kind: Any, part: str | int) -> Any:
    if inspect.isclass(kind) and issubclass(kind, BaseModel):
        for name, field in kind.model_fields.items():
            if part == (field.alias or name):
                return field.annotation
        return Any if kind.model_config.get("extra") == "allow" else None
    arguments = get_args(kind)
    if get_origin(kind) is dict and isinstance(part, str):
        return arguments[1]
    if get_origin(kind) in (tuple, list) and isinstance(part, int):
        return arguments[0]
    return None


def explain(
    error: ValidationError, model: type[BaseModel], *, prefix: Path = (), origins: Mapping[Path, str] | None = None
) -> SettingsError:
    """The first problem of `error`. Values are never repeated: they may be secrets.

    `prefix` is the path of `model` in the settings, `origins` names the source of values that are not from the file.
    """
    found = error.errors(include_url=False, include_input=False)
    problems = [entry for entry in found if entry["type"] != "default_factory_not_called"] or found
    first = problems[0]
    # pydantic marks a wrong mapping key by a pseudo part behind it
    path: Path = tuple(part for part in first["loc"] if part != "[key]")
    key = dotted((*prefix, *path))
    if first["type"] == "extra_forbidden":
        parent = field_type(model, path[:-1])
        known = field_names(parent) if inspect.isclass(parent) and issubclass(parent, BaseModel) else []
        text = f"{key}: unknown setting{suggestion(str(path[-1]), known)}"
    elif first["type"] == "missing":
        text = f"{key}: required, but missing"
    else:
        text = f"{key}: expected {_expectation(first['msg'])}"
    source = next(
        (name for place, name in (origins or {}).items() if path[: len(place)] == place),
        None,
    )
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return SettingsError(text + (f" (from {source})" if source else "") + more, key=key)


def _expectation(message: str) -> str:
    for lead, instead in _LEADS.items():
        if message.startswith(lead):
            return instead + message.removeprefix(lead)
    return message[:1].lower() + message[1:]
