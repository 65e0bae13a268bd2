"""A child that answers: who may call it, and whether it is still alive behind its socket."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import msgspec
from msgspec import Struct

from promptd.core.errors import InvalidOutput, NetworkError, PermissionDenied, Timeout
from promptd.core.ports import HttpClient, Timeouts

_log = logging.getLogger(__name__)

_NOTICE: Final = 1.0  # seconds that the end of a process may lag behind the end of its sockets
_PROBES: Final = 5  # unanswered in a row, they make a process a hung one
_SLOT_PAUSE: Final = 0.25  # seconds between two looks at the slots
_SLOTS_BYTES: Final = 4 * 1024 * 1024


class _Slot(Struct):
    is_processing: bool


_decode_slots = msgspec.json.Decoder(list[_Slot]).decode


class Serving:
    """The child of one start, as calls see it. All methods belong to one event loop."""

    def __init__(self, origin: str, key: str, context: int, pid: int) -> None:
        self.origin = origin
        self.key = key
        self.context = context
        self.pid = pid
        self.spoke = False  #: a piece of an answer came since the last look
        self._doors: list[HttpClient] = []
        self._ended = asyncio.Event()
        self._end = "ended"

    def open_door(self, http: HttpClient) -> None:
        """Let `http` call this child for as long as it lives. Raises `NetworkError` where it does not."""
        if self._ended.is_set():
            raise NetworkError("the model's process has ended")
        if not any(door is http for door in self._doors):
            http.allow(self.origin)
            self._doors.append(http)

    def end(self, how: str) -> None:
        """It answers no more, and whoever gets its port next must not be called in its stead."""
        self._end = how
        self._ended.set()
        while self._doors:
            self._doors.pop().disallow(self.origin)

    async def lost(self) -> str:
        """After its sockets have shown an end: how the process ended, in words that fit behind "the process".

        Waits, for a moment at most, until the supervisor has noticed it too.
        """
        try:
            async with asyncio.timeout(_NOTICE):
                await self._ended.wait()
        except TimeoutError:
            _log.warning("the process %d drops connections but lives", self.pid)
            return "dropped the connection"
        return self._end

    async def answers(self, http: HttpClient, seconds: float) -> bool:
        """Whether the process says anything at all within `seconds`. It does so also while it computes."""
        limits = Timeouts(seconds, seconds, seconds)
        try:
            async with asyncio.timeout(seconds):
                async with http.request("GET", f"{self.origin}/health", timeouts=limits) as said:
                    await said.read()
        except (TimeoutError, Timeout, InvalidOutput, PermissionDenied, NetworkError):
            return False
        return True

    async def hang(self, patience: float, calls: asyncio.Event) -> None:
        """Return once the process has been silent for `patience` seconds while `calls` was set: it will not answer.

        Silent is who neither streams nor answers a single one of several probes.
        """
        step = patience / _PROBES
        clock = asyncio.get_running_loop().time
        missed = 0
        while missed < _PROBES:
            await calls.wait()
            next_look = clock() + step
            spoke, self.spoke = self.spoke, False
            # a call that has not opened its door yet has not asked anything yet
            alive = spoke or not self._doors or await self.answers(self._doors[-1], step)
            missed = 0 if alive or not calls.is_set() else missed + 1
            await asyncio.sleep(max(0.0, next_look - clock()))

    async def clears(self, seconds: float, calls: asyncio.Event) -> bool:
        """Whether, after its last call was cancelled, no slot computes for nobody any more, within `seconds`.

        A slot may be busy for a call that came later; that one's answer shows that the process is not stuck.
        """
        if not self._doors:
            return True
        http, limits = self._doors[-1], Timeouts(seconds, seconds, seconds)
        headers = {"authorization": f"Bearer {self.key}"}
        self.spoke = False
        try:
            async with asyncio.timeout(seconds):
                while not self.spoke:
                    async with http.request(
                        "GET", f"{self.origin}/slots", headers=headers, timeouts=limits, max_bytes=_SLOTS_BYTES
                    ) as said:
                        slots = _decode_slots(await said.read())
                    busy = sum(slot.is_processing for slot in slots)
                    if not busy or calls.is_set():
                        return True  # its loop turns: it has seen the cancel, or a later call is under way
                    await asyncio.sleep(_SLOT_PAUSE)
        except (TimeoutError, Timeout):
            return False
        except (NetworkError, InvalidOutput, PermissionDenied, msgspec.DecodeError):
            return True  # the process is leaving, or tells nothing of its slots
        return True
