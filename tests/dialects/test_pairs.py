"""From each dialect to each other one by way of the house: requests, answers and streams say the same behind it as before."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from promptd.core.chunks import gather
from promptd.core.content import Image, Text, Thinking, Tool, ToolCall, Turn, text_of
from promptd.core.engine import Call, NoConfig
from promptd.core.model import Answer, Chunk, Request, Usage
from promptd.core.parameters import Parameters
from promptd.dialects import chat, messages, responses
from promptd.dialects.asked import Asked
from promptd.egress import Egress
from tests.dialects.conversations import PNG, answers, brought_along, conversations, parameters, said, tools_of
from tests.dialects.converse import wire as converse

FRAME: dict[str, Any] = {"model": "m", "created": 1_700_000_000.0}


class Dialect(NamedTuple):
    """A dialect's public functions, and what it has no words for.

    `lost` names fields of answers that its wire has no place for: `stop_sequence` (both of OpenAI's APIs only say that
    one ended the answer), `annotations` (Anthropic's own are read; nobody else's page has the proof that its citations bear),
    `refusal` (a text there, behind which the message ends as refused), `custom` (nobody can offer such a tool there; a
    call becomes one of a function), `reasoning` (tokens of thought are not told apart). `ends` are words for how an answer ended that become another.
    """

    name: str
    module: Any
    id: str
    writer: Callable[[], Any]
    lost: frozenset[str] = frozenset()
    ends: Mapping[str, str] = {}


NO_WORDS = {"pause": "stop", "context_length": "length"}
OPENAI_LOSES = frozenset({"stop_sequence"})
DIALECTS = (
    Dialect(
        "chat",
        chat,
        "chatcmpl-1",
        lambda: chat.Writer(id="chatcmpl-1", usage=True, **FRAME),
        OPENAI_LOSES,
        NO_WORDS,
    ),
    Dialect("responses", responses, "resp_1", lambda: responses.Writer(id="resp_1", **FRAME), OPENAI_LOSES, NO_WORDS),
    Dialect(
        "messages",
        messages,
        "msg_1",
        lambda: messages.Writer(id="msg_1", **FRAME),
        frozenset({"annotations", "refusal", "custom"}),
    ),
    # asked by engines only: the other side of it is the tests' own
    Dialect(
        "converse",
        converse,
        "",
        converse.Writer,
        frozenset({"annotations", "refusal", "custom", "reasoning"}),
        {"pause": "stop"},
    ),
)
CLIENTS = DIALECTS[:-1]


def pair(one: Dialect, other: Dialect, client: str = "messages") -> Any:
    """`client` shows every day what an engine's own dialect does; the others have their turn in the slow run."""
    names = {one.name, other.name}
    wide = "converse" in names and client not in names
    return pytest.param(one, other, id=f"{one.name}-{other.name}", marks=[pytest.mark.slow] if wide else [])


#: who asks and is asked, and who tells and is told: the last dialect is only asked, and only tells
ASKED = [pair(one, other) for one, other in product(CLIENTS, DIALECTS)]
TOLD = [pair(one, other) for one, other in product(DIALECTS, CLIENTS)]
#: the service of the last dialect makes one call after the other
MIXED = [pair(one, other, client="nobody") for one, other in product(DIALECTS, CLIENTS)]


def through(dialect: Dialect, request: Request, *, stream: bool = False) -> Asked:
    """The request as an engine of the dialect writes it and a face of the dialect reads it."""
    call = Call(
        connection=NoConfig(),
        connection_name="c",
        model="m",
        http=Egress(),
        messages=request.messages,
        parameters=request.parameters,
    )
    asked: Asked = dialect.module.decode_request(dialect.module.encode_request(call, stream=stream))
    return asked


@pytest.mark.parametrize(("one", "other"), ASKED)
@given(turns=conversations(), asked=parameters(), stream=st.booleans())
@settings(deadline=None, max_examples=60)
def test_requests(one: Dialect, other: Dialect, turns: Any, asked: Any, stream: bool) -> None:
    lost = REQUESTS_LOSE[one.name] | REQUESTS_LOSE[other.name]
    turns = brought_along(turns) if "addresses" in lost else turns
    # there every tool of the conversation stays, and words say that none is to be called
    unsaid = "none" in lost and (asked.tool_choice == "none" or not asked.tools)
    first = through(one, Request(messages=turns, parameters=asked), stream=stream)
    second = through(other, first.request, stream=stream)
    assert (first.model, second.model) == ("m", "m")
    assert first.stream is second.stream is stream
    for hop in (first.request, second.request):
        assert said(hop.messages) == said(turns)
        got = hop.parameters
        for name in ("temperature", "top_p", "max_tokens", "json_schema", "user"):
            assert name in lost or getattr(got, name) == getattr(asked, name), name
        if unsaid:
            continue
        assert tools_of(got) == tools_of(asked)
        if asked.tools:
            assert (got.tool_choice or "auto") == (asked.tool_choice or "auto")
            # where no tool may be called, how many at once is no question
            if asked.tool_choice != "none" and "parallel" not in lost:
                assert (got.parallel_tool_calls is not False) == (asked.parallel_tool_calls is not False)


#: what of a request a dialect's wire has no place for, beside thoughts, which go to their own maker only
REQUESTS_LOSE = {
    "chat": {"failed"},
    "responses": {"stop"},
    "messages": {"custom", "strict form", "detail"},
    "converse": {"custom", "strict form", "detail", "effort", "user", "parallel", "none", "addresses"},
}


@pytest.mark.parametrize(("one", "other"), ASKED)
def test_requests_as_far_as_both_have_words(one: Dialect, other: Dialect) -> None:
    lost = REQUESTS_LOSE[one.name] | REQUESTS_LOSE[other.name]
    custom = "custom" not in lost
    form = {"type": "grammar", "syntax": "lark", "definition": "start: x"}
    tools: tuple[Tool, ...] = (Tool("f", "d", {"type": "object", "properties": {}}, strict=True),)
    call = ToolCall(1, "c_2", "sh", "ls" if custom else "{}", custom)
    turns = (
        Turn("user", parts=(Image(url=PNG, detail="low"), Text("q"))),
        Turn("assistant", tool_calls=(ToolCall(0, "c_1", "f", "{}"), call)),
        Turn("tool", "no", tool_call_id="c_1", failed=True),
        Turn("tool", "yes", tool_call_id="c_2"),
    )
    asked = Parameters(
        max_tokens=9000,
        tools=(*tools, Tool("sh", extra={"type": "custom", "format": form})) if custom else tools,
        stop=() if "stop" in lost else ("a", "b"),
        effort="medium",
        json_schema={"type": "object", "properties": {}, "additionalProperties": False},
        schema_name="form",
        schema_strict=True,
    )
    got = through(other, through(one, Request(messages=turns, parameters=asked)).request).request
    image, text = got.messages[0].parts
    assert isinstance(image, Image)
    assert (image.url, text) == (PNG, Text("q"))
    assert image.detail == (None if "detail" in lost else "low")
    results = {turn.tool_call_id: turn for turn in got.messages if turn.role == "tool"}
    assert (results["c_1"].failed, results["c_2"].failed) == ("failed" not in lost, False)
    assert [called for turn in got.messages for called in turn.tool_calls] == list(turns[1].tool_calls)
    assert (got.parameters.tools, got.parameters.stop) == (asked.tools, asked.stop)
    assert got.parameters.json_schema == asked.json_schema
    assert got.parameters.effort == (None if "effort" in lost else asked.effort)
    if "strict form" not in lost:
        assert (got.parameters.schema_name, got.parameters.schema_strict) == ("form", True)


def seen(dialects: Sequence[Dialect], answer: Answer) -> dict[str, Any]:
    """What of an answer all of `dialects` can say."""
    lost = frozenset[str]().union(*[dialect.lost for dialect in dialects])
    usage, end, refusal = answer.usage, answer.finish_reason, answer.refusal
    if "refusal" in lost and refusal:
        end = "content_filter"
    for dialect in dialects:
        end = dialect.ends.get(end, end)
    if "reasoning" in lost:
        usage = replace(usage, reasoning_tokens=0)
    return {
        "text": answer.text + refusal if "refusal" in lost else (answer.text, refusal),
        "thinking": [(thought.text, thought.signature, thought.sealed) for thought in answer.thinking],
        "calls": [
            (call.id, call.name, call.custom, call.arguments if call.custom else json.loads(call.arguments))
            for call in answer.tool_calls
        ],
        "finish_reason": end,
        "stop_sequence": None if "stop_sequence" in lost else answer.stop_sequence,
        "annotations": None if "annotations" in lost else answer.value,
        "usage": usage,
    }


def sayable(dialects: Sequence[Dialect], answer: Answer) -> Answer:
    """The answer without calls that none of its clients can have asked for."""
    if not any("custom" in dialect.lost for dialect in dialects):
        return answer
    calls = [
        ToolCall(call.index, call.id, call.name, json.dumps({"input": call.arguments})) if call.custom else call
        for call in answer.tool_calls
    ]
    return replace(answer, tool_calls=tuple(calls))


def joined(chunks: Sequence[Chunk]) -> Answer:
    *pieces, end = chunks
    assert [chunk.kind for chunk in chunks] == ["progress"] * len(pieces) + ["done"]
    return gather(pieces, end, end.usage or Usage(), "")


@pytest.mark.parametrize(("one", "other"), TOLD)
@given(answer=answers())
@settings(deadline=None, max_examples=60)
def test_answers(one: Dialect, other: Dialect, answer: Answer) -> None:
    answer = sayable([one, other], answer)
    first = joined(one.module.decode_answer(one.module.encode_answer(answer, id=one.id, **FRAME)))
    second = joined(other.module.decode_answer(other.module.encode_answer(first, id=other.id, **FRAME)))
    assert seen([one], first) == seen([one], answer)
    assert seen([one, other], second) == seen([one, other], answer)


# ------------------------------------------------------------------ streams


def spoken(answer: Answer, size: int) -> list[Chunk]:
    """An answer as a model says it: thoughts, words, then the pieces of its calls, one call after the other."""
    chunks: list[Chunk] = []
    for thought in answer.thinking:
        chunks += [Chunk("progress", thinking=piece) for piece in cut(thought.text, size)]
        if thought.signature or thought.sealed:
            chunks.append(Chunk("progress", signature=thought.signature, sealed=thought.sealed))
    chunks += [Chunk("progress", text=piece) for piece in cut(answer.text, size)]
    chunks += [Chunk("progress", refusal=piece) for piece in cut(answer.refusal, size)]
    for call in answer.tool_calls:
        chunks += [Chunk("progress", tool_calls=(piece,)) for piece in pieces_of(call, size)]
    end = Chunk(
        "done",
        finish_reason=answer.finish_reason,
        usage=answer.usage,
        value=answer.value,
        stop_sequence=answer.stop_sequence,
    )
    return [*chunks, end]


def pieces_of(call: ToolCall, size: int) -> list[ToolCall]:
    """The call's name, then its arguments."""
    said = [ToolCall(call.index, arguments=piece, custom=call.custom) for piece in cut(call.arguments, size)]
    return [ToolCall(call.index, call.id, call.name, custom=call.custom), *said]


def cut(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def written(dialect: Dialect, chunks: Sequence[Chunk]) -> bytes:
    writer = dialect.writer()
    body = [writer.write(chunk) for chunk in chunks]  # a face writes the first chunk before the beginning
    begin: bytes = writer.begin()
    return begin + b"".join(body)


def read(dialect: Dialect, stream: bytes, sizes: Sequence[int]) -> list[Chunk]:
    """The stream in packets of the given sizes, over and over."""
    reader = dialect.module.Reader()
    chunks: list[Chunk] = []
    at = turn = 0
    while at < len(stream):
        size = sizes[turn % len(sizes)]
        chunks += reader.feed(stream[at : at + size])
        at, turn = at + size, turn + 1
    chunks += reader.finish()
    return chunks


def events_of(chunks: Sequence[Chunk]) -> list[tuple[Any, ...]]:
    """What each chunk says; chunks that say nothing do not count."""
    said: list[tuple[Any, ...]] = []
    for chunk in chunks:
        said += [("thinking", chunk.thinking)] if chunk.thinking else []
        said += [("proof", chunk.signature, chunk.sealed)] if chunk.signature or chunk.sealed else []
    # a refusal is a text to one of them
    said += [("text", chunk.text + chunk.refusal) for chunk in chunks if chunk.text or chunk.refusal]
    said += [
        ("call", call.index, call.id, call.name, call.arguments)
        for chunk in chunks
        for call in chunk.tool_calls
        if call.name or call.arguments
    ]
    return said


@pytest.mark.slow
@pytest.mark.parametrize(("one", "other"), TOLD)
@given(answer=answers(), size=st.integers(1, 7), sizes=st.lists(st.integers(1, 40), min_size=1, max_size=4))
@settings(deadline=None, max_examples=60)
def test_streams(one: Dialect, other: Dialect, answer: Answer, size: int, sizes: list[int]) -> None:
    answer = sayable([one, other], answer)
    chunks = spoken(answer, size)
    first = read(one, written(one, chunks), sizes)
    assert events_of(first) == events_of(chunks)
    assert seen([one], joined(first)) == seen([one], answer)
    second = read(other, written(other, first), sizes)
    assert events_of(second) == events_of(chunks)
    assert seen([one, other], joined(second)) == seen([one, other], answer)


@pytest.mark.slow
@pytest.mark.parametrize(("one", "other"), MIXED)
@given(answer=answers().filter(lambda made: len(made.tool_calls) > 1), data=st.data())
@settings(deadline=None, max_examples=60)
def test_mixed_calls(one: Dialect, other: Dialect, answer: Answer, data: st.DataObject) -> None:
    """Pieces of parallel calls in any order that keeps each call's own: some services begin all calls first, and some
    say a word between."""
    answer = sayable([one, other], answer)
    *before, end = spoken(replace(answer, tool_calls=(), text="", refusal=""), 5)
    rows = [
        [Chunk("progress", tool_calls=(piece,)) for piece in pieces_of(call, data.draw(st.integers(1, 7)))]
        for call in answer.tool_calls
    ]
    rows.append([Chunk("progress", text=piece) for piece in cut(answer.text, 5)])
    mixed: list[Chunk] = []
    while left := [row for row in rows if row]:
        mixed.append(data.draw(st.sampled_from(left)).pop(0))
    first = read(one, written(one, [*before, *mixed, end]), [50])
    assert by_id(seen([one], joined(first))) == by_id(seen([one], answer))
    second = read(other, written(other, first), [50])
    assert by_id(seen([one, other], joined(second))) == by_id(seen([one, other], answer))


def by_id(answer: dict[str, Any]) -> dict[str, Any]:
    """Calls that began in another order are the same calls."""
    return answer | {"calls": sorted(answer["calls"], key=lambda call: str(call[0]))}


@pytest.mark.parametrize("dialect", DIALECTS, ids=[dialect.name for dialect in DIALECTS])
@given(answer=answers(), size=st.integers(1, 7))
@settings(deadline=None, max_examples=60)
def test_a_stream_and_a_whole_answer_say_the_same(dialect: Dialect, answer: Answer, size: int) -> None:
    answer = sayable([dialect], answer)
    stream = joined(read(dialect, written(dialect, spoken(answer, size)), [1 << 16]))
    whole = joined(dialect.module.decode_answer(dialect.module.encode_answer(answer, id=dialect.id, **FRAME)))
    assert seen([dialect], stream) == seen([dialect], whole)


#: what ends a stream of each dialect, which must be there once, and last
ENDS = {"chat": b"data: [DONE]\n\n", "responses": b"event: response.", "messages": b"event: message_stop\n"}


@pytest.mark.parametrize(("one", "other"), TOLD)
@given(answer=answers(), size=st.integers(1, 7))
@settings(deadline=None, max_examples=30)
def test_one_end(one: Dialect, other: Dialect, answer: Answer, size: int) -> None:
    answer = sayable([one, other], answer)
    stream = written(other, read(one, written(one, spoken(answer, size)), [64]))
    end = ENDS[other.name]
    if other.name == "responses":
        whole = seen([one, other], answer)["finish_reason"] not in ("length", "content_filter")
        end = b"event: response.completed\n" if whole else b"event: response.incomplete\n"
    assert stream.count(end) == 1
    assert end in b"\n\n".join(stream.rstrip(b"\n").split(b"\n\n")[-1:]) + b"\n\n"


# ------------------------------------------------------------------ what a client gives back


def given_back(dialect: Dialect, body: bytes) -> bytes:
    """The next request of a client that hands an answer back as it came."""
    answer = json.loads(body)
    request: dict[str, Any]
    asked = {"role": "user", "content": "go on"}
    match dialect.name:
        case "chat":
            request = {"messages": [asked, answer["choices"][0]["message"], asked]}
        case "responses":
            request = {"input": [asked, *answer["output"], asked]}
        case _:
            content = {"role": "assistant", "content": answer["content"]}
            request = {"max_tokens": 10, "messages": [asked, content, asked]}
    return json.dumps({"model": "m", **request}).encode()


@pytest.mark.parametrize("dialect", CLIENTS, ids=[dialect.name for dialect in CLIENTS])
@given(answer=answers())
@settings(deadline=None, max_examples=60)
def test_an_answer_that_is_given_back_is_what_the_model_said(dialect: Dialect, answer: Answer) -> None:
    """Proofs of thoughts above all: a model of Anthropic's must not go on without them once it has called a tool."""
    answer = sayable([dialect], answer)
    body = dialect.module.encode_answer(answer, id=dialect.id, **FRAME)
    _, *turns, _ = dialect.module.decode_request(given_back(dialect, body)).request.messages
    parts = [part for turn in turns for part in turn.parts]
    thoughts = [(part.text, part.signature, part.sealed) for part in parts if isinstance(part, Thinking)]
    assert thoughts == [(thought.text, thought.signature, thought.sealed) for thought in answer.thinking]
    assert "".join([text_of(turn) for turn in turns]) == answer.text + answer.refusal
    calls = [(call.id, call.name, call.custom, call.arguments) for turn in turns for call in turn.tool_calls]
    if dialect.name == "messages":  # an object there, not its text
        calls = [(*call[:3], json.loads(call[3])) for call in calls]
        assert calls == seen([dialect], answer)["calls"]
    else:
        assert calls == [(call.id, call.name, call.custom, call.arguments) for call in answer.tool_calls]
