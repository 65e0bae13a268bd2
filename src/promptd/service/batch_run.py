"""One batch from its file to its files.

What is stored of it and the files beside the store are made safe together about once a second: which lines are done, and
how many bytes of the files are good. Whatever happens, the next run begins there. A store that fails is such a beginning.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from promptd.core.batches import MOST_ERRORS, MOST_LINES, Batch, BatchError, BatchStatus, Lines, Overlong, moved
from promptd.core.errors import InvalidRequest, NotFound, StaleVersion, StoreUnavailable
from promptd.core.files import Upload, make_upload_id
from promptd.core.model import Usage
from promptd.core.routing import add
from promptd.dialects.batch_lines import BadLine, Line, read_line
from promptd.service.batch_tools import Tools, beginning_of, lines_of, spools
from promptd.service.batch_work import Stop, Work
from promptd.service.partial import Part

_log = logging.getLogger(__name__)
_GONE: Final = BatchError("input_file_not_found", "The input file is gone.", "input_file_id")


class BatchRun:
    """`batch` is what callers see: it may be ahead of what is stored, never behind."""

    def __init__(self, batch: Batch, tools: Tools, *, again: bool) -> None:
        """`again`: an earlier run may have got somewhere."""
        self.batch, self._tools, self._again = batch, tools, again
        self._door = asyncio.Lock()
        self._stop = Stop()
        if batch.status is BatchStatus.CANCELLING:
            self._stop.give("cancelled")
        self._lines = Lines(b"", 0)
        self._output: Part | None = None
        self._errors: Part | None = None
        self._dirty = False

    async def drive(self) -> None:
        """Until the batch is final."""
        while not self.batch.status.final:
            failed = True
            try:
                await self._advance()
                failed = False
            except* StoreUnavailable as group:
                said = "; ".join(str(error) for error in group.exceptions)
                _log.warning("%s waits for the store: %s", self.batch.id, said, extra={"action": "store_failed"})
            except* Exception as group:  # a fault of ours must not leave a batch that never ends
                _log.error("%s broke", self.batch.id, exc_info=group, extra={"action": "batch_failed"})
                with suppress(StoreUnavailable):
                    await self._fail(BatchError("server_error", "The batch could not be carried out."))
            self._again = True
            if failed and not self.batch.status.final:
                await asyncio.sleep(self._tools.rules.pause_seconds)

    async def cancel(self) -> Batch:
        """Begin to stop. Raises `Conflict` where it is over, or as good as over; `StoreUnavailable`."""
        async with self._door:
            if self.batch.status is not BatchStatus.CANCELLING:
                await self._save(moved(self.batch, BatchStatus.CANCELLING, self._tools.clock()))
        self._stop.give("cancelled")
        return self.batch

    def look(self) -> bool:
        """Whether it has to stop; its time may be up."""
        if self._tools.clock() >= self.batch.expires:
            self._stop.give("expired")
        return bool(self._stop)

    # ---------------------------------------------------------------- from status to status

    async def _advance(self) -> None:
        if self._again:
            stored = await self._tools.records.get(Batch, self.batch.id)
            if stored is not None:
                self.batch = stored
                if stored.status is BatchStatus.CANCELLING:
                    self._stop.give("cancelled")
        if self.batch.status is BatchStatus.VALIDATING:
            await self._validate()
        if self.batch.status in (BatchStatus.IN_PROGRESS, BatchStatus.CANCELLING):
            await self._carry_out()
        if self.batch.status is BatchStatus.FINALIZING:
            await self._keep_files()

    async def _move(self, batch: Batch, status: BatchStatus) -> None:
        async with self._door:
            await self._save(moved(batch, status, self._tools.clock()))

    async def _fail(self, *errors: BatchError) -> None:
        await self._move(replace(self.batch, errors=errors), BatchStatus.FAILED)
        self._remove_spools()

    async def _save(self, batch: Batch) -> None:
        """Make the files safe and store what is done of them. The door is the caller's."""
        if self._output is not None and self._errors is not None:
            sizes = [await _safe(part) for part in (self._output, self._errors)]
            done = b"" if batch.status.final else self._lines.dump()
            batch = replace(batch, done=done, output_bytes=sizes[0], error_bytes=sizes[1])
        batch = replace(batch, version=self.batch.version + 1)
        try:
            await self._tools.records.put(batch)
        except StaleVersion as error:  # the store failed, and had written it all the same
            raise StoreUnavailable("the batch is not as it was stored") from error
        self.batch, self._dirty = batch, False

    # ---------------------------------------------------------------- validate

    async def _validate(self) -> None:
        """Look at every line before any is run: what is wrong with a file as a whole is told at once."""
        errors: list[BatchError] = []
        seen: set[int] = set()
        model = ""
        try:
            async with aclosing(lines_of(self._tools, self.batch.input_file)) as lines:
                async for number, raw in lines:
                    if self.look():
                        break
                    if len(seen) >= MOST_LINES:
                        errors = [BatchError("too_many_requests", f"The file has more than {MOST_LINES} requests.")]
                        break
                    try:
                        line = read_line(raw, number, self.batch.endpoint)
                        self._check(line, number, seen)
                        model = model or line.model
                    except BadLine as bad:
                        errors.append(bad.error)
                        if len(errors) >= MOST_ERRORS:
                            break
        except Overlong as overlong:
            most = self._tools.rules.max_line_bytes
            errors.append(BatchError("request_too_large", f"A line has more than {most} bytes.", line=overlong.line))
        except NotFound:
            errors.append(_GONE)
        if self._stop:
            await self._end()
        elif errors:
            await self._fail(*errors)
        elif not seen:
            await self._fail(BatchError("empty_file", "The input file holds no request.", "input_file_id"))
        else:
            async with self._door:
                if self.batch.status is BatchStatus.VALIDATING:
                    begun = replace(self.batch, model=model, total=len(seen))
                    await self._save(moved(begun, BatchStatus.IN_PROGRESS, self._tools.clock()))

    def _check(self, line: Line, number: int, seen: set[int]) -> None:
        """Raises `BadLine`."""
        digest = hash(line.custom_id)
        if digest in seen:
            message = f"The custom_id {line.custom_id[:200]!r} is used twice; it must be unique in the file."
            raise BadLine(BatchError("duplicate_custom_id", message, "custom_id", number))
        try:
            self._tools.resolve(line.model)
        except InvalidRequest as error:
            raise BadLine(BatchError("model_not_found", error.message, "body.model", number)) from None
        seen.add(digest)

    # ---------------------------------------------------------------- carry out

    async def _carry_out(self) -> None:
        batch = self.batch
        if not batch.total:  # cancelled before it began
            await self._end()
            return
        self._lines = Lines(batch.done, batch.total)
        output, errors = spools(self._tools.folder, batch.id)
        self._output, self._errors = Part(output, batch.output_bytes), Part(errors, batch.error_bytes)
        work = Work(batch, self._lines, self._tools, self._stop, self._note, again=self._again)
        gone = False
        try:
            try:
                async with asyncio.TaskGroup() as group:
                    chore = group.create_task(self._keep_safe(work))
                    await work.run()
                    chore.cancel()
            except* NotFound:
                gone = True
            if not gone:
                await self._end()
        finally:
            await self._output.close()
            await self._errors.close()
            self._output = self._errors = None
        if gone:
            await self._fail(_GONE)

    async def _keep_safe(self, work: Work) -> None:
        """What is done is safe soon; what has to stop, stops."""
        seconds = self._tools.rules.safe_seconds
        while True:
            if self.look():
                await work.recall()
            if self._dirty:
                async with self._door:
                    await self._save(self.batch)
            if self._stop:
                await asyncio.sleep(seconds)
            else:
                await self._stop.wait(seconds)

    async def _note(self, place: int, line: bytes, *, failed: bool, used: Usage) -> None:
        async with self._door:
            part = self._errors if failed else self._output
            if part is None:
                raise StoreUnavailable("a line ended behind its batch")
            await part.add(line)
            self._lines.add(place)
            self._dirty = True
            batch = self.batch
            self.batch = replace(
                batch,
                completed=batch.completed + (not failed),
                failed=batch.failed + failed,
                usage=add(batch.usage, used),
            )

    # ---------------------------------------------------------------- end

    async def _end(self) -> None:
        """Every line has its outcome. The ids of the files are chosen here, so that a second try makes no second file."""
        endings = {None: BatchStatus.COMPLETED, "cancelled": BatchStatus.CANCELLED, "expired": BatchStatus.EXPIRED}
        async with self._door:
            batch = replace(self.batch, ending=endings[self._stop.why])
            if self._output is not None and self._output.received:
                batch = replace(batch, output_file=make_upload_id(self._tools.ids.secret()))
            if self._errors is not None and self._errors.received:
                batch = replace(batch, error_file=make_upload_id(self._tools.ids.secret()))
            await self._save(moved(batch, BatchStatus.FINALIZING, self._tools.clock()))

    async def _keep_files(self) -> None:
        batch = self.batch
        output, errors = spools(self._tools.folder, batch.id)
        await self._keep_file(batch.output_file, output, batch.output_bytes, f"{batch.id}_output.jsonl")
        await self._keep_file(batch.error_file, errors, batch.error_bytes, f"{batch.id}_error.jsonl")
        await self._move(self.batch, batch.ending or BatchStatus.COMPLETED)
        self._remove_spools()

    async def _keep_file(self, identifier: str, path: Path, size: int, name: str) -> None:
        if not identifier or await self._tools.records.get(Upload, identifier) is not None:
            return
        batch, now = self.batch, self._tools.clock()

        async def record(digest: str) -> None:
            upload = Upload(
                id=identifier,
                name=name,
                media_type="application/jsonl",
                size=size,
                digest=digest,
                user=batch.user,
                created=now,
                updated=now,
                purpose="batch_output",
                expires=now + batch.keep_seconds if batch.keep_seconds is not None else None,
            )
            await self._tools.records.put(upload)

        await self._tools.contents.keep(beginning_of(path, size), record)

    def _remove_spools(self) -> None:
        for path in spools(self._tools.folder, self.batch.id):
            path.unlink(missing_ok=True)


async def _safe(part: Part) -> int:
    """Bytes of it that a power cut can't take, now that they can't. Raises `StoreUnavailable`."""
    if part.received != part.safe:
        await part.sync()
    return part.safe
