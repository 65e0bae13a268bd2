"""The published packages, unchanged: REST, sockets of both kinds, streams, tools."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.contract.stage import unique
from tests.contract.trustgraph.conftest import SECOND_PORT, Client

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


def text_of(gave: Any) -> str:
    """Newer packages give the text among the tokens."""
    text: str = gave["text"] if isinstance(gave, dict) else gave
    return text


def script(*steps: dict[str, Any]) -> str:
    return json.dumps(list(steps))


def says(text: str, pieces: int = 1) -> dict[str, str]:
    return {"script": script({"say": text, "pieces": pieces})}


@pytest.fixture
def prompt(client: Client) -> str:
    """The id of a template that lets the model say what its variable `script` wants."""
    return stored(client)


@pytest.fixture
def json_prompt(client: Client) -> str:
    return stored(client, "--response", "json", "--schema", json.dumps(SCHEMA))


def stored(client: Client, *more: str) -> str:
    name = unique("prompt")
    assert client.tool("tg-set-prompt", "--id", name, "--prompt", "{{ script }}", *more) == "Prompt set.\n"
    return name


# ---------------------------------------------------------------- text completion


def test_completion_over_rest(client: Client) -> None:
    gave = client.call("rest", "text_completion", "be brief", "hello there")
    assert text_of(gave) == "hello there"
    if client.era == "E":
        assert gave == {"text": "hello there", "in_token": 2, "out_token": 2, "model": "demo"}


def test_the_second_port_serves_the_same(client: Client) -> None:
    call = {"via": "rest", "do": "text_completion", "with": ["", "hello there"]}
    (told,) = client.calls(call, url=f"http://127.0.0.1:{SECOND_PORT}/")
    assert text_of(told["gave"]) == "hello there"


def test_older_names_of_the_flow_are_good(socketed: Client) -> None:
    call = {"via": "rest", "do": "text_completion", "with": ["", "hello there"], "flow": "0000"}
    (told,) = socketed.calls(call)
    assert text_of(told["gave"]) == "hello there"


@pytest.mark.parametrize("via", ["rest", "socket", "async"])
def test_a_key_that_has_ended_is_refused(socketed: Client, via: str) -> None:
    """The face is open here; but what looks like a key of promptd must be one."""
    (told,) = socketed.calls({"via": via, "do": "text_completion", "with": ["", "hello"]}, token="pk-none-of-ours")
    assert "raised" in told


@pytest.mark.parametrize("via", ["socket", "async"])
def test_completion_over_sockets(socketed: Client, via: str) -> None:
    assert text_of(socketed.call(via, "text_completion", "be brief", "hello there")) == "hello there"


@pytest.mark.parametrize("via", ["socket", "async"])
def test_a_streamed_completion(socketed: Client, via: str) -> None:
    pieces = socketed.call(via, "text_completion", "", script({"say": "one two three", "pieces": 3}), stream=True)
    assert "".join(pieces) == "one two three"
    assert len([piece for piece in pieces if piece]) == 3


def test_completion_over_asynchronous_rest(socketed: Client) -> None:
    assert text_of(socketed.call("async-rest", "text_completion", "be brief", "hello there")) == "hello there"


def test_models_are_listed(lister: Client) -> None:
    assert [model["id"] for model in lister.call("socket", "list_models")] == ["demo"]


# ---------------------------------------------------------------- prompts


def test_a_prompt_over_rest(client: Client, prompt: str) -> None:
    assert text_of(client.call("rest", "prompt", prompt, says("hello there"))) == "hello there"


def test_an_object_over_rest(client: Client, json_prompt: str) -> None:
    assert client.call("rest", "prompt", json_prompt, says('```json\n{"a": 1}\n```')) == {"a": 1}


@pytest.mark.parametrize("via", ["socket", "async"])
def test_a_prompt_over_sockets(socketed: Client, prompt: str, via: str) -> None:
    assert text_of(socketed.call(via, "prompt", prompt, says("hello there"))) == "hello there"


def test_an_object_over_sockets(socketed: Client, json_prompt: str) -> None:
    """Released clients read no `object` there; they find its text under the name that they do read."""
    assert json.loads(text_of(socketed.call("socket", "prompt", json_prompt, says('{"a":1}')))) == {"a": 1}
    assert json.loads(text_of(socketed.call("async", "prompt", json_prompt, says('{"a":1}')))) == {"a": 1}


@pytest.mark.parametrize("via", ["socket", "async"])
def test_a_streamed_prompt(socketed: Client, prompt: str, via: str) -> None:
    pieces = socketed.call(via, "prompt", prompt, says("one two three", 3), stream=True)
    assert "".join(pieces) == "one two three"
    assert len([piece for piece in pieces if piece]) == 3


# ---------------------------------------------------------------- errors


def test_errors_over_rest_are_raised(client: Client) -> None:
    (told,) = client.calls({"via": "rest", "do": "prompt", "with": ["nobody", {}]})
    assert "raised" in told
    if client.era != "A":
        assert "Unknown prompt template: nobody" in told["message"]


@pytest.mark.parametrize("via", ["socket", "async"])
@pytest.mark.parametrize("stream", [False, True])
def test_errors_over_sockets_are_raised(socketed: Client, via: str, stream: bool) -> None:
    (told,) = socketed.calls({"via": via, "do": "prompt", "with": ["nobody", {}], "stream": stream})
    assert "raised" in told
    assert "Unknown prompt template: nobody" in told["message"]


def test_a_missed_schema_is_an_error(client: Client, json_prompt: str) -> None:
    (told,) = client.calls({"via": "rest", "do": "prompt", "with": [json_prompt, says('{"a": "x"}')]})
    assert "raised" in told


# ---------------------------------------------------------------- tools


def test_tools_show_what_they_set(client: Client) -> None:
    name = stored(client)
    shown = client.tool("tg-show-prompts")
    assert re.search(rf"\n{name}:\n.*script", shown, re.DOTALL)
    assert "System prompt:" in shown


def test_the_system_prompt_is_set_and_shown(client: Client) -> None:
    words = unique("Be brief")
    assert client.tool("tg-set-prompt", "--system", words) == "System prompt set.\n"
    assert words in client.tool("tg-show-prompts")


def test_a_prompt_is_invoked(client: Client, prompt: str) -> None:
    assert client.tool("tg-invoke-prompt", prompt, f"script={says('hello there')['script']}") == "hello there\n"


def test_a_prompt_is_invoked_without_streaming(socketed: Client, prompt: str) -> None:
    variable = f"script={says('hello there')['script']}"
    assert socketed.tool("tg-invoke-prompt", "--no-streaming", prompt, variable) == "hello there\n"


def test_a_model_is_invoked(client: Client) -> None:
    assert client.tool("tg-invoke-llm", "be brief", "hello there").strip() == "hello there"


def test_a_model_is_invoked_without_streaming(socketed: Client) -> None:
    assert socketed.tool("tg-invoke-llm", "--no-streaming", "be brief", "hello there").strip() == "hello there"


def test_a_failing_tool_says_why(client: Client) -> None:
    """They end with status 0 even so."""
    assert "Exception: " in client.tool("tg-invoke-prompt", "nobody")
