"""Legacy completions and embeddings: their clients' requests and answers."""

import json
from base64 import b64decode
from struct import unpack
from typing import Any

import pytest
from openai.types import CreateEmbeddingResponse

from promptd.core.content import Turn
from promptd.core.errors import InvalidRequest
from promptd.core.model import Capability, Usage
from promptd.core.parameters import Parameters
from promptd.dialects.chat import decode_completions, decode_embeddings_request, encode_embeddings
from promptd.dialects.chat.embeddings import BASE64


def body(**members: Any) -> bytes:
    return json.dumps({"model": "m"} | members).encode()


def test_a_completion_asks_once_for_each_prompt() -> None:
    asked = decode_completions(body(prompt=["a", "b"], stream=True, stream_options={"include_usage": True}))
    assert [one.request.messages for one in asked] == [(Turn("user", "a"),), (Turn("user", "b"),)]
    assert all((one.model, one.stream, one.usage) == ("m", True, True) for one in asked)
    assert all(one.capability is Capability.COMPLETION for one in asked)
    (single,) = decode_completions(body(prompt="a"))
    assert single.request.parameters == Parameters()


def test_parameters_of_a_completion() -> None:
    members = {
        "max_tokens": 5,
        "stop": "x",
        "logprobs": 3,
        "echo": True,
        "suffix": "s",
        "best_of": 2,
        "n": 2,
        "user": "u",
    }
    (asked,) = decode_completions(body(prompt="a", **members))
    assert asked.request.parameters == Parameters(
        max_tokens=5,
        stop=("x",),
        logprobs=True,
        top_logprobs=3,
        user="u",
        n=2,
        best_of=2,
        extra={"echo": True, "suffix": "s"},
    )
    (none,) = decode_completions(body(prompt="a", logprobs=0))
    assert (none.request.parameters.logprobs, none.request.parameters.top_logprobs) == (True, 0)


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": ["a"] * 129}, "prompt"),
        ({"prompt": [1, 2]}, "prompt[0]"),
        ({"prompt": [[1, 2]]}, "prompt[0]"),
        ({"prompt": ["a", 5]}, "prompt[1]"),
        ({"prompt": "a", "max_tokens": -1}, "max_tokens"),
        ({"prompt": "a", "n": 0}, "n"),
        ({"prompt": "a", "best_of": 1000}, "best_of"),
    ],
)
def test_wrong_completions(members: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        decode_completions(body(**members))
    assert raised.value.field == field


def test_an_embedding() -> None:
    asked = decode_embeddings_request(body(input=["a", "b"], dimensions=2, encoding_format="base64", user="u", x=1))
    assert (asked.request.texts, asked.capability) == (("a", "b"), Capability.EMBEDDING)
    assert asked.request.parameters == Parameters(user="u", extra={"dimensions": 2, "x": 1})
    assert asked.request.echo == {BASE64: True}
    assert decode_embeddings_request(body(input="a", encoding_format="float")).request.echo == {}


@pytest.mark.parametrize("given", [[1, 2], [[1, 2], [3]]])
def test_token_numbers_are_for_services_that_know_them(given: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"input\[0\]"):
        decode_embeddings_request(body(input=given))
    assert decode_embeddings_request(body(input=given), tokens=True).request.texts == ()


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({}, "input"),
        ({"input": []}, "input"),
        ({"input": ""}, "input"),
        ({"input": ["a", ""]}, "input[1]"),
        ({"input": ["a", {}]}, "input[1]"),
        ({"input": [["a"]]}, "input[0]"),
        ({"input": [True]}, "input[0]"),
        ({"input": ["a"] * 2049}, "input"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format"),
        ({"input": "a", "dimensions": "two"}, "dimensions"),
    ],
)
def test_wrong_embeddings(members: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        decode_embeddings_request(body(**members), tokens=True)
    assert raised.value.field == field


def test_vectors_as_numbers_and_as_bytes() -> None:
    vectors = [[1.0, -0.5], [0.25, 2.0]]
    plain = CreateEmbeddingResponse.model_validate_json(encode_embeddings(vectors, model="m", usage=Usage(7)))
    assert [one.embedding for one in plain.data] == vectors
    assert (plain.usage.prompt_tokens, plain.usage.total_tokens) == (7, 7)
    packed = json.loads(encode_embeddings(vectors, model="m", usage=Usage(), base64=True))
    assert [list(unpack("<2f", b64decode(one["embedding"]))) for one in packed["data"]] == vectors
