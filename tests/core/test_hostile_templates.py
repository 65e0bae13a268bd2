"""Templates and values that mean harm: each ends at once, in little memory, in an answer or a typed error.

All cases run in one child process, so that one that goes wrong ends the child and not the run of the tests. Time is
CPU time, and memory what Python allocates beyond the case's own values; both are asked of every case.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import pytest

from promptd.core.errors import InputTooLarge, InvalidInput, InvalidRequest, PromptdError
from promptd.core.metering import Limits
from promptd.core.rendering import DEFAULT_LIMITS, check, render
from tests.core.hostile_templates import CASES, MIB, Hostile

pytestmark = pytest.mark.slow

SECONDS = 0.2
BYTES = 50_000_000


class Cost(NamedTuple):
    outcome: type[PromptdError] | str
    seconds: float
    memory: int


def outcome(case: Hostile, limits: Limits) -> type[PromptdError] | str:
    """How a case ends, as template and as rendering."""
    source = case.source if isinstance(case.source, str) else case.source()
    values = case.values()
    try:
        check(source, case.dialect)
        return render(source, case.dialect, values, partials=case.partials(), limits=limits, now=0.0)
    except PromptdError as error:
        return type(error)


def prepared(name: str) -> Hostile:
    """A case whose template and values exist already: what they take is not held against the rendering."""
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (2_000_000_000, resource.RLIM_INFINITY))
    case = CASES[name]
    source = case.source if isinstance(case.source, str) else case.source()
    values, partials = case.values(), case.partials()
    return Hostile(case.dialect, source, lambda: values, partials=lambda: partials)


def seconds(case: Hostile, limits: Limits = DEFAULT_LIMITS) -> tuple[float, type[PromptdError] | str]:
    before = time.process_time()
    result = outcome(case, limits)
    return time.process_time() - before, result


def memory(case: Hostile, limits: Limits = DEFAULT_LIMITS) -> int:
    tracemalloc.start()
    outcome(case, limits)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


def measured(name: str) -> Cost:
    """What a case costs; run in the child."""
    case = prepared(name)
    taken, result = seconds(case)
    return Cost(result if isinstance(result, type) or len(result) < 2 * MIB else result[:100], taken, memory(case))


def seconds_with_higher_limits(name: str) -> float:
    return seconds(prepared(name), Limits(steps=2_000_000, work=1 << 30))[0]


def memory_with_higher_limits(name: str) -> int:
    return memory(prepared(name), Limits(work=200 * MIB))


@pytest.fixture(scope="module")
def child() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        yield pool


@pytest.mark.parametrize("name", CASES)
def test_harm_ends_in_time_and_in_little_memory(child: ProcessPoolExecutor, name: str) -> None:
    cost = child.submit(measured, name).result(timeout=20)
    expected = CASES[name].ends
    if isinstance(cost.outcome, type):
        assert issubclass(cost.outcome, InvalidInput | InputTooLarge | InvalidRequest)
    if expected == InvalidInput:
        # what can be found in the template alone is found when it is stored
        assert cost.outcome in (InvalidInput, InvalidRequest)
    elif expected is not None:
        assert cost.outcome == expected
    assert cost.seconds < SECONDS
    assert cost.memory < BYTES


def test_the_measure_sees_what_costs_too_much(child: ProcessPoolExecutor) -> None:
    """With higher limits the same measure says no: it is the limits that keep the cases above cheap."""
    assert child.submit(seconds_with_higher_limits, "jinja loops in loops").result(timeout=20) > SECONDS
    assert child.submit(memory_with_higher_limits, "jinja doubling").result(timeout=20) > BYTES
