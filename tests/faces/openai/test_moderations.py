"""Moderations: the guard's categories beside the vendor's, for texts, lists and parts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import openai
import pytest

from promptd.core.content import Turn
from promptd.core.model import Verdict
from promptd.core.ports import Guard
from promptd.guards.rules import NamedPattern, Rules, RulesConfig, WordList
from tests.faces.openai.others import Place, run_place

RULES = Rules(
    RulesConfig(
        lists=(WordList(category="violence", words=("dagger",)), WordList(category="self-harm", words=("poison",))),
        patterns=(NamedPattern(name="card", pattern=r"\d{4}-\d{4}", category="pii"),),
    )
)


class Broken:
    async def inspect(self, messages: Sequence[Turn]) -> Verdict:
        raise RuntimeError("the guard is broken")


@pytest.fixture
def guard() -> Guard | None:
    return RULES


@pytest.fixture
async def place(tmp_path: Path, guard: Guard | None) -> AsyncIterator[Place]:
    async with run_place(tmp_path, guard=guard) as one:
        yield one


async def test_one_text(place: Place) -> None:
    answer = await place.client().moderations.create(input="a dagger and poison")
    assert answer.id.startswith("modr_")
    assert answer.model == "promptd-rules"
    (result,) = answer.results
    assert result.flagged
    assert result.categories.violence
    assert result.categories.self_harm
    assert not result.categories.hate
    assert result.category_scores.violence == 1.0
    assert result.category_scores.sexual_minors == 0.0
    assert result.category_applied_input_types.violence == ["text"]


async def test_several_texts(place: Place) -> None:
    answer = await place.client().moderations.create(input=["fine", "1234-1234"], model="omni-moderation-latest")
    assert [result.flagged for result in answer.results] == [False, True]
    categories = answer.results[1].categories.model_dump()
    assert categories["pii"] is True
    assert "pii" not in answer.results[0].categories.model_dump()


async def test_parts_are_one_input(place: Place) -> None:
    parts: list[Any] = [
        {"type": "text", "text": "1234-"},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "text", "text": "a dagger"},
    ]
    answer = await place.client().moderations.create(input=parts)
    (result,) = answer.results
    assert result.categories.violence


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ([], "input"),
        (["a"] * 1025, "input"),
        (["a", {"type": "text", "text": "b"}], "input[0]"),
        ([{"type": "sound"}], "input[0].type"),
        ([{"type": "text"}], "input[0].type"),
        ([{"text": "b"}], "input[0]"),
        (5, "input"),
    ],
)
async def test_what_is_wrong_is_named(place: Place, given: Any, param: str) -> None:
    answer = await place.http.post("/v1/moderations", {"input": given})
    assert (answer.status, answer.json["error"]["param"]) == (400, param)


@pytest.mark.parametrize("guard", [None])
async def test_without_a_guard_nothing_is_flagged(place: Place) -> None:
    answer = await place.client().moderations.create(input="a dagger")
    assert not answer.results[0].flagged


@pytest.mark.parametrize("guard", [Broken()])
async def test_a_guard_that_fails_says_nothing(place: Place) -> None:
    with pytest.raises(openai.InternalServerError) as failed:
        await place.client().moderations.create(input="fine")
    assert failed.value.status_code == 503


async def test_not_for_everybody(place: Place) -> None:
    client = await place.of("bob", permissions=frozenset({"model-svc:model:view"}))
    with pytest.raises(openai.PermissionDeniedError):
        await client.moderations.create(input="fine")
