"""How often a matcher is right: cases with the target that is meant, and figures of the answers."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from time import perf_counter_ns
from typing import Any

import msgspec
from msgspec import Struct

from promptd.core.content import Turn
from promptd.core.errors import InvalidRequest
from promptd.core.ports import Intent
from promptd.core.targets import Target


class _Target(Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    description: str = ""
    examples: tuple[str, ...] = ()


class Case(Struct, frozen=True, forbid_unknown_fields=True):
    """What a user says, and the target that is meant; None: none of them."""

    text: str
    target: str | None = None


class _Questions(Struct, frozen=True, forbid_unknown_fields=True):
    targets: tuple[_Target, ...]
    cases: tuple[Case, ...]


class Answered(Struct, frozen=True):
    """A case and what the matcher made of it, whatever its threshold."""

    case: Case
    target: str | None
    score: float


class Figures(Struct, frozen=True, kw_only=True):
    """Shares from 0 to 1; None where there was nothing to count."""

    cases: int
    out_of_scope: int  #: cases that mean no target
    accuracy: float | None  #: of the cases in scope: the best target is the right one, whatever its score
    auroc: float | None  #: how well the score tells cases in scope from others; 0.5 is chance
    threshold: float
    matched: int  #: cases whose score reaches the threshold
    precision: float | None  #: of the matched ones
    recall: float | None  #: of the cases in scope: matched, and rightly
    median_ms: float  #: time of one decision, the first one left out
    confusion: tuple[tuple[str, str, int], ...]  #: meant, taken for, how often; most frequent first


def questions(value: Any) -> tuple[list[Target], list[Case]]:
    """Targets and cases of a decoded file. Raises `InvalidRequest` that names the field."""
    try:
        read = msgspec.convert(value, _Questions)
    except msgspec.ValidationError as error:
        raise InvalidRequest(str(error), field="file") from None
    names = Counter(target.name for target in read.targets)
    for number, target in enumerate(read.targets):
        if names[target.name] > 1:
            raise InvalidRequest(field=f"targets[{number}].name", expected="a name that no other target has")
    for number, case in enumerate(read.cases):
        if case.target is not None and case.target not in names:
            raise InvalidRequest(field=f"cases[{number}].target", expected="the name of a target, or nothing")
    if not read.cases:
        raise InvalidRequest(field="cases", expected="at least one case")
    return [Target(one.name, one.description, one.examples) for one in read.targets], list(read.cases)


async def ask(intent: Intent, targets: Sequence[Target], cases: Sequence[Case]) -> tuple[list[Answered], float]:
    """Every case by itself, and the median time of a decision in ms. The matcher should have the threshold 0."""
    answers: list[Answered] = []
    times: list[int] = []
    for case in cases:
        start = perf_counter_ns()
        match = await intent.match([Turn("user", case.text)], targets)
        times.append(perf_counter_ns() - start)
        answers.append(Answered(case, match.target if match else None, match.score if match else 0.0))
    return answers, statistics.median(times[1:] or times) / 1e6


def figures(answers: Sequence[Answered], threshold: float, median_ms: float) -> Figures:
    inside = [one for one in answers if one.case.target is not None]
    outside = [one for one in answers if one.case.target is None]
    matched = [one for one in answers if one.target is not None and one.score >= threshold]
    right = sum(one.target == one.case.target for one in matched)
    confused = Counter(
        (one.case.target or "", one.target or "") for one in inside if one.target != one.case.target
    ) + Counter(("", one.target or "") for one in outside if one.score >= threshold and one.target)
    return Figures(
        cases=len(answers),
        out_of_scope=len(outside),
        accuracy=_share(sum(one.target == one.case.target for one in inside), len(inside)),
        auroc=auroc([one.score for one in inside], [one.score for one in outside]),
        threshold=threshold,
        matched=len(matched),
        precision=_share(right, len(matched)),
        recall=_share(right, len(inside)),
        median_ms=round(median_ms, 3),
        confusion=tuple(
            (meant, taken, count)
            for (meant, taken), count in sorted(confused.items(), key=lambda entry: (-entry[1], entry[0]))
        ),
    )


def auroc(higher: Sequence[float], lower: Sequence[float]) -> float | None:
    """Chance that one of `higher` is above one of `lower`; equal ones count half."""
    if not higher or not lower:
        return None
    counts: Mapping[float, int] = Counter(higher)
    below: Mapping[float, int] = Counter(lower)
    passed, wins = 0, 0.0
    for score in sorted({*counts, *below}):
        wins += counts.get(score, 0) * (passed + below.get(score, 0) / 2)
        passed += below.get(score, 0)
    return round(wins / (len(higher) * len(lower)), 4)


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
