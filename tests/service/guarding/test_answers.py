"""Answers of queued prompts: what a guard refuses never leaves, what it replaces leaves replaced, the rest as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from msgspec.structs import replace

from promptd.core.chunks import replay
from promptd.core.content import ToolCall, Turn
from promptd.core.engine import Call, NoConfig
from promptd.core.guarding import Action, Stage
from promptd.core.lifecycle import Status
from promptd.core.model import Capability, Chunk, Judgement, Output, Prompt, Request, Usage
from promptd.service.guarding import Check
from promptd.testing.word_guard import WordGuard
from tests.service.conftest import Build
from tests.service.house import END, House, applied, hold, say

pytestmark = pytest.mark.slow

REACH = 20
OAKS = "Oaks grow slowly and get old. "


def answers(guard: Any = None, **more: Any) -> Check:
    guard = guard or WordGuard({"bad": "rude", "ann@example.com": "email"}, reach=REACH)
    return Check(**{"name": "answers", "guard": guard, "stages": frozenset({Stage.OUTPUT}), **more})


def play(*chunks: Chunk, end: Chunk = END) -> Any:
    async def plan(call: Call[NoConfig]) -> AsyncGenerator[Chunk, None]:
        for chunk in chunks:
            yield chunk
        yield end

    return plan


async def follow(house: House, prompt: Prompt) -> list[Chunk]:
    async with asyncio.timeout(10):
        return [chunk async for batch in house.streams.follow(prompt.id) for chunk in batch]


async def test_text_leaves_a_little_later_and_a_refusal_ends_it(build: Build) -> None:
    house = await build(checks=[answers(told="not that")])
    gate = asyncio.Event()
    house.engine.plans["tell"] = (hold(gate, "Then comes a bad word. ", OAKS, before=[OAKS] * 40),)
    prompt = await house.submit("tell")
    seen: list[Chunk] = []
    async with asyncio.timeout(10):
        async for batch in house.streams.follow(prompt.id):
            seen += batch
            if len(applied(seen)) > 600:
                gate.set()
    assert applied([chunk for chunk in seen if chunk.kind == "progress"]) in OAKS * 40
    assert (seen[-1].kind, seen[-1].code, seen[-1].message) == ("error", "content_filtered", "not that")
    done = await house.get(prompt)
    assert (done.status, done.answer, done.failures) == (Status.ABANDONED, None, 1)
    assert done.judgements == (Judgement("answers", "output", "refused", 0.9, ("rude",)),)


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
async def test_what_is_replaced_leaves_replaced_however_it_is_cut(build: Build, size: int) -> None:
    house = await build(checks=[answers(action=Action.REDACT)])
    text = f"{OAKS}Write to ann@example.com today. " * 30
    house.engine.plans["tell"] = (say(*[text[at : at + size] for at in range(0, len(text), size)]),)
    prompt = await house.submit("tell")
    seen = await follow(house, prompt)
    expected = text.replace("ann@example.com", "[EMAIL]")
    assert applied(seen) == expected
    done = await house.get(prompt)
    assert done.answer is not None
    assert done.answer.text == expected
    assert done.judgements == (Judgement("answers", "output", "redacted", 1.0, ("email",)),)
    assert applied(await follow(house, prompt)) == expected  # as it is replayed, too


@pytest.mark.parametrize("reach", [REACH, None])
async def test_fine_answers_stay_as_they_were(build: Build, reach: int | None) -> None:
    guard = WordGuard({"bad": "rude"}, reach=reach)
    house = await build(checks=[answers(guard)])
    call = ToolCall(0, "c1", "plant", '{"what": "oak"}')
    said = [Chunk("progress", thinking="Hm. "), Chunk("progress", signature="proof")]
    said += [Chunk("progress", text=OAKS)] * 20 + [
        Chunk("progress", tool_calls=(call,)),
        Chunk("progress", text="Done."),
    ]
    house.engine.plans["tell"] = (play(*said),)
    prompt = await house.run("tell")
    assert prompt.answer is not None
    assert prompt.answer.text == OAKS * 20 + "Done."
    assert prompt.answer.tool_calls == (call,)
    assert [(part.text, part.signature) for part in prompt.answer.thinking] == [("Hm. ", "proof")]
    seen = replay(prompt.answer, prompt.trace, 1)
    assert [chunk.text for chunk in seen if chunk.text] == [OAKS] * 20 + ["Done."]
    assert (await house.get(prompt)).judgements == (Judgement("answers", "output", "allowed"),)
    if reach is None:
        assert len(guard.seen) == 1


@pytest.mark.parametrize(
    "chunk",
    [
        Chunk("progress", text="bad"),
        Chunk("progress", thinking="bad"),
        Chunk("progress", refusal="bad"),
        Chunk("progress", tool_calls=(ToolCall(name="bad"),)),
        Chunk("progress", tool_calls=(ToolCall(name="send", arguments='{"a": "bad"}'),)),
        Chunk("progress", tool_calls=(ToolCall(name="send", arguments='{"a": "\\u0062ad"}'),)),
        Chunk("progress", text="ba"),
    ],
)
@pytest.mark.parametrize("reach", [REACH, None])
async def test_every_kind_of_word_is_judged(build: Build, chunk: Chunk, reach: int | None) -> None:
    house = await build(checks=[answers(WordGuard({"bad": "rude"}, reach=reach))])
    more = [Chunk("progress", text="d")] if chunk.text == "ba" else []
    house.engine.plans["tell"] = (play(Chunk("progress", text="Well, "), chunk, *more),)
    prompt = await house.submit("tell")
    seen = await follow(house, prompt)
    assert [one.kind for one in seen] == ["error"]
    assert (await house.get(prompt)).status is Status.ABANDONED


async def test_calls_of_tools_are_replaced_inside(build: Build) -> None:
    house = await build(checks=[answers(action=Action.REDACT)])
    pieces = ['{"to": "ann', "@example", '.com", "n": 1}']
    said = [Chunk("progress", text="Sending. ")]
    said += [
        Chunk("progress", tool_calls=(ToolCall(0, "c1" if not n else "", "send" if not n else "", text),))
        for n, text in enumerate(pieces)
    ]
    house.engine.plans["tell"] = (play(*said),)
    prompt = await house.run("tell")
    assert prompt.answer is not None
    assert prompt.answer.tool_calls == (ToolCall(0, "c1", "send", '{"to": "[EMAIL]", "n": 1}'),)
    assert "ann" not in repr(await follow(house, prompt))


async def test_a_name_that_can_not_be_replaced_is_refused(build: Build) -> None:
    house = await build(checks=[answers(action=Action.REDACT)])
    house.engine.plans["tell"] = (play(Chunk("progress", tool_calls=(ToolCall(name="ann@example.com"),))),)
    prompt = await house.run("tell")
    assert prompt.error is not None
    assert prompt.error.code == "content_filtered"


@pytest.mark.parametrize("action", [Action.REFUSE, Action.REDACT])
async def test_values_are_judged(build: Build, action: Action) -> None:
    house = await build(checks=[answers(action=action)])
    end = Chunk("done", value={"a": ["from ann@example.com"]}, usage=Usage(1, 1))
    house.engine.plans["tell"] = (play(Chunk("progress", text="Fine."), end=end),)
    prompt = await house.run("tell")
    if action is Action.REFUSE:
        assert (prompt.status, prompt.answer) == (Status.ABANDONED, None)
    else:
        assert prompt.answer is not None
        assert prompt.answer.value == {"a": ["from [EMAIL]"]}


async def test_vectors_have_no_words(build: Build) -> None:
    guard = WordGuard({"bad": "rude"})
    house = await build(checks=[answers(guard)])
    end = Chunk("done", value={"embeddings": [[0.5]]}, usage=Usage(1, 1))
    house.engine.plans["a text"] = (play(end=end),)
    prompt = await house.run(request=Request(texts=("a text",)), capability=Capability.EMBEDDING)
    assert prompt.status is Status.COMPLETED
    assert guard.seen == []


async def test_notes_hold_nothing_up(build: Build) -> None:
    house = await build(checks=[answers(WordGuard({"bad": "rude"}), action=Action.RECORD)])
    gate = asyncio.Event()
    house.engine.plans["tell"] = (hold(gate, " word", before=["a bad"]),)
    prompt = await house.submit("tell")
    seen: list[Chunk] = []
    async with asyncio.timeout(10):
        async for batch in house.streams.follow(prompt.id):
            seen += batch
            gate.set()  # only a reader who saw the first words lets the answer end
    assert applied(seen) == "a bad word"
    assert (await house.get(prompt)).judgements == (Judgement("answers", "output", "recorded", 0.9, ("rude",)),)


async def test_a_guard_that_fails_is_asked_again_with_the_next_attempt(build: Build) -> None:
    guard = WordGuard({"bad": "rude"}, reach=REACH)
    guard.error = RuntimeError("down")
    house = await build(checks=[answers(guard)])
    prompt = await house.submit("hello")
    failed = await house.errored(prompt)
    assert failed.error is not None
    assert failed.error.code == "service_unavailable"
    guard.error = None
    house.move(10)
    assert (await house.finished(prompt)).status is Status.COMPLETED


async def test_a_form_is_judged_whole(build: Build) -> None:
    """What the text of a form spells with escapes, its value says plainly: nothing leaves before both are judged."""
    house = await build(checks=[answers(WordGuard({"bad": "rude"}, reach=REACH))])

    async def read(run: Any, call: Any, answer: Any) -> Any:
        return replace(answer, value={"a": "bad"}), ()

    house.execution.fulfilment = read
    house.engine.plans["tell"] = (say('{"a": "\\u0062ad"', " " * 500, "}"),)
    request = Request(messages=(Turn("user", "tell"),), output=Output("json"))
    prompt = await house.submit(request=request)
    assert [chunk.kind for chunk in await follow(house, prompt)] == ["error"]


async def test_too_many_pieces_end_it(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("promptd.service.guarding.watch.END_OF_FAILED", 100)
    house = await build(checks=[answers(WordGuard({"bad": "rude"}))])
    house.engine.plans["tell"] = (say(*["x"] * 200),)
    prompt = await house.submit("tell", max_attempts=1)
    done = await house.finished(prompt)
    assert done.error is not None
    assert done.error.code == "invalid_output"


@pytest.mark.parametrize("action", [Action.REFUSE, Action.REDACT, Action.RECORD])
async def test_warnings_are_judged_too(build: Build, action: Action) -> None:
    """They may quote what a provider said."""
    house = await build(checks=[answers(action=action)])

    async def read(run: Any, call: Any, answer: Any) -> Any:
        return replace(answer, warnings=("so bad", "ok")), ()

    house.execution.fulfilment = read
    house.engine.plans["tell"] = (say("fine"),)
    done = await house.run(request=Request(messages=(Turn("user", "tell"),), output=Output("text")))
    if action is Action.REFUSE:
        assert (done.status, done.answer) == (Status.ABANDONED, None)
    else:
        told = "so [RUDE]" if action is Action.REDACT else "so bad"
        assert done.answer is not None
        assert done.answer.warnings == (told, "ok")
    outcomes = {Action.REFUSE: "refused", Action.REDACT: "redacted", Action.RECORD: "recorded"}
    assert [one.outcome for one in done.judgements] == [outcomes[action]]
