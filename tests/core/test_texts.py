"""What guards get to judge, and how deep a request may be nested."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptd.core.content import Tool, ToolCall, Turn
from promptd.core.errors import InvalidRequest
from promptd.core.model import Answer, Request
from promptd.core.parameters import ImageParameters, Parameters, SpeechParameters
from promptd.core.texts import MAX_DEPTH, answer_turns, check_depth, names_twice, request_turns

WORD = 'say "it"\nloud'
USER = Turn("user", "x")
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


def nested(depth: int, *, objects: bool = False) -> Any:
    value: Any = {} if objects else []
    for _ in range(depth - 1):
        value = {"a": value} if objects else [value]
    return value


@pytest.mark.parametrize(
    "request_",
    [
        Request(messages=(Turn("user", WORD),)),
        Request(messages=(Turn("user", "x", name=WORD),)),
        Request(messages=(Turn("tool", "x", tool_call_id=WORD),)),
        Request(messages=(Turn("assistant", tool_calls=(ToolCall(0, "i", "f", WORD),)), USER)),
        Request(messages=(Turn("assistant", tool_calls=(ToolCall(0, "i", WORD),)), USER)),
        Request(messages=(Turn("assistant", tool_calls=(ToolCall(0, WORD),)), USER)),
        Request(texts=("x", WORD)),
        Request(parameters=Parameters(template=WORD)),
        Request(parameters=Parameters(grammar=WORD)),
        Request(parameters=Parameters(stop=("x", WORD))),
        Request(parameters=Parameters(tool_choice=WORD)),
        Request(parameters=Parameters(tools=(Tool("f"), Tool(WORD)))),
        Request(parameters=Parameters(tools=(Tool("f", WORD),))),
        Request(parameters=Parameters(tools=(Tool("f", "x", {"a": [{"default": WORD}]}),))),
        Request(parameters=Parameters(json_schema={"properties": {WORD: {}}})),
        Request(parameters=Parameters(extra={"suffix": {"x": [1, WORD]}})),
        Request(parameters=Parameters(image=ImageParameters(prompt=WORD))),
        Request(parameters=Parameters(image=ImageParameters(negative_prompt=WORD))),
        Request(parameters=Parameters(image=ImageParameters(styles=("x", WORD)))),
        Request(parameters=Parameters(image=ImageParameters(extra={"hr_prompt": WORD}))),
        Request(parameters=Parameters(speech=SpeechParameters(voice=WORD))),
    ],
)
def test_nothing_that_an_engine_may_see_is_left_out(request_: Request) -> None:
    assert any(WORD in turn.content for turn in request_turns(request_))


def test_a_plain_conversation_stays_as_it_is() -> None:
    turns = (Turn("system", "be kind"), Turn("user", "hello"), Turn("assistant", "hi"), Turn("user", "bye"))
    assert request_turns(Request(messages=turns)) == turns


@pytest.mark.parametrize(
    "answer",
    [
        Answer("m", WORD),
        Answer("m", tool_calls=(ToolCall(0, "i", "f", WORD),)),
        Answer("m", tool_calls=(ToolCall(0, "i", WORD),)),
        Answer("m", value={"x": [WORD]}),
    ],
)
def test_nothing_that_an_answer_says_is_left_out(answer: Answer) -> None:
    (turn,) = (turn for turn in answer_turns(answer) if WORD in turn.content)
    assert turn.role == "assistant"


@pytest.mark.parametrize(
    ("body", "twice"),
    [
        (b'{"a": 1, "b": {"a": 2}, "c": [{"a": 3}, {"a": 4}]}', False),
        (b'{"a": 1, "a": 2}', True),
        (b'{"a": 1, "\\u0061": 2}', True),
        (b'{"b": [[{"a": "x", "b": 1, "a": "y"}]]}', True),
        (b'{"a" :1, "a" : 2}', True),
        (b'{"a:": ":", "b": "a:b"}', False),
        (b'{"a:": 1, "a\\u003a": 2}', True),
        (b'{"a": "\\u003a", "b": 1, "b": 2}', True),  # the colon that is lost comes back out of the escape
        (b'{"a": 1e999, "b": 1, "b": 2}', True),
        (b'{"a": "tab\there", "a": 2}', True),
        (b'{"n": %s, "a": 1, "a": 2}' % (b"1" * 5000), True),
        (b'{"n": %s, "a": 1}' % (b"1" * 5000), False),
        (b'{"a": %s}' % (b"[" * 100_000 + b"]" * 100_000), True),  # too deep to be sure
        (b' {"a": ', True),
        (b"--boundary", False),
        (b'"a": 1, "a": 2', False),
        (b"[]", False),
        (b"", False),
    ],
)
def test_names_that_come_twice_are_seen(body: bytes, twice: bool) -> None:
    assert names_twice(body) is twice


def test_numbers_are_text_too_and_an_empty_answer_says_nothing() -> None:
    assert answer_turns(Answer("m", value={"card": 4111111111111111})) == (Turn("assistant", "card\n4111111111111111"),)
    assert answer_turns(Answer("m")) == ()
    assert answer_turns(Answer("m", value=nested(100_000))) == ()


@given(json_values)
def test_every_name_and_value_is_a_line(value: Any) -> None:
    (turn,) = answer_turns(Answer("m", value=["end", value]))

    def lines(one: Any) -> list[str]:
        if isinstance(one, dict):
            return [line for name, child in one.items() for line in (name, *lines(child))]
        return [line for child in one for line in lines(child)] if isinstance(one, list) else [str(one)]

    assert turn.content == "\n".join(["end", *lines(value)])


@pytest.mark.parametrize("objects", [False, True])
def test_depth_is_bounded(objects: bool) -> None:
    check_depth(nested(MAX_DEPTH, objects=objects), "extra")
    for depth in (MAX_DEPTH + 1, 100_000):
        with pytest.raises(InvalidRequest) as refused:
            check_depth(nested(depth, objects=objects), "extra")
        assert refused.value.field == "extra"
