"""Conversations: their members, and the notes that members write beside prompts.

Only members read and write; being an admin does not open a conversation, but an admin may delete one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from promptd.core.errors import Forbidden, InvalidRequest, NotFound, PayloadTooLarge
from promptd.core.filters import Filter, Order, Page, Query
from promptd.core.model import Caller, Message, Thread
from promptd.core.ports import Records
from promptd.core.texts import check_depth
from promptd.service.checks import check_id
from promptd.service.clock import Clock, Ids
from promptd.service.events import Event, Events

_ID = 128
_TITLE = 1000
_TEXT = 1_000_000
_LABELS = 64 * 1024  # bytes of JSON
_LABEL = 1024  # characters that a label is taken for
_PAGE = 100  # messages per look; each may be long
_MOST = 1000  # members, topics, files of a message


class Membership:
    """Whether a reader is a member of a thread while it reads: looked up again when threads have changed meanwhile."""

    def __init__(self, threads: Threads, caller: Caller, thread: str) -> None:
        self._threads, self._caller, self._thread = threads, caller, thread
        self._looked_at, self._holds = ("", -1), False

    async def holds(self, prompt: str) -> bool:
        """`prompt` is the one that is read: a thread that was not there may have begun with it."""
        now = prompt, self._threads.changes
        if now != self._looked_at:
            self._looked_at, self._holds = now, await self._threads.is_member(self._caller, self._thread) is True
        return self._holds


class Threads:
    """Verbs of conversations. Raises `NotFound` where there is none, `Forbidden` where it is somebody else's."""

    def __init__(self, *, records: Records, events: Events, clock: Clock, ids: Ids) -> None:
        self.most_characters = 64 * 1024 * 1024  #: of all messages in one answer
        self._records, self._events, self._clock, self._ids = records, events, clock, ids
        self.changes = 0  #: how often a thread was saved or deleted

    async def save(
        self,
        caller: Caller,
        identifier: str | None,
        *,
        title: str | None = None,
        topics: Sequence[str] | None = None,
        members: Sequence[str] | None = None,
    ) -> Thread:
        """Create a thread with the caller as a member, or change what is given of one the caller is a member of."""
        _check_thread(identifier, title, topics, members)
        now = self._clock()
        known = await self._records.get(Thread, identifier) if identifier else None
        if known is None:
            others = tuple(dict.fromkeys(members or ()))
            thread = Thread(
                id=identifier or self._ids.make("thr"),
                user=caller.user,
                members=others if caller.user in others else (*others, caller.user),
                created=now,
                updated=now,
                title=title or "New chat",
                topics=tuple(topics or ()),
            )
        else:
            _require_member(caller, known)
            thread = replace(
                known,
                title=known.title if title is None else title,
                topics=known.topics if topics is None else tuple(topics),
                members=known.members if members is None else _with(tuple(dict.fromkeys(members)), known.user),
                updated=now,
                version=known.version + 1,
            )
        await self._records.put(thread)
        self.changes += 1
        self._events.tell(Event("thread_added" if known is None else "thread_updated", thread=thread.id))
        return thread

    async def get(self, caller: Caller, identifier: str) -> Thread:
        thread = await self._found(identifier)
        _require_member(caller, thread)
        return thread

    async def is_member(self, caller: Caller, identifier: str) -> bool | None:
        """Whether the caller is a member of the thread; None where there is no such thread."""
        found = await self._records.get(Thread, identifier)
        return None if found is None else caller.user in found.members

    def membership(self, caller: Caller, identifier: str) -> Membership:
        """For who reads on and on, and may be sent away, or find the thread deleted and another one in its place."""
        return Membership(self, caller, identifier)

    async def find(self, caller: Caller, ids: Sequence[str] = ()) -> tuple[Thread, ...]:
        """The caller's threads, newest first; of `ids`, where some are given."""
        _check_ids(ids)
        filters = (Filter("member", "eq", caller.user), *((Filter("id", "in", tuple(ids)),) if ids else ()))
        found: list[Thread] = []
        after: str | None = None
        while True:
            query = Query(filters=filters, order=(Order("created", True),), limit=_MOST, after=after)
            page: Page[Thread] = await self._records.find(Thread, query)
            found.extend(page.items)
            after = page.after
            if after is None:
                return tuple(found)

    async def delete(self, caller: Caller, identifier: str) -> None:
        """Its messages go too, and its prompts belong to no thread any more: who takes its id does not take them.

        Raises `Conflict` while a prompt of it is not final.
        """
        thread = await self._found(identifier)
        if not caller.admin:
            _require_member(caller, thread)
        await self._records.delete(Thread, identifier)
        self.changes += 1
        self._events.tell(Event("thread_updated", thread=identifier))

    # ---------------------------------------------------------------- messages

    async def write(
        self,
        caller: Caller,
        thread: str,
        *,
        identifier: str | None = None,
        text: str = "",
        files: Sequence[str] = (),
        labels: dict[str, Any] | None = None,
    ) -> Message:
        """A note of the caller's, or the same one written anew. Raises `Conflict` where the id is somebody else's."""
        _check_message(identifier, text, files, labels or {})
        await self.get(caller, thread)
        now = self._clock()
        known = await self._records.get(Message, identifier) if identifier else None
        message = Message(
            id=identifier or self._ids.make("msg"),
            thread=thread,
            prompt="",
            role="user",
            created=known.created if known is not None else now,
            updated=now,
            text=text,
            files=tuple(files),
            labels=labels or {},
            user=caller.user,
        )
        await self._records.put(message)
        self._events.tell(Event("message_added", thread=thread))
        return message

    async def messages(self, caller: Caller, thread: str | None = None, ids: Sequence[str] = ()) -> tuple[Message, ...]:
        """Messages of a thread, or of all the caller's, oldest first; those of `ids`, where some are given."""
        _check_ids(ids)
        if thread is not None:
            await self.get(caller, thread)
            filters = [Filter("thread", "eq", thread), *([Filter("id", "in", tuple(ids))] if ids else [])]
            return await self._all(tuple(filters))
        if not ids:
            return await self._all_of([mine.id for mine in await self.find(caller)])
        found = await self._all((Filter("id", "in", tuple(ids)),))
        mine: dict[str, bool] = {}
        for name in {message.thread for message in found}:
            of = await self._records.get(Thread, name)
            mine[name] = of is not None and caller.user in of.members
        return tuple(message for message in found if mine[message.thread])

    async def message(self, caller: Caller, identifier: str) -> Message | None:
        """A message, where there is one and the caller is a member of its thread."""
        found = await self.messages(caller, ids=(identifier,))
        return found[0] if found else None

    async def erase(self, caller: Caller, identifier: str) -> None:
        """Delete a message: a member its own ones and answers, an admin any."""
        message = await self._records.get(Message, identifier)
        if message is None:
            raise NotFound(f"no message {identifier[:200]}")
        if not caller.admin:
            await self.get(caller, message.thread)
            if message.user not in (None, caller.user):
                raise Forbidden("only its writer or an admin may delete a message")
        await self._records.delete(Message, identifier)

    async def _all_of(self, threads: Sequence[str]) -> tuple[Message, ...]:
        found: list[Message] = []
        for start in range(0, len(threads), _MOST):
            found += await self._all((Filter("thread", "in", tuple(threads[start : start + _MOST])),))
        return tuple(sorted(found, key=lambda message: (message.created, message.no)))

    async def _all(self, filters: tuple[Filter, ...]) -> tuple[Message, ...]:
        found: list[Message] = []
        after: str | None = None
        size = 0
        while True:
            query = Query(filters=filters, order=(Order("created"), Order("no")), limit=_PAGE, after=after)
            page: Page[Message] = await self._records.find(Message, query)
            found.extend(page.items)
            size += sum(len(message.text) + len(message.labels) * _LABEL for message in page.items)
            if size > self.most_characters:
                raise PayloadTooLarge(
                    f"more than {self.most_characters} characters of messages; ask for some by their ids"
                )
            after = page.after
            if after is None:
                return tuple(found)

    async def _found(self, identifier: str) -> Thread:
        thread = await self._records.get(Thread, identifier)
        if thread is None:
            raise NotFound(f"no thread {identifier[:200]}")
        return thread


def _check_ids(ids: Sequence[str]) -> None:
    if len(ids) > _MOST:
        raise InvalidRequest(field="ids", expected=f"at most {_MOST}")


def _require_member(caller: Caller, thread: Thread) -> None:
    if caller.user not in thread.members:
        raise Forbidden("the thread is somebody else's")


def _with(members: tuple[str, ...], owner: str) -> tuple[str, ...]:
    """A thread keeps its owner."""
    return members if owner in members else (*members, owner)


def _check_thread(
    identifier: str | None, title: str | None, topics: Sequence[str] | None, members: Sequence[str] | None
) -> None:
    if identifier is not None:
        check_id(identifier, "id")
    if title is not None and len(title) > _TITLE:
        raise InvalidRequest(field="title", expected=f"at most {_TITLE} characters")
    for name, values in (("topics", topics), ("members", members)):
        if values is not None and (len(values) > _MOST or any(not 1 <= len(value) <= _ID for value in values)):
            raise InvalidRequest(field=name, expected=f"at most {_MOST} ids of 1 to {_ID} characters")


def _check_message(identifier: str | None, text: str, files: Sequence[str], labels: dict[str, Any]) -> None:
    if identifier is not None:
        check_id(identifier, "id")
    if len(text) > _TEXT:
        raise InvalidRequest(field="text", expected=f"at most {_TEXT} characters")
    if len(files) > _MOST:
        raise InvalidRequest(field="files", expected=f"at most {_MOST} files")
    for index, file in enumerate(files):
        if len(file) > _ID:
            raise InvalidRequest(field=f"files[{index}]", expected=f"at most {_ID} characters")
    check_depth(labels, "labels")
    if len(msgspec.json.encode(labels)) > _LABELS:
        raise InvalidRequest(field="labels", expected=f"at most {_LABELS} bytes of JSON")
