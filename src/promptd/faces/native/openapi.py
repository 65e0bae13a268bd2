"""The OpenAPI 3.1 document, made from the table of operations."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec

from promptd.core.errors import Refusal, leaves
from promptd.faces.asgi import Problem
from promptd.faces.native.events import StreamEvent
from promptd.faces.native.operation import Operation

Json = dict[str, Any]
_REFS: Final = "#/components/schemas/{name}"
_GROUPS: Final = {
    "prompts": "The durable unit of work: submit, look up, follow, cancel, retry, delete.",
    "files": "What prompts come with and what engines make. Whoever may look files up and knows an id may read that file.",
    "threads": "Conversations: prompts of a thread run one after the other.",
    "templates": "Stored prompts with typed inputs and outputs, their versions and labels, and calling them.",
    "chains": "Runs of templates whose outputs feed each other's inputs.",
    "models": "Names that prompts ask for, and the connections that serve them.",
    "connections": "Types of service that plugins bring, their forms, and connections that are saved at run time.",
    "keys": "Who may do what.",
    "server": "Health, metrics and this document.",
}


def document(operations: Sequence[Operation], version: str) -> Json:
    """The document of `operations`; every operation with `in_document` is in it."""
    shown = [operation for operation in operations if operation.in_document]
    schemas = _Schemas(shown)
    paths: dict[str, Json] = {}
    for operation in shown:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "promptd",
            "version": version,
            "description": "One durable service between applications and AI models.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in _GROUPS.items()],
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "A key: `Authorization: Bearer pk-…`"},
                "ticket": {"type": "apiKey", "in": "query", "name": "ticket"},
            },
        },
        "x-error-codes": error_codes(),
    }


def error_codes() -> list[Json]:
    """Every code that a problem or a failed prompt may have. What a wire or a plugin derives keeps a code of these."""
    own = list(leaves())
    classes = {error.code: error for error in sorted(own, key=lambda error: -len(error.__mro__))}
    return [
        {
            "code": code,
            "status": error.http_status,
            "title": error.title,
            "retryable": error.retryable,
            "where": "request" if issubclass(error, Refusal) else "prompt",
        }
        for code, error in sorted(classes.items())
    ]


def refusals(operation: Operation) -> tuple[int, ...]:
    """Every status above 399 that the operation may answer with on purpose."""
    found = {422, *operation.refusals}
    if not operation.public:
        found |= {401, 403, 503}
    if "{" in operation.path:
        found.add(404)
    if operation.body is not None:
        found |= {400, 413}
    if operation.upload:
        found.add(413)
    return tuple(sorted(found - set(operation.answers)))


class _Schemas:
    """Component schemas of every struct in the table, and references to them."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        types: list[Any] = [Problem, StreamEvent]
        for operation in operations:
            types += [answer for answer in operation.answers.values() if isinstance(answer, type)]
            types += [operation.query] if operation.body is None else [operation.query, operation.body]
        unique = list(dict.fromkeys(types))
        schemas, self.components = msgspec.json.schema_components(unique, ref_template=_REFS)
        self._of = dict(zip(unique, schemas, strict=True))
        queries = {operation.query for operation in operations}
        self._queries = {query: self.components.pop(query.__name__) for query in queries}

    def __getitem__(self, kind: Any) -> Json:
        found: Json = self._of[kind]
        return found

    def parameters(self, query: type) -> list[Json]:
        """The fields of a query struct as parameters; `null` can't stand in a query."""
        return [_parameter(name, dict(schema)) for name, schema in self._queries[query]["properties"].items()]


def _parameter(name: str, schema: Json) -> Json:
    options = [option for option in schema.get("anyOf", ()) if option != {"type": "null"}]
    if len(options) == 1:
        schema = {**options[0], **{key: value for key, value in schema.items() if key != "anyOf"}}
    if schema.get("default", 0) is None:
        del schema["default"]
    description = schema.pop("description", "")
    shown = {"name": name, "in": "query", "required": False, "schema": schema}
    return {**shown, "description": description} if description else shown


def _operation(operation: Operation, schemas: _Schemas) -> Json:
    shown: Json = {
        "operationId": operation.name,
        "tags": [operation.group],
        "summary": operation.summary,
        "parameters": [
            *(
                {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
                for name in re.findall(r"{(\w+)}", operation.path)
            ),
            *schemas.parameters(operation.query),
            *(_header(name, kind) for name, kind in operation.headers.items()),
        ],
        "responses": _responses(operation, schemas),
    }
    if operation.body is not None:
        content: Json = {"schema": schemas[operation.body]}
        if operation.example is not None:
            content["example"] = operation.example
        shown["requestBody"] = {"required": True, "content": {"application/json": content}}
    elif operation.upload:
        shown["requestBody"] = {"required": False, "content": {"*/*": {}}}  # without one, the file is empty
    if operation.public:
        shown["security"] = []
    elif operation.ticket:
        shown["security"] = [{"key": []}, {"ticket": []}]
    if operation.admin or operation.permission is not None:
        shown["x-permission"] = "admin" if operation.admin else operation.permission
    return shown


def _header(name: str, kind: Any) -> Json:
    schema = msgspec.json.schema(kind)
    return {"name": name, "in": "header", "required": False, "description": schema.pop("description"), "schema": schema}


def _responses(operation: Operation, schemas: _Schemas) -> Json:
    shown: dict[int, Json] = {}
    for status, answer in operation.answers.items():
        shown[status] = {"description": HTTPStatus(status).phrase}
        if isinstance(answer, str):
            shown[status]["content"] = {answer: {}}
        elif answer is not None:
            shown[status]["content"] = {"application/json": {"schema": schemas[answer]}}
    for status, media_type in operation.also.items():
        shown[status]["content"][media_type] = {}
    if operation.events:
        stream = shown.setdefault(200, {"description": HTTPStatus.OK.phrase})
        # OpenAPI 3.1 has no word for the items of a stream
        stream.setdefault("content", {})["text/event-stream"] = {
            "schema": {"type": "string"},
            "x-event-data": schemas[StreamEvent],
        }
    for status in refusals(operation):
        problem = {"schema": schemas[Problem]}
        shown[status] = {
            "description": HTTPStatus(status).phrase,
            "content": {"application/problem+json": problem},
        }
        if status in (429, 503):
            shown[status]["headers"] = {
                "Retry-After": {"description": "seconds", "schema": {"type": "integer", "minimum": 1}}
            }
    return {str(status): shown[status] for status in sorted(shown)}
