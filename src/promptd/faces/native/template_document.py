"""The stored templates as an OpenAPI document: the operation that runs one, once for each, with its own schemas."""

from __future__ import annotations

import asyncio
import copy
from typing import Any, Final
from urllib.parse import quote

import msgspec

from promptd.core.descriptors.subschemas import changed
from promptd.core.errors import PromptdError
from promptd.service.functions import Function
from promptd.service.walk import Walk

Json = dict[str, Any]

_BASE: Final = "/promptd/v1/templates"
_RUN: Final = f"{_BASE}/{{name}}/run"
_SCHEMAS: Final = "#/components/schemas/"
_REFERENCES: Final = ("$ref", "$dynamicRef")
_SUMMARY: Final = 120  # characters
_TURN: Final = 16  # templates that are described before others get a turn


async def document(walk: Walk, native: bytes) -> Json:
    """Made of the API's own document, `native`. Templates that can't run are not in it."""
    told: Json = msgspec.json.decode(native)
    run: Json = told["paths"][_RUN]["post"]
    known: Json = told["components"]["schemas"]
    paths: Json = {}
    schemas: Json = {}
    for place, name in enumerate(await walk.templates.names()):
        if place % _TURN == 0:
            await asyncio.sleep(0)
        try:
            function = await walk.functions.describe(name)
        except PromptdError:
            continue
        operation, own = _operation(function, run, known)
        paths[f"{_BASE}/{quote(name, safe='')}/run"] = {"post": operation}
        schemas |= own
    told["components"]["schemas"] = schemas | await asyncio.to_thread(_reached, paths, known)
    title = {**told["info"], "title": "promptd templates", "description": "Stored prompts as functions."}
    return {**told, "info": title, "tags": [tag for tag in told["tags"] if tag["name"] == "templates"], "paths": paths}


def _operation(function: Function, run: Json, known: Json) -> tuple[Json, Json]:
    """One template as an operation, and the components that are its own."""
    name, draft = function.version.template, function.version.draft
    is_text = draft.connection is None and function.output.kind == "text"
    own = {
        f"{name}.inputs": _placed(function.input_schema(), f"{name}.inputs"),
        f"{name}.value": {} if is_text else _placed(function.output_schema(), f"{name}.value"),
    }
    operation = copy.deepcopy(run)
    operation |= {
        "operationId": name,
        "summary": draft.description.partition("\n")[0][:_SUMMARY] or f"Run the template {name}",
        "description": draft.description,
        "parameters": [one for one in run["parameters"] if one["in"] != "path"],
    }
    body = _changed(known["NewRun"], {"inputs": {"$ref": f"{_SCHEMAS}{name}.inputs"}})
    _add_files(body, function)
    if own[f"{name}.inputs"].get("required"):
        body["required"] = ["inputs", *body.get("required", ())]
    operation["requestBody"]["content"]["application/json"] = {"schema": body}
    operation["responses"]["200"]["content"]["application/json"]["schema"] = _changed(
        known["RunView"], {"value": {"$ref": f"{_SCHEMAS}{name}.value"}}
    )
    return operation, own


def _add_files(body: Json, function: Function) -> None:
    """Inputs that are files stand beside the others, as ids of uploads."""
    files: Json = {}
    needed: list[str] = []
    for param in function.inputs:
        if param.kind != "file":
            continue
        most = param.max_count if param.multiple else 1
        files[param.name] = {
            "type": "array",
            "items": {"type": "string", "minLength": 1, "maxLength": 128},
            "description": "ids of uploads",
            "minItems": 1 if param.required else 0,
        } | ({"maxItems": most} if most is not None else {})
        if param.required:
            needed.append(param.name)
    if not files:
        del body["properties"]["files"]
        return
    body["properties"]["files"] = {
        "type": "object",
        "properties": files,
        "required": needed,
        "additionalProperties": False,
    }
    if needed:
        body["required"] = ["files"]


def _changed(schema: Json, properties: Json) -> Json:
    return {**schema, "properties": {**schema["properties"], **properties}}


def _placed(schema: Json, component: str) -> Json:
    """A schema of a template's own, its references led to where it stands now. One with an `$id` is a place by itself."""
    if "$id" in schema:
        return schema

    def lead(one: Json) -> Json:
        for word in _REFERENCES:
            target = one.get(word)
            if isinstance(target, str) and target.startswith("#"):
                one[word] = f"{_SCHEMAS}{component}{target[1:]}"
        return one

    placed: Json = changed(schema, lead)
    return placed


def _reached(paths: Json, known: Json) -> Json:
    """The API's own components that the paths refer to, and those that these refer to."""
    found: Json = {}
    waiting: list[Any] = [paths]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += one
        elif isinstance(one, dict):
            target = one.get("$ref")
            name = target.removeprefix(_SCHEMAS) if isinstance(target, str) else ""
            if name in known and name not in found:
                found[name] = known[name]
                waiting.append(known[name])
            waiting += one.values()
    return found
