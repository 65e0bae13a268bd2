"""Time and randomness for the service: handed in once, by the composition root."""

from __future__ import annotations

from collections.abc import Callable

from promptd.core import ids

Clock = Callable[[], float]  #: UTC seconds
Entropy = Callable[[int], bytes]

_BLOCK = 16 * 64  # bytes; an id takes 16


class Ids:
    """Makes identifiers; randomness is fetched in blocks, because a system call per id is dear on the hot path."""

    def __init__(self, clock: Clock, entropy: Entropy) -> None:
        self._clock, self._entropy = clock, entropy
        self._late: list[str] = []  # ends of ids to come
        self._second = -1
        self._early: dict[str, str] = {}  # how ids of that second begin, by their prefix

    def make(self, prefix: str) -> str:
        late = self._late
        if not late:
            letters = ids.letters(self._entropy(_BLOCK))
            late = self._late = [letters[start : start + 16] for start in range(0, _BLOCK, 16)]
        clock = self._clock  # a method is looked for first where it is called at once
        moment = int(clock() * 1000)
        if moment >> ids.LATE != self._second:
            self._second, self._early = moment >> ids.LATE, {}
        early = self._early.get(prefix)
        if early is None:
            early = self._early[prefix] = ids.early(prefix, self._second)
        return early + ids.PAIRS[moment & 1023] + late.pop()

    def secret(self) -> bytes:
        """32 fresh bytes, never from the block."""
        return self._entropy(32)
