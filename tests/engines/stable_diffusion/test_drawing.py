"""The `stable_diffusion` engine against an image server on loopback, and its exam."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import Any

import pytest

from promptd.core.content import Turn
from promptd.core.errors import (
    AuthenticationFailed,
    InvalidInput,
)
from promptd.core.model import Blob
from promptd.core.parameters import Parameters
from promptd.egress import Egress
from promptd.engines.stable_diffusion import StableDiffusion, StableDiffusionConfig
from promptd.testing import media
from promptd.testing.engines import EngineContract
from promptd.testing.image_server import WEBP, ImageServer
from tests.engines.stable_diffusion.conftest import call, settings

PASSWORD = "password-of-the-test"


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
