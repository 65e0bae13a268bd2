"""The words of the house as frozen structs (glossary: docs/glossary.md). Times are UTC seconds since 1970.

Nothing here knows a wire or a database; faces and stores translate.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final, Literal

from msgspec import Struct, field

from promptd.core.lifecycle import Status

Role = Literal["system", "user", "assistant", "tool"]


class Capability(StrEnum):
    """What a prompt asks of an engine."""

    CHAT = "chat"  #: messages in, one message out
    COMPLETION = "completion"  #: raw text in, its continuation out
    EMBEDDING = "embedding"  #: texts in, `value = {"embeddings": [[float, …], …]}` out
    VISION = "vision"  #: chat whose messages come with images
    IMAGE = "image"  #: text, and an image where there is one, in; image files out
    SPEECH = "speech"  #: text in, an audio file out
    TRANSCRIPTION = "transcription"  #: an audio file in, its text out


#: What any engine for language models may do.
TEXT: Final = frozenset({Capability.CHAT, Capability.COMPLETION, Capability.EMBEDDING})


class Mode(StrEnum):
    ATTACHED = "attached"  #: lives with the caller's connection; its row follows the answer
    QUEUED = "queued"  #: on disk before the receipt


class ToolCall(Struct, frozen=True, omit_defaults=True):
    """A model's wish to call a tool. `arguments` is JSON text; in a stream, a piece of it. `index` orders parallel calls."""

    index: int = 0
    id: str = ""
    name: str = ""
    arguments: str = ""


class Turn(Struct, frozen=True, omit_defaults=True):
    """One message of a conversation as engines see it."""

    role: Role
    content: str = ""
    name: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


class Tool(Struct, frozen=True, omit_defaults=True):
    """A function offered to the model; `parameters` is a JSON Schema."""

    name: str
    description: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)


class ImageParameters(Struct, frozen=True, omit_defaults=True):
    """How to draw. Absent means the engine's own default; sizes in pixels."""

    prompt: str | None = None  #: what is drawn, where it is not the prompt's own text
    negative_prompt: str | None = None
    styles: tuple[str, ...] = ()
    seed: int | None = None
    batch_size: int | None = None  #: images per round
    rounds: int | None = None  #: how often a batch is drawn
    steps: int | None = None
    guidance_scale: float | None = None
    width: int | None = None
    height: int | None = None
    denoising_strength: float | None = None  #: how far image-to-image may go from its image, 0 … 1
    upscale: bool | None = None
    restore_faces: bool | None = None
    scheduler: str | None = None
    format: str | None = None  #: `png`, `jpg` or `webp`
    extra: dict[str, Any] = field(default_factory=dict)  #: fields that only the engine knows


class SpeechParameters(Struct, frozen=True, omit_defaults=True):
    """How to speak. Absent means the engine's own default."""

    voice: str | None = None
    speed: float | None = None  #: 1 is the voice's own
    format: str | None = None  #: `wav`, `mp3`, `flac`, `opus` …
    language: str | None = None  #: of a transcription's audio: ISO 639-1


class Parameters(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """How to generate. Absent means the engine's own default."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    json_schema: dict[str, Any] | None = None  #: the answer must be JSON that fits this schema
    grammar: str | None = None  #: GBNF, for engines that take it
    template: str | None = None  #: raw text around `{prompt}`; makes the prompt a completion
    tools: tuple[Tool, ...] = ()
    tool_choice: str | None = None  #: `auto`, `none`, `required` or a tool's name
    image: ImageParameters | None = None
    speech: SpeechParameters | None = None
    extra: dict[str, Any] = field(default_factory=dict)  #: fields that only the engine knows


class Request(Struct, frozen=True, omit_defaults=True):
    """What to run, self-contained: everything an attempt needs but the thread's earlier turns."""

    messages: tuple[Turn, ...] = ()
    parameters: Parameters = Parameters()
    texts: tuple[str, ...] = ()  #: inputs of an embedding
    metadata: dict[str, str] = field(default_factory=dict)  #: the caller's own labels
    files: tuple[str, ...] = ()  #: ids of the uploads that belong to the last message
    echo: dict[str, Any] = field(
        default_factory=dict
    )  #: what its face shows again as it was given; no text of the prompt


class Usage(Struct, frozen=True, omit_defaults=True):
    """Tokens of one attempt, as the engine counted them."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0


class Answer(Struct, frozen=True, omit_defaults=True):
    """The result of a completed prompt; `message_id` names the assistant's message."""

    message_id: str
    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    value: Any = None
    finish_reason: str = "stop"
    usage: Usage = Usage()
    files: tuple[str, ...] = ()  #: ids of the uploads that the engine made


class Failure(Struct, frozen=True, omit_defaults=True):
    """Why the last attempt failed: a code of core/errors.py and a text for users."""

    code: str
    message: str


class Prompt(Struct, frozen=True, kw_only=True):
    """The durable unit of work."""

    id: str
    model: str  #: the name that the caller used
    lane: str  #: the connection that runs it
    user: str  #: owner
    request: Request
    created: float
    no: int = 0  #: integer key, given by the store
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
    due: float | None = None  #: when the retry may start, while `errored`
    updated: float = 0.0
    started: float | None = None  #: start of the latest attempt
    finished: float | None = None
    error: Failure | None = None
    answer: Answer | None = None
    trace: bytes = b""  #: how the answer was cut into chunks (core/chunks.py)


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
    cost: int = 0  #: nano-units of the price's currency


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
    """One stored turn of a thread, or a note that a member wrote there without a prompt.

    The last turn that a prompt brought has the prompt's id.
    """

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
    blobs: tuple[Blob, ...] = ()  #: files that the engine made; on its `done` only, never on the bus
    files: tuple[str, ...] = ()  #: their ids, once execution stored them
    code: str | None = None
    message: str | None = None
    retry_at: float | None = None
    raw: bytes | None = None  #: the engine's own bytes …
    dialect: str | None = None  #: … and the dialect they are in
    fraction: float | None = None  #: how much of the work is done, 0 … 1; on a `progress` without text


class Caller(Struct, frozen=True):
    """Who asks. Permissions and limits hang on it."""

    user: str
    key: str = ""
    team: str = ""
    permissions: frozenset[str] = frozenset()
    admin: bool = False
    everyone: bool = False  #: its permissions reach other users' prompts too (never their text)

    def may(self, permission: str) -> bool:
        return self.admin or permission in self.permissions


class Submission(Struct, frozen=True, kw_only=True):
    """What a face understood of a request, before intake decides. `id` makes the call idempotent."""

    caller: Caller
    request: Request
    model: str | None = None
    id: str | None = None
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


class Arrival(Struct, frozen=True, kw_only=True):
    """A limit's counter as it is stored: the theoretical arrival time of one policy and subject (core/policy.py)."""

    id: str
    policy: str
    subject: str
    tat: float


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


class Target(Struct, frozen=True):
    """A backend action that an intent can choose."""

    name: str
    description: str
    examples: tuple[str, ...] = ()


class Match(Struct, frozen=True):
    """An intent match: the target and its score, 0 … 1."""

    target: str
    score: float
