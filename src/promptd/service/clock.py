"""Time and randomness for the service: handed in once, by the composition root."""

from __future__ import annotations

from collections.abc import Callable

from promptd.core.ids import make_id

Clock = Callable[[], float]  #: UTC seconds
Entropy = Callable[[int], bytes]

_BLOCK = 1000


class Ids:
    """Makes identifiers; randomness is fetched in blocks, because a system call per id is dear on the hot path."""

    def __init__(self, clock: Clock, entropy: Entropy) -> None:
        self._clock, self._entropy = clock, entropy
        self._block = b""
        self._offset = 0

    def make(self, prefix: str) -> str:
        if self._offset >= len(self._block):
            self._block, self._offset = self._entropy(_BLOCK), 0
        random = self._block[self._offset : self._offset + 10]
        self._offset += 10
        return make_id(prefix, self._clock(), random)

    def secret(self) -> bytes:
        """32 fresh bytes, never from the block."""
        return self._entropy(32)
