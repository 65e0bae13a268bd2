"""The store exam about the books: whatever happens, the usage report is the sum of all rows that ever were."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from msgspec.structs import replace

from promptd.core.filters import Filter, Query
from promptd.core.lifecycle import FINAL, Status
from promptd.core.model import Attempt, Failure, Mode, Outcome, Prompt, Score, Usage
from promptd.core.ports import Ended, Retention
from promptd.core.usage import Dimension, UsageQuery
from promptd.testing.store.ledger import make_ended, try_of
from promptd.testing.store.samples import Store, ledger, make_prompt
from promptd.testing.store.walk import Step, Walk, steps

_OUTCOMES = (Outcome.COMPLETED, Outcome.ERRORED, Outcome.CANCELED, Outcome.LOST)
Rows = dict[tuple[int, int], tuple[Prompt, Attempt | None]]
_SUMMED = tuple(Usage.__struct_fields__)


def sum_rows(rows: Iterable[tuple[Prompt, Attempt | None]]) -> dict[str, int]:
    """What a report says of attempts, and of attached calls without any, added up one by one."""
    sums = dict.fromkeys(("requests", "attempts", "completed", "errors", *_SUMMED, "cost", "unpriced", "latency"), 0)
    for prompt, attempt in rows:
        if attempt is None:
            sums["requests"] += 1
            sums["errors"] += prompt.status is Status.ABANDONED
            continue
        sums["attempts"] += 1
        sums["requests"] += attempt.run == 1
        sums["errors"] += attempt.outcome in (Outcome.ERRORED, Outcome.LOST)
        for name in _SUMMED:
            sums[name] += getattr(attempt.usage, name)
        sums["cost"] += attempt.cost or 0
        sums["unpriced"] += attempt.cost is None
        if attempt.outcome is Outcome.COMPLETED and attempt.finished is not None:
            sums["completed"] += 1
            sums["latency"] += int((attempt.finished - attempt.started) * 1_000_000)
    return sums


async def rows_of(store: Store, lanes: tuple[str, ...]) -> Rows:
    """Every row of the ledger in some lanes, by prompt and run; run 0 stands for an attached call without an attempt."""
    found: Rows = {}
    query = Query(filters=(Filter("lane", "in", lanes),), limit=1000)
    while True:
        page = await store.records.find(Prompt, query)
        for prompt in page.items:
            attempts = await ledger(store, prompt)
            found |= {(prompt.no, attempt.run): (prompt, attempt) for attempt in attempts}
            if not attempts and prompt.mode is Mode.ATTACHED:
                found[prompt.no, 0] = (prompt, None)
        if page.after is None:
            return found
        query = replace(query, after=page.after)


@dataclass
class Books(Walk):
    """A walk beside which attached prompts end and final ones are deleted."""

    seen: Rows = field(default_factory=dict)
    batch: int = 0

    @property
    def all_lanes(self) -> tuple[str, ...]:
        return (*self.lanes, f"{self.name}-attached")

    async def step(self, what: str, which: int, how: int) -> None:
        if what in ("add", "prune"):
            await self.look()  # rows may go
        if what == "record":
            await self._record(which, how)
        elif what == "prune":
            await self._prune(sorted(FINAL)[which % len(FINAL)])
        elif what == "reopen":
            await self.store.reopen()
        else:
            await super().step(what, which, how)

    async def look(self) -> None:
        self.seen |= await rows_of(self.store, self.all_lanes)

    async def _record(self, which: int, how: int) -> None:
        """A batch of attached prompts; some have ids of earlier ones, or are recorded twice."""
        self.batch += 1
        ended: list[Ended] = []
        for number in range(1 + how):
            name = f"{self.name}-{which if number % 9 == 5 else self.batch}-{number}"
            attempts = tuple(self._try(run, which + number + run) for run in range(1, 1 + (number + which) % 4))
            changes: dict[str, Any] = {
                "runs": len(attempts),
                "lane": self.all_lanes[-1],
                "created": self.now + self.batch,
            }
            if not attempts:
                changes |= {"status": Status.ABANDONED, "answer": None, "error": Failure("timeout", "no slot")}
            ended.append(Ended(make_ended(name, **changes).prompt, attempts))
        await self.store.ledger.record(ended)
        if how % 3 == 0:
            await self.store.ledger.record(ended[::2])

    def _try(self, run: int, number: int) -> Attempt:
        return try_of(
            make_prompt("", lane=self.all_lanes[-1]),
            run=run,
            outcome=_OUTCOMES[number % len(_OUTCOMES)],
            usage=Usage(number, number % 7, number % 3, number % 2, number % 5),
            cost=None if number % 5 == 0 else number,
        )

    async def _prune(self, status: Status) -> None:
        await self.store.queue.prune([Retention(status, 0)], now=self.now)
        for name, prompt in list(self.known.items()):
            if prompt.status is status and prompt.finished is not None and prompt.finished < self.now:
                self.forget(name)

    async def balance(self) -> None:
        """The report and the rows agree, in all and per connection."""
        await self.look()
        for lane in self.all_lanes:
            report = await self.store.ledger.report(UsageQuery(only={Dimension.CONNECTION: lane}))
            sums = sum_rows(row for row in self.seen.values() if (row[1].connection if row[1] else row[0].lane) == lane)
            found = {name: getattr(report.lines[0].sums, name) if report.lines else 0 for name in sums}
            assert found == sums


class BooksExam:
    @pytest.mark.asyncio
    @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(way=steps("record", "record", "prune", "reopen"))
    async def test_the_report_is_the_sum_of_all_rows_that_ever_were(self, store: Store, way: list[Step]) -> None:
        books = Books(store)
        for what, which, how in way:
            await books.step(what, which, how)
        await books.balance()

    @pytest.mark.asyncio
    async def test_ratings_are_the_sum_of_the_last_scores(self, store: Store) -> None:
        await store.ledger.record([make_ended(f"p{number}") for number in range(5)])
        last: dict[tuple[str, str], float] = {}
        for number in range(60):
            prompt, user, value = f"p{number * 7 % 5}", f"u{number % 3}", number % 11 / 10
            await store.ledger.score(prompt, Score(user=user, value=value, created=float(number)))
            last[prompt, user] = value
        (line,) = (await store.ledger.report(UsageQuery())).lines
        assert line.ratings["score"].count == len(last)
        assert line.ratings["score"].total == round(sum(last.values()) * 1_000_000)
