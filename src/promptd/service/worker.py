"""Who runs next, and how everything stops.

A queued prompt that finds a free slot and nobody waiting is stored as running and starts at once; otherwise it waits in
the store and its lane claims it when a slot frees or its time comes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from itertools import count
from typing import Any

from promptd.core.errors import ShuttingDown, StoreUnavailable
from promptd.core.lifecycle import WAITING, Status
from promptd.core.model import Prompt, Usage
from promptd.core.ports import Bus, Claimed, Queue
from promptd.core.routing import add
from promptd.service.clock import Clock
from promptd.service.execution import Execution
from promptd.service.lanes import Lane
from promptd.service.runs import Run, Stop
from promptd.service.streams import thread_topic

_log = logging.getLogger(__name__)
_FAIR_EVERY = 10  # one claim in ten looks at turns only, not at priority
_SWEEP_SECONDS = 0.1
_SWEEPS_PER_LOOK = 10
_MOST_AT_ONCE = 32  # prompts per claim, so that none holds the loop for long
_STORE_PAUSE = 1.0
_ALONE_SECONDS = 60.0
_LONGEST_SLEEP = 3600.0


async def _nothing(prompt: Prompt, usage: Usage, cost: int) -> None:
    """Until the composition root says who wants to know."""


class Worker:
    """Runs claimed prompts. `on_final` hears of every prompt that ended here or expired."""

    def __init__(
        self, *, queue: Queue, bus: Bus, execution: Execution, lanes: dict[str, int], clock: Clock, waiting: int = 0
    ) -> None:
        self._queue, self._bus, self._execution, self._clock = queue, bus, execution, clock
        self._lanes = {name: Lane(name, slots) for name, slots in lanes.items()}
        self._runs: dict[str, Run] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._sweeper: asyncio.Task[None] | None = None
        self._under_way = 0
        self._leaving = False  #: the grace period is over: what is launched now is handed back
        self._deadlines = 0
        self._alone = False  #: a prompt under suspicion runs, or waits for everything else to end
        self.draining = False
        self.waiting = waiting  #: prompts that wait in the store
        self._canceled: set[tuple[int, int]] = set()  #: runs canceled before this process heard of their claim
        self._spent: dict[str, tuple[Usage, int]] = {}  #: what earlier attempts of unfinished prompts used
        self.on_final: Callable[[Prompt, Usage, int], Awaitable[None]] = _nothing  #: with usage and cost in all

    # ---------------------------------------------------------------- life

    def start(self, *, suspects: bool = False) -> None:
        """Begin claiming. `suspects`: the store may hold prompts that must run alone."""
        self._sweeper = asyncio.create_task(self._sweep(), name="deadline sweep")
        if suspects:
            self._alone = True
            self._spawn(self._run_suspects(), "suspects")
        self.poke_all()

    async def drain(self, grace: float) -> None:
        """Stop claiming, let attempts finish for `grace` seconds, hand the rest back. Draining twice is fine."""
        self.draining = True
        for lane in self._lanes.values():
            if lane.timer is not None:
                lane.timer.cancel()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._empty.wait(), grace)
        self._leaving = True
        self._execution.settling.leaving.set()
        for lane in self._lanes.values():
            lane.turn_away()
        for run in list(self._runs.values()):
            run.stop("drain")
        while not self.resting:  # a claim under way may still bring a prompt
            await self._empty.wait()
            if self._tasks:
                await asyncio.wait(self._tasks)
        if self._sweeper is not None:
            self._sweeper.cancel()

    # ---------------------------------------------------------------- slots

    def reserve(self, lane_name: str) -> bool:
        """Take a slot for a prompt about to be submitted, if one is free and nobody waits in front."""
        lane = self._lanes.get(lane_name)
        if lane is None or self._held or lane.backlog or lane.claiming or lane.attached or lane.free <= 0:
            return False
        lane.busy += 1
        return True

    def release(self, lane_name: str) -> None:
        """Give a slot back; whoever is next gets it."""
        lane = self._lanes[lane_name]
        lane.busy -= 1
        self._pump(lane)

    async def slot(self, lane_name: str) -> None:
        """Wait for a slot for an attached prompt. Raises `Overloaded`."""
        lane = self._lanes[lane_name]
        if self.draining:
            raise ShuttingDown(retry_after=5)
        if lane.free > 0 and not lane.attached and not self._held:
            lane.busy += 1
            return
        waiter = lane.queue_up()
        self._pump(lane)
        try:
            await waiter
        except asyncio.CancelledError:
            if lane.leave(waiter):
                self.release(lane_name)
            raise

    def submitted(self, prompt: Prompt, *, reserved: bool) -> None:
        """A prompt was stored: run it in its reserved slot, or let the lane look for it."""
        if reserved and prompt.runs == 1:
            self._launch(prompt)
            return
        self.waiting += 1
        self.poke(prompt.lane)
        if reserved:
            self.release(prompt.lane)

    def poke(self, lane_name: str) -> None:
        """Something of this lane may have become claimable."""
        lane = self._lanes.get(lane_name)
        if lane is not None:
            lane.backlog = True
            self._pump(lane)

    def poke_all(self) -> None:
        for name in self._lanes:
            self.poke(name)

    def running(self, identifier: str) -> Run | None:
        return self._runs.get(identifier)

    def stop(self, identifier: str, why: Stop) -> None:
        run = self._runs.get(identifier)
        if run is not None:
            run.stop(why)

    def load(self) -> dict[str, tuple[int, int]]:
        """Slots and busy slots per lane."""
        return {lane.name: (lane.slots, lane.busy) for lane in self._lanes.values()}

    @property
    def resting(self) -> bool:
        """Whether nothing runs and nothing is being claimed."""
        return not self._tasks and not self._under_way

    @property
    def _held(self) -> bool:
        return self.draining or self._alone

    # ---------------------------------------------------------------- claiming

    def _pump(self, lane: Lane) -> None:
        if self._held:
            return
        lane.admit_attached()
        if not lane.backlog:
            return
        if lane.claiming:  # asked first: a claim under way holds the free slots, and must look once more
            lane.again = True
            return
        if lane.free <= 0:
            return
        lane.claiming = True
        self._spawn(self._claim(lane), f"claim {lane.name}")

    async def _claim(self, lane: Lane) -> None:
        try:
            while lane.backlog and lane.free > 0 and not self._held:
                lane.again = False
                wanted = 1 if lane.attached else min(lane.free, _MOST_AT_ONCE)
                lane.held = wanted  # nobody else may take these slots while the store looks
                try:
                    found = await self._take(lane, wanted)
                except StoreUnavailable:
                    lane.held = 0
                    self._look_again(lane, self._clock() + _STORE_PAUSE)
                    break
                lane.held = 0
                lane.busy += len(found.prompts)
                lane.claimed += len(found.prompts)
                lane.turn += 1
                self.waiting -= len(found.prompts) + len(found.expired)
                for prompt in found.prompts:
                    self._launch(prompt)
                await self._announce(found.expired)
                if len(found.prompts) < wanted and not lane.again:
                    lane.backlog = False
                    if found.next_due is not None:
                        self._look_again(lane, found.next_due)
                lane.admit_attached()
        finally:
            lane.claiming = False
        if lane.again:
            self._pump(lane)

    async def _take(self, lane: Lane, wanted: int) -> Claimed:
        """Claim by priority, and one in ten by turn alone; both in one batch of the store."""
        now = self._clock()
        fair = (lane.claimed + wanted) // _FAIR_EVERY - lane.claimed // _FAIR_EVERY
        claims = [self._queue.claim(lane.name, wanted - fair, now=now)]
        if fair:
            claims.append(self._queue.claim(lane.name, fair, now=now, fair_only=True))
        results = await asyncio.gather(*claims, return_exceptions=True)
        found = [result for result in results if isinstance(result, Claimed)]
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, StoreUnavailable):
                _log.error("claim of %s failed", lane.name, exc_info=result, extra={"action": "claim_failed"})
        if not found:  # where only one of them failed, what the other one took must run
            raise StoreUnavailable
        return Claimed(
            tuple(prompt for part in found for prompt in part.prompts),
            tuple(prompt for part in found for prompt in part.expired),
            found[-1].next_due,
        )

    async def _expire(self, lane: Lane) -> None:
        """Abandon what waited too long in a lane whose slots are all taken."""
        try:
            found = await self._queue.claim(lane.name, 0, now=self._clock())
            self.waiting -= len(found.expired)
            await self._announce(found.expired)
        except StoreUnavailable:
            self._look_again(lane, self._clock() + _STORE_PAUSE)
        finally:
            lane.claiming = False
        self._pump(lane)

    async def _announce(self, expired: Sequence[Prompt]) -> None:
        for prompt in expired:
            self._execution.settling.announce_failure(prompt)
            await self.finished(prompt)
        if any(prompt.thread is not None for prompt in expired):
            self.poke_all()  # the next of the thread came forward, maybe in another lane

    def _look_again(self, lane: Lane, when: float) -> None:
        if lane.timer is not None:
            lane.timer.cancel()
        delay = min(max(when - self._clock(), 0.0), _LONGEST_SLEEP)
        lane.timer = asyncio.get_running_loop().call_later(delay, self.poke, lane.name)

    async def _run_suspects(self) -> None:
        """Run each prompt that lost its worker too often with nothing beside it: a crash then names the culprit.

        One that takes long gets company after a while: it has not crashed, and the others have waited enough.
        """
        try:
            for lane in self._lanes.values():
                while not self.draining:
                    found = await self._queue.claim(lane.name, 1, now=self._clock(), alone=True)
                    self.waiting -= len(found.expired)
                    await self._announce(found.expired)
                    if not found.prompts:
                        break
                    lane.busy += 1
                    self.waiting -= 1
                    self._launch(found.prompts[0])
                    await asyncio.wait_for(self._empty.wait(), _ALONE_SECONDS)
        except TimeoutError:
            _log.warning("a suspect runs on beside the others", extra={"action": "suspect_slow"})
        except StoreUnavailable as error:
            _log.warning("suspects wait for the next start: %s", error.detail, extra={"action": "store_failed"})
        finally:
            self._alone = False
            self.poke_all()

    # ---------------------------------------------------------------- running

    def _launch(self, prompt: Prompt) -> None:
        run = self._execution.begin(prompt)
        self.enter(run)
        if prompt.thread is not None:
            self._bus.wake(thread_topic(prompt.thread))
        run.task = self._spawn(self._run(run), prompt.id)
        if (prompt.no, prompt.runs) in self._canceled:
            self._canceled.discard((prompt.no, prompt.runs))
            run.stop("cancel")
        if self._leaving:
            run.stop("drain")

    def enter(self, run: Run) -> None:
        """The run is under way: it can be found, stopped, and counts for drain and deadline."""
        self._runs[run.prompt.id] = run
        self._under_way += 1
        self._empty.clear()
        if run.prompt.deadline is not None:
            self._deadlines += 1

    def leave(self, run: Run) -> None:
        """The run is over; whoever is next gets its slot."""
        if self._runs.get(run.prompt.id) is run:  # a retry may have taken the place of a run that was slow to stop
            del self._runs[run.prompt.id]
        self._under_way -= 1
        if run.prompt.deadline is not None:
            self._deadlines -= 1
        if not self._under_way:
            self._empty.set()
        self.release(run.prompt.lane)

    async def _run(self, run: Run) -> None:
        prompt = run.prompt
        lane = self._lanes[prompt.lane]
        settled = None
        try:
            settled = await self._execution.attempt(run)
        finally:
            if settled is not None and settled.status in WAITING:
                self.waiting += 1
                lane.backlog = True
            self._note(run)
            self.leave(run)
            if prompt.thread is not None:
                self.poke_all()  # the next of the thread came forward, maybe in another lane
            run.finish(settled)
        if settled is not None and settled.status.final:
            await self.finished(settled)

    def _note(self, run: Run) -> None:
        """Remember what the attempt used, until its prompt is final."""
        attempt = run.attempt
        if attempt is not None and (attempt.usage != Usage() or attempt.cost):
            usage, cost = self._spent.get(run.prompt.id, (Usage(), 0))
            self._spent[run.prompt.id] = (add(usage, attempt.usage), cost + attempt.cost)

    async def finished(self, prompt: Prompt) -> None:
        """A prompt is final: tell who wants to know what it used in all."""
        usage, cost = self._spent.pop(prompt.id, (Usage(), 0))
        await self.on_final(prompt, usage, cost)

    def canceled(self, prompt: Prompt, was: Status) -> None:
        """The store canceled a prompt that stood at `was`. Its claim may still be on its way to this process."""
        if was in WAITING:
            self.waiting -= 1
        elif (run := self._runs.get(prompt.id)) is not None:
            run.stop("cancel")
        else:
            self._canceled.add((prompt.no, prompt.runs))

    def _spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("%s failed", task.get_name(), exc_info=error, extra={"action": "worker_failed"})

    async def _sweep(self) -> None:
        """Deadlines of running prompts: one look per 100 ms instead of a timer per prompt; of full lanes once a second."""
        for tick in count(1):
            await asyncio.sleep(_SWEEP_SECONDS)
            if tick % _SWEEPS_PER_LOOK == 0 and not self._held:
                for lane in self._lanes.values():
                    if lane.backlog and lane.free <= 0 and not lane.claiming:
                        lane.claiming = True
                        self._spawn(self._expire(lane), f"expire {lane.name}")
            if self._deadlines:
                now = self._clock()
                for run in list(self._runs.values()):
                    if run.prompt.deadline is not None and now >= run.prompt.deadline:
                        run.stop("deadline")
