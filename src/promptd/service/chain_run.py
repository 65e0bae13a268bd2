"""One run of a chain in this process: its steps as soon as they can, its state stored after each."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol

from msgspec.structs import replace

from promptd.core import chain
from promptd.core.chain import Action, ChainRun, Step
from promptd.core.errors import Conflict, PromptdError, StaleVersion, StoreUnavailable
from promptd.core.model import Caller, Prompt

_log = logging.getLogger(__name__)

_PAUSE: Final = 1.0  # seconds, while the store can't be written
_TEXT: Final = "text"


class Desk(Protocol):
    """What a run needs of the house."""

    async def store(self, run: ChainRun, changed: str | None) -> None: ...
    async def stored(self, identifier: str) -> ChainRun: ...
    async def ask(self, run: ChainRun, action: Action) -> Prompt: ...
    async def cancel_prompt(self, caller: Caller, identifier: str) -> None: ...
    def now(self) -> float: ...


class ChainExecution:
    """A run under way in this process."""

    def __init__(self, desk: Desk, run: ChainRun) -> None:
        self._desk, self.run = desk, run
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._steps: dict[str, asyncio.Task[Step]] = {}
        self._writing = asyncio.Lock()  # one change at a time, because the row has one version
        actions = {action.name: action for action in run.chain.actions}
        failed = {name for name, step in run.steps.items() if step.status == "failed"}
        self._stopping = any(actions[name].on_error == "stop" for name in failed)  # an earlier process saw it fail
        self.task = asyncio.create_task(self._carry_out(), name=f"chain run {run.id}")

    async def _carry_out(self) -> None:
        try:
            await self._all_steps()
        finally:
            for task in self._steps.values():
                task.cancel()
            if not self.over.done():
                self.over.set_result(None)

    async def _all_steps(self) -> None:
        actions = {action.name: action for action in self.run.chain.actions}
        needs = {name: chain.needs(self.run.chain, name) for name in actions}
        while self._alive():
            for name, action in actions.items():
                waits = any(not self.run.steps[other].over for other in needs[name])
                if self.run.steps[name].over or name in self._steps or waits or self._stopping:
                    continue
                if self._is_skipped(action):
                    await self._note(name, Step(status="skipped"))
                else:
                    await self._note(name, Step(status="running", prompt=f"{self.run.id}.{name}"))
                    self._steps[name] = asyncio.create_task(self._step(action))
            if not self._steps:
                if all(step.over for step in self.run.steps.values()) or self._stopping:
                    await self._end()
                continue
            done, _ = await asyncio.wait(self._steps.values(), return_when=asyncio.FIRST_COMPLETED)
            for name in [name for name, task in self._steps.items() if task in done]:
                step = self._steps.pop(name).result()
                if not self._alive():
                    return  # canceled meanwhile
                await self._note(name, step)
                if step.status == "failed" and actions[name].on_error == "stop":
                    self._stopping = True

    def _alive(self) -> bool:
        return self.run.status == "running"

    def _is_skipped(self, action: Action) -> bool:
        """Whether an action is for a failure that did not happen."""
        steps = self.run.steps
        causes = [one.name for one in self.run.chain.actions if one.branch == action.name]
        return bool(causes) and not any(steps[name].status == "failed" for name in causes)

    async def _step(self, action: Action) -> Step:
        try:
            prompt = await self._desk.ask(self.run, action)
        except PromptdError as error:
            return Step(status="failed", code=error.code, message=error.message, retryable=error.retryable)
        except Exception as error:  # whatever it is, the run must come to an end that can be looked up
            _log.error("an action of %s failed", self.run.id, exc_info=error, extra={"action": "chain_failed"})
            return Step(status="failed", code=PromptdError.code, message=PromptdError.title)
        answer = prompt.answer
        if answer is None:
            failure = prompt.error
            code = failure.code if failure is not None else "cancelled"
            message = failure.message if failure is not None else f"the prompt is {prompt.status}"
            return Step(status="failed", prompt=prompt.id, code=code, message=message)
        value = answer.value if isinstance(answer.value, dict) else {"value": answer.value}
        if answer.value is None:
            value = {_TEXT: answer.text}
        return Step(status="completed", prompt=prompt.id, value=value, files=dict(answer.outputs))

    async def _note(self, name: str, step: Step) -> None:
        await self._persist(lambda run: replace(run, steps={**run.steps, name: step}), name)

    async def _end(self) -> None:
        failed = next(
            (
                step
                for action in self.run.chain.actions
                if (step := self.run.steps[action.name]).status == "failed" and action.on_error == "stop"
            ),
            None,
        )
        now = self._desk.now()
        if failed is not None:
            await self._persist(
                lambda run: replace(run, status="failed", code=failed.code, message=failed.message, finished=now)
            )
        else:
            await self._persist(
                lambda run: replace(run, status="completed", outputs=chain.outputs_of(run), finished=now)
            )

    async def _persist(self, change: Callable[[ChainRun], ChainRun], name: str | None = None) -> None:
        """As `_change`. While the store can't be written, the run waits here: nobody else would carry it on."""
        while self._alive():
            try:
                await self._change(change, name)
            except StoreUnavailable:
                await asyncio.sleep(_PAUSE)
                continue
            return

    async def _change(self, change: Callable[[ChainRun], ChainRun], name: str | None = None) -> None:
        """Store the run as `change` makes it, unless it is over; `name` is the action that is changed.

        Raises `StoreUnavailable`, `NotFound`.
        """
        async with self._writing:
            while self._alive():
                before = self.run
                changed = replace(change(before), version=before.version + 1)
                try:
                    await self._desk.store(changed, name)
                except StaleVersion:  # a store that failed has written it all the same
                    self.run = await self._desk.stored(before.id)
                    continue
                self.run = changed
                return

    async def cancel(self, caller: Caller) -> ChainRun:
        """The run is over for everybody first, then its prompts are told. Raises `Conflict` where it is over already."""
        now = self._desk.now()
        await self._change(lambda run: replace(run, status="canceled", code="cancelled", finished=now))
        if self.run.status != "canceled":
            raise Conflict(f"the run is {self.run.status} already")
        running = [step.prompt for step in self.run.steps.values() if step.status == "running" and step.prompt]
        self.task.cancel()
        # a step may be in the middle of handing in its prompt: it is told only once nobody hands in any more
        await asyncio.wait([self.task, *self._steps.values()])
        for identifier in running:
            await self._desk.cancel_prompt(caller, identifier)
        return self.run
