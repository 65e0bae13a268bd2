"""Chains: saved, run, and carried on after a restart.

A run is stored before its receipt and after each step. Its prompts have ids made of the run's and the action's, so that
a process that takes over finds those that its predecessor submitted instead of asking again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from promptd.core import chain, identity, template
from promptd.core.chain import Action, ActiveRun, Chain, ChainRun, Step, StepResult
from promptd.core.descriptors import Checker, Param, fingerprint
from promptd.core.errors import (
    Conflict,
    Forbidden,
    NotFound,
    PromptdError,
    Refusal,
    StoreUnavailable,
)
from promptd.core.filters import Page, Query
from promptd.core.model import Caller, Prompt, Submission
from promptd.core.policy import Counted
from promptd.core.ports import Records
from promptd.service.callers import Callers
from promptd.service.chain_run import ChainExecution
from promptd.service.checks import check_declared
from promptd.service.clock import Clock, Ids
from promptd.service.functions import Function, Functions, Options
from promptd.service.intake import Intake
from promptd.service.prompts import Prompts
from promptd.service.queries import Queries
from promptd.service.streams import Streams

_log = logging.getLogger(__name__)

_SHORTEST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0  # seconds, where a limit says not now
_TEXT: Final = "text"


class Chains:
    """`start` carries on what an earlier process left; `close` leaves what runs to the next one."""

    def __init__(
        self,
        *,
        records: Records,
        functions: Functions,
        queries: Queries,
        intake: Intake,
        prompts: Prompts,
        streams: Streams,
        callers: Callers,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._records, self._functions, self._queries = records, functions, queries
        self._intake, self._prompts, self._streams, self._callers = intake, prompts, streams, callers
        self._clock, self._ids = clock, ids
        self._running: dict[str, ChainExecution] = {}

    async def start(self) -> None:
        """Carry on every run that is not over."""
        after: str | None = None
        while True:
            page = await self._records.find(ActiveRun, Query(limit=200, after=after))
            for mark in page.items:
                run = await self._records.get(ChainRun, mark.id)
                if run is None or run.status != "running":
                    await self._records.delete(ActiveRun, mark.id)
                else:
                    self._carry_on(await self._whole(run))
            after = page.after
            if after is None:
                return

    async def close(self) -> None:
        executions = list(self._running.values())
        for execution in executions:
            execution.task.cancel()
        await asyncio.gather(*(execution.task for execution in executions), return_exceptions=True)

    # ---------------------------------------------------------------- the library

    async def find(self, caller: Caller, *, limit: int = 100, after: str | None = None) -> Page[Chain]:
        """By name."""
        identity.require(caller, identity.TEMPLATE_VIEW)
        return await self._records.find(Chain, Query(limit=limit, after=after))

    async def get(self, name: str) -> Chain:
        """Raises `NotFound`."""
        found = await self._records.get(Chain, name)
        if found is None:
            raise NotFound(f"there is no chain {name[:128]!r}")
        return found

    async def save(
        self,
        caller: Caller,
        name: str,
        *,
        actions: tuple[Action, ...],
        inputs: tuple[Param, ...] = (),
        outputs: Mapping[str, str] | None = None,
        description: str = "",
    ) -> Chain:
        """Raises `InvalidRequest`, `DescriptorFailed`, `NotFound` for a template that is not there."""
        identity.require(caller, identity.TEMPLATE_EDIT)
        template.check_name(name)
        await asyncio.to_thread(check_declared, inputs)
        now = self._clock()
        functions = {action.name: await self._function(action) for action in actions}
        before = await self._records.get(Chain, name)
        made = Chain(
            name=name,
            actions=actions,
            inputs=inputs,
            outputs=dict(outputs or {}),
            description=description,
            bound={action: _fingerprint(function) for action, function in functions.items()},
            created=before.created if before is not None else now,
            changed=now,
            user=caller.user,
            version=before.version + 1 if before is not None else 0,
        )
        signatures = {action: _signature(function) for action, function in functions.items()}
        await asyncio.to_thread(chain.check, made, signatures)
        await self._records.put(made)
        return made

    async def delete(self, caller: Caller, name: str) -> None:
        """What runs goes on. Raises `NotFound`."""
        identity.require(caller, identity.TEMPLATE_EDIT)
        if not await self._records.delete(Chain, name):
            raise NotFound(f"there is no chain {name[:128]!r}")

    async def users_of(self, template_name: str) -> Sequence[str]:
        """The chains that run a template."""
        found: list[str] = []
        after: str | None = None
        while True:
            page = await self._records.find(Chain, Query(limit=200, after=after))
            found += [
                f"chain {item.name}"
                for item in page.items
                if any(action.template == template_name for action in item.actions)
            ]
            after = page.after
            if after is None:
                return found

    async def stale(self, found: Chain) -> tuple[str, ...]:
        """The actions whose template is gone, broken, or takes or gives something else than when the chain was saved."""
        changed: list[str] = []
        for action in found.actions:
            try:
                now = _fingerprint(await self._function(action))
            except PromptdError:
                now = ""
            if now != found.bound.get(action.name, now):
                changed.append(action.name)
        return tuple(changed)

    async def _function(self, action: Action) -> Function:
        return await self._functions.describe(action.template, label=action.label, number=action.number)

    # ---------------------------------------------------------------- runs

    async def run(
        self,
        caller: Caller,
        name: str,
        inputs: dict[str, Any],
        files: Mapping[str, tuple[str, ...]] | None = None,
        *,
        counted: Counted = (),
    ) -> ChainRun:
        """Begin a run; when this returns, it is on disk. `counted`: what its request's headers are counted for.

        Raises `NotFound`, `InvalidInput` that names the input.
        """
        identity.require(caller, identity.PROMPT_CREATE)
        found = await self.get(name)
        opened = await self._queries.files(files or {})
        given = await asyncio.to_thread(Checker(found.inputs).check, inputs, opened)
        identifier = self._ids.make("run")
        run = ChainRun(
            id=identifier,
            chain=found,
            user=caller.user,
            key=caller.key,
            team=caller.team,
            counted=counted,
            created=self._clock(),
            inputs=given.value,
            files={key: tuple((files or {})[key]) for key in given.files},
            steps={action.name: Step() for action in found.actions},
        )
        await self._records.put(run, ActiveRun(identifier))
        self._carry_on(run)
        return run

    async def look(self, caller: Caller, identifier: str) -> ChainRun:
        """A run as it stands. Raises `NotFound`, also for other people's."""
        identity.require(caller, identity.PROMPT_VIEW)
        return await self._owned(caller, identifier)

    async def _owned(self, caller: Caller, identifier: str) -> ChainRun:
        execution = self._running.get(identifier)
        run = execution.run if execution is not None else await self._records.get(ChainRun, identifier)
        if run is None or run.user != caller.user:
            raise NotFound(f"there is no run {identifier[:128]!r}")
        return run if execution is not None else await self._whole(run)

    async def finished(self, identifier: str) -> ChainRun:
        """Wait for the end of a run. Raises `NotFound`."""
        execution = self._running.get(identifier)
        if execution is not None:
            await asyncio.shield(execution.over)
            return execution.run
        return await self.stored(identifier)

    async def cancel(self, caller: Caller, identifier: str) -> ChainRun:
        """End a run and its prompts. Raises `NotFound`, `Conflict` where it is over."""
        identity.require(caller, identity.PROMPT_EDIT)
        run = await self._owned(caller, identifier)
        execution = self._running.get(identifier)
        if execution is None:
            raise Conflict(f"the run is {run.status} already")
        return await execution.cancel(caller)

    def _carry_on(self, run: ChainRun) -> None:
        execution = self._running[run.id] = ChainExecution(self, run)
        execution.task.add_done_callback(lambda task: self._ended(run.id, task))

    def _ended(self, identifier: str, task: asyncio.Task[None]) -> None:
        self._running.pop(identifier, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("the run %s of a chain stopped", identifier, exc_info=error, extra={"action": "chain_failed"})

    # ---------------------------------------------------------------- what an execution needs

    async def store(self, run: ChainRun, changed: str | None) -> None:
        """Store where a run is now; `changed` is the action whose step did change."""
        bare, results = chain.apart(run)
        rows = [results[changed]] if changed is not None and changed in results else []
        await self._records.put(bare, *rows)
        if run.status != "running":
            with suppress(StoreUnavailable):  # the next start takes the mark away
                await self._records.delete(ActiveRun, run.id)

    async def stored(self, identifier: str) -> ChainRun:
        """The run's row. Raises `NotFound`, `StoreUnavailable`."""
        run = await self._records.get(ChainRun, identifier)
        if run is None:
            raise NotFound(f"there is no run {identifier[:128]!r}")
        return await self._whole(run)

    async def _whole(self, run: ChainRun) -> ChainRun:
        """A run's row with what its steps gave."""
        results: dict[str, StepResult] = {}
        for name, step in run.steps.items():
            if step.status == "completed":
                found = await self._records.get(StepResult, f"{run.id}.{name}")
                if found is not None:
                    results[name] = found
        return chain.together(run, results)

    async def caller(self, run: ChainRun) -> Caller:
        """Raises `Forbidden` where the key has ended."""
        caller = await self._callers.renew(Caller(run.user, run.key, run.team))
        if caller is None:
            raise Forbidden("the key that began this run has ended")
        return caller

    async def ask(self, run: ChainRun, action: Action) -> Prompt:
        """The prompt of an action, at its end. Raises `PromptdError` where it came to none."""
        identifier = f"{run.id}.{action.name}"
        caller = await self.caller(run)
        values, files = chain.bound(run, action)
        options = Options(label=action.label, number=action.number)
        submission = await self._functions.prepare(caller, action.template, values, options, files)
        await self._submit(replace(submission, id=identifier, parent=run.id, counted=run.counted))
        return await self._streams.finished(identifier)

    async def _submit(self, submission: Submission) -> None:
        """A limit that says not now is waited for: nobody else would try again."""
        while True:
            try:
                await self._intake.submit(submission)
                return
            except Refusal as refusal:
                if not refusal.retryable:
                    raise
                pause = refusal.retry_after or _SHORTEST_PAUSE
                await asyncio.sleep(min(max(pause, _SHORTEST_PAUSE), _LONGEST_PAUSE))

    async def cancel_prompt(self, caller: Caller, identifier: str) -> None:
        with suppress(NotFound, Conflict):  # it has not begun, or it is over
            await self._prompts.cancel(caller, identifier)

    def now(self) -> float:
        return self._clock()


def _signature(function: Function) -> tuple[Sequence[Param], frozenset[str] | None]:
    """Inputs of an action's template, and the names of its outputs where they are known."""
    if function.version.draft.connection is not None:
        return function.inputs, frozenset(param.name for param in function.outputs)
    if function.output.kind == "text":
        return function.inputs, frozenset({_TEXT})
    return function.inputs, None


def _fingerprint(function: Function) -> str:
    """It changes with what values the template takes and gives, not with its texts."""
    output = (function.output.kind, function.output.schema)
    facts = (fingerprint(function.inputs), fingerprint(function.outputs), output)
    return sha256(msgspec.json.encode(facts, order="sorted")).hexdigest()
