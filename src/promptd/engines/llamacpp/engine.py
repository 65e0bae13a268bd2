"""`LlamaCpp`: GGUF files served by llama.cpp, each in a child process of its own, or in several.

The server itself never loads the library: a crash or an out-of-memory kill takes one model, not the service.
"""

from __future__ import annotations

import asyncio
import importlib.util
import platform
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import ClassVar, Final

from msgspec.structs import replace

from promptd.core.calls import CheckLine
from promptd.core.chat_queries import ChatQueries, ChatQuery
from promptd.core.engine import Call, ConnectionTestParams, ConnectionTestResult, Standing
from promptd.core.errors import EngineLost, HandlerUnavailable, NetworkError, ServiceUnavailable, UnsupportedInput
from promptd.core.forms import Form, FormContext, make_form
from promptd.core.localisation import Key
from promptd.core.model import TEXT, Capability, Chunk
from promptd.core.ports import HttpClient, Timeouts
from promptd.dialects import chat, messages
from promptd.dialects.passing import Decode, NativeApi, run_native
from promptd.engines.llamacpp.bounds import require_bounded, require_schema
from promptd.engines.llamacpp.config import LAYOUT, LlamaCppConfig, model_file
from promptd.engines.llamacpp.grammar import lines_grammar
from promptd.engines.llamacpp.memory import estimate
from promptd.engines.llamacpp.replicas import Replicas
from promptd.engines.llamacpp.serving import Serving
from promptd.engines.llamacpp.supervisor import Supervisor

#: a long prompt on a slow machine is read for minutes before the first token; deadlines are the prompt's business
_TIMEOUTS = Timeouts(connect=5.0, first_byte=3600.0, between_bytes=600.0)
_PATHS: Final = {
    "openai.chat": "/v1/chat/completions",
    "openai.completions": "/v1/completions",
    "openai.embeddings": "/v1/embeddings",
    "anthropic.messages": "/v1/messages",
}
_DIALECTS: Final = frozenset(_PATHS)
_MANNERS: Final = chat.Manners(grammar=True, top_k=True, thoughts="reasoning_content")
_CHECK = 5.0  # seconds for the answer to a question that needs no computing


class LlamaCpp(ChatQueries[LlamaCppConfig]):
    """`library` is the module that the child needs; without it every model is unavailable here."""

    type_id = "llamacpp"
    display_name_key = "llamacpp.name"
    display_description_key = "llamacpp.description"
    capabilities: ClassVar[frozenset[Capability]] = TEXT

    def __init__(self, library: str = "xllamacpp") -> None:
        self._missing = ""
        if importlib.util.find_spec(library) is None:
            self._missing = f"llama.cpp is not available on this platform ({sys.platform}, {platform.machine()})"
        self._models: dict[str, Replicas] = {}
        self._replaced: list[Replicas] = []  #: their settings were changed, their last calls still run

    async def test_connection(self, params: ConnectionTestParams[LlamaCppConfig]) -> ConnectionTestResult:
        """Load the model in a child of its own, unless it is loaded with the very same settings already.

        Raises what the first call would raise, and `ServiceUnavailable` where a loaded model does not answer.
        """
        self._require_library()
        known = self._models.get(params.connection_name)
        trial = None
        if known is None or known.config != params.connection:
            running = trial = Supervisor(params.connection_name, params.connection)
        else:
            running = known.choose()
        try:
            async with running.serving() as child:
                child.open_door(params.http)
                if not await child.answers(params.http, _CHECK):
                    raise ServiceUnavailable(f"the model's process has not answered for {_CHECK:g} s")
                name = Path(model_file(params.connection.gguf).path).stem
                context = Key("llamacpp.test.context", {"count": child.context})
                return ConnectionTestResult(
                    ok=True,
                    message=context,
                    models=(name,),
                    checks=(CheckLine(True, Key("llamacpp.test.loaded", {"name": name})), CheckLine(True, context)),
                    discovered={"models": [name]},
                )
        finally:
            if trial is not None:
                await trial.stop()

    def connection_form(self, context: FormContext) -> Form:
        return make_form(LlamaCppConfig, LAYOUT)

    async def model_names(self, params: ConnectionTestParams[LlamaCppConfig]) -> Sequence[str]:
        """Of the file alone: nobody waits for a model to be loaded just to read its name. Raises `ResourceNotFound`."""
        return (Path(model_file(params.connection.gguf).path).stem,)

    async def run(self, call: Call[LlamaCppConfig, ChatQuery]) -> AsyncGenerator[Chunk, None]:
        """Start the model if it is not running, and stream its answer.

        Raises `HandlerUnavailable`, `ResourceNotFound`, `ConfigUnusable` where it can't be started,
        `EngineLost` where its process ended under the call, `UnsupportedInput` for embeddings without the setting,
        `InvalidInput` for a schema or grammar beyond the bounds, and what llama.cpp says of the request.
        """
        self._require_library()
        if chat.capability_of(call) is Capability.EMBEDDING and not call.connection.embedding:
            raise UnsupportedInput("embedding: this connection serves no embeddings, its setting is off")
        require_bounded(call.parameters)
        call = _kept_to_lines(call)
        supervisor = self._replicas(call.connection_name, call.connection).choose()
        async with supervisor.serving() as child:
            answer = _ask(call, child)
            try:
                child.open_door(call.http)
                async with aclosing(answer) as chunks:
                    async for chunk in chunks:
                        child.spoke = True
                        yield chunk
            except NetworkError as error:
                how = await child.lost()
                raise EngineLost(
                    f"the model's process {how} during the call",
                    retry_after=supervisor.held_back,
                    detail=f"the model's process {how} during the call: {error.detail or error.message}",
                ) from error

    def dialects(self, connection: LlamaCppConfig) -> frozenset[str]:
        return _DIALECTS if connection.embedding else _DIALECTS - {"openai.embeddings"}

    async def start(self, name: str, connection: LlamaCppConfig, http: HttpClient) -> None:
        """Load the model. Raises what `run` raises; a model once found unusable gets another chance."""
        self._require_library()
        replicas = self._replicas(name, connection)
        replicas.forgive()
        async with replicas.choose().serving():
            return

    async def stop(self, name: str) -> None:
        await self._stop([replicas for replicas in self._all() if replicas.name == name])

    def standing(self, name: str, connection: LlamaCppConfig) -> Standing:
        if self._missing:
            return Standing(state="unavailable", reason=self._missing)
        replicas = self._models.get(name)
        if replicas is None or replicas.config != connection:
            return Standing(state="stopped")
        return replicas.standing

    def memory(self, connection: LlamaCppConfig) -> int | None:
        return estimate(connection)

    async def scale(self, name: str, connection: LlamaCppConfig, count: int, http: HttpClient) -> None:
        """Raises what `run` raises where another process can't be started."""
        self._require_library()
        await self._replicas(name, connection).scale(count)

    async def close(self) -> None:
        """End every child; takes a few seconds at most."""
        await self._stop(self._all())

    def _all(self) -> list[Replicas]:
        return [*self._models.values(), *self._replaced]

    async def _stop(self, models: list[Replicas]) -> None:
        for replicas in models:
            if self._models.get(replicas.name) is replicas:
                del self._models[replicas.name]
        await asyncio.gather(*(replicas.stop() for replicas in models))

    def _require_library(self) -> None:
        if self._missing:
            raise HandlerUnavailable(self._missing)

    def _replicas(self, name: str, connection: LlamaCppConfig) -> Replicas:
        known = self._models.get(name)
        if known is not None and known.config == connection:
            return known
        if known is not None:
            known.replace()
            self._replaced = [replicas for replicas in (*self._replaced, known) if not replicas.gone]
        self._models[name] = Replicas(name, connection)
        return self._models[name]


def _kept_to_lines(call: Call[LlamaCppConfig, ChatQuery]) -> Call[LlamaCppConfig, ChatQuery]:
    """JSON lines are promised by nothing that llama.cpp knows a word for, but by a grammar. Raises `InvalidInput`."""
    output, parameters = call.output, call.parameters
    said = (parameters.grammar, parameters.json_schema, parameters.template)
    if call.native is not None or output is None or output.kind != "jsonl" or any(one is not None for one in said):
        return call
    require_schema("output.schema", output.schema)
    return replace(call, parameters=replace(parameters, grammar=lines_grammar(output.schema)))


def _ask(call: Call[LlamaCppConfig, ChatQuery], child: Serving) -> AsyncGenerator[Chunk, None]:
    headers = {"authorization": f"Bearer {child.key}"}
    native = call.native
    if native is None:
        url = f"{child.origin}{_PATHS[chat.DIALECTS[chat.capability_of(call)]]}"
        return chat.run_call(call.http, url, headers, call, timeouts=_TIMEOUTS, manners=_MANNERS)
    reads_messages = native.dialect == messages.DIALECT
    decode: Decode = messages.decode_answer if reads_messages else chat.decode_answer
    if native.dialect == "openai.embeddings":
        decode = _decode_embeddings
    api = NativeApi(
        f"{child.origin}{_PATHS[native.dialect]}",
        headers | {"content-type": "application/json"},
        messages.Reader if reads_messages else chat.Reader,
        decode,
        _TIMEOUTS,
        rename_always=True,
    )
    return run_native(call, native, api)


def _decode_embeddings(body: bytes) -> tuple[Chunk]:
    return (chat.decode_embeddings(body),)
