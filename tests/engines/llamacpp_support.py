"""What tests of local models wait for: lines of the engine's log, and the end of processes."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, Final

import pytest

from promptd.core.engine import Call
from promptd.engines.llamacpp import LlamaCppConfig

PATIENCE = 20.0  # seconds; only a test that fails waits that long

linux: Final = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc and waits on pidfds")

MakeCall = Callable[..., Call[LlamaCppConfig, Any]]


class Journal(logging.Handler):
    """The engine's log, as something to wait for."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []
        self._more = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        self._more.set()

    def count(self, text: str) -> int:
        return sum(text in line for line in self.lines)

    async def seen(self, text: str, times: int = 1) -> None:
        async with asyncio.timeout(PATIENCE):
            while self.count(text) < times:
                self._more.clear()
                await self._more.wait()


class Death:
    """The end of any process, also of one that is not our child (Linux). Look at it before it dies."""

    def __init__(self, pid: int) -> None:
        self._fd = os.pidfd_open(pid)

    async def seen(self) -> None:
        dead = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(self._fd, dead.set)
        try:
            async with asyncio.timeout(PATIENCE):
                await dead.wait()
        finally:
            loop.remove_reader(self._fd)
            os.close(self._fd)


def freeze(pid: int) -> None:
    """Stop a child of ours for a while, and return when it stands still."""
    os.kill(pid, signal.SIGSTOP)
    os.waitpid(pid, os.WUNTRACED)
