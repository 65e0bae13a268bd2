"""Sizes in tokens: a guess, and a bound."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from promptd.core import sizes
from promptd.core.content import Document, Image, Sound, Text, Tool, ToolCall, Turn
from promptd.core.history import tokens
from promptd.core.model import Request
from promptd.core.parameters import Parameters


@given(st.lists(st.text(), max_size=5))
def test_the_bound_is_at_least_every_byte(texts: list[str]) -> None:
    size = sum(len(text.encode(errors="surrogatepass")) for text in texts)
    assert sizes.at_most(Request(messages=tuple(Turn("user", text) for text in texts))) >= size
    assert sizes.at_most(Request(texts=tuple(texts))) >= size


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=5))
def test_the_guess_is_that_of_the_history(texts: list[str]) -> None:
    turns = tuple(Turn("user", text) for text in texts)
    assert sizes.about(Request(messages=turns)) == sum(map(tokens, turns))


def test_everything_counts_that_a_model_reads() -> None:
    plain = sizes.at_most(Request(messages=(Turn("user", "hi"),)))
    for turn in (
        Turn("user", parts=(Text("hi"), Image(url="https://example.com/x.png"))),
        Turn("user", parts=(Text("hi"), Sound("x" * 6400, "wav"))),
        Turn("user", parts=(Text("hi"), Document(text="a long text"))),
        Turn("user", parts=(Text("hi"), Document(url="data:text/plain;base64," + "x" * 500))),
        Turn("assistant", "hi", tool_calls=(ToolCall(0, "1", "f", '{"a": 1}'),)),
    ):
        assert sizes.at_most(Request(messages=(turn,))) > plain
    tools = Parameters(tools=(Tool("f", "does", {"type": "object"}),))
    assert sizes.at_most(Request(messages=(Turn("user", "hi"),), parameters=tools)) > plain
    assert sizes.at_most(Request(messages=(Turn("user", "hi"),), files=("file",))) > plain


def test_answers_are_counted() -> None:
    assert sizes.answers(Request()) == 1
    assert sizes.answers(Request(parameters=Parameters(n=3))) == 3
    assert sizes.answers(Request(parameters=Parameters(n=2, best_of=5))) == 5
    assert sizes.answers(Request(parameters=Parameters(n=-1, best_of=0))) == 1
    assert sizes.answers(Request(parameters=Parameters(n=10**9))) == 128
