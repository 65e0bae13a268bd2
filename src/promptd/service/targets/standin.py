"""The function model without a model: an intent matcher chooses, and the values are read from what the user said.

The same conversation gives the same decision every time, offline.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from promptd.core.content import Turn
from promptd.core.ports import Intent
from promptd.core.targets import Asking, Decision, Target
from promptd.core.utterances import Utterance, extract
from promptd.core.utterances.dialogue import Dialogue, is_cancel, is_following, question, read_dialogue
from promptd.core.utterances.replies import FunctionCall, written, written_question
from promptd.core.utterances.schemas import missing
from promptd.service.clock import Clock
from promptd.service.targets.grounding import today

_SHORT: Final = 4  #: words of an answer that is no change of intent, where it tells what was asked


class _Chosen(Struct, frozen=True):
    target: Target
    said: tuple[Utterance, ...]
    score: float = 1.0
    changed: bool = False


class StandIn:
    """Needs nothing but an intent matcher; a match under `threshold` counts as none."""

    def __init__(self, intent: Intent, *, clock: Clock, threshold: float = 0.0) -> None:
        self._intent, self._clock, self._threshold = intent, clock, threshold

    async def decide(self, turns: Sequence[Turn], targets: Sequence[Target], asking: Asking) -> Decision:
        """Raises `PromptdError` where the matcher can't be asked."""
        candidates = [target for target in targets if not target.default]
        dialogue = read_dialogue(turns, candidates, running=asking.in_dialogue)
        if not candidates or not dialogue.last.strip():
            return Decision()
        if len(dialogue.said) > 1:
            chosen = await self._in_dialogue(dialogue, candidates, asking)
            if chosen is None:
                return Decision(changed=True)
        else:
            chosen = await self._first(turns, dialogue, candidates)
            if chosen is None:
                return Decision()
        return self._decision(chosen)

    async def _first(self, turns: Sequence[Turn], dialogue: Dialogue, candidates: Sequence[Target]) -> _Chosen | None:
        """By what the user said last; where that only goes on (`and in Portland?`), about what was called before."""
        found = await self._match(dialogue.last, candidates)
        before = next((one for one in candidates if one.name == dialogue.called), None)
        if before is not None and is_following(dialogue.last) and (found is None or found.target == before):
            earlier = read_dialogue(_until_before(turns), candidates, running=False)
            return _Chosen(before, (*earlier.said, *dialogue.said))
        return found

    async def _in_dialogue(self, dialogue: Dialogue, candidates: Sequence[Target], asking: Asking) -> _Chosen | None:
        """The target that the dialogue is about, or another one where the user clearly turns to it; None: to none at all."""
        if is_cancel(dialogue.last):
            return None
        running = await self._running(dialogue, candidates, asking)
        found = await self._match(dialogue.last, candidates)
        if running is None:
            return found
        if found is None or found.target == running or self._answers(dialogue, running):
            return _Chosen(running, dialogue.said)
        return _Chosen(found.target, found.said, found.score, changed=True)

    async def _running(self, dialogue: Dialogue, candidates: Sequence[Target], asking: Asking) -> Target | None:
        if named := next((one for one in candidates if one.name == asking.running), None):
            return named
        for said in reversed(dialogue.said[:-1]):
            if found := await self._match(said.text, candidates):
                return found.target
        asked = set(dialogue.asked)
        fitting = [one for one in candidates if asked and asked <= {parameter.name for parameter in one.parameters}]
        return fitting[0] if len(fitting) == 1 else None

    def _answers(self, dialogue: Dialogue, running: Target) -> bool:
        """Whether a short turn holds a value of the kind that was asked for."""
        if len(dialogue.last.split()) > _SHORT:
            return False
        asked = [one for one in running.parameters if one.name in dialogue.asked]
        return bool(extract(asked, [Utterance(dialogue.last)], today=today(self._clock)))

    async def _match(self, text: str, candidates: Sequence[Target]) -> _Chosen | None:
        found = await self._intent.match([Turn("user", text)], candidates)
        if found is None or found.score < self._threshold:
            return None
        target = next((one for one in candidates if one.name == found.target), None)
        return _Chosen(target, (Utterance(text),), found.score) if target else None

    def _decision(self, chosen: _Chosen) -> Decision:
        target = chosen.target
        arguments = extract(target.parameters, chosen.said, today=today(self._clock))
        open_ = missing(target, arguments)
        asks = question(open_) if open_ else ""
        return Decision(
            target=target.name,
            arguments=arguments,
            missing=open_,
            question=asks,
            score=chosen.score,
            raw=written_question(target.name, asks) if asks else written([FunctionCall(target.name, arguments)]),
            changed=chosen.changed,
        )


def _until_before(turns: Sequence[Turn]) -> Sequence[Turn]:
    """The conversation as it was before the user's last turn, up to the user's turn before."""
    places = [place for place, turn in enumerate(turns) if turn.role == "user"]
    return turns[: places[-2] + 1] if len(places) > 1 else ()
