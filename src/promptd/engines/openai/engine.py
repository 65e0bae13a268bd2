"""`Compatible`: prompts in, chunks out; `OpenAI`: the type for any server with the API."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final, Generic, TypeVar

from promptd.core.chat_queries import ChatQueries, ChatQuery
from promptd.core.connection_forms import models_found
from promptd.core.engine import Call, ConnectionTestParams, ConnectionTestResult
from promptd.core.forms import Form, FormContext, FormLogic, make_form
from promptd.core.media_queries import MediaQueries, MediaQuery, as_outputs, media_call, output_of
from promptd.core.model import Capability, Chunk
from promptd.core.ports import HttpClient
from promptd.dialects import chat, responses
from promptd.dialects.chat.calls import DIALECTS
from promptd.dialects.openai_media import MEDIA, run_media
from promptd.dialects.passing import run_native
from promptd.engines.openai.anonymous import anonymous
from promptd.engines.openai.config import OpenAIConfig
from promptd.engines.openai.forms import OpenAILogic, layout
from promptd.engines.openai.profiles import CHAT, RESPONSES
from promptd.engines.openai.streamed import streamed_native, unbounded

_FILES: Final = MEDIA | {Capability.QUERY}

K = TypeVar("K", bound=OpenAIConfig)
P = TypeVar("P", bound=ChatQuery)


class Compatible(ChatQueries[K, P], Generic[K, P]):
    """Texts are streamed from the server, so that a stalled or cancelled one is noticed at once; those to clients of the
    same API come as they were asked for."""

    def dialects(self, connection: K) -> frozenset[str]:
        return connection.dialects if connection.native else frozenset()

    def run(self, call: Call[K, P]) -> AsyncGenerator[Chunk, None]:
        config, native = call.connection, call.native
        if native is not None and call.credential is None:
            api = config.native_apis.get(native.dialect)
            if api is not None:
                return run_native(call, native, api)
        open_door(config, call.http)
        if not config.safety_identifier:
            call = anonymous(call)
        if call.capability in _FILES:
            return _query(call) if call.capability is Capability.QUERY else _media(call)
        streams_only = config.row.streams_only
        if call.native is not None:
            native = streamed_native(call.native) if streams_only else call.native
            return run_native(call, native, config.native_api(native.dialect, call.model, call.credential))
        if streams_only:
            call = unbounded(call)
        dialect = DIALECTS[chat.capability_of(call)]
        if dialect == CHAT and (config.api == "responses" or streams_only):
            return responses.run(
                call.http,
                config.url(RESPONSES, call.model),
                config.headers_for(call.credential),
                call,
                timeouts=config.timeouts,
                max_bytes=config.max_response_bytes,
                hosted_tools=config.hosted_tools,
            )
        return chat.run_call(
            call.http,
            config.url(dialect, call.model),
            config.headers_for(call.credential),
            call,
            timeouts=config.timeouts,
            max_bytes=config.max_response_bytes,
            manners=config.manners,
        )

    async def test_connection(self, params: ConnectionTestParams[K]) -> ConnectionTestResult:
        config = params.connection
        open_door(config, params.http)
        models = await chat.list_models(
            params.http, config.models_url, config.request_headers, timeouts=config.timeouts
        )
        return models_found(models)


class OpenAI(Compatible[OpenAIConfig, MediaQuery], MediaQueries[OpenAIConfig]):
    """The type for any server that has the API, images and sounds included."""

    type_id = "openai"
    display_name_key = "openai.name"
    display_description_key = "openai.description"
    capabilities = frozenset(Capability) - {Capability.DOCUMENT, Capability.QUERY}

    def connection_form(self, context: FormContext) -> Form:
        return make_form(OpenAIConfig, layout("base_url", "api_key", profile_first=True, media=True))

    def connection_form_logic(self) -> FormLogic[OpenAIConfig, Any]:
        return OpenAILogic(self)


def open_door(config: OpenAIConfig, http: HttpClient) -> None:
    """An address that the profile knows need not stand in the settings a second time."""
    if not config.base_url:
        http.allow(config.address)


async def _media(call: Call[Any, Any]) -> AsyncGenerator[Chunk, None]:
    config = call.connection
    media = run_media(
        call.http,
        config.address,
        config.headers_for(call.credential),
        call,
        timeouts=config.timeouts,
        max_bytes=config.max_response_bytes,
        voice=config.voice,
        ask_for_base64=config.ask_for_base64,
    )
    async with aclosing(media) as chunks:
        async for chunk in chunks:
            yield chunk


async def _query(call: Call[Any, Any]) -> AsyncGenerator[Chunk, None]:
    """A query for an image or a sound; one for a chat was composed into one."""
    plain = await media_call(call)
    async with aclosing(as_outputs(_media(plain), output_of(plain.capability))) as chunks:
        async for chunk in chunks:
            yield chunk
