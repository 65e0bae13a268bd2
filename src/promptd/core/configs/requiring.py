"""Required settings that are still empty. "Required" is a rule of forms and runs, not of the model."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, RootModel

from promptd.core.configs.paths import Path, spell
from promptd.core.configs.shapes import SECRETS


def required_empty(config: BaseModel) -> list[str]:
    """The paths of required settings without a value, also inside nested models and lists.

    Empty are None, a text or secret of nothing but space, and a list or map without items; 0 and False are values.
    """
    return [spell(path) for path in _empty(config, ())]


def is_empty(value: Any) -> bool:
    if isinstance(value, SECRETS):
        value = value.get_secret_value()
    if isinstance(value, RootModel):
        value = value.root
    if isinstance(value, str | bytes):
        return not value.strip()
    return value is None or (isinstance(value, list | tuple | dict | set | frozenset) and not value)


def is_required(extra: Any) -> bool:
    """Whether a field's `json_schema_extra` makes it a required one."""
    return isinstance(extra, dict) and extra.get("x-required") is True


def _empty(value: Any, path: Path) -> Iterator[Path]:
    if isinstance(value, RootModel):
        yield from _empty(value.root, path)
    elif isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            inner = getattr(value, name)
            if is_required(field.json_schema_extra) and is_empty(inner):
                yield (*path, name)
            else:
                yield from _empty(inner, (*path, name))
    elif dataclasses.is_dataclass(value):
        return
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _empty(inner, (*path, str(key)))
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for index, inner in enumerate(value):
            yield from _empty(inner, (*path, index))
