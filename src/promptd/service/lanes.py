"""A lane: the line in front of one connection's slots, for attached and queued prompts alike.

Attached prompts wait here, because somebody holds a connection open for each; queued ones wait in the store. When both
wait, attached go first and one slot in five is kept for queued.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable
from typing import Final

from promptd.core.errors import LaneFull, ShuttingDown
from promptd.service.connections import Connection
from promptd.service.gates import Gate
from promptd.service.line import Line, Place

_QUEUED_EVERY: Final = 5
_CALL_SECONDS: Final = 1.0  # what one call is taken to last, to tell those who are sent away when to come again
_LONGEST_HINT: Final = 30.0


class Lane:
    """Counts the slots of one connection, and keeps the line of those who wait for one."""

    __slots__ = (
        "_patience",
        "again",
        "arrived",
        "attached",
        "busy",
        "claimed",
        "claiming",
        "gate",
        "held",
        "known",
        "longest_wait",
        "most_waiting",
        "name",
        "slots",
        "timer",
        "turn",
        "waiting",
    )

    def __init__(self, name: str, slots: int) -> None:
        self.name, self.slots = name, slots
        self.busy = 0  #: slots taken by running prompts or reserved by a submission under way
        self.held = 0  #: slots kept for what a claim under way will bring
        #: at most so many claimable prompts are in the store, those apart that a claim under way has slots for; None
        #: where nobody knows
        self.waiting: int | None = None
        self.claiming = False
        self.again = False  #: during the claim under way something may have become claimable
        self.arrived = 0  #: prompts that were stored to wait during the claim under way
        self.known: int | None = None  #: `waiting` when the claim under way began
        self.claimed = 0
        self.turn = 0
        self.timer: asyncio.TimerHandle | None = None
        self.attached = Line()
        self.most_waiting = 1000  #: attached prompts in the line
        self.longest_wait = 300.0  #: seconds that each of them may stand there
        self._patience: asyncio.TimerHandle | None = None  # of those who have stood longest
        self.gate: Gate | None = None  #: where the model takes memory of this machine

    @property
    def free(self) -> int:
        return self.slots - self.busy - self.held

    @property
    def shut(self) -> bool:
        """Whether the model has no memory: one queued prompt is claimed and waits at the gate, attached ones wait here."""
        return self.gate is not None and self.gate.shut

    @property
    def backlog(self) -> bool:
        """Whether the store may hold claimable prompts of this lane."""
        return self.waiting != 0

    @property
    def open(self) -> bool:
        """Whether a newcomer may start: there are free slots for all that wait, and one more."""
        return self.waiting is not None and not self.attached and self.free > self.waiting

    def take(self) -> bool:
        """Take a slot, if one is free and nobody waits in front."""
        busy, gate = self.busy, self.gate
        # a line in itself would be asked for its length
        if self.slots - busy - self.held <= 0 or self.attached.where or (gate is not None and gate.shut):
            return False
        self.busy = busy + 1
        return True

    def look(self) -> None:
        """Something may have become claimable."""
        self.waiting = None
        self.again = True

    def arrive(self) -> None:
        """One more prompt waits in the store."""
        self.arrived += 1
        if self.waiting is not None:
            self.waiting += 1

    def ask(self, most: int) -> int:
        """Begin a claim: for how many prompts. Until its end slots are held for all that are known to wait."""
        self.again, self.arrived, self.known = False, 0, self.waiting
        if self.attached or self.waiting is None:
            self.held = 1 if self.attached else min(self.free, most)
        else:
            # one more than is known of: only a claim that brings less than it asked for has left nothing behind
            self.held = min(self.free, self.waiting + 1)
        if self.waiting is not None:
            self.waiting = 0 if self.held >= self.waiting else None
        return min(self.held, most)

    def took(self, asked: int, found: int) -> bool:
        """The end of a claim; whether it left nothing claimable behind that was there when it looked."""
        if self.again:
            self.waiting = None
        elif found < asked:
            self.waiting = self.arrived
            return True
        elif self.known is not None:
            # one of those found may have been another, whose time had just come: then one more waits
            self.waiting = max(0, self.known - found) + self.arrived + 1
        return False

    def queued_turn(self) -> bool:
        """Whether the next free slot is the store's."""
        return not self.attached or (self.backlog and self.turn % _QUEUED_EVERY == _QUEUED_EVERY - 1)

    def admit_attached(self) -> None:
        """Give free slots to waiting attached prompts, as far as it is their turn."""
        while self.free > 0 and self.attached and not self.queued_turn() and not self.shut:
            place = self.attached.take()
            if not place.done():
                self.busy += 1
                self.turn += 1
                place.set_result(None)

    @property
    def full(self) -> bool:
        """Whether a call that comes now, and has to wait, is sent away."""
        # who has a slot to come to does not wait for others: a claim or a look at a suspect is in the way for a moment
        return len(self.attached) >= self.most_waiting + max(self.slots - self.busy, 0)

    def queue_up(self, user: str, priority: int) -> Place:
        """A place in the line; it is resolved with a slot taken. Raises `LaneFull` where too many wait already.

        One that has waited for too long ends with that, too.
        """
        if self.full:
            raise self._sent_away(f"{len(self.attached)} calls wait for {self.name}")
        loop = asyncio.get_running_loop()
        place: Place = loop.create_future()
        self.attached.add(place, user, priority, loop.time() + self.longest_wait)
        if self._patience is None:
            self._watch()
        return place

    def _watch(self) -> None:
        """Wake up when the one that has stood longest has stood too long: one timer for all."""
        self._patience = None
        loop, now = asyncio.get_running_loop(), asyncio.get_running_loop().time()
        while (eldest := self.attached.eldest) is not None:
            place, until = eldest
            if until > now:
                self._patience = loop.call_at(until, self._watch)
                return
            self.attached.remove(place)
            if not place.done():
                place.set_exception(self._sent_away(f"no slot of {self.name} came free in {self.longest_wait:g} s"))

    def _sent_away(self, message: str) -> LaneFull:
        again = math.ceil(len(self.attached) / max(self.slots, 1) * _CALL_SECONDS)
        return LaneFull(message, retry_after=min(max(again, 1.0), _LONGEST_HINT))

    def leave(self, place: Place) -> bool:
        """Give a place up; whether it had just become a slot, which is then the caller's to give back."""
        if place in self.attached:
            self.attached.remove(place)
            return False
        return not place.cancelled() and place.exception() is None

    def turn_away(self) -> None:
        """The server leaves: nobody in the line gets a slot any more."""
        while self.attached:
            place = self.attached.take()
            if not place.done():
                place.set_exception(ShuttingDown(retry_after=5))


def bound(lanes: Callable[[str], Lane | None], connections: Iterable[Connection]) -> None:
    """Give each connection's line its bounds. What stands in one already stands as long as it was told."""
    for connection in connections:
        if (lane := lanes(connection.name)) is not None:
            lane.most_waiting, lane.longest_wait = connection.max_waiting, connection.max_wait
