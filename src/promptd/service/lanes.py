"""A lane: the line in front of one connection's slots, for attached and queued prompts alike.

Attached prompts wait here, because somebody holds a connection open for each; queued ones wait in the store. When both
wait, attached go first and one slot in five is kept for queued.
"""

from __future__ import annotations

import asyncio
from collections import deque

from promptd.core.errors import Overloaded, ShuttingDown

_QUEUED_EVERY = 5
_MOST_ATTACHED = 1000


class Lane:
    __slots__ = (
        "again",
        "attached",
        "backlog",
        "busy",
        "claimed",
        "claiming",
        "held",
        "name",
        "slots",
        "timer",
        "turn",
    )

    def __init__(self, name: str, slots: int) -> None:
        self.name, self.slots = name, slots
        self.busy = 0  #: slots taken by running prompts or reserved by a submission under way
        self.held = 0  #: slots kept for what a claim under way will bring
        self.backlog = True  #: the store may hold claimable prompts of this lane
        self.claiming = False
        self.again = False
        self.claimed = 0
        self.turn = 0
        self.timer: asyncio.TimerHandle | None = None
        self.attached: deque[asyncio.Future[None]] = deque()

    @property
    def free(self) -> int:
        return self.slots - self.busy - self.held

    def queued_turn(self) -> bool:
        """Whether the next free slot is the store's."""
        return not self.attached or (self.backlog and self.turn % _QUEUED_EVERY == _QUEUED_EVERY - 1)

    def admit_attached(self) -> None:
        """Give free slots to waiting attached prompts, as far as it is their turn."""
        while self.free > 0 and self.attached and not self.queued_turn():
            waiter = self.attached.popleft()
            if not waiter.done():
                self.busy += 1
                self.turn += 1
                waiter.set_result(None)

    def queue_up(self) -> asyncio.Future[None]:
        """A place in the line; it is resolved with a slot taken. Raises `Overloaded` where too many wait already."""
        if len(self.attached) >= _MOST_ATTACHED:
            raise Overloaded(f"too many calls wait for {self.name}", retry_after=1)
        waiter = asyncio.get_running_loop().create_future()
        self.attached.append(waiter)
        return waiter

    def leave(self, waiter: asyncio.Future[None]) -> bool:
        """Give a place up; whether it had just become a slot, which is then the caller's to give back."""
        if waiter in self.attached:
            self.attached.remove(waiter)
            return False
        return not waiter.cancelled() and waiter.exception() is None

    def turn_away(self) -> None:
        """The server leaves: nobody in the line gets a slot any more."""
        while self.attached:
            waiter = self.attached.popleft()
            if not waiter.done():
                waiter.set_exception(ShuttingDown(retry_after=5))
