"""Thin types for those who look for a service by its name: generic chat completions, and Google Gemini."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import msgspec
from msgspec import Struct
from pydantic import SecretStr

from promptd.core.calls import CheckLine
from promptd.core.chat_queries import ChatQuery
from promptd.core.configs import setting
from promptd.core.connection_forms import models_found
from promptd.core.connection_forms import text_key as shared
from promptd.core.engine import ConnectionTestParams, ConnectionTestResult
from promptd.core.errors import ConfigIncomplete, InvalidInput, InvalidOutput, ResourceNotFound, UnsupportedInput
from promptd.core.forms import Form, FormContext, FormLogic, make_form
from promptd.core.localisation import Key
from promptd.core.model import TEXT, Capability
from promptd.core.ports import HttpClient, Timeouts
from promptd.dialects.exchange import raise_for_status, secrets_of
from promptd.engines.openai import profiles
from promptd.engines.openai.config import OpenAIConfig
from promptd.engines.openai.engine import Compatible, open_door
from promptd.engines.openai.forms import OpenAILogic, layout

_MOST_PAGES: Final = 20
_LONGEST_LIST: Final = 4 * 1024 * 1024  # bytes
#: what a listed model must be able to do, so that one of our calls can ask it
_METHODS: Final = frozenset({"generateContent", "embedContent"})
_OPENAI: Final = "/openai"


class ChatCompletionsConfig(OpenAIConfig):
    """Settings of a connection to any server that takes chat completions."""

    base_url: str = setting(
        "",
        required=True,
        i18n="openai.base_url",
        widget="url",
        placeholder="http://127.0.0.1:8080/v1",
        description="Address up to and with the version, e.g. http://127.0.0.1:8080/v1",
    )


class ChatCompletions(Compatible[ChatCompletionsConfig, ChatQuery]):
    """Texts and structured JSON, of any server that takes chat completions."""

    type_id = "chat_completions"
    display_name_key = "chat_completions.name"
    display_description_key = "chat_completions.description"
    capabilities = TEXT | {Capability.VISION}

    def connection_form(self, context: FormContext) -> Form:
        return make_form(ChatCompletionsConfig, layout("base_url", "api_key"))

    def connection_form_logic(self) -> FormLogic[ChatCompletionsConfig, Any]:
        return OpenAILogic(self)

    async def test_connection(self, params: ConnectionTestParams[ChatCompletionsConfig]) -> ConnectionTestResult:
        """A server need not list its models; then one that has an opinion on an empty chat is there."""
        try:
            return await super().test_connection(params)
        except ResourceNotFound as error:
            if not await _takes_chats(params.http, params.connection):
                raise
            text = Key(shared("no_models"))
            checks = (CheckLine(True, Key(shared("reached"))), CheckLine(False, error.message))
            return ConnectionTestResult(ok=True, message=text, checks=checks)


async def _takes_chats(http: HttpClient, config: ChatCompletionsConfig) -> bool:
    """Whether a chat without messages is refused for what it says. Raises what any other refusal means."""
    url, headers = config.url(profiles.CHAT, "model"), config.json_headers
    try:
        async with http.request("POST", url, headers=headers, body=b"{}", timeouts=config.timeouts) as response:
            await raise_for_status(response, secrets=secrets_of(headers))
    except (InvalidInput, UnsupportedInput):
        return True
    except ResourceNotFound:
        return False
    return True


class GeminiConfig(OpenAIConfig):
    """Settings of a connection to Google Gemini."""

    profile: profiles.Name = setting(
        "gemini",
        i18n="gemini.profile",
        labels=profiles.LABELS | {"any": "OpenAI"},
        description="Paths and manners of the service; another one only for a gateway in between",
    )
    api_key: SecretStr = setting(
        SecretStr(""),
        required=True,
        i18n="gemini.api_key",
        widget="api_key",
        description="A key of the Gemini API",
    )


class _Model(Struct):
    name: str = ""
    supportedGenerationMethods: tuple[str, ...] = ()  # noqa: N815 - the wire's name


class _Models(Struct):
    models: tuple[_Model, ...] = ()
    nextPageToken: str = ""  # noqa: N815


class Gemini(Compatible[GeminiConfig, ChatQuery]):
    """Gemini's models by way of its endpoint for OpenAI's API; its own API lists them."""

    type_id = "gemini"
    display_name_key = "gemini.name"
    display_description_key = "gemini.description"
    capabilities = frozenset({Capability.CHAT, Capability.VISION, Capability.EMBEDDING})

    def connection_form(self, context: FormContext) -> Form:
        return make_form(GeminiConfig, layout("api_key", "base_url"))

    def connection_form_logic(self) -> FormLogic[GeminiConfig, Any]:
        return OpenAILogic(self)

    async def test_connection(self, params: ConnectionTestParams[GeminiConfig]) -> ConnectionTestResult:
        config = params.connection
        key = config.api_key.get_secret_value()
        if not key:
            raise ConfigIncomplete("api_key: the connection needs a key", field="api_key")
        open_door(config, params.http)
        if not config.address.endswith(_OPENAI):  # a gateway, which has OpenAI's list
            return await super().test_connection(params)
        url = config.address.removesuffix(_OPENAI) + "/models"
        headers = {name: value.get_secret_value() for name, value in config.headers.items()} | {"x-goog-api-key": key}
        return models_found(await _list(params.http, url, headers, config.timeouts))


async def _list(http: HttpClient, url: str, headers: Mapping[str, str], timeouts: Timeouts) -> list[str]:
    """The models that can be asked, page by page, as they are called in requests."""
    names: list[str] = []
    token = ""
    for _ in range(_MOST_PAGES):
        page = f"{url}?pageSize=1000" + (f"&pageToken={quote(token, safe='')}" if token else "")
        async with http.request("GET", page, headers=headers, timeouts=timeouts, max_bytes=_LONGEST_LIST) as response:
            await raise_for_status(response, secrets=secrets_of(headers))
            body = await response.read()
        try:
            found = msgspec.json.decode(body, type=_Models)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidOutput("the service sent something that is no list of models", detail=str(error)) from error
        names += [
            model.name.removeprefix("models/")
            for model in found.models
            if model.name and _METHODS.intersection(model.supportedGenerationMethods)
        ]
        token = found.nextPageToken
        if not token:
            break
    return names
