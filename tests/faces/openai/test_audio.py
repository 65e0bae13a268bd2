"""Speech and transcriptions with the vendor's client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import openai
import pytest

from promptd.core.engine import Call, Engine, NoConfig
from promptd.core.model import Capability, Chunk, Usage
from promptd.testing import media
from tests.faces.openai.others import Place, run_place

SEGMENTS = [
    {"id": 0, "start": 0.0, "end": 1.5, "text": " Hello  there"},
    {"id": 1, "start": 1.5, "end": 3661.25, "text": "a --> b\n\nc"},
]


class Hearing(Engine[NoConfig]):
    """Knows times."""

    type_id = "hearing"
    capabilities = frozenset({Capability.TRANSCRIPTION})

    async def run(self, call: Call[NoConfig]) -> AsyncGenerator[Chunk, None]:
        yield Chunk("progress", text="Hello there, ")
        yield Chunk("progress", text="you")
        value = {"duration": 3661.25, "language": "english", "segments": SEGMENTS}
        yield Chunk("done", finish_reason="stop", usage=Usage(4, 3), value=value)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    connections = {name: {"engine": name} for name in ("scripted", "hearing")}
    models = {"demo": {"connection": "scripted"}, "ear": {"connection": "hearing"}}
    async with run_place(tmp_path, engines={"hearing": Hearing()}, connections=connections, models=models) as one:
        yield one


async def uploads(place: Place) -> int:
    page, _ = await place.filed.find("ada", purpose=None, after=None, limit=1000)
    return len(page)


async def test_speech(place: Place) -> None:
    answer = await place.client().audio.speech.create(
        model="demo", voice="alloy", input="hello", speed=1.5, response_format="wav", instructions="softly"
    )
    assert answer.content == media.wav("hello")
    assert answer.response.headers["content-type"] == "audio/wav"
    custom: Any = {"id": "voice_1"}
    assert (await place.client().audio.speech.create(model="demo", voice=custom, input="x")).content
    assert await uploads(place) == 0


async def test_speech_in_pieces(place: Place) -> None:
    create = place.client().audio.speech.with_streaming_response.create
    async with create(model="demo", voice="alloy", input="hello") as answer:
        assert b"".join([piece async for piece in answer.iter_bytes()]) == media.wav("hello")


async def test_a_key_makes_the_answer_one(place: Place) -> None:
    body = {"model": "demo", "voice": "alloy", "input": "hello"}
    for _ in range(2):
        answer = await place.http.post("/v1/audio/speech", body, headers={"Idempotency-Key": "once"})
        assert answer.body == media.wav("hello")


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"input": " "}, "input"),
        ({"input": "x" * 100_001}, "input"),
        ({"response_format": "midi"}, "response_format"),
        ({"stream_format": "midi"}, "stream_format"),
        ({"speed": 9}, "speed"),
        ({"voice": 5}, "voice"),
    ],
)
async def test_what_is_wrong_is_named(place: Place, change: dict[str, Any], param: str) -> None:
    answer = await place.http.post("/v1/audio/speech", {"model": "demo", "voice": "alloy", "input": "x"} | change)
    assert (answer.status, answer.json["error"]["param"]) == (400, param)


async def test_no_sound(place: Place) -> None:
    script = msgspec.json.encode([{"say": "I have no voice"}]).decode()
    answer = await place.http.post("/v1/audio/speech", {"model": "demo", "voice": "a", "input": script})
    assert (answer.status, answer.json["error"]["code"]) == (502, "invalid_output")


# ---------------------------------------------------------------- transcriptions


async def test_json_and_text(place: Place) -> None:
    client = place.client()
    sound = ("a.wav", media.wav("what was said"))
    plain = await client.audio.transcriptions.create(model="demo", file=sound, language="en", temperature=0.5)
    assert plain.text == "what was said"
    assert plain.usage is not None
    assert plain.usage.type == "tokens"
    text = await client.audio.transcriptions.create(model="demo", file=sound, response_format="text")
    assert text == "what was said\n"
    assert await uploads(place) == 0


async def test_times(place: Place) -> None:
    client = place.client()
    sound = ("a.wav", media.wav("x"))
    verbose = await client.audio.transcriptions.create(model="ear", file=sound, response_format="verbose_json")
    assert (verbose.text, verbose.language, verbose.duration) == ("Hello there, you", "english", 3661.25)
    assert verbose.segments is not None
    assert [segment.text for segment in verbose.segments] == [" Hello  there", "a --> b\n\nc"]
    srt = await client.audio.transcriptions.create(model="ear", file=sound, response_format="srt")
    assert srt == ("1\n00:00:00,000 --> 00:00:01,500\nHello there\n\n2\n00:00:01,500 --> 01:01:01,250\na -> b c\n\n")
    vtt = await client.audio.transcriptions.create(model="ear", file=sound, response_format="vtt")
    assert vtt.startswith("WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nHello there\n\n")


@pytest.mark.parametrize("shape", ["verbose_json", "srt", "vtt"])
async def test_an_engine_without_times_says_so(place: Place, shape: Any) -> None:
    with pytest.raises(openai.BadRequestError, match="no times") as refused:
        await place.client().audio.transcriptions.create(
            model="demo", file=("a.wav", media.wav("x")), response_format=shape
        )
    assert refused.value.code == "unsupported_parameter"


async def test_streams(place: Place) -> None:
    stream = await place.client().audio.transcriptions.create(model="ear", file=("a.wav", media.wav("x")), stream=True)
    events = [event async for event in stream]
    assert [event.type for event in events] == [
        "transcript.text.delta",
        "transcript.text.delta",
        "transcript.text.done",
    ]
    last: Any = events[-1]
    assert last.text == "Hello there, you"
    assert last.usage.total_tokens == 7
    async with asyncio.timeout(10):  # the sound goes a moment after the last event came
        while await uploads(place):
            await asyncio.sleep(0)


async def test_what_can_not_be_heard(place: Place) -> None:
    client = place.client()
    sound = ("a.wav", media.wav("x"))
    with pytest.raises(openai.BadRequestError) as refused:
        await client.audio.transcriptions.create(model="demo", file=("a.txt", b"text"))
    assert refused.value.param == "files[0]"
    with pytest.raises(openai.BadRequestError) as refused:
        await client.audio.transcriptions.create(model="demo", file=sound, response_format="diarized_json")
    assert refused.value.param == "response_format"
    with pytest.raises(openai.BadRequestError) as refused:
        await client.audio.transcriptions.create(model="demo", file=sound, extra_body={"temperature": "hot"})
    assert refused.value.param == "temperature"
    with pytest.raises(openai.NotFoundError):
        await client.audio.transcriptions.create(model="none", file=sound)
    assert await uploads(place) == 0
