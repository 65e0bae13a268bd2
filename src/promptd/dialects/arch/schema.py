"""The keys of a file, against the schema of all eras together: `schema.yaml` beside this module."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from itertools import islice
from typing import Any, Final

import jsonschema_rs

from promptd.core.errors import SettingsError
from promptd.dialects.arch.config import Warned
from promptd.dialects.arch.faults import HIDDEN, fault, meant, shown
from promptd.dialects.yaml_text import Path, read, spelled

_MASK: Final = "the value"
#: YAML 1.1, which the original reads, has more words for a truth value than JSON
_WORDS: Final = {
    word: said for said, words in ((True, "true yes on"), (False, "false no off")) for word in words.split()
}
_NUMBER: Final = re.compile(r"[-+]?[0-9]{1,18}(\.[0-9]{1,18})?")
#: texts that people write as numbers: `version: 0.1`, and what a header has to say
_ALSO_NUMBERS: Final = frozenset({"version", "value"})
_MOST_ERRORS: Final = 500
_NOT_YET: Final = "not supported yet"


@cache
def schema() -> dict[str, Any]:
    text = (files("promptd.dialects.arch") / "schema.yaml").read_text(encoding="utf-8")
    made: dict[str, Any] = read(text, name="schema.yaml").value
    return made


@cache
def _validator() -> jsonschema_rs.Validator:
    return jsonschema_rs.Draft202012Validator(schema(), mask=_MASK)


def checked(tree: Any, written: Any) -> Any:
    """`tree` in the types that the schema asks for: variables give texts, and older YAML has more truth values.

    `written` is the same before variables were replaced: what stands there may be shown. Raises `SettingsError` in the
    original's form.
    """
    for error in _errors(tree):
        if isinstance(error.kind, jsonschema_rs.ValidationErrorKind.Type):
            _convert(tree, written, _path(tree, error), error.kind.types)
    for error in _errors(tree):
        raise _told(error, _path(tree, error), written)
    return tree


def _path(tree: Any, error: jsonschema_rs.ValidationError) -> Path:
    """Where the error is. The library takes keys that look like numbers, `00` too, for numbers."""
    path: list[str | int] = []
    for step in error.instance_path:
        key: str | int = step
        if isinstance(tree, dict) and isinstance(step, int):
            key = str(step) if str(step) in tree else next((one for one in tree if _reads(one, step)), step)
        try:
            tree = tree[key]
        except (LookupError, TypeError):  # of two such keys, it was the other one
            break
        path.append(key)
    return tuple(path)


def _errors(tree: Any) -> list[jsonschema_rs.ValidationError]:
    try:
        return list(islice(_validator().iter_errors(tree), _MOST_ERRORS))
    except ValueError:
        raise SettingsError("there is a number or a text that JSON can't hold") from None


def _reads(key: str, number: int) -> bool:
    return key.isascii() and key.isdigit() and key.lstrip("0") == str(number).lstrip("0")


def _at(tree: Any, path: Path) -> Any:
    for step in path:
        tree = tree[step]
    return tree


def _convert(tree: Any, written: Any, path: Path, types: list[str]) -> None:
    """The value at `path` in one of the types, where it says one."""
    if not path:
        return
    holder, value = _at(tree, path[:-1]), _at(tree, path)
    if isinstance(value, str):
        text = value.strip()
        if "boolean" in types and text.lower() in _WORDS:
            holder[path[-1]] = _WORDS[text.lower()]
        elif {"integer", "number"} & {*types} and "$" in _at(written, path) and _NUMBER.fullmatch(text):
            holder[path[-1]] = float(text) if "." in text else int(text)
    elif path[-1] in _ALSO_NUMBERS and isinstance(value, int | float) and not isinstance(value, bool):
        holder[path[-1]] = str(value)


def _told(error: jsonschema_rs.ValidationError, path: Path, written: Any) -> SettingsError:
    kind, message, hint = error.kind, error.message, ""
    if isinstance(kind, jsonschema_rs.ValidationErrorKind.Required):
        message = f'"{kind.property}" is a required property'
    elif isinstance(kind, jsonschema_rs.ValidationErrorKind.AdditionalProperties):
        name = kind.unexpected[0]
        message = f'Additional properties are not allowed ("{shown(name)}" was unexpected)'
        hint = meant(name, _part(written, path).get("properties", {}))
        path = (*path, name)
    return fault(message.replace('"', "'") + hint, path, _visible(written, path))


def _part(tree: Any, path: Path) -> dict[str, Any]:
    """What the schema says of `path`; nothing where it does not know it."""
    return next((part for place, part, _ in _walk(tree, schema()) if place == path), {})


def _visible(written: Any, path: Path) -> Any:
    """What stands at `path` as it was written, before variables. Of a key that nobody knows, it may be a secret."""
    try:
        value = _at(written, path)
    except (LookupError, TypeError):  # what `_path` could not find
        return None
    part = _part(written, path)
    hidden = part.get("secret") or (not part and not isinstance(value, dict | list))
    return HIDDEN if hidden else value


def _resolved(part: dict[str, Any], value: Any) -> dict[str, Any]:
    """A part of the schema with its references and choices followed, for `value`."""
    own = part
    while True:
        if "$ref" in part:
            target = schema()["$defs"][part["$ref"].rpartition("/")[2]]
            part = {**target, **{key: item for key, item in part.items() if key != "$ref"}}
        elif "if" in part:
            part = part["then"] if isinstance(value, list) else part["else"]
        else:
            return {**part, **{key: own[key] for key in ("idle", "later", "secret") if key in own}}


def _walk(value: Any, part: dict[str, Any], path: Path = ()) -> Iterator[tuple[Path, dict[str, Any], Any]]:
    """Every place of `value` that the schema knows, with its part of the schema."""
    part = _resolved(part, value)
    yield path, part, value
    if isinstance(value, dict):
        properties, others = part.get("properties", {}), part.get("additionalProperties")
        for key, item in value.items():
            inner = properties.get(key, others)
            if isinstance(inner, dict):
                yield from _walk(item, inner, (*path, key))
    elif isinstance(value, list) and isinstance(part.get("items"), dict):
        for index, item in enumerate(value):
            yield from _walk(item, part["items"], (*path, index))


def refuse_later(tree: Any) -> None:
    """Raises `SettingsError` for the first key that can't be used yet."""
    for path, part, value in _walk(tree, schema()):
        later = part.get("later", False)
        if later is True or (isinstance(later, list) and value in later and type(value) is type(later[0])):
            raise fault(f"{spelled(path)}: {_NOT_YET}", path)


def idle(tree: Any) -> list[Warned]:
    """Every key without effect, and why."""
    found = [
        Warned(spelled(path), f"has no effect: {part['idle']}")
        for path, part, _ in _walk(tree, schema())
        if "idle" in part
    ]
    known = schema()["properties"]["overrides"]["properties"]
    unknown = [name for name in tree.get("overrides", {}) if name not in known]
    return found + [
        Warned(f"overrides.{name}", f"is not known{meant(name, known)}, so it has no effect") for name in unknown
    ]
