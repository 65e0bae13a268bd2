"""Which token counts are believed: what is possible passes as it was told, the rest does not."""

from __future__ import annotations

from typing import Any

import pytest

from promptd.core.claims import ABSURD, believed
from promptd.core.content import Turn
from promptd.core.model import Request, Usage
from promptd.core.parameters import Parameters

ASK = Request(messages=(Turn("user", "x" * 5000),))


@pytest.mark.parametrize(
    ("told", "context"),
    [
        (Usage(), None),
        (Usage(3, 5), None),
        (Usage(900_000, 900_000), None),
        (Usage(10_000_000, 5), None),
        (Usage(15_000, 1000), 1000),  # it called tools of its own
        (Usage(16_000 + 5000, 1000), 1000),
        (Usage(1, 1000 + 400), 1000),  # a context that the operator has wrong: there are the bytes
        (Usage(100, 100, 50, 20, 500), 1000),  # thought beside the output
    ],
)
def test_what_is_possible_is_believed(told: Usage, context: int | None) -> None:
    assert believed(told, ASK, context=context, said=400) == told


@pytest.mark.parametrize(
    ("told", "context"),
    [
        (Usage(10**15, 1), None),
        (Usage(1, 10**15), None),
        (Usage(10**30, 10**30), 128_000),
        (Usage(16_000 + 5017, 1), 1000),
        (Usage(1, 1401), 1000),
        (Usage(-1, 5), None),
        (Usage(5, -1), None),
        (Usage(5, 5, -1), None),
        (Usage(5, 5, reasoning_tokens=-1), None),
        (Usage(float("nan"), 5), None),  # type: ignore[arg-type]
        (Usage(5, float("inf")), None),  # type: ignore[arg-type]
        (Usage(5.0, 5), None),  # type: ignore[arg-type]
        (Usage("5", 5), None),  # type: ignore[arg-type]
        (Usage(True, 5), None),
        (ABSURD, None),
    ],
)
def test_what_is_not_possible_is_not(told: Usage, context: int | None) -> None:
    assert believed(told, ASK, context=context, said=400) is None


def test_every_answer_that_was_asked_for_may_be_as_long() -> None:
    three: Any = Request(parameters=Parameters(n=3))
    assert believed(Usage(1, 3000), three, context=1000, said=0) == Usage(1, 3000)
    assert believed(Usage(1, 3001), three, context=1000, said=0) is None


def test_no_part_is_more_than_the_whole() -> None:
    assert believed(Usage(10, 5, 11, 10**15, 7), ASK, context=None, said=0) == Usage(10, 5, 10, 10, 7)
