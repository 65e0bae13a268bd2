"""Figures of a matcher, and files with questions."""

from __future__ import annotations

from typing import Any

import pytest

from promptd.core.errors import InvalidRequest
from promptd.intents.builtin import BuiltIn, BuiltInConfig
from promptd.intents.evaluation import Answered, Case, ask, auroc, figures, questions

ANSWERS = [
    Answered(Case("a", "x"), "x", 0.9),
    Answered(Case("b", "x"), "y", 0.85),
    Answered(Case("c", "y"), "y", 0.4),
    Answered(Case("d", "y"), None, 0.0),
    Answered(Case("e"), "x", 0.8),
    Answered(Case("f"), "x", 0.2),
]


def test_figures() -> None:
    found = figures(ANSWERS, 0.8, 1.2345)
    assert (found.cases, found.out_of_scope, found.matched) == (6, 2, 3)
    assert found.accuracy == 0.5
    assert found.precision == pytest.approx(1 / 3, abs=1e-4)
    assert found.recall == 0.25
    assert found.auroc == pytest.approx(5 / 8)
    assert found.confusion == (("", "x", 1), ("x", "y", 1), ("y", "", 1))
    assert found.median_ms == 1.234 or found.median_ms == 1.235


def test_where_there_is_nothing_to_count() -> None:
    found = figures([Answered(Case("e"), None, 0.0)], 0.8, 0)
    assert (found.accuracy, found.auroc, found.precision, found.recall) == (None, None, None, None)


@pytest.mark.parametrize(
    ("higher", "lower", "expected"),
    [([2, 3], [0, 1], 1.0), ([0, 1], [2, 3], 0.0), ([1, 1], [1], 0.5), ([0.9, 0.3], [0.5], 0.5)],
)
def test_auroc(higher: list[float], lower: list[float], expected: float) -> None:
    assert auroc(higher, lower) == expected


async def test_a_matcher_is_asked() -> None:
    targets, cases = questions(
        {
            "targets": [{"name": "weather", "description": "Tell the weather"}, {"name": "timer", "examples": ["go"]}],
            "cases": [{"text": "what is the weather", "target": "weather"}, {"text": "who are you"}],
        }
    )
    answers, median_ms = await ask(BuiltIn(BuiltInConfig(threshold=0)), targets, cases)
    assert answers[0].target == "weather"
    assert answers[0].score > answers[1].score
    assert median_ms > 0


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({"targets": []}, "cases"),
        ({"targets": [], "cases": []}, "cases"),
        ({"targets": [{"name": "a"}, {"name": "a"}], "cases": [{"text": "x"}]}, r"targets\[0\]\.name"),
        ({"targets": [{"name": "a"}], "cases": [{"text": "x", "target": "b"}]}, r"cases\[0\]\.target"),
        ({"targets": [{"name": "a", "exmaples": []}], "cases": [{"text": "x"}]}, "exmaples"),
        ({"targets": [{"name": "a"}], "cases": [{"text": 1}]}, "text"),
        ([], "object"),
    ],
)
def test_files_of_the_wrong_form(value: Any, where: str) -> None:
    with pytest.raises(InvalidRequest, match=where):
        questions(value)
