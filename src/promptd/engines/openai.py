"""Engine for any server that speaks the OpenAI API: chat (with images and sounds), legacy completions with a raw
template, embeddings, images, speech, transcription."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from promptd.core.engine import Call, CheckParams, CheckResult, Config, Engine
from promptd.core.errors import ConfigIncomplete
from promptd.core.model import Capability, Chunk
from promptd.core.ports import Timeouts
from promptd.dialects import openai as dialect
from promptd.dialects.openai_media import MEDIA


class OpenAIConfig(Config):
    """Settings of a connection to an OpenAI-compatible server."""

    base_url: str = Field("", description="Address up to and with the version, e.g. http://127.0.0.1:8080/v1")
    api_key: SecretStr = Field(SecretStr(""), description="Sent as a bearer token; empty for servers without keys")
    organization: str = Field("", description="Sent as OpenAI-Organization")
    headers: dict[str, SecretStr] = Field({}, description="Further headers of every call")
    stream_usage: bool = Field(True, description="Ask for token counts on streams; off for servers that refuse it")
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = Field(
        "max_tokens", description="What the server calls the bound of a chat answer"
    )
    voice: str = Field("alloy", description="Speaks where a prompt names no voice; empty to leave it to the server")
    ask_for_base64: bool = Field(
        True, description="Ask for images in the answer itself; off for servers that refuse the field and do so anyway"
    )
    connect_timeout: float = Field(10.0, gt=0, description="Seconds to reach the server")
    first_byte_timeout: float = Field(120.0, gt=0, description="Seconds until the answer begins")
    silence_timeout: float = Field(60.0, gt=0, description="Seconds without a byte inside an answer")
    max_response_bytes: int = Field(dialect.MAX_BYTES, gt=0, description="Bytes of one answer, decompressed")

    @field_validator("base_url")
    @classmethod
    def _is_http(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (parts.scheme not in ("http", "https") or not parts.hostname):
            raise ValueError("an address that starts with http:// or https:// and a host")
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError("an address without user name, query and fragment; keys go to api_key or headers")
        return value.rstrip("/")

    def timeouts(self) -> Timeouts:
        return Timeouts(self.connect_timeout, self.first_byte_timeout, self.silence_timeout)

    def request_headers(self) -> dict[str, str]:
        headers = {name: value.get_secret_value() for name, value in self.headers.items()}
        if key := self.api_key.get_secret_value():
            headers["authorization"] = f"Bearer {key}"
        if self.organization:
            headers["openai-organization"] = self.organization
        return headers


class OpenAI(Engine[OpenAIConfig]):
    """Texts are always streamed from the server, so that a stalled or cancelled one is noticed at once."""

    type_id = "openai"
    display_name = "OpenAI-compatible server"
    display_description = "Any server with the OpenAI API: chat, completions, embeddings, images, speech, transcription"
    capabilities = frozenset(Capability)

    async def run(self, call: Call[OpenAIConfig]) -> AsyncGenerator[Chunk, None]:
        config = call.connection
        _require_address(config)
        if call.capability in MEDIA:
            for chunk in await dialect.run_media(
                call.http,
                config.base_url,
                config.request_headers(),
                call,
                timeouts=config.timeouts(),
                max_bytes=config.max_response_bytes,
                voice=config.voice,
                ask_for_base64=config.ask_for_base64,
            ):
                yield chunk
            return
        chunks = dialect.run_openai(
            call.http,
            config.base_url,
            config.request_headers(),
            call,
            timeouts=config.timeouts(),
            max_bytes=config.max_response_bytes,
            stream_usage=config.stream_usage,
            max_tokens_field=config.max_tokens_field,
        )
        async with aclosing(chunks):
            async for chunk in chunks:
                yield chunk

    async def check(self, params: CheckParams[OpenAIConfig]) -> CheckResult:
        config = params.connection
        _require_address(config)
        models = await dialect.list_models(
            params.http, config.base_url, config.request_headers(), timeouts=config.timeouts()
        )
        return CheckResult(ok=True, message=f"{len(models)} models", models=models)


def _require_address(config: OpenAIConfig) -> None:
    if not config.base_url:
        raise ConfigIncomplete("base_url: the connection needs the server's address")
