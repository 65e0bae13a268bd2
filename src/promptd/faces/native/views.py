"""What the native face shows: one struct per object, null where unset, times in RFC 3339."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from promptd.core.content import Role, Turn
from promptd.core.lifecycle import Status
from promptd.core.model import Capability, Mode, Outcome
from promptd.core.parameters import Parameters

Time = Annotated[str, Meta(description="RFC 3339, UTC", extra_json_schema={"format": "date-time"})]


class UsageView(Struct, frozen=True):
    """Tokens, as the engine counted them."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int


class ToolCallView(Struct, frozen=True):
    """A model's wish to call a tool; `arguments` is JSON text."""

    id: str
    name: str
    arguments: str


class FileView(Struct, frozen=True):
    """A file of a prompt or a message; its bytes are at `url`."""

    id: str
    url: str


class AnswerView(Struct, frozen=True):
    """The result of a completed prompt. `value` holds what is not text, such as embeddings or the object that a template
    promises; `files` are those that the engine made, `outputs` those of a query by name. `warnings` say what was not quite as
    declared."""

    message_id: str
    text: str
    tool_calls: tuple[ToolCallView, ...]
    value: Any
    files: tuple[FileView, ...]
    finish_reason: str
    usage: UsageView
    outputs: dict[str, tuple[FileView, ...]]
    warnings: tuple[str, ...]


class UseView(Struct, frozen=True):
    """The version of a template, and the label that led there; empty where the version itself was named."""

    name: str
    version: int
    label: str


class FailureView(Struct, frozen=True):
    """Why the last attempt failed."""

    code: str
    message: str


class RequestView(Struct, frozen=True):
    """What was asked; absent members were not given."""

    messages: tuple[Turn, ...]
    texts: tuple[str, ...]
    files: tuple[FileView, ...]
    parameters: Parameters


class ScoreView(Struct, frozen=True):
    """What a user thinks of an answer: 0 (useless) … 1 (perfect), in the respect that `name` says."""

    name: str
    score: float
    comment: str
    user: str
    created_at: Time


class PromptView(Struct, frozen=True):
    """The durable unit of work. `attempts` counts all that were started, `failures` those that failed, `rescues` those
    that were lost with their worker. `arm` is the side of a traffic split that it was put on. `cost` is that of all attempts
    so far, in billionths of the price's currency, and null where the price of one is not known. `template` is what it was made
    from."""

    id: str
    status: Status
    model: str
    connection: str
    user: str
    thread_id: str | None
    parent_id: str | None
    capability: Capability
    priority: int
    metadata: dict[str, str]
    created_at: Time
    updated_at: Time
    started_at: Time | None
    finished_at: Time | None
    not_before: Time | None
    deadline: Time | None
    retry_at: Time | None
    attempts: int
    failures: int
    rescues: int
    max_attempts: int
    request: RequestView
    answer: AnswerView | None
    error: FailureView | None
    mode: Mode
    key: str
    team: str
    arm: str
    cost: int | None
    scores: tuple[ScoreView, ...]
    template: UseView | None
    judgements: tuple[JudgementView, ...]


class JudgementView(Struct, frozen=True):
    """What a check of the guards thought of one side of a prompt. `stage` is whose text it was: `input`, `tool` or
    `output`; `outcome` is `allowed`, `refused`, `redacted` or `recorded`."""

    check: str
    stage: str
    outcome: str
    score: float
    categories: tuple[str, ...]


class AttemptView(Struct, frozen=True):
    """One try on one model. `cost` is in billionths of the price's currency; null: nobody knows the price. `estimated`:
    its tokens go by the sizes of texts, because its service counted none, or more than is possible."""

    attempt: int
    engine: str
    connection: str
    model: str
    started_at: Time
    first_token_at: Time | None
    finished_at: Time | None
    outcome: Outcome
    code: str | None
    message: str | None
    usage: UsageView
    cost: int | None
    estimated: bool


class MessageView(Struct, frozen=True):
    """One turn of a thread. `model` is that of its prompt; it is empty for a note, which no prompt brought."""

    id: str
    role: Role
    text: str
    files: tuple[FileView, ...]
    model: str
    tool_calls: tuple[ToolCallView, ...]
    tool_call_id: str | None
    user: str | None
    prompt_id: str
    created_at: Time


class ThreadView(Struct, frozen=True):
    """A conversation and who may read it."""

    id: str
    title: str
    user: str
    members: tuple[str, ...]
    created_at: Time
    updated_at: Time


class ModelView(Struct, frozen=True):
    """A name that prompts may ask for. `context` is in tokens, where known."""

    name: str
    connection: str
    upstream: str
    engine: str
    capabilities: tuple[Capability, ...]
    status: Literal["ready", "starting", "stopped", "unavailable"]
    reason: str
    context: int | None
    default: bool


class LegView(Struct, frozen=True, omit_defaults=True):
    """How a connection does for one model that failed there. `upstream` is the name that it is asked for; `until` is the
    end of its rest, after which one call at a time finds out whether it is well."""

    upstream: str
    state: Literal["healthy", "cooling", "probing"]
    until: str | None = None


class ConnectionView(Struct, frozen=True, omit_defaults=True):
    """An engine with its settings: at most `slots` prompts run on it at once, `busy` do now. `health` has the models that
    failed there lately. Stored ones have an `id`; where `state` is neither `clean` nor `adjusted`, they are not served."""

    name: str
    engine: str
    slots: int
    busy: int
    models: tuple[str, ...]
    health: tuple[LegView, ...] = ()
    id: str = ""
    state: str = ""
    description: str = ""


class CheckView(Struct, frozen=True):
    """How a test of a connection went. `models` are the names that the service offers, where it tells them."""

    ok: bool
    message: str
    models: tuple[str, ...]


class TicketView(Struct, frozen=True):
    """Opens the stream at `path` once, as `?ticket=…`."""

    ticket: str
    path: str
    expires_at: Time


class CallerView(Struct, frozen=True):
    """Who the key belongs to."""

    user: str
    key: str
    team: str
    admin: bool
    permissions: tuple[str, ...]


class PromptPage(Struct, frozen=True):
    """`after` leads to the next page and is null on the last one; `count` is null unless asked for."""

    items: tuple[PromptView, ...]
    after: str | None
    count: int | None


class MessagePage(Struct, frozen=True):
    items: tuple[MessageView, ...]
    after: str | None
    count: int | None


class AttemptList(Struct, frozen=True):
    """The ledger of a prompt, oldest attempt first."""

    items: tuple[AttemptView, ...]


class ModelList(Struct, frozen=True):
    items: tuple[ModelView, ...]


class ConnectionList(Struct, frozen=True):
    """`waiting` prompts are in line, over all connections."""

    items: tuple[ConnectionView, ...]
    waiting: int


class Pruned(Struct, frozen=True):
    """How many prompts were deleted, or would be."""

    count: int
    dry_run: bool


class StatusView(Struct, frozen=True):
    """`ok`, `ready`, or why not."""

    status: str
