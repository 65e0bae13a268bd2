"""The house as guards see it: a way out, and models that can be asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from promptd.core.content import Turn
from promptd.core.guarding import GuardTools
from promptd.core.model import Answer
from promptd.core.parameters import Parameters
from promptd.egress import Egress

Script = Callable[[Sequence[Turn]], Answer | str | Exception]

_PLAIN: Final = Parameters()


class Judge:
    """A model of the house that answers by a script and keeps what it was asked."""

    def __init__(self, script: Script | str) -> None:
        self._script: Script = script if callable(script) else lambda turns: script
        self.asked: list[tuple[str, list[Turn], Parameters, str | None]] = []

    def __call__(
        self,
        model: str,
        turns: Sequence[Turn],
        parameters: Parameters = _PLAIN,
        *,
        connection: str | None = None,
    ) -> Awaitable[Answer]:
        self.asked.append((model, list(turns), parameters, connection))
        return self._answer(turns)

    async def _answer(self, turns: Sequence[Turn]) -> Answer:
        said = self._script(turns)
        if isinstance(said, Exception):
            raise said
        return said if isinstance(said, Answer) else Answer("msg_1", said)


async def no_vectors(model: str, texts: Sequence[str]) -> Any:
    raise AssertionError("nobody asks for vectors")


def house(*, judge: Judge | None = None, http: Egress | None = None) -> GuardTools:
    http = http or Egress()
    return GuardTools(http=http, ask=judge or Judge("?"), embed=no_vectors, allow=http.allow)
