"""Threads for a plugin's plain functions. They are daemons: one that hangs does not keep the process from leaving."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from promptd.core.errors import ServiceUnavailable
from promptd.isolation.errands import Errand

_MOST_WAITING: Final = 1000
_IDLE_SECONDS: Final = 30.0

#: does the work and returns how to hand its result over
Work = Callable[[], Callable[[], object]]


class Worker:
    """One thread. `stuck`: the caller of what it does has gone."""

    __slots__ = ("stuck",)

    def __init__(self) -> None:
        self.stuck = False


class Pool:
    """At most `size` threads that work for somebody. One whose caller went is given up, and another takes its place."""

    def __init__(self, name: str, size: int) -> None:
        self._name, self._size = name, size
        self._waiting: deque[tuple[Errand, Work]] = deque()
        self._change = threading.Condition()
        self._live = self._idle = 0
        self._closing = False
        self.stuck = 0  #: threads given up that still run

    def submit(self, errand: Errand, work: Work) -> None:
        """Run `work`, which must raise nothing. Raises `ServiceUnavailable`."""
        errand.pool = self
        with self._change:
            if len(self._waiting) >= _MOST_WAITING:
                raise ServiceUnavailable("too many calls wait for a thread of the plugin", retry_after=1)
            self._waiting.append((errand, work))
            self._staff()

    def drop(self, errand: Errand) -> None:
        """The errand's caller went: it is forgotten, or its thread given up."""
        with self._change:
            worker = errand.worker
            if worker is None:
                # it still waits, or it has ended; a waiting one holds the prompt's text
                self._waiting = deque(one for one in self._waiting if one[0] is not errand)
            elif not worker.stuck:
                worker.stuck = True
                self._live -= 1
                self.stuck += 1
                if self._waiting:
                    self._staff()

    def close(self) -> None:
        """Let idle threads go, and the others when they are done."""
        with self._change:
            self._closing = True
            self._waiting.clear()
            self._change.notify_all()

    def _staff(self) -> None:
        """See to it that somebody takes what waits. Holds the lock."""
        if self._idle >= len(self._waiting):
            self._change.notify()
        elif self._live < self._size:
            self._live += 1
            threading.Thread(target=self._work, args=(Worker(),), name=self._name, daemon=True).start()

    def _work(self, worker: Worker) -> None:
        while (job := self._next(worker)) is not None:
            errand, work = job
            hand_over = work()
            with self._change:
                errand.worker = None  # its caller may go now without giving this thread up
            hand_over()
            if worker.stuck:
                with self._change:
                    self.stuck -= 1
                return
            del errand, work, hand_over, job  # an idle thread holds nobody's text

    def _next(self, worker: Worker) -> tuple[Errand, Work] | None:
        with self._change:
            while not self._waiting:
                self._idle += 1
                woken = self._change.wait(_IDLE_SECONDS)
                self._idle -= 1
                if not self._waiting and (self._closing or not woken):
                    self._live -= 1
                    return None
            errand, work = self._waiting.popleft()
            errand.worker = worker
            return errand, work
