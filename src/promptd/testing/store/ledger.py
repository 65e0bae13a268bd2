"""The store exam about rows that follow their answers: the port `Ledger`."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest
from msgspec.structs import replace

from promptd.core.content import Turn
from promptd.core.errors import Conflict, NotFound
from promptd.core.filters import Filter, Query
from promptd.core.lifecycle import Move, Status
from promptd.core.model import Answer, Attempt, Failure, Judgement, Mode, Outcome, Prompt, Request, Score, Usage
from promptd.core.parameters import Parameters
from promptd.core.ports import Ended, Retention
from promptd.core.usage import Dimension, Rating, Sums, UsageQuery
from promptd.testing.store.samples import NOW, Store, claim, complete, ledger, make_prompt, settlement, stored

_DAY = int(NOW // 86_400)


def make_ended(identifier: str, *attempts: Attempt, **changes: Any) -> Ended:
    """An attached prompt that completed a second after it came; with one attempt unless told otherwise."""
    fields: dict[str, Any] = {
        "mode": Mode.ATTACHED,
        "status": Status.COMPLETED,
        "key": "k",
        "runs": len(attempts) or 1,
        "started": NOW,
        "updated": NOW + 1,
        "finished": NOW + 1,
        "request": Request(),
        "answer": Answer(f"answer to {identifier}", usage=Usage(3, 5)),
    }
    prompt = make_prompt(identifier, **(fields | changes))
    return Ended(prompt, attempts or (try_of(prompt),))


def try_of(prompt: Prompt, /, **changes: Any) -> Attempt:
    fields: dict[str, Any] = {
        "prompt": 0,
        "run": 1,
        "engine": "exam",
        "connection": prompt.lane,
        "model": "upstream",
        "started": NOW,
        "first_token": NOW + 0.25,
        "finished": NOW + 1,
        "outcome": Outcome.COMPLETED,
        "usage": Usage(3, 5),
        "cost": 7,
    }
    return Attempt(**(fields | changes))


_FAILED: dict[str, Any] = {
    "outcome": Outcome.ERRORED,
    "first_token": None,
    "code": "timeout",
    "message": "too slow",
    "usage": Usage(),
}


class LedgerExam:
    """Rows in batches, sums, scores, the end of texts."""

    @pytest.mark.asyncio
    async def test_rows_come_back_as_they_were(self, store: Store) -> None:
        plain = make_prompt("")
        tries = (
            try_of(plain, **_FAILED, cost=None),
            try_of(plain, run=2, connection="other", usage=Usage(9, 8, 7, 6, 5), cost=0),
        )
        ended = [
            make_ended("plain"),
            make_ended("armed", arm="b", team="red", request=Request(metadata={"a": "b"})),
            make_ended("two attempts", *tries, failures=1),
            make_ended(
                "told", request=Request((Turn("user", "Hi"),)), answer=Answer("m", "Hello"), trace=b"\x92\x02\x03"
            ),
            make_ended("important", parent="plain", priority=3, deadline=NOW + 9, max_attempts=1),
            make_ended(
                "failed",
                try_of(plain, **_FAILED),
                status=Status.ABANDONED,
                answer=None,
                error=Failure("timeout", "too slow"),
            ),
        ]
        nothing = make_ended("not begun", status=Status.CANCELED, answer=None, error=Failure("cancelled", "left"))
        ended.append(Ended(nothing.prompt, ()))
        await store.ledger.record(ended)
        await store.reopen()
        for one in ended:
            found = await stored(store, one.prompt.id)
            costs = [attempt.cost for attempt in one.attempts]
            assert found == replace(one.prompt, no=found.no, cost=None if None in costs else sum(filter(None, costs)))
            rows = [replace(attempt, prompt=0) for attempt in await ledger(store, found)]
            assert rows == sorted(one.attempts, key=lambda attempt: attempt.run)
        page = await store.records.find(Prompt, Query(filters=(Filter("arm", "eq", "b"), Filter("key", "eq", "k"))))
        assert [prompt.id for prompt in page.items] == ["armed"]

    @pytest.mark.asyncio
    async def test_large_batches_are_stored_whole(self, store: Store) -> None:
        ended = [make_ended(f"p{n:03}", user=f"user-{n % 7}", team=f"team-{n % 5}", runs=1 + n % 2) for n in range(333)]
        await store.ledger.record(ended)
        page = await store.records.find(Prompt, Query(limit=1000))
        found = sorted((replace(prompt, no=0, cost=0) for prompt in page.items), key=lambda prompt: prompt.id)
        assert found == [one.prompt for one in ended], "rows of many callers keep what is theirs"
        assert (await self._total(store)).requests == 333

    @pytest.mark.asyncio
    async def test_what_is_stored_already_is_not_counted_again(self, store: Store) -> None:
        ended = [make_ended(f"p{number:02}") for number in range(90)]
        await store.ledger.record(ended[:50])
        before = await stored(store, "p01")
        await store.ledger.record(ended)
        assert await stored(store, "p01") == before
        total = await self._total(store)
        assert (total.requests, total.output_tokens, total.cost) == (90, 450, 630)
        await store.ledger.record([])
        assert await self._total(store) == total

    @pytest.mark.asyncio
    @pytest.mark.parametrize("between", [0, 60])
    async def test_an_id_stays_with_whom_it_had_first_and_nothing_is_lost(
        self, store: Store, between: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        first, second = make_ended("taken"), make_ended("taken", user="eve", created=NOW + 5)
        others = [make_ended(f"p{number}") for number in range(between)]
        for _ in range(2):  # the second time is a batch whose commit was thought to have failed
            await store.ledger.record([first, *others, second])
        assert (await stored(store, "taken")).user == "ann"
        page = await store.records.find(Prompt, Query(filters=(Filter("user", "eq", "eve"),)))
        (other,) = page.items
        assert other.id.startswith("taken~")
        assert (await self._total(store)).requests == 2 + between
        assert not caplog.records, "no row was lost"

    @pytest.mark.asyncio
    async def test_a_row_that_no_store_can_hold_costs_only_itself(
        self, store: Store, caplog: pytest.LogCaptureFixture
    ) -> None:
        ended = [make_ended(f"p{number}") for number in range(45)]
        ended[7] = make_ended("half a \ud800 pair")
        await store.ledger.record(ended)
        assert [record.levelname for record in caplog.records] == ["ERROR"]
        assert (await self._total(store)).requests == 44
        assert await store.records.get(Prompt, "p8") is not None

    # ------------------------------------------------------------ the report

    @pytest.mark.asyncio
    async def test_a_report_by_each_dimension(self, store: Store) -> None:
        plain = make_prompt("")
        slow = try_of(plain, finished=NOW + 3, first_token=None, usage=Usage(100, 50, 40, 30, 20), cost=None)
        tries = (
            try_of(plain, connection="c1", **_FAILED),
            try_of(plain, run=2, connection="c2", started=NOW + 86_400, finished=NOW + 86_402, cost=1),
        )
        await store.ledger.record(
            [
                make_ended("a", slow, user="bob", key="k2", team="red", model="m2", arm="x"),
                make_ended("b", *tries, arm="y"),
                make_ended("c", user="bob", model="m2"),
            ]
        )
        total = Sums(
            requests=3,
            attempts=4,
            completed=3,
            errors=1,
            input_tokens=106,
            output_tokens=60,
            cached_tokens=40,
            cache_write_tokens=30,
            reasoning_tokens=20,
            cost=15,
            unpriced=1,
            latency=6_000_000,
            first_tokens=2,
            first_token=250_000,
        )
        assert await self._total(store) == total
        expected: dict[Dimension, dict[str | int, tuple[int, int, int]]] = {
            Dimension.DAY: {_DAY: (3, 3, 1), _DAY + 1: (0, 1, 0)},
            Dimension.KEY: {"k": (2, 3, 1), "k2": (1, 1, 0)},
            Dimension.USER: {"ann": (1, 2, 1), "bob": (2, 2, 0)},
            Dimension.TEAM: {"": (2, 3, 1), "red": (1, 1, 0)},
            Dimension.MODEL: {"m2": (2, 2, 0), "model": (1, 2, 1)},
            Dimension.CONNECTION: {"c1": (1, 1, 1), "c2": (0, 1, 0), "lane": (2, 2, 0)},
            Dimension.ARM: {"": (1, 1, 0), "x": (1, 1, 0), "y": (1, 2, 1)},
        }
        for dimension, groups in expected.items():
            report = await store.ledger.report(UsageQuery(by=(dimension,)))
            found = {line.group[0]: self._three(line.sums) for line in report.lines}
            assert found == groups
            assert list(found) == sorted(groups), "in the order of their values"
            for value, sums in groups.items():
                if isinstance(value, str):
                    only = await store.ledger.report(UsageQuery(only={dimension: value}))
                    assert [self._three(line.sums) for line in only.lines] == [sums]
        assert (await store.ledger.report(UsageQuery(only={Dimension.KEY: "nobody's"}))).lines == ()

    def _three(self, sums: Sums) -> tuple[int, int, int]:
        return sums.requests, sums.attempts, sums.errors

    @pytest.mark.asyncio
    async def test_days_and_pages_of_a_report(self, store: Store) -> None:
        ended = []
        for number in range(12):
            then = NOW + number * 86_400
            attempt = try_of(make_prompt(""), started=then, first_token=then, finished=then)
            ended.append(make_ended(f"p{number:02}", attempt, user=f"u{number % 3}", created=then))
        await store.ledger.record(ended)
        some = UsageQuery(by=(Dimension.DAY, Dimension.USER), since=_DAY + 2, until=_DAY + 8, limit=3)
        groups: list[tuple[str | int, ...]] = []
        while True:
            report = await store.ledger.report(some)
            groups += [line.group for line in report.lines]
            if report.after is None:
                break
            assert len(report.lines) == 3
            some = replace(some, after=report.after)
        assert groups == [(_DAY + number, f"u{number % 3}") for number in range(2, 9)]

    @pytest.mark.asyncio
    async def test_queued_prompts_count_too_and_deleting_takes_nothing_away(self, store: Store) -> None:
        for name in ("a", "b"):
            await store.queue.add(make_prompt(name, arm="x"), now=NOW)
        running, other = await claim(store, 2)
        await store.queue.settle(settlement(running, Move.FAIL))
        (running,) = await claim(store, now=NOW + 2)
        await complete(store, running, now=NOW + 4)
        await store.queue.rescue(now=NOW, everything=True)
        (other,) = await claim(store)
        await complete(store, other)
        total = await self._total(store)
        assert (total.requests, total.attempts, total.errors, total.completed) == (2, 4, 2, 2)
        assert ((await stored(store, "a")).cost, (await stored(store, "b")).cost) == (14, 7)
        assert (total.input_tokens, total.cost, total.latency) == (9, 21, 2_000_000)
        assert await store.queue.settle(settlement(other, Move.COMPLETE)) is None
        assert await store.records.delete(Prompt, "a")
        assert await store.queue.prune([Retention(Status.COMPLETED, 0)], now=NOW + 9) == 1
        await store.reopen()
        assert await self._total(store) == total
        (line,) = (await store.ledger.report(UsageQuery(by=(Dimension.ARM,)))).lines
        assert line.group == ("x",)

    @pytest.mark.asyncio
    async def test_a_prompt_costs_what_its_attempts_cost_and_is_unknown_where_one_is(self, store: Store) -> None:
        await store.queue.add(make_prompt("a"), now=NOW)
        for number, cost in enumerate((5, None, 5)):
            (running,) = await claim(store, now=NOW + number * 2)
            assert running.cost == (0, 5, None)[number]
            end = settlement(running, Move.FAIL, now=NOW + number * 2)
            settled = await store.queue.settle(replace(end, attempt=replace(end.attempt, cost=cost)))
            assert settled == await stored(store, "a")
        assert (await stored(store, "a")).cost is None
        total = await self._total(store)
        assert (total.cost, total.unpriced) == (10, 1)

    async def _total(self, store: Store) -> Sums:
        lines = (await store.ledger.report(UsageQuery())).lines
        return lines[0].sums if lines else Sums()

    # ------------------------------------------------------------ headers that are counted

    @pytest.mark.asyncio
    async def test_what_headers_were_counted_for_is_summed_and_comes_back(self, store: Store) -> None:
        one, both = (("x-tenant", "acme"),), (("x-app", "shop"), ("x-tenant", "acme"))
        ended = [make_ended("a", counted=one), make_ended("b", counted=both, model="other"), make_ended("c")]
        await store.ledger.record(ended)
        await store.ledger.record(ended[:1])  # again, as after a commit of which nobody heard
        await store.queue.add(make_prompt("q", counted=one), now=NOW)
        (running,) = await claim(store)
        await store.queue.settle(settlement(running, Move.FAIL, due=NOW))
        await store.reopen()
        assert [(await stored(store, name)).counted for name in "abcq"] == [one, both, (), one]
        (again,) = await claim(store)
        assert again.counted == one
        await store.queue.settle(settlement(again, Move.COMPLETE, answer=Answer("m")))
        day = int(NOW // 86_400)
        found = await store.ledger.counted("x-tenant", "acme", since=day, until=day)
        assert {model: sums.requests for model, sums in found.items()} == {again.model: 2, "other": 1}
        assert (found["other"].input_tokens, found["other"].output_tokens, found["other"].cost) == (3, 5, 7)
        assert await store.ledger.counted("x-app", "acme", since=day, until=day) == {}
        assert await store.ledger.counted("x-tenant", "acme", since=day + 1, until=day + 9) == {}
        await store.queue.prune([], now=NOW + 31 * 86_400)
        assert await store.ledger.counted("x-tenant", "acme", since=0, until=day) == found, "a month is not over"
        await store.queue.prune([], now=NOW + 32 * 86_400)
        assert await store.ledger.counted("x-tenant", "acme", since=0, until=day) == {}

    # ------------------------------------------------------------ judgements

    @pytest.mark.asyncio
    async def test_judgements_are_kept_beside_plain_rows(self, store: Store) -> None:
        told = (Judgement("words", "input", "redacted", 1.0, ("email",)), Judgement("other", "output", "recorded"))
        await store.ledger.record([make_ended("a"), make_ended("b", judgements=told), make_ended("c")])
        await store.reopen()
        assert [(await stored(store, name)).judgements for name in "abc"] == [(), told, ()]
        total = (await store.ledger.report(UsageQuery())).lines[0]
        assert total.sums.requests == 3

    # ------------------------------------------------------------ scores

    @pytest.mark.asyncio
    async def test_scores_per_user_and_name_and_their_mean_per_arm(self, store: Store) -> None:
        await store.ledger.record([make_ended("a", arm="x"), make_ended("b", arm="x"), make_ended("c", arm="y")])
        given = Score(user="ann", value=0.1, created=NOW, comment="hm")
        assert (await store.ledger.score("a", given)).scores == (given,)
        again = replace(given, value=0.7, created=NOW + 1)
        assert (await store.ledger.score("a", again)).scores == (again,)
        others = (replace(given, user="bob", value=0.2), replace(given, name="style", value=1.0))
        for other in others:
            await store.ledger.score("a", other)
        await store.ledger.score("b", replace(given, value=0.0))
        await store.reopen()
        assert (await stored(store, "a")).scores == (again, *others)
        report = await store.ledger.report(UsageQuery(by=(Dimension.ARM,)))
        x, y = report.lines
        assert x.ratings == {"score": Rating(3, 900_000), "style": Rating(1, 1_000_000)}
        assert y.ratings == {}
        await store.records.delete(Prompt, "a")
        first = await store.ledger.report(UsageQuery(by=(Dimension.ARM,), limit=1))
        assert (first.lines, first.after) == ((x,), ("x",))
        second = await store.ledger.report(UsageQuery(by=(Dimension.ARM,), limit=1, after=first.after))
        assert second.lines == (y,)

    @pytest.mark.asyncio
    async def test_only_an_answer_can_be_scored_and_not_without_end(self, store: Store) -> None:
        score = Score(user="ann", value=1.0, created=NOW)
        with pytest.raises(NotFound):
            await store.ledger.score("nothing", score)
        await store.queue.add(make_prompt("waits"), now=NOW)
        with pytest.raises(Conflict):
            await store.ledger.score("waits", score)
        await store.ledger.record([make_ended("a")])
        for number in range(32):
            await store.ledger.score("a", replace(score, name=f"n{number}"))
        with pytest.raises(Conflict):
            await store.ledger.score("a", replace(score, name="one more"))
        await store.ledger.score("a", replace(score, name="n3", value=0.0))

    # ------------------------------------------------------------ the end of texts

    @pytest.mark.asyncio
    async def test_old_texts_go_and_numbers_stay(self, store: Store) -> None:
        asked = Request(
            (Turn("user", "a secret"),), Parameters(seed=1), metadata={"a": "b"}, echo={"shown": 1}, files=("f",)
        )
        answer = Answer("m", "another secret", value=[1], finish_reason="length", usage=Usage(3, 5))
        for number in range(50):
            await store.queue.add(make_prompt(f"old {number}", request=asked), now=NOW)
        for prompt in await claim(store, 50):
            await store.queue.settle(settlement(prompt, Move.COMPLETE, answer=answer, trace=b"\x92\x01\x02"))
        told: dict[str, Any] = {"request": asked, "answer": answer}
        await store.ledger.record(
            [
                make_ended("attached", **told),
                make_ended("longer", key="longer", **told),
                make_ended("for ever", key="for ever", **told),
                make_ended("shorter", key="shorter", finished=NOW + 50, **told),
                make_ended("young", finished=NOW + 95, **told),
                make_ended("never had any"),
            ]
        )
        await store.queue.add(make_prompt("waits", request=asked), now=NOW)
        before = await store.ledger.report(UsageQuery())
        keys = {"longer": 1000.0, "for ever": inf, "shorter": 10.0}
        assert await store.ledger.forget(None, keys, now=NOW + 100) == 1
        assert await store.ledger.forget(90, keys, now=NOW + 100) == 51
        assert await store.ledger.forget(90, keys, now=NOW + 100) == 0
        bare = Request(metadata={"a": "b"}, echo={"shown": 1})
        for name in ("old 0", "old 49", "attached", "shorter"):
            prompt = await stored(store, name)
            assert (prompt.request, prompt.trace) == (bare, b"")
            assert prompt.answer == Answer("m", finish_reason="length", usage=Usage(3, 5))
            assert len(await ledger(store, prompt)) == 1
        for name in ("longer", "for ever", "young", "waits"):
            assert (await stored(store, name)).request == asked
        assert await store.ledger.report(UsageQuery()) == before

    @pytest.mark.asyncio
    async def test_what_has_no_question_any_more_can_not_run_again(self, store: Store) -> None:
        await store.queue.add(make_prompt("a"), now=NOW)
        (running,) = await claim(store)
        await store.queue.settle(settlement(running, Move.GIVE_UP))
        await store.ledger.forget(0, {}, now=NOW + 1)
        with pytest.raises(Conflict):
            await store.queue.retry("a", now=NOW + 2)
