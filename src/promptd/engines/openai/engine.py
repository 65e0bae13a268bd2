"""`OpenAI`: prompts in, chunks out."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Final

from promptd.core.engine import Call, CheckParams, CheckResult, Engine
from promptd.core.model import Capability, Chunk, Native
from promptd.core.ports import HttpClient
from promptd.dialects import chat, messages, responses
from promptd.dialects.chat.calls import DIALECTS
from promptd.dialects.openai_media import MEDIA, run_media
from promptd.dialects.passing import Decode, run_native
from promptd.engines.openai.config import OpenAIConfig
from promptd.engines.openai.profiles import CHAT, COMPLETIONS, EMBEDDINGS, MESSAGES, RESPONSES

_READERS: Final[dict[str, Any]] = {
    CHAT: chat.Reader,
    COMPLETIONS: chat.Reader,
    EMBEDDINGS: chat.Reader,
    RESPONSES: responses.Reader,
    MESSAGES: messages.Reader,
}
_DECODERS: Final[dict[str, Decode]] = {
    CHAT: chat.decode_answer,
    COMPLETIONS: chat.decode_answer,
    EMBEDDINGS: lambda body: (chat.decode_embeddings(body),),
    RESPONSES: responses.decode_answer,
    MESSAGES: messages.decode_answer,
}


class OpenAI(Engine[OpenAIConfig]):
    """Texts are streamed from the server, so that a stalled or cancelled one is noticed at once; those to clients of the
    same API come as they were asked for."""

    type_id = "openai"
    display_name = "OpenAI-compatible server"
    display_description = "Any server with the OpenAI API: chat, completions, embeddings, images, speech, transcription"
    capabilities = frozenset(Capability) - {Capability.DOCUMENT}

    def dialects(self, connection: OpenAIConfig) -> frozenset[str]:
        return connection.dialects if connection.native else frozenset()

    def run(self, call: Call[OpenAIConfig]) -> AsyncGenerator[Chunk, None]:
        config = call.connection
        _open_door(config, call.http)
        if call.capability in MEDIA:
            return _media(call)
        if call.native is not None:
            return _passed(call, call.native)
        dialect = DIALECTS[chat.capability_of(call)]
        if dialect == CHAT and config.api == "responses":
            return responses.run(
                call.http,
                config.url(RESPONSES, call.model),
                config.request_headers,
                call,
                timeouts=config.timeouts,
                max_bytes=config.max_response_bytes,
            )
        return chat.run_call(
            call.http,
            config.url(dialect, call.model),
            config.request_headers,
            call,
            timeouts=config.timeouts,
            max_bytes=config.max_response_bytes,
            manners=config.manners,
        )

    async def check(self, params: CheckParams[OpenAIConfig]) -> CheckResult:
        config = params.connection
        _open_door(config, params.http)
        models = await chat.list_models(
            params.http, config.models_url, config.request_headers, timeouts=config.timeouts
        )
        return CheckResult(ok=True, message=f"{len(models)} models", models=models)


def _open_door(config: OpenAIConfig, http: HttpClient) -> None:
    """An address that the profile knows need not stand in the settings a second time."""
    if not config.base_url:
        http.allow(config.address)


def _passed(call: Call[OpenAIConfig], native: Native) -> AsyncGenerator[Chunk, None]:
    config, dialect = call.connection, native.dialect
    return run_native(
        call.http,
        config.url(dialect, call.model),
        config.messages_headers if dialect == MESSAGES else config.json_headers,
        call,
        native,
        reader=_READERS[dialect],
        decode=_DECODERS[dialect],
        timeouts=config.timeouts,
        max_bytes=config.max_response_bytes,
        ask_for_usage=config.manners.stream_usage,
    )


async def _media(call: Call[OpenAIConfig]) -> AsyncGenerator[Chunk, None]:
    config = call.connection
    for chunk in await run_media(
        call.http,
        config.address,
        config.request_headers,
        call,
        timeouts=config.timeouts,
        max_bytes=config.max_response_bytes,
        voice=config.voice,
        ask_for_base64=config.ask_for_base64,
    ):
        yield chunk
