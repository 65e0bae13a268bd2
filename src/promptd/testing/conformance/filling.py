"""Settings with something in every field: what an examination stores, shows and reads again."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePosixPath
from typing import Any, Final, Literal, TypeVar, get_args, get_origin
from uuid import UUID

from pydantic import BaseModel, Secret, SecretBytes, SecretStr, ValidationError

from promptd.core.configs import ConfigFile
from promptd.core.configs.shapes import SECRETS, candidates, is_model

M = TypeVar("M", bound=BaseModel)

FILE: Final = b"the file of the examination"
_MODIFIED: Final = datetime(2026, 1, 31, 12, 30, 15, 250_000, tzinfo=UTC)
_LEVELS: Final = 6

#: one value or more for each type, the first that a field takes is used
_PLAIN: Final[Mapping[Any, tuple[Any, ...]]] = {
    str: ("text", "https://service.example/v1", "model-1", "2026-01-31", "en", "1", "text/plain"),
    int: (2, 1, 10, 100, 1000, 0),
    float: (0.5, 1.5, 10.0, 100.0, 0.0),
    bytes: (b"bytes",),
    date: (date(2026, 1, 31),),
    datetime: (_MODIFIED,),
    time: (time(12, 30),),
    timedelta: (timedelta(minutes=5),),
    Decimal: (Decimal("1.5"),),
    UUID: (UUID("123e4567-e89b-42d3-a456-426614174000"),),
    PurePosixPath: (PurePosixPath("a/file"),),
    Any: ("anything",),
}


class Opened:
    """How often the files of filled settings were opened."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> io.BytesIO:
        self.count += 1
        return io.BytesIO(FILE)


def filled(model: type[M], tag: str = "one", opened: Opened | None = None) -> M:
    """Settings in which each field has a value of its own, as far as its validators let one pass.

    Secrets hold `tag`. Raises what the model does without arguments.
    """
    values = _values(model, tag, opened or Opened(), 0)
    return model.model_validate(values)


def with_secrets(config: M, tag: str) -> M:
    """`config` with other secrets at its top level, where it has some."""
    changed = {
        name: _secret(one, tag)
        for name, field in type(config).model_fields.items()
        for one in candidates(field.annotation)
        if _is_secret(one)
    }
    if not changed:
        return config
    values = {name: getattr(config, name) for name in type(config).model_fields}
    try:
        return type(config).model_validate(values | changed)
    except ValidationError:
        return config


def secret(tag: str) -> str:
    """What a secret of filled settings says."""
    return f"conformance/secret+{tag}"  # an address spells this in another way


def _values(model: type[BaseModel], tag: str, opened: Opened, level: int) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        for value in _choices(field.annotation, tag, opened, level):
            if value == field.get_default(call_default_factory=True, validated_data={}):
                continue
            if _fits(model, kept | {name: value}):
                kept[name] = value
                break
    return kept


def _fits(model: type[BaseModel], values: dict[str, Any]) -> bool:
    try:
        model.model_validate(values, by_alias=False, by_name=True)
    except Exception:  # an author's validator may raise anything; that field keeps its default
        return False
    return True


def _choices(annotation: Any, tag: str, opened: Opened, level: int) -> Iterator[Any]:
    for one in candidates(annotation):
        yield from _of(one, tag, opened, level)


def _of(one: Any, tag: str, opened: Opened, level: int) -> Iterator[Any]:
    origin = get_origin(one) or one
    if level > _LEVELS or one is type(None):
        return
    if _is_secret(one):
        yield _secret(one, tag)
    elif origin is Literal:
        yield from reversed(get_args(one))
    elif one is bool:
        yield from (True, False)
    elif one is ConfigFile:
        yield ConfigFile("file.txt", "text/plain", _MODIFIED, opened, len(FILE))
    elif is_model(one):
        values = _values(one, tag, opened, level + 1)
        if _fits(one, values):
            yield one.model_validate(values, by_alias=False, by_name=True)
    elif isinstance(origin, type) and issubclass(origin, Enum):
        yield from reversed(list(origin))
    elif isinstance(origin, type) and issubclass(origin, (list, tuple, set, frozenset)):
        yield from _lists(origin, get_args(one), tag, opened, level)
    elif isinstance(origin, type) and issubclass(origin, Mapping):
        inner = get_args(one)[-1] if get_args(one) else Any
        yield from ({"name": value} for value in _choices(inner, tag, opened, level + 1))
    else:
        yield from _PLAIN.get(one, ())


def _lists(origin: type, args: tuple[Any, ...], tag: str, opened: Opened, level: int) -> Iterator[Any]:
    if issubclass(origin, tuple) and args and args[-1] is not Ellipsis:
        firsts = [next(_choices(arg, tag, opened, level + 1), None) for arg in args]
        yield tuple(firsts)
        return
    for value in _choices(args[0] if args else Any, tag, opened, level + 1):
        yield origin([value])


def _is_secret(one: Any) -> bool:
    origin = get_origin(one) or one
    return isinstance(origin, type) and issubclass(origin, SECRETS)


def _secret(one: Any, tag: str) -> Any:
    if isinstance(one, type) and issubclass(one, SecretBytes):
        return SecretBytes(secret(tag).encode())
    if isinstance(one, type) and issubclass(one, SecretStr):
        return SecretStr(secret(tag))
    inner = (get_args(one) or (str,))[0]
    kind: Any = Secret
    return kind[inner](secret(tag) if inner is str else next(iter(_PLAIN.get(inner, (secret(tag),)))))
