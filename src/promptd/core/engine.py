"""The plugin class: an engine runs prompts against one kind of AI system (contracts/formcycle.md §1).

An author writes a pydantic config whose fields all have defaults, and *one* of `run` (chunks as they come) or `execute`
(one result); each has a default built on the other. One instance per process serves every connection of its type: keep
no per-call state in it, everything a call needs arrives in `Call`.

    class Echo(Engine[EchoConfig]):
        type_id = "example.echo"

        async def execute(self, call: Call[EchoConfig]) -> Result:
            return Result(text=call.messages[-1].content)
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, ClassVar, Generic, Literal, TypeVar, get_args, get_origin

from msgspec import Struct, field
from pydantic import BaseModel, ConfigDict

from promptd.core.chunks import join_tool_calls
from promptd.core.content import ToolCall, Turn
from promptd.core.errors import ExecutionFailed, NetworkError, PromptExecutionError, Timeout
from promptd.core.model import Blob, Capability, Chunk, Native, Usage
from promptd.core.parameters import Parameters
from promptd.core.ports import HttpClient


class Config(BaseModel):
    """Base of connection settings. Every field needs a default; secrets are `SecretStr`; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NoConfig(Config):
    """For engines that have nothing to set."""


C = TypeVar("C", bound=Config)

_DEFAULT_ERROR_MAP: Mapping[type[BaseException], type[PromptExecutionError]] = {
    TimeoutError: Timeout,
    ConnectionError: NetworkError,
}


class Call(Struct, Generic[C], frozen=True, kw_only=True):
    """One attempt, as an engine sees it. A caller's cancel or a deadline cancels the task that runs it."""

    connection: C
    connection_name: str
    model: str  #: the name to ask the AI system for
    http: HttpClient  #: the only way out; knows the egress policy
    prompt: str = ""  #: the prompt's id, for logs and idempotency headers
    attempt: int = 1
    capability: Capability = Capability.CHAT
    messages: tuple[Turn, ...] = ()
    texts: tuple[str, ...] = ()  #: inputs of an embedding
    files: tuple[Blob, ...] = ()  #: what came with the last message: images and audio (documents are text by now)
    parameters: Parameters = Parameters()
    deadline: float | None = None  #: UTC seconds
    user_ref: str | None = None  #: opaque and stable per user, for services that take a safety identifier
    #: the request as its client wrote it, in one of `Engine.dialects`: it goes out as it is but for the model's name, and
    #: each chunk brings the bytes that came back (`raw`, `dialect`) …
    native: Native | None = None
    spelled: bool = False  #: … and, if this is set, what they say as well


class Result(Struct, frozen=True, kw_only=True):
    """What `execute` returns: text, tool calls, files or any JSON value."""

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    value: Any = None
    blobs: tuple[Blob, ...] = ()
    finish_reason: str = "stop"
    usage: Usage = Usage()


class CheckParams(Struct, Generic[C], frozen=True, kw_only=True):
    """A connection test works on settings that need not be saved."""

    connection: C
    connection_name: str
    http: HttpClient


class CheckResult(Struct, frozen=True, kw_only=True):
    """`message` is for the admin; `models` are the names that the service offers, where it tells them."""

    ok: bool
    message: str = ""
    models: tuple[str, ...] = ()


class Standing(Struct, frozen=True, kw_only=True):
    """Whether a connection's model is at hand. `detail` holds numbers for admins (pid, port, bytes …)."""

    state: Literal["ready", "starting", "stopped", "unavailable"]
    reason: str = ""
    context: int | None = None  #: tokens that fit, where known
    detail: dict[str, Any] = field(default_factory=dict)


class Engine(Generic[C]):
    """Base class of every engine, built in or a stranger's."""

    api_version: ClassVar[int] = 1
    type_id: ClassVar[str]  #: `[a-z0-9]+([._-][a-z0-9]+)*`, unique; plugins use `<package>.<name>`
    display_name: ClassVar[str] = ""
    display_description: ClassVar[str] = ""
    capabilities: ClassVar[frozenset[Capability]] = frozenset({Capability.CHAT})
    #: foreign exceptions and what they mean; the most specific class wins, all else is `ExecutionFailed`
    error_map: ClassVar[Mapping[type[BaseException], type[PromptExecutionError]]] = {}

    @classmethod
    def config_class(cls) -> type[C]:
        """The config model from the generic argument, also through subclasses of a concrete engine."""
        for base in cls.__mro__:
            for generic in getattr(base, "__orig_bases__", ()):
                origin = get_origin(generic)
                if inspect.isclass(origin) and issubclass(origin, Engine):
                    (argument,) = get_args(generic)
                    if inspect.isclass(argument) and issubclass(argument, Config):
                        return argument  # type: ignore[return-value]
        return NoConfig  # type: ignore[return-value]

    async def check(self, params: CheckParams[C]) -> CheckResult:
        """Test a connection. Raise a `PromptExecutionError` or return `ok=False`; default: nothing to test."""
        return CheckResult(ok=True)

    async def run(self, call: Call[C]) -> AsyncGenerator[Chunk, None]:
        """Yield `progress` chunks and at the end one `done` with finish reason and usage.

        Closing the generator must close the upstream connection at once. Raises `PromptExecutionError`, or anything
        that `error_map` knows. Never retries: that is execution's business.
        """
        result = await self.execute(call)
        if result.text or result.tool_calls:
            yield Chunk("progress", text=result.text, tool_calls=result.tool_calls)
        yield Chunk(
            "done", finish_reason=result.finish_reason, usage=result.usage, value=result.value, blobs=result.blobs
        )

    async def execute(self, call: Call[C]) -> Result:
        """Run the prompt and return the whole result."""
        text: list[str] = []
        tool_calls: list[ToolCall] = []
        async with aclosing(self.run(call)) as chunks:
            async for chunk in chunks:
                text.append(chunk.text)
                tool_calls.extend(chunk.tool_calls)
                if chunk.kind == "done":
                    return Result(
                        text="".join(text),
                        tool_calls=join_tool_calls(tool_calls),
                        value=chunk.value,
                        blobs=chunk.blobs,
                        finish_reason=chunk.finish_reason or "stop",
                        usage=chunk.usage or Usage(),
                    )
        raise ExecutionFailed("the engine ended without a result")

    async def start(self, name: str, connection: C, http: HttpClient) -> None:
        """Make the model of connection `name` ready. Default: a remote service is always as ready as it will be."""

    async def stop(self, name: str) -> None:
        """Free what `start` took. Stopping twice, or before starting, is fine."""

    async def count(self, call: Call[C]) -> int | None:
        """Tokens of a call's input as the service itself counts them, without running it.

        None, the default: it does not tell. Raises as `run` does.
        """
        return None

    def dialects(self, connection: C) -> frozenset[str]:
        """The dialects whose requests the connection's service takes as they are (`openai.chat`, `anthropic.messages` …).

        A prompt of another dialect comes as `messages` and `parameters` alone. Default: none.
        """
        return frozenset()

    def standing(self, name: str, connection: C) -> Standing:
        """How the model of connection `name` stands; cheap, no I/O."""
        return Standing(state="ready")

    def memory(self, connection: C) -> int | None:
        """Bytes of this machine's memory that one replica of the connection's model takes; cheap.

        None, the default: the model is somewhere else. An engine that says a number is asked to run a prompt only while
        there is memory for it, and `stop` must not return before that memory is free.
        """
        return None

    async def scale(self, name: str, connection: C, count: int, http: HttpClient) -> None:
        """Have `count` replicas of the model, all of them ready, and none besides. One that leaves ends its calls first.

        Asked only of an engine whose `memory` is a number. Default: there is only ever one.
        """

    async def close(self) -> None:
        """The server is leaving: end every child and connection."""


def map_error(engine: Engine[Any], error: BaseException) -> PromptExecutionError:
    """The execution error that `error` means: itself, the engine's mapping by the nearest base, or `ExecutionFailed`.

    An exception group whose leaves all map to one class is that class (formcycle.md §6.39).
    """
    if isinstance(error, PromptExecutionError):
        return error
    if isinstance(error, BaseExceptionGroup):
        mapped = [map_error(engine, leaf) for leaf in error.exceptions]
        if len({leaf.code for leaf in mapped}) == 1:
            return mapped[0]
        return ExecutionFailed(detail=repr(error))
    for base in type(error).__mro__:
        if base in engine.error_map:
            return engine.error_map[base](detail=repr(error))
        if base in _DEFAULT_ERROR_MAP:
            return _DEFAULT_ERROR_MAP[base](detail=repr(error))
    # what a foreign exception says may quote the prompt or the answer: that is for logs, not for messages
    return ExecutionFailed(f"the engine raised {type(error).__name__}"[:200], detail=repr(error))
