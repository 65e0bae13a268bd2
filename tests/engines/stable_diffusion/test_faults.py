"""What an image server refuses, and what it says wrongly."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest
from pydantic import ValidationError

from promptd.core.errors import (
    ConfigIncomplete,
    InvalidInput,
    InvalidOutput,
    NetworkError,
    PromptExecutionError,
    ResourceNotFound,
    ServiceUnavailable,
    UnsupportedInput,
)
from promptd.core.model import Blob
from promptd.egress import Egress
from promptd.engines.stable_diffusion import StableDiffusion, StableDiffusionConfig
from promptd.testing import media
from promptd.testing.image_server import ImageServer
from tests.engines.stable_diffusion.conftest import call, check, settings


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
