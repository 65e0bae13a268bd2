"""Rows of the SQLite schema as structs of the core, and back."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Any

import msgspec

from promptd.core import model
from promptd.core.content import ToolCall
from promptd.core.lifecycle import Status
from promptd.core.model import (
    Answer,
    Attempt,
    Capability,
    Failure,
    Judgement,
    Message,
    Mode,
    Outcome,
    Prompt,
    Request,
    Score,
    Thread,
    Usage,
)

Row = tuple[Any, ...]


class Details(msgspec.Struct, frozen=True, omit_defaults=True):
    """The part of a message that nobody searches for."""

    files: tuple[str, ...] = ()
    model: str = ""
    engine: str = ""
    labels: dict[str, Any] = msgspec.field(default_factory=dict)


class Embedded(msgspec.Struct, frozen=True, array_like=True):
    """An attempt inside its prompt's row, without names: they would be two thirds of it. New fields come last."""

    run: int
    engine: str
    connection: str
    model: str
    started: float
    outcome: Outcome
    first_token: float | None
    finished: float | None
    code: str | None
    message: str | None
    usage: Usage
    cost: int | None
    estimated: bool = False


PROMPT_COLUMNS = (
    "no, id, status, lane, model, user_id, key_id, team, mode, capability, thread_id, parent_id, priority, not_before, "
    "deadline, max_attempts, created, updated, runs, failures, rescues, due, started, finished, error_code, "
    "error_message, request, answer, trace, arm, scores, cost, judgements, counted"
)
ATTEMPT_COLUMNS = (
    "prompt_no, run, engine, connection, model, started, first_token, finished, outcome, code, message, usage, cost, "
    "estimated"
)
THREAD_COLUMNS = "id, user_id, members, title, created, updated, version, topics"
MESSAGE_COLUMNS = (
    "no, id, thread_id, prompt_id, role, text, tool_calls, tool_call_id, user_id, created, updated, details"
)

encode = msgspec.json.Encoder().encode
_request = msgspec.json.Decoder(Request).decode
_answer = msgspec.json.Decoder(Answer).decode
_usage = msgspec.json.Decoder(Usage).decode
_tool_calls = msgspec.json.Decoder(tuple[ToolCall, ...]).decode
_details = msgspec.json.Decoder(Details).decode
_members = msgspec.json.Decoder(tuple[str, ...]).decode
_attempt = msgspec.json.Decoder(Attempt).decode
_embedded = msgspec.json.Decoder(Embedded).decode
_judgements = msgspec.json.Decoder(tuple[Judgement, ...]).decode
_scores = msgspec.json.Decoder(tuple[Score, ...]).decode
_counted = msgspec.json.Decoder(tuple[tuple[str, str], ...]).decode

#: said of a prompt that is not final, as the indexes on such prompts say it (migration 6)
_LIVE = "status <> 'completed' and status <> 'abandoned' and status <> 'canceled'"
#: what `to_prompt` raises for a row that this version can't read
UNREADABLE = (msgspec.MsgspecError, KeyError, ValueError, TypeError)
NO_REQUEST = b"{}"  #: how `Request()` is written
_UNKNOWN_COST = -1
_NO_REQUEST = Request()
_NO_DETAILS = Details()
_STATUS = {status.value: status for status in Status}
_MODE = {mode.value: mode for mode in Mode}
_CAPABILITY = {capability.value: capability for capability in Capability}


def load_queries(name: str) -> dict[str, str]:
    """The named queries of a `.sql` file of this package, `{columns}` and `{live}` filled in."""
    text = files(__package__).joinpath(name).read_text(encoding="utf-8")
    queries = {}
    for part in re.split(r"^-- name: ", text, flags=re.M)[1:]:
        title, _, body = part.partition("\n")
        statement = "\n".join(line for line in body.splitlines() if not line.startswith("--"))
        statement = statement.strip().rstrip(";").replace("{columns}", PROMPT_COLUMNS).replace("{live}", _LIVE)
        queries[title.strip()] = statement
    return queries


def to_prompt(row: Row) -> Prompt:
    return Prompt(
        no=row[0],
        id=row[1],
        status=_STATUS[row[2]],
        lane=row[3],
        model=row[4],
        user=row[5],
        key=row[6],
        team=row[7],
        mode=_MODE[row[8]],
        capability=_CAPABILITY[row[9]],
        thread=row[10],
        parent=row[11],
        priority=row[12],
        not_before=row[13],
        deadline=row[14],
        max_attempts=row[15],
        created=row[16],
        updated=row[17],
        runs=row[18],
        failures=row[19],
        rescues=row[20],
        due=row[21],
        started=row[22],
        finished=row[23],
        error=Failure(row[24], row[25] or "") if row[24] else None,
        request=_request(row[26]) if row[26] else _NO_REQUEST,
        answer=_answer(row[27]) if row[27] else None,
        trace=row[28] or b"",
        arm=row[29],
        scores=_scores(row[30]) if row[30] else (),
        cost=row[31],
        judgements=_judgements(row[32]) if row[32] else (),
        counted=_counted(row[33]) if row[33] else (),
    )


def shown(row: Row) -> Prompt:
    """The row for a reader: where something in it can't be read, without its request, answer and trace."""
    try:
        return to_prompt(row)
    except UNREADABLE:
        mode = row[8] if row[8] in _MODE else Mode.QUEUED.value
        capability = row[9] if row[9] in _CAPABILITY else Capability.CHAT.value
        return to_prompt(
            (*row[:8], mode, capability, *row[10:26], None, None, None, row[29], None, row[31], None, None)
        )


def from_prompt(
    prompt: Prompt,
    *,
    head: int,
    tag: int,
    due: float | None,
    lease: float | None,
    attempt: Attempt | None,
    shared: bool = True,
) -> Row:
    """The parameters of `insert_prompt`. `shared`: it stands in the line of its caller."""
    request = encode(prompt.request)
    return (
        prompt.id,
        prompt.status.value,
        prompt.lane,
        prompt.model,
        prompt.user,
        prompt.key,
        prompt.team,
        prompt.mode.value,
        prompt.capability.value,
        prompt.thread,
        prompt.parent,
        prompt.priority,
        prompt.not_before,
        prompt.deadline,
        prompt.max_attempts,
        prompt.created,
        prompt.updated or prompt.created,
        prompt.runs,
        prompt.failures,
        prompt.rescues,
        head,
        tag,
        due,
        lease,
        prompt.started,
        prompt.finished,
        prompt.error.code if prompt.error else None,
        prompt.error.message if prompt.error else None,
        request,
        encode(prompt.answer) if prompt.answer else None,
        prompt.trace or None,
        embed(attempt) if attempt else None,
        shared,
        prompt.arm,
        request != NO_REQUEST or (prompt.answer is not None and speaks(prompt.answer)),
        prompt.cost,
        encode(prompt.judgements) if prompt.judgements else None,
        encode(prompt.counted) if prompt.counted else None,
    )


def speaks(answer: Answer) -> bool:
    """Whether an answer holds what a model said, and not only what it used."""
    return bool(answer.text or answer.tool_calls or answer.thinking or answer.refusal or answer.value is not None)


def common_of(prompt: Prompt) -> Row:
    """The first parameters of `insert_ended_well`, which many rows have in common."""
    return (
        prompt.status,  # a string, as the capability is: it is handed over once for many rows
        prompt.lane,
        prompt.model,
        prompt.user,
        prompt.key,
        prompt.team,
        prompt.arm,
        prompt.capability,
        prompt.max_attempts,
        prompt.runs,
        prompt.failures,
    )


def from_ended(prompt: Prompt, attempt: Attempt | None) -> Row:
    """The parameters of `insert_ended_well` behind those; behind them come the ones that `insert_ended` has besides.

    Exact types that sqlite3 takes at once: it looks for an adapter of each `bytes`, `bool` and `None`.
    """
    request, answer = prompt.request, prompt.answer
    asked = NO_REQUEST if request is model.NO_REQUEST else encode(request)
    return (
        prompt.id,
        prompt.created,
        prompt.updated or prompt.created,
        prompt.started,
        prompt.finished,
        bytearray(asked),
        None if answer is None else bytearray(encode(answer)),
        None if attempt is None else bytearray(embed(attempt)),
        1 if asked != NO_REQUEST or (answer is not None and speaks(answer)) else 0,
        0 if attempt is None else attempt.cost,
    )


def error_of(prompt: Prompt) -> Row:
    """What `insert_ended` has besides."""
    return (None, None) if prompt.error is None else (prompt.error.code, prompt.error.message)


def to_attempt(row: Row) -> Attempt:
    return Attempt(
        prompt=row[0],
        run=row[1],
        engine=row[2],
        connection=row[3],
        model=row[4],
        started=row[5],
        first_token=row[6],
        finished=row[7],
        outcome=Outcome(row[8]),
        code=row[9],
        message=row[10],
        usage=_usage(row[11]),
        cost=None if row[12] == _UNKNOWN_COST else row[12],
        estimated=bool(row[13]),
    )


def embed(attempt: Attempt) -> bytes:
    """The only attempt of a row that is written once; it does not know its prompt's number yet."""
    return encode(
        (  # as `Embedded` is written, in its order
            attempt.run,
            attempt.engine,
            attempt.connection,
            attempt.model,
            attempt.started,
            attempt.outcome,
            attempt.first_token,
            attempt.finished,
            attempt.code,
            attempt.message,
            attempt.usage,
            attempt.cost,
            attempt.estimated,
        )
    )


def embedded_attempt(no: int, data: bytes) -> Attempt:
    """What `embed` wrote, as an attempt of prompt `no`."""
    if data.startswith(b"{"):  # rows of schema 2 and before have it with names
        return msgspec.structs.replace(_attempt(data), prompt=no)
    return Attempt(prompt=no, **msgspec.structs.asdict(_embedded(data)))


def from_attempt(attempt: Attempt) -> Row:
    return (
        attempt.prompt,
        attempt.run,
        attempt.engine,
        attempt.connection,
        attempt.model,
        attempt.started,
        attempt.first_token,
        attempt.finished,
        attempt.outcome.value,
        attempt.code,
        attempt.message,
        encode(attempt.usage),
        _UNKNOWN_COST if attempt.cost is None else attempt.cost,
        attempt.estimated,
    )


def to_thread(row: Row) -> Thread:
    return Thread(
        id=row[0],
        user=row[1],
        members=_members(row[2]),
        title=row[3],
        created=row[4],
        updated=row[5],
        version=row[6],
        topics=_members(row[7]) if row[7] else (),
    )


def from_thread(thread: Thread) -> Row:
    members = encode(thread.members).decode()
    topics = encode(thread.topics).decode() if thread.topics else None
    return (thread.id, thread.user, members, thread.title, thread.created, thread.updated, thread.version, topics)


def to_message(row: Row) -> Message:
    details = _details(row[11]) if row[11] else _NO_DETAILS
    return Message(
        no=row[0],
        id=row[1],
        thread=row[2],
        prompt=row[3],
        role=row[4],
        text=row[5],
        tool_calls=_tool_calls(row[6]) if row[6] else (),
        tool_call_id=row[7],
        user=row[8],
        created=row[9],
        updated=row[10] or row[9],
        files=details.files,
        model=details.model,
        engine=details.engine,
        labels=details.labels,
    )


def from_message(message: Message, prompt_no: int) -> Row:
    details = Details(message.files, message.model, message.engine, message.labels)
    return (
        message.id,
        message.thread,
        message.prompt,
        prompt_no,
        message.role,
        message.text,
        encode(message.tool_calls) if message.tool_calls else None,
        message.tool_call_id,
        message.user,
        message.created,
        message.updated or message.created,
        encode(details) if details != _NO_DETAILS else None,
    )
