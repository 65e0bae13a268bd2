"""Whether an answer has the form that was asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import jsonschema_rs
import msgspec

from promptd.core.errors import InvalidInput, InvalidOutput, InvalidRequest, OutputTruncated
from promptd.core.model import Answer

MAX_SCHEMA_BYTES: Final = 64 * 1024
_MAX_PATTERNS: Final = 64
_MAX_NODES: Final = 100_000
_PATH_LENGTH: Final = 200
_ANCHORS: Final = ("$anchor", "$dynamicAnchor")
_REFERENCES: Final = ("$ref", "$dynamicRef")
_ESCAPED: Final = re.compile(rb"%([0-9a-fA-F]{2})")

#: Patterns are matched in linear time and compiled within a bound; a caller's pattern must not stop the service
_PATTERNS: Final = jsonschema_rs.RegexOptions(size_limit=1024 * 1024)


def encode_schema(schema: dict[str, Any], field: str) -> bytes:
    """The schema as JSON text. Raises `InvalidRequest` where it is none or longer than `MAX_SCHEMA_BYTES`."""
    try:
        text = msgspec.json.encode(schema)
    except (TypeError, ValueError, RecursionError):
        raise InvalidRequest(field=field, expected="a JSON Schema") from None
    if len(text) > MAX_SCHEMA_BYTES:
        raise InvalidRequest(field=field, expected=f"at most {MAX_SCHEMA_BYTES} bytes of JSON")
    return text


def check_schema(schema: dict[str, Any], field: str) -> None:
    """Raise `InvalidRequest` unless `schema` is a usable JSON Schema (2020-12 unless it says otherwise).

    Its patterns know no look-around and no back-references, because those can't be matched in linear time.
    """
    encode_schema(schema, field)
    _check_bounds(schema, field)
    try:
        jsonschema_rs.meta.validate(schema)
        validator(schema)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise InvalidRequest(f"{field}: not a usable JSON Schema: {reason}"[:500], field=field) from None


def check_json(answer: Answer, schema: dict[str, Any]) -> None:
    """Raise unless the answer's text is JSON that fits `schema`.

    The error names the path and the keyword and nothing that the answer says: it goes to logs, and to admins who may
    not read the text.
    """
    try:
        value = msgspec.json.decode(answer.text)
    except RecursionError:
        raise InvalidOutput("the answer is nested too deeply") from None
    except (msgspec.DecodeError, ValueError):
        if answer.finish_reason == "length":
            raise OutputTruncated("the JSON was cut by the token limit") from None
        raise InvalidOutput("the answer is not JSON") from None
    try:
        checker = validator(schema)
    except (jsonschema_rs.ReferencingError, ValueError):  # stored when other schemas were taken
        raise InvalidInput("the JSON Schema can't be used") from None
    try:
        problem = next(iter(checker.iter_errors(value)), None)
    except ValueError:  # the validator's own bound on depth
        raise InvalidOutput("the answer is nested too deeply") from None
    if problem is not None:
        raise InvalidOutput(f"answer{_path(problem)}: does not fit `{problem.kind.name}`")


def validator(schema: dict[str, Any], *, formats: bool = False) -> jsonschema_rs.Validator:
    """The compiled schema: its draft is the one that it names, else 2020-12; `formats`: `format` is checked as well.

    It reads nothing from elsewhere and matches patterns in linear time. Raises `jsonschema_rs.ReferencingError`,
    `ValueError` for a schema that `check_schema` would refuse.
    """
    return jsonschema_rs.validator_for(
        schema, retriever=_refuse, pattern_options=_PATTERNS, validate_formats=True if formats else None
    )


def _path(problem: jsonschema_rs.ValidationError) -> str:
    """Where it is. Names that the schema does not spell out are the answer's own words and are not told."""
    spelled = set(problem.schema_path)
    parts = (
        f"[{part}]" if isinstance(part, int) else f".{part}" if part in spelled else ".*"
        for part in problem.instance_path
    )
    path = "".join(parts)
    return path if len(path) <= _PATH_LENGTH else f"{path[:_PATH_LENGTH]}…"


def _check_bounds(schema: dict[str, Any], field: str) -> None:
    """A small schema can stand for a very large one; what can't be counted is refused."""
    parts = list(_objects(schema))
    ids = ("$id", "$schema", "id") if "draft-04" in str(schema.get("$schema")) else ("$id", "$schema")
    if any(isinstance(part.get(word), str) for part in parts for word in ids if part is not schema):
        raise InvalidRequest(field=field, expected=f"no {' or '.join(ids)} below the top")
    patterns = sum(("pattern" in part) + len(_names(part.get("patternProperties"))) for part in parts)
    if patterns > _MAX_PATTERNS:
        raise InvalidRequest(field=field, expected=f"at most {_MAX_PATTERNS} patterns")
    if _size(schema, parts) > _MAX_NODES:
        raise InvalidRequest(field=field, expected=f"at most {_MAX_NODES} parts with every reference written out")


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield one
            waiting += one.values()
        elif isinstance(one, list | tuple):
            waiting += one


def _names(value: Any) -> tuple[str, ...]:
    return tuple(value) if isinstance(value, dict) else ()


def _size(schema: dict[str, Any], parts: Sequence[dict[str, Any]]) -> int:
    """How large the schema is with every reference written out, a circle once."""
    anchors = {part.get(word): part for part in parts for word in _ANCHORS if isinstance(part.get(word), str)}
    known: dict[int, int] = {}

    def size(one: Any) -> int:
        if not isinstance(one, dict | list | tuple):
            return 0
        if id(one) not in known:
            known[id(one)] = 0
            children = [*one.values()] if isinstance(one, dict) else [*one]
            if isinstance(one, dict):
                children += (_target(schema, anchors, one.get(word)) for word in _REFERENCES)
            known[id(one)] = min(1 + sum(map(size, children)), _MAX_NODES + 1)
        return known[id(one)]

    try:
        return size(schema)
    except RecursionError:  # a chain of references that is too long for the validator as well
        return _MAX_NODES + 1


def _target(schema: dict[str, Any], anchors: Mapping[Any, Any], reference: Any) -> Any:
    """What a reference inside the schema leads to, or None; whether it is a good one is found out elsewhere."""
    if not isinstance(reference, str):
        return None
    raw = reference.partition("#")[2].encode(errors="replace")
    pointer = _ESCAPED.sub(lambda found: bytes.fromhex(found[1].decode()), raw).decode(errors="replace")
    if pointer and not pointer.startswith("/"):
        return anchors.get(pointer)
    found: Any = schema
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list | tuple):
            found = found[int(name)] if name.isdecimal() and int(name) < len(found) else None
        else:
            found = found.get(name) if isinstance(found, dict) else None
    return found


def _refuse(uri: str) -> Any:
    raise ValueError(f"references outside the schema are not followed: {uri}")
