"""One child process from its birth to its end: orders in, a report out, its chatter to the log within bounds."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import signal
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from promptd.engines.llamacpp import child
from promptd.engines.llamacpp.child import Orders, Report

_log = logging.getLogger(__name__)

_LINE = 500  # bytes of a log line that are kept
_LINES, _WINDOW = 100, 10.0  # log lines per seconds
_GRACE = 2.0  # seconds between each step of an end
_MEMORY_CHECK = 0.1  # seconds
_ERROR_LINE = re.compile(r"^[\d.]+ E\s+(.+)")
_MEGABYTE = 1_000_000


class ChildProcess:
    """A running child. `end` must be awaited whatever happens."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.pid = process.pid
        self.complaint = ""  #: the first error line of llama.cpp
        self.over_limit = False  #: it was ended for the memory it took
        self._name = name
        self._process = process
        self._verdict = ""
        self._window_end = 0.0
        self._window_lines = 0
        self._chatter = asyncio.create_task(self._forward())

    @classmethod
    async def spawn(cls, name: str, orders: Orders) -> ChildProcess:
        """Start a child. Raises `OSError`."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            child.__file__,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            # a terminal's Ctrl-C is for the server, which lets running prompts finish
            start_new_session=True,
            env={name: value for name, value in os.environ.items() if not name.startswith("PROMPTD_")},
        )
        started = cls(name, process)
        assert process.stdin is not None
        process.stdin.write(json.dumps(asdict(orders)).encode() + b"\n")
        return started

    async def report(self) -> Report | None:
        """What the child says once it is ready or can't be; None where it ended without a word."""
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line.endswith(b"\n"):
            return None
        return Report(**json.loads(line))

    async def exited(self) -> int:
        """Wait until the process is gone and its last words are logged; the exit status, negative for a signal."""
        status = await self._process.wait()
        await asyncio.shield(self._chatter)
        return status

    def why_gone(self) -> str:
        """How it ended, in words."""
        status = self._process.returncode
        if self.over_limit:
            return "used more memory than its limit"
        if self._verdict:
            return self._verdict
        if status is not None and status < 0:
            with suppress(ValueError):
                return f"was ended by {signal.Signals(-status).name}"
        return f"left with status {status}"

    def give_up(self, verdict: str) -> None:
        """Kill it for the reason `verdict`, words that fit behind "the process"."""
        self._verdict = verdict
        with suppress(ProcessLookupError):
            self._process.kill()

    def exceeds(self, megabytes: int) -> bool:
        """Kill the process if its resident memory is beyond the limit; whether that is so."""
        if not self.over_limit and _resident(self.pid) > megabytes * _MEGABYTE:
            self.over_limit = True
            with suppress(ProcessLookupError):
                self._process.kill()
        return self.over_limit

    async def keep_below(self, megabytes: int) -> None:
        """Watch the memory limit until the process is gone."""
        while not self.exceeds(megabytes):
            with suppress(TimeoutError):
                async with asyncio.timeout(_MEMORY_CHECK):
                    await self._process.wait()
                return

    async def end(self) -> None:
        """Close the lifeline; kill what does not leave. Takes at most a few seconds."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(_GRACE):
                await self.exited()
        except TimeoutError:
            with suppress(ProcessLookupError):
                self._process.kill()
            try:
                async with asyncio.timeout(_GRACE):
                    await self.exited()
            except TimeoutError:
                _log.error("the process %d of model %s can't be ended", self.pid, self._name)
        finally:
            self._chatter.cancel()

    async def _forward(self) -> None:
        assert self._process.stderr is not None
        held = b""
        while packet := await self._process.stderr.read(8192):
            *lines, held = (held + packet).split(b"\n")
            for line in lines:
                self._write(line)
            held = held[:_LINE]
        if held:
            self._write(held)

    def _write(self, raw: bytes) -> None:
        line = raw[:_LINE].decode("utf-8", "replace").rstrip()
        if not self.complaint and (error := _ERROR_LINE.match(line)):
            self.complaint = error[1]
        now = asyncio.get_running_loop().time()
        if now >= self._window_end:
            if self._window_lines > _LINES:
                _log.debug("%s: %d lines left out", self._name, self._window_lines - _LINES)
            self._window_end, self._window_lines = now + _WINDOW, 0
        self._window_lines += 1
        if self._window_lines <= _LINES:
            _log.debug("%s: %s", self._name, line)


def has_ended(pid: int) -> bool:
    """Whether a child of this process has ended, also where nobody has waited for it yet.

    Where the system can't be asked without taking the child's status, it is taken to live.
    """
    if sys.platform == "win32" or not hasattr(os, "waitid"):
        return False
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _resident(pid: int) -> int:
    """Bytes of memory that a process holds, 0 where it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (FileNotFoundError, ProcessLookupError):
        return 0
