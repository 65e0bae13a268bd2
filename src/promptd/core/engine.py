"""The one plugin class: an engine runs prompts against one kind of AI system (contracts/formcycle.md §1).

An author writes a pydantic config whose fields all have defaults, and *one* of `execute` (one result) or `run` (chunks as
they come); each has a default built on the other. One instance per process serves every connection of its type: keep no
per-call state in it, everything a call needs arrives in `Call`.

    class Echo(Engine[EchoConfig]):
        type_id = "example.echo"

        async def execute(self, call: Call[EchoConfig]) -> Result:
            return Result(text=call.messages[-1].content)

A *handler* has prompts of its own kind: queries, with a config class of theirs (`Engine[C, Q]`), typed inputs and outputs.
It says what they are (`compute_query_input`, `compute_query_output`), and `execute` gets a value for each input.
Everything else has a default: forms are made from the config classes, texts are looked up beside the module.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, ClassVar, Generic, get_args, get_origin

from promptd.core.calls import (
    C,
    Call,
    CheckLine,
    Config,
    ConnectionTestParams,
    ConnectionTestResult,
    DescribeParams,
    NoConfig,
    Q,
    Result,
    Standing,
    placeholders,
)
from promptd.core.chunks import join_tool_calls
from promptd.core.configs import LoadReport, SerializedConfig
from promptd.core.configs import load as load_config
from promptd.core.configs import serialize as serialize_config
from promptd.core.content import ToolCall
from promptd.core.descriptors import Param
from promptd.core.errors import ExecutionFailed, NetworkError, PromptExecutionError, Timeout
from promptd.core.forms import Form, FormContext, FormLogic, generate
from promptd.core.icons import Icon
from promptd.core.localisation import Localizer
from promptd.core.model import Capability, Chunk, Request, Usage
from promptd.core.ports import HttpClient

__all__ = [
    "C",
    "Call",
    "CheckLine",
    "Config",
    "ConnectionTestParams",
    "ConnectionTestResult",
    "DescribeParams",
    "Engine",
    "NoConfig",
    "Q",
    "Result",
    "Standing",
    "map_error",
    "placeholders",
]

_DEFAULT_ERROR_MAP: Mapping[type[BaseException], type[PromptExecutionError]] = {
    TimeoutError: Timeout,
    ConnectionError: NetworkError,
}


class Engine(Generic[C, Q]):
    """Base class of every engine, built in or a stranger's. Its methods may be `def` or `async def`, but for `run` and
    those that describe."""

    api_version: ClassVar[int] = 1
    type_id: ClassVar[str]  #: `[a-z0-9]+([._-][a-z0-9]+)*`, unique; plugins use `<package>.<name>`
    display_name_key: ClassVar[str] = "service.name"
    display_description_key: ClassVar[str] = "service.description"
    icon: ClassVar[Icon] = Icon.NEUTRAL
    capabilities: ClassVar[frozenset[Capability]] = frozenset({Capability.CHAT})
    connection_version: ClassVar[int] = 1  #: of the stored form of the connection's settings
    query_version: ClassVar[int] = 1  #: of the stored form of a query's settings
    #: foreign exceptions and what they mean; the most specific class wins, all else is `ExecutionFailed`
    error_map: ClassVar[Mapping[type[BaseException], type[PromptExecutionError]]] = {}

    # ---------------------------------------------------------------- settings

    @classmethod
    def connection_config_class(cls) -> type[C]:
        """The settings of a connection: from the generic argument, also through subclasses of a concrete engine."""
        found: type[C] = _argument(cls, 0)
        return found

    @classmethod
    def query_config_class(cls) -> type[Q]:
        """The settings of a query, found as those of a connection; `NoConfig` where there are no queries."""
        found: type[Q] = _argument(cls, 1)
        return found

    def serialize_connection_config(self, config: C) -> SerializedConfig:
        """What is stored of `config`, secrets in the clear: the store encrypts. Raises `PromptSerializationError`."""
        return serialize_config(config, self.connection_version)

    def serialize_query_config(self, config: Q) -> SerializedConfig:
        """As for a connection."""
        return serialize_config(config, self.query_version)

    def deserialize_connection_config(self, stored: SerializedConfig, report: LoadReport) -> C:
        """The settings in `stored`, whatever wrote it: what fits is taken, the rest noted in `report`.

        Raises `PromptSerializationError` as a last resort only: the connection can't be used then.
        """
        return load_config(
            self.connection_config_class(),
            stored,
            report,
            version=self.connection_version,
            migrate=self.migrate_connection,
        )

    def deserialize_query_config(self, stored: SerializedConfig, report: LoadReport) -> Q:
        """As for a connection."""
        return load_config(
            self.query_config_class(), stored, report, version=self.query_version, migrate=self.migrate_query
        )

    def migrate_connection(self, data: dict[str, Any], from_version: int) -> dict[str, Any]:
        """Stored settings one version on; asked once for each version up to `connection_version`."""
        return data

    def migrate_query(self, data: dict[str, Any], from_version: int) -> dict[str, Any]:
        """As for a connection."""
        return data

    # ---------------------------------------------------------------- what people see

    def localizer(self) -> Localizer | None:
        """The texts of this engine: by default `i18n/<locale>.json` beside its module."""
        return Localizer.beside(type(self).__module__)

    def connection_form(self, context: FormContext) -> Form:
        """How a connection's settings are shown; by default made from their class."""
        return generate(self.connection_config_class())

    def query_form(self, context: FormContext) -> Form:
        """As for a connection."""
        return generate(self.query_config_class())

    def connection_form_logic(self) -> FormLogic[C, Any] | None:
        """What happens behind the connection's form; default: nothing."""
        return None

    def query_form_logic(self) -> FormLogic[C, Q] | None:
        """What happens behind the query's form; default: nothing."""
        return None

    # ---------------------------------------------------------------- queries

    def compute_query_input(self, params: DescribeParams[C, Q]) -> Sequence[Param]:
        """What a query needs. Pure, without network."""
        return ()

    def compute_query_output(self, params: DescribeParams[C, Q]) -> Sequence[Param]:
        """What a query returns. Pure, without network."""
        return ()

    def compose(self, call: Call[C, Q]) -> Request | None:
        """What a query asks of a language model, as messages and parameters, so that it can be judged and counted before
        it runs; `call` has no `http` yet. Its answer then becomes the query's output.

        None, the default: only `execute` knows what `query` and `value` mean.
        """
        return None

    def query_model(self, query: Q) -> str:
        """The model that a query names, for limits, prices and the ledger; empty: the connection's name stands for it."""
        return ""

    # ---------------------------------------------------------------- running

    async def test_connection(self, params: ConnectionTestParams[C]) -> ConnectionTestResult:
        """Test a connection. Raise a `PromptExecutionError` or return `ok=False`; default: nothing to test."""
        return ConnectionTestResult(ok=True)

    async def run(self, call: Call[C, Q]) -> AsyncGenerator[Chunk, None]:
        """Yield `progress` chunks and at the end one `done` with finish reason and usage.

        Closing the generator must close the upstream connection at once. Raises `PromptExecutionError`, or anything
        that `error_map` knows. Never retries: that is execution's business.
        """
        # a plain function may take as long as it likes; the loop must not wait for it
        wait = inspect.iscoroutinefunction(self.execute)
        result = await self.execute(call) if wait else await _in_thread(self.execute, call)
        if result.text or result.tool_calls:
            yield Chunk("progress", text=result.text, tool_calls=result.tool_calls)
        yield Chunk(
            "done",
            finish_reason=result.finish_reason,
            usage=result.usage,
            value=result.value,
            blobs=result.blobs,
            outputs=result.files or None,
            warnings=tuple(result.warnings),
        )

    async def execute(self, call: Call[C, Q]) -> Result:
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
                        files=chunk.outputs or {},
                        warnings=chunk.warnings,
                        blobs=chunk.blobs,
                        finish_reason=chunk.finish_reason or "stop",
                        usage=chunk.usage or Usage(),
                    )
        raise ExecutionFailed("the engine ended without a result")

    async def start(self, name: str, connection: C, http: HttpClient) -> None:
        """Make the model of connection `name` ready. Default: a remote service is always as ready as it will be."""

    async def stop(self, name: str) -> None:
        """Free what `start` took. Stopping twice, or before starting, is fine."""

    async def count(self, call: Call[C, Q]) -> int | None:
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


async def _in_thread(execute: Callable[[Any], Any], call: Any) -> Result:
    result: Result = await asyncio.to_thread(execute, call)
    return result


def _argument(cls: type[Engine[Any, Any]], place: int) -> Any:
    """The config class in one place of `Engine`'s generic arguments, through any number of generic bases between."""
    found = _arguments(cls)[place]
    return found if inspect.isclass(found) and issubclass(found, Config) else NoConfig


def _arguments(cls: Any) -> tuple[Any, ...]:
    """What a subclass makes of `Engine[C, Q]`: classes, or type variables of its own."""
    if cls is Engine:
        return Engine.__parameters__  # type: ignore[attr-defined,no-any-return]
    for generic in cls.__dict__.get("__orig_bases__", cls.__bases__):
        origin = get_origin(generic) or generic
        if inspect.isclass(origin) and issubclass(origin, Engine):
            given = dict(zip(getattr(origin, "__parameters__", ()), get_args(generic), strict=False))
            return tuple(given.get(argument, argument) for argument in _arguments(origin))
    return (NoConfig, NoConfig)


def map_error(engine: Engine[Any, Any], error: BaseException) -> PromptExecutionError:
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
