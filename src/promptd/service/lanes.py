"""A lane: the line in front of one connection's slots, for attached and queued prompts alike.

Attached prompts wait here, because somebody holds a connection open for each; queued ones wait in the store. When both
wait, attached go first and one slot in five is kept for queued.
"""

from __future__ import annotations

import asyncio

from promptd.core.errors import Overloaded, ShuttingDown
from promptd.service.gates import Gate
from promptd.service.line import Line, Place

_QUEUED_EVERY = 5
_MOST_ATTACHED = 1000


class Lane:
    """Counts the slots of one connection, and keeps the line of those who wait for one."""

    __slots__ = (
        "again",
        "arrived",
        "attached",
        "busy",
        "claimed",
        "claiming",
        "gate",
        "held",
        "known",
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

    def queue_up(self, user: str, priority: int) -> Place:
        """A place in the line; it is resolved with a slot taken. Raises `Overloaded` where too many wait already."""
        if len(self.attached) >= _MOST_ATTACHED:
            raise Overloaded(f"too many calls wait for {self.name}", retry_after=1)
        place: Place = asyncio.get_running_loop().create_future()
        self.attached.add(place, user, priority)
        return place

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
