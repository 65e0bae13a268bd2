"""Images from a prompt of this wire to the image server's own API and back (contract sections 2 to 4, 14)."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec
import pytest
import pytest_asyncio

from promptd.core.chunks import Position
from promptd.core.filters import Query
from promptd.core.model import Chunk, Prompt
from promptd.faces.onebackend.images import Txt2Img
from promptd.testing import media
from promptd.testing.image_server import WEBP
from tests.faces.onebackend.clients import PATIENCE, Wire, error
from tests.faces.onebackend.studio import IMG2IMG, Studio, studio

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: What the original sends where a request leaves it open.
DEFAULTS: Final[dict[str, Any]] = {
    "steps": 20,
    "width": 100,
    "height": 100,
    "cfg_scale": 7.5,
    "hr_scale": 2,
    "sampler_index": "Euler",
    "n_iter": 1,
    "restore_faces": True,
    "tiling": True,
}
COMMON: Final[dict[str, Any]] = {
    "negativePrompt": "dogs",
    "styles": ["ink", "sepia"],
    "seed": 7,
    "batchSize": 2,
    "numIterations": 3,
    "steps": 25,
    "guidanceScale": 6.25,
    "width": 64,
    "height": 48,
    "denoisingStrength": 0.5,
    "enableUpscaling": True,
    "restoreFaces": False,
    "scheduler": "Karras",
    "format": "png",
}
FROM_COMMON: Final[dict[str, Any]] = {
    "negative_prompt": "dogs",
    "styles": ["ink", "sepia"],
    "seed": 7,
    "batch_size": 2,
    "n_iter": 3,
    "steps": 25,
    "cfg_scale": 6.25,
    "width": 64,
    "height": 48,
    "denoising_strength": 0.5,
    "enable_hr": True,
    "restore_faces": False,
    "scheduler": "Karras",
    "override_settings": {"samples_format": "png"},
}
OWN: Final[dict[str, Any]] = {
    "negative_prompt": "dogs",
    "sampler_name": "Euler a",
    "scheduler": "Karras",
    "sampler_index": "DDIM",
    "script_name": "matrix",
    "refiner_checkpoint": "fine",
    "firstpass_image": "aGk=",
    "hr_upscaler": "Latent",
    "hr_checkpoint_name": "first",
    "hr_sampler_name": "Euler",
    "hr_scheduler": "Karras",
    "hr_prompt": "sharp",
    "hr_negative_prompt": "blurred",
    "infotext": "about",
    "seed": -1,
    "subseed": 3,
    "seed_resize_from_h": 8,
    "seed_resize_from_w": 16,
    "batch_size": 2,
    "n_iter": 2,
    "steps": 9,
    "width": 24,
    "height": 32,
    "firstphase_width": 8,
    "firstphase_height": 8,
    "hr_second_pass_steps": 4,
    "hr_resize_x": 48,
    "hr_resize_y": 64,
    "subseed_strength": 0.25,
    "cfg_scale": 5.5,
    "eta": 0.5,
    "denoising_strength": 0.75,
    "s_min_uncond": 0.5,
    "s_churn": 1.5,
    "s_tmax": 2.5,
    "s_tmin": 3.5,
    "s_noise": 4.5,
    "refiner_switch_at": 0.5,
    "hr_scale": 1.5,
    "restore_faces": False,
    "tiling": False,
    "do_not_save_samples": True,
    "do_not_save_grid": True,
    "override_settings_restore_afterwards": False,
    "disable_extra_networks": True,
    "enable_hr": True,
    "save_images": True,
    "styles": ["ink"],
    "script_args": ["a", "b"],
    "override_settings": {"eta_noise_seed_delta": "1"},
    "comments": {"by": "test"},
    "alwayson_scripts": {"net": "on"},
}
#: Members of the original that the engine decides on, or that stand elsewhere in the request.
NOT_TAKEN: Final[dict[str, Any]] = {"prompt": "never", "send_images": False, "force_task_id": "mine"}


def as_text(members: dict[str, Any]) -> dict[str, Any]:
    """As the command line sends them: whole numbers and booleans as they are, everything else as text."""
    return {
        name: value if isinstance(value, str | int) else msgspec.json.encode(value).decode()
        for name, value in members.items()
    }


def common(**members: Any) -> dict[str, Any]:
    return {"parameters": {"textToImage": members}}


def own(**members: Any) -> dict[str, Any]:
    return {"engineParameters": {"stableDiffusion": {"txt2Img": members}}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Studio]:
    async with studio(tmp_path_factory.mktemp("images")) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ann(lab: Studio) -> Wire:
    return await lab.person("ann")


# ------------------------------------------------------------------ what the image server is asked


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        (common(), {}),
        (own(), {}),
        ({"type": "Text-to-Image"}, {}),
        ({"modelId": "easel"}, {}),
        (common(**COMMON), FROM_COMMON),
        (common(**as_text(COMMON)), FROM_COMMON),
        (common(prompt="a dog"), {"prompt": "a dog"}),
        (common(aspectRatio="16:9", qualityPreset="Low"), {"width": 912, "height": 512, "steps": 10}),
        (common(aspectRatio="1:2", width=8), {"width": 8, "height": 16}),
        (common(qualityPreset="Ultra", steps=5), {"steps": 5}),
        (common(format="webp"), {"override_settings": {"samples_format": "webp"}}),
        (own(**OWN), OWN),
        (own(**as_text(OWN)), OWN),
        (own(**NOT_TAKEN), {}),
        (own(init_images=["aGk="], Prompt="never", Send_Images="false"), {}),
        (own(num_inference_steps=30, guidance_scale=7.25), {"steps": 30, "cfg_scale": 7.25}),
        (own(num_inference_steps="30", guidance_scale="7.25"), {"steps": 30, "cfg_scale": 7.25}),
        (own(Steps=3, CFG_SCALE="2.5"), {"steps": 3, "cfg_scale": 2.5}),
        (own(steps=0, width=0, height=0, n_iter=0, seed=0), {"seed": 0}),
        (own(seed=None, steps=None), {}),
        (own(a_field_of_later=[1, {"b": 2}]), {"a_field_of_later": [1, {"b": 2}]}),
        (
            common(steps=7, prompt="a dog") | own(num_inference_steps=9, cfg_scale=3, prompt="never", eta="0.5"),
            {"steps": 7, "cfg_scale": 3, "prompt": "a dog", "eta": 0.5},
        ),
        (
            {"parameters": '{"textToImage": {"steps": 4}}', "engineParameters": '{"stableDiffusion": "{}"}'},
            {"steps": 4},
        ),
    ],
)
async def test_the_image_server_gets_what_was_asked(
    lab: Studio, ann: Wire, body: dict[str, Any], sent: dict[str, Any]
) -> None:
    before = len(lab.drawings())
    answer = await ann.answered("a cat", **body)
    assert answer["prompt"]["status"] == "completed", answer
    assert len(lab.drawings()) == before + 1
    assert lab.drawn() == DEFAULTS | {"prompt": "a cat"} | sent


async def test_the_table_above_has_every_member_of_the_original() -> None:
    assert {*OWN, *NOT_TAKEN} == set(Txt2Img.__struct_fields__)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (common(steps="many"), "parameters.textToImage.steps"),
        (common(numIterations=101), "parameters.textToImage.numIterations"),
        (common(guidanceScale="much"), "parameters.textToImage.guidanceScale"),
        (own(steps="many"), "engineParameters.stableDiffusion.txt2Img.steps"),
        (own(styles={"a": 1}), "engineParameters.stableDiffusion.txt2Img.styles[0]"),
        (own(override_settings="[]"), "engineParameters.stableDiffusion.txt2Img.override_settings"),
    ],
)
async def test_a_parameter_that_cannot_be_is_named(ann: Wire, body: dict[str, Any], named: str) -> None:
    assert named in error(await ann.post("/prompt-svc/prompt", {"prompt": "x", **body}), 400)


# ------------------------------------------------------------------ what comes back


async def test_every_image_of_a_batch_is_stored_and_served(lab: Studio, ann: Wire) -> None:
    answer = await ann.answered("a cat", **common(batchSize=2, numIterations=2, width=16, height=8))
    prompt, message = answer["prompt"], answer["responseMessage"]
    assert (prompt["modelId"], prompt["type"], prompt["status"]) == ("easel", "Text-to-Image", "completed")
    assert (message["text"], message["id"]) == ("Sure, here is your image", prompt["responseMessageId"])
    assert message["meta"] == {"modelId": "easel", "platformId": "stable-diffusion"}
    assert len(set(message["fileIds"])) == 4
    for number, identifier in enumerate(message["fileIds"]):
        drawing = media.png(f"a cat|None|{number}", 16, 8)
        assert await lab.served(identifier) == ("image/png", drawing)
        kept = await lab.server.house.walk.uploads.get(identifier)
        assert (kept.user, kept.media_type, kept.name) == (ann.user, "image/png", f"image-{number + 1}.png")
    assert (await ann.ok("GET", f"/chat-svc/message/{message['id']}"))["message"] == message


async def test_a_file_is_served_as_what_it_is(lab: Studio, ann: Wire) -> None:
    answer = await ann.answered("a cat", **common(format="webp"))
    (identifier,) = answer["responseMessage"]["fileIds"]
    assert (await lab.served(identifier))[1] == WEBP
    assert (await lab.server.house.walk.uploads.get(identifier)).media_type == "image/webp"


async def test_subscribers_get_one_done(lab: Studio, ann: Wire) -> None:
    async with ann.subscribed("drawn") as one, ann.subscribed("drawn") as two:
        answer = await ann.answered("a cat", threadId="drawn", **common())
        await ann.answered("a word", threadId="drawn")
        for stream in (one, two):
            assert await stream.next() == {"messageId": answer["responseMessage"]["id"], "type": "done"}
            assert (await stream.answer())[0] == "a word", "nothing of the image came in between"


async def test_an_image_that_came_along_is_drawn_over(lab: Studio, ann: Wire) -> None:
    picture = media.png("given", 24, 16)
    identifier = await lab.upload("given.png", "image/png", picture)
    answer = await ann.answered("in winter", fileIds=[identifier], **common(denoisingStrength=0.4))
    assert (answer["prompt"]["type"], answer["prompt"]["status"]) == ("Image-to-Image", "completed")
    path, body = lab.drawings()[-1]
    assert (path, body["prompt"], body["denoising_strength"]) == (IMG2IMG, "in winter", 0.4)
    assert [b64decode(image) for image in body["init_images"]] == [picture]
    (made,) = answer["responseMessage"]["fileIds"]
    again = await ann.answered("in spring", fileIds=[made], type="image-to-image")
    assert again["prompt"]["modelId"] == "easel"
    assert b64decode(lab.drawings()[-1][1]["init_images"][0]) == (await lab.served(made))[1], "an answer is a file too"


async def test_nothing_is_drawn_of_nothing(lab: Studio, ann: Wire) -> None:
    for body in (common(), {"modelId": "easel"}, {"type": "Unconditional Image Generation"}):
        answer = await ann.answered("", **body)
        assert answer["prompt"]["type"] == "Unconditional Image Generation"
        assert answer["responseMessage"]["text"] == "Sure, here is your image"
        assert lab.drawn() == DEFAULTS | {"prompt": ""}


async def test_a_service_without_such_settings_gets_none_of_the_defaults(lab: Studio, ann: Wire) -> None:
    answer = await ann.answered("a cat", modelId="maker", **common(width=16, height=8))
    assert answer["prompt"]["status"] == "completed", answer
    body = lab.upstream.calls[-1].body
    assert (body["prompt"], body["size"]) == ("a cat", "16x8")
    assert not set(body) & set(DEFAULTS)
    (identifier,) = answer["responseMessage"]["fileIds"]
    assert (await lab.served(identifier))[0] == "image/png"


# ------------------------------------------------------------------ on the way


async def test_a_cancel_interrupts_the_drawing(lab: Studio, ann: Wire) -> None:
    lab.easel.pause_at = 0.5
    try:
        number = len(lab.easel.jobs)
        waiting = asyncio.create_task(ann.answered("a cat", id="no-more", **common()))
        job = await lab.job(number)
        await ann.ok("DELETE", "/prompt-svc/prompt/no-more")
        answer = await waiting
        async with asyncio.timeout(PATIENCE):
            await job.ended.wait()
    finally:
        lab.easel.pause_at = None
    assert job.interrupted
    assert set(answer) == {"prompt"}
    assert answer["prompt"]["status"] == "canceled"
    messages = (await ann.ok("POST", "/chat-svc/messages", {"threadId": "no-more"}))["messages"]
    assert [message["id"] for message in messages] == ["no-more"], "there is no answer"
    assert (await ann.answered("a dog", **common()))["prompt"]["status"] == "completed", "the server draws on"


async def test_how_far_it_is_reaches_who_follows_and_not_this_wire(lab: Studio, ann: Wire) -> None:
    streams = lab.server.house.walk.streams
    lab.easel.pause_at = 0.25
    try:
        number = len(lab.easel.jobs)
        async with ann.subscribed("far-along") as stream:
            await ann.ask("a cat", id="far-along", **common())
            job = await lab.job(number)
            seen: list[Chunk] = []
            async with asyncio.timeout(PATIENCE):
                async for batch in streams.follow("far-along"):
                    seen += batch
                    if any(chunk.fraction for chunk in batch):
                        job.go_on.set()
            event = await stream.next()
    finally:
        lab.easel.pause_at = None
    assert event["type"] == "done", "strict clients know no fraction"
    assert [chunk.fraction for chunk in seen if chunk.fraction] == [0.25]
    assert not any(chunk.text for chunk in seen)
    last = seen[-1]
    assert (last.kind, last.message_id) == ("done", event["messageId"])
    # who comes back gets what is left, and nothing twice
    behind = Position(1, last.n - 1)
    assert [chunk async for batch in streams.follow("far-along", behind) for chunk in batch] == [last]
    prompt = await lab.server.house.database.records.get(Prompt, "far-along")
    assert prompt is not None
    assert prompt.answer is not None
    assert prompt.answer.text == ""


async def test_what_the_server_refuses_is_told(lab: Studio, ann: Wire) -> None:
    before = (await lab.server.house.walk.uploads.find(ann.user, Query(limit=1, count=True))).count
    answer = await ann.answered("a cat", **own(sampler_name="No Such"))
    assert set(answer) == {"prompt"}
    assert (answer["prompt"]["status"], answer["prompt"]["runCount"]) == ("abandoned", 1)
    assert "Sampler not found" in answer["prompt"]["error"]
    too_many = await ann.answered("a cat", **common(steps=900))
    assert (too_many["prompt"]["status"], "steps" in too_many["prompt"]["error"]) == ("abandoned", True)
    assert (await lab.server.house.walk.uploads.find(ann.user, Query(limit=1, count=True))).count == before


async def test_what_fails_is_drawn_again(lab: Studio, ann: Wire) -> None:
    lab.easel.answer = (503, b'{"detail": "out of memory"}')
    try:
        waiting = asyncio.create_task(ann.answered("a cat", id="again", **common()))
        async with asyncio.timeout(PATIENCE):
            while (await lab.server.admin.post("/prompt-svc/prompts", by_id("again"))).json["count"] == 0:
                await asyncio.sleep(0)
            while (prompt := await ann.found("again"))["status"] != "errored":
                await asyncio.sleep(0)
        assert "out of memory" in prompt["error"]
    finally:
        lab.easel.answer = None
    answer = await waiting
    assert (answer["prompt"]["status"], answer["prompt"]["runCount"]) == ("completed", 2)
    assert len(answer["responseMessage"]["fileIds"]) == 1


def by_id(identifier: str) -> Any:
    filters = [{"field": "id", "operator": "equals", "value": identifier}]
    return {"query": {"filters": filters, "count": True}}
