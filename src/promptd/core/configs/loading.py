"""The lenient load: a stored configuration, whatever it is by now, becomes a model and a report (formcycle.md §2.3).

1. decode · 2. migrate · 3. drop unknown fields · 4. validate, dropping what is invalid · 5. note what is required and empty
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from promptd.core.configs import paths
from promptd.core.configs.files import FILE_MARK, FILES, ConfigFile
from promptd.core.configs.paths import Path, spell
from promptd.core.configs.problems import from_pydantic, invalid
from promptd.core.configs.requiring import required_empty
from promptd.core.configs.serializing import carried
from promptd.core.configs.shapes import Candidates, below, candidates, is_model, known, narrowed, places
from promptd.core.configs.stored import JSON, LoadReport, SerializedConfig
from promptd.core.errors import PromptSerializationError
from promptd.core.localisation import Key

C = TypeVar("C", bound=BaseModel)

Data = dict[str, Any]
Migrate = Callable[[Data, int], Data]

#: longer numbers are dropped
MAX_DIGITS = 1000
_GONE: Any = object()


def load(
    model: type[C],
    stored: SerializedConfig,
    report: LoadReport,
    *,
    version: int = 1,
    migrate: Migrate | None = None,
    required: Callable[[C], Iterable[str]] = required_empty,
) -> C:
    """The configuration that `stored` holds, with defaults for what can't be used; `report` says what that was.

    `version` is the one that the code writes. `migrate(data, from_version)` lifts data by one version and is called for
    each step; data without a version is taken for current. `required` tells the required paths that are empty, so that
    a form's hidden ones can be left out.

    Raises `PromptSerializationError` only where the model has no defaults to fall back to.
    """
    data = _decode(stored, report)
    if data is None:
        config = _defaults(model)
    else:
        data = _sieve(_migrated(data, stored.version, version, migrate, report), report)
        _drop_unknown(model, data, report)
        config = _validate(model, data, stored, report)
    for path in required(config):
        report.note("required", path, invalid("required"))
    return config


def _decode(stored: SerializedConfig, report: LoadReport) -> Data | None:
    if stored.content_type.partition(";")[0].strip().lower() == JSON:
        try:
            data = json.loads(stored.data.decode(), parse_constant=_refuse, parse_int=_whole)
        except (ValueError, RecursionError):
            data = None
        if isinstance(data, dict):
            return data
    report.note("unreadable", "", Key("promptd.load.unreadable"))
    return None


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) <= MAX_DIGITS else math.inf


def _migrated(data: Data, stored: int | None, current: int, migrate: Migrate | None, report: LoadReport) -> Data:
    if stored is None or stored == current:
        return data
    if stored > current:
        report.note("newer_version", "", Key("promptd.load.newer", {"stored": stored, "current": current}))
        return data
    if migrate is None:
        return data
    for step in range(stored, current):
        try:
            lifted = migrate(copy.deepcopy(data), step)
            after = json.loads(json.dumps(lifted, allow_nan=False))
            if not isinstance(after, dict):
                raise TypeError("a migration returns an object")
        except PromptSerializationError:
            raise
        except (
            Exception,
            SystemExit,
        ):  # an author's code on data it does not know; what still maps is better than nothing
            report.note("migration_failed", "", Key("promptd.load.migration", {"version": step}))
            return data
        data = after
    return data


def _sieve(data: Data, report: LoadReport) -> Data:
    """The data without what would stop the validator as a whole: broken Unicode, endless depth, numbers out of range."""

    def sifted(value: Any, path: Path) -> Any:
        if isinstance(value, dict | list) and len(path) >= paths.MAX_DEPTH:
            return dropped(path, "depth")
        if isinstance(value, dict):
            kept = {name: sifted(item, (*path, name)) for name, item in value.items() if carried(name)}
            if len(kept) < len(value):
                report.note("unknown_field", spell(path), Key("promptd.load.unknown"))
            return {name: item for name, item in kept.items() if item is not _GONE}
        if isinstance(value, list):
            return [item for index, one in enumerate(value) if (item := sifted(one, (*path, index))) is not _GONE]
        if isinstance(value, float) and not math.isfinite(value):
            return dropped(path, "number")
        return value if not isinstance(value, str) or carried(value) else dropped(path, "text")

    def dropped(path: Path, kind: str) -> Any:
        report.note("invalid_value", spell(path), invalid(kind))
        return _GONE

    sieved: Data = sifted(data, ())
    return sieved


def _drop_unknown(model: type[BaseModel], data: Data, report: LoadReport) -> None:
    for path, types, value in places(candidates(model), data):
        names = known(types) if isinstance(value, dict) and any(map(is_model, types)) else None
        if names is None:
            continue
        allowed = names | {FILE_MARK} if ConfigFile in types else names
        for name in [name for name in value if name not in allowed]:
            del value[name]
            report.note("unknown_field", spell((*path, name)), Key("promptd.load.unknown"))


def _validate(model: type[C], data: Data, stored: SerializedConfig, report: LoadReport) -> C:
    # each turn drops something of the data, so there is an end
    while data:
        try:
            return model.model_validate_json(
                json.dumps(data), context={FILES: stored.files}, by_alias=False, by_name=True
            )
        except ValidationError as error:
            errors = error.errors(include_url=False, include_input=False)
        except Exception:  # an author's validator may raise anything; without a path the whole configuration falls back
            errors = []
        for path, text in sorted(
            _at_fault(model, data, errors).items(), key=lambda fault: _order(fault[0]), reverse=True
        ):
            report.note("invalid_value", spell(path), text)
            if not path:
                return _defaults(model)
            del paths.get(data, path[:-1])[path[-1]]
    return _defaults(model)


def _at_fault(model: type[BaseModel], data: Data, errors: Iterable[Mapping[str, Any]]) -> dict[Path, Key]:
    """What to drop: the narrowest places that the errors name, else top-level fields, else all (an empty path)."""
    named: dict[Path, Key] = {}
    fields: dict[Path, Key] = {}
    for error in errors:
        where = locate(model, data, error["loc"])
        if where and len(where) == len(error["loc"]):
            named.setdefault(where, from_pydantic(error))
        elif where:
            fields.setdefault(where[:1], invalid())
    if named:
        outer = {path[:length] for path in named for length in range(len(path))}
        return {path: text for path, text in named.items() if path not in outer}
    return fields or {(): invalid()}


def locate(model: type[BaseModel], data: Any, loc: Path) -> Path:
    """As much of pydantic's path `loc` as leads to something in the data; fields go by name, keys of maps are texts."""
    types = candidates(model)
    path: list[str | int] = []
    for part in loc:
        types = narrowed(types, data)
        if isinstance(data, dict):
            step: str | int = next((name for name in _names(types, str(part)) if name in data), str(part))
        else:
            step = part
        if not paths.exists(data, (step,)):
            break
        path.append(step)
        data, types = data[step], below(types, step)
    return tuple(path)


def _names(types: Candidates, spelled: str) -> Iterator[str]:
    for one in types:
        if is_model(one):
            fields = one.model_fields.items()
            yield from (name for name, field in fields if spelled in (field.alias, field.validation_alias))
    yield spelled


def _order(path: Path) -> tuple[tuple[bool, str | int], ...]:
    """Later items of a list come after earlier ones, so that dropping from the end moves none that is still to go."""
    return tuple((isinstance(part, int), part) for part in path)


def _defaults(model: type[C]) -> C:
    try:
        return model()
    except Exception:  # the model is the author's; registration refuses one that can't be built without arguments
        raise PromptSerializationError("the settings have no defaults to fall back to") from None
