"""Whether a leg of a model is fit to be called: cooldown after failures, and one probe at a time after it. Pure.

A leg is *healthy* until too many of its calls fail; then it *cools*, each time twice as long as the time before, or as long
as its service asks. After that one call may probe it, and its end decides.
"""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

_LONGEST_ASKED: Final = 3600.0  # seconds; a service that asks for more is asked again all the same
_PROBE_SECONDS: Final = 30.0  # a probe that has not ended by then may have been given up: another one may go


class Cooldown(Struct, frozen=True, kw_only=True):
    """When a leg is given a rest: after `failures` calls in a row, or when `rate` of the calls of a window failed."""

    failures: int = 3
    rate: float = 0.5
    calls: int = 10  #: a window with fewer says nothing
    window: float = 30.0  #: seconds, from a failure on
    seconds: float = 5.0  #: of the first rest; each one that follows soon is twice as long …
    longest: float = 300.0  #: … up to this


class Health:
    """How one leg has done. Times are seconds of one clock."""

    __slots__ = ("_began", "_calls", "_closed", "_failed", "_in_a_row", "_probe", "_rests", "_since", "rules", "until")

    def __init__(self, rules: Cooldown) -> None:
        self.rules = rules
        self.until: float | None = None  #: the end of the rest; None while it is healthy
        self._since = 0.0  #: when the rest began
        self._closed: float | None = None  #: the end of the last trouble
        self._rests = 0
        self._probe = 0.0  #: no further probe before this
        self._in_a_row = self._calls = self._failed = 0
        self._began = 0.0  #: of the window that `_calls` and `_failed` count

    def state(self, now: float) -> Literal["healthy", "cooling", "probing"]:
        """`probing`: the rest is over, and whether it has helped is not known yet."""
        if self.until is None:
            return "healthy"
        return "cooling" if now < self.until else "probing"

    def admits(self, now: float) -> bool:
        """Whether a call may go: it is healthy, or there may be a probe and none is under way."""
        return self.until is None or (now >= self.until and now >= self._probe)

    def begin_probe(self, now: float) -> None:
        """A call that `admits` let through is on its way. Of a healthy leg, it is a call as any other."""
        if self.until is not None:
            self._probe = now + _PROBE_SECONDS

    def succeeded(self, started: float, now: float) -> bool:
        """A call that began at `started` did well; whether that ended a trouble."""
        if self.until is None:
            self._in_a_row = 0
            self._calls += 1
            return False
        if started < self._since:
            return False  # it says how things were before
        self.until, self._closed = None, now
        self._in_a_row = self._calls = self._failed = 0
        self._probe = 0.0
        return True

    def failed(self, started: float, now: float, *, wait: float | None = None, certain: bool = False) -> bool:
        """A call that began at `started` failed; whether a rest begins by that.

        `wait`: the service asked to be left alone for so many seconds. `certain`: the next call would fail as well.
        """
        if self.until is not None:
            if wait is not None:
                self.until = max(self.until, now + min(wait, _LONGEST_ASKED))
            if started < self._since or now < self.until:
                return False  # it says how things were before, or nobody expected better of it
            self._rest(now, wait)
            return True
        if now - self._began > self.rules.window:
            self._began, self._calls, self._failed = now, 0, 0
        self._in_a_row += 1
        self._calls += 1
        self._failed += 1
        many = self._calls >= self.rules.calls and self._failed >= self.rules.rate * self._calls
        if not (certain or wait is not None or many or self._in_a_row >= self.rules.failures):
            return False
        self._rest(now, wait)
        return True

    def _rest(self, now: float, wait: float | None) -> None:
        fresh = self.until is None and (self._closed is None or now - self._closed > self.rules.longest)
        self._rests = 1 if fresh else self._rests + 1
        span = min(self.rules.seconds * 2.0 ** min(self._rests - 1, 30), self.rules.longest)
        if wait is not None:
            span = min(wait, _LONGEST_ASKED)
        self._since, self.until, self._probe = now, now + span, 0.0
