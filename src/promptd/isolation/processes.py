"""The life of a plugin's process: started when it is asked something, and again after a crash, with longer and longer
pauses."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import time
from collections import deque
from contextlib import suppress
from typing import Any, Final

import msgspec

from promptd.core.engine import Engine
from promptd.core.errors import EngineLost, NetworkError, PromptExecutionError, ServiceUnavailable
from promptd.core.ports import HttpClient
from promptd.isolation import child
from promptd.isolation.border import Asked, Head
from promptd.isolation.chatter import Chatter
from promptd.isolation.faults import fault
from promptd.isolation.link import Faulted, Link, Lost, Outlet
from promptd.isolation.redaction import Redactor
from promptd.isolation.rules import Rules

_log = logging.getLogger(__name__)

_STABLE: Final = 60.0  # seconds after which a crash counts as the first one again
_FORGIVEN: Final = 2  # crashes in a row that cost the prompts which ran there nothing
_SHORT: Final = 2.0  # seconds that a call waits for a restart
_GRACE: Final = 2.0  # seconds from closed socket to SIGKILL
_RECENT: Final = 16  # conversations whose secrets are known for longer than they last
_MOST_BYTES: Final = 64 * 1024 * 1024  # of a frame
_MOST_OPEN: Final = 256  # requests at once
_ENGINE: Final = Engine[Any, Any]()  # without an `error_map` of its own


def restart_delay(failures: int, *, base: float = 0.5, limit: float = 60.0) -> float:
    """Seconds before the start that follows failure number `failures`: none after the first, then base·2^(n-2)."""
    return 0.0 if failures < 2 else min(base * 2.0 ** min(failures - 2, 20), limit)


class PluginProcess:
    """One per distribution. All methods belong to one event loop at a time."""

    def __init__(self, plugin: str, rules: Rules) -> None:
        self.plugin, self.rules = plugin, rules
        self.tenants = 0  #: engines that live here
        self._clients: dict[int, HttpClient] = {}  #: of each question under way
        self._redactors: dict[int, Redactor] = {}
        self._recent: deque[Redactor] = deque(maxlen=_RECENT)  #: what is printed comes later than answers do
        self._requests: dict[int, set[asyncio.Task[None]]] = {}
        self._home: asyncio.AbstractEventLoop | None = None
        self._starting = asyncio.Lock()
        self._link: Link | None = None
        self._life: asyncio.Task[None] | None = None
        self._pid = 0
        self._failures, self._retry_at = 0, 0.0
        self._why = self._verdict = ""
        self._closing = False
        self._logger = logging.getLogger(f"promptd.plugins.{plugin}")

    @property
    def unavailable(self) -> str:
        """Why no call is taken now, or nothing."""
        if self._link is not None or self._home is None or self._retry_at - self._home.time() <= _SHORT:
            return ""
        return f"the plugin's process {self._why}; it will restart"

    @property
    def pid(self) -> int | None:
        """Of the process, while there is one."""
        return self._pid if self._link is not None else None

    async def link(self) -> Link:
        """A link to the process, which is started where there is none. Raises `ServiceUnavailable`."""
        loop = asyncio.get_running_loop()
        if self._home is not loop:
            self._home, self._link, self._life, self._retry_at = loop, None, None, 0.0
            self._starting = asyncio.Lock()
        if self._link is not None and not self._link.lost:
            return self._link
        async with self._starting:
            if self._life is not None:
                if self._link is not None and not self._link.lost:
                    return self._link
                await asyncio.wait({self._life})  # it is leaving
            held = self._retry_at - loop.time()
            if held > _SHORT:
                raise ServiceUnavailable(self.unavailable, retry_after=held)
            if held > 0:
                await asyncio.sleep(held)
            return await self._start(loop)

    def own(self, number: int, http: HttpClient | None, redact: Redactor) -> None:
        """Conversation `number` has begun: its requests go out by `http`."""
        self._redactors[number] = redact
        self._recent.append(redact)
        if http is not None:
            self._clients[number] = http

    def disown(self, number: int) -> None:
        """A conversation is over: its requests are closed."""
        self._clients.pop(number, None)
        self._redactors.pop(number, None)
        for task in self._requests.pop(number, ()):
            task.cancel()

    @property
    def life(self) -> asyncio.Task[None] | None:
        """Of the process that there is: it ends when it is known why that has."""
        return self._life

    async def lost(self, life: asyncio.Task[None] | None) -> PromptExecutionError:
        """What a call gets whose process ended under it."""
        if life is not None:
            await asyncio.wait({life})
        kind = EngineLost if self._failures <= _FORGIVEN else ServiceUnavailable
        return kind(f"the plugin's process {self._why}", retry_after=restart_delay(self._failures) or None)

    async def close(self) -> None:
        """End the process. It starts again when it is asked something."""
        if self._life is None or self._link is None or self._home is not asyncio.get_running_loop():
            return
        self._closing = True
        self._link.close()
        await asyncio.wait({self._life})

    # ---------------------------------------------------------------- one life

    async def _start(self, loop: asyncio.AbstractEventLoop) -> Link:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-P",
                    "-m",
                    child.__name__,
                    str(theirs.fileno()),
                    pass_fds=(theirs.fileno(),),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.DEVNULL,
                    stderr=asyncio.subprocess.PIPE,
                    # a terminal's Ctrl-C is for the server, which lets running prompts finish
                    start_new_session=True,
                    env={name: value for name, value in os.environ.items() if not name.startswith("PROMPTD_")},
                )
            except OSError as error:
                ours.close()
                self._failed(f"could not be started: {error.strerror or type(error).__name__}", loop.time())
                raise ServiceUnavailable(f"the plugin's process {self._why}") from None
        reader, writer = await asyncio.open_connection(sock=ours)
        link = Link(
            reader,
            writer,
            odd=False,
            most_bytes=max(_MOST_BYTES, 2 * self.rules.max_answer_bytes),
            most_open=_MOST_OPEN,
            answer=self._answer,
            note=self._note,
        )
        link.note("orders", msgspec.msgpack.encode(child.Orders(self.plugin, sys.path, self.rules)))
        self._link, self._pid, self._closing, self._verdict = link, process.pid, False, ""
        self._life = loop.create_task(self._live(link, process), name=f"plugin {self.plugin}")
        return link

    async def _live(self, link: Link, process: asyncio.subprocess.Process) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        chatter = asyncio.create_task(self._forward(process))
        pulse = asyncio.create_task(self._feel(link, process))
        try:
            await link.live()
        except (Lost, OSError) as error:
            self._verdict = self._verdict or f"was ended: {error}"
            process.kill()
        finally:
            self._link = None
            pulse.cancel()
            await self._end(process)
            chatter.cancel()
            if self._closing:
                self._why = "was stopped"
            else:
                self._failed(self._verdict or child.how_it_ended(process.returncode), began)

    def _failed(self, why: str, began: float) -> None:
        now = asyncio.get_running_loop().time()
        self._failures = 1 if now - began > _STABLE else self._failures + 1
        self._why, delay = why, restart_delay(self._failures)
        self._retry_at = now + delay
        _log.warning(
            "plugin %s: its process %s; restart in %g s", self.plugin, why, delay, extra={"action": "plugin_lost"}
        )

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        """Wait until the process is gone; kill what does not leave."""
        try:
            async with asyncio.timeout(_GRACE):
                await process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _feel(self, link: Link, process: asyncio.subprocess.Process) -> None:
        """Kill the process when it lets its calls wait and gives no sign of life."""
        patience = self.rules.start_seconds
        while True:
            inlet = link.open("alive", b"")
            try:
                async with asyncio.timeout(patience):
                    await inlet.take()
            except TimeoutError:
                self._verdict = f"gave no sign of life for {patience:g} s"
                process.kill()
                return
            except (Lost, Faulted):
                return
            finally:
                inlet.leave()
            patience = 2 * self.rules.blocked_seconds
            await asyncio.sleep(self.rules.blocked_seconds)

    async def _forward(self, process: asyncio.subprocess.Process) -> None:
        """What the process prints goes to the debug log and is never waited for."""
        assert process.stderr is not None
        chatter = Chatter(self._withheld, lambda line: _log.debug("plugin %s: %s", self.plugin, line))
        try:
            while packet := await process.stderr.read(8192):
                if _log.isEnabledFor(logging.DEBUG):
                    chatter.feed(packet, time.monotonic())
        finally:
            chatter.end(time.monotonic())

    # ---------------------------------------------------------------- what it asks for

    def _note(self, kind: str, text: bytes) -> None:
        level, said = msgspec.msgpack.decode(text, type=tuple[int, str])
        self._logger.log(min(max(level, logging.DEBUG), logging.ERROR), "%s", self._withheld(said))

    def _withheld(self, said: str) -> str:
        """Without the secrets of any conversation that is open, or was a short time ago."""
        for redact in {*self._redactors.values(), *self._recent}:
            said = redact(said)
        return said

    async def _answer(self, kind: str, question: bytes, outlet: Outlet) -> None:
        """An HTTP request: it goes out here, behind the egress policy."""
        try:
            owner, asked = msgspec.msgpack.decode(question, type=tuple[int, Asked])
            http = self._clients.get(owner)
            if http is None:
                raise NetworkError("the call has ended")
            task = asyncio.current_task()
            assert task is not None
            open_ones = self._requests.setdefault(owner, set())
            open_ones.add(task)
            task.add_done_callback(open_ones.discard)
            async with http.request(
                asked.method,
                asked.url,
                headers=asked.headers,
                body=asked.body,
                timeouts=asked.timeouts,
                max_bytes=asked.max_bytes,
            ) as response:
                await outlet.put(msgspec.msgpack.encode(Head(response.status, dict(response.headers))))
                async for piece in response.chunks():
                    await outlet.put(piece)
        except Exception as error:  # what a plugin asks for may be of any form; it gets to know that it was wrong
            raise Faulted(fault(_ENGINE, error, Redactor())) from None
