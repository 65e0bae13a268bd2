"""What callers do with prompts that exist: look up, list, cancel, retry, delete, and who may."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType

from msgspec.structs import replace

from promptd.core import identity
from promptd.core.errors import Conflict, Forbidden, InvalidRequest, NotFound
from promptd.core.filters import Filter, Page, Query
from promptd.core.lifecycle import WAITING, Move, target
from promptd.core.model import Attempt, Caller, Message, Mode, Prompt, Request, Thread
from promptd.core.ports import Queue, Records, Retention
from promptd.service.clock import Clock
from promptd.service.events import Event, Events
from promptd.service.execution import Execution
from promptd.service.intake import Intake
from promptd.service.worker import Worker


def hide_text(prompt: Prompt) -> Prompt:
    """The prompt as somebody sees it who may not read it: no question, no answer, usage stays."""
    answer = prompt.answer and replace(prompt.answer, text="", tool_calls=(), value=None, files=())
    request = Request(metadata=prompt.request.metadata, echo=prompt.request.echo)
    return replace(prompt, request=request, answer=answer, trace=b"")


class Prompts:
    """Every verb but submit and follow. Raises `NotFound` also for what the caller may not see."""

    def __init__(
        self,
        *,
        queue: Queue,
        records: Records,
        worker: Worker,
        execution: Execution,
        intake: Intake,
        events: Events,
        clock: Clock,
        unwritten: Mapping[str, Prompt] = MappingProxyType({}),
    ) -> None:
        """`unwritten` holds attached prompts that are not on disk yet; look-ups see them first."""
        self._unwritten = unwritten
        self._intake, self._events = intake, events
        self._queue, self._records = queue, records
        self._worker, self._execution, self._clock = worker, execution, clock

    async def get(self, caller: Caller, identifier: str) -> Prompt:
        identity.require(caller, identity.PROMPT_VIEW)
        prompt = await self._visible(caller, identifier)
        return prompt if await self._readable(caller, prompt) else hide_text(prompt)

    async def find(self, caller: Caller, query: Query) -> Page[Prompt]:
        """A page of what the caller may see: its own prompts; everybody's, without text, for admins."""
        identity.require(caller, identity.PROMPT_VIEW)
        if not caller.admin:
            query = replace(query, filters=(*query.filters, Filter("user", "eq", caller.user)))
        page = await self._records.find(Prompt, query)
        items = [prompt if identity.may_read(caller, prompt) else hide_text(prompt) for prompt in page.items]
        return Page(items=tuple(items), after=page.after, count=page.count)

    async def find_shared(self, caller: Caller, query: Query) -> Page[Prompt]:
        """Like `find`, over everybody's prompts where the caller's permissions reach that far."""
        if not caller.everyone:
            return await self.find(caller, query)
        identity.require(caller, identity.PROMPT_VIEW)
        page = await self._records.find(Prompt, query)
        items = [prompt if identity.may_read(caller, prompt) else hide_text(prompt) for prompt in page.items]
        return Page(items=tuple(items), after=page.after, count=page.count)

    async def attempts(self, caller: Caller, identifier: str) -> tuple[Attempt, ...]:
        """The ledger of a prompt, oldest attempt first."""
        identity.require(caller, identity.PROMPT_VIEW)
        prompt = await self._visible(caller, identifier)
        page = await self._records.find(
            Attempt, Query(filters=(Filter("prompt", "eq", prompt.no),), limit=1000, order=())
        )
        return tuple(sorted(page.items, key=lambda attempt: attempt.run))

    async def may_stream(self, caller: Caller, identifier: str) -> Prompt:
        """The prompt, if the caller may read its text as it comes."""
        identity.require(caller, identity.PROMPT_STREAM)
        prompt = await self._visible(caller, identifier)
        if not await self._readable(caller, prompt):
            raise Forbidden("only the author and members of the thread may read this stream")
        return prompt

    async def may_stream_thread(self, caller: Caller, identifier: str) -> Thread:
        """The thread, if the caller may read its prompts' text as it comes."""
        identity.require(caller, identity.PROMPT_STREAM)
        thread = await self.thread(caller, identifier)
        if caller.user not in thread.members:
            raise Forbidden("only members of the thread may read this stream")
        return thread

    async def cancel(self, caller: Caller, identifier: str) -> Prompt:
        """Stop a prompt, whatever it is doing. Raises `Conflict` where it is final already."""
        identity.require(caller, identity.PROMPT_EDIT)
        prompt = await self._owned(caller, identifier)
        return await self._shown(caller, await self._cancel(prompt))

    async def _cancel(self, prompt: Prompt) -> Prompt:
        run = self._worker.running(prompt.id) or self._worker.paused.get(prompt.id)
        if prompt.mode is Mode.ATTACHED and run is not None:
            run.stop("cancel")
            return prompt
        target(prompt.status, Move.CANCEL)  # the row may not be there yet, and the store would know of no prompt
        moved = await self._queue.cancel(prompt.id, now=self._clock())
        self._worker.canceled(moved.prompt, moved.was)
        self._execution.settling.announce_failure(moved.prompt)
        await self._worker.finished(moved.prompt)
        self._worker.poke_all()
        return moved.prompt

    async def retry(self, caller: Caller, identifier: str) -> Prompt:
        """Start an errored, abandoned or canceled prompt afresh; a new prompt as far as limits go.

        Raises `Conflict` where its status does not allow it, and what intake refuses.
        """
        identity.require(caller, identity.PROMPT_EDIT)
        prompt = await self._owned(caller, identifier)
        target(prompt.status, Move.RETRY)
        self._check_stored(prompt)
        await self._intake.readmit(caller, prompt)
        try:
            moved = await self._queue.retry(identifier, now=self._clock())
        except BaseException:
            await self._intake.take_back(prompt.id)
            raise
        if moved.was not in WAITING:
            self._worker.waiting += 1
        self._worker.poke(moved.prompt.lane)
        return await self._shown(caller, moved.prompt)

    async def delete(self, caller: Caller, identifier: str) -> None:
        """Remove a final prompt and its attempts; its thread's messages stay. Raises `Conflict` where it is not final."""
        identity.require(caller, identity.PROMPT_DELETE)
        prompt = await self._owned(caller, identifier)
        self._check_stored(prompt)
        await self._records.delete(Prompt, identifier)

    async def remove(self, caller: Caller, identifier: str) -> None:
        """Cancel a prompt that is not final, delete one that is. For its author, and for whoever may delete everyone's.

        Raises `NotFound`, `Forbidden`, `Conflict` where it has just ended and is not stored yet.
        """
        prompt = self._unwritten.get(identifier) or await self._records.get(Prompt, identifier)
        if prompt is None:
            raise NotFound(f"no prompt {identifier[:200]}")
        if caller.user != prompt.user and not (caller.everyone or caller.admin):
            raise Forbidden("only the author may remove this prompt")
        if caller.user != prompt.user:
            identity.require(caller, identity.PROMPT_DELETE)
        if not prompt.status.final:
            with suppress(Conflict):  # it became final just now: then it was too late to cancel it
                await self._cancel(prompt)
                self._events.tell(Event("prompt_removed", prompt=identifier))
                return
        self._check_stored(prompt)
        await self._records.delete(Prompt, identifier)
        self._events.tell(Event("prompt_removed", prompt=identifier))

    async def prune(self, caller: Caller, rules: Sequence[Retention], *, dry_run: bool) -> int:
        """Delete old final prompts, or count them. Admins only."""
        if not caller.admin:
            raise Forbidden("only an admin may prune")
        if not rules:
            raise InvalidRequest(field="rules", expected="at least one status with an age")
        return await self._queue.prune(rules, now=self._clock(), dry_run=dry_run)

    # ---------------------------------------------------------------- threads

    async def thread(self, caller: Caller, identifier: str) -> Thread:
        identity.require(caller, identity.PROMPT_VIEW)
        thread = await self._records.get(Thread, identifier)
        if thread is None or not (caller.admin or caller.user in thread.members):
            raise NotFound(f"no thread {identifier[:200]}")
        return thread if caller.user in thread.members else replace(thread, title="")

    async def messages(self, caller: Caller, identifier: str, query: Query) -> Page[Message]:
        """A thread's messages; admins who are no members don't read them."""
        thread = await self.thread(caller, identifier)
        if caller.user not in thread.members:
            raise Forbidden("only members of the thread may read its messages")
        return await self._records.find(
            Message, replace(query, filters=(*query.filters, Filter("thread", "eq", identifier)))
        )

    def _check_stored(self, prompt: Prompt) -> None:
        """Raise `Conflict` for an attached prompt whose row is still to be written: that would undo any change."""
        if prompt.id in self._unwritten:
            raise Conflict(f"the prompt is {prompt.status}; ask again in a moment, once it is stored")

    # ---------------------------------------------------------------- who may

    async def _visible(self, caller: Caller, identifier: str) -> Prompt:
        prompt = self._unwritten.get(identifier) or await self._records.get(Prompt, identifier)
        if prompt is not None and (
            identity.may_see(caller, prompt) or identity.may_see(caller, prompt, await self._members(prompt))
        ):
            return prompt
        raise NotFound(f"no prompt {identifier[:200]}")

    async def _owned(self, caller: Caller, identifier: str) -> Prompt:
        prompt = await self._visible(caller, identifier)
        if not caller.admin and caller.user != prompt.user:
            raise Forbidden("only the author may change this prompt")
        return prompt

    async def _readable(self, caller: Caller, prompt: Prompt) -> bool:
        return identity.may_read(caller, prompt) or identity.may_read(caller, prompt, await self._members(prompt))

    async def _shown(self, caller: Caller, prompt: Prompt) -> Prompt:
        return prompt if await self._readable(caller, prompt) else hide_text(prompt)

    async def _members(self, prompt: Prompt) -> tuple[str, ...]:
        thread = await self._records.get(Thread, prompt.thread) if prompt.thread is not None else None
        return thread.members if thread is not None else ()
