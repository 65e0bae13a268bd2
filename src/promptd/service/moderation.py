"""What the guards think of a text, told to whoever asks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from promptd.core import identity
from promptd.core.content import Turn
from promptd.core.errors import Unavailable
from promptd.core.model import Caller, Verdict
from promptd.core.ports import Guard

_FINE: Final = Verdict(True)


class Moderation:
    """Asks the guard of the house; without one, nothing is wrong with any text."""

    def __init__(self, guard: Guard | None) -> None:
        self._guard = guard

    def configure(self, guard: Guard | None) -> None:
        """Another guard from now on."""
        self._guard = guard

    async def judge(self, caller: Caller, texts: Sequence[str]) -> tuple[Verdict, ...]:
        """One verdict per text. Raises `Forbidden`, `Unavailable` where the guard fails."""
        identity.require(caller, identity.PROMPT_CREATE)
        if self._guard is None:
            return (_FINE,) * len(texts)
        try:
            return tuple([await self._guard.inspect([Turn("user", text)]) for text in texts])
        except Exception as error:  # whatever a guard raises, its opinion is not known
            raise Unavailable("the guard failed", detail=repr(error)) from error
