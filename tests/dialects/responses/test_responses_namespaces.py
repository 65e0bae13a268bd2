"""Tools that stand in a namespace: one name inside and for other vendors, two for clients and services of this API."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from promptd.core.content import ToolCall
from promptd.core.errors import InvalidRequest
from promptd.dialects import chat, messages, responses
from promptd.dialects.asked import Asked
from tests.dialects.responses import asking
from tests.dialects.responses.shapes import DONE, call, stream

ONE_NAME = "agents__close"


def function(name: str, **more: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"id": {"type": "string"}}}
    return {"type": "function", "name": name, "description": "ends it", "parameters": schema, "strict": False, **more}


def space(*tools: dict[str, Any]) -> dict[str, Any]:
    return {"type": "namespace", "name": "agents", "description": "helpers", "tools": list(tools)}


def asked() -> Asked:
    """A second turn: the tool was called before."""
    called = {"type": "function_call", "call_id": "c0", "namespace": "agents", "name": "close", "arguments": "{}"}
    result = {"type": "function_call_output", "call_id": "c0", "output": "closed"}
    tools = [
        function("plain"),
        space(function("close", defer_loading=True), {"type": "custom", "name": "write", "description": "text"}),
    ]
    return asking.asked(tools=tools, input=[{"role": "user", "content": "q"}, called, result])


def test_other_vendors_get_one_name() -> None:
    request = asked().request
    made = asking.call(request.messages, tools=request.parameters.tools)
    body = msgspec.json.decode(chat.encode_request(made))
    assert [tool[tool["type"]]["name"] for tool in body["tools"]] == ["plain", ONE_NAME, "agents__write"]
    assert set(body["tools"][1]["function"]) == {"name", "description", "parameters", "strict"}
    assert body["messages"][1]["tool_calls"][0]["function"]["name"] == ONE_NAME
    body = msgspec.json.decode(messages.encode_request(made, stream=False))
    assert [tool["name"] for tool in body["tools"]] == ["plain", ONE_NAME, "agents__write"]
    assert "namespace" not in body["tools"][1]


def test_a_service_of_this_api_gets_both_names() -> None:
    request = asked().request
    body = asking.sent(request.messages, tools=request.parameters.tools)
    assert [tool["type"] for tool in body["tools"]] == ["function", "namespace"]
    assert body["tools"][1] == space(
        function("close", defer_loading=True), {"type": "custom", "name": "write", "description": "text"}
    )
    called = next(item for item in body["input"] if item["type"] == "function_call")
    assert (called["namespace"], called["name"]) == ("agents", "close")


def test_a_client_gets_both_names_of_what_is_called() -> None:
    found = stream(call(0, "c0", ONE_NAME, "{}"), call(1, "c1", "plain", "{}"), DONE, request=asked().request)
    told = [event["item"] for event in found if event["type"].endswith("output_item.done")]
    assert [(item.get("namespace"), item["name"]) for item in told] == [("agents", "close"), (None, "plain")]
    response = found[-1]["response"]
    assert response["output"] == told
    assert [tool["type"] for tool in response["tools"]] == ["function", "namespace"]


def test_a_service_may_call_by_both_names() -> None:
    item = {"type": "function_call", "call_id": "c0", "namespace": "agents", "name": "close", "arguments": "{}"}
    answer = msgspec.json.encode({"status": "completed", "output": [item]})
    calls = [made for chunk in responses.decode_answer(answer) for made in chunk.tool_calls]
    assert calls[0] == ToolCall(0, "c0", ONE_NAME)


def test_no_name_is_longer_than_vendors_take() -> None:
    long = "n" * 60
    tools = asking.asked(tools=[space(function(long + "a"), function(long + "b"))]).request.parameters.tools
    names = [tool.name for tool in tools]
    assert len(set(names)) == 2
    assert [len(name) for name in names] == [64, 64]
    found = stream(
        call(0, "c0", names[1], "{}"), DONE, request=asking.asked(tools=[space(function(long + "b"))]).request
    )
    assert found[-1]["response"]["output"][0]["name"] == long + "b"


def test_what_is_wrong_in_a_namespace_is_named() -> None:
    with pytest.raises(InvalidRequest) as caught:
        asking.asked(tools=[function("a"), space(function("close", parameters=1))])
    assert caught.value.field == "tools[1].tools[0].parameters"
    with pytest.raises(InvalidRequest) as caught:
        asking.asked(tools=[{"type": "namespace", "tools": []}])
    assert caught.value.field == "tools[0].name"


def test_a_namespace_of_other_things_stays_as_it_came() -> None:
    odd = space({"type": "mcp", "name": "x"})
    parameters = asking.asked(tools=[odd]).request.parameters
    assert [foreign.value for foreign in parameters.foreign_tools] == [odd]


def test_what_other_clients_call_a_namespace_is_not_ours() -> None:
    wire = {"type": "function", "function": {"name": "f", "namespace": {"name": 1}}}
    body = msgspec.json.encode({"messages": [{"role": "user", "content": "q"}], "tools": [wire]})
    tools = chat.decode_request(body).request.parameters.tools
    assert [tool["name"] for tool in asking.sent(tools=tools)["tools"]] == ["f"]


@pytest.mark.parametrize(
    ("tools", "named"),
    [
        ([function(ONE_NAME), space(function("close"))], "'close' of 'agents'"),
        ([space(function("close")), function(ONE_NAME)], "'close' of 'agents'"),
        ([space(function("a__b")), space(function("b")) | {"name": "agents__a"}], "'b' of 'agents__a'"),
    ],
)
def test_two_tools_of_one_name_are_refused(tools: list[dict[str, Any]], named: str) -> None:
    with pytest.raises(InvalidRequest, match=named) as caught:
        asking.asked(tools=tools)
    assert caught.value.field == "tools"


@pytest.mark.parametrize("more", [{}, {"namespace": "agents"}])
def test_the_tool_that_must_be_called_may_stand_in_a_namespace(more: dict[str, str]) -> None:
    choice = {"type": "function", "name": "close", **more}
    parameters = asking.asked(tools=[space(function("close"))], tool_choice=choice).request.parameters
    made = asking.call(asked().request.messages, tools=parameters.tools, tool_choice=parameters.tool_choice)
    body = msgspec.json.decode(chat.encode_request(made))
    assert body["tool_choice"] == {"type": "function", "function": {"name": ONE_NAME}}
    body = asking.sent(tools=parameters.tools, tool_choice=parameters.tool_choice)
    assert body["tool_choice"] == {"type": "function", "name": "close"}


def test_a_choice_among_namesakes_tells_the_namespace() -> None:
    tools = [function("close"), space(function("close"))]
    plain = asking.asked(tools=tools, tool_choice={"type": "function", "name": "close"}).request.parameters
    assert plain.tool_choice == "close"
    placed = {"type": "function", "namespace": "agents", "name": "close"}
    parameters = asking.asked(tools=tools, tool_choice=placed).request.parameters
    body = asking.sent(tools=parameters.tools, tool_choice=parameters.tool_choice)
    assert body["tool_choice"] == placed


@pytest.mark.parametrize(
    ("listed", "left"),
    [
        ({"type": "function", "name": "close"}, [ONE_NAME]),
        ({"type": "function", "name": "close", "namespace": "agents"}, [ONE_NAME]),
        ({"type": "function", "name": "close", "namespace": "others"}, []),
        ({"type": "namespace", "name": "agents"}, [ONE_NAME, "agents__open"]),
        ({"type": "function", "name": "plain"}, ["plain"]),
    ],
)
def test_a_list_of_allowed_tools_knows_namespaces(listed: dict[str, str], left: list[str]) -> None:
    tools = [function("plain"), space(function("close"), function("open"))]
    choice = {"type": "allowed_tools", "mode": "auto", "tools": [listed]}
    parameters = asking.asked(tools=tools, tool_choice=choice).request.parameters
    body = msgspec.json.decode(
        chat.encode_request(asking.call(asked().request.messages, tools=parameters.tools, extra=parameters.extra))
    )
    assert [tool["function"]["name"] for tool in body.get("tools", [])] == left
