"""A client's request goes through the house and comes out as it was: nothing is lost between two of the same dialect."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from promptd.dialects.messages import Writer, decode_answer, decode_request, encode_answer
from tests.dialects.messages.making import again
from tests.dialects.messages.streams import answer_of, check_order, read, written

WORDS = st.text(min_size=1, max_size=12).filter(lambda text: bool(text.strip()))
IDS = st.from_regex(r"[a-zA-Z0-9_-]{1,12}", fullmatch=True)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(WORDS, JSON, max_size=3)
MARKS: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [{}, {}, {"cache_control": {"type": "ephemeral"}}, {"cache_control": {"type": "ephemeral", "ttl": "1h"}}]
)


@st.composite
def texts(draw: st.DrawFn) -> dict[str, Any]:
    return {"type": "text", "text": draw(WORDS), **draw(MARKS)}


@st.composite
def images(draw: st.DrawFn) -> dict[str, Any]:
    source = draw(
        st.sampled_from(
            [
                {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="},
                {"type": "url", "url": "https://example.org/a.png"},
                {"type": "file", "file_id": "file_1"},
            ]
        )
    )
    return {"type": "image", "source": source, **draw(MARKS)}


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    source = draw(
        st.sampled_from(
            [
                {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="},
                {"type": "text", "media_type": "text/plain", "data": "words"},
                {"type": "url", "url": "https://example.org/a.pdf"},
                {"type": "file", "file_id": "file_2"},
                {"type": "content", "content": [{"type": "text", "text": "x"}]},
            ]
        )
    )
    kinds: list[dict[str, Any]] = [{}, {"title": "T"}, {"context": "c", "citations": {"enabled": True}}]
    more = draw(st.sampled_from(kinds))
    return {"type": "document", "source": source, **more, **draw(MARKS)}


SEARCHES = st.just({"type": "search_result", "source": "s", "title": "t", "content": [{"type": "text", "text": "x"}]})


@st.composite
def results(draw: st.DrawFn) -> dict[str, Any]:
    block: dict[str, Any] = {"type": "tool_result", "tool_use_id": draw(IDS), **draw(MARKS)}
    content = draw(st.none() | WORDS | st.lists(texts() | images() | documents() | SEARCHES, min_size=1, max_size=2))
    if content is not None:
        block["content"] = content
    if draw(st.booleans()):
        block["is_error"] = True
    return block


@st.composite
def assistants(draw: st.DrawFn) -> dict[str, Any]:
    thoughts = st.builds(lambda text, sign: {"type": "thinking", "thinking": text, "signature": sign}, st.text(), IDS)
    sealed = st.builds(lambda data: {"type": "redacted_thinking", "data": data}, IDS)
    calls = st.builds(
        lambda id_, name, given, mark: {"type": "tool_use", "id": id_, "name": name, "input": given, **mark},
        IDS,
        IDS,
        OBJECTS,
        MARKS,
    )
    server = st.builds(
        lambda id_: {"type": "server_tool_use", "id": id_, "name": "web_search", "input": {"query": "x"}}, IDS
    )
    cited = st.builds(lambda text: {"type": "text", "text": text, "citations": [{"type": "page_location"}]}, WORDS)
    blocks = st.lists(thoughts | sealed | texts() | calls | server | cited, min_size=1, max_size=6)
    return {"role": "assistant", "content": draw(WORDS | blocks)}


@st.composite
def users(draw: st.DrawFn) -> dict[str, Any]:
    said = st.lists(texts() | images() | documents() | SEARCHES, max_size=3)
    blocks = draw(st.lists(results(), max_size=2)) + draw(said)
    return {"role": "user", "content": blocks or draw(WORDS)}


@st.composite
def tools(draw: st.DrawFn) -> dict[str, Any]:
    tool: dict[str, Any] = {"name": draw(IDS), "input_schema": {"type": "object", "properties": draw(OBJECTS)}}
    if draw(st.booleans()):
        tool |= {"description": draw(WORDS), "strict": draw(st.booleans())}
    return tool | draw(MARKS)


SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "string", "enum": ["x"]}, "b": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/c"}]}},
    "required": ["a"],
    "additionalProperties": False,
    "$defs": {"c": {"type": "array", "items": {"type": "integer"}, "minItems": 1}},
}


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    count = draw(st.integers(1, 4))
    messages = [draw(users() if turn % 2 == 0 else assistants()) for turn in range(count)]
    body: dict[str, Any] = {"model": draw(WORDS), "max_tokens": draw(st.integers(0, 10**6)), "messages": messages}
    optional: dict[str, st.SearchStrategy[Any]] = {
        "system": WORDS | st.lists(texts(), min_size=1, max_size=2),
        "temperature": st.floats(0, 1),
        "top_k": st.integers(0, 500),
        "stop_sequences": st.lists(WORDS, min_size=1, max_size=3),
        "stream": st.just(True),
        "metadata": st.just({"user_id": "u"}),
        "service_tier": st.sampled_from(["auto", "standard_only"]),
        "thinking": st.sampled_from(
            [
                {"type": "enabled", "budget_tokens": 2048},
                {"type": "enabled", "budget_tokens": 2048, "display": "omitted"},
                {"type": "disabled"},
                {"type": "adaptive"},
                {"type": "between_tools"},
            ]
        ),
        "output_config": st.sampled_from(
            [{"effort": "high"}, {"format": {"type": "json_schema", "schema": SCHEMA}}, {"task_budget": {"total": 5}}]
        ),
        "container": st.just("c1"),
        "context_management": st.just({"edits": []}),
    }
    for name, values in optional.items():
        if draw(st.booleans()):
            body[name] = draw(values)
    if draw(st.booleans()):
        body["tools"] = draw(st.lists(tools(), min_size=1, max_size=2))
        body["tools"] += draw(st.sampled_from([[], [{"type": "web_search_20250305", "name": "web_search"}]]))
        choices = [{"type": "auto"}, {"type": "any"}, {"type": "none"}, {"type": "tool", "name": "x"}]
        choice = draw(st.none() | st.sampled_from(choices))
        if choice is not None:
            more = draw(st.sampled_from([{}, {"disable_parallel_tool_use": True}]))
            body["tool_choice"] = choice | (more if choice["type"] != "none" else {})
    return body


def plain(body: dict[str, Any]) -> dict[str, Any]:
    """One block of text and the text alone mean the same."""

    def flat(content: Any) -> Any:
        only = isinstance(content, list) and len(content) == 1 and content[0].get("type") == "text"
        return content[0]["text"] if only and len(content[0]) == 2 else content

    made = json.loads(json.dumps(body))
    for message in made["messages"]:
        if isinstance(message["content"], list):
            for block in message["content"]:
                if block.get("type") == "tool_result" and "content" in block:
                    block["content"] = flat(block["content"])
        message["content"] = flat(message["content"])
    if "system" in made:
        made["system"] = flat(made["system"])
    assert isinstance(made, dict)
    return made


@given(requests())
def test_a_request_comes_out_as_it_came(body: dict[str, Any]) -> None:
    asked = decode_request(json.dumps(body).encode())
    assert plain(again(asked)) == plain(body)


@st.composite
def answers(draw: st.DrawFn) -> list[dict[str, Any]]:
    thoughts = st.builds(lambda text, sign: {"type": "thinking", "thinking": text, "signature": sign}, WORDS, IDS)
    sealed = st.builds(lambda data: {"type": "redacted_thinking", "data": data}, IDS)
    calls = st.builds(
        lambda id_, name, given: {"type": "tool_use", "id": id_, "name": name, "input": given}, IDS, IDS, OBJECTS
    )
    content: list[dict[str, Any]] = draw(st.lists(thoughts | sealed, max_size=2))
    content += draw(st.lists(texts().map(lambda block: {"type": "text", "text": block["text"]}), max_size=1))
    return content + draw(st.lists(calls, max_size=3))


@given(answers())
def test_an_answer_comes_out_as_it_came_whole_and_streamed(content: list[dict[str, Any]]) -> None:
    usage = {"input_tokens": 3, "cache_creation_input_tokens": 1, "cache_read_input_tokens": 2, "output_tokens": 4}
    called = any(block["type"] == "tool_use" for block in content)
    body = {"content": content, "stop_reason": "tool_use" if called else "end_turn", "usage": usage}
    chunks = decode_answer(json.dumps(body).encode())
    whole = json.loads(encode_answer(answer_of(chunks), id="msg_1", model="m"))
    assert {name: whole[name] for name in body} == body
    streamed = check_order(written(*chunks)).model_dump(mode="json", exclude_unset=True)
    assert {name: streamed[name] for name in body} == body
    writer = Writer(id="msg_1", model="m")
    twice = read(writer.begin() + b"".join([writer.write(chunk) for chunk in chunks]))
    assert answer_of(twice) == answer_of(chunks)
