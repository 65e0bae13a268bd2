"""Answers of attached prompts, and which of them may go on as they come."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from promptd import registry
from promptd.app import House, build
from promptd.core.content import Document, Text, Turn
from promptd.core.engine import Config
from promptd.core.errors import ContentFiltered, ContentRefused, PromptdError, ServiceUnavailable
from promptd.core.guarding import Action, GuardTools, Stage
from promptd.core.identity import USER_PERMISSIONS
from promptd.core.lifecycle import Status
from promptd.core.model import Caller, Chunk, Judgement, Mode, Native, Prompt, Request, Submission, Verdict
from promptd.service.guarding import Check, Checks
from promptd.settings import Settings
from promptd.testing.upstream import Upstream
from promptd.testing.word_guard import WordGuard
from tests.service.house import Puppet, hold, say

pytestmark = pytest.mark.slow

ANN = Caller("ann", "key-ann", "team", USER_PERMISSIONS)
OAKS = "Oaks grow slowly and get old. "
OUT = frozenset({Stage.OUTPUT})


class Lab:
    def __init__(self, house: House, engine: Puppet, upstream: Upstream) -> None:
        self.house, self.engine, self.upstream = house, engine, upstream

    def check(self, *checks: Check) -> None:
        self.house.walk.guarding.checks = Checks(checks)

    async def run(self, text: str = "tell", *, stream: bool = True, **more: Any) -> tuple[Prompt, list[Chunk]]:
        async with asyncio.timeout(10), self.house.walk.attached.open(ask(text, **more)) as visit:
            if stream:
                return visit.prompt, [chunk async for chunk in visit.chunks()]
            pieces, done = await visit.whole()
            return visit.prompt, [*pieces, done]

    async def fail(self, text: str = "tell", *, stream: bool = True, **more: Any) -> tuple[Prompt, PromptdError, str]:
        said: list[Chunk] = []
        visit = self.house.walk.attached.open(ask(text, **more))

        async def hear() -> None:
            async with asyncio.timeout(10), visit:
                if stream:
                    said.extend([chunk async for chunk in visit.chunks()])
                await visit.whole()

        with pytest.raises(PromptdError) as raised:
            await hear()
        return visit.prompt, raised.value, words(said)

    async def stored(self, prompt: Prompt) -> Prompt:
        await self.house.walk.attached.flush()
        found = await self.house.database.records.get(Prompt, prompt.id)
        assert found is not None
        return found


def words(chunks: list[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


def ask(text: str, model: str = "main", native: bool = False, keep: bool | None = None, **more: Any) -> Submission:
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": text}], "stream": True}).encode()
    return Submission(
        caller=more.pop("caller", ANN),
        model=model,
        mode=Mode.ATTACHED,
        keep=keep,
        native=Native("openai.chat", body, stream=True) if native else None,
        request=Request(messages=(Turn("user", text),), **more),
    )


@asynccontextmanager
async def living(home: Path) -> AsyncIterator[Lab]:
    engine = Puppet()
    async with Upstream() as upstream:
        settings = Settings.model_validate(
            {
                "home": home,
                "connections": {
                    "lab": {"engine": "puppet"},
                    "up": {"engine": "openai", "base_url": upstream.base_url},
                },
                "models": {"main": {"connection": "lab"}, "echo": {"connection": "up"}, "other": {"connection": "lab"}},
            }
        )
        found = registry.load()
        plugins = replace(found, engines={**found.engines, "puppet": engine}, faces={})
        async with build(settings, plugins) as house:
            yield Lab(house, engine, upstream)


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with living(tmp_path) as one:
        yield one


def output(guard: WordGuard | None = None, **more: Any) -> Check:
    guard = guard or WordGuard({"bad": "rude", "ann@example.com": "email"}, reach=20)
    return Check(**{"name": "answers", "guard": guard, "stages": OUT, **more})


async def test_text_flows_while_the_model_speaks_and_stops_before_a_refused_word(lab: Lab) -> None:
    lab.check(output(told="not that"))
    gate = asyncio.Event()
    lab.engine.plans["tell"] = (hold(gate, "A bad end. ", before=[OAKS] * 40),)
    said: list[Chunk] = []
    visit = lab.house.walk.attached.open(ask("tell", keep=True))

    async def hear() -> None:
        async with asyncio.timeout(10), visit:
            async for chunk in visit.chunks():
                said.append(chunk)
                if len(words(said)) > 600:
                    gate.set()

    with pytest.raises(ContentFiltered, match="not that") as refused:
        await hear()
    assert (refused.value.check, refused.value.stage) == ("answers", "output")
    assert words(said) in OAKS * 40
    row = await lab.stored(visit.prompt)
    assert (row.status, row.answer) == (Status.ABANDONED, None)
    assert row.judgements == (Judgement("answers", "output", "refused", 0.9, ("rude",)),)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("reach", [20, None])
async def test_what_is_replaced_leaves_replaced(lab: Lab, stream: bool, keep: bool, reach: int | None) -> None:
    guard = WordGuard({"ann@example.com": "email"}, reach=reach)
    lab.check(output(guard, action=Action.REDACT))
    text = f"{OAKS}Write to ann@example.com today. " * 10
    lab.engine.plans["tell"] = (say(*[text[at : at + 5] for at in range(0, len(text), 5)]),)
    prompt, chunks = await lab.run(stream=stream, keep=keep)
    expected = text.replace("ann@example.com", "[EMAIL]")
    assert words(chunks) == expected
    row = await lab.stored(prompt)
    assert row.judgements == (Judgement("answers", "output", "redacted", 1.0, ("email",)),)
    assert row.answer is not None
    assert row.answer.text == (expected if keep else "")


@pytest.mark.parametrize("stream", [True, False])
async def test_a_refused_answer_says_nothing(lab: Lab, stream: bool) -> None:
    lab.check(output())
    lab.engine.plans["tell"] = (say("so bad"),)
    prompt, error, said = await lab.fail(stream=stream)
    assert isinstance(error, ContentFiltered)
    assert said == ""
    assert (await lab.stored(prompt)).judgements[0].outcome == "refused"


@pytest.mark.parametrize("stream", [True, False])
async def test_a_guard_that_fails_lets_nothing_out(lab: Lab, stream: bool) -> None:
    guard = WordGuard({"bad": "rude"}, reach=20)
    guard.error = RuntimeError("down")
    lab.check(output(guard))
    lab.engine.plans["tell"] = (say(*[OAKS] * 40),)
    _, error, said = await lab.fail(stream=stream)
    assert isinstance(error, ServiceUnavailable)
    assert said == ""


async def test_allowed_ones_leave_no_note_where_nothing_is_kept(lab: Lab) -> None:
    lab.check(output())
    prompt, _ = await lab.run()
    assert (await lab.stored(prompt)).judgements == ()
    prompt, _ = await lab.run(keep=True)
    assert (await lab.stored(prompt)).judgements == (Judgement("answers", "output", "allowed"),)


async def test_bytes_pass_through_unless_a_check_looks_at_this_very_answer(lab: Lab) -> None:
    async def raw(**more: Any) -> bool:
        _, chunks = await lab.run(model="echo", native=True, **more)
        assert chunks[-1].kind == "done"
        return any(chunk.raw is not None for chunk in chunks)

    assert await raw()
    lab.check(output(models=("main",)))
    assert await raw()
    lab.check(output(keys=("key-bob",)))
    assert await raw()
    lab.check(output(models=("echo",)))
    assert not await raw()
    assert await raw() is False
    lab.check(output(keys=("key-ann",)))
    assert not await raw()
    assert await raw(caller=Caller("bob", "key-2", "", USER_PERMISSIONS))


async def test_notes_are_taken_while_bytes_pass_through(lab: Lab) -> None:
    guard = WordGuard({"bad": "rude"})
    lab.check(output(guard, action=Action.RECORD))
    prompt, chunks = await lab.run("hello there", model="echo", native=True)
    assert any(chunk.raw is not None for chunk in chunks)
    assert guard.seen
    assert "".join(guard.seen[0]).strip()
    guard.words["x"] = "x"
    lab.check(output(WordGuard({"hello": "greeting", "there": "place"}), action=Action.RECORD))
    prompt, _ = await lab.run("hello there", model="echo", native=True)
    assert (await lab.stored(prompt)).judgements[0].outcome == "recorded"


async def test_what_is_replaced_in_a_question_does_not_reach_the_service(lab: Lab) -> None:
    guard = WordGuard({"ann@example.com": "email"})
    lab.check(Check(name="in", guard=guard, stages=frozenset({Stage.INPUT}), action=Action.REDACT))
    await lab.run("from ann@example.com", model="echo", native=True)
    (call,) = lab.upstream.calls
    assert call.body["messages"][0]["content"] == "from [EMAIL]"
    await lab.run("from bob", model="echo", native=True)
    assert lab.upstream.calls[-1].body["messages"][0]["content"] == "from bob"


@pytest.mark.parametrize("action", [Action.REFUSE, Action.REDACT])
async def test_documents_that_pass_through_are_read_too(lab: Lab, action: Action) -> None:
    guard = WordGuard({"bad": "rude"})
    lab.check(Check(name="in", guard=guard, stages=frozenset({Stage.INPUT}), action=action))
    for text, fine in ((b"oaks", True), (b"so bad", False)):
        upload = await lab.house.walk.uploads.save("ann", "a.txt", "text/plain", _pieces(text), 100)
        turn = Turn("user", parts=(Text("read"), Document(file=upload.id)))
        submission = replace(ask("read", model="echo", native=True), request=Request(messages=(turn,)))
        visit = lab.house.walk.attached.open(submission)
        if fine:
            async with visit:
                await visit.whole()
            continue
        with pytest.raises(ContentFiltered):
            async with visit:
                await visit.whole()
    assert len(lab.upstream.calls) == 1


async def _pieces(data: bytes) -> Any:
    yield data


async def test_a_refused_question_costs_nothing(lab: Lab) -> None:
    lab.check(Check(name="in", guard=WordGuard({"bad": "rude"}), stages=frozenset({Stage.INPUT}), told="mind it"))
    with pytest.raises(ContentRefused, match="mind it"):
        await lab.run("bad", model="echo", native=True)
    assert lab.upstream.calls == []


class JudgeConfig(Config):
    model: str


class Judge:
    """Asks a model of the house."""

    config_class = JudgeConfig
    asks = True

    def __init__(self, config: JudgeConfig, tools: GuardTools) -> None:
        self._model, self._ask = config.model, tools.ask

    async def inspect(self, messages: Sequence[Turn]) -> Verdict:
        answer = await self._ask(self._model, [Turn("user", "judge")])
        return Verdict(answer.text == "safe", "" if answer.text == "safe" else "unsafe")


@pytest.mark.parametrize("mode", [Mode.ATTACHED, Mode.QUEUED])
async def test_a_judge_on_the_same_connection_gets_the_slot(tmp_path: Path, mode: Mode) -> None:
    """One slot: the prompt steps aside while its answer is judged, and the judge's own question is not judged."""
    engine = Puppet()
    settings = Settings.model_validate(
        {
            "home": tmp_path,
            "connections": {"lab": {"engine": "puppet", "slots": 1}},
            "models": {"main": {"connection": "lab"}},
            "guard": {"checks": {"judge": {"type": "judge", "stages": ["output"], "model": "main"}}},
        }
    )
    plugins = replace(registry.load(), engines={"puppet": engine}, guards={"judge": Judge}, faces={})
    engine.plans["judge"] = (say("safe"), say("unsafe"))
    async with build(settings, plugins) as house, asyncio.timeout(10):
        lab = Lab(house, engine, Upstream())
        if mode is Mode.ATTACHED:
            prompt, _ = await lab.run()
            assert (await lab.stored(prompt)).status is Status.COMPLETED
            await lab.fail()
        else:
            for expected in (Status.COMPLETED, Status.ABANDONED):
                added = await house.walk.intake.submit(replace(ask("tell"), mode=Mode.QUEUED))
                assert (await house.walk.streams.finished(added.prompt.id)).status is expected
    assert engine.texts == ["tell", "judge"] * 2
