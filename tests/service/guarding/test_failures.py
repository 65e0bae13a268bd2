"""What a service says of its failure is judged like an answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from promptd.core.errors import Answered, InvalidInput, PromptExecutionError, RateLimited
from promptd.core.guarding import Action, Stage
from promptd.core.lifecycle import Status
from promptd.core.model import Judgement
from promptd.service.guarding import Check
from promptd.testing.word_guard import WordGuard
from tests.service.conftest import Build
from tests.service.guarding.test_attached_answers import ANN, Lab, lab, output
from tests.service.house import fail

pytestmark = pytest.mark.slow

__all__ = ["lab"]
TITLE = InvalidInput.title


def refused(text: str) -> PromptExecutionError:
    """A service's refusal that quotes `text` everywhere."""
    body = json.dumps({"error": {"message": text, "more": [text]}}).replace("b", "\\u0062").encode()
    error = InvalidInput(text, field=text, expected=text)
    error.native, error.answered = (400, body), Answered(400, body, "application/json")
    return error


def texts(error: PromptExecutionError) -> list[Any]:
    return [error.message, error.field, error.expected, str(error), error.native, error.answered]


@pytest.mark.parametrize("stream", [True, False])
async def test_a_refused_one_tells_what_kind_it_is(lab: Lab, stream: bool) -> None:
    lab.check(output())
    lab.engine.plans["tell"] = (fail(refused("so bad a thing")),)
    prompt, error, said = await lab.fail(stream=stream)
    assert isinstance(error, InvalidInput)
    assert texts(error) == [TITLE, "", "", TITLE, None, Answered(400, None, "application/json")]
    assert said == ""
    row = await lab.stored(prompt)
    assert row.error is not None
    assert (row.error.code, row.error.message) == ("invalid_input", TITLE)
    assert row.judgements == (Judgement("answers", "output", "refused", 0.9, ("rude",)),)


async def test_a_redacted_one_tells_the_rest(lab: Lab) -> None:
    lab.check(output(WordGuard({"bob@example.com": "email"}), action=Action.REDACT))
    lab.engine.plans["tell"] = (fail(refused("bob@example.com is over quota")),)
    prompt, error, _ = await lab.fail()
    assert isinstance(error, InvalidInput)
    told = "[EMAIL] is over quota"
    assert texts(error)[:4] == [told] * 4
    assert error.native is not None
    assert json.loads(error.native[1]) == {"error": {"message": told, "more": [told]}}
    assert error.answered is not None
    assert error.answered.body == error.native[1]
    assert (await lab.stored(prompt)).judgements[0].outcome == "redacted"


async def test_a_fine_one_goes_on_as_it_came(lab: Lab) -> None:
    lab.check(output(), output(name="notes", action=Action.RECORD))
    given = refused("fine")
    lab.engine.plans["tell"] = (fail(given),)
    _, error, _ = await lab.fail()
    assert error is given
    assert given.native == refused("fine").native


async def test_a_guard_that_fails_lets_none_of_it_out(lab: Lab) -> None:
    guard = WordGuard({"x": "x"}, reach=5)
    guard.error = RuntimeError("down")
    lab.check(output(guard))
    lab.engine.plans["tell"] = (fail(refused("anything")),)
    _, error, _ = await lab.fail()
    assert isinstance(error, InvalidInput)
    assert texts(error)[:5] == [TITLE, "", "", TITLE, None]


async def test_a_second_way_is_told_too(lab: Lab) -> None:
    """Each attempt's failure is in the ledger."""
    lab.check(output())
    lab.engine.plans["tell"] = (fail(RateLimited("bad", retry_after=0.0)), fail(refused("bad")))
    prompt, _, _ = await lab.fail()
    await lab.house.walk.attached.flush()
    attempts = await lab.house.walk.prompts.attempts(ANN, prompt.id)
    assert len(attempts) == 2
    assert [one.message for one in attempts] == [RateLimited.title, TITLE]


async def test_of_a_queued_prompt(build: Build) -> None:
    check = Check(name="answers", guard=WordGuard({"bad": "rude"}, reach=5), stages=frozenset({Stage.OUTPUT}))
    house = await build(checks=[check])
    house.engine.plans["tell"] = (fail(refused("so bad")),)
    done = await house.run("tell")
    assert done.status is Status.ABANDONED
    assert done.error is not None
    assert done.error.message == TITLE
    assert [one.message for one in await house.attempts(done)] == [TITLE]
    assert done.judgements == (Judgement("answers", "output", "refused", 0.9, ("rude",)),)
