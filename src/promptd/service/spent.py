"""What the attempts of unfinished prompts used so far, for the policies."""

from __future__ import annotations

from promptd.core.model import Usage
from promptd.core.routing import add
from promptd.service.runs import Run


class Spent:
    """Usage and known cost by prompt, until it is final."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Usage, int]] = {}

    def note(self, run: Run) -> None:
        """Add what the attempt of a run used."""
        attempt = run.attempt
        if attempt is not None and (attempt.usage != Usage() or attempt.cost):
            usage, cost = self._known.get(run.prompt.id, (Usage(), 0))
            self._known[run.prompt.id] = (add(usage, attempt.usage), cost + (attempt.cost or 0))

    def pop(self, identifier: str) -> tuple[Usage, int]:
        """What a prompt used in all, which is then forgotten."""
        return self._known.pop(identifier, (Usage(), 0))
