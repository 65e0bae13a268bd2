"""Guards that judge without waiting are asked without ceremony, and are not trusted any more for it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from promptd.core.content import Turn
from promptd.core.errors import ContentRefused, Unavailable
from promptd.core.model import Mode, Native, Submission, Verdict
from promptd.testing.word_guard import WordGuard
from tests.service.conftest import Build
from tests.service.guarding.test_admission import check, counted, turns
from tests.service.house import ANN


class Quick:
    """Judges at once, and is asked in no other way."""

    def __init__(self, *said: Any) -> None:
        self.said, self.asked = [*said], 0

    def at_once(self, messages: Sequence[Turn]) -> Any:
        self.asked += 1
        said = self.said.pop(0)
        if isinstance(said, BaseException):
            raise said
        return said

    async def inspect(self, messages: Sequence[Turn]) -> Verdict:
        return Verdict(False, "asked in the long way")


async def test_each_check_is_asked_once_whoever_waits(build: Build) -> None:
    first, waits, last = Quick(Verdict(True)), WordGuard({"bad": "rude"}), Quick(Verdict(False, "no"))
    waits.gate = asyncio.Event()
    house = await build(checks=[check(first, name="first"), check(waits), check(last, name="last")])
    asking = asyncio.create_task(house.submit("fine"))
    while not waits.seen:
        await asyncio.sleep(0)
    waits.gate.set()
    with pytest.raises(ContentRefused) as refused:
        await asking
    assert refused.value.reason == "asked in the long way"  # behind one that waits nobody is in a hurry
    assert (first.asked, len(waits.seen), last.asked) == (1, 1, 0)
    assert [counted(house, "allowed", check=name) for name in ("first", "words")] == [1, 1]
    assert counted(house, "refused", check="last") == 1


@pytest.mark.parametrize("said", [RuntimeError("broken"), SystemExit(), "fine", Verdict(1), Verdict(True, "", 2.0)])  # type: ignore[arg-type]
async def test_one_that_judges_at_once_can_fail_too(build: Build, said: Any) -> None:
    house = await build(checks=[check(Quick(Verdict(True), said))])
    await house.submit("fine")
    with pytest.raises(Unavailable):
        await house.submit("fine")
    assert (counted(house, "allowed"), counted(house, "failed")) == (1, 1)


async def test_what_takes_longer_is_asked_in_the_long_way(build: Build) -> None:
    house = await build(checks=[check(Quick(None))])
    with pytest.raises(ContentRefused) as refused:
        await house.submit("fine")
    assert refused.value.reason == "asked in the long way"


@pytest.mark.parametrize("once", [True, False])
async def test_a_face_can_vouch_for_the_names_of_its_body(build: Build, once: bool) -> None:
    house = await build(checks=[check()])
    native = Native("openai.chat", b'{"model":"a","model":"b"}', once=once)
    submission = Submission(caller=ANN, request=turns(("user", "fine")), mode=Mode.ATTACHED, native=native)
    admitted = await house.intake.admit(submission)
    assert (admitted.native is native) is once
