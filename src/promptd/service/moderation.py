"""What the guards think of a text, told to whoever asks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from promptd.core import identity
from promptd.core.content import Turn
from promptd.core.errors import Unavailable
from promptd.core.model import Caller, Verdict
from promptd.service.guarding import Guarding
from promptd.service.guarding.asking import GuardFailed, ask

_FINE: Final = Verdict(True)


class Moderation:
    """Asks every check that looks at what callers write, whomever it is for; without one, nothing is wrong with any text."""

    def __init__(self, guarding: Guarding) -> None:
        self._guarding = guarding

    async def judge(self, caller: Caller, texts: Sequence[str]) -> tuple[Verdict, ...]:
        """One verdict per text. Raises `Forbidden`, `Unavailable` where the guard fails."""
        identity.require(caller, identity.PROMPT_CREATE)
        try:
            return tuple([await self._judge(text) for text in texts])
        except GuardFailed as error:
            raise Unavailable("a guard failed", detail=str(error)) from error

    async def _judge(self, text: str) -> Verdict:
        """The worst verdict, with the categories of all."""
        worst, categories = _FINE, dict[str, float]()
        for check in self._guarding.checks.all.input:
            verdict = await ask(check.guard, [Turn("user", text)], check.seconds)
            if verdict.allowed:
                continue
            if worst.allowed or verdict.score > worst.score:
                worst = verdict
            for name, score in verdict.categories.items():
                categories[name] = max(score, categories.get(name, 0.0))
        return replace(worst, categories=categories)
