"""Calls as requests of the Converse API: what stands where, what is said in words, and what is refused."""

from __future__ import annotations

import json
import time
from base64 import b64encode
from typing import Any

import pytest

from promptd.core.content import Document, Foreign, Image, Part, Sound, Text, Thinking, Tool, ToolCall, Turn
from promptd.core.engine import Call, NoConfig
from promptd.core.errors import InvalidInput, PromptExecutionError, UnsupportedInput
from promptd.core.model import Blob
from promptd.core.parameters import Parameters
from promptd.dialects.converse import Manners, encode_request
from promptd.egress import Egress
from tests.dialects.conversations import PDF, PNG
from tests.dialects.converse.wire import check

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False}
MARK = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
POINT = {"cachePoint": {"type": "default", "ttl": "1h"}}
CLAUDE = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
PROFILE = "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/abc123"
ANY = Manners()


def sent(
    *turns: Turn, model: str = "m.m", manners: Manners = ANY, blobs: tuple[Blob, ...] = (), **parameters: Any
) -> dict[str, Any]:
    call = Call(
        connection=NoConfig(),
        connection_name="c",
        model=model,
        http=Egress(),
        messages=turns or (Turn("user", "q"),),
        parameters=Parameters(**parameters),
        blobs=blobs,
    )
    body: dict[str, Any] = json.loads(encode_request(call, manners=manners))
    check("ConverseRequest", {"modelId": model, **body})
    return body


def content(*parts: Part) -> list[dict[str, Any]]:
    (message,) = sent(Turn("user", parts=parts))["messages"]
    blocks: list[dict[str, Any]] = message["content"]
    return blocks


def test_a_whole_request() -> None:
    body = sent(
        Turn("system", "be brief"),
        Turn("user", "a"),
        Turn("assistant", "\n", tool_calls=(ToolCall(0, "c 1", "f", '{"a": 1}'), ToolCall(1, "c2", "g", "no object"))),
        Turn("tool", "1", tool_call_id="c 1"),
        Turn("tool", "", tool_call_id="c2", failed=True),
        Turn("user", "b"),
        Turn("developer", "and kind"),
        max_tokens=7,
        temperature=1.5,
        top_p=0.5,
        stop=("x",),
        tools=(Tool("f", "d", SCHEMA, strict=True), Tool("g", " ")),
        tool_choice="f",
    )
    assert body == {
        "system": [{"text": "be brief"}, {"text": "and kind"}],
        "messages": [
            {"role": "user", "content": [{"text": "a"}]},
            {
                "role": "assistant",
                "content": [
                    {"toolUse": {"toolUseId": "c_1_718a88f3", "name": "f", "input": {"a": 1}}},
                    {"toolUse": {"toolUseId": "c2", "name": "g", "input": {"input": "no object"}}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"toolResult": {"toolUseId": "c_1_718a88f3", "content": [{"text": "1"}]}},
                    {"toolResult": {"toolUseId": "c2", "content": [{"text": "(empty)"}], "status": "error"}},
                    {"text": "b"},
                ],
            },
        ],
        "inferenceConfig": {"maxTokens": 7, "temperature": 1.0, "topP": 0.5, "stopSequences": ["x"]},
        "toolConfig": {
            "tools": [
                {"toolSpec": {"name": "f", "description": "d", "inputSchema": {"json": SCHEMA}, "strict": True}},
                {"toolSpec": {"name": "g", "inputSchema": {"json": {"type": "object", "properties": {}}}}},
            ],
            "toolChoice": {"tool": {"name": "f"}},
        },
        "additionalModelResponseFieldPaths": ["/stop_sequence"],
    }


def test_ids_are_no_longer_than_the_service_takes() -> None:
    long = "c" * 70
    body = sent(
        Turn("user", "a"),
        Turn("assistant", tool_calls=(ToolCall(0, long, "f", ""),)),
        Turn("tool", "1", tool_call_id=long),
    )
    call, result = (body["messages"][place]["content"][0] for place in (1, 2))
    assert call["toolUse"]["toolUseId"] == result["toolResult"]["toolUseId"]
    assert len(call["toolUse"]["toolUseId"]) == 64


def test_instructions_alone_are_what_is_asked() -> None:
    assert sent(Turn("system", "s")) == {"messages": [{"role": "user", "content": [{"text": "s"}]}]}


# ------------------------------------------------------------------ parts


def test_images_and_sounds() -> None:
    data = PNG.partition(",")[2]
    assert content(Image(PNG), Sound("UklGRg==", "wav"), Text(" "), Image("s3://bucket/a.JPG"), Text("t")) == [
        {"image": {"format": "png", "source": {"bytes": data}}},
        {"audio": {"format": "wav", "source": {"bytes": "UklGRg=="}}},
        {"image": {"format": "jpeg", "source": {"s3Location": {"uri": "s3://bucket/a.JPG"}}}},
        {"text": "t"},
    ]


def test_a_document_keeps_its_context() -> None:
    told = Document(PDF, name="a.pdf", extra={"context": "a bill", "citations": {"enabled": True}})
    assert content(told)[0]["document"] == {
        "format": "pdf",
        "name": "a",
        "context": "a bill",
        "source": {"bytes": PDF.partition(",")[2]},
    }
    assert "context" not in content(Document(PDF, extra={"context": " "}))[0]["document"]


def test_files_of_the_call() -> None:
    blobs = (Blob("a.png", "image/png", b"p"), Blob("a.wav", "audio/wav", b"w"))
    assert sent(blobs=blobs)["messages"][0]["content"][1:] == [
        {"image": {"format": "png", "source": {"bytes": "cA=="}}},
        {"audio": {"format": "wav", "source": {"bytes": "dw=="}}},
    ]


def test_documents_have_names_that_the_service_takes_and_a_text_beside_them() -> None:
    blocks = content(
        Document(PDF, name="Ärger & Co.  (2).pdf"),
        Document(PDF, name="x.pdf"),
        Document(text="words", name="x.txt"),
        Document("data:text/csv;base64,YQ=="),
        Document("s3://bucket/y.docx", name="y"),
    )
    named = [(block["document"]["name"], block["document"].get("format")) for block in blocks[:-1]]
    assert named == [("rger - Co- (2)", "pdf"), ("x", "pdf"), ("x (2)", "txt"), ("document", "csv"), ("y", "docx")]
    assert blocks[2]["document"]["source"] == {"bytes": b64encode(b"words").decode()}
    assert blocks[-1] == {"text": "rger - Co- (2)"}


def test_marks_for_the_cache_are_blocks_of_their_own() -> None:
    body = sent(
        Turn("system", parts=(Text("s", MARK),)),
        Turn("user", parts=(Text("q", MARK),)),
        Turn("assistant", tool_calls=(ToolCall(0, "c", "f", "{}", extra=MARK),)),
        Turn("tool", parts=(Text("r", MARK),), tool_call_id="c", extra=MARK),
        Turn("user", "more"),
        tools=(Tool("f", extra=MARK),),
    )
    assert body["system"] == [{"text": "s"}, POINT]
    assert body["toolConfig"]["tools"][1:] == [POINT]
    first, calls, results = (message["content"] for message in body["messages"])
    assert first == [{"text": "q"}, POINT]
    assert calls[1:] == [POINT]
    assert results == [{"toolResult": {"toolUseId": "c", "content": [{"text": "r"}]}}, POINT, {"text": "more"}]


def test_results_come_before_what_else_was_said() -> None:
    calls = tuple(ToolCall(at, f"c{at}", "f", "{}") for at in range(2))
    body = sent(
        Turn("user", "q"),
        Turn("assistant", tool_calls=calls),
        Turn("user", "wait"),
        Turn("tool", "0", tool_call_id="c0", extra=MARK),
        Turn("tool", "1", tool_call_id="c1"),
    )
    kinds = [next(iter(block)) for block in body["messages"][2]["content"]]
    assert kinds == ["toolResult", "cachePoint", "toolResult", "text"]


def test_a_conversation_of_many_pieces_takes_no_longer_for_each_of_them() -> None:
    def cost(count: int) -> float:
        calls = tuple(ToolCall(at, f"c{at}", "f", "{}") for at in range(count))
        results = [Turn("tool", "r", tool_call_id=call.id) for call in calls]
        files = tuple(Document(text="t", name="same") for _ in range(count))
        turns = (Turn("user", "q"), Turn("assistant", tool_calls=calls), Turn("user", parts=files), *results)
        call = Call(connection=NoConfig(), connection_name="c", model="m.m", http=Egress(), messages=turns)
        begun = time.process_time()
        encode_request(call)
        return time.process_time() - begun

    assert min(cost(4000) for _ in range(3)) < 10 * min(cost(1000) for _ in range(3))


def test_only_thoughts_of_the_services_own_models_go_back() -> None:
    thoughts = (Thinking("a", "signed"), Thinking(sealed="EqQB"), Thinking("nobody's"), Thinking(sealed="rs_1:x"))
    body = sent(Turn("user", "q"), Turn("assistant", parts=(*thoughts, Text("a"))), Turn("user", "q"))
    assert body["messages"][1]["content"] == [
        {"reasoningContent": {"reasoningText": {"text": "a", "signature": "signed"}}},
        {"reasoningContent": {"redactedContent": "EqQB"}},
        {"text": "a"},
    ]


# ------------------------------------------------------------------ tools and forms


def test_no_tool_is_to_be_called() -> None:
    tools = (Tool("f", "d", SCHEMA),)
    assert "toolConfig" not in sent(tools=tools, tool_choice="none")
    called = (
        Turn("user", "q"),
        Turn("assistant", tool_calls=(ToolCall(0, "c", "old", "{}"),)),
        Turn("tool", "r", tool_call_id="c"),
    )
    for offered, names in ((tools, ["f"]), ((), ["old"])):
        body = sent(*called, tools=offered, tool_choice="none" if offered else None)
        assert [one["toolSpec"]["name"] for one in body["toolConfig"]["tools"]] == names
        assert body["system"] == [{"text": "Answer without calling a tool."}]


@pytest.mark.parametrize(("choice", "wire"), [("auto", None), (None, None), ("required", {"any": {}})])
def test_choices_among_tools(choice: str | None, wire: Any) -> None:
    assert sent(tools=(Tool("f"),), tool_choice=choice)["toolConfig"].get("toolChoice") == wire


def test_a_custom_tool_takes_an_object_with_its_text() -> None:
    form = {"type": "grammar", "syntax": "lark", "definition": "start: x"}
    (tool,) = sent(tools=(Tool("sh", "d", extra={"type": "custom", "format": form}),))["toolConfig"]["tools"]
    assert tool["toolSpec"]["inputSchema"]["json"]["required"] == ["input"]
    assert "start: x" in tool["toolSpec"]["description"]


def test_a_schema_is_the_services_or_asked_in_words() -> None:
    body = sent(json_schema={**SCHEMA, "maxProperties": 3}, schema_name="form")
    assert json.loads(body["outputConfig"]["textFormat"]["structure"]["jsonSchema"].pop("schema")) == SCHEMA
    assert body["outputConfig"] == {
        "textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"name": "form"}}}
    }
    body = sent(json_schema=SCHEMA, manners=Manners(schemas=False), tools=(Tool("f", strict=True),))
    assert json.dumps(SCHEMA, separators=(",", ":")) in body["system"][0]["text"]
    assert "outputConfig" not in body
    assert "strict" not in body["toolConfig"]["tools"][0]["toolSpec"]
    assert sent(json_object=True)["system"] == [{"text": "Answer with one JSON object and nothing else."}]


# ------------------------------------------------------------------ what models of one maker take


def test_unknown_members_are_the_models_and_those_of_other_dialects_nobodys() -> None:
    extra = {
        "min_p": 0.1,
        "stream_options": {},
        "store": True,
        "cache_control": {},
        "context_management": {"edits": []},
    }
    own = {"requestMetadata": {"a": "b"}, "performanceConfig": {"latency": "optimized"}}
    body = sent(extra={**extra, **own, "additionalModelRequestFields": {"x": 1}, "service_tier": "flex"}, seed=3)
    assert {name: body[name] for name in own} == own
    assert body["additionalModelRequestFields"] == {"min_p": 0.1, "x": 1}
    assert body["serviceTier"] == {"type": "flex"}
    assert body.keys() == {*own, "messages", "additionalModelRequestFields", "serviceTier"}


@pytest.mark.parametrize(
    ("model", "wish", "fields"),
    [
        (CLAUDE, {"effort": "low"}, {"thinking": {"type": "enabled", "budget_tokens": 2048}}),
        (CLAUDE, {"extra": {"thinking": {"type": "adaptive"}}}, {"thinking": {"type": "adaptive"}}),
        (CLAUDE, {"top_k": 5}, {"top_k": 5}),
        (CLAUDE, {"top_k": 5, "effort": "low"}, {"thinking": {"type": "enabled", "budget_tokens": 2048}}),
        (
            "amazon.nova-2-lite-v1:0",
            {"effort": "xhigh"},
            {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}},
        ),
        ("amazon.nova-pro-v1:0", {"effort": "high", "top_k": 5}, {"inferenceConfig": {"topK": 5}}),
        ("openai.gpt-oss-120b-1:0", {"effort": "minimal"}, {"reasoning_effort": "low"}),
        ("meta.llama3-1-70b-instruct-v1:0", {"effort": "high"}, None),
        # of whom it is nobody can see: a wish in the words of one maker is that maker's
        (PROFILE, {"extra": {"thinking": {"type": "adaptive"}}}, {"thinking": {"type": "adaptive"}}),
        (PROFILE, {"extra": {"thinking": "much"}, "effort": "high"}, None),
        (PROFILE, {"effort": "high"}, None),
    ],
)
def test_each_maker_has_its_own_words(model: str, wish: dict[str, Any], fields: Any) -> None:
    assert sent(model=model, max_tokens=9000, **wish).get("additionalModelRequestFields") == fields


def test_effort_in_the_services_own_word() -> None:
    body = sent(model="anthropic.claude-opus-5-v1:0", effort="medium", temperature=0.5)
    assert body["outputConfig"] == {"effort": "medium"}
    assert body["additionalModelRequestFields"] == {"thinking": {"type": "adaptive"}}
    assert "inferenceConfig" not in body


def test_stops_that_say_nothing_are_none() -> None:
    assert sent(stop=("", "a"))["inferenceConfig"] == {"stopSequences": ["a"]}
    assert sent(stop=("",)).keys() == {"messages"}


def test_a_guardrail_of_the_operator_wins() -> None:
    theirs = {"guardrailConfig": {"guardrailIdentifier": "theirs", "guardrailVersion": "DRAFT"}}
    assert sent(extra=theirs)["guardrailConfig"]["guardrailIdentifier"] == "theirs"
    body = sent(extra=theirs, manners=Manners(guardrail="ours", guardrail_version="2"))
    assert body["guardrailConfig"] == {"guardrailIdentifier": "ours", "guardrailVersion": "2"}


# ------------------------------------------------------------------ what can't be asked

DEEP: dict[str, Any] = {}
for _ in range(5000):
    DEEP = {"a": DEEP}


@pytest.mark.parametrize(
    ("turns", "parameters", "error", "named"),
    [
        (
            (Turn("user", parts=(Image("https://models.example/a.png"),)),),
            {},
            UnsupportedInput,
            r"messages\[0\].parts\[0\]",
        ),
        ((Turn("user", parts=(Image(file="file_1"),)),), {}, UnsupportedInput, r"messages\[0\].parts\[0\]"),
        ((Turn("user", parts=(Image("data:image/tiff;base64,AA=="),)),), {}, UnsupportedInput, "image/tiff"),
        ((Turn("user", parts=(Image("data:image/png;base64,###"),)),), {}, InvalidInput, "base64"),
        ((Turn("user", parts=(Image("data:image/png;base64,"),)),), {}, InvalidInput, "holds nothing"),
        ((Turn("user", parts=(Document(name="a.txt"),)),), {}, InvalidInput, "holds nothing"),
        ((Turn("user", parts=(Sound("###", "wav"),)),), {}, InvalidInput, r"parts\[0\].*base64"),
        ((Turn("user", parts=(Sound("UklGRg==", "midi"),)),), {}, UnsupportedInput, "no midi"),
        ((Turn("user", " \n"), Turn("assistant", "")), {}, InvalidInput, "messages"),
        ((Turn("user", parts=(Image("s3://bucket/a"),)),), {}, UnsupportedInput, "ending"),
        ((Turn("user", parts=(Document("data:image/png;base64,AA=="),)),), {}, UnsupportedInput, "as a document"),
        ((Turn("user", parts=(Foreign("x.y", {"type": "video"}),)),), {}, UnsupportedInput, "a video of x.y"),
        ((Turn("system", parts=(Image(PNG),)),), {}, UnsupportedInput, "as instructions"),
        (
            (Turn("tool", parts=(Sound("UklGRg==", "wav"),), tool_call_id="c"),),
            {},
            UnsupportedInput,
            r"messages\[0\].parts\[0\].*results",
        ),
        ((Turn("tool", "r"),), {}, InvalidInput, r"messages\[0\].tool_call_id"),
        ((Turn("assistant", tool_calls=(ToolCall(0, "", "f"),)),), {}, InvalidInput, r"tool_calls\[0\].id"),
        ((), {"grammar": "x"}, UnsupportedInput, "parameters.grammar"),
        ((), {"template": "x"}, UnsupportedInput, "parameters.template"),
        ((), {"logprobs": True}, UnsupportedInput, "parameters.logprobs"),
        ((), {"foreign_tools": (Foreign("x.y", {"type": "bash"}, 2),)}, UnsupportedInput, r"tools\[2\]"),
        ((), {"extra": {"web_search_options": {}}}, UnsupportedInput, "web_search_options"),
        *[
            ((), {"extra": {"additionalModelRequestFields": {name: "x"}}}, UnsupportedInput, f"Fields.{name}:")
            for name in ("messages", "system", "prompt", "inputText", "tools")
        ],
        ((), {"extra": {"inputText": "x"}}, UnsupportedInput, "Fields.inputText:"),
        ((), {"extra": {"x": DEEP}}, InvalidInput, "too deep"),
        ((Turn("user", "\ud800"),), {}, InvalidInput, "surrogate"),
    ],
)
def test_what_the_service_cannot_be_asked_is_named(
    turns: tuple[Turn, ...], parameters: dict[str, Any], error: type[PromptExecutionError], named: str
) -> None:
    with pytest.raises(error, match=named):
        sent(*turns, **parameters)


def test_a_strange_file_is_refused() -> None:
    with pytest.raises(UnsupportedInput, match=r"files\[0\].*video/mp4"):
        sent(blobs=(Blob("a.mp4", "video/mp4", b"v"),))
