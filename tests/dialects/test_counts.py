"""Token counts that services write oddly are read in one way: translated or passing, whole or on a stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
import pytest

from promptd.core.claims import ABSURD, believed
from promptd.core.model import Request, Usage
from promptd.dialects import chat, converse, messages, responses
from promptd.dialects.chat.embeddings import decode_embeddings
from promptd.dialects.openai_media_streams import usage_of
from promptd.dialects.passing.looks import look_for

Read = Callable[[Any], Usage | None]


def encoded(value: Any) -> bytes:
    return msgspec.json.encode(value)


def sse(*events: Any) -> bytes:
    return b"".join(b"event: %s\ndata: %s\n\n" % (one.get("type", "x").encode(), encoded(one)) for one in events)


def chat_body(count: Any) -> dict[str, Any]:
    usage = {"prompt_tokens": count, "completion_tokens": 3, "completion_tokens_details": {"reasoning_tokens": 1.0}}
    return {"choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}], "usage": usage}


def message(count: Any) -> dict[str, Any]:
    usage = {"input_tokens": count, "output_tokens": 3, "output_tokens_details": {"thinking_tokens": 1.0}}
    content = [{"type": "text", "text": "hi"}]
    return {"type": "message", "content": content, "stop_reason": "end_turn", "usage": usage}


def message_events(count: Any) -> list[dict[str, Any]]:
    whole = message(count)
    return [
        {"type": "message_start", "message": {**whole, "content": [], "stop_reason": None}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
        {"type": "message_stop"},
    ]


def response(count: Any) -> dict[str, Any]:
    usage = {"input_tokens": count, "output_tokens": 3, "output_tokens_details": {"reasoning_tokens": 1.0}}
    output = [{"type": "message", "content": [{"type": "output_text", "text": "hi"}]}]
    return {"object": "response", "status": "completed", "output": output, "usage": usage}


def done(chunks: Any) -> Usage | None:
    usage: Usage | None = list(chunks)[-1].usage
    return usage


def looked(dialect: str, *events: Any) -> Usage | None:
    look = look_for(dialect)
    seen = [look.event(encoded(one), ()) for one in events]
    return next((one.usage for one in seen if one.usage is not None), None)


def streamed_chat(count: Any) -> Usage | None:
    reader = chat.Reader()
    return done([*reader.feed(sse(chat_body(count)) + b"data: [DONE]\n\n"), *reader.finish()])


def streamed_messages(count: Any) -> Usage | None:
    return done(messages.Reader().feed(sse(*message_events(count))))


def streamed_response(count: Any) -> Usage | None:
    told = {"type": "response.completed", "response": response(count)}
    return done(responses.Reader().feed(sse(told)))


def converse_body(count: Any) -> dict[str, Any]:
    output = {"message": {"role": "assistant", "content": [{"text": "hi"}]}}
    return {"output": output, "stopReason": "end_turn", "usage": {"inputTokens": count, "outputTokens": 3}}


READERS: Final[dict[str, Read]] = {
    "chat": lambda count: done(chat.decode_answer(encoded(chat_body(count)))),
    "chat stream": streamed_chat,
    "chat look": lambda count: look_for("openai.chat").whole(encoded(chat_body(count)), ()).usage,
    "chat stream look": lambda count: looked("openai.chat", chat_body(count)),
    "messages": lambda count: done(messages.decode_answer(encoded(message(count)))),
    "messages stream": streamed_messages,
    "messages look": lambda count: look_for("anthropic.messages").whole(encoded(message(count)), ()).usage,
    "messages stream look": lambda count: looked("anthropic.messages", *message_events(count)),
    "responses": lambda count: done(responses.decode_answer(encoded(response(count)))),
    "responses stream": streamed_response,
    "responses look": lambda count: look_for("openai.responses").whole(encoded(response(count)), ()).usage,
    "responses stream look": lambda count: looked(
        "openai.responses", {"type": "response.completed", "response": response(count)}
    ),
    "embeddings": lambda count: (
        decode_embeddings(encoded({"data": [{"embedding": [0.5]}], "usage": {"prompt_tokens": count}})).usage
    ),
    "embeddings look": lambda count: (
        look_for("openai.embeddings").whole(encoded({"data": [], "usage": {"prompt_tokens": count}}), ()).usage
    ),
    "converse": lambda count: done(converse.decode_answer(encoded(converse_body(count)))),
    "media": lambda count: usage_of({"input_tokens": count, "output_tokens": 3}),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("count", "read"),
    [(12, 12), (12.0, 12), (0, 0), (0.0, 0), (None, 0), (10**18, 10**18), (1e15, 10**15), (10**30, 10**30)],
)
def test_whole_numbers_count_however_they_are_written(reader: str, count: Any, read: int) -> None:
    usage = READERS[reader](count)
    assert usage is not None
    assert (usage.input_tokens, type(usage.input_tokens)) == (read, int)
    if reader.split()[0] in ("chat", "messages", "responses"):
        assert (usage.output_tokens, usage.reasoning_tokens) == (3, 1)
    if read > 10**10:
        assert believed(usage, Request(), None, 2) is None


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("count", [-1, -1.0, 12.5, 1e30, True, False, "12", "many", [12], {"text": 12}])
def test_what_is_no_count_is_not_believed_and_the_answer_is_good(reader: str, count: Any) -> None:
    usage = READERS[reader](count)
    assert usage == ABSURD
    assert believed(usage, Request(), None, 2) is None


@pytest.mark.parametrize("usage", ["none", 3, [], True])
@pytest.mark.parametrize(
    ("dialect", "body"),
    [("openai.chat", chat_body(1)), ("anthropic.messages", message(1)), ("openai.responses", response(1))],
)
def test_counts_that_are_no_object_are_none(dialect: str, body: dict[str, Any], usage: Any) -> None:
    assert look_for(dialect).whole(encoded(body | {"usage": usage}), ()).usage is None
    module = {"openai.chat": chat, "anthropic.messages": messages, "openai.responses": responses}[dialect]
    assert done(module.decode_answer(encoded(body | {"usage": usage}))) == Usage()
