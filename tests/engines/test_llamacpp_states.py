"""Whatever happens in whatever order: the status is true, calls end, and no process is left."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from promptd.core.content import Turn
from promptd.core.engine import Call
from promptd.core.errors import EngineLost, ServiceUnavailable
from promptd.core.parameters import Parameters
from promptd.egress.client import Egress
from promptd.engines.llamacpp import LlamaCpp, LlamaCppConfig, child
from tests.engines.llamacpp_support import PATIENCE

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="no wheel for this platform"),
    pytest.mark.skipif(sys.platform != "linux", reason="looks for children in /proc"),
    pytest.mark.timeout(240),
]

CONFIG = LlamaCppConfig(threads=1, context=256, slots=2, prompt_cache_mb=0)
ENDLESS = {"ignore_eos": True}


def children() -> list[int]:
    """Every model's process that this one has started and that still runs, also those nobody has been told of yet."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):
            found += [int(number) for number in (task / "children").read_text().split()]
    return [pid for pid in found if not gone(pid) and child.__file__ in command(pid)]


def command(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text()
    return ""


def gone(pid: int) -> bool:
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


class Life(RuleBasedStateMachine):
    """Starts, calls, stops and kills, each of them also in the middle of another."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.engine = LlamaCpp()
        self.http = self.loop.run_until_complete(self._egress())
        self.under_way: list[asyncio.Task[Any]] = []
        self.before = set(children())

    async def _egress(self) -> Egress:
        return Egress()

    def do(self, coroutine: Any) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(coroutine, PATIENCE))

    def call(self, tokens: int, **extra: Any) -> Call[LlamaCppConfig, Any]:
        return Call(
            connection=CONFIG,
            connection_name="local",
            model="demo",
            http=self.http,
            messages=(Turn("user", "Hello!"),),
            parameters=Parameters(max_tokens=tokens, temperature=0.0, extra=extra),
        )

    def begin(self, coroutine: Any) -> None:
        async def spawn() -> None:
            self.under_way.append(asyncio.create_task(coroutine))
            await asyncio.sleep(0)

        self.do(spawn())

    @property
    def mine(self) -> list[int]:
        return [pid for pid in children() if pid not in self.before]

    # ------------------------------------------------------------ what happens

    @rule()
    def start_begins(self) -> None:
        self.begin(self.engine.start("local", CONFIG, self.http))

    @rule()
    def start(self) -> None:
        with suppress(EngineLost, ServiceUnavailable):
            self.do(self.engine.start("local", CONFIG, self.http))

    @rule()
    def a_call_begins(self) -> None:
        self.begin(self.engine.execute(self.call(200, **ENDLESS)))

    @rule()
    def a_call_is_cancelled(self) -> None:
        for task in self.under_way:
            task.cancel()

    @rule(count=st.integers(1, 2))
    def scale_begins(self, count: int) -> None:
        self.begin(self.engine.scale("local", CONFIG, count, self.http))

    @rule()
    def stop_begins(self) -> None:
        self.begin(self.engine.stop("local"))

    @rule()
    def stop(self) -> None:
        self.do(self.engine.stop("local"))
        assert self.engine.standing("local", CONFIG).state == "stopped"

    @rule(seconds=st.sampled_from([0.0, 0.05, 0.15, 0.4]))
    def time_passes(self, seconds: float) -> None:
        self.do(asyncio.sleep(seconds))

    @rule(which=st.integers(0, 2))
    def a_process_is_killed(self, which: int) -> None:
        """And nobody is told: the loop does not turn before the next look at the status."""
        if not (there := sorted(self.mine)):
            return
        pid = there[which % len(there)]
        os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

    # ------------------------------------------------------------ what always holds

    @invariant()
    def ready_means_that_a_process_can_answer(self) -> None:
        standing = self.engine.standing("local", CONFIG)
        if standing.state == "ready":
            assert standing.detail["replicas"] == len(standing.detail["pids"]) >= 1
            assert all(not gone(pid) for pid in standing.detail["pids"])
            assert standing.detail["pid"] in standing.detail["pids"]

    def teardown(self) -> None:
        """It recovers from everything; calls that were under way end; nothing is left."""
        with suppress(EngineLost, ServiceUnavailable):  # one may have been killed just now
            self.do(self.engine.start("local", CONFIG, self.http))
        # a start is content with a process whose death its supervisor has not been told of yet
        deadline = self.loop.time() + PATIENCE
        while self.engine.standing("local", CONFIG).state != "ready":
            assert self.loop.time() < deadline
            with suppress(EngineLost, ServiceUnavailable):
                self.do(self.engine.start("local", CONFIG, self.http))
        assert self.do(self.engine.execute(self.call(5))).text
        for task in self.under_way:
            task.cancel()
        if self.under_way:
            self.do(asyncio.wait(self.under_way))
        for task in self.under_way:
            if not task.cancelled() and (error := task.exception()) is not None:
                assert isinstance(error, EngineLost | ServiceUnavailable), error
        self.do(self.engine.close())
        assert self.engine.standing("local", CONFIG).state == "stopped"
        assert self.mine == []
        self.do(self.http.close())
        self.loop.close()


Life.TestCase.settings = settings(
    max_examples=8,
    stateful_step_count=10,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestLife = pytest.mark.slow(Life.TestCase)
