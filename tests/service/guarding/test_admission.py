"""What callers write and tools give back is judged before anything is stored or sent."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from promptd.core.content import ToolCall, Turn
from promptd.core.errors import ContentRefused, Unavailable
from promptd.core.filters import Query
from promptd.core.guarding import Action, Redacted, Stage, Subject
from promptd.core.identity import USER_PERMISSIONS
from promptd.core.lifecycle import Status
from promptd.core.model import Caller, Capability, Judgement, Prompt, Request, Submission, Use
from promptd.core.tracing import Span, current
from promptd.service.guarding import Check
from promptd.service.tracing import Tracing, TracingRules
from promptd.testing.word_guard import WordGuard
from tests.service.conftest import Build
from tests.service.house import ANN, House

pytestmark = pytest.mark.slow

ASKED = frozenset({Stage.INPUT, Stage.TOOL})


def check(guard: Any = None, **more: Any) -> Check:
    guard = guard or WordGuard({"bad": "rude", "ann@example.com": "email"})
    return Check(**{"name": "words", "guard": guard, "stages": ASKED, **more})


def turns(*pairs: tuple[Any, str]) -> Request:
    return Request(messages=tuple(Turn(role, text) for role, text in pairs))


async def count(house: House) -> int | None:
    return (await house.records.find(Prompt, Query(count=True))).count


def counted(house: House, outcome: str, stage: str = "input", check: str = "words") -> float:
    labels = {"check": check, "stage": stage, "outcome": outcome}
    return house.metrics.registry.get_sample_value("promptd_guard_judgements_total", labels) or 0.0


@pytest.mark.arch("5.1.turns")
@pytest.mark.parametrize("last", [("user", "and now?"), ("assistant", "well,")])
@pytest.mark.parametrize(
    ("guilty", "stage"), [(("user", "bad"), "input"), (("system", "bad"), "input"), (("tool", "bad"), "tool")]
)
async def test_every_turn_is_judged_and_the_stage_told(
    build: Build, guilty: tuple[str, str], stage: str, last: tuple[str, str]
) -> None:
    house = await build(checks=[check(told="mind your words")])
    with pytest.raises(ContentRefused, match="mind your words") as refused:
        await house.submit(request=turns(("user", "hello"), guilty, ("tool", "fine"), last))
    error = refused.value
    assert (error.check, error.stage, error.told, error.reason) == ("words", stage, "mind your words", "word: rude")
    assert (await count(house), house.engine.calls) == (0, [])
    assert counted(house, "refused", stage) == 1


@pytest.mark.parametrize(("stage", "guilty"), [(Stage.INPUT, "tool"), (Stage.TOOL, "user")])
async def test_a_check_sees_its_stage_only(build: Build, stage: Stage, guilty: str) -> None:
    guard = WordGuard({"bad": "rude"})
    house = await build(checks=[check(guard, stages=frozenset({stage}))])
    await house.run(request=turns((guilty, "bad"), ("user", "hello"), ("tool", "fine")), id="p")
    assert all("bad" not in texts for texts in guard.seen)
    assert guard.seen


async def test_a_check_of_answers_does_not_see_questions(build: Build) -> None:
    guard = WordGuard({"bad": "rude"})
    house = await build(checks=[check(guard, stages=frozenset({Stage.OUTPUT}))])
    house.engine.plans["bad"] = ()
    await house.submit("bad")
    assert guard.seen == []


async def test_a_record_is_kept_on_the_prompt_and_counted(build: Build) -> None:
    house = await build(checks=[check(action=Action.RECORD)])
    prompt = await house.run("bad oaks")
    assert prompt.judgements == (Judgement("words", "input", "recorded", 0.9, ("rude",)),)
    assert (await house.get(prompt)).judgements == prompt.judgements
    assert house.engine.texts == ["bad oaks"]
    assert (await house.run("oaks")).judgements == (Judgement("words", "input", "allowed"),)
    assert (counted(house, "recorded"), counted(house, "allowed")) == (1, 1)


async def test_what_is_replaced_is_never_stored_nor_sent(build: Build) -> None:
    house = await build(checks=[check(action=Action.REDACT)])
    call = ToolCall(id="c1", name="send", arguments='{"to": "ann@example.com"}')
    request = Request(
        messages=(
            Turn("user", "I am ann@example.com"),
            Turn("assistant", tool_calls=(call,)),
            Turn("tool", "sent to ann@example.com", tool_call_id="c1"),
            Turn("user", "thanks"),
        ),
        metadata={"from": "ann@example.com"},
    )
    prompt = await house.run(request=request, thread="t")
    stored = await house.get(prompt)
    assert "ann@example.com" not in repr(stored)
    assert [turn.content for turn in stored.request.messages] == ["I am [EMAIL]", "", "sent to [EMAIL]", "thanks"]
    assert stored.request.messages[1].tool_calls[0].arguments == '{"to": "[EMAIL]"}'
    assert "ann@example.com" not in repr(house.engine.calls)
    assert set(stored.judgements) == {
        Judgement("words", stage, "redacted", 1.0, ("email",)) for stage in ("input", "tool")
    }


async def test_what_can_not_be_replaced_is_refused(build: Build) -> None:
    house = await build(checks=[check(action=Action.REDACT)])
    named = Turn("assistant", tool_calls=(ToolCall(id="1", name="ann@example.com"),))
    with pytest.raises(ContentRefused) as refused:
        await house.submit(request=Request(messages=(Turn("user", "hi"), named)))
    assert refused.value.reason == "email"
    assert await count(house) == 0


async def test_checks_see_what_those_before_them_left(build: Build) -> None:
    last = WordGuard({"ann@example.com": "email"})
    house = await build(checks=[check(action=Action.REDACT, name="first"), check(last, name="last")])
    await house.submit("ann@example.com")
    assert last.seen == [("[EMAIL]",)]


@pytest.mark.arch("5.1.closed")
@pytest.mark.parametrize("action", list(Action))
async def test_a_guard_that_fails_lets_nothing_through(
    build: Build, action: Action, caplog: pytest.LogCaptureFixture
) -> None:
    guard = WordGuard({"bad": "rude"})
    guard.error = RuntimeError("secret text")
    house = await build(checks=[check(guard, action=action)])
    if action is Action.RECORD:  # nothing would be stopped either if it worked
        assert (await house.run("fine")).status is Status.COMPLETED
    else:
        with pytest.raises(Unavailable):
            await house.submit("fine")
        assert await count(house) == 0
    assert counted(house, "failed") == 1
    assert "secret text" not in caplog.text


async def test_a_guard_that_takes_too_long_has_failed(build: Build) -> None:
    guard = WordGuard({"bad": "rude"})
    guard.gate = asyncio.Event()
    house = await build(checks=[check(guard, seconds=0.05)])
    with pytest.raises(Unavailable):
        await house.submit("fine")
    guard.gate.set()
    assert (await house.run("fine")).status is Status.COMPLETED


async def test_a_guard_that_waits_is_waited_for(build: Build) -> None:
    guard = WordGuard({"bad": "rude"})
    guard.gate = asyncio.Event()
    house = await build(checks=[check(guard)])
    asking = [asyncio.create_task(house.submit(text)) for text in ("fine", "bad")]
    while len(guard.seen) < 2:
        await asyncio.sleep(0)
    guard.gate.set()
    fine, bad = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(fine, Prompt)
    assert isinstance(bad, ContentRefused)


@pytest.mark.parametrize("verdict", [None, True, "fine"])
async def test_a_verdict_that_is_none_is_a_failure(build: Build, verdict: Any) -> None:
    class Odd:
        async def inspect(self, messages: Sequence[Turn]) -> Any:
            return verdict

    house = await build(checks=[check(Odd())])
    with pytest.raises(Unavailable):
        await house.submit("fine")


@pytest.mark.parametrize(
    ("selector", "fits", "other"),
    [
        ({"models": ("ma*",)}, {"model": "main"}, {"model": "side"}),
        ({"models": ("up-main",)}, {"model": "main"}, {"model": "side"}),
        ({"models": ("side",)}, {"request": replace(turns(("user", "bad")), connection="side")}, {}),
        ({"keys": ("key-ann",)}, {}, {"caller": Caller("ann", "key-2", "team", USER_PERMISSIONS)}),
        ({"teams": ("team",)}, {}, {"caller": Caller("ann", "key-ann", "", USER_PERMISSIONS)}),
        ({"templates": ("greet",)}, {"request": replace(turns(("user", "bad")), template=Use("greet", 1))}, {}),
        ({"listeners": ("door",)}, {"listener": "door"}, {}),
        ({"listeners": ("door",)}, {"caller": Caller("listener:door", permissions=USER_PERMISSIONS)}, {}),
        ({"listeners": ("door",), "models": ("main",)}, {"listener": "door"}, {"listener": "door", "model": "side"}),
    ],
)
async def test_checks_are_for_whom_they_name(
    build: Build, selector: dict[str, Any], fits: dict[str, Any], other: dict[str, Any]
) -> None:
    house = await build(lanes=("main", "side"), checks=[check(**selector)])
    with pytest.raises(ContentRefused):
        await house.submit("bad", **fits)
    assert (await house.submit("bad", **other)).id


async def test_a_guards_own_question_is_not_judged(build: Build) -> None:
    house = await build(checks=[check()])
    assert (await house.submit("bad", unguarded=True)).id


async def test_texts_and_values_of_other_kinds_are_judged(build: Build) -> None:
    house = await build(checks=[check()])
    with pytest.raises(ContentRefused):
        await house.submit(request=Request(texts=("fine", "bad")), capability=Capability.EMBEDDING)
    with pytest.raises(ContentRefused):
        await house.submit(
            request=Request(value={"a": [{"b": "bad"}]}, connection="main"), capability=Capability.QUERY, model=None
        )


async def test_counting_tokens_tells_nobody_either(build: Build) -> None:
    house = await build(checks=[check(action=Action.REDACT)])
    request = turns(("user", "ann@example.com"))
    async with house.intake.count(Submission(caller=ANN, request=request)) as admitted:
        assert admitted.prompt.request.messages[0].content == "[EMAIL]"
        assert admitted.native is None


async def test_documents_are_judged_while_the_prompt_runs(build: Build) -> None:
    guard = WordGuard({"bad": "rude"})
    house = await build(checks=[check(guard)])
    upload = await house.uploads.save("ann", "a.txt", "text/plain", _pieces(b"so bad"), 100)
    prompt = await house.run("read", request=replace(turns(("user", "read")), files=(upload.id,)))
    assert prompt.error is not None
    assert (prompt.status, prompt.error.code) == (Status.ABANDONED, "content_filtered")
    assert house.engine.calls == []
    assert Judgement("words", "input", "refused", 0.9, ("rude",)) in (await house.get(prompt)).judgements


async def test_documents_are_redacted(build: Build) -> None:
    house = await build(checks=[check(action=Action.REDACT)])
    upload = await house.uploads.save("ann", "a.txt", "text/plain", _pieces(b"from ann@example.com"), 100)
    request = replace(turns(("user", "read")), files=(upload.id,))
    prompt = await house.run(request=request)
    assert prompt.status is Status.COMPLETED
    assert house.engine.texts == ["[a.txt]\nfrom [EMAIL]\n\nread"]


async def test_turns_for_a_conversation(build: Build) -> None:
    """What an API of a developer answered, before it goes to a model."""
    house = await build(checks=[check(action=Action.REDACT), check(WordGuard({"evil": "x"}), name="refuses")])
    judgements: list[Judgement] = []
    told = await house.guarding.inspect([Turn("tool", "ann@example.com")], Subject(), ANN, judgements)
    assert told[0].content == "[EMAIL]"
    assert [one.outcome for one in judgements] == ["redacted", "allowed"]
    with pytest.raises(ContentRefused) as refused:
        await house.guarding.inspect([Turn("tool", "evil")], Subject(), ANN, [])
    assert refused.value.stage == "tool"


async def test_a_refusal_is_logged_without_its_text(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    house = await build(checks=[check()])
    with caplog.at_level(logging.WARNING), pytest.raises(ContentRefused):
        await house.submit("so bad a text")
    (record,) = [one for one in caplog.records if getattr(one, "action", "") == "guard_refused"]
    assert (record.check, record.stage, record.categories, record.user) == (  # type: ignore[attr-defined]
        "words",
        "input",
        ["rude"],
        "ann",
    )
    assert "so bad" not in repr(record.__dict__)


@pytest.mark.arch("5.1.verdict")
async def test_what_checks_say_is_in_the_trace_and_its_score_in_no_reply(build: Build) -> None:
    house = await build(checks=[check()])
    spans: list[Span] = []
    house.guarding.tracing = Tracing(
        clock=house.clock, entropy=os.urandom, rules=TracingRules(sampling=1.0), tell=spans.append
    )
    trace, _ = house.guarding.tracing.begin({})
    token = current.set(trace)
    try:
        with pytest.raises(ContentRefused) as refused:
            await house.submit("bad")
    finally:
        current.reset(token)
    (span,) = spans
    assert (span.name, span.error) == ("guard words", "content_refused")
    assert span.attributes == {
        "promptd.guard.check": "words",
        "promptd.guard.stage": "input",
        "promptd.guard.outcome": "refused",
        "promptd.guard.score": 0.9,
        "promptd.guard.categories": "rude",
    }
    assert "0.9" not in refused.value.message


async def _pieces(data: bytes) -> Any:
    yield data


class Elsewhere(WordGuard):
    """Remembers which threads it worked in."""

    def __init__(self) -> None:
        super().__init__({"ann@example.com": "email"})
        self.threads: set[int] = set()

    def redact(self, text: str) -> Redacted:
        self.threads.add(threading.get_ident())
        return super().redact(text)


@pytest.mark.parametrize(
    "messages",
    [
        (Turn("user", "to ann@example.com " * 20_000),),
        tuple(Turn("user", f"to ann@example.com {number}") for number in range(5_000)),
    ],
    ids=["one long turn", "many turns"],
)
async def test_nobody_waits_while_much_is_replaced(build: Build, messages: tuple[Turn, ...]) -> None:
    guard = Elsewhere()
    house = await build(checks=[check(guard, action=Action.REDACT)])
    prompt = await house.submit(request=Request(messages=messages))
    assert "ann@" not in str(prompt.request.messages)
    assert guard.threads
    assert threading.get_ident() not in guard.threads
