"""Whatever happens to local models in whatever order: what Model Svc tells of them is true at that moment."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
import sys
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from promptd.core.errors import EngineLost, ServiceUnavailable
from tests.faces.conftest import Server
from tests.faces.onebackend.lab import GGUF, PATIENCE, hub, lab, model, running, status

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="no wheel for this platform"),
    pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel for processes"),
    pytest.mark.timeout(240),
]

T = TypeVar("T")
STEADY, BRIEF = "steady", "brief"  # the second one is stopped as soon as it is idle for a moment
NAMES: Final = st.sampled_from([STEADY, BRIEF])
IDLE_SECONDS: Final = 0.3


def is_alive(pid: int) -> bool:
    """Of our children that have not been waited for, too."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    except ChildProcessError:
        return Path(f"/proc/{pid}").exists()


class Statuses(RuleBasedStateMachine):
    """Starts, prompts, stops, kills and idle times, all of them over HTTP but for the kills."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory(prefix="promptd-statuses-")
        self.loop = asyncio.new_event_loop()
        self.over = asyncio.Event()
        self.asked: list[asyncio.Task[Any]] = []
        self.ever: set[int] = set()  # every process that was seen
        ready: asyncio.Future[Server] = self.loop.create_future()
        self.living = self.loop.create_task(self._live(ready))
        self.server = self.do(self._first(ready))

    async def _live(self, ready: asyncio.Future[Server]) -> None:
        home = Path(self.folder.name)
        (home / "demo.gguf").write_bytes(GGUF)
        small = {"engine": "llamacpp", "gguf": str(home / "demo.gguf"), "threads": 1, "context": 256, "slots": 2}
        connections = {STEADY: small, BRIEF: {**small, "idle_stop_seconds": IDLE_SECONDS}}
        models = {name: {"connection": name} for name in connections}
        async with hub() as far, lab(home, far, connections=connections, models=models) as server:
            ready.set_result(server)
            await self.over.wait()

    async def _first(self, ready: asyncio.Future[Server]) -> Server:
        await asyncio.wait((ready, self.living), return_when=asyncio.FIRST_COMPLETED)
        if self.living.done():
            self.living.result()
        return ready.result()

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(asyncio.wait_for(work, PATIENCE))

    def processes(self, name: str) -> tuple[int, ...]:
        """Those that answer for a model, as far as the server knows."""
        connection = self.server.house.walk.connections.get(name)
        assert connection is not None
        pids = tuple(connection.engine.standing(name, connection.config).detail.get("pids", ()))
        self.ever.update(pids)
        return pids

    async def told(self, name: str) -> bool:
        found = await status(self.server.admin, name)
        assert found["assetsReady"]
        return bool(found["running"])

    # ------------------------------------------------------------ what happens

    @rule(name=NAMES)
    def a_start_begins(self, name: str) -> None:
        answer = self.do(self.server.admin.call("PUT", model(name, "/start")))
        assert (answer.status, answer.json) == (200, {})

    @rule(name=NAMES)
    def a_start_ends(self, name: str) -> None:
        with suppress(EngineLost, ServiceUnavailable):  # it was stopped or killed meanwhile
            self.do(running(self.server, name))
            if name == STEADY:
                assert self.do(self.told(name))

    @rule(name=NAMES)
    def a_prompt_is_answered(self, name: str) -> None:
        wish = {"prompt": "Hi", "modelId": name, "sync": True}
        answer = self.do(self.server.admin.post("/prompt-svc/prompt", wish))
        assert answer.json["prompt"]["status"] == "completed", answer.body

    @rule(name=NAMES)
    def a_prompt_begins(self, name: str) -> None:
        wish = {"prompt": "Hi", "modelId": name, "sync": True}

        async def begin() -> None:
            self.asked.append(asyncio.create_task(self.server.admin.post("/prompt-svc/prompt", wish)))
            await asyncio.sleep(0)

        self.do(begin())

    @rule(name=NAMES)
    def it_is_stopped(self, name: str) -> None:
        before = self.processes(name)
        assert self.do(self.server.admin.post(f"/promptd/v1/models/{name}/stop")).status == 200
        assert not any(map(is_alive, before))
        if all(task.done() for task in self.asked):  # nothing starts it again
            assert not self.do(self.told(name))

    @rule(name=NAMES)
    def its_process_is_killed(self, name: str) -> None:
        """And nobody is told: the loop does not turn before the next question."""
        for pid in self.processes(name):
            os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

    @rule()
    def time_passes(self) -> None:
        """So much that an idle model is stopped."""
        self.do(asyncio.sleep(IDLE_SECONDS * 1.2))

    # ------------------------------------------------------------ what always holds

    @invariant()
    def what_is_told_is_true(self) -> None:
        for name in (STEADY, BRIEF):
            before = self.processes(name)
            told = self.do(self.told(name))
            if self.processes(name) == before:  # nothing happened while it was asked
                assert told == bool(before)
                assert not told or all(map(is_alive, before))

    def teardown(self) -> None:
        """Every prompt is answered, whatever was done to its model; and no process is left."""
        for task in self.asked:
            answer = self.do(asyncio.wait_for(task, PATIENCE))
            assert answer.json["prompt"]["status"] == "completed", answer.body
        self.over.set()
        self.do(asyncio.wait_for(self.living, PATIENCE))
        assert not any(map(is_alive, self.ever))
        self.loop.close()
        self.folder.cleanup()


Statuses.TestCase.settings = settings(
    max_examples=6,
    stateful_step_count=8,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestStatuses = Statuses.TestCase
