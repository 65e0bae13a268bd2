"""Numbers for operators, in Prometheus' terms. Labels are bound once per lane, because looking them up is dear."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from promptd.core.model import Attempt, Outcome

_SECONDS = (0.005, 0.02, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class Metrics:
    """Every metric of the walk; names begin with `promptd_`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._submitted = Counter("promptd_submitted", "Prompts accepted", ["model"], registry=self.registry)
        self._refused = Counter("promptd_refused", "Prompts refused at intake", ["code"], registry=self.registry)
        self._attempts = Counter(
            "promptd_attempts", "Attempts ended", ["lane", "outcome", "code"], registry=self.registry
        )
        self._seconds = Histogram(
            "promptd_attempt_seconds",
            "Length of completed attempts",
            ["lane"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._first = Histogram(
            "promptd_first_token_seconds",
            "From an attempt's start to its first text",
            ["lane"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._tokens = Counter(
            "promptd_tokens", "Tokens as engines count them", ["lane", "kind"], registry=self.registry
        )
        self._cost = Counter("promptd_cost_nano", "Cost in billionths of a unit", ["lane"], registry=self.registry)
        self._gauge = Gauge("promptd_waiting", "Prompts that wait in the store", registry=self.registry)
        self._busy = Gauge("promptd_busy_slots", "Slots in use", ["lane"], registry=self.registry)
        self._slots = Gauge("promptd_slots", "Slots", ["lane"], registry=self.registry)
        self._submitted_by: dict[str, Callable[[], None]] = {}
        self._completed_by: dict[str, Callable[[Attempt], None]] = {}

    def submitted(self, model: str) -> None:
        count = self._submitted_by.get(model)
        if count is None:
            count = self._submitted_by[model] = self._submitted.labels(model).inc
        count()

    def refused(self, code: str) -> None:
        self._refused.labels(code).inc()

    def attempt(self, attempt: Attempt) -> None:
        """An attempt ended."""
        if attempt.outcome is not Outcome.COMPLETED:
            self._attempts.labels(attempt.connection, attempt.outcome.value, attempt.code or "").inc()
            return
        count = self._completed_by.get(attempt.connection)
        if count is None:
            count = self._completed_by[attempt.connection] = self._completed(attempt.connection)
        count(attempt)

    def watch(self, waiting: Callable[[], int], load: Callable[[], dict[str, tuple[int, int]]]) -> None:
        """Read gauges when somebody looks, instead of keeping them up to date."""
        self._gauge.set_function(waiting)
        for lane, (slots, _) in load().items():
            self._slots.labels(lane).set(slots)
            self._busy.labels(lane).set_function(lambda lane=lane: load()[lane][1])  # type: ignore[misc]

    def _completed(self, lane: str) -> Callable[[Attempt], None]:
        count = self._attempts.labels(lane, Outcome.COMPLETED.value, "").inc
        seconds = self._seconds.labels(lane).observe
        first = self._first.labels(lane).observe
        tokens_in, tokens_out = self._tokens.labels(lane, "input").inc, self._tokens.labels(lane, "output").inc
        money = self._cost.labels(lane).inc

        def record(attempt: Attempt) -> None:
            count()
            if attempt.finished is not None:
                seconds(attempt.finished - attempt.started)
            if attempt.first_token is not None:
                first(attempt.first_token - attempt.started)
            if attempt.usage.input_tokens:
                tokens_in(attempt.usage.input_tokens)
            if attempt.usage.output_tokens:
                tokens_out(attempt.usage.output_tokens)
            if attempt.cost:
                money(attempt.cost)

        return record
