"""The attached prompts that wait for a slot of one lane: by priority, then callers in turn, then age."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict, deque
from collections.abc import Iterator

Place = asyncio.Future[None]


class Line:
    """One caller with a hundred calls delays another by one call only."""

    def __init__(self) -> None:
        #: priority → caller → places; the caller in front is next, and goes to the back when one of its places is taken
        self._callers: dict[int, OrderedDict[str, deque[Place]]] = {}
        #: each place with its priority, its caller and its time, in the order of their coming; to be read only
        self.where: dict[Place, tuple[int, str, float]] = {}

    def __len__(self) -> int:
        return len(self.where)

    def __contains__(self, place: object) -> bool:
        return place in self.where

    def __iter__(self) -> Iterator[Place]:
        return iter(self.where)

    @property
    def eldest(self) -> tuple[Place, float] | None:
        """The place that was taken before all others, and until when it may be kept."""
        place = next(iter(self.where), None)
        return None if place is None else (place, self.where[place][2])

    def add(self, place: Place, user: str, priority: int, until: float = math.inf) -> None:
        self._callers.setdefault(priority, OrderedDict()).setdefault(user, deque()).append(place)
        self.where[place] = (priority, user, until)

    def take(self) -> Place:
        """The next place, which leaves the line. Raises `KeyError` where there is none."""
        priority = max(self._callers, default=None)
        if priority is None:
            raise KeyError("the line is empty")
        callers = self._callers[priority]
        user = next(iter(callers))
        place = callers[user][0]
        callers.move_to_end(user)
        self.remove(place)
        return place

    def remove(self, place: Place) -> None:
        """Raises `KeyError` where it is not in the line."""
        priority, user, _ = self.where.pop(place)
        callers = self._callers[priority]
        callers[user].remove(place)
        if not callers[user]:
            del callers[user]
        if not callers:
            del self._callers[priority]
