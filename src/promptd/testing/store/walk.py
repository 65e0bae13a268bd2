"""The store exam about everything at once: random walks, and what must hold after each step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from promptd.core.errors import Conflict
from promptd.core.filters import Filter, Order, Query
from promptd.core.lifecycle import TRANSITIONS, Move, Status, allows
from promptd.core.model import Outcome, Prompt
from promptd.testing.store.samples import NOW, Store, ledger, make_prompt, make_thread, settlement

_FAR: Final = 1e6
MOVES: Final = (
    "add",
    "add",
    "add",
    "claim",
    "claim",
    "complete",
    "complete",
    "fail",
    "fail_over",
    "give_up",
    "hand_back",
    "cancel",
    "cancel",
    "retry",
    "retry",
    "rescue",
    "alone",
    "late",
    "wait",
)

#: One step: what to do, and two numbers that say to which prompt and how.
Step = tuple[str, int, int]


def steps(*more: str) -> st.SearchStrategy[list[Step]]:
    """Walks of the queue's steps and `more`."""
    step = st.tuples(st.sampled_from((*MOVES, *more)), st.integers(0, 59), st.integers(0, 59))
    return st.lists(step, min_size=10, max_size=80)


@dataclass
class Walk:
    """A walk on two lanes and two threads of its own, so that many walks share one store."""

    store: Store
    name: str = field(default_factory=lambda: uuid4().hex[:12])
    now: float = NOW
    known: dict[str, Prompt] = field(default_factory=dict)
    running: dict[str, Prompt] = field(default_factory=dict)
    lost: list[Prompt] = field(default_factory=list)

    @property
    def lanes(self) -> tuple[str, str]:
        return f"{self.name}-x", f"{self.name}-y"

    async def step(self, what: str, which: int, how: int) -> None:
        if what == "add":
            await self._add(which, how)
        elif what == "claim":
            await self.claim(self.lanes[which % 2], 1 + how % 3, fair_only=how % 5 == 0)
        elif what == "alone":
            await self.claim(self.lanes[which % 2], 1, alone=True)
        elif what == "wait":
            self.now += how / 10
        elif what == "rescue":
            await self._rescue()
        elif what == "late" and self.lost:
            await self._settle_late(self.lost[which % len(self.lost)])
        elif what in ("cancel", "retry") and self.known:
            await self._change(what, sorted(self.known)[which % len(self.known)])
        elif what in ("complete", "fail", "give_up", "hand_back") and self.running:
            await self.settle(sorted(self.running)[which % len(self.running)], Move(what))
        elif what == "fail_over" and self.running:
            await self.settle(sorted(self.running)[which % len(self.running)], Move.FAIL, lane=self.lanes[how % 2])
        await self.check()

    async def _settle_late(self, lost: Prompt) -> None:
        """A worker that lost its lease comes back: what it spent counts, and nothing else changes."""
        assert await self.store.queue.settle(self._end(lost, Move.COMPLETE)) is None
        after, known = await self.store.records.get(Prompt, lost.id), self.known.get(lost.id)
        if after is not None and known is not None:
            self.known[lost.id] = replace(known, cost=after.cost)

    async def _add(self, which: int, how: int) -> None:
        thread = (None, f"{self.name}-s", f"{self.name}-t")[which % 3]
        identifier = f"{self.name}-{which % 20:02}"
        prompt = make_prompt(
            identifier,
            thread=thread,
            lane=self.lanes[how % 2],
            user=f"user-{which % 2}",
            priority=how % 3,
            not_before=self.now + how / 20 if how % 7 == 0 else None,
            deadline=self.now + how / 7 + 0.1 if how % 5 == 0 else None,
        )
        before = self.known.get(identifier)
        members = make_thread(thread, "user-0", "user-1") if thread is not None else None
        try:
            added = await self.store.queue.add(prompt, now=self.now, start=how % 4 == 0, thread=members)
        except Conflict:
            assert before is not None
            assert before.user != prompt.user
            return
        assert added.created == (before is None or before.status is Status.CANCELED)
        if added.created:
            self.forget(identifier)
            self.known[identifier] = added.prompt
            if added.prompt.status is Status.RUNNING:
                self._starts(added.prompt)

    def forget(self, identifier: str) -> None:
        self.known.pop(identifier, None)
        self.running.pop(identifier, None)

    def _starts(self, prompt: Prompt) -> None:
        """A prompt starts running: nothing of its thread may be running or unfinished in front of it."""
        assert prompt.id not in self.running
        in_front = [
            other.id
            for other in self.known.values()
            if other.thread == prompt.thread and other.no < prompt.no and not other.status.final
        ]
        beside = [other.id for other in self.running.values() if other.thread == prompt.thread]
        assert prompt.thread is None or not (in_front or beside), f"{prompt.id} overtook {in_front or beside}"
        self.running[prompt.id] = prompt

    async def claim(self, lane: str, count: int, *, fair_only: bool = False, alone: bool = False) -> int:
        """Claim, and come again as long as more is due; how many prompts moved."""
        moved, due = await self._claim(lane, count, fair_only, alone)
        for _ in range(len(self.known)):
            if due is None or due > self.now:
                return moved
            assert due == self.now
            more, due = await self._claim(lane, 0, fair_only, alone)
            moved += more
        assert due is None or due > self.now, "the store wants to be asked again and again"
        return moved

    async def _claim(self, lane: str, count: int, fair_only: bool, alone: bool) -> tuple[int, float | None]:
        found = await self.store.queue.claim(lane, count, now=self.now, fair_only=fair_only, alone=alone)
        for gone in found.expired:
            self._moved(gone, Move.EXPIRE)
            assert gone.deadline is not None
            assert gone.deadline <= self.now
        assert len(found.prompts) <= count
        for prompt in found.prompts:
            before = self.known[prompt.id]
            assert (prompt.lane, prompt.runs) == (lane, before.runs + 1)
            assert before.due is None or before.due <= self.now, "claimed before it was due"
            assert alone or prompt.deadline is None or self.now < prompt.deadline
            self._moved(prompt, Move.CLAIM)
            self._starts(prompt)
        return len(found.prompts) + len(found.expired), found.next_due

    def _moved(self, prompt: Prompt, move: Move) -> None:
        before = self.known[prompt.id]
        assert TRANSITIONS.get((before.status, move)) is prompt.status, f"{before.status} {move} {prompt.status}"
        self.known[prompt.id] = prompt

    def _end(self, prompt: Prompt, move: Move, **changes: Any) -> Any:
        due = {"due": self.now + 3} if move is Move.FAIL else {}
        return settlement(prompt, move, now=self.now, **due, **changes)

    async def settle(self, identifier: str, move: Move, **changes: Any) -> None:
        settled = await self.store.queue.settle(self._end(self.running.pop(identifier), move, **changes))
        assert settled is not None, f"the lease of {identifier} was lost"
        self._moved(settled, move)

    async def _change(self, verb: str, identifier: str) -> None:
        move = Move(verb)
        call = self.store.queue.cancel if move is Move.CANCEL else self.store.queue.retry
        if not allows(self.known[identifier].status, move):
            with pytest.raises(Conflict):
                await call(identifier, now=self.now)
            return
        moved = await call(identifier, now=self.now)
        assert moved.was is self.known[identifier].status
        self._moved(moved.prompt, move)
        if identifier in self.running:
            self.lost.append(self.running.pop(identifier))

    async def _rescue(self) -> None:
        for prompt in await self.store.queue.rescue(now=self.now, everything=True):
            if prompt.id in self.running:
                self.lost.append(self.running.pop(prompt.id))
                self._moved(prompt, Move.GIVE_UP if prompt.status.final else Move.RESCUE)

    async def check(self) -> None:
        """The store and the walk agree on everything; whether a time that has come is still noted is the store's affair."""
        query = Query(filters=(Filter("lane", "in", self.lanes),), order=(Order("no"),), limit=1000)
        found = (await self.store.records.find(Prompt, query)).items
        assert {prompt.id: self._waits(prompt) for prompt in found} == {
            name: self._waits(prompt) for name, prompt in self.known.items()
        }

    def _waits(self, prompt: Prompt) -> Prompt:
        return prompt if prompt.due is None or prompt.due > self.now else replace(prompt, due=None)

    async def finish(self) -> None:
        """Nothing is ever stuck: claiming and completing empties both lanes."""
        self.now += _FAR
        for identifier in list(self.running):
            await self.settle(identifier, Move.COMPLETE)
        while sum([await self.claim(lane, 3, alone=alone) for alone in (False, True) for lane in self.lanes]):
            for identifier in list(self.running):
                await self.settle(identifier, Move.COMPLETE)
            await self.check()
        stuck = [prompt.id for prompt in self.known.values() if not prompt.status.final]
        assert not stuck
        for prompt in self.known.values():
            outcomes = [attempt.outcome for attempt in await ledger(self.store, prompt)]
            assert outcomes.count(Outcome.COMPLETED) == (prompt.status is Status.COMPLETED)
            assert len(outcomes) <= prompt.runs


class WalkExam:
    @pytest.mark.asyncio
    @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(way=steps())
    async def test_random_walks_keep_every_promise(self, store: Store, way: list[Step]) -> None:
        """Threads are serial and in order, moves are in the table, and nothing is ever stuck."""
        walk = Walk(store)
        for what, which, how in way:
            await walk.step(what, which, how)
        await walk.finish()
