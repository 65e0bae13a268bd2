"""Gateways side by side in one run: one core each, interleaved, one upstream, one load.

    BENCH_VENVS=/path/to/venvs python -m bench.gateway
    python -m bench.gateway --targets direct,promptd --phases c64 --rounds 5

Every target is up for the whole run; in each round each of them gets each phase in turn. The targets have the cores of
`--cores`, upstream and load share the last core of this machine.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import uvloop

from bench.gateway import ledger, load, processes
from bench.gateway.report import Figures, Result, table
from bench.gateway.targets import KEY, TARGETS, Missing, Recipe
from bench.gateway.upstream import LARGE, Told

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Phase:
    """One kind of load; sizes in bytes of the request's body."""

    connections: int
    size: int = 1024
    stream: bool = False
    large: bool = False
    keep: bool = False
    share: float = 1.0  #: of `--seconds`


PHASES = {
    "c1": Phase(1, share=0.5),
    "c64": Phase(64),
    "c512": Phase(512),
    "stream": Phase(64, stream=True, share=1.5),
    "body32k": Phase(64, size=LARGE, large=True),
    "prompt100k": Phase(16, size=100 * 1024),
    "kept": Phase(64, keep=True),
}


@dataclass
class Target:
    """A gateway that answers; `pid` is 0 where there is nothing to measure but the way."""

    result: Result
    port: int
    key: str
    pid: int = 0
    told: Told = field(default_factory=Told)
    identifiers: list[str] = field(default_factory=list)


class Bench:
    def __init__(self, options: argparse.Namespace, upstream: int) -> None:
        self.options, self.upstream = options, upstream

    async def phase(self, target: Target, phase: Phase) -> Figures:
        one = load.request(target.port, target.key, phase.size, stream=phase.stream, large=phase.large, keep=phase.keep)
        begun, before = processes.run_seconds(target.pid) if target.pid else 0.0, ledger.told(self.upstream)
        done = await load.run(
            target.port,
            one,
            connections=phase.connections,
            seconds=self.options.seconds * phase.share,
            stream=phase.stream,
        )
        after = ledger.told(self.upstream)
        for name in Told.__struct_fields__:
            setattr(target.told, name, getattr(target.told, name) + getattr(after, name) - getattr(before, name))
        target.identifiers += done.identifiers[:2]
        if done.sample:
            print(f"!! {target.result.name}: {done.sample[:300]!r}", file=sys.stderr)
        return Figures(done, processes.run_seconds(target.pid) - begun if target.pid else float("nan"))

    async def run(self, targets: list[Target]) -> None:
        wanted = self.options.phases.split(",")
        for target in targets:
            await self.phase(target, Phase(16, share=0.3))  # warm up
        for number in range(self.options.rounds):
            for target in targets:
                figures = {
                    name: await self.phase(target, PHASES[name])
                    for name in wanted
                    if name != "kept" or target.result.name == "promptd"
                }
                target.result.rounds.append(figures)
            said = [f"{t.result.name} {_said(t.result.rounds[-1])}" for t in targets]
            print(f"round {number + 1}: {', '.join(said)}", file=sys.stderr, flush=True)
        for target in targets:
            if target.pid:
                target.result.busy_mib = processes.resident_mib(target.pid)


def _said(figures: dict[str, Figures]) -> str:
    name = "c64" if "c64" in figures else next(iter(figures))
    return f"{figures[name].cpu_us:.0f} µs"


@contextmanager
def started(name: str, recipe: Recipe, cores: set[int], folder: Path) -> Iterator[Target | None]:
    """The target once it answers, pinned to `cores`; None where it does not."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PROMPTD_")}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            recipe.command,
            cwd=folder,
            env=kept | dict(recipe.variables),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
    try:
        begun = time.monotonic()
        one = load.request(recipe.port, recipe.key, 1024)
        error = b""
        while process.poll() is None and time.monotonic() - begun < recipe.wait:
            tried = asyncio.run(load.run(recipe.port, one, connections=1, seconds=0.001))
            if tried.count:
                result = Result(name, boot_seconds=time.monotonic() - begun)
                target = Target(result, recipe.port, recipe.key, process.pid)
                # the first answers are in its ledger too
                target.told = Told(requests=0)
                result.idle_mib = processes.resident_mib(process.pid)
                yield target
                return
            error = tried.sample
            time.sleep(0.1)
        print(f"!! {name} did not start: {error[:300]!r}\n{(folder / 'log').read_text()[-2000:]}", file=sys.stderr)
        yield None
    finally:
        processes.end(process)


@contextmanager
def upstream() -> Iterator[int]:
    """Its port. It shares this process's core."""
    command = [sys.executable, "-m", "bench.gateway.upstream"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        processes.end(process)


def main(options: argparse.Namespace) -> None:
    cores = {int(core) for core in options.cores.split(",")}
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with ExitStack() as stack:
        port = stack.enter_context(upstream())
        bench, targets = Bench(options, port), []
        base = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-gateway-")))
        for name in options.targets.split(","):
            if name == "direct":
                targets.append(Target(Result("direct"), port, KEY))
                continue
            folder = base / name
            folder.mkdir()
            try:
                recipe = TARGETS[name](port, folder)
            except Missing as missing:
                print(f"-- {name} is left out: {missing}")
                continue
            before = ledger.told(port)
            target = stack.enter_context(started(name, recipe, cores, folder))
            if target is not None:
                target.told = _difference(ledger.told(port), before)
                targets.append(target)
        uvloop.run(bench.run(targets))
        results = [target.result for target in targets]
        print(table(results))
        for target in targets:
            if target.result.name == "promptd":
                print("\n".join(["", *ledger.check(target.port, target.told, target.identifiers)]))
        if options.out:
            Path(options.out).write_bytes(msgspec.json.encode(results))


def _difference(after: Told, before: Told) -> Told:
    return Told(**{name: getattr(after, name) - getattr(before, name) for name in Told.__struct_fields__})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", default=",".join(["direct", *TARGETS]))
    parser.add_argument("--phases", default=",".join(PHASES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of a phase")
    parser.add_argument("--cores", default="0", help="of the targets, such as 0 or 0,1")
    parser.add_argument("--out", help="also write all figures as JSON to this file")
    main(parser.parse_args())
