"""Words of a request are changed wherever they stand, and nothing else is."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest

from promptd.core.content import Document, Foreign, Image, Refusal, Text, Thinking, Tool, ToolCall, Turn
from promptd.core.model import Request
from promptd.core.parameters import ImageParameters, Parameters
from promptd.core.rewriting import deep, rewrite
from promptd.core.texts import request_turns


def change(text: str) -> str:
    return text.replace("ann@example.com", "[EMAIL]")


MAIL = "write to ann@example.com"
DATA = "data:text/plain;base64," + b64encode(MAIL.encode()).decode()


@pytest.mark.parametrize(
    "request_",
    [
        Request(messages=(Turn("user", MAIL),)),
        Request(messages=(Turn("system", MAIL),)),
        Request(messages=(Turn("tool", MAIL, tool_call_id="1"),)),
        Request(messages=(Turn("user", parts=(Text(MAIL, extra={"note": MAIL}),)),)),
        Request(messages=(Turn("assistant", parts=(Refusal(MAIL), Thinking(MAIL, "proof"))),)),
        Request(messages=(Turn("user", parts=(Document(text=MAIL, name=MAIL),)),)),
        Request(messages=(Turn("user", parts=(Document(url=DATA),)),)),
        Request(messages=(Turn("user", parts=(Foreign("x", {"a": [MAIL]}),)),)),
        Request(messages=(Turn("assistant", tool_calls=(ToolCall(name="send", arguments=json.dumps({"to": MAIL})),)),)),
        Request(messages=(Turn("assistant", tool_calls=(ToolCall(name="send", arguments=MAIL),)),)),
        Request(messages=(Turn("user", extra={"a": {"b": MAIL}}),)),
        Request(texts=(MAIL, "fine")),
        Request(metadata={"note": MAIL}),
        Request(value={"a": [{"b": MAIL}]}),
        Request(parameters=Parameters(user=MAIL)),
        Request(parameters=Parameters(tools=(Tool("send", MAIL),))),
        Request(parameters=Parameters(image=ImageParameters(prompt=MAIL, negative_prompt=MAIL))),
        Request(parameters=Parameters(extra={"a": [MAIL]})),
    ],
)
def test_every_place(request_: Request) -> None:
    assert any("ann@example.com" in turn.content for turn in request_turns(request_))
    changed = rewrite(request_, change)
    turns = request_turns(changed)
    assert not any("ann@example.com" in turn.content for turn in turns)
    assert any("[EMAIL]" in turn.content for turn in turns)


def test_escapes_hide_nothing() -> None:
    hidden = '{"to": "ann\\u0040example.com"}'
    (turn,) = rewrite(Request(messages=(Turn("assistant", tool_calls=(ToolCall(arguments=hidden),)),)), change).messages
    assert json.loads(turn.tool_calls[0].arguments) == {"to": "[EMAIL]"}


def test_what_is_not_changed_stays_as_it_is() -> None:
    spaced = '{ "to" :   1.0, "b": "\\u00e9" }'
    request = Request(
        messages=(
            Turn("user", parts=(Text("hello"), Image(url="https://example.com/ann@example.com.png"))),
            Turn("assistant", tool_calls=(ToolCall(arguments=spaced),), parts=(Thinking("hm", "proof"),)),
        ),
        value={"a": (1, None, True)},
    )
    assert rewrite(request, change) == request


def test_a_changed_thought_has_no_proof() -> None:
    (turn,) = rewrite(Request(messages=(Turn("assistant", parts=(Thinking(MAIL, "proof"),)),)), change).messages
    assert turn.parts == (Thinking("write to [EMAIL]"),)


@pytest.mark.parametrize(("tool", "rest"), [(True, False), (False, True)])
def test_stages_are_apart(tool: bool, rest: bool) -> None:
    request = Request(messages=(Turn("user", MAIL), Turn("tool", MAIL)), metadata={"a": MAIL})
    changed = rewrite(request, change, tool=tool, rest=rest)
    asked, answered = changed.messages
    assert ("[EMAIL]" in asked.content, "[EMAIL]" in answered.content) == (rest, tool)
    assert ("[EMAIL]" in changed.metadata["a"]) == rest


def test_values_of_any_depth_end() -> None:
    value: Any = MAIL
    for _ in range(100_000):
        value = [value]
    with pytest.raises(RecursionError):
        deep(value, change)
