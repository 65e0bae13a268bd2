"""Messages of threads: written with a prompt, with an answer, or by themselves."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from promptd.core.errors import Conflict
from promptd.core.model import Message
from promptd.stores.sqlite.rows import from_message, load_queries

_Q = load_queries("queries.sql")


def put_messages(db: sqlite3.Connection, messages: Sequence[Message], prompt_no: int, now: float) -> None:
    """Store messages of one prompt (0: of none) and move their threads' time on to `now`.

    Raises `Conflict` where an id is already a message of another thread, writer or role.
    """
    written = db.executemany(_Q["insert_message"], [from_message(message, prompt_no) for message in messages]).rowcount
    if written < len(messages):
        raise Conflict("a message with this id exists already")
    db.executemany(_Q["touch_thread"], [(now, thread) for thread in {message.thread for message in messages}])
