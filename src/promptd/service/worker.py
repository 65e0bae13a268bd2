"""Who runs next, and how everything stops.

A queued prompt that finds a free slot and nobody waiting is stored as running and starts at once; otherwise it waits in
the store and its lane claims it when a slot frees or its time comes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from itertools import count
from typing import Any

from promptd.core.errors import ShuttingDown, StoreUnavailable
from promptd.core.lifecycle import WAITING, Status
from promptd.core.model import Prompt, Usage
from promptd.core.ports import Bus, Claimed, Queue
from promptd.service.claims import take
from promptd.service.clock import Clock
from promptd.service.connections import Connection
from promptd.service.execution import Execution
from promptd.service.lanes import Lane
from promptd.service.runs import Run
from promptd.service.spent import Spent
from promptd.service.streams import thread_topic
from promptd.service.suspects import run_suspects

_log = logging.getLogger(__name__)
_SWEEP_SECONDS = 0.1
_SWEEPS_PER_LOOK = 10
_MOST_AT_ONCE = 32  # prompts per claim, so that none holds the loop for long
_STORE_PAUSE = 1.0
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
        self.paused: dict[str, Run] = {}  #: of attached prompts between two attempts: without a slot, to be cancelled
        self._tasks: set[asyncio.Task[None]] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._sweeper: asyncio.Task[None] | None = None
        self._under_way = 0
        self._departures: list[asyncio.Future[None]] = []  #: of those who wait for the end of runs
        self._leaving = False  #: the grace period is over: what is launched now is handed back
        self._deadlines = 0
        self._alone = False  #: a prompt under suspicion runs, or waits for everything else to end
        self.draining = False
        self.waiting = waiting  #: prompts that wait in the store
        self._canceled: set[tuple[int, int]] = set()  #: runs canceled before this process heard of their claim
        self._spent = Spent()
        self.on_final: Callable[[Prompt, Usage, int], Awaitable[None]] = _nothing  #: with usage and cost in all

    # ---------------------------------------------------------------- life

    def start(self, *, suspects: bool = False) -> None:
        """Begin claiming. `suspects`: the store may hold prompts that must run alone."""
        self._sweeper = asyncio.create_task(self._sweep(), name="deadline sweep")
        if suspects:
            self._alone = True
            self.spawn(self._run_suspects(), "suspects")
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

    # ---------------------------------------------------------------- lanes

    def set_lanes(self, lanes: Mapping[str, int]) -> None:
        """Lanes and their slots from now on. A lane that is gone keeps one free: what waits there is told."""
        for name, lane in self._lanes.items():
            lane.slots = lanes[name] if name in lanes else lane.busy + 1
        # a new table, because others may be walking through the old one
        self._lanes = self._lanes | {name: Lane(name, lanes[name]) for name in lanes if name not in self._lanes}
        self.poke_all()

    async def ended(self, former: Callable[[Connection], bool]) -> None:
        """Wait until no attempt holds a connection that is a `former` one."""
        while any(run.connection and former(run.connection) for run in self._runs.values()):
            # not for their tasks: an attached one's is its caller's, which may have more to do
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._departures.append(waiter)
            await waiter

    def lane(self, name: str) -> Lane | None:
        return self._lanes.get(name)

    def resize(self, lane: Lane, slots: int) -> None:
        """So many slots from now on; running prompts keep theirs."""
        lane.slots = slots
        self._pump(lane)

    # ---------------------------------------------------------------- slots

    def reserve(self, lane_name: str) -> bool:
        """Take a slot for a prompt about to be submitted, if one is free and nobody waits in front."""
        lane = self._lanes.get(lane_name)
        if lane is None or self._held or not lane.open:
            return False
        lane.busy += 1
        return True

    def release(self, lane_name: str) -> None:
        """Give a slot back; whoever is next gets it."""
        lane = self._lanes[lane_name]
        lane.busy -= 1
        if lane.gate is not None:
            lane.gate.ended += 1
        if lane.attached.where or lane.waiting != 0 or lane.gate is not None:  # somebody may be next
            self._pump(lane)

    def take(self, lane_name: str) -> bool:
        """Take a slot for an attached prompt, if one is free and nobody waits in front."""
        return not (self.draining or self._alone) and self._lanes[lane_name].take()

    async def slot(self, lane_name: str, user: str = "", priority: int = 0) -> None:
        """Wait for a slot for an attached prompt of `user`, or for the house itself. Raises `Overloaded`."""
        if self.draining:
            raise ShuttingDown(retry_after=5)
        if self.take(lane_name):
            return
        lane = self._lanes[lane_name]
        place = lane.queue_up(user, priority)
        self._pump(lane)
        try:
            await place
        except asyncio.CancelledError:
            if lane.leave(place):
                self.release(lane_name)
            raise

    def submitted(self, prompt: Prompt, *, reserved: bool) -> Run | None:
        """A prompt was stored: its run in the reserved slot, to be carried out, or None where the lane looks for it."""
        if reserved and prompt.runs == 1:
            return self._begin(prompt)
        self.waiting += 1
        if (lane := self._lanes.get(prompt.lane)) is not None:
            lane.arrive()
            lane.busy -= reserved
            self._pump(lane)
        return None

    async def carry_out(self, run: Run) -> None:
        """Run what `submitted` gave, in the present task."""
        run.task = asyncio.current_task()
        await self._run(run)

    def poke(self, lane_name: str) -> None:
        """Something of this lane may have become claimable."""
        if (lane := self._lanes.get(lane_name)) is not None:
            lane.look()
            self._pump(lane)

    def poke_all(self) -> None:
        for name in self._lanes:
            self.poke(name)

    def running(self, identifier: str) -> Run | None:
        return self._runs.get(identifier)

    def load(self) -> dict[str, tuple[int, int]]:
        """Slots and busy slots per lane."""
        return {
            lane.name: (lane.slots if lane.gate is None else lane.gate.slots, lane.busy)
            for lane in self._lanes.values()
        }

    @property
    def resting(self) -> bool:
        """Whether nothing runs and nothing is being claimed."""
        return not self._tasks and not self._under_way

    @property
    def _held(self) -> bool:
        return self.draining or self._alone

    # ---------------------------------------------------------------- claiming

    def _pump(self, lane: Lane) -> None:
        if lane.gate is not None:
            lane.gate.changed()
        if self._held:
            return
        lane.admit_attached()
        if lane.claiming or not lane.backlog or lane.free <= 0:
            return
        lane.claiming = True
        self.spawn(self._claim(lane), f"claim {lane.name}")

    async def _claim(self, lane: Lane) -> None:
        try:
            while lane.backlog and lane.free > 0 and not self._held:
                wanted = lane.ask(_MOST_AT_ONCE)
                try:
                    found = await take(self._queue, lane, wanted, self._clock())
                except StoreUnavailable:
                    lane.held, lane.waiting = 0, None
                    self._look_again(lane, self._clock() + _STORE_PAUSE)
                    break
                lane.held = 0
                lane.claimed += len(found.prompts)
                lane.turn += 1
                await self.launch(lane, found)
                # a claim that met many expired ones may have stopped before it came to the others
                if lane.took(wanted, len(found.prompts) + len(found.expired)) and found.next_due is not None:
                    self._look_again(lane, found.next_due)
                lane.admit_attached()
        finally:
            lane.claiming = False
        if lane.gate is not None:
            lane.gate.changed()
        if lane.again or lane.arrived:
            self._pump(lane)

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
        try:
            await run_suspects(self, self._queue, self._lanes.values(), self._clock)
        finally:
            self._alone = False
            self.poke_all()

    async def launch(self, lane: Lane, claimed: Claimed) -> None:
        """Run what was claimed for a lane, and tell what had waited too long."""
        lane.busy += len(claimed.prompts)
        self.waiting -= len(claimed.prompts) + len(claimed.expired)
        for prompt in claimed.prompts:
            run = self._begin(prompt)
            run.task = self.spawn(self._run(run), prompt.id)
        await self._announce(claimed.expired)

    async def quiet(self) -> None:
        """Wait until nothing runs."""
        await self._empty.wait()

    # ---------------------------------------------------------------- running

    def _begin(self, prompt: Prompt) -> Run:
        run = self._execution.begin(prompt)
        self.enter(run)
        if prompt.thread is not None:
            self._bus.wake(thread_topic(prompt.thread))
        if (prompt.no, prompt.runs) in self._canceled:
            self._canceled.discard((prompt.no, prompt.runs))
            run.stop("cancel")
        if self._leaving:
            run.stop("drain")
        return run

    def enter(self, run: Run) -> None:
        """The run is under way: it can be found, stopped, and counts for drain and deadline."""
        prompt = run.prompt
        if (gate := self._lanes[prompt.lane].gate) is not None:
            gate.meet(run)
        self._runs[prompt.id] = run
        if not self._under_way:
            self._empty.clear()
        self._under_way += 1
        if prompt.deadline is not None:
            self._deadlines += 1

    def leave(self, run: Run) -> None:
        """The run is over; whoever is next gets its slot."""
        prompt = run.prompt
        if self._runs.get(prompt.id) is run:  # a retry may have taken the place of a run that was slow to stop
            del self._runs[prompt.id]
        self._under_way -= 1
        if prompt.deadline is not None:
            self._deadlines -= 1
        while self._departures:
            departure = self._departures.pop()
            if not departure.done():
                departure.set_result(None)
        if not self._under_way:
            self._empty.set()
        if not run.slotless:
            self.release(prompt.lane)

    def step_aside(self, run: Run) -> None:
        """Give the run's slot back before its end: it waits for a child prompt, which may need that very slot."""
        if not run.slotless:
            run.slotless = True
            self.release(run.prompt.lane)

    async def _run(self, run: Run) -> None:
        prompt = run.prompt
        lane = self._lanes[prompt.lane]
        settled = None
        try:
            if lane.gate is not None:
                await lane.gate.let_in(run)
            settled = await self._execution.attempt(run)
        finally:
            if settled is not None and settled.status in WAITING:
                self.waiting += 1
                lane.look()
                if settled.lane != prompt.lane:
                    self.poke(settled.lane)
            self._spent.note(run)
            self.leave(run)
            if prompt.thread is not None:
                self.poke_all()  # the next of the thread came forward, maybe in another lane
            run.finish(settled)
        if settled is not None and settled.status.final:
            await self.finished(settled)

    async def finished(self, prompt: Prompt) -> None:
        """A prompt is final: tell who wants to know what it used in all."""
        await self.on_final(prompt, *self._spent.pop(prompt.id))

    def canceled(self, prompt: Prompt, was: Status) -> None:
        """The store canceled a prompt that stood at `was`. Its claim may still be on its way to this process."""
        if was in WAITING:
            self.waiting -= 1
        elif (run := self._runs.get(prompt.id)) is not None:
            run.stop("cancel")
        else:
            self._canceled.add((prompt.no, prompt.runs))

    def spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """A task that a drain waits for."""
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
                        self.spawn(self._expire(lane), f"expire {lane.name}")
            if self._deadlines:
                now = self._clock()
                for run in list(self._runs.values()):
                    if run.prompt.deadline is not None and now >= run.prompt.deadline:
                        run.stop("deadline")
