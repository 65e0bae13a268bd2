"""What the server says, as objects. Members that a newer server adds are left out; times are RFC 3339 texts in UTC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

from msgspec import Struct, field

Status = Literal["scheduled", "running", "completed", "errored", "abandoned", "canceled"]


class Options(TypedDict, total=False):
    """How a template is run. What is not given is as the server has it."""

    label: str  #: the version that this label points at
    version: int
    model: str
    repair: int  #: how often a model that missed the promised form is shown its error
    locale: str
    priority: int
    metadata: Mapping[str, str]
    files: Mapping[str, Sequence[str]]  #: ids of uploads per input
    idempotency_key: str  #: the same one with the same inputs gives the same run for 24 hours
    timeout: float  #: seconds in all


class Members(TypedDict, total=False):
    """What may be said of a prompt besides its text: the members of the API's body."""

    model: str
    parameters: Mapping[str, Any]
    capability: str
    files: Sequence[str]
    thread_id: str
    priority: int
    metadata: Mapping[str, str]
    id: str
    not_before: str
    deadline: str
    max_attempts: int


class File(Struct, frozen=True):
    """A file on the server; its bytes are at `url`. Given as an input, it stands for itself."""

    id: str
    url: str = ""


class Usage(Struct, frozen=True):
    """Tokens, as the engine counted them."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0


class Use(Struct, frozen=True):
    """The version of a template that ran, and the label that led there."""

    name: str
    version: int
    label: str = ""


class Answer(Struct, frozen=True):
    """The result of a completed prompt: `value` where an object was promised, `text` what the model said."""

    text: str = ""
    value: Any = None
    message_id: str = ""
    finish_reason: str = ""
    usage: Usage = Usage()
    files: tuple[File, ...] = ()
    outputs: dict[str, tuple[File, ...]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


class Failure(Struct, frozen=True):
    """Why the last attempt failed."""

    code: str
    message: str


class Prompt(Struct, frozen=True):
    """The durable unit of work. `cost` is in billionths of the price's currency, None where it is not known."""

    id: str
    status: Status
    model: str
    created_at: str
    attempts: int = 0
    answer: Answer | None = None
    error: Failure | None = None
    template: Use | None = None
    thread_id: str | None = None
    priority: int = 0
    metadata: dict[str, str] = field(default_factory=dict)
    started_at: str | None = None
    finished_at: str | None = None
    retry_at: str | None = None
    cost: int | None = None

    @property
    def final(self) -> bool:
        return self.status in ("completed", "abandoned", "canceled")


class Run(Struct, frozen=True):
    """The result of a template. `value` is the object that was promised, `outputs` are files by name, and `warnings` say
    what was not quite as declared."""

    id: str
    template: Use
    text: str = ""
    value: Any = None
    outputs: dict[str, tuple[File, ...]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    finish_reason: str = ""
    usage: Usage = Usage()
    model: str = ""


class Share(Struct, frozen=True):
    """A version that a label points at, and its part of the runs."""

    version: int
    weight: float = 1.0


class Template(Struct, frozen=True):
    """A name, and where its labels point. `latest` is the number of the newest version."""

    name: str
    latest: int
    labels: dict[str, tuple[Share, ...]]
    created_at: str
    changed_at: str
    user: str = ""


class Function(Struct, frozen=True):
    """What goes into a template and what comes out, as JSON Schema 2020-12."""

    name: str
    version: int
    description: str
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]


class Progress(Struct, frozen=True, tag="progress"):
    """`text` goes on from what is there. `fraction` (0 … 1) is how much of the work is done, where the engine tells."""

    text: str = ""
    fraction: float | None = None


class Restart(Struct, frozen=True, tag="restart"):
    """What came so far is void: the answer begins anew."""

    code: str | None = None
    message: str | None = None
    retry_at: str | None = None


class Done(Struct, frozen=True, tag="done"):
    """The end: the text so far is the answer, and `value` the object that was promised."""

    finish_reason: str | None = None
    usage: Usage | None = None
    value: Any = None
    files: tuple[File, ...] = ()


class Failed(Struct, frozen=True, tag="error"):
    """The prompt ended without an answer; streams raise it."""

    code: str | None = None
    message: str | None = None


Event = Progress | Restart | Done
