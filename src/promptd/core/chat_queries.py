"""The queries of engines for language models: a prompt with placeholders, and an answer as text or as typed values.

Such a query becomes a chat like any other (`compose`), so that guards, limits and prices see it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, Generic, Literal, cast

from pydantic import JsonValue
from typing_extensions import TypeVar

from promptd.core.calls import (
    Call,
    Config,
    ConnectionTestParams,
    DescribeParams,
    NoConfig,
    placeholders,
)
from promptd.core.configs import setting
from promptd.core.connection_forms import ConnectionLogic, control, shown
from promptd.core.content import Turn
from promptd.core.descriptors import Param, params_from_schema
from promptd.core.engine import Engine
from promptd.core.errors import DescriptorFailed, PromptdError
from promptd.core.extraction import strict_compatible
from promptd.core.forms import (
    Draft,
    FieldMessage,
    Form,
    FormContext,
    FormLogic,
    FormPatch,
    Group,
    Node,
    Option,
    Vertical,
    make_form,
)
from promptd.core.localisation import HOST_PREFIX, Key
from promptd.core.model import Output, Request
from promptd.core.output import check_schema
from promptd.core.parameters import Parameters

_TEXT: Final = "text"
_VALUE: Final = "value"
_KEYS: Final = f"{HOST_PREFIX}chat_query"
_BRACES: Final = re.compile(r"\{\{([^{}\n]{0,80})\}\}")
_NAME: Final = re.compile(r"\s*[A-Za-z_][A-Za-z0-9_]{0,63}\s*")


def text_key(name: str) -> str:
    """The key of a text that these queries share, in the host's catalogue."""
    return f"{_KEYS}.{name}"


class ChatQuery(Config):
    """What is asked, of which model, and what comes back."""

    model: str = setting("", required=True, widget="model", options="models", i18n=text_key("model"))
    system: str = setting("", widget="prompt", i18n=text_key("system"))
    prompt: str = setting("", required=True, widget="prompt", i18n=text_key("prompt"))
    output: Literal["text", "json"] = setting("text", widget="select", on_change=True, i18n=text_key("output"))
    json_schema: dict[str, JsonValue] = setting(
        default_factory=dict, widget="json_schema", i18n=text_key("json_schema")
    )
    repair: int = setting(1, ge=0, le=3, i18n=text_key("repair"))
    temperature: float | None = setting(None, ge=0, le=2, i18n=text_key("temperature"))
    top_p: float | None = setting(None, ge=0, le=1, i18n=text_key("top_p"))
    max_tokens: int | None = setting(None, ge=1, i18n=text_key("max_tokens"))


A = TypeVar("A", bound=Config)
B = TypeVar("B", bound=ChatQuery, default=ChatQuery)


class ChatQueries(Engine[A, B], Generic[A, B]):
    """Base of the engines for language models: all that their queries need."""

    @classmethod
    def query_config_class(cls) -> type[B]:
        """From the generic arguments; `ChatQuery` where they name none."""
        found: Any = super().query_config_class()
        return cast("type[B]", ChatQuery if found is NoConfig else found)

    def compute_query_input(self, params: DescribeParams[A, B]) -> Sequence[Param]:
        """A text for each placeholder of the system text and the prompt."""
        return text_inputs(params.query.system, params.query.prompt)

    def compute_query_output(self, params: DescribeParams[A, B]) -> Sequence[Param]:
        """The answer's text, or what its JSON Schema says."""
        query = params.query
        if query.output == "text":
            return [Param(name=_TEXT, title=Key(text_key("answer")), multiline=True)]
        if not query.json_schema:
            return [Param(name=_VALUE, kind="any", title=Key(text_key("answer")))]
        return _members(query) or [Param(name=_VALUE, schema=dict(query.json_schema), title=Key(text_key("answer")))]

    def compose(self, call: Call[A, B]) -> Request | None:
        query = call.query
        turns = [Turn("system", call.text(query.system))] if query.system.strip() else []
        turns.append(Turn("user", call.text(query.prompt)))
        parameters = Parameters(temperature=query.temperature, top_p=query.top_p, max_tokens=query.max_tokens)
        if query.output == "text":
            return Request(messages=tuple(turns), parameters=parameters, output=Output(name=_TEXT))
        schema: dict[str, Any] | None = dict(query.json_schema) or None
        return Request(
            messages=tuple(turns),
            parameters=Parameters(
                temperature=query.temperature,
                top_p=query.top_p,
                max_tokens=query.max_tokens,
                json_schema=schema,
                schema_strict=strict_compatible(schema) if schema else None,
                json_object=schema is None,
            ),
            output=Output(kind="json", schema=schema, repair=query.repair, name="" if _members(query) else _VALUE),
        )

    def query_model(self, query: B) -> str:
        return query.model

    def query_form(self, context: FormContext) -> Form:
        return make_form(self.query_config_class(), Vertical(elements=(control("model"), *chat_controls())))

    def query_form_logic(self) -> FormLogic[A, B] | None:
        return ChatQueryLogic(self)

    def connection_form_logic(self) -> FormLogic[A, Any] | None:
        return ConnectionLogic(self)

    async def model_names(self, params: ConnectionTestParams[A]) -> Sequence[str]:
        """The models that the connection's service lists, for the query's form. Raises what a test of it raises."""
        return (await self.test_connection(params)).models


class ChatQueryLogic(FormLogic[A, B], Generic[A, B]):
    """The models that the connection's service lists, and the checks that a form can't make alone."""

    def __init__(self, engine: ChatQueries[A, B]) -> None:
        self._engine = engine

    async def options(self, source: str, draft: Draft[A, B], search: str) -> list[Option]:
        if source != "models" or draft.http is None:
            return []
        found = await self._engine.model_names(
            ConnectionTestParams(connection=draft.connection, connection_name="", http=draft.http, locale=draft.locale)
        )
        return [Option(name, name) for name in found if search.casefold() in name.casefold()]

    async def on_change(self, path: str, draft: Draft[A, B]) -> FormPatch | None:
        query = draft.query
        if path != "output" or query.output == "text" or query.json_schema:
            return None
        return FormPatch(messages=(FieldMessage("json_schema", Key(text_key("no_schema")), "info"),))

    async def validate(self, draft: Draft[A, B]) -> list[FieldMessage]:
        query = draft.query
        found = [*_odd_placeholders("system", query.system), *_odd_placeholders("prompt", query.prompt)]
        if query.output == "json" and query.json_schema:
            try:
                check_schema(dict(query.json_schema), "json_schema")
            except PromptdError as error:
                found.append(FieldMessage("json_schema", error.message))
        return found


def text_inputs(*templates: str) -> list[Param]:
    """A text input for each placeholder of the templates, in order of appearance."""
    names = dict.fromkeys(name for template in templates for name in placeholders(template))
    return [Param(name=name, multiline=True) for name in names]


def chat_controls() -> tuple[Node, ...]:
    """The controls of a chat's settings but for the model."""
    return (
        control("system"),
        control("prompt"),
        control("output"),
        control("json_schema", rule=shown("output", "json")),
        Group(
            i18n=text_key("advanced"),
            collapsed=True,
            elements=(
                *(control(name) for name in ("temperature", "top_p", "max_tokens")),
                control("repair", rule=shown("output", "json")),
            ),
        ),
    )


def _odd_placeholders(path: str, template: str) -> list[FieldMessage]:
    """What looks like a placeholder and is none stays in the text as it is; its author may think otherwise."""
    odd = dict.fromkeys(found for found in _BRACES.findall(template) if not _NAME.fullmatch(found))
    return [FieldMessage(path, Key(text_key("odd_placeholder"), {"name": name.strip()}), "warning") for name in odd]


def _members(query: ChatQuery) -> Sequence[Param]:
    """The outputs that the members of an object are; none where the schema is of something else, or of more than that."""
    try:
        return params_from_schema(dict(query.json_schema)) if query.json_schema.get("type") == "object" else ()
    except DescriptorFailed:
        return ()
