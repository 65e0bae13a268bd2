"""What clients of the Responses API get: event by event, and whole."""

from __future__ import annotations

import msgspec
import pytest
from openai.types.responses import Response

from promptd.core.chunks import gather
from promptd.core.content import Foreign, Tool, Turn
from promptd.core.errors import (
    ExecutionFailed,
    RateLimited,
    ServiceUnavailable,
)
from promptd.core.model import Chunk, Request
from promptd.core.parameters import Parameters
from promptd.dialects.responses import encode_answer, encode_unfinished
from tests.dialects.responses.shapes import DONE, USAGE, call, events, kinds, progress, stream, writer


def test_a_text_as_a_stream() -> None:
    found = stream(progress(text="Hel"), progress(text="lo"), DONE)
    assert kinds(found) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert [event["sequence_number"] for event in found] == list(range(10))
    assert found[0]["response"]["status"] == "in_progress"
    assert [event["delta"] for event in found[4:6]] == ["Hel", "lo"]
    part = {"type": "output_text", "annotations": [], "logprobs": [], "text": "Hello"}
    item = {"id": "msg_01_0_0", "type": "message", "status": "completed", "role": "assistant", "content": [part]}
    assert found[7]["part"] == part
    assert found[8]["item"] == item
    response = found[9]["response"]
    assert response["output"] == [item]
    assert response["status"] == "completed"
    assert response["usage"] == {
        "input_tokens": 10,
        "input_tokens_details": {"cache_write_tokens": 3, "cached_tokens": 4},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 15,
    }


def test_the_first_chunk_may_be_written_before_the_stream_is_begun() -> None:
    one = writer()
    end = one.write(DONE)
    found = events(one.begin() + end)
    assert kinds(found) == ["created", "in_progress", "completed"]
    assert [event["response"]["status"] for event in found] == ["in_progress", "in_progress", "completed"]
    assert [event["sequence_number"] for event in found] == [0, 1, 2]


def test_thoughts_text_and_calls_as_a_stream() -> None:
    found = stream(
        progress(thinking="h"),
        progress(thinking="m", signature="s"),
        progress(text="so"),
        call(0, "c1", "f", '{"a"'),
        call(0, arguments=":1}"),
        call(1, "c2", "sh", "ls", custom=True),
        Chunk("done", finish_reason="tool_calls", usage=USAGE),
    )
    assert kinds(found)[2:] == [
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "output_item.added",
        "custom_tool_call_input.delta",
        "custom_tool_call_input.done",
        "output_item.done",
        "completed",
    ]
    output = found[-1]["response"]["output"]
    assert [item["type"] for item in output] == ["reasoning", "message", "function_call", "custom_tool_call"]
    assert output[0]["summary"] == [{"type": "summary_text", "text": "hm"}]
    assert output[0]["encrypted_content"] == "signature:s"
    assert (output[2]["arguments"], output[2]["call_id"], output[2]["name"]) == ('{"a":1}', "c1", "f")
    assert output[3]["input"] == "ls"
    added = [event for event in found if event["type"].endswith("output_item.added")]
    assert [event["output_index"] for event in added] == [0, 1, 2, 3]
    assert [event["item"]["id"] for event in added] == [item["id"] for item in output]
    assert found[-1]["response"]["status"] == "completed"


def test_a_refusal_behind_a_text_is_another_part() -> None:
    found = stream(progress(text="a"), progress(refusal="no"), DONE)
    assert kinds(found)[3:-1] == [
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "content_part.added",
        "refusal.delta",
        "refusal.done",
        "content_part.done",
        "output_item.done",
    ]
    assert [part["type"] for part in found[-1]["response"]["output"][0]["content"]] == ["output_text", "refusal"]


@pytest.mark.parametrize(
    ("finish_reason", "status", "reason"),
    [
        ("length", "incomplete", "max_output_tokens"),
        ("context_length", "incomplete", "max_output_tokens"),
        ("content_filter", "incomplete", "content_filter"),
        ("stop", "completed", None),
        ("pause", "completed", None),
    ],
)
def test_how_it_ended(finish_reason: str, status: str, reason: str | None) -> None:
    found = stream(progress(text="a"), Chunk("done", finish_reason=finish_reason, usage=USAGE))
    response = found[-1]["response"]
    assert (found[-1]["type"], response["status"]) == (f"response.{status}", status)
    assert response["incomplete_details"] == ({"reason": reason} if reason else None)
    assert response["output"][0]["status"] == status
    assert found[-2]["item"]["status"] == status


def test_a_stream_that_fails() -> None:
    one = writer()
    frames = one.begin() + one.write(progress(text="a")) + one.fail(RateLimited("slow down"))
    last = events(frames)[-1]
    assert last["type"] == "response.failed"
    assert last["response"]["error"] == {"code": "rate_limit_exceeded", "message": "slow down"}
    assert last["response"]["output"][0]["status"] == "incomplete"
    (only,) = events(writer().fail(ServiceUnavailable("gone")))
    assert (only["type"], only["code"], only["message"]) == ("error", "server_error", "gone")


def test_probabilities_are_complete() -> None:
    told = [
        {"token": "é", "logprob": -0.5, "bytes": None, "top_logprobs": [{"token": "e", "logprob": -1, "bytes": None}]}
    ]
    found = stream(progress(text="é", logprobs=told), DONE)
    shown = found[-1]["response"]["output"][0]["content"][0]["logprobs"]
    assert shown == [
        {
            "token": "é",
            "bytes": [195, 169],
            "logprob": -0.5,
            "top_logprobs": [{"token": "e", "bytes": [101], "logprob": -1}],
        }
    ]
    assert found[4]["logprobs"] == shown


def test_a_whole_answer_is_what_the_stream_ends_with() -> None:
    request = Request(
        messages=(Turn("system", "be brief"), Turn("user", "q")),
        metadata={"a": "b"},
        echo={"object": "response", "instructions": True, "truncation": "auto", "user": "u"},
        parameters=Parameters(
            temperature=0.5,
            tools=(Tool("f", "d", {"type": "object"}, True),),
            foreign_tools=(Foreign("openai.responses", {"type": "custom", "name": "sh"}),),
            tool_choice="f",
            effort="low",
            json_schema={"type": "object"},
            max_tokens=5,
        ),
    )
    chunks = [progress(thinking="hm"), progress(text="so"), call(0, "c1", "f", "{}")]
    answer = gather(chunks, DONE, USAGE, "msg")
    body = encode_answer(answer, id="resp_01", model="m", created=7.5, request=request, completed=9.5)
    Response.model_validate_json(body)
    whole = msgspec.json.decode(body)
    assert whole["completed_at"] == 9
    streamed = stream(*chunks, DONE, request=request)[-1]["response"]
    assert whole == {**streamed, "completed_at": 9}
    assert whole["instructions"] == "be brief"
    assert (whole["metadata"], whole["truncation"], whole["user"]) == ({"a": "b"}, "auto", "u")
    assert whole["tool_choice"] == {"type": "function", "name": "f"}
    assert [tool["type"] for tool in whole["tools"]] == ["function", "custom"]
    assert whole["text"]["format"]["type"] == "json_schema"
    assert whole["reasoning"] == {"summary": None, "effort": "low"}


@pytest.mark.parametrize("status", ["queued", "in_progress", "cancelled", "failed"])
def test_a_response_without_an_answer(status: str) -> None:
    error = ExecutionFailed("broken") if status == "failed" else None
    body = encode_unfinished(id="resp_1", model="m", created=1, request=Request(), status=status, error=error)
    Response.model_validate_json(body)
    response = msgspec.json.decode(body)
    assert (response["status"], response["output"]) == (status, [])
    assert response["error"] == ({"code": "server_error", "message": "broken"} if error else None)


def test_mixed_calls_are_told_one_after_the_other() -> None:
    """As the vendor tells them: there are clients that know one item at a time."""
    found = stream(
        call(0, "c0", "weather", '{"city": '),
        call(1, "c1", "clock", '{"zone"'),
        call(0, "", "", '"Oslo"}'),
        call(1, "", "", ': "CET"}'),
        DONE,
    )
    assert kinds(found)[2:-1] == [
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
    ]
    assert [event["arguments"] for event in found if event["type"].endswith("arguments.done")] == [
        '{"city": "Oslo"}',
        '{"zone": "CET"}',
    ]


def test_a_call_that_never_became_whole_holds_the_next_one_up_until_the_end() -> None:
    found = stream(
        call(0, "c0", "weather", '{"city": '),
        call(1, "c1", "clock", "{}"),
        DONE,
    )
    places = [event["output_index"] for event in found if "output_index" in event]
    assert places == sorted(places)
    assert [item["arguments"] for item in found[-1]["response"]["output"]] == ['{"city": ', "{}"]
