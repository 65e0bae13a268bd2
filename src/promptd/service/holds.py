"""What limits hold for prompts that are not final."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from promptd.core.errors import Overloaded
from promptd.core.limits import Limits, Reservation
from promptd.core.model import Caller, Prompt, Usage
from promptd.service.charges import Charges
from promptd.service.clock import Clock
from promptd.service.router import Router

_NOTHING: Final = Usage()


class Holds:
    """Ends what intake has reserved, each once."""

    def __init__(self, *, limits: Limits, charges: Charges, router: Router, clock: Clock) -> None:
        self._limits, self._charges, self._router, self._clock = limits, charges, router, clock
        self._at_once = limits.at_once
        #: of every prompt that is not final: the admission's, and one for each readmission while it was open
        self._reservations: dict[str, tuple[Reservation, ...]] = {}

    async def settle(self, prompt: Prompt, usage: Usage = _NOTHING, cost: int = 0) -> None:
        """A prompt is final: replace what was reserved for it by what its attempts used, failed ones included.

        `usage` and `cost` (nano-units) are the sums over the attempts since the prompt was (re)admitted. Where nothing is
        known the answer's usage counts, and without an answer the input's estimate stays, if there was an attempt.
        """
        waits = self.settle_at_once(prompt, usage, cost, self._clock())
        if waits is not None:
            await waits

    def settle_at_once(self, prompt: Prompt, usage: Usage, cost: int, now: float) -> Awaitable[None] | None:
        """As `settle`; what is left to be awaited, where limits are not counted in this process."""
        held = self._reservations.pop(prompt.id, None)
        if held is None:
            return None
        route = self._router.route(prompt) if not usage.input_tokens and usage == _NOTHING else None
        actual = self._charges.used(prompt, route, usage, cost)
        at_once = self._at_once
        if at_once is None:
            return self._settle_elsewhere(held, actual, now)
        for reservation in held:
            at_once.settle(reservation, actual, now)
        return None

    async def _settle_elsewhere(self, held: Sequence[Reservation], actual: Mapping[str, int], now: float) -> None:
        for reservation in held:
            await self._limits.settle(reservation, actual, now=now)

    def _hold(self, prompt_id: str, reservation: Reservation) -> None:
        held = self._reservations.get(prompt_id)
        self._reservations[prompt_id] = (reservation,) if held is None else (*held, reservation)

    async def take_back(self, prompt_id: str) -> None:
        """Give back what the latest `readmit` of the prompt took: it was not started afresh."""
        held = self._reservations.get(prompt_id)
        if held is None:
            return
        if held[:-1]:
            self._reservations[prompt_id] = held[:-1]
        else:
            del self._reservations[prompt_id]
        await self._limits.release(held[-1], now=self._clock())

    async def remember(self, prompt: Prompt) -> None:
        """Count a prompt of an earlier process that is not final against concurrency, however many there are.

        Its other charges outlived that process.
        """
        if prompt.id in self._reservations:
            return
        caller = Caller(prompt.user, prompt.key, prompt.team)
        route = self._router.route(prompt)
        charges = self._charges.of_survivor(caller, route, prompt) if route is not None else ()
        if charges:
            with suppress(Overloaded):  # more callers than can be counted: this one runs uncounted
                self._hold(prompt.id, await self._limits.reserve(charges, now=self._clock()))
