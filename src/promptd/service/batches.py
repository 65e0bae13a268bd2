"""Batches: made, looked up, cancelled, and carried out beside everything else."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from promptd.core import identity
from promptd.core.batches import Batch, BatchStatus, check_metadata, seconds_of
from promptd.core.errors import Conflict, InvalidRequest, NotFound, Overloaded, ShuttingDown, StoreUnavailable
from promptd.core.filters import Filter, Order, Query
from promptd.core.model import Caller
from promptd.core.policy import Counted
from promptd.core.ports import Records
from promptd.service.batch_run import BatchRun
from promptd.service.batch_tools import BatchRules, Decoded, Kind, Tools
from promptd.service.clock import Clock, Ids
from promptd.service.connections import Connections
from promptd.service.contents import Contents, unbroken
from promptd.service.filed import Filed
from promptd.service.intake import Intake
from promptd.service.prompts import Prompts
from promptd.service.streams import Streams

__all__ = ["BatchRules", "Batches", "Decoded", "Kind"]
_log = logging.getLogger(__name__)
_PAGE: Final = 1000
_LOOK_SECONDS: Final = 1.0
_SWEEP_SECONDS: Final = 600.0


class Batches:
    """Every batch that is not final has a run here. Those that find no place wait for one, in the order of their ids."""

    def __init__(
        self,
        *,
        records: Records,
        contents: Contents,
        filed: Filed,
        intake: Intake,
        prompts: Prompts,
        streams: Streams,
        renew: Callable[[Caller], Awaitable[Caller | None]],
        connections: Connections,
        clock: Clock,
        ids: Ids,
        folder: Path,
        rules: BatchRules = BatchRules(),  # noqa: B008 - frozen
    ) -> None:
        """`folder` is for files under way; nothing else may lie in it. `renew` tells what a caller of before may do now."""
        self._kinds: dict[str, Kind] = {}
        self._tools = Tools(
            records=records,
            contents=contents,
            filed=filed,
            intake=intake,
            prompts=prompts,
            streams=streams,
            renew=renew,
            resolve=connections.resolve,
            kinds=self._kinds,
            clock=clock,
            ids=ids,
            folder=folder,
            rules=rules,
        )
        self._runs: dict[str, BatchRun] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._chores: list[asyncio.Task[None]] = []
        self._closed = False

    def serve(self, kinds: Mapping[str, Kind]) -> None:
        """Take batches for these endpoints, by path."""
        self._kinds |= kinds

    # ---------------------------------------------------------------- life

    async def start(self) -> None:
        """Go on with what an earlier process left. Raises `StoreUnavailable`."""
        folder = self._tools.folder
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        ended = tuple(status for status in BatchStatus if status.final)
        live = tuple(status for status in BatchStatus if status not in ended)
        query = Query(filters=(Filter("status", "in", live),), order=(Order("id"),), limit=_PAGE)
        while True:
            page = await self._tools.records.find(Batch, query)
            for batch in page.items:
                self._runs[batch.id] = BatchRun(batch, self._tools, again=True)
            if page.after is None:
                break
            query = Query(filters=query.filters, order=query.order, limit=_PAGE, after=page.after)
        for path in await asyncio.to_thread(lambda: list(folder.iterdir())):
            if path.stem not in self._runs:
                path.unlink(missing_ok=True)
        self._pump()
        self._chores = [
            asyncio.create_task(self._watch(), name="batches"),
            asyncio.create_task(self._sweep(), name="expired files"),
        ]

    async def close(self) -> None:
        """What is not done goes on with the next start. Closing twice, or before starting, is fine."""
        self._closed = True
        tasks, self._chores = [*self._chores, *self._tasks.values()], []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _pump(self) -> None:
        """Carry out as many as there is room for; one that has to stop needs no room."""
        for identifier, run in () if self._closed else list(self._runs.items()):
            if identifier not in self._tasks and (len(self._tasks) < self._tools.rules.at_once or run.look()):
                task = asyncio.create_task(self._carry_out(run), name=identifier)
                self._tasks[identifier] = task

    async def _carry_out(self, run: BatchRun) -> None:
        identifier = run.batch.id
        try:
            await run.drive()
        finally:
            self._tasks.pop(identifier, None)
        self._runs.pop(identifier, None)
        _log.info("%s is %s", identifier, run.batch.status, extra={"action": "batch_ended"})
        self._pump()

    async def _watch(self) -> None:
        """Those that wait may have to stop."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            self._pump()

    async def _sweep(self) -> None:
        while True:
            with suppress(StoreUnavailable):  # later, then
                await self._tools.filed.sweep()
            await asyncio.sleep(_SWEEP_SECONDS)

    # ---------------------------------------------------------------- what callers do

    async def create(
        self,
        caller: Caller,
        *,
        input_file: str,
        endpoint: str,
        window: str,
        metadata: Mapping[str, str],
        keep_seconds: int | None = None,
        counted: Counted = (),
    ) -> Batch:
        """`counted`: what the request's headers are counted for. Raises `InvalidRequest`, `Forbidden`, `Overloaded`, `StoreUnavailable`."""
        identity.require(caller, identity.PROMPT_CREATE)
        if self._closed:
            raise ShuttingDown(retry_after=5)
        if endpoint not in self._kinds:
            raise InvalidRequest(field="endpoint", expected=f"one of {', '.join(sorted(self._kinds))}")
        labels = dict(metadata)
        check_metadata(labels)
        now, seconds = self._tools.clock(), seconds_of(window)
        await self._check_file(caller, input_file)
        if len(self._runs) >= self._tools.rules.unfinished:
            raise Overloaded("too many batches are unfinished", retry_after=60)
        batch = Batch(
            id=self._tools.ids.make("batch"),
            user=caller.user,
            key=caller.key,
            endpoint=endpoint,
            input_file=input_file,
            window=window,
            counted=counted,
            created=now,
            expires=now + seconds,
            metadata=labels,
            keep_seconds=keep_seconds,
        )

        async def begin() -> None:
            await self._tools.records.put(batch)
            self._runs[batch.id] = BatchRun(batch, self._tools, again=False)
            self._pump()

        await unbroken(begin())  # a caller that leaves must not leave a batch that nobody carries out
        return batch

    async def _check_file(self, caller: Caller, identifier: str) -> None:
        try:
            upload = await self._tools.filed.get(identifier)
        except NotFound:
            upload = None
        if upload is None or upload.user != caller.user:
            raise InvalidRequest(
                f"input_file_id: there is no file {identifier[:200]!r}",
                field="input_file_id",
                expected="the id of a file that you uploaded",
            )
        if upload.purpose != "batch":
            raise InvalidRequest(field="input_file_id", expected="a file whose purpose is `batch`")

    async def get(self, caller: Caller, identifier: str) -> Batch:
        """Raises `NotFound` also for what is somebody else's."""
        identity.require(caller, identity.PROMPT_VIEW)
        return await self._owned(caller, identifier)

    async def _owned(self, caller: Caller, identifier: str) -> Batch:
        run = self._runs.get(identifier)
        batch = run.batch if run is not None else await self._tools.records.get(Batch, identifier)
        if batch is None or batch.user != caller.user:
            raise NotFound(f"there is no batch {identifier[:200]!r}")
        return batch

    async def find(self, caller: Caller, *, limit: int, after: str | None = None) -> tuple[tuple[Batch, ...], bool]:
        """The caller's own behind `after`, newest first; and whether there are more."""
        identity.require(caller, identity.PROMPT_VIEW)
        filters = [Filter("user", "eq", caller.user)]
        if after is not None:
            filters.append(Filter("id", "lt", after))
        page = await self._tools.records.find(
            Batch, Query(filters=tuple(filters), order=(Order("id", True),), limit=limit)
        )
        return tuple(self._newest(batch) for batch in page.items), page.after is not None

    def _newest(self, batch: Batch) -> Batch:
        run = self._runs.get(batch.id)
        return run.batch if run is not None else batch

    async def cancel(self, caller: Caller, identifier: str) -> Batch:
        """Stop a batch; what is done by then is in its files. Raises `NotFound`, `Conflict` where it is over."""
        identity.require(caller, identity.PROMPT_EDIT)
        batch = await self._owned(caller, identifier)
        run = self._runs.get(identifier)
        if run is None or batch.status.final:
            raise Conflict(f"a batch that is {batch.status} can't be cancelled")
        cancelled = await unbroken(run.cancel())
        self._pump()
        return cancelled

    def uses(self, file: str) -> bool:
        """Whether a batch that is not final reads this file."""
        return any(run.batch.input_file == file for run in self._runs.values())
