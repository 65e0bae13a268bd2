"""Times, streams and masks with the vendor's client, through engines that really ask somebody."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest

from promptd.core.engine import Engine
from promptd.dialects.sse import Parser
from promptd.engines.local_audio.engine import LocalAudio
from promptd.engines.openai import OpenAI
from promptd.engines.stable_diffusion.engine import StableDiffusion
from promptd.testing import media
from promptd.testing.image_server import ImageServer
from promptd.testing.upstream import Upstream
from tests.faces.openai.others import Place, run_place

SOUND = ("a.wav", media.wav("what was said"))
PICTURE, MASK = ("a.png", media.png("before")), ("m.png", media.png("mask"))


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as server:
        yield server


@pytest.fixture
async def painter() -> AsyncIterator[ImageServer]:
    async with ImageServer() as server:
        yield server


@pytest.fixture
async def place(tmp_path: Path, upstream: Upstream, painter: ImageServer) -> AsyncIterator[Place]:
    connections = {
        "one": {"engine": "openai", "base_url": upstream.base_url},
        "ear": {"engine": "local_audio"},
        "brush": {"engine": "stable_diffusion", "base_url": painter.base_url},
        "lab": {"engine": "scripted"},
    }
    models = {
        "maker": {"connection": "one"},
        "plain": {"connection": "one", "upstream": "bytes-only"},
        "ear": {"connection": "ear"},
        "brush": {"connection": "brush"},
        "demo": {"connection": "lab"},
    }
    engines: dict[str, Engine[Any, Any]] = {
        "openai": OpenAI(),
        "local_audio": LocalAudio(),
        "stable_diffusion": StableDiffusion(),
    }
    async with run_place(tmp_path, engines=engines, connections=connections, models=models) as one:
        yield one


async def uploads(place: Place) -> int:
    page, _ = await place.filed.find("ada", purpose=None, after=None, limit=1000)
    return len(page)


# ---------------------------------------------------------------- times


async def test_times_of_a_service(place: Place, upstream: Upstream) -> None:
    create = place.client().audio.transcriptions.create
    verbose = await create(model="maker", file=SOUND, response_format="verbose_json")
    assert (verbose.text, verbose.language, verbose.duration) == ("what was said", "english", 1.5)
    assert verbose.segments is not None
    assert [(one.start, one.end, one.text, one.avg_logprob) for one in verbose.segments] == [
        (0.0, 1.5, "what was said", -0.5)
    ]
    assert verbose.usage is not None
    assert (verbose.words, verbose.usage.seconds) == (None, 2)
    assert upstream.calls[-1].body["timestamp_granularities[]"] == "segment"
    words = await create(model="maker", file=SOUND, response_format="verbose_json", timestamp_granularities=["word"])
    assert [(word.word, word.start) for word in words.words or ()] == [("what", 0.0), ("was", 0.5), ("said", 1.0)]
    assert words.segments is None
    srt = await create(model="maker", file=SOUND, response_format="srt")
    assert srt == "1\n00:00:00,000 --> 00:00:01,500\nwhat was said\n\n"
    assert {call.body["response_format"] for call in upstream.calls} == {"verbose_json"}
    again = await create(model="maker", file=SOUND, response_format="vtt", extra_headers={"Idempotency-Key": "once"})
    assert again.startswith("WEBVTT\n\n00:00:00.000 --> 00:00:01.500\n")


@pytest.mark.parametrize("model", ["ear", "demo", "plain"])
@pytest.mark.parametrize("shape", ["verbose_json", "srt", "vtt"])
async def test_without_times_the_form_is_refused(place: Place, model: str, shape: Any) -> None:
    for headers in ({}, {"Idempotency-Key": "once"}):
        with pytest.raises(openai.BadRequestError, match="no times") as refused:
            await place.client().audio.transcriptions.create(
                model=model, file=SOUND, response_format=shape, extra_headers=headers
            )
        assert refused.value.param == "response_format"


async def test_granularities_that_can_not_be(place: Place) -> None:
    create = place.client().audio.transcriptions.create
    wrong: Any = ["page"]
    for more in (
        {"timestamp_granularities": wrong, "response_format": "verbose_json"},
        {"timestamp_granularities": ["word"]},
    ):
        with pytest.raises(openai.BadRequestError) as refused:
            await create(model="maker", file=SOUND, **more)
        assert refused.value.param == "timestamp_granularities"


async def test_a_service_that_tells_less_than_was_asked(place: Place) -> None:
    with pytest.raises(openai.BadRequestError, match="no times of words") as refused:
        await place.client().audio.transcriptions.create(
            model="maker",
            file=SOUND,
            response_format="verbose_json",
            timestamp_granularities=["word", "segment"],
        )
    assert refused.value.param == "timestamp_granularities"


async def test_a_transcription_is_streamed_as_it_is_heard(place: Place, upstream: Upstream) -> None:
    stream = await place.client().audio.transcriptions.create(model="maker", file=SOUND, stream=True)
    events: list[Any] = [event async for event in stream]
    assert upstream.calls[-1].body["stream"] == "true"
    assert [event.delta for event in events[:-1]] == ["what ", "was ", "said "]
    assert (events[-1].text, events[-1].usage.total_tokens) == ("what was said ", 12)
    stream = await place.client().audio.transcriptions.create(model="plain", file=SOUND, stream=True)
    assert [event.type async for event in stream] == ["transcript.text.delta", "transcript.text.done"]


async def test_a_speech_as_events(place: Place) -> None:
    said = "word " * 200
    create = place.client().audio.speech.with_streaming_response.create
    async with create(model="maker", voice="alloy", input=said, response_format="wav", stream_format="sse") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = [json.loads(event.data) for event in Parser().feed(await answer.read())]
    assert [event["type"] for event in events] == ["speech.audio.delta"] * (len(events) - 1) + ["speech.audio.done"]
    assert b"".join([b64decode(event["audio"]) for event in events[:-1]]) == media.wav(said)


# ---------------------------------------------------------------- images


async def test_unfinished_images_come_first(place: Place, upstream: Upstream) -> None:
    client = place.client()
    stream = await client.images.generate(model="maker", prompt="an oak", stream=True, partial_images=2, size="16x8")
    events: list[Any] = [event async for event in stream]
    assert [event.type for event in events] == ["image_generation.partial_image"] * 2 + ["image_generation.completed"]
    assert [b64decode(event.b64_json) for event in events] == [
        media.png("partial 0"),
        media.png("partial 1"),
        media.png("an oak||0", 16, 8),
    ]
    assert [event.partial_image_index for event in events[:2]] == [0, 1]
    assert (events[-1].size, events[-1].output_format, events[-1].usage.total_tokens) == ("16x8", "png", 12)
    edits = await client.images.edit(
        model="maker", image=PICTURE, mask=MASK, prompt="an oak", stream=True, partial_images=1
    )
    told: list[Any] = [event async for event in edits]
    assert [event.type for event in told] == ["image_edit.partial_image", "image_edit.completed"]
    assert b64decode(told[-1].b64_json) == media.png("an oak|a.png|m.png|0")
    async with asyncio.timeout(10):  # the images go a moment after the last event came
        while await uploads(place):
            await asyncio.sleep(0)


@pytest.mark.parametrize("model", ["maker", "brush", "demo"])
async def test_any_model_may_be_asked_for_a_stream(place: Place, model: str) -> None:
    stream = await place.client().images.generate(model=model, prompt="an oak", stream=True)
    assert [event.type async for event in stream] == ["image_generation.completed"]


async def test_an_engine_without_unfinished_images_says_so(place: Place) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await place.client().images.generate(model="brush", prompt="x", stream=True, partial_images=1)
    assert refused.value.param == "partial_images"


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"partial_images": 2}, "partial_images"),
        ({"partial_images": 4, "stream": True}, "partial_images"),
        ({"stream": True, "response_format": "url"}, "response_format"),
    ],
)
async def test_streams_that_can_not_be(place: Place, more: dict[str, Any], param: str) -> None:
    answer = await place.http.post("/v1/images/generations", {"model": "maker", "prompt": "x"} | more)
    assert (answer.status, answer.json["error"]["param"]) == (400, param)


async def test_a_stream_under_a_key_is_refused(place: Place) -> None:
    body = {"model": "maker", "prompt": "x", "stream": True}
    answer = await place.http.post("/v1/images/generations", body, headers={"Idempotency-Key": "once"})
    assert (answer.status, answer.json["error"]["param"]) == (400, "stream")


async def test_a_mask_goes_with_its_image(place: Place, upstream: Upstream, painter: ImageServer) -> None:
    client = place.client()
    await client.images.edit(model="maker", image=[PICTURE, PICTURE], mask=MASK, prompt="x")
    sent = upstream.calls[-1].body
    assert [blob.data for blob in sent["image[]"]] == [PICTURE[1]] * 2
    assert [blob.data for blob in sent["mask"]] == [MASK[1]]
    await client.images.edit(model="brush", image=PICTURE, mask=MASK, prompt="x")
    drawn = painter.jobs[-1].body
    assert [b64decode(image) for image in drawn["init_images"]] == [PICTURE[1]]
    assert (b64decode(drawn["mask"]), drawn["inpainting_mask_invert"]) == (MASK[1], 0)
    clear = bytearray(MASK[1])
    clear[25] = 6  # says that there is an alpha channel, and nobody here looks further
    await client.images.edit(model="brush", image=PICTURE, mask=("m.png", bytes(clear)), prompt="x")
    assert painter.jobs[-1].body["inpainting_mask_invert"] == 1, "what is transparent is drawn"
    assert await uploads(place) == 0
