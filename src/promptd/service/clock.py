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
        start, letters = self._offset, self._letters
        end = start + 16
        if end > len(letters):
            letters = self._letters = ids.letters(self._entropy(_BLOCK))
            start, end = 0, 16
        self._offset = end
        clock = self._clock  # a method is looked for first where it is called at once
        return ids.begin(prefix, clock()) + letters[start:end]

    def secret(self) -> bytes:
        """32 fresh bytes, never from the block."""
        return self._entropy(32)
