"""The table of a run: medians over its rounds, and ratios to other targets within each round."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from bench.gateway.load import Load, percentile

Round = dict[str, "Figures"]
NOTHING = "–"


@dataclass
class Figures:
    """One phase of one round of one target; times in seconds."""

    load: Load
    cpu: float = float("nan")

    @property
    def cpu_us(self) -> float:
        """Of the target's process tree, per request."""
        return self.cpu / max(self.load.count, 1) * 1e6

    @property
    def cpu_us_per_chunk(self) -> float:
        return self.cpu / max(self.load.events, 1) * 1e6

    @property
    def p50_ms(self) -> float:
        return percentile(self.load.latencies, 0.5) * 1e3

    @property
    def mean_ms(self) -> float:
        return sum(self.load.latencies) / max(self.load.count, 1) * 1e3

    @property
    def p99_ms(self) -> float:
        return percentile(self.load.latencies, 0.99) * 1e3

    @property
    def first_ms(self) -> float:
        return percentile(self.load.firsts, 0.5) * 1e3


@dataclass
class Result:
    """Everything of one target."""

    name: str
    rounds: list[Round] = field(default_factory=list)
    boot_seconds: float = 0.0
    idle_mib: float = 0.0
    busy_mib: float = 0.0

    @property
    def errors(self) -> int:
        return sum(figures.load.errors for one in self.rounds for figures in one.values())


def median(values: Iterable[float]) -> float:
    known = [value for value in values if value == value]
    return statistics.median(known) if known else float("nan")


def figure(result: Result, phase: str, value: Callable[[Figures], float]) -> float:
    return median(value(one[phase]) for one in result.rounds if phase in one)


def ratio(result: Result, base: Result | None, phase: str, value: Callable[[Figures], float]) -> float:
    """Of figures of the same round."""
    return _paired(result, base, phase, value, lambda own, other: own / other if other else float("nan"))


def added(result: Result, base: Result | None, phase: str, value: Callable[[Figures], float]) -> float:
    return _paired(result, base, phase, value, lambda own, other: own - other)


def _paired(
    result: Result,
    base: Result | None,
    phase: str,
    value: Callable[[Figures], float],
    compare: Callable[[float, float], float],
) -> float:
    if base is None:
        return float("nan")
    pairs = zip(result.rounds, base.rounds, strict=False)
    return median(
        compare(value(own[phase]), value(other[phase])) for own, other in pairs if phase in own and phase in other
    )


def text(value: float, form: str = ".0f") -> str:
    return format(value, form) if value == value else NOTHING


def table(results: list[Result]) -> str:
    named = {result.name: result for result in results}
    direct, router = named.get("direct"), named.get("vllm-router")
    lines = []

    def row(cells: Iterable[str]) -> None:
        lines.append("| " + " | ".join(cells) + " |")

    def head(*names: str) -> None:
        if lines:
            lines.append("")
        row(names)
        row(["---", *["--:"] * (len(names) - 1)])

    head("target", "CPU µs c1", "c64", "÷ router", "c512", "32 KB", "100 KB in", "kept", "errors", "RSS MiB", "start s")
    for result in results:
        cpu = [
            figure(result, phase, lambda each: each.cpu_us)
            for phase in ("c1", "c64", "c512", "body32k", "prompt100k", "kept")
        ]
        versus = ratio(result, router, "c64", lambda each: each.cpu_us)
        memory = f"{result.idle_mib:.0f}→{result.busy_mib:.0f}" if result.busy_mib else NOTHING
        start = text(result.boot_seconds or float("nan"), ".1f")
        shown = [*map(text, cpu[:2]), text(versus, ".2f"), *map(text, cpu[2:])]
        row([result.name, *shown, str(result.errors), memory, start])
    head(
        "target",
        "added p50 c1 ms",
        "mean c64 ms",
        "p99 c64 ms",
        "÷ router",
        "requests/s c64",
        "c512",
        "CPU µs/chunk",
        "added first chunk ms",
    )
    for result in results:
        row(
            [
                result.name,
                text(added(result, direct, "c1", lambda each: each.p50_ms), ".3f"),
                text(figure(result, "c64", lambda each: each.mean_ms), ".1f"),
                text(figure(result, "c64", lambda each: each.p99_ms), ".1f"),
                text(ratio(result, router, "c64", lambda each: each.p99_ms), ".2f"),
                text(figure(result, "c64", lambda each: each.load.rate)),
                text(figure(result, "c512", lambda each: each.load.rate)),
                text(figure(result, "stream", lambda each: each.cpu_us_per_chunk), ".1f"),
                text(added(result, direct, "stream", lambda each: each.first_ms), ".2f"),
            ]
        )
    if (litellm := named.get("litellm")) and (promptd := named.get("promptd")):
        lines += [
            "",
            f"LiteLLM ÷ promptd, CPU per request at 64: {text(ratio(litellm, promptd, 'c64', lambda each: each.cpu_us))}",
        ]
    return "\n".join(lines)
