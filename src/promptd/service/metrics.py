"""Numbers for operators, in Prometheus' terms. They are plain numbers until somebody looks: a counter object's lock and
labels cost several times what an addition does, and a short call counts a dozen things."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from promptd.core.model import Attempt, Outcome

_COMPLETED = Outcome.COMPLETED
_MOST_NEW = 64
_SECONDS = (0.005, 0.02, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class _Histogram:
    """How many of the values fall behind each bound, and their sum."""

    __slots__ = ("counts", "sum")

    def __init__(self) -> None:
        self.counts = [0] * (len(_SECONDS) + 1)
        self.sum = 0.0

    def observe(self, values: Sequence[float]) -> None:
        ordered, below = sorted(values), 0
        for place, bound in enumerate(_SECONDS):  # a bound is looked for among many values, and not each value
            found = bisect_right(ordered, bound)
            self.counts[place] += found - below
            below = found
        self.counts[-1] += len(ordered) - below
        self.sum += sum(values)

    def buckets(self) -> list[tuple[str, float]]:
        """Bounds and how many values are at most as large."""
        total, found = 0, []
        for bound, count in zip((*map(str, _SECONDS), "+Inf"), self.counts, strict=True):
            total += count
            found.append((bound, float(total)))
        return found


class _Lane:
    """What completed attempts of one connection add up to; many are added at once, or when somebody looks."""

    __slots__ = ("cost", "count", "first", "input", "new", "output", "seconds", "unpriced")

    def __init__(self) -> None:
        self.count = self.input = self.output = self.cost = self.unpriced = 0
        self.seconds, self.first = _Histogram(), _Histogram()
        self.new: list[Attempt] = []

    def add_up(self) -> None:
        new, self.new = self.new, []
        taken = given = cost = unpriced = 0
        seconds: list[float] = []
        first: list[float] = []
        for one in new:  # one loop: a list for each sum costs more
            used, started = one.usage, one.started
            taken += used.input_tokens
            given += used.output_tokens
            if one.cost is None:
                unpriced += 1
            else:
                cost += one.cost
            if one.finished is not None:
                seconds.append(one.finished - started)
            if one.first_token is not None:
                first.append(one.first_token - started)
        self.count += len(new)
        self.input += taken
        self.output += given
        self.cost += cost
        self.unpriced += unpriced
        self.seconds.observe(seconds)
        self.first.observe(first)


class Metrics:
    """Every metric of the walk; names begin with `promptd_`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        # no counters of the collections: they are written in Python, and look for what is missing at twice the cost
        self._submitted: dict[str, int] = {}
        self._refused: dict[str, int] = {}
        self._failed: Counter[tuple[str, str, str]] = Counter()
        self._judged: dict[tuple[str, str, str], int] = {}
        self._lanes: dict[str, _Lane] = {}
        self._gauge = Gauge("promptd_waiting", "Prompts that wait in the store", registry=self.registry)
        self._busy = Gauge("promptd_busy_slots", "Slots in use", ["lane"], registry=self.registry)
        self._slots = Gauge("promptd_slots", "Slots", ["lane"], registry=self.registry)
        self.registry.register(self)

    def submitted(self, model: str) -> None:
        self._submitted[model] = self._submitted.get(model, 0) + 1

    def refused(self, code: str) -> None:
        self._refused[code] = self._refused.get(code, 0) + 1

    def judged(self, what: tuple[str, str, str]) -> None:
        """A check of the guards looked at one side of a prompt: its name, the stage, and the outcome."""
        self._judged[what] = self._judged.get(what, 0) + 1

    def attempt(self, attempt: Attempt) -> None:
        """An attempt ended."""
        if attempt.outcome is not _COMPLETED:
            self._failed[attempt.connection, attempt.outcome.value, attempt.code or ""] += 1
            return
        lane = self._lanes.get(attempt.connection)
        if lane is None:
            lane = self._lanes[attempt.connection] = _Lane()
        lane.new.append(attempt)
        if len(lane.new) >= _MOST_NEW:
            lane.add_up()

    def watch(self, waiting: Callable[[], int], load: Callable[[], dict[str, tuple[int, int]]]) -> None:
        """Read gauges when somebody looks, instead of keeping them up to date."""
        self._gauge.set_function(waiting)
        for lane, (slots, _) in load().items():
            self._slots.labels(lane).set(slots)
            self._busy.labels(lane).set_function(lambda lane=lane: load()[lane][1])  # type: ignore[misc]

    # ---------------------------------------------------------------- the registry's side

    def describe(self) -> Iterator[Metric]:
        """What `collect` will bring; the registry asks before anything was counted."""
        return self.collect()

    def collect(self) -> Iterator[Metric]:
        """Everything counted so far."""
        for lane in self._lanes.values():
            lane.add_up()
        yield _counter("submitted", "Prompts accepted", ["model"], {(m,): n for m, n in self._submitted.items()})
        yield _counter("refused", "Prompts refused at intake", ["code"], {(c,): n for c, n in self._refused.items()})
        judged = "What checks of the guards thought"
        yield _counter("guard_judgements", judged, ["check", "stage", "outcome"], self._judged)
        completed: dict[tuple[str, str, str], int] = {
            (name, Outcome.COMPLETED.value, ""): lane.count for name, lane in self._lanes.items()
        }
        yield _counter("attempts", "Attempts ended", ["lane", "outcome", "code"], completed | self._failed)
        lanes = self._lanes.items()
        tokens = {(name, "input"): lane.input for name, lane in lanes}
        tokens |= {(name, "output"): lane.output for name, lane in lanes}
        yield _counter("tokens", "Tokens as engines count them", ["lane", "kind"], tokens)
        cost = {(name,): lane.cost for name, lane in lanes}
        yield _counter("cost_nano", "Cost in billionths of a unit", ["lane"], cost)
        unpriced = {(name,): lane.unpriced for name, lane in lanes}
        yield _counter("unpriced", "Completed attempts whose cost nobody knows", ["lane"], unpriced)
        seconds = HistogramMetricFamily("promptd_attempt_seconds", "Length of completed attempts", labels=["lane"])
        first = HistogramMetricFamily(
            "promptd_first_token_seconds", "From an attempt's start to its first text", labels=["lane"]
        )
        for name, lane in lanes:
            seconds.add_metric([name], lane.seconds.buckets(), lane.seconds.sum)
            first.add_metric([name], lane.first.buckets(), lane.first.sum)
        yield seconds
        yield first


def _counter(name: str, text: str, labels: list[str], values: Mapping[Any, int]) -> Metric:
    """`values` by the labels' values."""
    family = CounterMetricFamily(f"promptd_{name}", text, labels=labels)
    for key, value in values.items():
        family.add_metric(list(key), value)
    return family
