"""Engine for the long tail: whatever service the library `any-llm` knows (Bedrock, Vertex AI, Cohere, watsonx and many
more), each by its vendor's own client. Its extra is `any-llm`; a service behind a vendor's client needs that client, too.

The library is loaded with the first call. It and the clients below it may block, so all of them live on a loop and a
thread of their own. They go out by themselves, past the house's way out: what they may reach is for the network to say.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import threading
import time
from collections.abc import AsyncGenerator, Coroutine, Iterable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Final

import msgspec
from pydantic import SecretStr

from promptd.core.chat_queries import ChatQueries, ChatQuery
from promptd.core.configs import setting
from promptd.core.connection_forms import connection_layout, models_found
from promptd.core.connection_forms import text_key as shared
from promptd.core.engine import Call, Config, ConnectionTestParams, ConnectionTestResult
from promptd.core.errors import (
    AuthenticationFailed,
    ConfigIncomplete,
    ContentFiltered,
    ExecutionFailed,
    HandlerUnavailable,
    InputTooLarge,
    InvalidInput,
    NetworkError,
    PromptExecutionError,
    QuotaExceeded,
    RateLimited,
    ResourceNotFound,
    ServiceUnavailable,
    Timeout,
    UnsupportedInput,
)
from promptd.core.forms import Form, FormContext, make_form
from promptd.core.localisation import Key
from promptd.core.model import Capability, Chunk
from promptd.dialects import chat
from promptd.dialects.errors import error_from_response, redact
from promptd.dialects.hosted import fitted, noted

_AHEAD: Final = 64  # chunks that the library may be ahead of the reader
_PATIENCE: Final = 5.0  # seconds that calls have to end when the server leaves
_END: Final = b""

#: the library's errors by name, where no status tells more: it is not loaded yet when this is read
_MEANINGS: Final[dict[str, type[PromptExecutionError]]] = {
    "AuthenticationError": AuthenticationFailed,
    "ContentFilterError": ContentFiltered,
    "ContextLengthExceededError": InputTooLarge,
    "GatewayTimeoutError": Timeout,
    "InsufficientFundsError": QuotaExceeded,
    "InvalidRequestError": InvalidInput,
    "MissingApiKeyError": ConfigIncomplete,
    "ModelNotFoundError": ResourceNotFound,
    "ProviderError": ServiceUnavailable,
    "RateLimitError": RateLimited,
    "UnsupportedParameterError": UnsupportedInput,
    "UnsupportedProviderError": ConfigIncomplete,
    "UpstreamProviderError": ServiceUnavailable,
}
#: by what stands in the name of the vendor client's own error
_CAUSES: Final[tuple[tuple[str, type[PromptExecutionError]], ...]] = (
    ("timeout", Timeout),
    ("connect", NetworkError),
    ("importerror", HandlerUnavailable),
    ("modulenotfounderror", HandlerUnavailable),
    ("notimplementederror", UnsupportedInput),
    ("typeerror", UnsupportedInput),
)


class AnyLLMConfig(Config):
    """Settings of a connection by way of the library."""

    provider: str = setting(
        "",
        i18n="any_llm.provider",
        required=True,
        description="The library's name for the service, e.g. bedrock",
        pattern=r"^[a-z0-9_]*$",
    )
    api_key: SecretStr = setting(
        SecretStr(""),
        i18n="promptd.connection.api_key",
        widget="api_key",
        description="The service's key; empty where its client finds its own",
    )
    base_url: str = setting(
        "", i18n="any_llm.base_url", widget="url", description="Address of the service, where it is not the usual one"
    )
    client: dict[str, SecretStr] = setting(
        {}, i18n="any_llm.client", description="Further settings of the vendor's client, e.g. region_name"
    )
    stream_usage: bool = setting(
        True,
        i18n="any_llm.stream_usage",
        description="Ask for token counts on streams; off for services that refuse it",
    )
    left_out: tuple[str, ...] = setting(
        (), i18n="any_llm.left_out", description="Members of requests that the service refuses, e.g. seed"
    )
    max_tokens_field: str = setting(
        "max_tokens",
        i18n="any_llm.max_tokens_field",
        description="What the service calls the bound of an answer",
        pattern="^max_(completion_)?tokens$",
    )

    def secrets(self) -> list[str]:
        given = [self.api_key.get_secret_value(), *[value.get_secret_value() for value in self.client.values()]]
        return [secret for secret in given if secret]


_LAYOUT: Final = connection_layout(
    ("provider", "api_key", "base_url"),
    advanced=("client",),
    compatibility=("stream_usage", "max_tokens_field", "left_out"),
)


class AnyLLM(ChatQueries[AnyLLMConfig]):
    """Chats as streams, and embeddings. Errors keep the status that the service gave."""

    type_id = "any_llm"
    display_name_key = "any_llm.name"
    display_description_key = "any_llm.description"
    capabilities = frozenset({Capability.CHAT, Capability.VISION, Capability.EMBEDDING})

    def __init__(self) -> None:
        self._side = _Side()
        self._clients: dict[str, tuple[AnyLLMConfig, Any]] = {}

    async def run(self, call: Call[AnyLLMConfig, ChatQuery]) -> AsyncGenerator[Chunk, None]:
        config = call.connection
        call, left = fitted(call, chat.DIALECTS[Capability.CHAT], "leave_out")
        request = self._request(call)
        if call.capability is Capability.EMBEDDING:
            body = await self._side.ask(self._embed(call, request))
            yield chat.decode_embeddings(body, len(call.texts), secrets=config.secrets())
            return
        reader = chat.Reader(secrets=config.secrets())
        events: asyncio.Queue[bytes] = asyncio.Queue(_AHEAD)
        work = self._side.begin(self._stream(call, request, events, asyncio.get_running_loop()))
        ending = asyncio.ensure_future(asyncio.wrap_future(work))
        try:
            while (event := await _next(events, ending)) != _END:
                for chunk in reader.feed(event):
                    yield chunk
            for chunk in reader.finish():
                yield noted(chunk, left) if chunk.kind == "done" else chunk
        finally:
            work.cancel()
            if ending.done() and not ending.cancelled():
                ending.exception()  # it was raised by `_next`, or nobody wants to know any more
            else:
                ending.cancel()

    def connection_form(self, context: FormContext) -> Form:
        return make_form(AnyLLMConfig, _LAYOUT)

    async def test_connection(self, params: ConnectionTestParams[AnyLLMConfig]) -> ConnectionTestResult:
        async def names() -> tuple[str, ...]:
            try:
                models = await self._client(params.connection_name, params.connection).alist_models()
            except Exception as error:  # a vendor's client may raise anything
                raise _meaning(error, params.connection) from error
            return tuple(str(model.id) for model in models)

        try:
            models = await self._side.ask(names())
        except UnsupportedInput:
            return ConnectionTestResult(ok=True, message=Key(shared("no_models")))
        return models_found(models)

    async def stop(self, name: str) -> None:
        _, client = self._clients.pop(name, (None, None))
        if client is not None:
            await self._side.ask(_release([client]))

    async def close(self) -> None:
        clients = [client for _, client in self._clients.values()]
        self._clients.clear()
        await asyncio.to_thread(self._side.close, clients)

    # ---------------------------------------------------------------- on the other loop

    def _client(self, name: str, config: AnyLLMConfig) -> Any:
        """The library's client of a connection; one for all of its calls, so that it can keep its lines open."""
        known = self._clients.get(name)
        if known is not None and known[0] == config:
            return known[1]
        if not config.provider:
            raise ConfigIncomplete("provider: the connection needs the library's name for the service")
        try:
            library = importlib.import_module("any_llm")
        except ImportError as error:
            raise HandlerUnavailable("the extra any-llm is not installed here", detail=str(error)) from error
        given: dict[str, Any] = {
            "api_key": config.api_key.get_secret_value() or None,
            "api_base": config.base_url or None,
            "unified_exceptions": True,
            **{setting: value.get_secret_value() for setting, value in config.client.items()},
        }
        try:
            # tries are counted and spread over connections by the house
            client = library.AnyLLM.create(config.provider, max_retries=0, **given)
        except library.UnsupportedParameterError:
            client = library.AnyLLM.create(config.provider, **given)
        self._clients[name] = (config, client)
        return client

    def _request(self, call: Call[AnyLLMConfig, ChatQuery]) -> dict[str, Any]:
        """The call in the words of the chat API, which the library takes as keywords."""
        config = call.connection
        named: Any = config.max_tokens_field
        manners = chat.Manners(stream_usage=config.stream_usage, max_tokens=named)
        request: dict[str, Any] = msgspec.json.decode(chat.encode_request(call, manners=manners))
        return {name: value for name, value in request.items() if name not in config.left_out}

    async def _stream(
        self,
        call: Call[AnyLLMConfig, ChatQuery],
        request: dict[str, Any],
        events: asyncio.Queue[bytes],
        home: asyncio.AbstractEventLoop,
    ) -> None:
        """Hand the answer over, event by event, never further ahead than the queue is long."""
        answer: Any = None
        try:
            answer = await self._client(call.connection_name, call.connection).acompletion(**request)
            if not hasattr(answer, "__aiter__"):
                await _hand_over(_whole(answer), events, home)
            else:
                async for chunk in answer:
                    event = b"data: " + chunk.model_dump_json(exclude_none=True).encode() + b"\n\n"
                    await _hand_over(event, events, home)
            await _hand_over(_END, events, home)
        except PromptExecutionError:
            raise
        except Exception as error:  # a vendor's client may raise anything
            raise _meaning(error, call.connection) from error
        finally:
            await _close(answer)

    async def _embed(self, call: Call[AnyLLMConfig, ChatQuery], request: dict[str, Any]) -> bytes:
        try:
            client = self._client(call.connection_name, call.connection)
            answer = await client.aembedding(model=request["model"], inputs=request["input"])
            body: str = answer.model_dump_json(exclude_none=True)
        except PromptExecutionError:
            raise
        except Exception as error:  # a vendor's client may raise anything
            raise _meaning(error, call.connection) from error
        return body.encode()


async def _next(events: asyncio.Queue[bytes], ending: asyncio.Future[Any]) -> bytes:
    """The next event. Raises what the call failed with, once all that it said before was told."""
    if events.empty() and not ending.done():
        waiting = asyncio.ensure_future(events.get())
        try:
            await asyncio.wait([waiting, ending], return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                return waiting.result()
        finally:
            waiting.cancel()
    if not events.empty():
        return events.get_nowait()
    if ending.cancelled():
        raise ServiceUnavailable("the engine was closed under the call")
    ending.result()
    return _END


async def _hand_over(event: bytes, events: asyncio.Queue[bytes], home: asyncio.AbstractEventLoop) -> None:
    await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(events.put(event), home))


def _whole(answer: Any) -> bytes:
    """An answer that came whole although a stream was asked for, as the one event that it might have been."""
    return b"data: " + bytes(answer.model_dump_json(exclude_none=True), "utf-8") + b"\n\n"


async def _close(answer: Any) -> None:
    close = getattr(answer, "aclose", None)
    if close is not None:
        # an answer that is being left can fail as it likes; what counts was told or raised already
        with suppress(Exception):
            await close()


def _meaning(error: Exception, config: AnyLLMConfig) -> PromptExecutionError:
    """By the status that the service gave, by what the library calls the error, or by what its cause is called."""
    secrets = config.secrets()
    status, message = getattr(error, "status_code", None), redact(str(getattr(error, "message", error)), secrets)[:500]
    if isinstance(status, int) and 400 <= status < 600:
        words = {"message": message, "code": getattr(error, "code", None), "type": getattr(error, "error_type", None)}
        given = {name: word for name, word in words.items() if isinstance(word, str)}
        headers = {"retry-after": str(getattr(error, "retry_after", None) or "")}
        body = msgspec.json.encode({"error": given})
        return error_from_response(status, headers, body, now=time.time(), secrets=secrets)
    causes = (error, getattr(error, "original_exception", None), error.__cause__)
    names = " ".join([type(cause).__name__ for cause in causes if cause is not None]).lower()
    meaning = next((meaning for word, meaning in _CAUSES if word in names), None)
    meaning = meaning or _MEANINGS.get(type(error).__name__, ExecutionFailed)
    return meaning(f"{meaning.title}: {message}", detail=redact(repr(error), secrets))


async def _release(clients: Iterable[Any]) -> None:
    """Close the lines that the vendors' clients keep; not all of them can."""
    for client in clients:
        inner = getattr(client, "client", None)
        close = getattr(inner, "aclose", None) or getattr(inner, "close", None)
        if close is None:
            continue
        with suppress(Exception):  # it is on its way out; a vendor's client may raise anything
            closing = close()
            if inspect.isawaitable(closing):
                await closing


class _Side:
    """A loop on a thread of its own, begun with the first call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def begin(self, work: Coroutine[Any, Any, Any]) -> Future[Any]:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="any-llm", daemon=True)
                self._thread.start()
            return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def ask(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Its result. Who stops waiting ends it."""
        return await asyncio.wrap_future(self.begin(work))

    def close(self, clients: Iterable[Any]) -> None:
        """End what is running, and the thread. Blocks; a vendor's client that blocks longer is left behind."""
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is None or thread is None:
            return
        with suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(_end_all(clients), loop).result(_PATIENCE)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_PATIENCE)
        if not thread.is_alive():
            loop.close()


async def _end_all(clients: Iterable[Any]) -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await _release(clients)
    await asyncio.get_running_loop().shutdown_asyncgens()
