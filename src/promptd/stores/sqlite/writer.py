"""Group commit: statements run on the loop inside an open transaction, only COMMIT goes to a thread.

A writer thread per statement starves beside a busy loop; one hand-over per batch does not (docs/architecture.md). While a commit is
under way, new work queues up and becomes the next batch. A future is resolved only when its batch is on disk.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from promptd.core.errors import PromptdError, StoreUnavailable

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], Any]
_log = logging.getLogger(__name__)
#: errors of SQLite that say something about the statement and its values, nothing about the store
_OWN_FAULT = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.DataError)
_PATIENCE = 0.05  # seconds that a transaction stays open where nobody waits for what is in it


class _Job:
    __slots__ = ("error", "future", "patient", "result", "work")

    def __init__(self, work: Work, future: asyncio.Future[Any], patient: bool) -> None:
        self.work, self.future, self.patient = work, future, patient
        self.result: Any = None
        self.error: BaseException | None = None

    def reset(self) -> None:
        self.result, self.error = None, None

    def resolve(self) -> None:
        if not self.future.done():
            if self.error is not None:
                self.future.set_exception(self.error)
            else:
                self.future.set_result(self.result)

    def fail(self, error: BaseException) -> None:
        self.error = error
        self.resolve()


class Writer:
    """The only writer of a database. `batch_seconds` bounds how long statements may hold the loop per turn.

    Where `most_waiting` pieces of work wait already, one more is refused at once.
    """

    def __init__(
        self,
        db: sqlite3.Connection,
        *,
        batch_seconds: float = 0.002,
        most_waiting: int = 50_000,
        present: Callable[[], bool] = lambda: True,
    ) -> None:
        """`present` says whether the file is still the one that was opened; it is asked before each batch."""
        self._db = db
        self._present = present
        self._batch_seconds = batch_seconds
        self._most_waiting = most_waiting
        self._waiting: deque[_Job] = deque()
        self._batch: list[_Job] = []  # what ran in the transaction that is open
        self._timer: asyncio.TimerHandle | None = None  # ends the patience with it
        self._overdue = False
        self._busy = False  # a turn or a commit is under way
        self._closed = False
        self.failure: str | None = None  #: why the last batch was not stored; None when the store works
        self._idle = asyncio.Event()
        self._idle.set()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="commit")
        self._loop = asyncio.get_running_loop()

    def submit(self, work: Callable[[sqlite3.Connection], T], *, patient: bool = False) -> asyncio.Future[T]:
        """Run `work` in the next batch; its result comes when it is on disk.

        `patient` work runs as soon, but waits up to 50 ms for other work to share its commit.

        `work` may raise a `PromptdError`; whatever it wrote until then is undone. It may run twice (see `_isolate`), so
        it must not keep state outside the database that a second run would spoil.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        if self._closed:
            future.set_exception(StoreUnavailable("the store is closed"))
            return future
        if len(self._waiting) >= self._most_waiting:
            future.set_exception(StoreUnavailable("the store is behind: too many writes wait", retry_after=1))
            return future
        self._waiting.append(_Job(work, future, patient))
        self._wake()
        return future

    async def close(self) -> None:
        """Commit what is waiting, then refuse."""
        self._closed = True
        if not self._idle.is_set():
            self._hurry()
        await self._idle.wait()
        self._thread.shutdown()
        self._db.close()

    def _wake(self) -> None:
        if not self._busy:
            self._busy = True
            self._idle.clear()
            self._loop.call_soon(self._turn)

    def _hurry(self) -> None:
        self._overdue = True
        self._wake()

    def _turn(self) -> None:
        batch = self._batch
        try:
            if not batch:
                if not self._present():
                    raise sqlite3.OperationalError("the database file is gone or was replaced")
                self._begin()
            self._run_waiting(batch)
        except sqlite3.Error as error:
            if not batch and self._waiting:
                batch.append(self._waiting.popleft())
            self._abort(batch, error)
        if self._db.in_transaction and not self._overdue and all(job.patient for job in batch):
            self._leave_open()
            return
        self._batch, self._overdue = [], False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._db.in_transaction:
            commit = self._loop.run_in_executor(self._thread, self._db.commit)
            commit.add_done_callback(lambda done: self._committed(batch, done))
        else:
            self._next()

    def _run_waiting(self, batch: list[_Job]) -> None:
        """As many as fit into this turn."""
        until = time.perf_counter() + self._batch_seconds
        while self._waiting:
            job = self._waiting.popleft()
            batch.append(job)
            if not self._run(job):
                self._isolate(batch)
                break
            if time.perf_counter() >= until:
                break

    def _leave_open(self) -> None:
        """Others have their turn of the loop before more is written."""
        if self._timer is None:
            self._timer = self._loop.call_later(_PATIENCE, self._hurry)
        self._busy = False
        if self._waiting:
            self._wake()

    def _begin(self) -> None:
        self._db.execute("begin immediate")
        if self.failure is not None:
            # a commit that changes nothing succeeds on a full disk too: only one that writes shows that the store works
            number = self._db.execute("pragma user_version").fetchone()[0]
            self._db.execute(f"pragma user_version = {number}")

    def _run(self, job: _Job) -> bool:
        """Run one job inside the batch; False where it failed after writing, so that the batch can't be kept whole."""
        before = self._db.total_changes
        try:
            job.result = job.work(self._db)
        except (PromptdError, *_OWN_FAULT) as error:
            job.error = error
        except sqlite3.Error:
            raise
        except Exception as error:  # a bug in one job must not leave the others of its batch without an answer
            job.error = error
        unspoilt: bool = job.error is None or self._db.total_changes == before
        return unspoilt

    def _isolate(self, batch: list[_Job]) -> None:
        """Undo the batch and run each of its jobs behind a savepoint, so that one bad job costs only itself."""
        self._db.rollback()
        self._begin()
        for job in batch:
            job.reset()
            self._db.execute("savepoint job")
            self._run(job)
            if job.error is not None:
                self._db.execute("rollback to job")
            self._db.execute("release job")

    def _abort(self, batch: list[_Job], error: BaseException) -> None:
        """The store itself failed: nothing of the batch is stored."""
        _log.error("store write failed: %s", error, extra={"action": "store_failed"})
        self.failure = f"store unavailable: {error}"
        try:
            self._db.rollback()
            self._db.execute("pragma shrink_memory")  # what a failing disk gave must be read again
        except sqlite3.Error as second:  # the transaction is already gone
            _log.error("rollback failed: %s", second, extra={"action": "store_failed"})
        for job in batch:
            job.fail(StoreUnavailable(detail=str(error)))

    def _committed(self, batch: list[_Job], done: asyncio.Future[None]) -> None:
        error = done.exception()
        if error is not None:
            self._abort(batch, error)
        else:
            self.failure = None
            for job in batch:
                job.resolve()
        self._next()

    def _next(self) -> None:
        if self._waiting:
            self._loop.call_soon(self._turn)
        else:
            self._busy = False
            self._idle.set()
