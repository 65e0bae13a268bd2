"""Threads beside their prompts: who may begin or go on in one, and what is left when one goes."""

from __future__ import annotations

import sqlite3

from promptd.core.errors import Conflict, Forbidden, NotFound
from promptd.core.model import Prompt, Thread
from promptd.stores.sqlite.rows import from_thread, load_queries, to_thread

_Q = load_queries("queries.sql")


def join_thread(db: sqlite3.Connection, thread: Thread, prompt: Prompt) -> None:
    """Create the thread of a prompt, unless it is there.

    Raises `Forbidden` where the author is no member of the one that is there, and `Conflict` where that has the prompt's
    own id and is not the author's: somebody who guesses an id and invites its author must not get the question.
    """
    if db.execute(_Q["insert_thread"], from_thread(thread)).rowcount:
        return
    known = to_thread(db.execute(_Q["thread_by_id"], (thread.id,)).fetchone())
    if prompt.user not in known.members:
        raise Forbidden(f"the thread {thread.id} is somebody else's")
    if thread.id == prompt.id and prompt.user != known.user:
        raise Conflict(f"the id {prompt.id} is that of somebody else's thread")


def rejoin_thread(db: sqlite3.Connection, prompt: Prompt, now: float) -> None:
    """A prompt is to run again: like `join_thread`, for the thread that it was in before, if any."""
    if prompt.thread is not None:
        user = prompt.user
        join_thread(db, Thread(id=prompt.thread, user=user, members=(user,), created=now, updated=now), prompt)


def require_thread(db: sqlite3.Connection, identifier: str) -> None:
    """Raises `NotFound` where the thread is gone since its writer looked."""
    if db.execute(_Q["thread_by_id"], (identifier,)).fetchone() is None:
        raise NotFound(f"no thread {identifier}")


def empty_thread(db: sqlite3.Connection, identifier: str) -> None:
    """Nothing stays that names the thread, so that whoever takes its id later gets nothing of it.

    Raises `Conflict` where a prompt of it is not final.
    """
    if db.execute(_Q["thread_is_busy"], (identifier,)).fetchone() is not None:
        raise Conflict("a prompt of this thread is not final; cancel it first")
    db.execute(_Q["delete_thread_messages"], (identifier,))
    db.execute(_Q["leave_thread"], (identifier,))
