"""What a plugin's process prints, as lines for the debug log: without secrets, cut, and no more than anybody reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

_HELD: Final = 4096  #: bytes of a line that are looked at
_SHOWN: Final = 500  #: characters of a line
_MARGIN: Final = 3 / 4  #: of a line that was cut, at its end: a secret that the cut goes through begins in there
_LINES: Final = 50  #: each second


class Chatter:
    """Takes bytes as they come and tells whole lines."""

    def __init__(self, redact: Callable[[str], str], tell: Callable[[str], None]) -> None:
        self._redact, self._tell = redact, tell
        self._line = b""
        self._second, self._told, self._left_out = 0, 0, 0

    def feed(self, data: bytes, now: float) -> None:
        """`now`: seconds of any clock."""
        *whole, rest = data.split(b"\n")
        for line in whole:
            self._say(self._line + line[: _HELD - len(self._line)], now)
            self._line = b""
        self._line += rest[: _HELD - len(self._line)]

    def end(self, now: float) -> None:
        """Nothing follows."""
        if self._line:
            self._say(self._line, now)
            self._line = b""
        self._tell_left_out()

    def _say(self, line: bytes, now: float) -> None:
        if int(now) != self._second:
            self._tell_left_out()
            self._second, self._told = int(now), 0
        if self._told == _LINES:
            self._left_out += 1
            return
        self._told += 1
        said = line.decode("utf-8", "replace").rstrip("\r")
        text = self._redact(said)
        most = _SHOWN if len(line) < _HELD else max(0, min(_SHOWN, len(text) - int(len(said) * _MARGIN)))
        self._tell(text if len(text) <= most else text[:most] + "…")

    def _tell_left_out(self) -> None:
        if self._left_out:
            self._tell(f"({self._left_out} more lines in that second)")
            self._left_out = 0
