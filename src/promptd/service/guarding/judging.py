"""What a check thinks of turns, counted, logged and told as errors."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, MutableSequence, Sequence
from typing import Any

from msgspec import Struct

from promptd.core.content import Turn
from promptd.core.errors import ContentFiltered, ContentRefused, PromptdError, ServiceUnavailable, Unavailable
from promptd.core.guarding import Action, Redacted, Redactor, Stage
from promptd.core.model import Judgement, Verdict
from promptd.service.guarding.asking import GuardFailed, ask, redact, redacted, wait
from promptd.service.guarding.checks import Check
from promptd.service.metrics import Metrics

_log = logging.getLogger(__name__)
_INPUT = Stage.INPUT
_FAILED = "a guard failed, and nothing is let through"


class Errors(Struct, frozen=True):
    """How it is told that a check refuses, and that its guard failed."""

    refused: Callable[[Check, Stage, str], PromptdError]
    failed: Callable[[GuardFailed], PromptdError]


def _refused(check: Check, stage: Stage, reason: str) -> PromptdError:
    said = check.told or f"refused by a guard: {reason}"
    return ContentRefused(said, reason=reason, check=check.name, stage=stage.value, told=check.told)


def _filtered(check: Check, stage: Stage, reason: str) -> PromptdError:
    what = "the answer" if stage is Stage.OUTPUT else "a document"
    said = check.told or f"{what} was refused by a guard: {reason}"
    return ContentFiltered(said, stage=stage.value, check=check.name, told=check.told)


def _no_longer(check: Check, stage: Stage, reason: str) -> PromptdError:
    said = check.told or f"refused by a guard: {reason}"
    return ContentFiltered(said, stage=stage.value, check=check.name, told=check.told)


#: before a prompt is there
AT_THE_DOOR = Errors(_refused, lambda error: Unavailable(_FAILED, detail=str(error)))
#: while it runs
AT_WORK = Errors(_filtered, lambda error: ServiceUnavailable(_FAILED, detail=str(error)))
#: where others let it in than judge now
ANEW = Errors(_no_longer, AT_WORK.failed)


def kept(told: Sequence[Judgement], before: Sequence[Judgement] = (), *, everything: bool) -> tuple[Judgement, ...]:
    """What is stored of judgements: each once, and of what is plainly fine only where there is room for `everything`."""
    found = [one for one in told if everything or one.outcome != "allowed"]
    return tuple(dict.fromkeys([*before, *found])) if found else tuple(before)


class Judging(Struct, eq=False):
    """Asks checks for one prompt, and adds what they say to `told`."""

    _metrics: Metrics
    _errors: Errors
    told: MutableSequence[Judgement]
    _user: str = ""  #: for the log, as the next one
    _prompt: str = ""
    _trace: Callable[[Judgement], None] | None = None  #: called with each judgement

    async def look(self, check: Check, stages: Mapping[Stage, Sequence[Turn]]) -> None:
        """Judge turns, by stage. Raises what the `Errors` say.

        One question for all of them, as most are fine; only a refusal pays for knowing whose text it was.
        """
        everything = [turn for turns in stages.values() for turn in turns] if len(stages) > 1 else None
        first = next(iter(stages))
        verdict = await self._ask(check, first, stages[first] if everything is None else everything)
        if verdict is None:
            return
        if verdict.allowed or everything is None:
            for stage in stages:
                self._note(check, stage, verdict)
            return
        guilty, last = False, verdict
        for stage, turns in stages.items():
            verdict = await self._ask(check, stage, turns)
            if verdict is None:
                return
            guilty = guilty or not verdict.allowed
            self._note(check, stage, verdict)
        if not guilty:  # only together they are what is refused
            self._note(check, first, last)

    async def conclude(self, check: Check, begun: Verdict | Awaitable[Any] | GuardFailed) -> None:
        """As `look`, for what callers write, where the guard was asked already."""
        try:
            if isinstance(begun, GuardFailed):
                raise begun
            verdict = begun if isinstance(begun, Verdict) else await wait(begun, check.seconds)
        except GuardFailed as error:
            self._failed(check, _INPUT, error)
            return
        self._note(check, _INPUT, verdict)

    async def demand(self, check: Check, stage: Stage, turns: Sequence[Turn]) -> None:
        """Judge a part of something: only a refusal is noted. Raises what the `Errors` say."""
        verdict = await self._ask(check, stage, turns)
        if verdict is not None and not verdict.allowed:
            self._note(check, stage, verdict)

    async def redact(self, check: Check, redactor: Redactor, stage: Stage, texts: Sequence[str]) -> Mapping[str, int]:
        """What was found in the texts, by category; nothing is noted yet. Raises what the `Errors` say."""
        try:
            found = await redact(redactor, texts, check.seconds)
        except GuardFailed as error:
            self._fail(check, stage, error)
            raise self._errors.failed(error) from error
        return _counts(check, texts, found)

    def changing(self, check: Check, redactor: Redactor, stage: Stage) -> Callable[[str], str]:
        """Takes out of a text what the guard finds. Raises what the `Errors` say."""

        def change(text: str) -> str:
            try:
                return redacted(redactor, text).text
            except GuardFailed as error:
                self._fail(check, stage, error)
                raise self._errors.failed(error) from error

        return change

    def failed(self, error: GuardFailed) -> PromptdError:
        """How it is told that nobody can judge."""
        return self._errors.failed(error)

    def redacted(self, check: Check, stage: Stage, found: Mapping[str, int]) -> None:
        """Note that a check replaced something, or found nothing."""
        if found:
            self.note(Judgement(check.name, stage.value, "redacted", 1.0, tuple(sorted(found))))
        else:
            self.note(Judgement(check.name, stage.value, "allowed"))

    def refuse(
        self, check: Check, stage: Stage, reason: str, categories: Sequence[str] = (), score: float = 1.0
    ) -> None:
        """Note a refusal and raise it."""
        self.note(Judgement(check.name, stage.value, "refused", score, tuple(categories)))
        _log.warning(
            "the check %s refused the %s of a prompt",
            check.name,
            stage.value,
            extra={
                "action": "guard_refused",
                "check": check.name,
                "stage": stage.value,
                "categories": list(categories),
                "user": self._user,
                "prompt": self._prompt,
            },
        )
        raise self._errors.refused(check, stage, reason)

    def note(self, judgement: Judgement) -> None:
        self._metrics.judged((judgement.check, judgement.stage, judgement.outcome))
        self.told.append(judgement)
        if self._trace is not None:
            self._trace(judgement)

    async def _ask(self, check: Check, stage: Stage, turns: Sequence[Turn]) -> Verdict | None:
        """None where the guard failed and only takes notes."""
        try:
            return await ask(check.guard, turns, check.seconds)
        except GuardFailed as error:
            self._failed(check, stage, error)
            return None

    def _failed(self, check: Check, stage: Stage, error: GuardFailed) -> None:
        """Raises what the `Errors` say, where the check does not only take notes."""
        self._fail(check, stage, error)
        if check.action is not Action.RECORD:
            raise self._errors.failed(error) from error

    def _note(self, check: Check, stage: Stage, verdict: Verdict) -> None:
        if verdict.allowed:
            self.note(Judgement(check.name, stage.value, "allowed"))
            return
        categories = tuple(sorted(verdict.categories))
        if check.action is Action.RECORD:
            self.note(Judgement(check.name, stage.value, "recorded", verdict.score, categories))
            return
        self.refuse(check, stage, verdict.reason, categories, verdict.score)

    def _fail(self, check: Check, stage: Stage, error: GuardFailed) -> None:
        self._metrics.judged((check.name, stage.value, "failed"))
        _log.error(
            "the guard of the check %s failed: %s",
            check.name,
            type(error.__cause__ or error).__name__,  # what it says may quote the text
            extra={"action": "guard_failed", "check": check.name, "stage": stage.value},
        )


def _counts(check: Check, texts: Sequence[str], found: Sequence[Redacted]) -> dict[str, int]:
    """What was found, by category. What was replaced without a word is a finding of the check's own name."""
    counts: dict[str, int] = {}
    for text, one in zip(texts, found, strict=True):
        for category, count in one.found.items():
            counts[category] = counts.get(category, 0) + count
        if one.text != text and not one.found:
            counts.setdefault(check.name, 1)
    return counts
