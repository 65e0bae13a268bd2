"""What prompts of templates need while they run: a query's settings before, and the promised form after.

A model that missed the form is shown its error and asked once more, by a child prompt; whoever follows the stream is
told that the answer begins anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final

from msgspec.structs import replace

from promptd.core.calls import Call
from promptd.core.chunks import voided
from promptd.core.descriptors import Checker
from promptd.core.errors import (
    Cancelled,
    ConfigUnusable,
    ExecutionFailed,
    HandlerUnavailable,
    InvalidOutput,
    NotFound,
    OutputTruncated,
    PromptExecutionError,
    Refusal,
)
from promptd.core.extraction import extract, repair_messages
from promptd.core.model import Answer, Caller, Chunk, Mode, Output, Request, Submission
from promptd.core.prompt_files import PromptFile
from promptd.service.attached import Attached
from promptd.service.callers import Callers
from promptd.service.queries import Queries, Query
from promptd.service.runs import Run
from promptd.service.templates import Templates
from promptd.service.uploads import Uploads
from promptd.service.worker import Worker

_LARGE: Final = 65_536  # characters; larger answers are read in a thread


class Fulfilment:
    """Steps of execution, given to it by the composition root. `max_bytes` of a file that an engine makes."""

    def __init__(
        self,
        *,
        templates: Templates,
        queries: Queries,
        uploads: Uploads,
        callers: Callers,
        worker: Worker,
        attached: Attached,
        max_bytes: Callable[[], int],
    ) -> None:
        self._templates, self._queries, self._uploads = templates, queries, uploads
        self._callers, self._worker, self._attached, self._max_bytes = callers, worker, attached, max_bytes

    async def equip(self, run: Run, call: Call[Any, Any]) -> Call[Any, Any]:
        """The call of a query with its settings, values and files."""
        request = run.prompt.request
        if request.template is None:  # the service's own question to an engine, such as a conversation's to an API
            return replace(call, value=request.value or {})
        query = await self._query(run)
        return replace(
            call,
            query=query.settings,
            value=request.value or {},
            files=await self._queries.files(request.inputs),
            locale=request.template.locale if request.template is not None else "en",
        )

    async def __call__(self, run: Run, call: Call[Any, Any], answer: Answer) -> tuple[Answer, Sequence[Chunk]]:
        """The answer with its value read, and what readers are told beside. Raises `InvalidOutput`."""
        request = run.prompt.request
        if request.value is not None and request.template is None:
            return answer, ()
        if request.value is not None:
            return await self._output(run, await self._query(run), answer, answer.value), ()
        output = request.output or Output()
        told: Sequence[Chunk] = ()
        try:
            found = await _read(answer, output)
        except InvalidOutput as error:
            if isinstance(error, OutputTruncated) or output.repair <= 0:
                _final(error)
                raise
            answer, told = await self._repaired(run, call, answer, output, error)
        else:
            answer = replace(answer, value=found.value, warnings=(*answer.warnings, *found.warnings))
        if request.connection is not None and request.template is not None:
            query = await self._query(run)
            value = answer.text if output.kind == "text" else answer.value
            if output.name or not isinstance(value, dict):
                value = {output.name or _single(query): value}
            answer = await self._output(run, query, answer, value)
        return answer, told

    # ---------------------------------------------------------------- queries

    async def _query(self, run: Run) -> Query:
        request = run.prompt.request
        use = request.template
        if use is None:
            raise HandlerUnavailable("the prompt does not say which template it was made from")
        try:
            version = await self._templates.version(use.template, use.number)
        except NotFound:
            version = None
        # another template may have come to the name since
        if version is None or version.created > run.prompt.created or version.draft.connection != request.connection:
            raise ConfigUnusable("the template that the prompt was made from is not there any more")
        return await self._queries.open(version.draft, use.locale)

    async def _output(self, run: Run, query: Query, answer: Answer, value: Any) -> Answer:
        """The answer of a query, checked against what it declares; its files are stored."""
        files: Any = run.end.outputs if run.end is not None else None
        found = await asyncio.to_thread(
            Checker(query.outputs, "output").check, value if value is not None else {}, files
        )
        stored = await self._store(run.prompt.user, found.files)
        warnings = (*answer.warnings, *(run.end.warnings if run.end is not None else ()), *found.warnings)
        return replace(answer, value=found.value, outputs=stored, warnings=tuple(dict.fromkeys(warnings)))

    async def _store(self, user: str, files: Mapping[str, tuple[PromptFile, ...]]) -> dict[str, tuple[str, ...]]:
        stored: dict[str, tuple[str, ...]] = {}
        for name, found in files.items():
            saved = [
                await self._uploads.save(user, file.filename, file.media_type, _pieces(file), self._max_bytes())
                for file in found
            ]
            stored[name] = tuple(upload.id for upload in saved)
        return stored

    # ---------------------------------------------------------------- repair

    async def _repaired(
        self, run: Run, call: Call[Any, Any], answer: Answer, output: Output, error: InvalidOutput
    ) -> tuple[Answer, Sequence[Chunk]]:
        """The answer of a child prompt that was shown `error`. Raises that of the last round."""
        caller = await self._caller(run)
        if caller is None:
            raise error
        self._worker.step_aside(run)
        prompt = run.prompt
        last, text = error, answer.text
        for _ in range(output.repair):
            request = Request(
                messages=repair_messages(call.messages, text, last),
                parameters=prompt.request.parameters,
                template=prompt.request.template,
                output=replace(output, repair=0),
                unchecked=True,
                connection=prompt.request.connection,
            )
            submission = Submission(
                caller=caller,
                request=request,
                model=None if prompt.model == prompt.request.connection else prompt.model,
                mode=Mode.ATTACHED,
                parent=prompt.id,
                counted=prompt.counted,
                keep=True if prompt.mode is Mode.QUEUED else None,
                priority=prompt.priority,
                deadline=prompt.deadline,
            )
            try:
                async with self._attached.open(submission) as visit:
                    pieces, done = await visit.whole()
            except InvalidOutput as again:
                last = again
                continue
            except (Refusal, PromptExecutionError) as failed:
                if run.stopped is not None:  # this one ends, and not for its form
                    raise asyncio.CancelledError from failed
                # whoever cancels the child wants no other answer; another start of the parent would bring one
                raise (_final(last) if isinstance(failed, Cancelled) else last) from failed
            text = "".join(piece.text for piece in pieces)
            return self._anew(run, answer, text, done)
        raise _final(last)

    def _anew(self, run: Run, answer: Answer, text: str, done: Chunk) -> tuple[Answer, Sequence[Chunk]]:
        empty = voided(run.chunks, run.prompt.runs)
        piece = Chunk("progress", text=text, attempt=run.prompt.runs, n=len(empty) + 1)
        run.chunks = [*empty, piece]
        warnings = (*done.warnings, "the first answer missed its form and was repaired")
        repaired = replace(
            answer,
            text=text,
            value=done.value,
            tool_calls=(),
            thinking=(),
            logprobs=None,
            finish_reason=done.finish_reason or "stop",
            warnings=warnings,
        )
        return repaired, (empty[-1], piece)

    async def _caller(self, run: Run) -> Caller | None:
        """Whose prompt it is, with what they may do now."""
        if run.caller is not None:
            return run.caller
        prompt = run.prompt
        return await self._callers.renew(Caller(prompt.user, prompt.key, prompt.team))


def _final(error: InvalidOutput) -> InvalidOutput:
    """Not to be tried again: a model that misses a form is repaired or not, the backoff is for passing faults."""
    error.retryable = False  # type: ignore[misc] # of this one, not of its class
    return error


def _single(query: Query) -> str:
    """The name of a query's only output. Raises `ExecutionFailed` where there are others."""
    names = [param.name for param in query.outputs if param.kind != "file"]
    if len(names) != 1:
        raise ExecutionFailed("the engine composed a question with one answer, but declares other outputs")
    return names[0]


async def _read(answer: Answer, output: Output) -> Any:
    if len(answer.text) > _LARGE:
        return await asyncio.to_thread(
            extract, answer.text, output.kind, output.schema, finish_reason=answer.finish_reason
        )
    return extract(answer.text, output.kind, output.schema, finish_reason=answer.finish_reason)


async def _pieces(file: PromptFile) -> AsyncIterator[bytes]:
    """The bytes of a file that an engine made; reading them is the engine's code too."""
    pieces = file.chunks()
    while True:
        try:
            piece = await asyncio.to_thread(next, pieces, b"")
        except Exception as error:  # whatever an author's `open` raises
            raise InvalidOutput(f"the file {file.filename!r} can't be read", detail=repr(error)) from None
        if not piece:
            return
        yield piece
