"""Conversations and answers that every dialect can say, made by hypothesis, and a form in which they can be compared.

Dialects cut a conversation into messages in their own ways, so it is compared as what was said by whom, in its order.
"""

from __future__ import annotations

import json
from typing import Any, Final

from hypothesis import strategies as st
from msgspec.structs import replace

from promptd.core.content import (
    INSTRUCTIONS,
    Document,
    Image,
    Part,
    Refusal,
    Text,
    Thinking,
    Tool,
    ToolCall,
    Turn,
)
from promptd.core.model import Answer, Usage
from promptd.core.parameters import Parameters

PNG: Final = "data:image/png;base64,iVBORw0KGgo="
PDF: Final = "data:application/pdf;base64,JVBERg=="

#: anything but blanks alone, which one vendor refuses
WORDS = st.text(min_size=1, max_size=12).filter(lambda text: bool(text.strip()))
IDS = st.from_regex(r"call_[a-zA-Z0-9]{1,8}", fullmatch=True)
NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
ARGUMENTS = st.dictionaries(st.text(max_size=6), JSON, max_size=2).map(lambda given: json.dumps(given))
IMAGES = st.sampled_from([Image(url=PNG), Image(url="https://models.example/a.png")])
#: as the chat API writes them
SOURCES = st.builds(
    lambda title, end: {
        "type": "url_citation",
        "url_citation": {"url": "https://models.example/a", "title": title, "start_index": 0, "end_index": end},
    },
    WORDS,
    st.integers(1, 9),
)
DOCUMENTS = st.just(Document(url=PDF, name="a.pdf"))
SCHEMAS = st.sampled_from(
    [
        {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
        {"type": "object", "properties": {}, "additionalProperties": False},
    ]
)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Turn, ...]:
    """Instructions, then exchanges; an assistant's parallel calls are all answered. A user has the last word."""
    turns = [Turn(draw(st.sampled_from(INSTRUCTIONS)), draw(WORDS)) for _ in range(draw(st.integers(0, 3)))]
    for number in range(draw(st.integers(0, 2))):
        turns += draw(users())
        turns += draw(assistants(number))
        if draw(st.booleans()):
            turns.append(Turn("system", draw(WORDS)))
    return (*turns, *draw(users()))


@st.composite
def users(draw: st.DrawFn) -> list[Turn]:
    turns = []
    for _ in range(draw(st.integers(1, 2))):
        if draw(st.booleans()):
            turns.append(Turn("user", draw(WORDS)))
        else:
            media = draw(st.lists(IMAGES | DOCUMENTS, min_size=1, max_size=2))
            parts: list[Part] = [*media, Text(draw(WORDS))]
            turns.append(Turn("user", parts=tuple(draw(st.permutations(parts)))))
    return turns


@st.composite
def assistants(draw: st.DrawFn, number: int) -> list[Turn]:
    calls = tuple(
        ToolCall(index, f"{draw(IDS)}{number}{index}", draw(NAMES), draw(ARGUMENTS))
        for index in range(draw(st.integers(0, 2)))
    )
    results = [Turn("tool", draw(WORDS), tool_call_id=call.id) for call in calls]
    said = draw(WORDS) if not calls or draw(st.booleans()) else ""
    return [Turn("assistant", said, tool_calls=calls), *results]


@st.composite
def parameters(draw: st.DrawFn) -> Parameters:
    """What all three dialects have a member for."""

    def perhaps(strategy: st.SearchStrategy[Any]) -> Any:
        return draw(st.none() | strategy)

    tools = tuple(Tool(name, draw(WORDS), draw(SCHEMAS)) for name in draw(st.lists(NAMES, max_size=2, unique=True)))
    temperature = perhaps(st.sampled_from([0.0, 0.25, 1.0]))
    choices = st.sampled_from(["auto", "none", "required", *[tool.name for tool in tools]])
    return Parameters(
        temperature=temperature,
        # Anthropic's newer models take one of the two
        top_p=perhaps(st.sampled_from([0.5, 1.0])) if temperature is None else None,
        max_tokens=draw(st.integers(5000, 9000)),
        tools=tools,
        tool_choice=perhaps(choices) if tools else None,
        parallel_tool_calls=perhaps(st.booleans()) if tools else None,
        json_schema=perhaps(SCHEMAS),
        user=perhaps(NAMES),
    )


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    """Thoughts, words, calls; how it ended; tokens. Text, calls, or both: an answer that says nothing is none."""
    calls = tuple(
        ToolCall(index, f"{draw(IDS)}{index}", draw(NAMES), draw(WORDS if custom else ARGUMENTS), custom)
        for index, custom in enumerate(draw(st.lists(st.sampled_from([False, False, True]), max_size=2)))
    )
    cached, written, reasoning = (draw(st.integers(0, 50)) for _ in range(3))
    text = draw(WORDS) if not calls or draw(st.booleans()) else ""
    refusal = "" if calls else draw(st.just("") | WORDS)
    ends = ["stop"] if refusal else ["stop", "length", "content_filter", "pause", "context_length"]
    finish_reason = "tool_calls" if calls else draw(st.sampled_from(ends))
    return Answer(
        message_id="",
        text=text,
        refusal=refusal,
        tool_calls=calls,
        finish_reason=finish_reason,
        stop_sequence=draw(st.none() | WORDS) if finish_reason == "stop" and not refusal else None,
        value={"annotations": [draw(SOURCES)]} if text and draw(st.booleans()) else None,
        usage=Usage(
            input_tokens=cached + written + draw(st.integers(0, 50)),
            output_tokens=reasoning + draw(st.integers(0, 50)),
            cached_tokens=cached,
            cache_write_tokens=written,
            reasoning_tokens=reasoning,
        ),
        thinking=draw(thoughts()),
    )


@st.composite
def thoughts(draw: st.DrawFn) -> tuple[Thinking, ...]:
    """Proven thoughts, which may hide their words, sealed ones, and at the end perhaps one that nobody proves."""
    proven = st.builds(Thinking, text=st.just("") | WORDS, signature=IDS)
    made = draw(st.lists(proven | st.builds(Thinking, sealed=IDS), max_size=3))
    return (*made, *draw(st.lists(WORDS.map(Thinking), max_size=1)))


def brought_along(turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
    """With images in the request itself in place of addresses, for a service that fetches none."""
    here = [tuple([Image(PNG) if isinstance(part, Image) else part for part in turn.parts]) for turn in turns]
    return tuple([replace(turn, parts=parts) for turn, parts in zip(turns, here, strict=True)])


# ------------------------------------------------------------------ compare

Said = tuple[Any, ...]


def said(turns: tuple[Turn, ...]) -> tuple[list[str], list[Said]]:
    """The instructions in their order, and everything else in its order.

    The two are compared apart, because one dialect has a place for instructions before the conversation only. Texts of one
    speaker that stand side by side are one text there, with or without a line's end between.
    """
    instructions: list[str] = []
    others: list[Said] = []
    for turn in turns:
        parts: tuple[Part, ...] = turn.parts or ((Text(turn.content),) if turn.content else ())
        for part in parts:
            match part:
                case Text(text=text) if turn.role in INSTRUCTIONS:
                    instructions += text.split("\n")
                case Text(text=text) | Refusal(text=text):
                    _say(others, turn, text)
                case Image(url=url):
                    others.append((turn.role, "image", url))
                case Document(url=url, name=name):
                    others.append((turn.role, "document", url, name))
                case _:
                    others.append((turn.role, part))
        others += [("call", call.id, call.name, json.loads(call.arguments)) for call in turn.tool_calls]
    return [text for text in instructions if text], others


def _say(others: list[Said], turn: Turn, text: str) -> None:
    head = (turn.role, "text", turn.tool_call_id)
    text = "".join(text.split("\n"))
    if others and others[-1][:3] == head:
        text = others.pop()[3] + text
    others.append((*head, text))


def tools_of(asked: Parameters) -> list[Said]:
    return [(tool.name, tool.description, tool.parameters) for tool in asked.tools]
