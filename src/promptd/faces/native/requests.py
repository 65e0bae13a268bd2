"""What the native face takes: bodies and queries as structs, and what they mean in the core's words.

Unknown members are refused; a `Meta` bound is checked while decoding and stands in the OpenAPI document.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field

from promptd.core.content import Role, ToolCall, Turn
from promptd.core.errors import InvalidRequest
from promptd.core.filters import Filter, Order, Query
from promptd.core.lifecycle import Status
from promptd.core.model import Caller, Capability, Mode, Request, Submission
from promptd.core.parameters import Parameters
from promptd.core.ports import Retention
from promptd.faces.native.parameters import NewParameters, capability_of, check_media

MAX_WAIT: Final = 600.0
_LAST_TIME: Final = 253_402_300_800.0  # the year 10000, which RFC 3339 can't write
_NO_PARAMETERS: Final = Parameters()

When = Annotated[datetime, Meta(tz=True)]
Moment = Annotated[str, Meta(description="RFC 3339", extra_json_schema={"format": "date-time"})]
Limit = Annotated[int, Meta(ge=1, le=1000, description="how many at most")]
After = Annotated[str, Meta(description="`after` of the page before")]
IdempotencyKey = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=255,
        pattern=r"^[!-~]+$",
        description="the same key and body again give the same prompt, for 24 hours",
    ),
]
LastEventId = Annotated[str, Meta(description="the id of the last event that arrived; the stream goes on behind it")]
Label = Annotated[str, Meta(max_length=64)]
LabelValue = Annotated[str, Meta(max_length=1024)]
FileId = Annotated[str, Meta(min_length=1, max_length=128)]
_ORDERS: Final = {
    "created_at": "created",
    "updated_at": "updated",
    "priority": "priority",
    "started_at": "started",
    "finished_at": "finished",
}
_ORDER_NAME = f"-?({'|'.join(_ORDERS)})"
_STATUS_NAME = f"({'|'.join(Status)})"


class PageQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which page."""

    limit: Limit = 20
    after: After | None = None

    def query(self) -> Query:
        return Query(limit=self.limit, after=self.after)


class NewToolCall(Struct, frozen=True, forbid_unknown_fields=True):
    """A tool call that an assistant made earlier in the conversation."""

    id: str
    name: str
    arguments: str = "{}"


class NewTurn(Struct, frozen=True, forbid_unknown_fields=True):
    """One message of the conversation."""

    role: Role
    content: str = ""
    name: str | None = None
    tool_calls: tuple[NewToolCall, ...] = ()
    tool_call_id: str | None = None

    def turn(self) -> Turn:
        calls = tuple(ToolCall(index, call.id, call.name, call.arguments) for index, call in enumerate(self.tool_calls))
        return Turn(self.role, self.content, self.name, calls, self.tool_call_id)


class NewPrompt(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A prompt to run: exactly one of `prompt` (one user message), `messages` and `texts` (for embeddings). `files` are
    ids of uploads that belong to the last message; a transcription, or an image with a file or a prompt in its
    parameters, needs no other text. Images in `files` make a chat ask for a model that sees."""

    prompt: str | None = None
    messages: tuple[NewTurn, ...] | None = None
    texts: tuple[str, ...] | None = None
    files: Annotated[tuple[FileId, ...], Meta(max_length=32)] = ()
    model: str | None = None
    id: Annotated[str, Meta(min_length=1, max_length=128)] | None = None
    thread_id: Annotated[str, Meta(min_length=1, max_length=128)] | None = None
    priority: Annotated[int, Meta(ge=-100, le=100)] = 0
    not_before: When | None = None
    deadline: When | None = None
    max_attempts: Annotated[int, Meta(ge=1, le=100)] | None = None
    capability: Literal["chat", "completion", "embedding", "image", "speech", "transcription"] | None = None
    parameters: NewParameters | None = None
    metadata: Annotated[dict[Label, LabelValue], Meta(max_length=64)] = field(default_factory=dict)

    def submission(self, caller: Caller, idempotency_key: str | None, fingerprint: bytes) -> Submission:
        """Raises `InvalidRequest`."""
        parameters: Parameters = self.parameters or _NO_PARAMETERS
        capability = capability_of(parameters) if self.capability is None else Capability(self.capability)
        check_media(parameters, capability)
        return Submission(
            caller=caller,
            request=Request(self._turns(capability), parameters, self.texts or (), self.metadata, self.files),
            model=self.model,
            id=self.id,
            idempotency_key=idempotency_key,
            fingerprint=fingerprint,
            capability=capability,
            thread=self.thread_id,
            priority=self.priority,
            not_before=seconds(self.not_before, "not_before"),
            deadline=seconds(self.deadline, "deadline"),
            max_attempts=self.max_attempts,
        )

    def _turns(self, capability: Capability) -> tuple[Turn, ...]:
        given = (self.prompt is not None) + (self.messages is not None) + (self.texts is not None)
        if given == 0 and self._speaks_without_text(capability):
            return (Turn("user"),)  # files belong to a message
        if given != 1:
            raise InvalidRequest(
                "exactly one of prompt, messages and texts is needed",
                field="prompt",
                expected="exactly one of prompt, messages and texts",
            )
        if (self.texts is not None) != (capability is Capability.EMBEDDING):
            raise InvalidRequest(
                f"the capability {capability} takes {'texts' if self.texts is None else 'prompt or messages'}",
                field="capability",
                expected="embedding with texts, anything else with prompt or messages",
            )
        if self.prompt is not None:
            return (Turn("user", self.prompt),)
        return tuple(turn.turn() for turn in self.messages or ())

    def _speaks_without_text(self, capability: Capability) -> bool:
        if capability is Capability.IMAGE:
            image = self.parameters.image if self.parameters is not None else None
            return bool(self.files or (image is not None and image.prompt))
        return capability is Capability.TRANSCRIPTION


class PruneRule(Struct, frozen=True, forbid_unknown_fields=True):
    """Final prompts of `status` that finished at least this long ago."""

    status: Literal["completed", "abandoned", "canceled"]
    older_than_seconds: Annotated[float, Meta(ge=0)]

    def retention(self) -> Retention:
        return Retention(Status(self.status), self.older_than_seconds)


class PruneOrder(Struct, frozen=True, forbid_unknown_fields=True):
    """What to delete for good; `dry_run` only counts."""

    rules: Annotated[tuple[PruneRule, ...], Meta(min_length=1)]
    dry_run: bool = False


class NewTicket(Struct, frozen=True, forbid_unknown_fields=True):
    """Asks for a ticket for a stream."""

    path: Annotated[str, Meta(description="the path of an event stream, `/promptd/v1/prompts/…/events` or of a thread")]


# ---------------------------------------------------------------- queries


class NoQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """For paths that take no query."""


class SubmitQuery(Struct, frozen=True, forbid_unknown_fields=True):
    wait: (
        Annotated[
            str,
            Meta(
                description="seconds to wait for the answer, 0 to 600, such as `30` or `30s`",
                extra_json_schema={"pattern": r"^\d{1,3}(\.\d+)?s?$"},
            ),
        ]
        | None
    ) = None

    def seconds(self) -> float:
        """Raises `InvalidRequest`."""
        if self.wait is None:
            return 0.0
        number = re.fullmatch(r"(\d{1,3}(?:\.\d+)?)s?", self.wait, re.ASCII)
        if number is None or float(number[1]) > MAX_WAIT:
            raise InvalidRequest(field="wait", expected=f"seconds from 0 to {MAX_WAIT:.0f}")
        return float(number[1])


class EventsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    last_event_id: Annotated[str, Meta(description="like the header `Last-Event-ID`")] | None = None
    ticket: Annotated[str, Meta(description="instead of a key: see POST /promptd/v1/tickets")] | None = None


class PromptsQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    status: (
        Annotated[
            str,
            Meta(
                description="one status or several, with commas between",
                extra_json_schema={"pattern": f"^{_STATUS_NAME}(,{_STATUS_NAME})*$"},
            ),
        ]
        | None
    ) = None
    model: str | None = None
    connection: str | None = None
    user: str | None = None
    key: Annotated[str, Meta(description="the id of the key that submitted it")] | None = None
    team: str | None = None
    arm: Annotated[str, Meta(description="the side of a traffic split")] | None = None
    mode: Mode | UnsetType = UNSET
    thread_id: str | None = None
    capability: Capability | UnsetType = UNSET  # a lenient conversion would take the text `null` for None
    error: Annotated[str, Meta(description="the code of the last failure")] | None = None
    created_after: Moment | None = None
    created_before: Moment | None = None
    order: Annotated[
        str,
        Meta(
            description="fields to sort by, with commas between; `-` in front means descending",
            extra_json_schema={"pattern": f"^{_ORDER_NAME}(,{_ORDER_NAME})*$"},
        ),
    ] = "-created_at"
    limit: Limit = 20
    after: After | None = None
    count: Annotated[bool, Meta(description="also count all that match")] = False

    def query(self) -> Query:
        """Raises `InvalidRequest`."""
        equal = {
            "model": self.model,
            "lane": self.connection,
            "user": self.user,
            "key": self.key,
            "team": self.team,
            "arm": self.arm,
            "mode": None if self.mode is UNSET else self.mode,
            "thread": self.thread_id,
            "capability": None if self.capability is UNSET else self.capability,
            "error": self.error,
        }
        filters = [Filter(name, "eq", value) for name, value in equal.items() if value is not None]
        if self.status is not None:
            filters.append(Filter("status", "in", _statuses(self.status)))
        if self.created_after is not None:
            filters.append(Filter("created", "gt", _moment(self.created_after, "created_after")))
        if self.created_before is not None:
            filters.append(Filter("created", "lt", _moment(self.created_before, "created_before")))
        return Query(
            filters=tuple(filters),
            order=_orders(self.order, _ORDERS),
            limit=self.limit,
            after=self.after,
            count=self.count,
        )


class MessagesQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    limit: Limit = 20
    after: After | None = None
    order: Annotated[
        str, Meta(description="oldest or newest first", extra_json_schema={"enum": ["created_at", "-created_at"]})
    ] = "created_at"
    count: Annotated[bool, Meta(description="also count all")] = False

    def query(self) -> Query:
        """Raises `InvalidRequest`. Turns of one prompt are of one moment, so that their number decides."""
        (order,) = _orders(self.order, {"created_at": "no"}, most=1)
        return Query(order=(order,), limit=self.limit, after=self.after, count=self.count)


class KeysQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    limit: Limit = 100
    after: After | None = None

    def query(self) -> Query:
        return Query(limit=self.limit, after=self.after)


def idempotency_key(header: bytes) -> str:
    """Raises `InvalidRequest`."""
    try:
        return msgspec.convert(header.decode("latin-1"), IdempotencyKey)
    except msgspec.ValidationError:
        raise InvalidRequest(field="Idempotency-Key", expected="1 to 255 visible ASCII characters") from None


def seconds(when: datetime | None, name: str) -> float | None:
    """UTC seconds. Raises `InvalidRequest` beyond what RFC 3339 can write in UTC."""
    if when is None:
        return None
    value = when.timestamp()
    if not 0 <= value < _LAST_TIME:
        raise InvalidRequest(field=name, expected="a time from 1970 to 9999")
    return value


def _moment(text: str, name: str) -> float | None:
    """A query is converted leniently; a time in it is not, or `2020` would be 34 minutes after 1970."""
    try:
        return seconds(msgspec.convert(text, When), name)
    except msgspec.ValidationError:
        raise InvalidRequest(field=name, expected="an RFC 3339 time with an offset") from None


def _statuses(text: str) -> tuple[str, ...]:
    found = tuple(text.split(","))
    known = {status.value for status in Status}
    for status in found:
        if status not in known:
            raise InvalidRequest(field="status", expected=f"one or more of {', '.join(sorted(known))}")
    return found


def _orders(text: str, fields: dict[str, str], *, most: int = len(_ORDERS)) -> tuple[Order, ...]:
    names = text.split(",")
    orders = [Order(fields.get(name.removeprefix("-"), ""), name.startswith("-")) for name in names]
    if any(not order.field for order in orders) or len({order.field for order in orders}) != len(orders):
        raise InvalidRequest(field="order", expected=f"each at most once: {', '.join(fields)}, with - for descending")
    if len(orders) > most:
        raise InvalidRequest(field="order", expected=f"at most {most} fields")
    return tuple(orders)
