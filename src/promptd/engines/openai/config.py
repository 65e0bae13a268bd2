"""Settings of a connection to a server with the OpenAI API, and what follows from them."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Final, Literal
from urllib.parse import quote, urlsplit

import msgspec
from pydantic import SecretStr, field_validator

from promptd.core.configs import remote, setting
from promptd.core.credentials import Credential
from promptd.core.engine import Config
from promptd.core.errors import ConfigIncomplete
from promptd.core.ports import FixedHeaders, Timeouts
from promptd.dialects import chat, messages, responses
from promptd.dialects.addresses import base_url
from promptd.dialects.chat import Manners
from promptd.dialects.exchange import MAX_BYTES
from promptd.dialects.hosted import HostedTools
from promptd.dialects.passing import Decode, NativeApi
from promptd.engines.openai import profiles
from promptd.engines.openai.profiles import CHAT, COMPLETIONS, EMBEDDINGS, MESSAGES, PROFILES, RESPONSES, Profile

_ALWAYS: Final = frozenset({CHAT, COMPLETIONS, EMBEDDINGS})
_MESSAGES_VERSION: Final = "2023-06-01"


_READERS: Final[dict[str, tuple[Any, Decode]]] = {
    CHAT: (chat.Reader, chat.decode_answer),
    COMPLETIONS: (chat.Reader, chat.decode_answer),
    EMBEDDINGS: (chat.Reader, lambda body: (chat.decode_embeddings(body),)),
    RESPONSES: (responses.Reader, responses.decode_answer),
    MESSAGES: (messages.Reader, messages.decode_answer),
}


class OpenAIConfig(Config):
    """Settings of a connection to an OpenAI-compatible server."""

    profile: profiles.Name = setting(
        "any",
        i18n="openai.profile",
        on_change=True,
        labels=profiles.LABELS,
        description="The service: its address, paths and manners, as far as no other setting says otherwise",
    )
    base_url: str = setting(
        "",
        i18n="openai.base_url",
        widget="url",
        description="Address up to and with the version, e.g. http://127.0.0.1:8080/v1",
    )
    api_key: SecretStr = setting(
        SecretStr(""),
        i18n="promptd.connection.api_key",
        widget="api_key",
        description="Sent as a bearer token; empty for servers without keys",
    )
    api_version: str = setting(
        "2024-10-21", i18n="openai.api_version", description="Of Azure's API", pattern=r"^[0-9A-Za-z._-]+$"
    )
    organization: str = setting("", i18n="openai.organization", description="Sent as OpenAI-Organization")
    headers: dict[str, SecretStr] = remote.headers()
    safety_identifier: bool = setting(
        True,
        i18n="openai.safety_identifier",
        description="Tell the service a stable, opaque name of the end user; off: neither `user` nor `safety_identifier` "
        "goes out, whoever set it",
    )
    native: bool = setting(
        True,
        i18n="promptd.connection.native",
        description="Pass requests of an API that the server speaks on as they are",
    )
    passthrough: bool = remote.passthrough()
    responses_api: bool | None = setting(
        None, i18n="openai.responses_api", description="The server speaks the Responses API; unset: as its profile says"
    )
    messages_api: bool | None = setting(
        None,
        i18n="openai.messages_api",
        description="The server speaks Anthropic's Messages API; unset: as its profile says",
    )
    api: Literal["chat", "responses"] = setting(
        "chat", i18n="openai.api", description="In which API it is asked by callers of other APIs"
    )
    stream_usage: bool | None = setting(
        None,
        i18n="openai.stream_usage",
        description="Ask for token counts on streams; off for servers that refuse it; unset: as its profile says",
    )
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] | None = setting(
        None,
        i18n="openai.max_tokens_field",
        labels={"max_tokens": "max_tokens", "max_completion_tokens": "max_completion_tokens"},
        description="What the server calls the bound of a chat answer; unset: as its profile says",
    )
    voice: str = setting(
        "alloy",
        i18n="openai.voice",
        description="Speaks where a prompt names no voice; empty to leave it to the server",
    )
    ask_for_base64: bool = setting(
        True,
        i18n="openai.ask_for_base64",
        description="Ask for images in the answer itself; off for servers that refuse the field and do so anyway",
    )
    hosted_tools: HostedTools = remote.hosted_tools()
    connect_timeout: float = remote.connect_timeout()
    first_byte_timeout: float = remote.first_byte_timeout()
    silence_timeout: float = remote.silence_timeout()
    max_response_bytes: int = remote.max_response_bytes(MAX_BYTES)

    _may_be_sent = field_validator("api_key", "organization", "headers")(remote.in_header)

    @field_validator("base_url")
    @classmethod
    def _is_http(cls, value: str) -> str:
        return base_url(value)

    @property
    def row(self) -> Profile:
        return PROFILES[self.profile]

    @cached_property
    def timeouts(self) -> Timeouts:
        return Timeouts(self.connect_timeout, self.first_byte_timeout, self.silence_timeout)

    @cached_property
    def manners(self) -> Manners:
        known = self.row.manners
        return msgspec.structs.replace(
            known,
            stream_usage=known.stream_usage if self.stream_usage is None else self.stream_usage,
            max_tokens=self.max_tokens_field or known.max_tokens,
            hosted_tools=self.hosted_tools,
        )

    @cached_property
    def dialects(self) -> frozenset[str]:
        """Those that the server speaks."""
        asked = {RESPONSES: self.responses_api, MESSAGES: self.messages_api}
        more = {name for name, wish in asked.items() if wish or (wish is None and name in self.row.speaks)}
        return _ALWAYS | more

    @cached_property
    def request_headers(self) -> dict[str, str]:
        """Of every call; their values are secrets."""
        headers = {name: value.get_secret_value() for name, value in self.headers.items()}
        if key := self._key:
            headers |= self._authorization(key)
        if self.organization:
            headers["openai-organization"] = self.organization
        return headers

    @cached_property
    def json_headers(self) -> dict[str, str]:
        """Of a call with a JSON body."""
        return FixedHeaders({**self.request_headers, "content-type": "application/json"})

    @cached_property
    def messages_headers(self) -> dict[str, str]:
        """Of a call in Anthropic's API, whose servers look for the key in one place or the other."""
        named = {"x-api-key": self._key} if self._key else {}
        return FixedHeaders({"anthropic-version": _MESSAGES_VERSION, **named, **self.json_headers})

    def headers_for(self, credential: Credential | None, dialect: str = "") -> dict[str, str]:
        """Of a call: those of the connection, with its caller's own key where it passes such keys on.

        `dialect` is that of a body in JSON, none where the body has another type.
        """
        headers = self.request_headers if not dialect else self.json_headers
        if dialect == MESSAGES:
            headers = self.messages_headers
        if credential is None or not self.passthrough:
            return headers
        key = credential.reveal()
        named = {"x-api-key": key} if dialect == MESSAGES else {}
        return {**headers, **named, **self._authorization(key)}

    @property
    def _key(self) -> str:
        """The connection's own; none where its callers bring theirs."""
        return "" if self.passthrough else self.api_key.get_secret_value()

    def _authorization(self, key: str) -> dict[str, str]:
        return {"api-key": key} if self.row.key_header == "api-key" else {"authorization": f"Bearer {key}"}

    @cached_property
    def address(self) -> str:
        """The base URL, the profile's where none is set. Raises `ConfigIncomplete`."""
        address = self.base_url or self.row.base_url
        if not address:
            raise ConfigIncomplete("base_url: the connection needs the server's address")
        return address

    def native_api(self, dialect: str, model: str, credential: Credential | None) -> NativeApi:
        """Of a request in `dialect` that passes through. Raises `ConfigIncomplete`."""
        url, headers = self.url(dialect, model), self.headers_for(credential, dialect)
        reader, decode = _READERS[dialect]
        return NativeApi(
            url, headers, reader, decode, self.timeouts, self.max_response_bytes, self.manners.stream_usage
        )

    @cached_property
    def native_apis(self) -> dict[str, NativeApi]:
        """Of the dialects whose requests go on as they are, all alike; with the connection's own key.

        Put together once, because each attribute of a pydantic model costs as much as a call.
        """
        if not self.base_url or not self.safety_identifier or self.row.streams_only:
            return {}
        return {dialect: self.native_api(dialect, "", None) for dialect in self._urls}

    def url(self, dialect: str, model: str) -> str:
        """Where requests of `dialect` go. Raises `ConfigIncomplete`."""
        return self._urls.get(dialect) or self._filled(self.row.path(dialect), quote(model, safe=""))

    @cached_property
    def models_url(self) -> str:
        return self._filled(self.row.models)

    @cached_property
    def _urls(self) -> dict[str, str]:
        """Of the dialects whose requests all go to one place, whatever the model."""
        paths = {dialect: self.row.path(dialect) for dialect in (*_ALWAYS, RESPONSES, MESSAGES)}
        return {dialect: self._filled(path) for dialect, path in paths.items() if "{model}" not in path}

    def _filled(self, template: str, model: str = "") -> str:
        base = self.address
        origin = "{0.scheme}://{0.netloc}".format(urlsplit(base))
        return template.format(base=base, origin=origin, model=model, version=self.api_version)
