"""Look-ups and plain records on SQLite.

Point reads run on the loop with a connection of their own, searches in threads: those that an index answers at once (the
history of a thread, the attempts of a prompt) never wait behind long lists.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import msgspec
from msgspec import Struct

from promptd.core.errors import InvalidRequest, StaleVersion, StoreUnavailable
from promptd.core.filters import Filter, Order, Page, Query, check
from promptd.core.model import Attempt, Message, Prompt, Thread
from promptd.core.ports import Gone
from promptd.stores.sqlite import rows
from promptd.stores.sqlite.cursors import read_cursor, read_last, read_start, storable, write_cursor
from promptd.stores.sqlite.messages import put_messages
from promptd.stores.sqlite.pruning import delete_prompt
from promptd.stores.sqlite.readers import Readers, reader
from promptd.stores.sqlite.threads import empty_thread, require_thread
from promptd.stores.sqlite.writer import Writer

R = TypeVar("R")
_OPERATORS = {"eq": "=", "ne": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


class _Table(NamedTuple):
    """How a core struct lives in a table of its own."""

    name: str
    columns: str
    decode: Callable[[rows.Row], Any]
    key: str
    fields: dict[str, str]  #: field of the struct → column


_TABLES: dict[Any, _Table] = {
    Prompt: _Table(
        "prompt",
        rows.PROMPT_COLUMNS,
        rows.shown,
        "id",
        {
            "no": "no",
            "id": "id",
            "status": "status",
            "lane": "lane",
            "model": "model",
            "user": "user_id",
            "key": "key_id",
            "team": "team",
            "arm": "arm",
            "mode": "mode",
            "capability": "capability",
            "thread": "thread_id",
            "parent": "parent_id",
            "priority": "priority",
            "created": "created",
            "updated": "updated",
            "started": "started",
            "finished": "finished",
            "runs": "runs",
            "failures": "failures",
            "error": "error_code",
        },
    ),
    Attempt: _Table(
        "attempt",
        rows.ATTEMPT_COLUMNS,
        rows.to_attempt,
        "prompt_no",
        {
            name: name
            for name in ("run", "engine", "connection", "model", "started", "finished", "outcome", "code", "cost")
        }
        | {"prompt": "prompt_no"},
    ),
    Thread: _Table(
        "thread",
        rows.THREAD_COLUMNS,
        rows.to_thread,
        "id",
        {
            "id": "id",
            "user": "user_id",
            "member": "member",
            "title": "title",
            "created": "created",
            "updated": "updated",
        },
    ),
    Message: _Table(
        "message",
        rows.MESSAGE_COLUMNS,
        rows.to_message,
        "id",
        {
            "no": "no",
            "id": "id",
            "thread": "thread_id",
            "prompt": "prompt_id",
            "prompt_no": "prompt_no",
            "role": "role",
            "user": "user_id",
            "created": "created",
        },
    ),
}

_UNIQUE: dict[Any, str] = {Prompt: "no", Attempt: "run", Thread: "id", Message: "no"}
#: Fields with an index that leaves few rows: a search for one value of them is short.
_SELECTIVE: dict[Any, frozenset[str]] = {
    Prompt: frozenset({"no", "id", "thread"}),
    Attempt: frozenset({"prompt"}),
    Thread: frozenset({"id"}),
    Message: frozenset({"no", "id", "thread"}),
}
_LIVE_LANES = rows.load_queries("queries.sql")["live_lanes"]


class SqliteRecords:
    """Port `Records`."""

    def __init__(self, writer: Writer, path: str) -> None:
        self._writer = writer
        self._near = reader(path)
        self._short = Readers(path, 2, "short-reads")
        self._long = Readers(path, 2, "long-reads")

    def close(self) -> None:
        self._near.close()
        self._short.close()
        self._long.close()

    def live_lanes(self) -> tuple[str, ...]:
        """The lanes that hold unfinished prompts, in order. Raises `StoreUnavailable`."""
        try:
            return tuple(row[0] for row in self._near.execute(_LIVE_LANES).fetchall())
        except sqlite3.Error as error:
            raise StoreUnavailable("the store can't be read", detail=str(error)) from error

    async def get(self, kind: type[R], identifier: str) -> R | None:
        if not storable(identifier):
            return None
        try:
            table = _TABLES.get(kind)
            if table is None:
                row = self._near.execute(
                    "select data from record where kind = ? and id = ?", (kind.__name__, identifier)
                ).fetchone()
                return _decoded(row[0], kind) if row else None
            sql = f"select {table.columns} from {table.name} where {table.key} = ?"  # noqa: S608 (our own names)
            row = self._near.execute(sql, (identifier,)).fetchone()
            found: R | None = table.decode(row) if row else None
            return found
        except sqlite3.Error as error:
            raise StoreUnavailable("the store can't be read", detail=str(error)) from error

    async def find(self, kind: type[R], query: Query) -> Page[R]:
        table = _TABLES.get(kind)
        try:
            if table is None:
                return await self._long.run(lambda db: self._find_records(db, kind, query))
            check(query, frozenset(table.fields))
            readers = self._short if _is_short(kind, query) else self._long
            return await readers.run(lambda db: self._find_rows(db, kind, table, query))
        except sqlite3.Error as error:
            raise StoreUnavailable("the store can't be read", detail=str(error)) from error

    def _find_rows(self, db: sqlite3.Connection, kind: type[R], table: _Table, query: Query) -> Page[R]:
        where, values = _where(table, query.filters)
        if kind is Attempt:
            self._check_attempt_query(query)
        total = None
        if query.count:
            sql = f"select count(*) from {table.name}{where}"  # noqa: S608 (columns come from our own tables)
            total = db.execute(sql, values).fetchone()[0]
        order = _order(table, query.order, _UNIQUE[kind])
        if query.after is not None:
            clause, more = _behind(order, read_cursor(query.after, len(order)))
            where = f"{where} and {clause}" if where else f" where {clause}"
            values += more
        columns = ", ".join(column for column, _ in order)
        by = ", ".join(f"{column} desc" if descending else column for column, descending in order)
        sql = (
            f"select {table.columns}, {columns} from {table.name}{where} "  # noqa: S608
            f"order by {by} limit {query.limit + 1}"
        )
        found = db.execute(sql, values).fetchall()
        width = len(order)
        page = found[: query.limit]
        items = tuple(table.decode(row) for row in page)
        if kind is Attempt and not items:
            items = self._embedded_attempt(db, query)
        after = write_cursor(page[-1][-width:]) if len(found) > query.limit else None
        return Page(items=items, after=after, count=total)

    def _check_attempt_query(self, query: Query) -> None:
        if not any(entry.field == "prompt" and entry.operator == "eq" for entry in query.filters):
            raise InvalidRequest(field="filters", expected="the prompt whose attempts are wanted")

    def _embedded_attempt(self, db: sqlite3.Connection, query: Query) -> tuple[Any, ...]:
        no = next(entry.value for entry in query.filters if entry.field == "prompt")
        row = db.execute("select attempt from prompt where no = ?", (no,)).fetchone()
        return (rows.embedded_attempt(no, row[0]),) if row and row[0] else ()

    def _find_records(self, db: sqlite3.Connection, kind: type[R], query: Query) -> Page[R]:
        """In the order of their ids page by page; with filters or another order they are read whole and sorted here."""
        check(query, frozenset(getattr(kind, "__struct_fields__", ())))
        if not query.filters and not query.order:
            return self._page_of_records(db, kind, query)
        sql = "select data from record where kind = ? order by id"
        found = [_decoded(row[0], kind) for row in db.execute(sql, (kind.__name__,)).fetchall()]
        found = [item for item in found if all(_matches(item, entry) for entry in query.filters)]
        for order in reversed(query.order):
            found.sort(
                key=lambda item: (getattr(item, order.field) is not None, getattr(item, order.field)),
                reverse=order.descending,
            )
        start = read_start(query.after) if query.after is not None else 0
        stop = start + query.limit
        after = write_cursor((stop,)) if len(found) > stop else None
        return Page(items=tuple(found[start:stop]), after=after, count=len(found) if query.count else None)

    def _page_of_records(self, db: sqlite3.Connection, kind: type[R], query: Query) -> Page[R]:
        total = None
        if query.count:
            total = db.execute("select count(*) from record where kind = ?", (kind.__name__,)).fetchone()[0]
        behind = read_last(query.after) if query.after is not None else ""
        sql = "select id, data from record where kind = ? and id > ? order by id limit ?"
        found = db.execute(sql, (kind.__name__, behind, query.limit + 1)).fetchall()
        page = found[: query.limit]
        items = tuple(_decoded(data, kind) for _, data in page)
        after = write_cursor((page[-1][0],)) if len(found) > query.limit else None
        return Page(items=items, after=after, count=total)

    async def put(self, *records: Struct, gone: Gone = ()) -> None:
        def work(db: sqlite3.Connection) -> None:
            for record in records:
                _put(db, record)
            for kind, identifier in gone:
                _delete(db, kind, identifier)

        await self._writer.submit(work)

    async def delete(self, kind: type[Struct], identifier: str) -> bool:
        return await self._writer.submit(lambda db: _delete(db, kind, identifier))


def _is_short(kind: type[Any], query: Query) -> bool:
    """Whether an index leaves few rows to look at. A count has to look at them all."""
    fields = _SELECTIVE[kind]
    return not query.count and any(entry.operator == "eq" and entry.field in fields for entry in query.filters)


def _put(db: sqlite3.Connection, record: Any) -> None:
    if isinstance(record, Thread):
        row = db.execute("select version from thread where id = ?", (record.id,)).fetchone()
        _check_version(record, row)
        db.execute(
            f"insert or replace into thread ({rows.THREAD_COLUMNS}) values (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
            rows.from_thread(record),
        )
        return
    if isinstance(record, Message):
        require_thread(db, record.thread)
        put_messages(db, (record,), 0, record.updated)
        return
    kind = type(record).__name__
    row = db.execute("select version from record where kind = ? and id = ?", (kind, record.id)).fetchone()
    version = _check_version(record, row)
    db.execute(
        "insert or replace into record (kind, id, version, data) values (?, ?, ?, ?)",
        (kind, record.id, version, _encoded(record)),
    )


def _encoded(record: Struct) -> bytes:
    """MessagePack, or JSON where a whole number of more than 64 bits is in it: the one can't hold it."""
    try:
        return msgspec.msgpack.encode(record)
    except OverflowError:
        return msgspec.json.encode(record)


def _decoded(data: bytes, kind: type[R]) -> R:
    """JSON is known by its brace: MessagePack's objects never begin so."""
    return msgspec.json.decode(data, type=kind) if data[:1] == b"{" else msgspec.msgpack.decode(data, type=kind)


def _check_version(record: Any, row: tuple[int] | None) -> int:
    version: int = getattr(record, "version", 0)
    if hasattr(record, "version") and version != (row[0] + 1 if row else 0):
        raise StaleVersion
    return version


def _delete(db: sqlite3.Connection, kind: type[Struct], identifier: str) -> bool:
    if kind is Prompt:
        return delete_prompt(db, identifier)
    if kind is Thread:
        empty_thread(db, identifier)
    if (table := _TABLES.get(kind)) is not None:
        return db.execute(f"delete from {table.name} where {table.key} = ?", (identifier,)).rowcount > 0  # noqa: S608
    sql = "delete from record where kind = ? and id = ?"
    return db.execute(sql, (kind.__name__, identifier)).rowcount > 0


def _where(table: _Table, filters: tuple[Filter, ...]) -> tuple[str, list[Any]]:
    clauses: list[str] = []
    values: list[Any] = []
    for index, entry in enumerate(filters):
        column = table.fields[entry.field]
        if not all(map(storable, entry.value if entry.operator == "in" else (entry.value,))):
            raise InvalidRequest(field=f"filters[{index}].value", expected="text or a number")
        if column == "member":
            if entry.operator != "eq":
                raise InvalidRequest(field=f"filters[{index}].operator", expected="eq")
            clauses.append("id in (select thread_id from member where user_id = ?)")
            values.append(entry.value)
        elif entry.operator == "in":
            clauses.append(f"{column} in ({', '.join('?' * len(entry.value))})")
            values.extend(entry.value)
        elif entry.operator in ("contains", "starts"):
            text = str(entry.value).replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
            clauses.append(f"{column} like ? escape '\\'")
            values.append(f"%{text}%" if entry.operator == "contains" else f"{text}%")
        elif entry.value is None:
            clauses.append(f"{column} is {'not ' if entry.operator == 'ne' else ''}null")
        else:
            clauses.append(f"{column} {_OPERATORS[entry.operator]} ?")
            values.append(entry.value)
    return (" where " + " and ".join(clauses) if clauses else ""), values


def _order(table: _Table, orders: tuple[Order, ...], unique: str) -> list[tuple[str, bool]]:
    """Columns to sort by; the unique one closes the list, so that paging is exact."""
    chosen: list[tuple[str, bool]] = []
    for order in orders:
        chosen.append((table.fields[order.field], order.descending))
        if chosen[-1][0] == unique:
            return chosen
    return [*chosen, (unique, chosen[-1][1] if chosen else True)]


def _behind(order: list[tuple[str, bool]], cursor: list[Any]) -> tuple[str, list[Any]]:
    """The condition for rows strictly behind the cursor, for mixed directions; NULL sorts first, as SQLite has it."""
    clauses: list[str] = []
    values: list[Any] = []
    for index, (column, descending) in enumerate(order):
        same = [f"{name} is ?" for name, _ in order[:index]]
        if cursor[index] is None:
            step = "0" if descending else f"{column} is not null"
            more: list[Any] = []
        else:
            step = f"({column} < ? or {column} is null)" if descending else f"{column} > ?"
            more = [cursor[index]]
        clauses.append(" and ".join([*same, step]))
        values.extend([*cursor[:index], *more])
    return "(" + " or ".join(f"({clause})" for clause in clauses) + ")", values


def _matches(item: Any, entry: Filter) -> bool:
    value = getattr(item, entry.field)
    match entry.operator:
        case "eq":
            return bool(value == entry.value)
        case "ne":
            return bool(value != entry.value)
        case "in":
            return value in entry.value
        case "contains":
            return value is not None and entry.value in value
        case "starts":
            return str(value).startswith(str(entry.value))
        case _ if value is None or entry.value is None:
            return False
        case "gt":
            return bool(value > entry.value)
        case "gte":
            return bool(value >= entry.value)
        case "lt":
            return bool(value < entry.value)
        case "lte":
            return bool(value <= entry.value)
