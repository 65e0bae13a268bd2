"""Tools that a service runs itself: a search of the web in the words of each dialect, and refusals that name the member."""

from __future__ import annotations

import json
from typing import Any

import pytest

from promptd.core.content import Foreign
from promptd.core.engine import Call, NoConfig
from promptd.core.errors import InvalidInput, PromptExecutionError, UnsupportedInput
from promptd.core.parameters import Parameters
from promptd.dialects import chat, messages, responses
from promptd.dialects.searching import search_of_responses
from promptd.egress import Egress

PLACE = {"city": "Rome", "country": "IT"}
ADD = {"type": "function", "name": "add", "parameters": {"type": "object"}}


def of_chat(**members: Any) -> Parameters:
    body = {"model": "m", "messages": [{"role": "user", "content": "q"}], **members}
    return chat.decode_request(json.dumps(body).encode()).request.parameters


def sent(module: Any, parameters: Parameters) -> dict[str, Any]:
    call = Call(
        connection=NoConfig(),
        connection_name="c",
        model="m",
        http=Egress(),
        messages=chat.decode_request(b'{"messages": [{"role": "user", "content": "q"}]}').request.messages,
        parameters=parameters,
    )
    body: dict[str, Any] = json.loads(module.encode_request(call, stream=False))
    return body


def test_a_search_is_a_tool_in_other_dialects() -> None:
    asked = of_chat(web_search_options={"user_location": {"type": "approximate", "approximate": PLACE}})
    place = {"user_location": {"type": "approximate", **PLACE}}
    assert sent(chat, asked)["web_search_options"] == asked.extra["web_search_options"]
    assert sent(responses, asked)["tools"] == [{"type": "web_search", **place}]
    assert sent(messages, asked)["tools"] == [{"type": "web_search_20250305", "name": "web_search", **place}]
    assert "web_search_options" not in sent(responses, asked).keys() | sent(messages, asked).keys()


def test_how_much_a_search_finds_only_openai_is_told() -> None:
    large = of_chat(web_search_options={"search_context_size": "high"}, tool_choice="auto")
    made = sent(responses, large)
    assert (made["tools"], made["tool_choice"]) == ([{"type": "web_search", "search_context_size": "high"}], "auto")
    with pytest.raises(UnsupportedInput, match=r"^web_search_options\.search_context_size: "):
        sent(messages, large)
    usual = of_chat(web_search_options={"search_context_size": "medium"})
    assert sent(messages, usual)["tools"] == [{"type": "web_search_20250305", "name": "web_search"}]


@pytest.mark.parametrize("module", [responses, messages])
@pytest.mark.parametrize(
    ("options", "field"),
    [
        ("yes", "web_search_options"),
        ({"search_context_size": "huge"}, "web_search_options.search_context_size"),
        ({"user_location": {"city": "Rome"}}, "web_search_options.user_location.approximate"),
        ({"user_location": {"approximate": {"city": 5}}}, "web_search_options.user_location.approximate"),
        ({"filters": {}}, "web_search_options.filters"),
    ],
)
def test_nothing_of_a_search_is_lost_in_silence(module: Any, options: Any, field: str) -> None:
    with pytest.raises((InvalidInput, UnsupportedInput)) as raised:
        sent(module, of_chat(web_search_options=options))
    assert raised.value.message.startswith(f"{field}: ")
    assert chat.error_object(raised.value)["param"] == field


@pytest.mark.parametrize("there", [chat, messages, responses])
@pytest.mark.parametrize("here", [chat, messages, responses])
def test_a_tool_of_another_service_is_refused_by_its_place(here: Any, there: Any) -> None:
    body: dict[str, Any] = {"model": "m"}
    if here is responses:
        body |= {"input": "q", "tools": [ADD, {"type": "file_search"}]}
    elif here is messages:
        own = {"name": "add", "input_schema": {"type": "object"}}
        body |= {"max_tokens": 5, "messages": [{"role": "user", "content": "q"}]}
        body |= {"tools": [own, {"type": "computer_20250124", "name": "computer"}]}
    else:
        own = {"type": "function", "function": {"name": "add"}}
        body |= {"messages": [{"role": "user", "content": "q"}], "tools": [own, {"type": "else"}]}
    parameters = here.decode_request(json.dumps(body).encode()).request.parameters
    if here is there:
        assert len(sent(there, parameters)["tools"]) == 2
        return
    with pytest.raises(PromptExecutionError, match=r"^tools\[1\]: ") as raised:
        sent(there, parameters)
    assert chat.error_object(raised.value)["param"] == "tools[1]"


@pytest.mark.parametrize(
    ("tool", "wire"),
    [
        ({"type": "web_search"}, {}),
        ({"type": "web_search_2025_08_26", "external_web_access": True, "search_context_size": "high"}, {}),
        ({"type": "web_search_preview", "user_location": {"type": "approximate", **PLACE, "region": None}}, PLACE),
        ({"type": "web_search", "filters": {"allowed_domains": ["a.example"]}}, {"allowed_domains": ["a.example"]}),
        ({"type": "web_search", "external_web_access": False}, None),
        ({"type": "web_search", "search_content_types": ["image"]}, None),
        ({"type": "web_search", "filters": {"newer": 1}}, None),
        ({"type": "web_search", "filters": "a.example"}, None),
        ({"type": "file_search", "vector_store_ids": ["v"]}, None),
    ],
)
def test_a_search_of_the_responses_api_at_anthropic(tool: dict[str, Any], wire: dict[str, Any] | None) -> None:
    """None: it can't be told there."""
    found = search_of_responses(Foreign("openai.responses", tool))
    if wire is None:
        assert found is None
        return
    told = {"user_location": {"type": "approximate", **wire}} if wire is PLACE else wire
    assert found == {"type": "web_search_20250305", "name": "web_search", **told}
