"""Embeddings with the vendor's client: floats and base64, several inputs, and what is refused."""

from __future__ import annotations

from array import array
from base64 import b64decode
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import openai
import pytest

from promptd.core.engine import Call, Engine, NoConfig
from promptd.core.model import Capability, Chunk, Usage
from promptd.testing.scripted import embed
from tests.faces.openai.others import Place, run_place


class Odd(Engine[NoConfig]):
    """Answers with what is no list of vectors."""

    type_id = "odd"
    capabilities = frozenset({Capability.EMBEDDING})

    async def run(self, call: Call[NoConfig]) -> AsyncGenerator[Chunk, None]:
        yield Chunk("done", finish_reason="stop", usage=Usage(), value={"embeddings": ["no", None]})


class Same(Engine[NoConfig]):
    """Speaks the dialect itself, and tells what reached it."""

    type_id = "same"
    capabilities = frozenset({Capability.EMBEDDING})

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def dialects(self, connection: NoConfig) -> frozenset[str]:
        return frozenset({"openai.embeddings"})

    async def run(self, call: Call[NoConfig]) -> AsyncGenerator[Chunk, None]:
        assert call.native is not None
        self.bodies.append(call.native.body)
        raw = b'{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5]}],"model":"m","usage":{}}'
        yield Chunk("progress", raw=raw, dialect="openai.embeddings")
        yield Chunk("done", finish_reason="stop", usage=Usage(7))


@pytest.fixture
def same() -> Same:
    return Same()


@pytest.fixture
async def place(tmp_path: Path, same: Same) -> AsyncIterator[Place]:
    connections: dict[str, Any] = {name: {"engine": name} for name in ("scripted", "odd", "same")}
    models = {"demo": {"connection": "scripted"}, "odd": {"connection": "odd"}, "same": {"connection": "same"}}
    async with run_place(tmp_path, engines={"odd": Odd(), "same": same}, connections=connections, models=models) as one:
        yield one


@pytest.mark.parametrize("form", ["float", "base64", None])
async def test_one_and_several(place: Place, form: Any) -> None:
    client = place.client()
    more = {"encoding_format": form} if form else {}  # without it the client asks for base64 and unpacks
    one = await client.embeddings.create(model="demo", input="an oak", **more)
    two = await client.embeddings.create(model="demo", input=["an oak", "two elm trees"], **more)
    assert one.object == "list"
    assert one.model == "demo"
    assert [item.index for item in two.data] == [0, 1]
    assert (two.usage.prompt_tokens, two.usage.total_tokens) == (5, 5)
    for found, text in ((one.data[0].embedding, "an oak"), (two.data[1].embedding, "two elm trees")):
        vector: Any = found
        floats = array("f", b64decode(vector)).tolist() if form == "base64" else vector
        assert floats == pytest.approx(embed(text, 8), abs=1e-6)


async def test_bytes_pass_through_where_the_service_speaks_the_dialect(place: Place, same: Same) -> None:
    body = {"model": "same", "input": "x", "dimensions": 1, "some_day": True}
    answer = await place.http.post("/v1/embeddings", body)
    assert answer.json["data"][0]["embedding"] == [0.5]
    assert same.bodies == [b'{"model":"same","input":"x","dimensions":1,"some_day":true}']
    assert answer.headers["x-prompt-id"].startswith("embd_")


@pytest.mark.parametrize("given", [[1, 2, 3], [[1, 2], [3]]])
async def test_numbers_of_tokens_are_for_services_of_the_dialect(place: Place, same: Same, given: Any) -> None:
    answer = await place.http.post("/v1/embeddings", {"model": "same", "input": given})
    assert answer.status == 200, answer.body
    assert msgspec.json.decode(same.bodies[0])["input"] == given


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": "demo"}, "input"),
        ({"model": "demo", "input": ""}, "input"),
        ({"model": "demo", "input": []}, "input"),
        ({"model": "demo", "input": ["a", ""]}, "input[1]"),
        ({"model": "demo", "input": [1, 2]}, "input[0]"),
        ({"model": "demo", "input": "a", "encoding_format": "hex"}, "encoding_format"),
        ({"model": 5, "input": "a"}, "model"),
    ],
)
async def test_what_is_wrong_is_named(place: Place, body: Any, param: str) -> None:
    answer = await place.http.post("/v1/embeddings", body)
    assert answer.status == 400
    assert answer.json["error"]["param"] == param
    assert answer.json["error"]["type"] == "invalid_request_error"


async def test_refusals_in_the_vendors_shape(place: Place) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        await place.client().embeddings.create(model="none", input="a")
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.AuthenticationError):
        await place.client("pk-wrong").embeddings.create(model="demo", input="a")
    odd = await place.http.post("/v1/embeddings", {"model": "odd", "input": "a"})
    assert (odd.status, odd.json["error"]["code"]) == (502, "invalid_output")


async def test_a_key_makes_the_answer_one(place: Place) -> None:
    headers = {"Idempotency-Key": "once"}
    body = {"model": "demo", "input": "an oak"}
    first = await place.http.post("/v1/embeddings", body, headers=headers)
    again = await place.http.post("/v1/embeddings", body, headers=headers)
    assert first.headers["x-prompt-id"] == again.headers["x-prompt-id"]
    assert first.body == again.body
