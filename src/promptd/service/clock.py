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
        self._letters = ""
        self._offset = 0

    def make(self, prefix: str) -> str:
        start = self._offset
        if start >= len(self._letters):
            self._letters, start = ids.letters(self._entropy(_BLOCK)), 0
        self._offset = start + 16
        return ids.begin(prefix, self._clock()) + self._letters[start : start + 16]

    def secret(self) -> bytes:
        """32 fresh bytes, never from the block."""
        return self._entropy(32)
