"""The end of texts: question and answer of old prompts go, rows and numbers stay. In small pieces beside the walk."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct, field

from promptd.core.model import Usage
from promptd.stores.sqlite.rows import Row, encode, load_queries
from promptd.stores.sqlite.writer import Writer

_Q = load_queries("queries.sql")
_AT_ONCE = 20  #: rows per piece of work: each holds the loop


class _Asked(Struct, omit_defaults=True):
    """What stays of a request: nothing of it is text of the prompt."""

    metadata: dict[str, Any] = field(default_factory=dict)
    echo: dict[str, Any] = field(default_factory=dict)


class _Answered(Struct, omit_defaults=True):
    """What stays of an answer."""

    message_id: str
    finish_reason: str = "stop"
    usage: Usage = Usage()


_asked = msgspec.json.Decoder(_Asked).decode
_answered = msgspec.json.Decoder(_Answered).decode


async def forget(writer: Writer, age: float | None, keys: Mapping[str, float], *, now: float) -> int:
    """The verb of the port."""
    total = 0
    for key, oldest in await writer.submit(lambda db: db.execute(_Q["oldest_content"]).fetchall()):
        keep = keys.get(key, age)
        if keep is None or oldest >= now - keep:
            continue
        while gone := await writer.submit(
            lambda db, key=key, before=now - keep: _piece(db, key, before)  # type: ignore[misc]
        ):
            total += gone
    return total


def _piece(db: sqlite3.Connection, key: str, before: float) -> int:
    rows = db.execute(_Q["old_content"], (key, before, _AT_ONCE)).fetchall()
    db.executemany(_Q["forget_content"], [_bare(row) for row in rows])
    return len(rows)


def _bare(row: Row) -> Row:
    no, request, answer = row
    try:
        return encode(_asked(request)), encode(_answered(answer)) if answer else None, no
    except msgspec.MsgspecError:  # what can't be read is text all the same
        return b"{}", None, no
