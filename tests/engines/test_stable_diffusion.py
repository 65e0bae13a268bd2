"""The `stable_diffusion` engine against an image server on loopback, and its exam."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import ValidationError

from promptd.core.content import Turn
from promptd.core.engine import Call, ConnectionTestParams
from promptd.core.errors import (
    AuthenticationFailed,
    ConfigIncomplete,
    InvalidInput,
    InvalidOutput,
    NetworkError,
    PromptExecutionError,
    ResourceNotFound,
    ServiceUnavailable,
    Timeout,
    UnsupportedInput,
)
from promptd.core.localisation import resolve
from promptd.core.model import Blob, Capability, Chunk
from promptd.core.parameters import ImageParameters, Parameters
from promptd.egress import Egress
from promptd.engines.stable_diffusion import StableDiffusion, StableDiffusionConfig
from promptd.testing import media
from promptd.testing.engines import EngineContract
from promptd.testing.image_server import WEBP, ImageServer

PASSWORD = "password-of-the-test"
TXT2IMG = "/sdapi/v1/txt2img"


@pytest.fixture
async def server() -> AsyncIterator[ImageServer]:
    async with ImageServer() as server:
        yield server


@pytest.fixture
async def http(server: ImageServer) -> AsyncIterator[Egress]:
    egress = Egress([server.base_url])
    yield egress
    await egress.close()


@pytest.fixture
async def engine() -> AsyncIterator[StableDiffusion]:
    engine = StableDiffusion()
    yield engine
    await engine.close()


@pytest.fixture
def connection(server: ImageServer) -> StableDiffusionConfig:
    return settings(server)


def settings(server: ImageServer, **changes: Any) -> StableDiffusionConfig:
    return StableDiffusionConfig.model_validate({"base_url": server.base_url, "progress_interval": 0.005} | changes)


def call(connection: StableDiffusionConfig, http: Egress, text: str = "a cat", **fields: Any) -> Call[Any, Any]:
    image = {name: fields.pop(name) for name in list(fields) if name in ImageParameters.__struct_fields__}
    parameters = Parameters(image=ImageParameters(**image) if image else None)
    given: dict[str, Any] = {
        "capability": Capability.IMAGE,
        "messages": (Turn("user", text),),
        "parameters": parameters,
        "model": "second",
    }
    return Call(connection=connection, connection_name="c", http=http, **(given | fields))


def sent(server: ImageServer) -> dict[str, Any]:
    """The last drawing that the server was asked for."""
    return next(asked.body for asked in reversed(server.asked) if "img" in asked.path)


class TestContract(EngineContract):
    @pytest.fixture
    def model(self) -> str:
        return "first"

    @pytest.fixture
    def broken(self, server: ImageServer, http: Egress) -> StableDiffusionConfig:
        nobody = "http://127.0.0.1:9"
        http.allow(nobody)
        return settings(server, base_url=nobody)


async def test_every_parameter_has_its_place(
    server: ImageServer, engine: StableDiffusion, connection: StableDiffusionConfig, http: Egress
) -> None:
    asked = call(
        connection,
        http,
        negative_prompt="dogs",
        styles=("ink",),
        seed=7,
        batch_size=2,
        rounds=3,
        steps=4,
        guidance_scale=6.5,
        width=24,
        height=32,
        denoising_strength=0.5,
        upscale=True,
        restore_faces=False,
        scheduler="Karras",
        format="JPG",
        extra={"sampler_name": "Euler a", "tiling": True, "override_settings": {"eta_noise_seed_delta": 1}},
    )
    result = await engine.execute(asked)
    body = sent(server)
    assert body.pop("force_task_id").startswith("task(")
    assert body == {
        "prompt": "a cat",
        "negative_prompt": "dogs",
        "styles": ["ink"],
        "seed": 7,
        "batch_size": 2,
        "n_iter": 3,
        "steps": 4,
        "cfg_scale": 6.5,
        "width": 24,
        "height": 32,
        "denoising_strength": 0.5,
        "enable_hr": True,
        "restore_faces": False,
        "scheduler": "Karras",
        "sampler_name": "Euler a",
        "tiling": True,
        "override_settings": {"samples_format": "jpg", "eta_noise_seed_delta": 1},
        "send_images": True,
    }
    assert [blob.name for blob in result.blobs] == [f"image-{number}.png" for number in range(1, 7)]
    assert len({blob.data for blob in result.blobs}) == 6
    assert result.text == ""


async def test_what_is_left_open_comes_from_the_connection(
    server: ImageServer, engine: StableDiffusion, http: Egress
) -> None:
    defaults = {"steps": 20, "width": 40, "override_settings": {"CLIP_stop_at_last_layers": 2}}
    made = settings(server, defaults=defaults, choose_checkpoint=True)
    await engine.execute(call(made, http, width=24, height=8))
    body = sent(server)
    assert (body["steps"], body["width"], body["height"]) == (20, 24, 8)
    assert body["override_settings"] == {"sd_model_checkpoint": "second", "CLIP_stop_at_last_layers": 2}


async def test_without_a_setting_the_server_decides(
    server: ImageServer, engine: StableDiffusion, connection: StableDiffusionConfig, http: Egress
) -> None:
    await engine.execute(call(connection, http))
    assert sorted(sent(server)) == ["force_task_id", "prompt", "send_images"]


@pytest.mark.parametrize("messages", [(), (Turn("user", ""),), (Turn("system", "be kind"),)])
async def test_no_prompt_is_one_too(
    server: ImageServer,
    engine: StableDiffusion,
    connection: StableDiffusionConfig,
    http: Egress,
    messages: tuple[Turn, ...],
) -> None:
    assert (await engine.execute(call(connection, http, messages=messages))).blobs
    assert sent(server)["prompt"] == ""


async def test_a_seed_and_a_template_of_the_prompt_count(
    server: ImageServer, engine: StableDiffusion, connection: StableDiffusionConfig, http: Egress
) -> None:
    await engine.execute(call(connection, http, parameters=Parameters(seed=3, template="photo of {prompt}")))
    assert (sent(server)["seed"], sent(server)["prompt"]) == (3, "photo of a cat")


async def test_images_that_came_along_are_drawn_over(
    server: ImageServer, engine: StableDiffusion, connection: StableDiffusionConfig, http: Egress
) -> None:
    files = (media.image("a"), media.image("b"))
    assert (await engine.execute(call(connection, http, blobs=files, denoising_strength=0.3))).blobs
    assert server.asked[-1].path == "/sdapi/v1/img2img"
    assert [b64decode(image) for image in sent(server)["init_images"]] == [file.data for file in files]


async def test_the_sheet_of_all_images_is_left_out(
    server: ImageServer, engine: StableDiffusion, connection: StableDiffusionConfig, http: Egress
) -> None:
    server.grid = True
    result = await engine.execute(call(connection, http, batch_size=3))
    assert len(result.blobs) == 3
    assert media.png("grid", 16, 16) not in [blob.data for blob in result.blobs]


async def test_a_file_is_called_what_it_is(
    engine: StableDiffusion, connection: StableDiffusionConfig, http: Egress
) -> None:
    (blob,) = (await engine.execute(call(connection, http, format="webp"))).blobs
    assert blob == Blob("image-1.webp", "image/webp", WEBP)
    (blob,) = (await engine.execute(call(connection, http, format="jpg"))).blobs
    assert (blob.name, blob.media_type) == ("image-1.png", "image/png")


async def test_basic_authentication(engine: StableDiffusion) -> None:
    async with ImageServer(login=("ann", PASSWORD)) as server:
        http = Egress([server.base_url])
        known = settings(server, user="ann", password=PASSWORD)
        assert (await engine.execute(call(known, http))).blobs
        with pytest.raises(AuthenticationFailed, match="Incorrect username or password") as raised:
            await engine.execute(call(settings(server, user="ann", password="no"), http))
        assert PASSWORD not in raised.value.message
        await http.close()


async def test_a_message_shows_no_secret(server: ImageServer, engine: StableDiffusion, http: Egress) -> None:
    encoded = b64encode(f"ann:{PASSWORD}".encode()).decode()
    server.answer = (400, json.dumps({"detail": f"{PASSWORD} and {encoded} and token-of-the-test"}).encode())
    made = settings(server, user="ann", password=PASSWORD, headers={"x-token": "token-of-the-test"})
    with pytest.raises(InvalidInput) as raised:
        await engine.execute(call(made, http))
    assert raised.value.message.endswith("*** and *** and ***")
    assert server.asked[-1].headers["x-token"] == "token-of-the-test"


# ------------------------------------------------------------------ progress and interrupt


async def paused(server: ImageServer, engine: StableDiffusion, made: Call[Any, Any]) -> tuple[Any, list[Chunk]]:
    """A run whose job is half done, and what it has said."""
    server.pause_at = 0.5
    chunks = engine.run(made)
    return chunks, [await anext(chunks)]


@pytest.mark.parametrize("names", [True, False])
async def test_progress_has_a_fraction_and_no_text(engine: StableDiffusion, names: bool) -> None:
    async with ImageServer(names=names) as server, asyncio.timeout(10):
        http = Egress([server.base_url])
        chunks, said = await paused(server, engine, call(settings(server), http, steps=10))
        assert said == [Chunk("progress", fraction=0.5)]
        (await server.job()).go_on.set()
        rest = [chunk async for chunk in chunks]
        assert [chunk.kind for chunk in rest] == ["done"]
        assert rest[0].blobs
        assert not any("interrupt" in asked.path for asked in server.asked)
        await http.close()


@pytest.mark.parametrize("names", [True, False])
@pytest.mark.parametrize("leave", ["close", "cancel"])
async def test_a_call_that_is_left_interrupts_its_job(engine: StableDiffusion, names: bool, leave: str) -> None:
    async with ImageServer(names=names) as server, asyncio.timeout(10):
        http = Egress([server.base_url])
        server.pause_at = 0.5
        if leave == "close":
            chunks, _ = await paused(server, engine, call(settings(server), http))
            await chunks.aclose()
        else:
            task = asyncio.create_task(engine.execute(call(settings(server), http)))
            await (await server.job()).begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        job = await server.job()
        await job.ended.wait()
        assert job.interrupted
        await http.close()


@pytest.mark.parametrize("names", [True, False])
async def test_the_job_of_somebody_else_is_never_interrupted(engine: StableDiffusion, names: bool) -> None:
    async with ImageServer(names=names) as server, asyncio.timeout(10):
        http = Egress([server.base_url])
        server.pause_at = 0.25
        foreign = server.work_on({"prompt": "not ours"})
        await foreign.begun.wait()
        task = asyncio.create_task(engine.execute(call(settings(server), http)))
        mine = await server.job(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        if names:  # it is asked for again and again while it waits, and what is drawn is left alone
            for _ in range(3):
                server.asked.clear()
                await server.asked_for("/internal/progress")
        else:
            await engine.close()
        assert not foreign.ended.is_set()
        foreign.go_on.set()
        await foreign.ended.wait()
        assert not foreign.interrupted
        if names:  # what waited behind it is stopped once it is its turn
            await mine.ended.wait()
            assert mine.interrupted
        mine.go_on.set()
        await mine.ended.wait()
        await http.close()


@pytest.mark.parametrize("together", [True, False])
async def test_two_calls_do_not_stop_each_other(engine: StableDiffusion, together: bool) -> None:
    """An old server tells nobody's name: a call that can't know which job is drawn stops none."""
    async with ImageServer(names=False) as server, asyncio.timeout(10):
        http = Egress([server.base_url])
        server.pause_at = 0.5
        calls = {text: asyncio.create_task(engine.execute(call(settings(server), http, text))) for text in ("a", "b")}
        if not together:
            await (await server.job(0)).begun.wait()
            calls["c"] = asyncio.create_task(engine.execute(call(settings(server), http, "c")))
            await server.job(2)
        await server.job(1)
        drawn = server.jobs[0].body["prompt"]
        for text in calls.keys() - {drawn}:
            calls[text].cancel()
            with pytest.raises(asyncio.CancelledError):
                await calls[text]
        await engine.close()
        assert not server.jobs[0].interrupted
        for job in server.jobs:
            job.go_on.set()
        assert (await calls[drawn]).blobs
        await http.close()


async def test_a_call_that_was_overtaken_stops_none(engine: StableDiffusion) -> None:
    async with ImageServer(names=False) as server, asyncio.timeout(10):
        http = Egress([server.base_url])
        server.pause_at = 0.5
        server.hold_look = held = asyncio.Event()
        late = asyncio.create_task(engine.execute(call(settings(server), http, "late")))
        await server.asked_for("/sdapi/v1/progress?skip_current_image=true")
        quick = asyncio.create_task(engine.execute(call(settings(server), http, "quick")))
        await (await server.job(0)).begun.wait()
        held.set()
        await server.job(1)
        late.cancel()
        with pytest.raises(asyncio.CancelledError):
            await late
        await engine.close()
        assert not server.jobs[0].interrupted
        for job in server.jobs:
            job.go_on.set()
        assert (await quick).blobs
        await http.close()


async def test_an_answered_call_has_nothing_to_take_back(engine: StableDiffusion) -> None:
    async with ImageServer(names=False) as server:
        http = Egress([server.base_url])
        await engine.execute(call(settings(server, progress_interval=60), http))
        server.answer = (500, b"")
        with pytest.raises(ServiceUnavailable):
            await engine.execute(call(settings(server, progress_interval=60), http))
        await engine.close()
        paths = [asked.path.partition("?")[0] for asked in server.asked]
        assert paths == ["/sdapi/v1/progress", TXT2IMG] * 2
        await http.close()


async def test_a_call_that_took_too_long_interrupts_its_job(
    server: ImageServer, engine: StableDiffusion, http: Egress
) -> None:
    server.pause_at = 0.5
    with pytest.raises(Timeout):
        await engine.execute(call(settings(server, answer_timeout=0.1), http))
    async with asyncio.timeout(10):
        job = await server.job()
        await job.ended.wait()
    assert job.interrupted


async def test_a_server_without_progress_only_draws(engine: StableDiffusion) -> None:
    async with ImageServer(bare=True) as server:
        http = Egress([server.base_url])
        chunks = [chunk async for chunk in engine.run(call(settings(server), http))]
        assert [chunk.kind for chunk in chunks] == ["done"]
        assert (await check(engine, settings(server), http)) == (
            True,
            ("first", "second"),
            "The server names no samplers",
        )
        await http.close()


# ------------------------------------------------------------------ refusals and faults


async def check(
    engine: StableDiffusion, made: StableDiffusionConfig, http: Egress
) -> tuple[bool, tuple[str, ...], str]:
    result = await engine.test_connection(ConnectionTestParams(connection=made, connection_name="c", http=http))
    return result.ok, result.models, resolve(result.checks[-1].text, engine.localizer(), "en")


async def test_check_lists_models_and_samplers(
    engine: StableDiffusion, connection: StableDiffusionConfig, http: Egress
) -> None:
    assert (await check(engine, connection, http)) == (
        True,
        ("first", "second"),
        "Samplers: Euler, Euler a, DPM++ 2M",
    )


@pytest.mark.parametrize(
    ("fields", "error", "named"),
    [
        ({"extra": {"prompt": "x"}}, InvalidInput, "parameters.image.extra.prompt"),
        ({"extra": {"init_images": ["http://x/"]}}, InvalidInput, "parameters.image.extra.init_images"),
        ({"extra": {"mask": " HTTP://127.0.0.1/"}}, InvalidInput, "parameters.image.extra.mask"),
        ({"extra": {"x": object()}}, InvalidInput, "parameters.image.extra"),
        ({"extra": {"script_name": "x"}}, UnsupportedInput, "parameters.image.extra.script_name"),
        ({"extra": {"override_settings": {}}}, UnsupportedInput, "parameters.image.extra.override_settings"),
        ({"extra": {"hr_scale": "2"}, "upscale": True}, InvalidInput, "parameters.image.hr_scale"),
        ({"extra": {"hr_scale": 9}, "upscale": True}, InvalidInput, "parameters.image.width"),
        ({"extra": {"hr_resize_x": 9999, "hr_resize_y": 999}, "upscale": True}, InvalidInput, "parameters.image.width"),
        ({"format": "gif"}, InvalidInput, "parameters.image.format"),
        ({"width": 0}, InvalidInput, "parameters.image.width"),
        ({"width": 4000, "height": 4000}, InvalidInput, "parameters.image.width"),
        ({"batch_size": 5, "rounds": 4}, InvalidInput, "parameters.image.batch_size"),
        ({"extra": {"batch_size": 50}}, InvalidInput, "parameters.image.batch_size"),
        ({"steps": 1000}, InvalidInput, "parameters.image.steps"),
        ({"blobs": (Blob("a.wav", "audio/wav", b"x"),)}, UnsupportedInput, "files[0]"),
    ],
)
async def test_bad_input_names_its_field(
    server: ImageServer,
    engine: StableDiffusion,
    http: Egress,
    fields: dict[str, Any],
    error: type[PromptExecutionError],
    named: str,
) -> None:
    with pytest.raises(error) as raised:
        await engine.execute(call(settings(server, trusted=False), http, **fields))
    assert raised.value.message.startswith(named)
    assert server.asked == []


async def test_settings_of_the_server_are_an_object(
    engine: StableDiffusion, connection: StableDiffusionConfig, http: Egress
) -> None:
    with pytest.raises(InvalidInput, match=r"^parameters\.image\.extra\.override_settings"):
        await engine.execute(call(connection, http, extra={"override_settings": 5}))


@pytest.mark.parametrize(
    ("fields", "error", "words"),
    [
        ({"extra": {"sampler_name": "none such"}}, ResourceNotFound, "Sampler not found"),
        ({"guidance_scale": "much"}, InvalidInput, "cfg_scale: value is not valid"),
        ({"extra": {"override_settings": {"sd_model_checkpoint": "x"}}}, ServiceUnavailable, "model not found"),
    ],
)
async def test_what_the_server_says_is_told(
    engine: StableDiffusion,
    connection: StableDiffusionConfig,
    http: Egress,
    fields: dict[str, Any],
    error: type[PromptExecutionError],
    words: str,
) -> None:
    with pytest.raises(error, match=words):
        await engine.execute(call(connection, http, **fields))


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"images": []}',
        b'{"images": 5}',
        b'{"images": ["%%%"]}',
        b'{"images": ["' + b64encode(b"<html>") + b'"]}',
        b'{"images": ["' + b"A" * 3_000_000 + b'"]}',
    ],
)
async def test_an_answer_without_images_is_an_invalid_output(
    server: ImageServer, engine: StableDiffusion, http: Egress, answer: bytes
) -> None:
    server.answer = (200, answer)
    with pytest.raises(InvalidOutput):
        await engine.execute(call(settings(server, max_response_bytes=2_000_000), http))


@pytest.mark.parametrize("info", ["plain words", '{"index_of_first_image": 9}', {"index_of_first_image": -1}, None, 5])
async def test_an_odd_info_loses_no_image(
    server: ImageServer, engine: StableDiffusion, connection: StableDiffusionConfig, http: Egress, info: Any
) -> None:
    uri = "data:image/png;base64," + b64encode(media.png("a")).decode()
    server.answer = (200, json.dumps({"images": [uri, uri], "info": info}).encode())
    result = await engine.execute(call(connection, http))
    assert [blob.data for blob in result.blobs] == [media.png("a")] * 2


async def test_nobody_there_is_a_network_error(engine: StableDiffusion, http: Egress, server: ImageServer) -> None:
    http.allow("http://127.0.0.1:9")
    with pytest.raises(NetworkError):
        await engine.execute(call(settings(server, base_url="http://127.0.0.1:9"), http))


async def test_an_address_is_needed(engine: StableDiffusion, http: Egress) -> None:
    nowhere = StableDiffusionConfig.model_validate({})
    with pytest.raises(ConfigIncomplete, match="base_url"):
        await engine.execute(call(nowhere, http))
    with pytest.raises(ConfigIncomplete, match="base_url"):
        await check(engine, nowhere, http)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("base_url", "127.0.0.1:7860"),
        ("base_url", "http://ann:secret@host"),
        ("user", "a:b"),
        ("defaults", {"prompt": "x"}),
        ("defaults", {"init_images": []}),
        ("progress_interval", 0),
        ("max_images", 0),
        ("no_such", 1),
    ],
)
def test_a_wrong_setting_is_named(setting: str, value: object) -> None:
    with pytest.raises(ValidationError, match=setting):
        StableDiffusionConfig.model_validate({setting: value})
