"""The words of the house as frozen structs (glossary: docs/glossary.md). Times are UTC seconds since 1970.

Nothing here knows a wire or a database; faces and stores translate.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, Literal

from msgspec import Struct, field

from promptd.core.content import Role, Thinking, ToolCall, Turn
from promptd.core.credentials import Credential
from promptd.core.lifecycle import Status
from promptd.core.parameters import Parameters
from promptd.core.policy import Counted, Policy


class Capability(StrEnum):
    """What a prompt asks of an engine."""

    CHAT = "chat"  #: messages in, one message out
    COMPLETION = "completion"  #: raw text in, its continuation out
    EMBEDDING = "embedding"  #: texts in, `value = {"embeddings": [[float, …], …]}` out
    VISION = "vision"  #: chat whose messages come with images
    DOCUMENT = "document"  #: chat whose messages come with documents as they are; for others promptd reads their text
    IMAGE = "image"  #: text, and an image where there is one, in; image files out
    SPEECH = "speech"  #: text in, an audio file out
    TRANSCRIPTION = "transcription"  #: an audio file in, its text out
    QUERY = "query"  #: values and files in and out, of a kind that only its engine understands


#: What any engine for language models may do.
TEXT: Final = frozenset({Capability.CHAT, Capability.COMPLETION, Capability.EMBEDDING})


class Mode(StrEnum):
    ATTACHED = "attached"  #: lives with the caller's connection; its row follows the answer
    QUEUED = "queued"  #: on disk before the receipt


class Output(Struct, frozen=True, omit_defaults=True):
    """The form that an answer must have; its `Answer.value` is then what was read out of the text."""

    kind: Literal["text", "json", "jsonl"] = "text"
    schema: dict[str, Any] | None = None  #: JSON Schema of the value; with `jsonl` of one item
    repair: int = 1  #: how often a model that missed the form is shown its error and asked again
    name: str = ""  #: of the output of a query that holds all of it; empty: its members are the outputs


class Use(Struct, frozen=True, omit_defaults=True):
    """Which version of which template a prompt was made from, by which label, and for whom it was worded."""

    template: str
    number: int
    label: str = ""
    locale: str = "en"


class Request(Struct, frozen=True, omit_defaults=True):
    """What to run, self-contained: everything an attempt needs but the thread's earlier turns."""

    messages: tuple[Turn, ...] = ()
    parameters: Parameters = Parameters()
    texts: tuple[str, ...] = ()  #: inputs of an embedding
    metadata: dict[str, str] = field(default_factory=dict)  #: the caller's own labels
    files: tuple[str, ...] = ()  #: ids of the uploads that belong to the last message
    echo: dict[str, Any] = field(default_factory=dict)  #: what its face shows again as given; no text of the prompt
    unchecked: bool = False  #: its caller judges the form of the answer: what is no `json_schema` comes all the same
    template: Use | None = None  #: what it was made from
    output: Output | None = None  #: the form that the answer must have
    connection: str | None = None  #: asked by its name instead of one that serves the model
    value: dict[str, Any] | None = None  #: of a query that only its engine understands: a value per input …
    inputs: dict[str, tuple[str, ...]] = field(default_factory=dict)  #: … and ids of uploads per input that is a file


NO_REQUEST: Final = Request()  #: what remains of one that is not kept


class Native(Struct, frozen=True):
    """A request as its client wrote it, for an engine whose service speaks the same dialect (`openai.chat` …)."""

    dialect: str
    body: bytes
    stream: bool = False
    usage: bool = True  #: the client asked for token counts on its stream
    model: str | None = None  #: as its face read it; None: look into the body
    once: bool = False  #: its face knows that no name stands in one of its objects twice
    plain: bool = False  #: … and that the request is plain, as `core.texts.is_plain` says


class Usage(Struct, frozen=True, omit_defaults=True):
    """Tokens of one attempt, as the engine counted them."""

    input_tokens: int = 0  #: all of them, those from and into a cache included
    output_tokens: int = 0  #: all of them, thought included
    cached_tokens: int = 0  #: of the input: read from the service's cache
    cache_write_tokens: int = 0  #: of the input: written into it
    reasoning_tokens: int = 0  #: of the output: thought


class Answer(Struct, frozen=True, omit_defaults=True):
    """The result of a completed prompt; `message_id` names the assistant's message."""

    message_id: str
    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    value: Any = None
    finish_reason: str = "stop"
    usage: Usage = Usage()
    files: tuple[str, ...] = ()  #: ids of the uploads that the engine made
    thinking: tuple[Thinking, ...] = ()
    refusal: str = ""
    logprobs: Any = None  #: per token, as OpenAI's chat API writes them
    stop_sequence: str | None = None  #: the one of `Parameters.stop` that ended it
    outputs: dict[str, tuple[str, ...]] = field(default_factory=dict)  #: ids of uploads per output that is a file
    warnings: tuple[str, ...] = ()  #: what was not quite as declared


class Failure(Struct, frozen=True, omit_defaults=True):
    """Why the last attempt failed: a code of core/errors and a text for users."""

    code: str
    message: str


class Score(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How good somebody found an answer: `value` is 0 (useless) … 1 (perfect). One per user and name."""

    user: str
    value: float
    created: float
    name: str = "score"
    comment: str = ""


class Prompt(Struct, frozen=True, kw_only=True):
    """The durable unit of work."""

    id: str
    model: str  #: the name that the caller used
    lane: str  #: the connection that runs it
    user: str  #: owner
    request: Request
    created: float
    no: int = 0  #: integer key, given by the store
    arm: str = ""  #: the side of a traffic split that it was put on
    key: str = ""  #: id of the key that submitted it
    team: str = ""
    mode: Mode = Mode.QUEUED
    capability: Capability = Capability.CHAT
    thread: str | None = None
    parent: str | None = None  #: the prompt that made this one
    priority: int = 0  #: higher runs sooner
    not_before: float | None = None
    deadline: float | None = None
    max_attempts: int = 5
    status: Status = Status.SCHEDULED
    runs: int = 0  #: attempts started, lost ones included; the lease of the running one
    failures: int = 0  #: attempts that failed since the last (re)submission
    rescues: int = 0  #: runs lost with their worker
    #: when the retry may start, while `errored`; of an abandoned one, when its service says that it may be asked again
    due: float | None = None
    updated: float = 0.0
    started: float | None = None  #: start of the latest attempt
    finished: float | None = None
    error: Failure | None = None
    answer: Answer | None = None
    trace: bytes = b""  #: how the answer was cut into chunks (core/chunks.py)
    scores: tuple[Score, ...] = ()  #: what people thought of the answer
    judgements: tuple[Judgement, ...] = ()  #: what the guards thought of question and answer
    cost: int | None = 0  #: of its attempts so far, in nano-units; None: the price of one of them is not known
    counted: Counted = ()  #: headers that limits look at, each with its subject


class Outcome(StrEnum):
    """How an attempt ended."""

    COMPLETED = "completed"
    ERRORED = "errored"
    CANCELED = "canceled"
    LOST = "lost"  #: its worker died
    HANDED_BACK = "handed_back"  #: its worker was shut down


class Attempt(Struct, frozen=True, kw_only=True):
    """One try of a prompt: the ledger's row."""

    prompt: int  #: `Prompt.no`
    run: int  #: 1 for the first; `Prompt.runs` at that time
    engine: str
    connection: str
    model: str  #: the name the connection was asked for
    started: float
    outcome: Outcome
    first_token: float | None = None
    finished: float | None = None
    code: str | None = None
    message: str | None = None
    usage: Usage = Usage()
    cost: int | None = 0  #: nano-units of the price's currency; None: nobody knows the price
    estimated: bool = False  #: `usage` goes by the sizes of texts: the engine counted nothing, or what is not possible


class Thread(Struct, frozen=True, kw_only=True):
    """A conversation. `members` may read it; the owner is one of them."""

    id: str
    user: str
    members: tuple[str, ...]
    created: float
    updated: float
    title: str = ""
    topics: tuple[str, ...] = ()
    version: int = 0


class Message(Struct, frozen=True, kw_only=True):
    """One stored turn of a thread, or a member's note without a prompt. A prompt's last turn has the prompt's id."""

    id: str
    thread: str
    prompt: str  #: empty for a note
    role: Role
    created: float
    text: str = ""
    updated: float = 0.0
    files: tuple[str, ...] = ()  #: ids of uploads
    model: str = ""  #: that the prompt ran on
    engine: str = ""  #: type of the engine that ran it
    labels: dict[str, Any] = field(default_factory=dict)  #: what the writer of a note put beside it
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    user: str | None = None  #: absent for an assistant's message
    no: int = 0  #: order inside the store


class Blob(Struct, frozen=True):
    """Bytes with a name, on their way from or to an engine. `media_type` such as `image/png`."""

    name: str
    media_type: str
    data: bytes


ChunkKind = Literal["progress", "restart", "done", "error"]


class Chunk(Struct, frozen=True, omit_defaults=True):
    """One streamed piece. An engine yields `progress` chunks and, at the end, one `done`; execution numbers them.

    `attempt` and `n` make the event id; a merged chunk carries the last `n` it holds.
    """

    kind: ChunkKind
    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    attempt: int = 0
    n: int = 0
    message_id: str | None = None
    usage: Usage | None = None
    finish_reason: str | None = None
    value: Any = None
    #: files that the engine made, on its `done`; a `progress` may show unfinished ones. Never on the bus
    blobs: tuple[Blob, ...] = ()
    files: tuple[str, ...] = ()  #: their ids, once execution stored them
    code: str | None = None
    message: str | None = None
    retry_at: float | None = None
    raw: bytes | None = None  #: the engine's own bytes …
    dialect: str | None = None  #: … and the dialect they are in
    fraction: float | None = None  #: how much of the work is done, 0 … 1; on a `progress` without text
    thinking: str = ""
    signature: str = ""  #: of the thought that ends here
    sealed: str = ""  #: a whole thought that only its maker reads
    refusal: str = ""
    logprobs: Any = None  #: of the text of this chunk: a list, as OpenAI's chat API writes it
    stop_sequence: str | None = None  #: on `done`
    outputs: Mapping[str, Any] | None = None  #: files of a handler, as `Result.files`; on its `done` only
    warnings: tuple[str, ...] = ()  #: on `done`


class Caller(Struct, frozen=True):
    """Who asks. Permissions and limits hang on it."""

    user: str
    key: str = ""
    team: str = ""
    permissions: frozenset[str] = frozenset()
    admin: bool = False
    everyone: bool = False  #: its permissions reach other users' prompts too (never their text)
    models: tuple[str, ...] = ()  #: patterns of the models that it may use; none: all
    keep: bool | None = None  #: whether its attached prompts keep question and answer; None: as the house does

    def may(self, permission: str) -> bool:
        return self.admin or permission in self.permissions


class Submission(Struct, frozen=True, kw_only=True):
    """What a face understood of a request, before intake decides. `id` makes the call idempotent."""

    caller: Caller
    request: Request
    model: str | None = None
    id: str | None = None
    prefix: str = "prm"  #: of the id that intake makes, where there is none
    native: Native | None = None  #: the request as it came, on an attached prompt
    keep: bool | None = None  #: whether question and answer of an attached prompt are stored; None: as the house does
    affinity: str = ""  #: prompts with the same one go to the same connection and arm, as long as they can
    #: what policies by header count it for: what its request, or the prompt that made it, was; None: headers left out
    counted: Counted | None = None
    listener: str = ""  #: name of the listener that it came through, where that has one
    unguarded: bool = False  #: a guard's own question, which no guard looks at; no caller can ask for it
    retries: int | None = None  #: how often the first connection of an attached prompt is asked again; None: once
    fallbacks: tuple[str, ...] = ()  #: models that an attached prompt is tried on next, in this order
    credential: Credential | None = None  #: the caller's own, of an attached prompt; for connections that pass it on
    idempotency_key: str | None = None
    fingerprint: bytes = b""  #: digest of the body, for `idempotency_key`
    mode: Mode = Mode.QUEUED
    capability: Capability = Capability.CHAT
    thread: str | None = None
    parent: str | None = None
    priority: int = 0
    not_before: float | None = None
    deadline: float | None = None
    max_attempts: int | None = None


class Key(Struct, frozen=True, kw_only=True):
    """An API key; the secret itself is never stored."""

    id: str
    digest: bytes  #: SHA-256 of the secret (32 random bytes need no slow hash)
    user: str
    name: str
    created: float
    permissions: frozenset[str] = frozenset()
    admin: bool = False
    team: str = ""
    expires: float | None = None
    revoked: float | None = None
    version: int = 0
    models: tuple[str, ...] = ()  #: patterns (`gpt-*`) of the models that it may use; none: all
    keep: bool | None = None  #: whether attached prompts are stored with question and answer; None: as the house does
    retention: float | None = None  #: seconds until those are removed; None: as the house does
    limits: tuple[Policy, ...] = ()  #: beside those of the house; each is for one key (`only`), this one or its maker's
    labels: dict[str, str] = field(default_factory=dict)  #: what its owner wants to know about it


class Arrival(Struct, frozen=True, kw_only=True):
    """A limit's counter as it is stored: the theoretical arrival time of one policy and subject (core/policy.py), or the
    end of a budget's period and what was used of it."""

    id: str
    policy: str
    subject: str
    tat: float
    used: int = 0


class Model(Struct, frozen=True, kw_only=True):
    """A name that callers use, served by one connection."""

    name: str
    connection: str
    upstream: str  #: the name the connection is asked for
    engine: str
    capabilities: tuple[Capability, ...]
    status: Literal["ready", "starting", "stopped", "unavailable"]
    reason: str = ""  #: why it is unavailable
    context: int | None = None  #: tokens that fit, where known


class Verdict(Struct, frozen=True):
    """What a guard thinks of a text. `score` is 0 (fine) … 1 (certainly not)."""

    allowed: bool
    reason: str = ""
    score: float = 0.0
    categories: dict[str, float] = {}  #: what a refused text is, each with its score; empty where the guard knows none


class Judgement(Struct, frozen=True, omit_defaults=True):
    """What a configured check thought of one side of a prompt, and what was done about it."""

    check: str  #: its name in the settings
    stage: str  #: `input`, `tool` or `output`
    outcome: str  #: `allowed`, `refused`, `redacted` or `recorded`
    score: float = 0.0
    categories: tuple[str, ...] = ()


class Match(Struct, frozen=True):
    """An intent match: the target and its score, 0 … 1."""

    target: str
    score: float
