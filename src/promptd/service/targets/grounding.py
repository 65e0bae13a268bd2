"""A model's decision, without what nobody said (contracts/arch.md §5.4)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import msgspec

from promptd.core.content import Turn
from promptd.core.targets import Asking, Decision, FunctionModel, Target
from promptd.core.utterances.dialogue import question, user_texts
from promptd.core.utterances.grounded import Evidence
from promptd.core.utterances.schemas import missing
from promptd.service.clock import Clock


class Grounded:
    """Round a function model that could make values up. A required value that the user did not say is asked for; an
    optional one is left out."""

    def __init__(self, inner: FunctionModel, *, clock: Clock) -> None:
        self._inner, self._clock = inner, clock

    async def decide(self, turns: Sequence[Turn], targets: Sequence[Target], asking: Asking) -> Decision:
        """Raises what the inner one raises."""
        decision = await self._inner.decide(turns, targets, asking)
        target = next((one for one in targets if one.name == decision.target), None)
        if target is None:
            return decision
        return ground(decision, target, user_texts(turns), today(self._clock))


def ground(decision: Decision, target: Target, said: Sequence[str], day: date) -> Decision:
    """The decision with what was said; with a question where required values are left open and none is asked yet."""
    evidence = Evidence(said, day)
    parameters = {one.name: one for one in target.parameters}
    arguments: dict[str, Any] = {}
    for name, value in decision.arguments.items():
        kept = evidence.trimmed(parameters[name], value) if name in parameters else None
        if kept is not None:
            arguments[name] = kept
    if arguments == decision.arguments:
        return decision
    open_ = missing(target, arguments)
    return msgspec.structs.replace(
        decision, arguments=arguments, missing=open_, question=decision.question or (question(open_) if open_ else "")
    )


def today(clock: Clock) -> date:
    """The day in UTC."""
    return datetime.fromtimestamp(clock(), UTC).date()
