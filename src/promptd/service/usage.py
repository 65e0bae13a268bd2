"""What was used, and how good it was found: reports for those who may see them, scores from those who read the answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

from msgspec.structs import replace

from promptd.core import identity
from promptd.core.errors import Conflict, Forbidden, NotFound
from promptd.core.lifecycle import Status
from promptd.core.model import Caller, Prompt, Score, Thread
from promptd.core.ports import Ledger, Records
from promptd.core.usage import Dimension, Report, UsageQuery
from promptd.service.clock import Clock


class UsageReports:
    """Reports over the ledger, and the scores in them."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        records: Records,
        clock: Clock,
        flush: Callable[[], Awaitable[None]],
        unwritten: Mapping[str, Prompt] = MappingProxyType({}),
    ) -> None:
        """`unwritten` holds attached prompts that are not on disk yet; `flush` waits until those that ended are."""
        self._ledger, self._records, self._clock = ledger, records, clock
        self._flush, self._unwritten = flush, unwritten

    async def report(self, caller: Caller, query: UsageQuery) -> Report:
        """What the caller itself used, by all its keys; what everybody used for admins. Raises `Forbidden`."""
        identity.require(caller, identity.PROMPT_VIEW)
        if not caller.admin:
            if query.only.get(Dimension.USER, caller.user) != caller.user:
                raise Forbidden("only an admin may see what others used")
            query = replace(query, only={**query.only, Dimension.USER: caller.user})
        return await self._ledger.report(query)

    async def score(self, caller: Caller, identifier: str, *, value: float, name: str, comment: str) -> Prompt:
        """Store what the caller thinks of an answer (0 … 1), in place of what it thought before under this name.

        For the author, and members of the thread: whoever may read it. Raises `NotFound`, `Forbidden`, and `Conflict`
        where there is no answer.
        """
        identity.require(caller, identity.PROMPT_EDIT)
        prompt = self._unwritten.get(identifier) or await self._records.get(Prompt, identifier)
        members = await self._members(prompt) if prompt is not None else ()
        if prompt is None or not identity.may_see(caller, prompt, members):
            raise NotFound(f"no prompt {identifier[:200]}")
        if not identity.may_read(caller, prompt, members):
            raise Forbidden("only the author and members of the thread may score this answer")
        if prompt.status is not Status.COMPLETED:
            raise Conflict(f"the prompt is {prompt.status}; only an answer can be scored")
        score = Score(user=caller.user, value=value, created=self._clock(), name=name, comment=comment)
        try:
            return await self._ledger.score(prompt.id, score)
        except NotFound:  # it ended just now, and its row follows
            await self._flush()
            return await self._ledger.score(prompt.id, score)

    async def _members(self, prompt: Prompt) -> tuple[str, ...]:
        thread = await self._records.get(Thread, prompt.thread) if prompt.thread is not None else None
        return thread.members if thread is not None else ()
