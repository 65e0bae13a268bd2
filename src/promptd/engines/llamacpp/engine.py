"""`LlamaCpp`: GGUF files served by llama.cpp, each in a child process of its own.

The server itself never loads the library: a crash or an out-of-memory kill takes one model, not the service.
"""

from __future__ import annotations

import asyncio
import importlib.util
import platform
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import ClassVar

from promptd.core.engine import Call, CheckParams, CheckResult, Engine, Standing
from promptd.core.errors import EngineLost, HandlerUnavailable, NetworkError, ServiceUnavailable, UnsupportedInput
from promptd.core.model import Capability, Chunk
from promptd.core.ports import HttpClient, Timeouts
from promptd.dialects.openai import capability_of, run_openai
from promptd.engines.llamacpp.bounds import require_bounded
from promptd.engines.llamacpp.config import LlamaCppConfig, model_file
from promptd.engines.llamacpp.serving import Serving
from promptd.engines.llamacpp.supervisor import Supervisor

#: a long prompt on a slow machine is read for minutes before the first token; deadlines are the prompt's business
_TIMEOUTS = Timeouts(connect=5.0, first_byte=3600.0, between_bytes=600.0)
_CHECK = 5.0  # seconds for the answer to a question that needs no computing


class LlamaCpp(Engine[LlamaCppConfig]):
    """`library` is the module that the child needs; without it every model is unavailable here."""

    type_id = "llamacpp"
    display_name = "llama.cpp"
    display_description = "Models in GGUF files, run on this machine by llama.cpp."
    capabilities: ClassVar[frozenset[Capability]] = frozenset(Capability)

    def __init__(self, library: str = "xllamacpp") -> None:
        self._missing = ""
        if importlib.util.find_spec(library) is None:
            self._missing = f"llama.cpp is not available on this platform ({sys.platform}, {platform.machine()})"
        self._supervisors: dict[str, Supervisor] = {}
        self._replaced: list[Supervisor] = []  #: their settings were changed, their last calls still run

    async def check(self, params: CheckParams[LlamaCppConfig]) -> CheckResult:
        """Load the model in a child of its own, unless it is loaded with the very same settings already.

        Raises what the first call would raise, and `ServiceUnavailable` where a loaded model does not answer.
        """
        self._require_library()
        running = self._supervisors.get(params.connection_name)
        trial = None
        if running is None or running.config != params.connection:
            running = trial = Supervisor(params.connection_name, params.connection)
        try:
            async with running.serving() as child:
                child.open_door(params.http)
                if not await child.answers(params.http, _CHECK):
                    raise ServiceUnavailable(f"the model's process has not answered for {_CHECK:g} s")
                name = Path(model_file(params.connection.gguf).path).stem
                return CheckResult(ok=True, message=f"{child.context} tokens of context", models=(name,))
        finally:
            if trial is not None:
                await trial.stop()

    async def run(self, call: Call[LlamaCppConfig]) -> AsyncGenerator[Chunk, None]:
        """Start the model if it is not running, and stream its answer.

        Raises `HandlerUnavailable`, `ResourceNotFound`, `ConfigUnusable` where it can't be started,
        `EngineLost` where its process ended under the call, `UnsupportedInput` for embeddings without the setting,
        `InvalidInput` for a schema or grammar beyond the bounds, and what llama.cpp says of the request.
        """
        self._require_library()
        if capability_of(call) is Capability.EMBEDDING and not call.connection.embedding:
            raise UnsupportedInput("embedding: this connection serves no embeddings, its setting is off")
        require_bounded(call.parameters)
        supervisor = self._supervisor(call.connection_name, call.connection)
        async with supervisor.serving() as child:
            try:
                async with aclosing(_answer(child, call)) as chunks:
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

    async def start(self, name: str, connection: LlamaCppConfig, http: HttpClient) -> None:
        """Load the model. Raises what `run` raises; a model once found unusable gets another chance."""
        self._require_library()
        supervisor = self._supervisor(name, connection)
        supervisor.forgive()
        async with supervisor.serving():
            return

    async def stop(self, name: str) -> None:
        await self._stop([supervisor for supervisor in self._all() if supervisor.name == name])

    def standing(self, name: str, connection: LlamaCppConfig) -> Standing:
        if self._missing:
            return Standing(state="unavailable", reason=self._missing)
        supervisor = self._supervisors.get(name)
        if supervisor is None or supervisor.config != connection:
            return Standing(state="stopped")
        return supervisor.standing

    async def close(self) -> None:
        """End every child; takes a few seconds at most."""
        await self._stop(self._all())

    def _all(self) -> list[Supervisor]:
        return [*self._supervisors.values(), *self._replaced]

    async def _stop(self, supervisors: list[Supervisor]) -> None:
        for supervisor in supervisors:
            if self._supervisors.get(supervisor.name) is supervisor:
                del self._supervisors[supervisor.name]
        await asyncio.gather(*(supervisor.stop() for supervisor in supervisors))

    def _require_library(self) -> None:
        if self._missing:
            raise HandlerUnavailable(self._missing)

    def _supervisor(self, name: str, connection: LlamaCppConfig) -> Supervisor:
        known = self._supervisors.get(name)
        if known is not None and known.config == connection:
            return known
        if known is not None:
            known.replace()
            self._replaced = [supervisor for supervisor in (*self._replaced, known) if not supervisor.gone]
        self._supervisors[name] = Supervisor(name, connection)
        return self._supervisors[name]


async def _answer(child: Serving, call: Call[LlamaCppConfig]) -> AsyncGenerator[Chunk, None]:
    """The child's answer. Raises `NetworkError` where the child is gone."""
    headers = {"authorization": f"Bearer {child.key}"}
    # llama.cpp says keep-alive and yet closes the connection behind a stream: any that is pooled may end in our hands
    for spare in range(call.connection.slots, -1, -1):
        child.open_door(call.http)
        heard = False
        answer = run_openai(call.http, f"{child.origin}/v1", headers, call, timeouts=_TIMEOUTS, grammar=True)
        try:
            async with aclosing(answer) as chunks:
                async for chunk in chunks:
                    heard = True
                    yield chunk
            return
        except NetworkError:
            if heard or not spare:
                raise
