"""Which types a model can have at a place of its JSON, and walks over both.

A place has several candidates where the annotation is a union. They are followed together, and narrowed by the literals
of their models (`kind: Literal["basic"]`), as a discriminator would.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, RootModel, Secret, SecretBytes, SecretStr

from promptd.core.configs.files import ConfigFile
from promptd.core.configs.paths import Path

Candidates = tuple[Any, ...]
SECRETS = (SecretStr, SecretBytes, Secret)


def candidates(annotation: Any) -> Candidates:
    """The alternatives of an annotation, without aliases, `Annotated` and root models around them."""
    origin: Any = get_origin(annotation)
    if origin is Annotated:
        return candidates(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return tuple(one for argument in get_args(annotation) for one in candidates(argument))
    if hasattr(annotation, "__value__"):  # a named alias, which 3.12 has as a statement
        return candidates(annotation.__value__)
    if isinstance(annotation, TypeVar):
        return candidates(annotation.__bound__) if annotation.__bound__ else (Any,)
    if isinstance(annotation, type) and issubclass(annotation, RootModel):
        return candidates(annotation.model_fields["root"].annotation)
    return (annotation,)


def is_model(candidate: Any) -> bool:
    return isinstance(candidate, type) and issubclass(candidate, BaseModel)


def is_secret(types: Candidates) -> bool:
    """Whether a value of these types can be a secret."""
    for candidate in types:
        origin = _origin(candidate)
        if isinstance(origin, type) and issubclass(origin, SECRETS):
            return True
    return False


def narrowed(types: Candidates, value: Any) -> Candidates:
    """Those of `types` that an object like `value` can be."""
    if not isinstance(value, dict):
        return types
    fitting = tuple(one for one in types if not is_model(one) or _literals_fit(one, value))
    return fitting if any(map(is_model, fitting)) else types


def below(types: Candidates, key: str | int) -> Candidates:
    """The types that `value[key]` can have."""
    return tuple(inner for one in types for inner in _below(one, key))


def known(types: Candidates) -> set[str] | None:
    """The names that an object of these types may have, or None where any name may stand."""
    names: set[str] = set()
    for one in types:
        if is_model(one) and one.model_config.get("extra") != "allow":
            names |= one.model_fields.keys()
        elif is_model(one) or not _is_scalar(one):
            return None
    return names


def places(types: Candidates, value: Any, path: Path = ()) -> Iterator[tuple[Path, Candidates, Any]]:
    """Every place of the JSON value, outer ones first, with its types. The value may be changed behind the walk."""
    types = narrowed(types, value)
    yield path, types, value
    if isinstance(value, dict):
        for key in list(value):
            yield from places(below(types, key), value[key], (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from places(below(types, index), item, (*path, index))


def overlaid(value: Any, dumped: Any, replace: Callable[[Any, Path], Any], path: Path = ()) -> Any:
    """`dumped`, the JSON of `value`, with secrets and files in it as `replace` gives them; sets in a settled order."""
    if isinstance(value, (*SECRETS, ConfigFile)):
        return replace(value, path)
    if isinstance(value, RootModel):
        return overlaid(value.root, dumped, replace, path)
    if isinstance(dumped, dict) and (isinstance(value, BaseModel) or dataclasses.is_dataclass(value)):
        return {
            name: overlaid(getattr(value, name, None), inner, replace, (*path, name)) for name, inner in dumped.items()
        }
    if isinstance(dumped, dict) and isinstance(value, Mapping) and len(value) == len(dumped):
        return {
            name: overlaid(item, inner, replace, (*path, name))
            for item, (name, inner) in zip(value.values(), dumped.items(), strict=True)
        }
    if isinstance(dumped, list) and isinstance(value, Sequence | AbstractSet) and len(value) == len(dumped):
        items = [
            overlaid(item, inner, replace, (*path, index))
            for index, (item, inner) in enumerate(zip(value, dumped, strict=True))
        ]
        return sorted(items, key=json.dumps) if isinstance(value, AbstractSet) else items
    return dumped


def _literals_fit(model: type[BaseModel], value: dict[str, Any]) -> bool:
    for name, field in model.model_fields.items():
        if name in value and get_origin(field.annotation) is Literal:
            given = value[name]
            if not any(given == choice and type(given) is type(choice) for choice in get_args(field.annotation)):
                return False
    return True


def _below(one: Any, key: str | int) -> Candidates:
    if is_model(one):
        field = one.model_fields.get(key)
        return candidates(field.annotation) if field is not None else (Any,)
    arguments = get_args(one)
    origin = get_origin(one)
    if not arguments or not isinstance(origin, type):
        return (Any,)
    if isinstance(key, str):
        return candidates(arguments[-1]) if issubclass(origin, Mapping) else ()
    if issubclass(origin, tuple) and arguments[-1] is not Ellipsis:
        return candidates(arguments[key]) if key < len(arguments) else ()
    return candidates(arguments[0]) if not issubclass(origin, Mapping) else ()


def _origin(one: Any) -> Any:
    origin: Any = get_origin(one)
    return one if origin is None else origin


def _is_scalar(one: Any) -> bool:
    """Whether no JSON object can be of this type. Unknown types are taken for one that can."""
    origin = _origin(one)
    if origin is Literal or origin is NoneType or origin is None:
        return True
    scalars = (str, bytes, int, float, list, tuple, set, frozenset, ConfigFile, *SECRETS)
    return isinstance(origin, type) and issubclass(origin, scalars)
