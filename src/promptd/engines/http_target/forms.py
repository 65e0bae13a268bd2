"""The forms of an endpoint, and what they check that a schema can't."""

from __future__ import annotations

from typing import Any, Final

from promptd.core.configs.problems import invalid
from promptd.core.connection_forms import connection_layout, control, shown
from promptd.core.errors import PromptdError
from promptd.core.forms import Condition, Draft, FieldMessage, FormLogic, Group, Rule, Vertical, scope_of
from promptd.core.localisation import Key
from promptd.core.output import check_schema
from promptd.engines.http_target.config import HttpQuery, HttpTargetConfig
from promptd.engines.http_target.params import files_of

_BASIC: Final = shown("auth", "basic")
_BY_KEY: Final = shown("auth", "api_key")
_FORMS: Final = Rule("SHOW", Condition(scope_of(("body",)), {"enum": ["form", "multipart"]}))
_JSON: Final = shown("response", "json")

CONNECTION: Final = connection_layout(
    (
        "base_url",
        "auth",
        control("token", rule=shown("auth", "bearer")),
        control("user", rule=_BASIC),
        control("password", rule=_BASIC),
        control("key_header", rule=_BY_KEY),
        control("key", rule=_BY_KEY),
    ),
    models=False,
    advanced=("test_path", "headers"),
    limits=(
        *("connect_timeout", "first_byte_timeout", "silence_timeout"),
        *("max_request_bytes", "max_response_bytes"),
    ),
)
QUERY: Final = Vertical(
    elements=(
        Group(
            i18n="http_target.request",
            elements=(
                *(control(name) for name in ("method", "path", "parameters", "headers", "body")),
                control("json_body", rule=shown("body", "json")),
                control("form", rule=_FORMS),
                control("text_body", rule=shown("body", "text")),
                control("content_type", rule=shown("body", "text")),
                control("inputs"),
            ),
        ),
        Group(
            i18n="http_target.reply",
            elements=(
                control("statuses"),
                control("response"),
                control("pointer", rule=_JSON),
                control("outputs", rule=_JSON),
                control("json_schema", rule=_JSON),
            ),
        ),
    )
)


class ConnectionLogic(FormLogic[HttpTargetConfig, Any]):
    """What the chosen authentication needs."""

    async def validate(self, draft: Draft[HttpTargetConfig, Any]) -> list[FieldMessage]:
        missing = draft.connection.missing()
        return [FieldMessage(missing, invalid("required"))] if missing else []


class QueryLogic(FormLogic[HttpTargetConfig, HttpQuery]):
    """What hangs together in a request."""

    async def validate(self, draft: Draft[HttpTargetConfig, HttpQuery]) -> list[FieldMessage]:
        query = draft.query
        found = []
        if any(sign in query.path for sign in "?#\\"):
            found.append(FieldMessage("path", Key("http_target.path.plain")))
        if query.method == "GET" and query.body != "none":
            found.append(FieldMessage("body", Key("http_target.body.of_get"), "warning"))
        files = files_of(query)
        if query.body == "file" and len(files) != 1:
            found.append(FieldMessage("inputs", Key("http_target.body.one_file")))
        if files and query.body not in ("file", "multipart"):
            found.append(FieldMessage("inputs", Key("http_target.body.files_unused"), "warning"))
        if query.outputs and query.json_schema:
            found.append(FieldMessage("json_schema", Key("http_target.outputs.twice"), "warning"))
        if query.response == "json" and query.json_schema:
            try:
                check_schema(dict(query.json_schema), "json_schema")
            except PromptdError as error:
                found.append(FieldMessage("json_schema", error.message))
        return found
