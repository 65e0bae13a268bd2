"""The queue on SQLite: each verb is one piece of work for the writer, so one transaction.

Order (docs/architecture.md): every *line* has at most one claimable prompt, its head. A thread is a line; the prompts of a caller
without a thread, and those that began a thread of their own, share one line per lane and priority. When a prompt becomes head it gets a tag: its caller's next turn in
virtual time. The claim is then one index scan by priority, tag and age, whatever the backlog.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from promptd.core.errors import Conflict, IdempotencyMismatch, NotFound
from promptd.core.lifecycle import Move, Status, target
from promptd.core.model import Attempt, Message, Outcome, Prompt, Thread
from promptd.core.ports import Added, Claimed, Idempotency, Moved, Retention, Settlement
from promptd.stores.sqlite.attempts import cost_of, lost_attempt, put_all_attempts, put_attempt
from promptd.stores.sqlite.messages import put_messages
from promptd.stores.sqlite.pruning import prune, remove
from promptd.stores.sqlite.rows import (
    UNREADABLE,
    Row,
    embedded_attempt,
    encode,
    from_attempt,
    from_prompt,
    load_queries,
    shown,
    to_prompt,
)
from promptd.stores.sqlite.threads import join_thread, rejoin_thread
from promptd.stores.sqlite.writer import Writer

_Q = load_queries("queries.sql")
_log = logging.getLogger(__name__)
_AT_ONCE = 10  #: due or expired prompts that one claim brings in, so that it does not hold the loop


class SqliteQueue:
    """Port `Queue`. One process owns the file (the data folder's lock proves it)."""

    def __init__(
        self, writer: Writer, *, lease: float = 30.0, rescue_limit: int = 20, quarantine_after: int = 3
    ) -> None:
        self._writer = writer
        self._quarantine_after = quarantine_after
        self._lease = lease
        self._rescue_limit = rescue_limit
        #: virtual time per lane: the tag of the latest claim. Lost at a restart, and then read from the waiting heads.
        self._virtual: dict[str, int] = {}

    # ------------------------------------------------------------ add

    async def add(
        self,
        prompt: Prompt,
        *,
        now: float,
        start: bool = False,
        thread: Thread | None = None,
        messages: Sequence[Message] = (),
        idempotency: Idempotency | None = None,
        attempts: Sequence[Attempt] = (),
    ) -> Added:
        def work(db: sqlite3.Connection) -> Added:
            if idempotency is not None:
                known = self._known_key(db, prompt.user, idempotency, now)
                if known is not None:
                    return Added(known, created=False)
            try:
                stored = self._insert(db, prompt, now, start, attempts)
            except sqlite3.IntegrityError:
                known = self._known_id(db, prompt)
                if known is not None:
                    return Added(known, created=False)
                stored = self._insert(db, prompt, now, start, attempts)
            if thread is not None:
                join_thread(db, thread, stored)
            if messages:
                put_messages(db, messages, stored.no, now)
            if idempotency is not None:
                row = (prompt.user, idempotency.key, idempotency.fingerprint, stored.id, idempotency.expires)
                db.execute(_Q["insert_idempotency"], row)
            return Added(stored, created=True)

        return await self._writer.submit(work)

    def _insert(
        self, db: sqlite3.Connection, prompt: Prompt, now: float, start: bool, attempts: Sequence[Attempt]
    ) -> Prompt:
        head, tag, due, lease = 0, 0, None, None
        shared = prompt.thread is None
        if not prompt.status.final:
            waits = prompt.not_before is not None and prompt.not_before > now
            blocked = prompt.thread is not None and bool(db.execute(_Q["thread_is_busy"], (prompt.thread,)).fetchone())
            shared = shared or (prompt.thread == prompt.id and not blocked)
            if waits:
                due = prompt.not_before
            elif start and not blocked:
                prompt = replace(prompt, status=Status.RUNNING, runs=1, started=now)
                lease = now + self._lease
            elif not blocked and not (shared and self._line_has_head(db, prompt.lane, prompt.user, prompt.priority)):
                head, tag = 1, self._turn(db, prompt.lane, prompt.user)
        only = attempts[0] if len(attempts) == 1 else None
        if attempts:
            prompt = replace(prompt, cost=cost_of(attempts))
        row = from_prompt(prompt, head=head, tag=tag, due=due, lease=lease, attempt=only, shared=shared)
        cursor = db.execute(_Q["insert_prompt"], row)
        if prompt.status.final:
            put_all_attempts(db, prompt, cursor.lastrowid or 0, attempts)
        return replace(prompt, no=cursor.lastrowid or 0, due=due, updated=prompt.updated or prompt.created)

    def _line_has_head(self, db: sqlite3.Connection, lane: str, user: str, priority: int) -> bool:
        return db.execute(_Q["line_has_head"], (lane, user, priority)).fetchone() is not None

    def _known_key(self, db: sqlite3.Connection, user: str, idempotency: Idempotency, now: float) -> Prompt | None:
        row = db.execute(_Q["idempotent"], (user, idempotency.key)).fetchone()
        if row is None or row[2] <= now:
            return None
        if row[0] != idempotency.fingerprint:
            raise IdempotencyMismatch
        found = db.execute(_Q["prompt_by_id"], (row[1],)).fetchone()
        return shown(found) if found else None

    def _known_id(self, db: sqlite3.Connection, prompt: Prompt) -> Prompt | None:
        """The prompt that already has this id; None after removing a canceled one, whose id starts afresh."""
        row = db.execute(_Q["prompt_by_id"], (prompt.id,)).fetchone()
        if row is None:  # some other constraint was broken; the second insert tells
            return None
        known = shown(row)
        if known.user != prompt.user:
            raise Conflict(f"the id {prompt.id} is taken")
        if known.status is not Status.CANCELED:
            return known
        db.execute(_Q["delete_messages"], (known.thread, known.no))  # else they would count as answered later
        remove(db, known.no)
        return None

    # ------------------------------------------------------------ claim

    async def claim(
        self, lane: str, count: int, *, now: float, fair_only: bool = False, alone: bool = False
    ) -> Claimed:
        if alone:
            return await self._writer.submit(lambda db: self._claim_alone(db, lane, now))
        return await self._writer.submit(lambda db: self._claim(db, lane, count, now, fair_only))

    def _claim_alone(self, db: sqlite3.Connection, lane: str, now: float) -> Claimed:
        lost: list[Prompt] = []
        while row := db.execute(_Q["claim_alone"], {"lane": lane, "now": now, "lease": now + self._lease}).fetchone():
            prompt = self._read(db, row, now, lost)
            if prompt is not None:
                return Claimed((prompt,), tuple(lost))
        return Claimed((), tuple(lost))

    def _claim(self, db: sqlite3.Connection, lane: str, count: int, now: float, fair_only: bool) -> Claimed:
        """A bounded piece of work: where more is due or expired than fits, `next_due` says to come again at once."""
        ended = self._expire(db, lane, now)
        self._bring_due(db, lane, now)
        prompts: list[Prompt] = []
        pick = _Q["next_by_turn"] if fair_only else _Q["next_by_priority"]
        while len(prompts) < count and len(ended) < 2 * _AT_ONCE:
            row = db.execute(pick, (lane,)).fetchone()
            if row is None:
                break
            no, user, priority, shared, tag, deadline = row
            if deadline is not None and deadline <= now:  # one that `_expire` did not come to
                self._expire_row(db, db.execute(_Q["prompt_by_no"], (no,)).fetchone(), now, ended)
                continue
            claimed = db.execute(_Q["claim"], {"no": no, "now": now, "lease": now + self._lease}).fetchone()
            prompt = self._read(db, claimed, now, ended)
            if prompt is None:
                continue
            prompts.append(prompt)
            self._virtual[lane] = max(tag, self._virtual.get(lane, 0))
            if shared:
                self._promote_line(db, lane, user, priority)
        times = [db.execute(_Q[query], (lane,)).fetchone()[0] for query in ("next_due", "next_deadline")]
        next_due = min((max(time, now) for time in times if time is not None), default=None)
        return Claimed(tuple(prompts), tuple(ended), next_due)

    def _bring_due(self, db: sqlite3.Connection, lane: str, now: float) -> None:
        """Bring prompts whose time has come back into their lines."""
        due = db.execute(_Q["due_prompts"], (lane, now, _AT_ONCE)).fetchall()
        for no, user, priority, thread, status, shared in due:
            if not shared:
                db.execute(_Q["now_due"], (no,))
                self._promote_thread(db, thread, now)
            elif status == Status.ERRORED or not self._line_has_head(db, lane, user, priority):
                self._make_head(db, lane, user, no)
            else:
                db.execute(_Q["now_due"], (no,))

    def _expire(self, db: sqlite3.Connection, lane: str, now: float) -> list[Prompt]:
        gone: list[Prompt] = []
        for row in db.execute(_Q["expired_prompts"], (lane, now, _AT_ONCE)).fetchall():
            self._expire_row(db, row, now, gone)
        return gone

    def _expire_row(self, db: sqlite3.Connection, row: Row, now: float, gone: list[Prompt]) -> None:
        before = self._read(db, row, now, gone)
        if before is not None:
            gone.append(to_prompt(db.execute(_Q["expire"], {"no": before.no, "now": now}).fetchone()))
            self._left_line(db, before, now)

    def _read(self, db: sqlite3.Connection, row: Row, now: float, lost: list[Prompt]) -> Prompt | None:
        """The row as a prompt. One that can't be read is abandoned and goes to `lost`; its line goes on without it."""
        try:
            return to_prompt(row)
        except UNREADABLE as error:
            _log.error("prompt %s can't be read: %s", row[1], error, extra={"action": "prompt_unreadable"})
            left = shown(db.execute(_Q["abandon_unreadable"], {"no": row[0], "now": now}).fetchone())
            self._left_line(db, left, now)
            lost.append(left)
            return None

    # ------------------------------------------------------------ lines and turns

    def _turn(self, db: sqlite3.Connection, lane: str, user: str) -> int:
        """The next turn of a caller: behind its own waiting heads, and never before the lane's virtual time."""
        virtual = self._virtual.get(lane)
        if virtual is None:
            first = db.execute(_Q["first_turn"], (lane,)).fetchone()[0]
            virtual = self._virtual[lane] = 0 if first is None else max(first - 1, 0)
        own = db.execute(_Q["last_turn"], (lane, user)).fetchone()[0]
        return 1 + (virtual if own is None else max(virtual, own))

    def _make_head(self, db: sqlite3.Connection, lane: str, user: str, no: int) -> None:
        turn = self._turn(db, lane, user)
        db.execute(_Q["make_head"], {"no": no, "tag": turn, "quarantine": self._quarantine_after})

    def _promote_line(self, db: sqlite3.Connection, lane: str, user: str, priority: int) -> None:
        row = db.execute(_Q["behind_in_line"], (lane, user, priority)).fetchone()
        if row is not None:
            self._make_head(db, lane, user, row[0])

    def _promote_thread(self, db: sqlite3.Connection, thread: str, now: float) -> None:
        row = db.execute(_Q["first_of_thread"], (thread,)).fetchone()
        if row is None or db.execute(_Q["thread_is_running"], (thread,)).fetchone():
            return
        no, lane, user, due, head, shared, priority, status = row
        if head or (due is not None and due > now):
            return
        if not shared or status == Status.ERRORED:
            self._make_head(db, lane, user, no)
        elif not self._line_has_head(db, lane, user, priority):
            self._promote_line(db, lane, user, priority)

    def _make_way(self, db: sqlite3.Connection, prompt: Prompt, now: float) -> None:
        """A run of a thread ended: the thread's first unfinished prompt is next, also one that was retried meanwhile."""
        if prompt.thread is None:
            return
        first = db.execute(_Q["first_of_thread"], (prompt.thread,)).fetchone()
        if first is not None and first[0] != prompt.no:
            self._step_back(db, prompt.thread)
        self._promote_thread(db, prompt.thread, now)

    def _left_line(self, db: sqlite3.Connection, prompt: Prompt, now: float) -> None:
        """A prompt no longer waits or runs: let the next of its line come forward."""
        if prompt.thread is not None:
            self._promote_thread(db, prompt.thread, now)
            if not db.execute(_Q["is_shared"], (prompt.no,)).fetchone()[0]:
                return
        if not self._line_has_head(db, prompt.lane, prompt.user, prompt.priority):
            self._promote_line(db, prompt.lane, prompt.user, prompt.priority)

    def _step_back(self, db: sqlite3.Connection, thread: str) -> None:
        """Nothing of the thread is in front any more; a line that lost its head by that gets another one."""
        for lane, user, priority in db.execute(_Q["step_back"], (thread,)).fetchall():
            if not self._line_has_head(db, lane, user, priority):
                self._promote_line(db, lane, user, priority)

    # ------------------------------------------------------------ settle

    async def beat(self, now: float, lease: float) -> None:
        await self._writer.submit(lambda db: db.execute(_Q["beat"], (now + lease,)).rowcount)

    async def settle(self, settlement: Settlement) -> Prompt | None:
        return await self._writer.submit(lambda db: self._settle(db, settlement))

    def _settle(self, db: sqlite3.Connection, end: Settlement) -> Prompt | None:
        prompt, attempt = end.prompt, end.attempt
        status = target(Status.RUNNING, end.move)
        failed = end.move in (Move.FAIL, Move.GIVE_UP)
        failures = prompt.failures + failed
        values: dict[str, Any] = {"no": prompt.no, "runs": prompt.runs, "now": end.now, "failures": failures}
        values["cost"] = attempt.cost
        values["judgements"] = None if end.judgements is None else encode(end.judgements)
        error = end.error if failed or end.move is Move.CANCEL else None
        values |= {"error_code": error.code if error else None, "error_message": error.message if error else None}
        if status.final:
            values |= {"status": status.value, "trace": end.trace or None, "due": end.due}
            values["answer"] = encode(end.answer) if end.answer else None
            settled = db.execute(_Q["settle_final"], values).fetchone()
        elif end.move is Move.FAIL:
            settled = db.execute(_Q["settle_waiting"], values | {"due": end.due, "lane": end.lane}).fetchone()
        else:
            settled = db.execute(_Q["settle_back"], values | {"quarantine": self._quarantine_after}).fetchone()
        if settled is None:
            self._settle_lost(db, prompt, attempt)
            return None
        put_attempt(db, prompt, attempt)
        if prompt.thread is not None:
            if end.messages:
                put_messages(db, end.messages, prompt.no, end.now)
            self._make_way(db, prompt, end.now)
        return replace(
            prompt,
            status=status,
            lane=end.lane if end.move is Move.FAIL and end.lane is not None else prompt.lane,
            failures=failures,
            updated=end.now,
            finished=end.now if status.final else None,
            due=end.due,
            error=error,
            answer=end.answer if status is Status.COMPLETED else None,
            trace=end.trace,
            cost=settled[0],
            judgements=prompt.judgements if end.judgements is None else end.judgements,
        )

    def _settle_lost(self, db: sqlite3.Connection, prompt: Prompt, attempt: Attempt) -> None:
        """The lease is gone. A rescue wrote its own ledger row; if a cancel took it, the attempt goes in as canceled."""
        if db.execute(_Q["prompt_by_no"], (prompt.no,)).fetchone() is not None:
            canceled = replace(attempt, outcome=Outcome.CANCELED, code="cancelled")
            if put_attempt(db, prompt, canceled):
                db.execute(_Q["add_cost"], (attempt.cost, prompt.no))

    # ------------------------------------------------------------ cancel, retry, rescue, prune

    async def cancel(self, identifier: str, *, now: float) -> Moved:
        def work(db: sqlite3.Connection) -> Moved:
            prompt = self._by_id(db, identifier)
            target(prompt.status, Move.CANCEL)
            canceled = shown(db.execute(_Q["cancel"], {"no": prompt.no, "now": now}).fetchone())
            self._left_line(db, prompt, now)
            return Moved(canceled, prompt.status)

        return await self._writer.submit(work)

    async def retry(self, identifier: str, *, now: float) -> Moved:
        def work(db: sqlite3.Connection) -> Moved:
            prompt = self._by_id(db, identifier)
            target(prompt.status, Move.RETRY)
            if not db.execute(_Q["holds_content"], (prompt.no,)).fetchone()[0]:
                raise Conflict("the prompt's question is not kept any more, or never was")
            rejoin_thread(db, prompt, now)
            only = db.execute(_Q["only_attempt"], (prompt.no,)).fetchone()[0]
            if only is not None:
                db.execute(_Q["insert_attempt"], from_attempt(embedded_attempt(prompt.no, only)))
            db.execute(_Q["retry"], {"no": prompt.no, "now": now})
            if prompt.thread is not None:
                self._step_back(db, prompt.thread)  # a later one may have come forward
            self._left_line(db, prompt, now)
            return Moved(shown(db.execute(_Q["prompt_by_no"], (prompt.no,)).fetchone()), prompt.status)

        return await self._writer.submit(work)

    async def rescue(self, *, now: float, everything: bool = False) -> tuple[Prompt, ...]:
        def work(db: sqlite3.Connection) -> tuple[Prompt, ...]:
            back: list[Prompt] = []
            for row in db.execute(_Q["lost_prompts"], {"everything": everything, "now": now}).fetchall():
                prompt = self._read(db, row, now, back)
                if prompt is not None:
                    back.append(self._rescue(db, prompt, bool(row[-1]), now))
            return tuple(back)

        return await self._writer.submit(work)

    def _rescue(self, db: sqlite3.Connection, prompt: Prompt, alone: bool, now: float) -> Prompt:
        put_attempt(db, prompt, lost_attempt(prompt, now))
        if prompt.rescues + 1 < self._rescue_limit and prompt.failures + alone < prompt.max_attempts:
            values = {"no": prompt.no, "now": now, "quarantine": self._quarantine_after}
            back = to_prompt(db.execute(_Q["rescue"], values).fetchone())
            self._make_way(db, back, now)
            return back
        message = f"lost with its worker {prompt.rescues + 1} times"
        row = db.execute(_Q["give_up_lost"], {"no": prompt.no, "now": now, "message": message}).fetchone()
        self._left_line(db, prompt, now)
        return to_prompt(row)

    async def prune(self, rules: Sequence[Retention], *, now: float, dry_run: bool = False) -> int:
        return await prune(self._writer, rules, now=now, dry_run=dry_run)

    def _by_id(self, db: sqlite3.Connection, identifier: str) -> Prompt:
        row = db.execute(_Q["prompt_by_id"], (identifier,)).fetchone()
        if row is None:
            raise NotFound(f"no prompt {identifier}")
        return shown(row)
