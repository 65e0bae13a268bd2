"""The scripted engine: its exam, every step, and the journal that outlives a crash."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from promptd.core.content import ToolCall, Turn
from promptd.core.engine import Call, Config, Engine, NoConfig, Result, map_error
from promptd.core.errors import ExecutionFailed, InvalidInput, QuotaExceeded, RateLimited, Timeout
from promptd.core.model import TEXT, Blob, Capability, Chunk, Usage
from promptd.core.parameters import ImageParameters, Parameters
from promptd.egress import Egress
from promptd.testing import media
from promptd.testing.engines import EngineContract
from promptd.testing.scripted import Scripted, ScriptedConfig, parse_script


def config(**settings: Any) -> ScriptedConfig:
    return ScriptedConfig.model_validate(settings)


def call(text: str | list[Any], connection: ScriptedConfig | None = None, **fields: Any) -> Call[ScriptedConfig, Any]:
    said = text if isinstance(text, str) else json.dumps(text)
    return Call(
        connection=connection or config(),
        connection_name="c",
        model="m",
        http=Egress(),
        messages=(Turn("user", said),),
        **fields,
    )


async def collect(made: Call[ScriptedConfig, Any]) -> list[Chunk]:
    return [chunk async for chunk in Scripted().run(made)]


class TestContract(EngineContract):
    @pytest.fixture
    def engine(self) -> Scripted:
        return Scripted()

    @pytest.fixture
    def connection(self) -> ScriptedConfig:
        return config()

    @pytest.fixture
    def http(self) -> Egress:
        return Egress()

    @pytest.fixture
    def model(self) -> str:
        return "any"

    @pytest.fixture
    def broken(self) -> ScriptedConfig:
        return config(script=[{"fail": "network_error"}])


class Leaky(Config):
    api_key: str = ""


class TwoEnds(Engine[NoConfig]):
    type_id = "two.ends"

    async def run(self, call: Call[NoConfig, Any]) -> AsyncGenerator[Chunk, None]:
        yield Chunk("done", finish_reason="stop", usage=Usage())
        yield Chunk("done", finish_reason="stop", usage=Usage())


class Early(Engine[NoConfig]):
    type_id = "early"

    def __init__(self, first: Chunk) -> None:
        self.first = first

    async def run(self, call: Call[NoConfig, Any]) -> AsyncGenerator[Chunk, None]:
        yield self.first
        yield Chunk("done", finish_reason="stop", usage=Usage())


class Paper(Engine[NoConfig]):
    """Says that it draws and listens; what it gives is no image, and it hears things where nothing is."""

    type_id = "paper"
    capabilities = frozenset({Capability.IMAGE, Capability.TRANSCRIPTION})
    kind = "text/html"

    async def execute(self, call: Call[NoConfig, Any]) -> Result:
        return Result(text="heard", blobs=(Blob("a.png", self.kind, b"<html>"),))


class Mixing(Engine[Leaky]):
    """Keeps what belongs to a call in the engine, maps nothing, and promises what it can't do."""

    type_id = "Mixing!"
    capabilities = TEXT
    text = ""

    async def execute(self, call: Call[Leaky]) -> Result:
        if call.connection.api_key:
            raise LookupError("foreign")
        self.text = call.messages[-1].content
        await asyncio.sleep(0)
        return Result(text=self.text)


async def test_the_exam_can_be_failed() -> None:
    exam = EngineContract()

    def make(text: str = "x", **changes: Any) -> Call[Any, Any]:
        fields: dict[str, Any] = {"connection": Leaky(), "messages": (Turn("user", text),)}
        return Call(connection_name="c", model="m", http=Egress(), **(fields | changes))

    with pytest.raises(AssertionError):
        await exam.test_progress_comes_first_and_then_one_done(TwoEnds(), make)
    with pytest.raises(AssertionError):
        await exam.test_chunks_add_up_to_the_result(TwoEnds(), make)
    with pytest.raises(AssertionError):
        await exam.test_declared_capabilities_work(Paper(), make)
    for wrong in (Chunk("progress", fraction=1.5), Chunk("progress", text="x", blobs=(media.image(),))):
        with pytest.raises(AssertionError):
            await exam.test_progress_comes_first_and_then_one_done(Early(wrong), make)
    with pytest.raises(AssertionError):
        await exam.test_an_image_is_made_from_an_image(Paper(), make, media.image())
    with pytest.raises(pytest.fail.Exception):
        await exam.test_a_transcription_needs_a_sound(Paper(), make)
    with pytest.raises(AssertionError):
        await exam.test_runs_at_the_same_time_do_not_mix(Mixing(), make)
    with pytest.raises(AssertionError):
        await exam.test_failures_are_typed(Mixing(), make, Leaky(api_key="x"))
    with pytest.raises(TypeError):
        await exam.test_declared_capabilities_work(Mixing(), make)
    with pytest.raises(pytest.fail.Exception, match="api_key"):
        exam.test_no_secret_is_shown(Mixing())
    with pytest.raises(AssertionError):
        exam.test_it_has_a_type_id(Mixing())


async def test_without_a_script_the_prompt_comes_back_in_pieces() -> None:
    *pieces, done = await collect(call("hello you there", config(pieces=3)))
    assert [piece.text for piece in pieces] == ["hello", " you ", "there"]
    assert done.usage is not None
    assert (done.usage.input_tokens, done.usage.output_tokens) == (3, 3)


async def test_a_template_wraps_what_comes_back() -> None:
    result = await Scripted().execute(call("x", parameters=Parameters(template="<{prompt}>")))
    assert result.text == "<x>"


@pytest.mark.parametrize("text", ["[1, 2]", "[not json", "[]", '["a"]', '{"say": "x"}'])
async def test_a_text_that_is_no_script_is_only_text(text: str) -> None:
    assert (await Scripted().execute(call(text))).text == text


async def test_say_tool_and_finish() -> None:
    script = [{"say": "abcd", "pieces": 2}, {"tool": "add", "arguments": {"a": 1}}, {"finish": "length"}]
    chunks = await collect(call(script))
    assert [chunk.text for chunk in chunks] == ["ab", "cd", "", ""]
    assert chunks[2].tool_calls == (ToolCall(0, "call_1", "add", '{"a": 1}'),)
    assert chunks[3].finish_reason == "length"


async def test_fail_says_what_and_when() -> None:
    script = [{"say": "half"}, {"fail": "rate_limited", "message": "slow", "retry_after": 2.5}]
    chunks = Scripted().run(call(script))
    assert (await anext(chunks)).text == "half"
    with pytest.raises(RateLimited, match="slow") as raised:
        await anext(chunks)
    assert raised.value.retry_after == 2.5


async def test_raise_is_an_error_that_nobody_mapped() -> None:
    with pytest.raises(RuntimeError, match="boom") as raised:
        await Scripted().execute(call([{"raise": "boom"}]))
    assert type(map_error(Scripted(), raised.value)) is ExecutionFailed


async def test_each_attempt_has_its_script_and_the_last_repeats() -> None:
    script = [[{"fail": "timeout"}], [{"fail": "quota_exceeded"}], [{"say": "third"}]]
    with pytest.raises(Timeout):
        await Scripted().execute(call(script, attempt=1))
    with pytest.raises(QuotaExceeded):
        await Scripted().execute(call(script, attempt=2))
    for attempt in (3, 4, 50):
        assert (await Scripted().execute(call(script, attempt=attempt))).text == "third"


async def test_the_prompt_goes_before_the_connection_unless_that_is_switched_off() -> None:
    script = [{"say": "of the connection"}]
    said = [{"say": "of the prompt"}]
    assert (await Scripted().execute(call("text", config(script=script)))).text == "of the connection"
    assert (await Scripted().execute(call(said, config(script=script)))).text == "of the prompt"
    closed = config(script=script, prompt_scripts=False)
    assert (await Scripted().execute(call([{"crash": True}], closed))).text == "of the connection"


async def test_wait_file_waits_for_somebody_outside(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    task = asyncio.create_task(collect(call([{"say": "a"}, {"wait_file": str(gate)}, {"say": "b"}])))
    done, _ = await asyncio.wait([task], timeout=0.05)
    assert not done
    gate.touch()
    async with asyncio.timeout(5):
        assert [chunk.text for chunk in await task] == ["a", "b", ""]


@pytest.mark.parametrize("step", [{"hang": True}, {"wait": 3600}])
async def test_silence_can_be_cancelled(step: dict[str, Any]) -> None:
    task = asyncio.create_task(collect(call([step])))
    done, _ = await asyncio.wait([task], timeout=0.05)
    assert not done
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    ("script", "path"),
    [
        ([{"sya": "x"}], "script[0]"),
        ([{"say": "x"}, {"say": 5}], "script[1]"),
        ([{"say": "x", "peices": 2}], "script[0]"),
        ([{"fail": "no_such_code"}], "script[0].fail"),
        ([[{"say": "x"}], [{"wait": "long"}]], "script[1][0]"),
        ([{"say": "x"}, 5], "script[1]"),
    ],
)
async def test_a_wrong_step_is_named(script: list[Any], path: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        await Scripted().execute(call(script, attempt=2))
    assert raised.value.message.startswith(f"{path}: ")
    with pytest.raises(ValidationError, match="script"):
        config(script=script)


async def test_images_as_many_as_were_asked_for() -> None:
    wishes = Parameters(image=ImageParameters(batch_size=2, rounds=2, width=3, height=5))
    result = await Scripted().execute(call("a cat", capability=Capability.IMAGE, parameters=wishes))
    assert [(blob.name, blob.media_type) for blob in result.blobs] == [
        (f"image-{number}.png", "image/png") for number in (1, 2, 3, 4)
    ]
    assert len({blob.data for blob in result.blobs}) == 4
    assert all(blob.data[16:24] == bytes([0, 0, 0, 3, 0, 0, 0, 5]) for blob in result.blobs)
    again = await Scripted().execute(call("a cat", capability=Capability.IMAGE, parameters=wishes))
    assert again.blobs == result.blobs
    other = await Scripted().execute(call("a dog", capability=Capability.IMAGE))
    assert len(other.blobs) == 1
    assert other.blobs[0].data != result.blobs[0].data


async def test_a_script_makes_files_and_tells_how_far_it_is() -> None:
    script = [{"fraction": 0.25}, {"say": "here"}, {"images": 2}, {"fraction": 0.75}, {"speech": "hi"}, {"images": 1}]
    chunks = await collect(call(script, capability=Capability.IMAGE))
    assert [(chunk.fraction, chunk.text) for chunk in chunks] == [(0.25, ""), (None, "here"), (0.75, ""), (None, "")]
    names = ["image-1.png", "image-2.png", "speech-3.wav", "image-4.png"]
    assert [blob.name for blob in chunks[-1].blobs] == names
    assert len({blob.data for blob in chunks[-1].blobs}) == 4


async def test_what_was_spoken_is_heard_again() -> None:
    spoken = await Scripted().execute(call("grüße an alle", capability=Capability.SPEECH))
    assert (spoken.text, spoken.blobs[0].media_type) == ("", "audio/wav")
    heard = await Scripted().execute(call("", capability=Capability.TRANSCRIPTION, blobs=spoken.blobs))
    assert heard.text == "grüße an alle"
    unknown = Blob("a.mp3", "audio/mpeg", b"12345")
    heard = await Scripted().execute(call("", capability=Capability.TRANSCRIPTION, blobs=(*spoken.blobs, unknown)))
    assert heard.text == "grüße an alle 5 bytes"


def test_an_empty_script_is_no_script() -> None:
    assert parse_script([], 1) == []


async def test_embeddings_depend_on_the_text_alone() -> None:
    asked = call("", config(dimensions=4), capability=Capability.EMBEDDING, texts=("red", "blue", "red"))
    red, blue, again = (await Scripted().execute(asked)).value["embeddings"]
    assert red == again != blue
    assert len(red) == 4
    assert all(-1 <= number <= 1 for number in red + blue)


async def test_the_journal_has_a_line_per_call_before_anything_happens(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    chunks = Scripted().run(call([{"hang": True}], config(journal=str(journal)), run_id="p1", attempt=3))
    task = asyncio.ensure_future(anext(chunks))
    done, _ = await asyncio.wait([task], timeout=0.05)
    assert not done
    (line,) = map(json.loads, journal.read_text().splitlines())
    assert (line["prompt"], line["attempt"], line["model"], line["pid"]) == ("p1", 3, "m", os.getpid())
    assert line["text"] == '[{"hang": true}]'
    assert line["time"] > 1_600_000_000
    task.cancel()
    await asyncio.wait([task])


async def test_the_journal_is_on_disk_before_the_first_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = tmp_path / "journal"
    synced: list[bytes] = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(journal.read_bytes()))
    chunks = Scripted().run(call("x", config(journal=str(journal))))
    await anext(chunks)
    assert synced == [journal.read_bytes()]
    await chunks.aclose()


CRASHING = """
import asyncio, sys
from promptd.core.engine import Call
from promptd.core.model import Turn
from promptd.egress import Egress
from promptd.testing.scripted import Scripted, ScriptedConfig

async def main():
    made = Call(connection=ScriptedConfig(journal=sys.argv[1]), connection_name="c", model="m", http=Egress(),
                run_id="p1", messages=(Turn("user", '[{"say": "half"}, {"crash": true}]'),))
    async for chunk in Scripted().run(made):
        print(chunk.text, flush=True)

asyncio.run(main())
"""


def test_a_crash_ends_the_process_and_leaves_the_journal(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    for _ in range(2):
        ended = subprocess.run(
            [sys.executable, "-c", CRASHING, str(journal)], capture_output=True, text=True, timeout=30
        )
        assert (ended.returncode, ended.stdout, ended.stderr) == (70, "half\n", "")
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [line["prompt"] for line in lines] == ["p1", "p1"]
    assert len({line["pid"] for line in lines}) == 2
