"""The plugin class: `run` and `execute` are built on each other; the config class is found; foreign errors are mapped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, Generic, TypeVar

import pytest
from pydantic import ValidationError

from promptd.core.content import ToolCall, Turn
from promptd.core.engine import Call, Config, ConnectionTestParams, Engine, NoConfig, Result, map_error
from promptd.core.errors import (
    ExecutionFailed,
    NetworkError,
    PromptExecutionError,
    QuotaExceeded,
    RateLimited,
    ServiceUnavailable,
    Timeout,
)
from promptd.core.model import Chunk, Usage
from promptd.egress import Egress


class Place(Config):
    url: str = "here"


P = TypeVar("P", bound=Config)


class Whole(Engine[Place]):
    type_id = "test.whole"
    error_map = {LookupError: QuotaExceeded, KeyError: RateLimited}

    async def execute(self, call: Call[Place]) -> Result:
        return Result(
            text=call.messages[-1].content.upper(),
            tool_calls=(ToolCall(0, "c", "f", "{}"),),
            value={"n": 1},
            finish_reason="length",
            usage=Usage(1, 2),
        )


class Derived(Whole):
    type_id = "test.derived"


class Mixed(Engine[P], Generic[P]):
    type_id = "test.mixed"


class Bound(Mixed[Place]):
    type_id = "test.bound"


class Bare(Engine):
    type_id = "test.bare"


class Pieces(Engine[NoConfig]):
    type_id = "test.pieces"

    def __init__(self, *chunks: Chunk) -> None:
        self.chunks = chunks

    async def run(self, call: Call[NoConfig]) -> AsyncGenerator[Chunk, None]:
        for chunk in self.chunks:
            yield chunk


def call_of(config: Any) -> Call[Any, Any]:
    return Call(connection=config, connection_name="main", model="m", http=Egress(), messages=(Turn("user", "hello"),))


@pytest.mark.parametrize(
    ("engine", "config"),
    [(Whole, Place), (Derived, Place), (Bound, Place), (Pieces, NoConfig), (Bare, NoConfig), (Mixed, NoConfig)],
)
def test_the_config_class(engine: type[Engine[Any, Any]], config: type[Config]) -> None:
    assert engine.connection_config_class() is config


def test_a_config_refuses_unknown_keys_and_changes() -> None:
    with pytest.raises(ValidationError):
        Place.model_validate({"ulr": "x"})
    with pytest.raises(ValidationError):
        Place().url = "y"  # type: ignore[misc]


async def test_run_is_built_on_execute() -> None:
    chunks = [chunk async for chunk in Whole().run(call_of(Place()))]
    assert chunks == [
        Chunk("progress", text="HELLO", tool_calls=(ToolCall(0, "c", "f", "{}"),)),
        Chunk("done", finish_reason="length", usage=Usage(1, 2), value={"n": 1}),
    ]


async def test_execute_is_built_on_run() -> None:
    engine = Pieces(
        Chunk("progress", text="a"),
        Chunk("progress", tool_calls=(ToolCall(0, "c", "f", '{"x"'),)),
        Chunk("progress", text="b", tool_calls=(ToolCall(0, arguments=":1}"),)),
        Chunk("done", finish_reason="tool_calls", usage=Usage(3, 4), value=5),
    )
    assert await engine.execute(call_of(NoConfig())) == Result(
        text="ab",
        tool_calls=(ToolCall(0, "c", "f", '{"x":1}'),),
        value=5,
        finish_reason="tool_calls",
        usage=Usage(3, 4),
    )


async def test_an_end_without_a_result_is_a_failure() -> None:
    with pytest.raises(ExecutionFailed, match="without a result"):
        await Pieces(Chunk("progress", text="a")).execute(call_of(NoConfig()))


async def test_defaults_of_a_small_engine() -> None:
    engine = Whole()
    assert (
        await engine.test_connection(ConnectionTestParams(connection=Place(), connection_name="main", http=Egress()))
    ).ok
    assert engine.standing("main", Place()).state == "ready"
    await engine.start("main", Place(), Egress())
    await engine.stop("main")
    await engine.stop("main")
    await engine.close()


class Strange(KeyError):
    pass


class Own(RateLimited):
    pass


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (NetworkError("x"), NetworkError),
        (Own("x"), Own),
        (TimeoutError(), Timeout),
        (ConnectionResetError(), NetworkError),
        (BrokenPipeError(), NetworkError),
        (IndexError(), QuotaExceeded),
        (KeyError("k"), RateLimited),
        (Strange("k"), RateLimited),
        (ValueError("odd"), ExecutionFailed),
        (SystemExit(3), ExecutionFailed),
        (asyncio.CancelledError(), ExecutionFailed),
        (ExceptionGroup("g", [KeyError(), RateLimited()]), RateLimited),
        (ExceptionGroup("g", [TimeoutError(), ExceptionGroup("h", [TimeoutError()])]), Timeout),
        (ExceptionGroup("g", [TimeoutError(), KeyError()]), ExecutionFailed),
        (BaseExceptionGroup("g", [SystemExit(), ValueError()]), ExecutionFailed),
    ],
)
@pytest.mark.formcycle(37, 39)
def test_foreign_errors_are_mapped_by_the_nearest_base(error: BaseException, kind: type[PromptExecutionError]) -> None:
    assert type(map_error(Whole(), error)) is kind


def test_an_engines_own_mapping_wins_over_the_default_one() -> None:
    class Slow(Whole):
        error_map = {OSError: ServiceUnavailable, TimeoutError: QuotaExceeded}

    assert type(map_error(Slow(), TimeoutError())) is QuotaExceeded
    assert type(map_error(Slow(), FileNotFoundError())) is ServiceUnavailable
    assert type(map_error(Slow(), ConnectionResetError())) is NetworkError, "the default is more specific"


def test_what_a_foreign_exception_says_is_for_logs_only() -> None:
    mapped = map_error(Whole(), ValueError("can't read 'my secret question'"))
    assert mapped.message == "the engine raised ValueError"
    assert "my secret question" in (mapped.detail or "")
    long = map_error(Whole(), type("X" * 10_000, (Exception,), {})())
    assert len(long.message) <= 200
