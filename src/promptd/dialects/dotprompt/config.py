"""`config` of a `.prompt` file as parameters, and back. What has no name in promptd is for the engine alone."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import structs

from promptd.core.content import Tool
from promptd.core.errors import InvalidRequest
from promptd.core.parameters import Parameters
from promptd.dialects.dotprompt.picoschema import is_json_schema

#: The format's names, and ours
NAMES: Final = {
    "temperature": "temperature",
    "topP": "top_p",
    "topK": "top_k",
    "maxOutputTokens": "max_tokens",
    "stopSequences": "stop",
    "seed": "seed",
    "presencePenalty": "presence_penalty",
    "frequencyPenalty": "frequency_penalty",
}


def read_config(config: dict[str, Any]) -> dict[str, Any]:
    """Fields of `Parameters`, not looked at. Raises `InvalidRequest` for one that is there under two names."""
    fields: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for key, value in config.items():
        name = NAMES.get(key, key if key in NAMES.values() else "")
        if not name:
            extra[key] = value
        elif name in fields:
            raise InvalidRequest(f"config.{key}: it is there twice, under another name", field=f"config.{key}")
        elif value is not None:
            fields[name] = value
    return fields | ({"extra": extra} if extra else {})


def write_config(parameters: Parameters) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]:
    """What `config` can say, what `toolDefs` can say, and the rest, as plain data."""
    shown = msgspec.to_builtins(parameters)
    config = {key: shown.pop(name) for key, name in NAMES.items() if name in shown}
    extra = shown.get("extra", {})
    if not any(key in NAMES or key in NAMES.values() for key in extra):
        config |= shown.pop("extra", {})
    tools: list[dict[str, Any]] = []
    if all(map(_is_plain, parameters.tools)):
        shown.pop("tools", None)
        tools = [
            {"name": tool.name, "description": tool.description, "inputSchema": tool.parameters}
            for tool in parameters.tools
        ]
    return config, tools, shown


def _is_plain(tool: Tool) -> bool:
    simple = Tool(tool.name, tool.description, tool.parameters)
    return structs.astuple(tool) == structs.astuple(simple) and is_typed(tool.parameters)


def is_typed(schema: dict[str, Any] | None) -> bool:
    """Whether a reader of the format takes a schema for what it is."""
    return schema is not None and is_json_schema(schema) and "type" in schema
