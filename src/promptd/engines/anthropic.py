"""Engine for Anthropic's Messages API, and for any server that speaks it."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from typing import Any, Final

from pydantic import SecretStr, field_validator

from promptd.core.chat_queries import ChatQueries, ChatQuery
from promptd.core.configs import remote, setting
from promptd.core.connection_forms import connection_layout, models_found
from promptd.core.engine import Call, Config, ConnectionTestParams, ConnectionTestResult
from promptd.core.errors import ConfigIncomplete
from promptd.core.forms import Form, FormContext, make_form
from promptd.core.model import Capability, Chunk
from promptd.core.ports import Timeouts
from promptd.dialects import chat, messages
from promptd.dialects.addresses import base_url
from promptd.dialects.exchange import MAX_BYTES
from promptd.dialects.hosted import HostedTools
from promptd.dialects.messages import DIALECT, Manners, Reader, decode_answer
from promptd.dialects.messages.thinking import Effort
from promptd.dialects.passing import NativeApi, run_native

_BETA: Final = re.compile(r"[A-Za-z0-9._-]{1,100}")
_MOST_BETAS: Final = 20
_LOGIN: Final = "sk-ant-oat"
_CHAT: Final = "openai.chat"


class AnthropicConfig(Config):
    """Settings of a connection to a server with the Messages API."""

    base_url: str = setting(
        "https://api.anthropic.com",
        i18n="anthropic.base_url",
        widget="url",
        description="Address of the server, without the version",
    )
    api_key: SecretStr = setting(
        SecretStr(""),
        i18n="promptd.connection.api_key",
        widget="api_key",
        description="Sent as x-api-key; empty for servers without keys",
    )
    auth_token: SecretStr = setting(
        SecretStr(""),
        i18n="anthropic.auth_token",
        widget="api_key",
        description="Sent as a bearer token, for servers that want it so",
    )
    version: str = setting(
        "2023-06-01", i18n="anthropic.version", description="Sent as anthropic-version", pattern=r"^[0-9A-Za-z._-]+$"
    )
    betas: tuple[str, ...] = setting((), i18n="anthropic.betas", description="Sent as anthropic-beta with every call")
    client_betas: bool = setting(
        True, i18n="anthropic.client_betas", description="Send on the anthropic-beta of callers, too"
    )
    headers: dict[str, SecretStr] = remote.headers()
    max_tokens: int = setting(
        8192, i18n="anthropic.max_tokens", gt=0, description="Bound of an answer where the caller gives none"
    )
    effort: Effort = setting(
        "auto",
        i18n="anthropic.effort",
        description="How a wish to think is told to the model: adaptive (in its word), budget (as tokens), off, or auto "
        "by the model's name",
    )
    schemas: bool = setting(
        True,
        i18n="anthropic.schemas",
        description="Leave JSON Schemas to the server; off for models that don't take them",
    )
    system_in_place: bool = setting(
        False,
        i18n="anthropic.system_in_place",
        description="Leave later system messages in their place; for newer models",
    )
    unsigned_thinking: bool = setting(
        False,
        i18n="anthropic.unsigned_thinking",
        description="Send thoughts back that bear no signature, for other servers",
    )
    native: bool = setting(
        True, i18n="promptd.connection.native", description="Pass requests of the same API on as they are"
    )
    chat_api: bool = setting(
        False,
        i18n="anthropic.chat_api",
        description="Pass requests of OpenAI's chat API on to the server's own imitation of it; off: they are translated",
    )
    passthrough: bool = remote.passthrough()
    hosted_tools: HostedTools = remote.hosted_tools()
    connect_timeout: float = remote.connect_timeout()
    first_byte_timeout: float = remote.first_byte_timeout()
    silence_timeout: float = remote.silence_timeout()
    max_response_bytes: int = remote.max_response_bytes(MAX_BYTES)

    _may_be_sent = field_validator("api_key", "auth_token", "headers")(remote.in_header)

    @field_validator("base_url")
    @classmethod
    def _is_http(cls, value: str) -> str:
        return base_url(value).removesuffix("/v1")

    @field_validator("betas")
    @classmethod
    def _are_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(_BETA.fullmatch(beta) for beta in value):
            raise ValueError("names of letters, digits, dots, dashes and underscores")
        return value

    def timeouts(self) -> Timeouts:
        return Timeouts(self.connect_timeout, self.first_byte_timeout, self.silence_timeout)

    def manners(self) -> Manners:
        return Manners(
            max_tokens=self.max_tokens,
            effort=self.effort,
            schemas=self.schemas,
            system_in_place=self.system_in_place,
            unsigned_thinking=self.unsigned_thinking,
            hosted_tools=self.hosted_tools,
        )

    def request_headers(self) -> dict[str, str]:
        """The secrets among them."""
        headers = {name.lower(): value.get_secret_value() for name, value in self.headers.items()}
        if self.passthrough:
            return headers
        if key := self.api_key.get_secret_value():
            headers["x-api-key"] = key
        if token := self.auth_token.get_secret_value():
            headers["authorization"] = f"Bearer {token}"
        return headers

    def address(self, path: str) -> str:
        """Raises `ConfigIncomplete` where there is no server."""
        if not self.base_url:
            raise ConfigIncomplete("base_url: the connection needs the server's address")
        return self.base_url + path


_LAYOUT: Final = connection_layout(
    ("base_url", "api_key"),
    advanced=("max_tokens", "effort", "betas", "client_betas", "passthrough", "headers"),
    compatibility=(
        "auth_token",
        "version",
        "schemas",
        "system_in_place",
        "unsigned_thinking",
        "hosted_tools",
        "native",
        "chat_api",
    ),
    limits=("connect_timeout", "first_byte_timeout", "silence_timeout", "max_response_bytes"),
)


class Anthropic(ChatQueries[AnthropicConfig]):
    """Answers are always streamed from the server, so that a stalled or cancelled one is noticed at once; those to
    clients of the same API come as they were asked for."""

    type_id = "anthropic"
    display_name_key = "anthropic.name"
    display_description_key = "anthropic.description"
    capabilities = frozenset({Capability.CHAT, Capability.VISION, Capability.DOCUMENT})

    def run(self, call: Call[AnthropicConfig, ChatQuery]) -> AsyncGenerator[Chunk, None]:
        config = call.connection
        url, headers = config.address("/v1/messages"), _headers(call)
        timeouts, native = config.timeouts(), call.native
        if native is None:
            return messages.run_call(
                call.http,
                url,
                headers,
                call,
                timeouts=timeouts,
                max_bytes=config.max_response_bytes,
                manners=config.manners(),
            )
        imitated = native.dialect == _CHAT
        api = NativeApi(
            config.address("/v1/chat/completions") if imitated else url,
            {**headers, "content-type": "application/json"},
            chat.Reader if imitated else Reader,
            chat.decode_answer if imitated else decode_answer,
            timeouts,
            config.max_response_bytes,
        )
        return run_native(call, native, api)

    async def count(self, call: Call[AnthropicConfig, ChatQuery]) -> int | None:
        config = call.connection
        return await messages.count_tokens(
            call.http,
            config.address("/v1/messages/count_tokens"),
            _headers(call),
            call,
            timeouts=config.timeouts(),
            manners=config.manners(),
        )

    async def test_connection(self, params: ConnectionTestParams[AnthropicConfig]) -> ConnectionTestResult:
        config = params.connection
        headers = {"anthropic-version": config.version, **config.request_headers()}
        names = await messages.list_models(
            params.http, config.address("/v1/models"), headers, timeouts=config.timeouts()
        )
        return models_found(names)

    def connection_form(self, context: FormContext) -> Form:
        return make_form(AnthropicConfig, _LAYOUT)

    def dialects(self, connection: AnthropicConfig) -> frozenset[str]:
        if not connection.native:
            return frozenset()
        return frozenset({DIALECT, _CHAT}) if connection.chat_api else frozenset({DIALECT})


def _headers(call: Call[AnthropicConfig, ChatQuery]) -> dict[str, str]:
    config = call.connection
    headers = {"anthropic-version": config.version, **config.request_headers()}
    if call.credential is not None and config.passthrough:
        key = call.credential.reveal()
        # what a login gives is no key, and taken in the other header only
        headers |= {"authorization": f"Bearer {key}"} if key.startswith(_LOGIN) else {"x-api-key": key}
    betas = (*config.betas, *_asked_betas(call.parameters.extra)) if config.client_betas else config.betas
    if betas:
        headers["anthropic-beta"] = ",".join(dict.fromkeys(betas))
    return headers


def _asked_betas(extra: dict[str, Any]) -> list[str]:
    """What the caller's own header said; the face puts it there."""
    given = extra.get("anthropic_beta")
    found = given if isinstance(given, list | tuple) else ()
    return [beta for beta in found[:_MOST_BETAS] if isinstance(beta, str) and _BETA.fullmatch(beta)]
