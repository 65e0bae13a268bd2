"""Reads an answer before anybody else does. What is released may be numbered, published and stored; nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from msgspec.structs import replace

from promptd.core.chunks import END_OF_FAILED, join_tool_calls, pieces
from promptd.core.content import Turn
from promptd.core.errors import InvalidOutput
from promptd.core.guarding import Action, Stage
from promptd.core.holdback import Channel, HoldBack, Look, spoken
from promptd.core.model import Answer, Chunk
from promptd.core.rewriting import arguments, deep
from promptd.core.texts import answer_turns
from promptd.service.guarding.checks import Check, Plan
from promptd.service.guarding.judging import Judging

_LARGE: Final = 32_768  # characters; more of them are changed in a thread


class Watch:
    """Of one attempt. Checks that only take notes are asked at the end, and hold nothing up.

    Where a guard refuses, every verb raises `ContentFiltered`; where one fails, `ServiceUnavailable`.
    """

    def __init__(self, judging: Judging, plan: Plan, *, whole: bool) -> None:
        self._judging = judging
        self._strict = tuple(check for check in plan.output if check.action is not Action.RECORD)
        self._lax = tuple(check for check in plan.output if check.action is Action.RECORD)
        redactors = [(check, one) for check in self._strict if (one := check.redactor) is not None]
        self._changes = tuple([judging.changing(check, one, Stage.OUTPUT) for check, one in redactors])
        reaches: list[int | None] = [getattr(check.guard, "reach", None) for check in self._strict]
        known = [reach for reach in reaches if reach is not None]
        reach = None if whole or len(known) < len(reaches) else max(known, default=None)
        self.holds = bool(self._strict)  #: some of the answer may have to stay
        self.whole = self.holds and reach is None  #: nothing leaves before the end
        self._hold = HoldBack(reach)
        self._found: dict[str, dict[str, int]] = {}  # by check: what was replaced
        self._noted: list[Chunk] = []  # for those who take notes
        self._count = 0  # of the pieces

    @property
    def asks(self) -> bool:
        """Whether a guard asks a model of the house, which may need the very slot that the attempt has."""
        return any(getattr(check.guard, "asks", False) for check in (*self._strict, *self._lax))

    async def sift(self, chunk: Chunk) -> Sequence[Chunk]:
        """What the engine says; what may leave now. Raises `InvalidOutput` where it comes in too many pieces."""
        if self._lax:
            self._noted.append(chunk if chunk.raw is None else replace(chunk, raw=None))
        if not self.holds:
            return (chunk,)
        hold, free = self._hold, list[Chunk]()
        for piece in pieces(chunk if chunk.raw is None else replace(chunk, raw=None, dialect=None)):
            if hold.closes(piece):
                free += await self._pass(hold.look(complete=True))
            hold.add(piece)
            self._count += 1
        if self._count >= END_OF_FAILED:
            raise InvalidOutput("the answer has too many pieces")
        if hold.due:
            free += await self._pass(hold.look())
        return free

    async def rest(self) -> Sequence[Chunk]:
        """The attempt has said everything: what is left of it."""
        if not self.holds:
            return ()
        context, held = self._hold.context, self._hold.rest()
        runs: dict[Channel, str] = {}
        for piece in held:
            for channel, text in _words(piece):
                runs[channel] = runs.get(channel, "" if runs else context) + text
        turns = _turns(runs, held)
        for check in self._strict:
            if check.redactor is None and turns:
                await self._judging.demand(check, Stage.OUTPUT, turns)
        if not self._changes or not turns or not await self._find(turns):
            return held
        fixed = await self._fixed(context, held, runs)
        if left := await self._find(_turns({}, fixed)):  # in the name of a tool: it can't be replaced there
            check = left[0]
            self._judging.refuse(check, Stage.OUTPUT, "it can't be redacted", sorted(self._found[check.name]))
        return fixed

    async def conclude(self, answer: Answer) -> Answer:
        """The answer as it may be stored: its value is judged too, and what the checks said is noted."""
        if self._strict and (answer.value is not None or answer.warnings):
            turns = (*answer_turns(Answer("", value=answer.value)), *_warned(answer))
            for check in self._strict:
                if check.redactor is None:
                    await self._judging.demand(check, Stage.OUTPUT, turns)
            if self._changes and await self._find(turns):
                if sum(len(turn.content) for turn in turns) > _LARGE:
                    answer = await asyncio.to_thread(_without, answer, _all(self._changes))
                else:
                    answer = _without(answer, _all(self._changes))
        if self._lax:
            turns = self._remembered(answer)
            for check in self._lax if turns else ():
                await self._judging.look(check, {Stage.OUTPUT: turns})
        for check in self._strict:
            self._judging.redacted(check, Stage.OUTPUT, self._found.get(check.name, {}))
        return answer

    # ---------------------------------------------------------------- inside

    async def _pass(self, look: Look | None) -> list[Chunk]:
        if look is None:
            return []
        turns = (Turn("assistant", look.whole),)
        for check in self._strict:
            if check.redactor is None:
                await self._judging.demand(check, Stage.OUTPUT, turns)
        found = bool(self._changes) and await self._find(turns)
        return self._hold.release(look, _all(self._changes) if found else None)

    async def _find(self, turns: Sequence[Turn]) -> list[Check]:
        """Who would replace something; what, is remembered."""
        texts, finders = [turn.content for turn in turns], []
        for check in self._strict:
            redactor = check.redactor
            if redactor is not None and (found := await self._judging.redact(check, redactor, Stage.OUTPUT, texts)):
                self._found.setdefault(check.name, {}).update(found)
                finders.append(check)
        return finders

    async def _fixed(self, context: str, held: Sequence[Chunk], runs: dict[Channel, str]) -> list[Chunk]:
        """The pieces without what is replaced: a run that changes comes in one piece, where it began."""
        change = _all(self._changes)

        def work() -> list[Chunk]:
            calls = {call.index: call for call in join_tool_calls([one for piece in held for one in piece.tool_calls])}
            told: set[Channel | int] = set()
            fixed: list[Chunk] = []
            first = next(iter(runs), "")
            new = {
                channel: _changed(text, context if channel == first else "", change) for channel, text in runs.items()
            }
            for piece in held:
                kept = piece
                for channel, _ in _words(piece):
                    text = new[channel]
                    if text is not None:
                        if channel not in told:
                            fixed.append(spoken(channel, text))
                        told.add(channel)
                        kept = _muted(kept, channel)
                for call in piece.tool_calls:
                    if call.index not in told:
                        whole = calls[call.index]
                        fixed.append(
                            Chunk(
                                "progress", tool_calls=(replace(whole, arguments=arguments(whole.arguments, change)),)
                            )
                        )
                    told.add(call.index)
                if not piece.tool_calls and (
                    kept is piece or kept.sealed or kept.text or kept.refusal or kept.thinking
                ):
                    fixed.append(kept)
            return fixed

        size = sum(map(len, runs.values()))
        return work() if size <= _LARGE else await asyncio.to_thread(work)

    def _remembered(self, answer: Answer) -> tuple[Turn, ...]:
        """All that was said, for those who take notes."""
        runs: dict[Channel, str] = {}
        for chunk in self._noted:
            for channel, text in _words(chunk):
                runs[channel] = runs.get(channel, "") + text
        value = () if answer.value is None else answer_turns(Answer("", value=answer.value))
        return (*_turns(runs, self._noted), *value, *_warned(answer))


def _words(chunk: Chunk) -> Iterator[tuple[Channel, str]]:
    """What a chunk says in words, by channel."""
    if chunk.text:
        yield "text", chunk.text
    if chunk.thinking:
        yield "thinking", chunk.thinking
    if chunk.refusal:
        yield "refusal", chunk.refusal


def _turns(runs: dict[Channel, str], said: Sequence[Chunk]) -> tuple[Turn, ...]:
    """As a guard judges an answer; its words stand in `runs` already, or are taken from `said`."""
    if not runs:
        for piece in said:
            for channel, text in _words(piece):
                runs[channel] = runs.get(channel, "") + text
    calls = join_tool_calls([call for piece in said for call in piece.tool_calls])
    spoken = answer_turns(Answer("", runs.get("text", ""), calls, refusal=runs.get("refusal", "")))
    thought = runs.get("thinking")
    return (*spoken, Turn("assistant", thought)) if thought else spoken


def _changed(text: str, context: str, change: Callable[[str], str]) -> str | None:
    """The text anew, without the context at its start; None where it stays as it is."""
    fixed = change(text)
    if fixed == text:
        return None
    return fixed[len(context) :] if fixed.startswith(context) else change(text[len(context) :])


def _muted(piece: Chunk, channel: Channel) -> Chunk:
    """The piece without what it said on the channel; a thought that is another now has no proof."""
    if channel == "thinking":
        return replace(piece, thinking="", signature="")
    return replace(piece, refusal="") if channel == "refusal" else replace(piece, text="", logprobs=None)


def _all(changes: Sequence[Callable[[str], str]]) -> Callable[[str], str]:
    def change(text: str) -> str:
        for one in changes:
            text = one(text)
        return text

    return change


def _warned(answer: Answer) -> Iterator[Turn]:
    """What an engine says beside its answer; a provider's words may be in it."""
    return (Turn("assistant", warning) for warning in answer.warnings)


def _without(answer: Answer, change: Callable[[str], str]) -> Answer:
    """Value and warnings anew. Raises `InvalidOutput` for what is nested too deep."""
    try:
        value = deep(answer.value, change)
    except RecursionError:
        raise InvalidOutput("the answer's value is nested too deep to be redacted") from None
    return replace(answer, value=value, warnings=tuple(map(change, answer.warnings)))
