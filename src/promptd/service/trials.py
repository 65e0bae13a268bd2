"""Runs the examples of a template and judges what comes out."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, NamedTuple

from promptd.core.assertions import failure
from promptd.core.errors import Conflict, PromptdError
from promptd.core.model import Caller, Mode, Submission
from promptd.core.template import Case, Draft, TemplateVersion
from promptd.service.attached import Attached
from promptd.service.functions import Functions, Options


class Trial(NamedTuple):
    """How an example went. `prompt` is the id of its run, where it came to one."""

    case: str
    failures: tuple[str, ...]
    prompt: str | None


class Trials:
    """Examples run as prompts of whoever asks, one after the other."""

    def __init__(self, *, functions: Functions, attached: Attached) -> None:
        self._functions, self._attached = functions, attached

    async def run(self, caller: Caller, version: TemplateVersion) -> tuple[Trial, ...]:
        """Every example of the version. What a run raises is a failure of its example."""
        return tuple([await self._trial(caller, version, case) for case in version.draft.cases])

    async def rehearse(self, caller: Caller, draft: Draft) -> tuple[Trial, ...]:
        """Every example of a draft that is not saved."""
        return tuple([await self._rehearsal(caller, draft, case) for case in draft.cases])

    async def gate(self, caller: Caller, version: TemplateVersion) -> None:
        """Raises `Conflict` unless the version has examples and all of them pass."""
        place = f"version {version.number} of {version.template!r}"
        if not version.draft.cases:
            raise Conflict(f"the label is guarded, and {place} has no cases")
        failed = [trial for trial in await self.run(caller, version) if trial.failures]
        if failed:
            shown = "; ".join(f"{trial.case}: {trial.failures[0]}" for trial in failed[:5])
            raise Conflict(f"the label is guarded, and {len(failed)} cases of {place} fail: {shown}")

    async def _trial(self, caller: Caller, version: TemplateVersion, case: Case) -> Trial:
        options = Options(number=version.number, mode=Mode.ATTACHED)
        return await self._judged(case, self._functions.prepare(caller, version.template, case.inputs, options))

    async def _rehearsal(self, caller: Caller, draft: Draft, case: Case) -> Trial:
        options = Options(mode=Mode.ATTACHED)
        return await self._judged(case, self._functions.rehearse(caller, draft, case.inputs, options))

    async def _judged(self, case: Case, preparing: Coroutine[Any, Any, Submission]) -> Trial:
        prompt: str | None = None
        try:
            submission = await preparing
            async with self._attached.open(submission) as visit:
                prompt = visit.prompt.id
                pieces, done = await visit.whole()
        except PromptdError as error:
            return Trial(case.name, (f"{error.code}: {error.message}",), prompt)
        output = done.value if done.value is not None else "".join(piece.text for piece in pieces)
        failures = [found for item in case.assertions if (found := failure(item, output)) is not None]
        return Trial(case.name, tuple(failures), prompt)
