"""Secrets of a configuration: where they are, how it looks without them, and how a form keeps those it never saw."""

from __future__ import annotations

import copy
import re
from collections.abc import Collection, Iterable, Iterator
from types import NoneType
from typing import Any

from pydantic import BaseModel

from promptd.core.configs import paths
from promptd.core.configs.files import FILE_MARK, ConfigFile
from promptd.core.configs.paths import Path, spell
from promptd.core.configs.requiring import is_empty
from promptd.core.configs.serializing import dump, revealed
from promptd.core.configs.shapes import (
    SECRETS,
    Candidates,
    below,
    candidates,
    is_model,
    is_secret,
    narrowed,
    overlaid,
    places,
)
from promptd.core.errors import InvalidRequest

#: stands for a secret that is set: `{"$secret": "<its path>"}`. Sent back by a form, it means: as it was there
SECRET_MARK = "$secret"  # noqa: S105 - the name of the mark
HIDDEN = "***"


def secret_paths(model: type[BaseModel]) -> list[str]:
    """Where the model can have secrets; `[]` stands for any item of a list, `.*` for any name in a map."""
    return list(dict.fromkeys(_static(candidates(model), "", ())))


def redact(config: BaseModel) -> dict[str, Any]:
    """The configuration as JSON for people's eyes: a secret is `{"$secret": path}` if it is set, else an empty text.

    A file is told by slot, name, type, size and date.
    """
    return _public(config, marked=True)


def redact_data(model: type[BaseModel], data: Any) -> Any:
    """JSON data of `model` without the secrets in it, in the same way as `redact`.

    Raises `InvalidRequest` for data that is nested too deeply.
    """
    data = _copied(data)
    for path, types, value in list(places(candidates(model), data)):
        if path and is_secret(types) and not _is_mark(value):
            paths.get(data, path[:-1])[path[-1]] = {SECRET_MARK: spell(path)} if _is_set(value) else ""
    return data


def secret_states(config: BaseModel) -> dict[str, bool]:
    """Each secret of the configuration by its path, and whether it is set."""
    return {spell(path): _is_set(value) for path, value in _secrets(config)}


def secret_values(config: BaseModel | None) -> list[str]:
    """What the secrets of the configuration say, the longest first, for taking it out of texts."""
    if config is None:
        return []
    values = {str(revealed(value)) for _, value in _secrets(config) if _is_set(value)}
    return sorted(values, key=lambda value: (-len(value), value))


def redact_text(text: str, values: Iterable[str]) -> str:
    """`text` without the secrets `values`, in one pass that takes the longest where one holds another."""
    known = sorted({value for value in values if value}, key=len, reverse=True)
    return re.sub("|".join(map(re.escape, known)), HIDDEN, text) if known else text


def merge_secrets(
    model: type[BaseModel], new: dict[str, Any], old: BaseModel | None, *, clear: Collection[str] = ()
) -> dict[str, Any]:
    """The form's data `new` with the secrets of the stored configuration `old` where the form left them as they were.

    A blank or absent secret keeps the stored one at its path, a `{"$secret": path}` keeps the one at that path, and the
    paths of `clear` are emptied. Items of a list may have moved, so a blank one inside a list keeps its secret only if
    the item is otherwise as it was; forms send the mark there. Raises `InvalidRequest` for data that is nested too
    deeply.
    """
    data: dict[str, Any] = _copied(new)
    kept = {path: revealed(value) for path, value in _secrets(old) if _is_set(value)} if old is not None else {}
    before = _public(old, marked=False) if old is not None else {}
    by_name = {spell(path): value for path, value in kept.items()}
    for path, value in kept.items():
        _place(model, data, before, path, value)
    for path, types, value in list(places(candidates(model), data)):
        if not path or not is_secret(types):
            continue
        if spell(path) in clear:
            paths.get(data, path[:-1])[path[-1]] = _nothing(types)
        elif _is_mark(value):
            paths.get(data, path[:-1])[path[-1]] = by_name.get(value[SECRET_MARK], _nothing(types))
    return data


def _place(model: type[BaseModel], data: Any, before: Any, path: Path, value: Any) -> None:
    """Put a stored secret where the form's data has a blank at the same path."""
    holder, types = data, candidates(model)
    for depth, part in enumerate(path[:-1]):
        types = below(narrowed(types, holder), part)
        if (
            isinstance(holder, dict)
            and isinstance(part, str)
            and part not in holder
            and len(types) == 1
            and is_model(types[0])
        ):
            holder[part] = {}
        if not paths.exists(holder, (part,)):
            return
        holder = holder[part]
        if isinstance(part, int) and not _same(holder, paths.get(before, path[: depth + 1])):
            return
    last, types = path[-1], narrowed(types, holder)
    if not is_secret(below(types, last)) or isinstance(holder, dict) is isinstance(last, int):
        return
    if isinstance(holder, dict):
        # a name that is gone from a map was taken away; a field that the form does not send was left alone
        if is_empty(holder.get(last)) and (last in holder or any(map(is_model, types))):
            holder[last] = value
    elif len(holder) == len(paths.get(before, path[:-1])) and is_empty(holder[last]):
        holder[last] = value


def _same(item: Any, stored: Any) -> bool:
    """Whether a list's item is the stored one, secrets apart: the form may leave out what is empty there."""
    if isinstance(item, dict) and isinstance(stored, dict):
        return all(_same(item.get(name), stored.get(name)) for name in item.keys() | stored.keys())
    if isinstance(item, list) and isinstance(stored, list):
        return len(item) == len(stored) and all(map(_same, item, stored))
    return _is_mark(item) or (is_empty(item) and is_empty(stored)) or bool(item == stored)


def _public(config: BaseModel, *, marked: bool) -> dict[str, Any]:
    def hidden(value: Any, path: Path) -> Any:
        if isinstance(value, ConfigFile):
            if not marked:
                return {FILE_MARK: value.slot}
            return {
                FILE_MARK: value.slot,
                "filename": value.filename,
                "media_type": value.media_type,
                "size": value.size,
                "last_modified": value.last_modified.isoformat(timespec="milliseconds"),
            }
        return {SECRET_MARK: spell(path)} if marked and _is_set(value) else ""

    public: dict[str, Any] = overlaid(config, dump(config), hidden)
    return public


def _secrets(config: BaseModel) -> Iterator[tuple[Path, Any]]:
    found: list[tuple[Path, Any]] = []

    def collect(value: Any, path: Path) -> str:
        if not isinstance(value, ConfigFile):
            found.append((path, value))
        return ""

    overlaid(config, dump(config), collect)
    yield from found


def _static(types: Candidates, path: str, seen: tuple[Any, ...]) -> Iterator[str]:
    if is_secret(types):
        yield path
    for one in types:
        if one in seen:  # a type inside itself has its secrets at any depth; the first says where
            continue
        if is_model(one):
            for name, field in one.model_fields.items():
                inner = f"{path}.{name}" if path else name
                yield from _static(candidates(field.annotation), inner, (*seen, one))
        else:
            for key, mark in (("", ".*"), (0, "[]")):
                items = below((one,), key)
                if items != (Any,):
                    yield from _static(items, path + mark, (*seen, one))


def _nothing(types: Candidates) -> Any:
    return None if None in types or NoneType in types else ""


def _is_set(secret: Any) -> bool:
    """Whether there is a secret. One of nothing but space is: what a form leaves alone must come back as it was."""
    value = secret.get_secret_value() if isinstance(secret, SECRETS) else secret
    return value is not None and value not in ("", b"")


def _is_mark(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {SECRET_MARK} and isinstance(value[SECRET_MARK], str)


def _copied(data: Any) -> Any:
    if paths.too_deep(data):
        raise InvalidRequest(field="data", expected=f"at most {paths.MAX_DEPTH} levels")
    return copy.deepcopy(data)
