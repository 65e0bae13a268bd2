"""Queries for images and sounds: values and files in, files and texts out, against real servers on loopback."""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
from collections.abc import AsyncIterator
from typing import Any

import pytest

from promptd.core.chat_queries import ChatQuery
from promptd.core.descriptors import Checker, check_params
from promptd.core.engine import Call, Config, DescribeParams, Engine
from promptd.core.errors import InvalidInput, UnsupportedInput
from promptd.core.forms import FormContext, missing_required
from promptd.core.media_queries import MediaQuery
from promptd.core.model import Capability, Chunk
from promptd.core.prompt_files import PromptFile
from promptd.egress import Egress
from promptd.engines.local_audio.config import AudioQuery, LocalAudioConfig
from promptd.engines.local_audio.engine import LocalAudio
from promptd.engines.openai import OpenAI, OpenAIConfig
from promptd.engines.stable_diffusion import ImageQuery, StableDiffusion, StableDiffusionConfig
from promptd.testing import media
from promptd.testing.image_server import ImageServer
from promptd.testing.upstream import Upstream

IMAGE = PromptFile.from_bytes("source.png", media.image().data, "image/png")
SOUND = PromptFile.from_bytes("speech.wav", media.sound("hello world").data, "audio/wav")


def asked(
    connection: Config, query: Config, http: Egress, value: dict[str, Any] | None = None, **files: PromptFile
) -> Call[Any, Any]:
    return Call(
        connection=connection,
        connection_name="c",
        model=getattr(query, "model", ""),
        http=http,
        query=query,
        value=value or {},
        files={name: (file,) for name, file in files.items()},
        capability=Capability.QUERY,
    )


def described(engine: Engine[Any, Any], connection: Config, query: Config) -> tuple[Checker, Checker]:
    """What checks inputs and outputs of a query."""
    params = DescribeParams[Any, Any](connection=connection, query=query)
    inputs = check_params(engine.compute_query_input(params))
    return Checker(inputs), Checker(check_params(engine.compute_query_output(params), where="outputs"), "output")


async def collected(engine: Engine[Any, Any], call: Call[Any, Any]) -> list[Chunk]:
    return [chunk async for chunk in engine.run(call)]


def media_query(task: str, **settings: Any) -> MediaQuery:
    return MediaQuery.model_validate({"task": task, "model": "maker"} | settings)


@pytest.fixture
def connection(upstream: Upstream) -> OpenAIConfig:
    return OpenAIConfig.model_validate({"base_url": upstream.base_url})


# ------------------------------------------------------------------ OpenAI


async def test_images_come_as_files(upstream: Upstream, connection: OpenAIConfig, http: Egress) -> None:
    query = media_query("image", prompt="a {{color}} cat", image={"width": 16, "height": 8, "count": 2})
    inputs, outputs = described(OpenAI(), connection, query)
    value = inputs.check({"color": "red"}).value
    (done,) = await collected(OpenAI(), asked(connection, query, http, value))
    found = outputs.check(done.value, done.outputs)
    assert [file.media_type for file in found.files["images"]] == ["image/png", "image/png"]
    assert done.blobs == ()  # they are outputs of the query, and not files of a chat besides
    body = upstream.calls[0].body
    assert (body["prompt"], body["size"], body["n"]) == ("a red cat", "16x8", 2)
    with pytest.raises(InvalidInput, match="color"):
        inputs.check({})


async def test_an_image_is_made_from_another(upstream: Upstream, connection: OpenAIConfig, http: Egress) -> None:
    query = media_query("image", prompt="{{image}} brighter", image={"from_image": True})
    inputs, _ = described(OpenAI(), connection, query)
    with pytest.raises(InvalidInput, match="image"):
        inputs.check({})
    with pytest.raises(InvalidInput, match="image"):
        inputs.check({}, {"image": [SOUND]})
    await collected(OpenAI(), asked(connection, query, http, image=IMAGE))
    (received,) = upstream.calls
    assert received.path == "/v1/images/edits"
    assert received.body["image"][0].data == media.image().data
    assert received.body["prompt"] == " brighter"  # the file has the name for itself


async def test_a_text_is_spoken(upstream: Upstream, connection: OpenAIConfig, http: Egress) -> None:
    query = media_query("speech", prompt="Hello {{name}}", speech={"voice": "echo", "speed": 1.5, "format": "wav"})
    inputs, outputs = described(OpenAI(), connection, query)
    call = asked(connection, query, http, inputs.check({"name": "Ada"}).value)
    result = await OpenAI().execute(call)
    found = outputs.check(result.value, result.files)
    (sound,) = found.files["audio"]
    assert sound.media_type == "audio/wav"
    assert media.comment_of(sound.read()) == "Hello Ada"
    body = upstream.calls[0].body
    assert (body["voice"], body["speed"]) == ("echo", 1.5)


async def test_a_speech_becomes_a_text(upstream: Upstream, connection: OpenAIConfig, http: Egress) -> None:
    query = media_query("transcription", transcription={"language": "en", "hint": "{{topic}} words"})
    inputs, outputs = described(OpenAI(), connection, query)
    value = inputs.check({"topic": "big"}, {"audio": [SOUND]}).value
    result = await OpenAI().execute(asked(connection, query, http, value, audio=SOUND))
    assert outputs.check(result.value, result.files).value == {"text": "hello world"}
    body = upstream.calls[0].body
    assert (body["language"], body["prompt"]) == ("en", "big words")


async def test_a_chat_is_composed_and_nothing_else(connection: OpenAIConfig, http: Egress) -> None:
    engine = OpenAI()
    chat = engine.compose(asked(connection, media_query("chat", prompt="hi {{name}}"), http, {"name": "Ada"}))
    assert chat is not None
    assert [turn.content for turn in chat.messages] == ["hi Ada"]
    for task in ("image", "speech", "transcription"):
        assert engine.compose(asked(connection, media_query(task), http)) is None


def test_the_form_asks_for_what_the_task_needs() -> None:
    form = OpenAI().query_form(FormContext(type_id="openai"))
    empty = {"model": "", "prompt": ""}
    assert missing_required(form, {"task": "chat", **empty}) == ["model", "prompt"]
    assert missing_required(form, {"task": "speech", **empty}) == ["model", "prompt"]
    assert missing_required(form, {"task": "transcription", **empty}) == ["model"]


def test_a_stored_chat_query_is_one_of_the_wider_kind() -> None:
    """Templates that were saved before there were tasks still run."""
    old = ChatQuery.model_validate({"model": "m", "prompt": "p"}).model_dump()
    assert MediaQuery.model_validate(old).task == "chat"


# ------------------------------------------------------------------ Stable Diffusion


@pytest.fixture
async def painter() -> AsyncIterator[ImageServer]:
    async with ImageServer() as server:
        yield server


@pytest.fixture
async def way(painter: ImageServer) -> AsyncIterator[Egress]:
    egress = Egress([painter.base_url])
    yield egress
    await egress.close()


def drawing(painter: ImageServer, **settings: Any) -> StableDiffusionConfig:
    return StableDiffusionConfig.model_validate({"base_url": painter.base_url, "progress_interval": 0.01} | settings)


async def test_a_server_draws_what_the_query_says(painter: ImageServer, way: Egress) -> None:
    query = ImageQuery(
        prompt="a {{color}} cat",
        negative_prompt="{{color}} dogs",
        width=16,
        height=8,
        count=2,
        steps=3,
        seed=7,
        sampler="Euler a",
        scheduler="Karras",
        guidance_scale=5.5,
        extra={"clip_skip": 2},
    )
    engine, made = StableDiffusion(), drawing(painter)
    inputs, outputs = described(engine, made, query)
    value = inputs.check({"color": "red"}).value
    async with asyncio.timeout(10):
        chunks = await collected(engine, asked(made, query, way, value))
    found = outputs.check(chunks[-1].value, chunks[-1].outputs)
    assert len(found.files["images"]) == 2
    body = (await painter.asked_for("/sdapi/v1/txt2img")).body
    assert {name: body[name] for name in ("prompt", "negative_prompt", "width", "height", "batch_size", "steps")} == {
        "prompt": "a red cat",
        "negative_prompt": "red dogs",
        "width": 16,
        "height": 8,
        "batch_size": 2,
        "steps": 3,
    }
    assert (body["seed"], body["sampler_name"], body["scheduler"], body["cfg_scale"]) == (7, "Euler a", "Karras", 5.5)
    assert body["clip_skip"] == 2
    await engine.close()


async def test_a_server_draws_from_another_image(painter: ImageServer, way: Egress) -> None:
    query = ImageQuery(prompt="x", from_image=True, denoising_strength=0.25)
    engine, made = StableDiffusion(), drawing(painter)
    async with asyncio.timeout(10):
        result = await engine.execute(asked(made, query, way, image=IMAGE))
    assert len(result.files["images"]) == 1
    body = (await painter.asked_for("/sdapi/v1/img2img")).body
    assert body["denoising_strength"] == 0.25
    assert len(body["init_images"]) == 1
    await engine.close()


async def test_a_query_keeps_to_the_bounds_of_its_connection(painter: ImageServer, way: Egress) -> None:
    engine = StableDiffusion()
    with pytest.raises(InvalidInput, match="steps"):
        await engine.execute(asked(drawing(painter, max_steps=2), ImageQuery(prompt="x", steps=3), way))
    with pytest.raises(InvalidInput, match="init_images"):
        await engine.execute(asked(drawing(painter), ImageQuery(prompt="x", extra={"init_images": ["http://x"]}), way))
    with pytest.raises(UnsupportedInput, match="script_name"):
        await engine.execute(
            asked(drawing(painter, trusted=False), ImageQuery(prompt="x", extra={"script_name": "x"}), way)
        )
    await engine.close()


# ------------------------------------------------------------------ this machine


@pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not installed")
async def test_this_machine_speaks(http: Egress) -> None:
    query = AudioQuery(prompt="Hello {{name}}")
    engine, made = LocalAudio(), LocalAudioConfig()
    inputs, outputs = described(engine, made, query)
    result = await engine.execute(asked(made, query, http, inputs.check({"name": "world"}).value))
    (sound,) = outputs.check(result.value, result.files).files["audio"]
    assert sound.media_type == "audio/wav"
    assert sound.size > 1000


@pytest.mark.skipif(importlib.util.find_spec("pocketsphinx") is None, reason="PocketSphinx is not installed")
async def test_this_machine_listens(http: Egress) -> None:
    query = AudioQuery(task="transcription")
    engine, made = LocalAudio(), LocalAudioConfig()
    inputs, outputs = described(engine, made, query)
    files = inputs.check({}, {"audio": [SOUND]}).files
    result = await engine.execute(asked(made, query, http, audio=files["audio"][0]))
    assert isinstance(outputs.check(result.value, result.files).value["text"], str)
    with pytest.raises(UnsupportedInput, match="English"):
        await engine.execute(asked(made, AudioQuery(task="transcription", language="de"), http, audio=SOUND))
