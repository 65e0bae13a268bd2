"""Our things in the protocol's words: schemas, errors, values of prompts' arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from mcp.shared.exceptions import MCPError
from mcp.types import INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST

from promptd.core.descriptors import Param
from promptd.core.errors import InvalidInput, InvalidRequest, NotFound, PromptdError, Refusal
from promptd.faces.asgi import problem_of
from promptd.service.functions import Function

RESULT: Final = "result"  #: the member that holds a value which is no object
PROBLEM: Final = "promptd/problem"  #: the member of a failed call's `_meta`
_CALLERS_FAULT: Final = (InvalidRequest, InvalidInput, NotFound)
_FILES: Final[dict[str, Any]] = {"type": "array", "items": {"type": "string"}, "maxItems": 32}


def problem(error: PromptdError) -> dict[str, Any]:
    """As the native API tells it."""
    found: dict[str, Any] = msgspec.to_builtins(problem_of(error))
    return found


def told(error: PromptdError) -> MCPError:
    if isinstance(error, _CALLERS_FAULT):
        code = INVALID_PARAMS
    else:
        code = INVALID_REQUEST if isinstance(error, Refusal) and not error.retryable else INTERNAL_ERROR
    return MCPError(code, f"{error.code}: {error.message}", problem(error))


def input_schema(function: Function) -> dict[str, Any]:
    """With the inputs that are files: they are given as ids of uploads."""
    schema = dict(function.input_schema())
    files = [param for param in function.inputs if param.kind == "file"]
    if not files:
        return schema
    named = {param.name: _FILES | {"description": "ids of uploads"} for param in files}
    required = [*schema.get("required", ()), *(param.name for param in files if param.required)]
    schema["properties"] = schema.get("properties", {}) | named
    return schema | {"required": required} if required else schema


def split(function: Function, arguments: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, tuple[str, ...]]]:
    """Values and ids of uploads. Raises `InvalidInput`."""
    names = {param.name for param in function.inputs if param.kind == "file"}
    files: dict[str, tuple[str, ...]] = {}
    for name in names & arguments.keys():
        given = arguments[name]
        if not isinstance(given, list) or not all(isinstance(item, str) for item in given):
            raise InvalidInput(field=name, expected="a list of ids of uploads")
        files[name] = tuple(given)
    return {name: value for name, value in arguments.items() if name not in names}, files


def is_wrapped(function: Function) -> bool:
    """Whether values stand under `RESULT`, because a tool's result must be an object."""
    return function.output_schema().get("type") != "object"


def output_schema(function: Function) -> dict[str, Any]:
    schema = function.output_schema()
    if not is_wrapped(function):
        return schema
    # a schema with a name of its own is the root of the references in it, wherever it stands
    inner = schema if "$id" in schema else {"$id": "urn:promptd:result", **schema}
    return {"type": "object", "properties": {RESULT: inner}, "required": [RESULT]}


def read_argument(param: Param | None, text: str) -> Any:
    """A prompt's argument, which is always text: as JSON where the input is no text and it can be read as that.

    An input of any kind is text too, unless it looks like a list or an object.
    """
    if param is None or param.kind == "string" or (param.kind == "any" and text.lstrip()[:1] not in ("[", "{")):
        return text
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text
