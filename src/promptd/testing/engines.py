"""The exam for engines: inherit `EngineContract`, say with four fixtures what to examine, and run pytest.

    class TestEcho(EngineContract):
        @pytest.fixture
        def engine(self): return Echo()

        @pytest.fixture
        def connection(self): return EchoConfig()

        @pytest.fixture
        def http(self): return Egress()

        @pytest.fixture
        def model(self): return "echo"

More are optional: `broken`, a connection whose calls fail; `image` and `sound`, files that the engine can read;
`model_for` where a capability needs its own model. Answers must be the same each time at temperature 0.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import pytest
from pydantic import SecretStr

from promptd.core.content import Turn
from promptd.core.engine import Call, Config, Engine, Result, map_error
from promptd.core.errors import ExecutionFailed, PromptExecutionError
from promptd.core.model import Blob, Capability, Chunk
from promptd.core.parameters import Parameters
from promptd.core.ports import HttpClient
from promptd.testing import media

_PROMPTLY = 1.0  # seconds that closing may take
_SECRET = "the-secret-of-the-exam"  # noqa: S105 - it is one

#: what comes out, by capability; all others give text
_FILES = {Capability.IMAGE: "image/", Capability.SPEECH: "audio/"}

MakeCall = Callable[..., Call[Any, Any]]


class EngineContract:
    """Every engine keeps these promises."""

    @pytest.fixture
    def broken(self) -> Config | None:
        """A connection whose calls fail, or None where that can't be arranged."""
        return None

    @pytest.fixture
    def image(self) -> Blob:
        """What engines for images and vision are given."""
        return media.image()

    @pytest.fixture
    def sound(self) -> Blob:
        """What engines for transcription are given."""
        return media.sound("hello world")

    def model_for(self, model: str, capability: Capability) -> str:
        return model

    @pytest.fixture
    def make_call(
        self, engine: Engine[Any, Any], connection: Config, http: HttpClient, model: str, image: Blob, sound: Blob
    ) -> MakeCall:
        files = {Capability.VISION: (image,), Capability.TRANSCRIPTION: (sound,)}

        def make(text: str = "Say hello to the world", **changes: Any) -> Call[Any, Any]:
            capability = changes.setdefault("capability", usual(engine))
            fields: dict[str, Any] = {
                "blobs": files.get(capability, ()),
                "connection": connection,
                "connection_name": "exam",
                "model": self.model_for(model, capability),
                "http": http,
                "run_id": "prompt_exam",
                "messages": (Turn("user", text),),
                "parameters": Parameters(temperature=0.0, max_tokens=32, seed=1),
            }
            return Call(**(fields | changes))

        return make

    def test_it_has_a_type_id(self, engine: Engine[Any, Any]) -> None:
        assert re.fullmatch(r"[a-z0-9]+([._-][a-z0-9]+)*", engine.type_id)
        assert len(engine.type_id) <= 120

    def test_every_setting_has_a_default_and_a_schema(self, engine: Engine[Any, Any]) -> None:
        kind = engine.connection_config_class()
        assert issubclass(kind, Config)
        kind()
        assert kind.model_json_schema()["type"] == "object"

    def test_no_secret_is_shown(self, engine: Engine[Any, Any]) -> None:
        kind = engine.connection_config_class()
        values: dict[str, Any] = {}
        for name, setting in kind.model_fields.items():
            if setting.annotation is SecretStr:
                values[name] = _SECRET
            elif setting.annotation == dict[str, SecretStr]:
                values[name] = {"x-key": _SECRET}
            elif re.search(r"(key|token|password|secret)$", name):
                pytest.fail(f"{name}: expected SecretStr, found {setting.annotation}")
        config = kind(**values)
        for shown in (repr(config), str(config), config.model_dump_json(), repr(config.model_dump())):
            assert _SECRET not in shown

    @pytest.mark.asyncio
    async def test_progress_comes_first_and_then_one_done(self, engine: Engine[Any, Any], make_call: MakeCall) -> None:
        chunks = await _collect(engine.run(make_call()))
        assert [chunk.kind for chunk in chunks] == ["progress"] * (len(chunks) - 1) + ["done"]
        assert all(chunk.text or chunk.tool_calls or chunk.fraction is not None for chunk in chunks[:-1])
        assert all(0 <= chunk.fraction <= 1 for chunk in chunks if chunk.fraction is not None)
        assert not any(chunk.blobs for chunk in chunks[:-1])
        done = chunks[-1]
        assert not done.text
        assert done.finish_reason
        assert done.usage is not None
        assert min(done.usage.input_tokens, done.usage.output_tokens, done.usage.cached_tokens) >= 0

    @pytest.mark.asyncio
    async def test_chunks_add_up_to_the_result(self, engine: Engine[Any, Any], make_call: MakeCall) -> None:
        chunks = await _collect(engine.run(make_call()))
        result = await engine.execute(make_call())
        assert result.text == "".join(chunk.text for chunk in chunks)
        assert result.blobs == chunks[-1].blobs
        assert result.text or result.blobs
        assert result.finish_reason == chunks[-1].finish_reason

    @pytest.mark.asyncio
    async def test_declared_capabilities_work(self, engine: Engine[Any, Any], make_call: MakeCall) -> None:
        assert engine.capabilities
        assert engine.capabilities <= set(Capability)
        for capability in sorted(engine.capabilities - {Capability.EMBEDDING}):
            result = await engine.execute(make_call(capability=capability))
            if capability in _FILES:
                check_blobs(result.blobs, _FILES[capability])
            else:
                assert result.text
        if Capability.EMBEDDING in engine.capabilities:
            result = await engine.execute(make_call(capability=Capability.EMBEDDING, texts=("red", "blue", "red")))
            _check_embeddings(result)

    @pytest.mark.asyncio
    async def test_an_image_is_made_from_an_image(
        self, engine: Engine[Any, Any], make_call: MakeCall, image: Blob
    ) -> None:
        if Capability.IMAGE not in engine.capabilities:
            return
        made = await engine.execute(make_call(capability=Capability.IMAGE, blobs=(image,)))
        check_blobs(made.blobs, "image/")

    @pytest.mark.asyncio
    async def test_a_transcription_needs_a_sound(self, engine: Engine[Any, Any], make_call: MakeCall) -> None:
        if Capability.TRANSCRIPTION not in engine.capabilities:
            return
        with pytest.raises(PromptExecutionError, match="files"):
            await engine.execute(make_call(capability=Capability.TRANSCRIPTION, blobs=()))

    @pytest.mark.asyncio
    async def test_closing_ends_a_run_promptly(self, engine: Engine[Any, Any], make_call: MakeCall) -> None:
        chunks = engine.run(make_call())
        await anext(chunks)
        async with asyncio.timeout(_PROMPTLY):
            await chunks.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(chunks)

    @pytest.mark.asyncio
    async def test_cancelling_ends_a_run_promptly(self, engine: Engine[Any, Any], make_call: MakeCall) -> None:
        begun = asyncio.Event()

        async def work() -> None:
            begun.set()
            await _collect(engine.run(make_call()))

        task = asyncio.create_task(work())
        await begun.wait()
        task.cancel()
        async with asyncio.timeout(_PROMPTLY):
            with pytest.raises(asyncio.CancelledError):
                await task

    @pytest.mark.asyncio
    async def test_failures_are_typed(
        self, engine: Engine[Any, Any], make_call: MakeCall, broken: Config | None
    ) -> None:
        for foreign, meaning in engine.error_map.items():
            assert issubclass(foreign, BaseException)
            assert issubclass(meaning, PromptExecutionError)
        if broken is None:  # an engine that can't fail by its settings
            return
        with pytest.raises(Exception) as raised:  # noqa: PT011 - which one is what is looked at
            await engine.execute(make_call(connection=broken))
        mapped = map_error(engine, raised.value)
        assert type(mapped) is not ExecutionFailed, f"nobody mapped {raised.value!r}"

    @pytest.mark.asyncio
    async def test_runs_at_the_same_time_do_not_mix(self, engine: Engine[Any, Any], make_call: MakeCall) -> None:
        texts = [f"Repeat the word number {number} please" for number in range(8)]
        alone = [_given(await engine.execute(make_call(text))) for text in texts]
        together = await asyncio.gather(*[engine.execute(make_call(text)) for text in texts])
        assert [_given(result) for result in together] == alone

    @pytest.mark.asyncio
    async def test_stopping_what_never_started_is_fine(self, engine: Engine[Any, Any]) -> None:
        await engine.stop("no-such-connection")
        await engine.stop("no-such-connection")


def usual(engine: Engine[Any, Any]) -> Capability:
    """What an engine is asked for where it does not matter: text, if it makes any."""
    return next(capability for capability in Capability if capability in engine.capabilities)


def check_blobs(blobs: tuple[Blob, ...], kind: str) -> None:
    """At least one file, each with bytes, a name and a media type that begins with `kind`."""
    assert blobs
    for blob in blobs:
        assert blob.data
        assert blob.name
        assert "/" not in blob.name
        assert blob.media_type.startswith(kind), blob.media_type


def _given(result: Result) -> tuple[str, tuple[bytes, ...]]:
    return result.text, tuple(blob.data for blob in result.blobs)


async def _collect(chunks: AsyncGenerator[Chunk, None]) -> list[Chunk]:
    async with aclosing(chunks):
        return [chunk async for chunk in chunks]


def _check_embeddings(result: Result) -> None:
    red, blue, again = result.value["embeddings"]
    assert len(red) == len(blue) == len(again) > 0
    assert all(math.isfinite(number) for vector in (red, blue) for number in vector)
    assert red == pytest.approx(again, abs=1e-4)
