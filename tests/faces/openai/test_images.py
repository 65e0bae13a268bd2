"""Images with the vendor's client: as base64 and by address, from texts and from images."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import openai
import pytest

from promptd.testing import media
from tests.faces.openai.others import Place, run_place


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with run_place(tmp_path) as one:
        yield one


async def uploads(place: Place) -> int:
    page, _ = await place.filed.find("ada", purpose=None, after=None, limit=1000)
    return len(page)


async def test_base64(place: Place) -> None:
    answer = await place.client().images.generate(model="demo", prompt="an oak", n=2, size="16x8")
    assert answer.data is not None
    images = [b64decode(image.b64_json or "") for image in answer.data]
    assert images == [media.png("an oak|1", 16, 8), media.png("an oak|2", 16, 8)]
    assert all(image.url is None for image in answer.data)
    assert answer.size == "16x8"
    assert answer.usage is not None
    assert answer.usage.input_tokens == 2
    assert await uploads(place) == 0


async def test_by_address(place: Place) -> None:
    answer = await place.client().images.generate(model="demo", prompt="an oak", n=2, response_format="url")
    assert answer.data is not None
    async with httpx.AsyncClient() as anybody:
        for number, image in enumerate(answer.data, 1):
            assert image.url is not None
            assert image.url.startswith(f"http://127.0.0.1:{place.server.port}/v1/images/files/file-")
            fetched = await anybody.get(image.url)
            assert fetched.content == media.png(f"an oak|{number}", 8, 8)
            assert fetched.headers["content-type"] == "image/png"
        missing = await anybody.get(f"http://127.0.0.1:{place.server.port}/v1/images/files/file-none")
        assert missing.status_code == 404
        assert missing.json()["error"]["code"] == "not_found"
    found, _ = await place.filed.find("ada", purpose="vision", after=None, limit=10)
    assert len(found) == 2
    assert all(upload.expires == upload.created + 3600 for upload in found)


async def test_a_key_makes_the_answer_one(place: Place) -> None:
    body = {"model": "demo", "prompt": "an oak"}
    headers = {"Idempotency-Key": "once"}
    first = await place.http.post("/v1/images/generations", body, headers=headers)
    again = await place.http.post("/v1/images/generations", body, headers=headers)
    assert b64decode(first.json["data"][0]["b64_json"]) == media.png("an oak|1", 8, 8)
    assert first.body == again.body


async def test_edits(place: Place) -> None:
    picture = media.png("before")
    client = place.client()
    answer = await client.images.edit(model="demo", image=("a.png", picture), prompt="more oaks", n=1, size="auto")
    assert answer.data is not None
    assert b64decode(answer.data[0].b64_json or "") == media.png("more oaks|1", 8, 8)
    answer = await client.images.edit(
        model="demo", image=[("a.png", picture), ("b.png", picture)], prompt="both", response_format="url"
    )
    assert answer.data is not None
    assert answer.data[0].url
    assert await uploads(place) == 1  # what was sent is gone, what is told by address stays


async def test_edits_under_a_key(place: Place) -> None:
    picture = media.png("before")
    client = place.client()
    ids = set()
    for _ in range(2):
        raw = await client.images.with_raw_response.edit(
            model="demo", image=("a.png", picture), prompt="x", extra_headers={"Idempotency-Key": "once"}
        )
        ids.add(raw.headers["x-prompt-id"])
    assert len(ids) == 1
    with pytest.raises(openai.UnprocessableEntityError):
        await client.images.edit(
            model="demo", image=("a.png", picture), prompt="y", extra_headers={"Idempotency-Key": "once"}
        )


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"prompt": " "}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"n": 0}, "n"),
        ({"n": 11}, "n"),
        ({"size": "large"}, "size"),
        ({"size": "0x8"}, "size"),
        ({"response_format": "png"}, "response_format"),
        ({"output_format": "gif"}, "output_format"),
        ({"stream": "yes"}, "stream"),
    ],
)
async def test_what_is_wrong_is_named(place: Place, change: dict[str, Any], param: str) -> None:
    answer = await place.http.post("/v1/images/generations", {"model": "demo", "prompt": "x"} | change)
    assert (answer.status, answer.json["error"]["param"]) == (400, param)


async def test_edits_that_can_not_be(place: Place) -> None:
    client = place.client()
    picture = ("a.png", media.png("before"))
    with pytest.raises(openai.BadRequestError) as refused:
        await client.images.edit(model="demo", image=picture, prompt="x", extra_body={"mask": "no file"})
    assert refused.value.param == "mask"
    with pytest.raises(openai.BadRequestError) as refused:
        await client.images.edit(model="demo", image=picture, prompt="x", extra_body={"stream": "yes"})
    assert refused.value.param == "stream"
    with pytest.raises(openai.BadRequestError) as refused:
        await client.images.edit(model="demo", image=("a.txt", b"no image"), prompt="x")
    assert refused.value.param == "files[0]"
    with pytest.raises(openai.BadRequestError) as refused:
        await client.images.edit(model="demo", image=[picture] * 17, prompt="x")
    assert refused.value.param == "image[]"
    answer = await place.http.post("/v1/images/edits", {"prompt": "x"})
    assert answer.status == 400
    assert await uploads(place) == 0


async def test_an_engine_that_makes_none(place: Place) -> None:
    script = msgspec.json.encode([{"say": "I can't draw"}]).decode()
    answer = await place.http.post("/v1/images/generations", {"model": "demo", "prompt": script})
    assert (answer.status, answer.json["error"]["code"]) == (502, "invalid_output")
