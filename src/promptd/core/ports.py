"""The ports: what the service needs from the world, in verbs of the domain. Adapters live in their rooms.

Each port has an exam in `promptd.testing` that every adapter sits. `promptd.core.engine.Engine` is the one port with a
base class, because strangers implement it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import BinaryIO, Final, Protocol, TypeVar

from msgspec import Struct

from promptd.core.chunks import Position
from promptd.core.content import Turn
from promptd.core.filters import Page, Query
from promptd.core.lifecycle import Move, Status
from promptd.core.model import (
    Answer,
    Attempt,
    Chunk,
    Failure,
    Judgement,
    Match,
    Message,
    Model,
    Prompt,
    Score,
    Thread,
    Verdict,
)
from promptd.core.people import Claims
from promptd.core.targets import Target
from promptd.core.usage import Report, Sums, UsageQuery

R = TypeVar("R")


# ------------------------------------------------------------------ Queue


class Idempotency(Struct, frozen=True):
    """A caller's `Idempotency-Key` and the digest of the body it came with."""

    key: str
    fingerprint: bytes
    expires: float


class Added(Struct, frozen=True):
    """`created` is False where the id or idempotency key already had this prompt."""

    prompt: Prompt
    created: bool


class Moved(Struct, frozen=True):
    """A prompt after a caller's move, and the status it `was` in just before, seen in the same transaction."""

    prompt: Prompt
    was: Status


class Claimed(Struct, frozen=True):
    """Prompts now running, prompts that ended while they waited (their deadline passed, or their row can't be read), and
    when to look again; `next_due` is `now` where one call could not bring everything in that is due."""

    prompts: tuple[Prompt, ...] = ()
    expired: tuple[Prompt, ...] = ()
    next_due: float | None = None


class Settlement(Struct, frozen=True, kw_only=True):
    """The end of an attempt: the move, its ledger row, and what goes with it, stored in one transaction."""

    prompt: Prompt
    move: Move  #: COMPLETE, FAIL, GIVE_UP, CANCEL or HAND_BACK
    attempt: Attempt
    now: float
    answer: Answer | None = None
    trace: bytes = b""
    error: Failure | None = None
    due: float | None = None
    lane: str | None = None  #: of a FAIL: where it waits for its next attempt; None: where it is
    messages: tuple[Message, ...] = ()  #: what a completed attempt adds to the thread
    judgements: tuple[Judgement, ...] | None = None  #: all of the prompt's, where the attempt brought new ones


class Retention(Struct, frozen=True):
    """Final prompts of `status` that finished more than `age` seconds ago may go."""

    status: Status
    age: float


class Queue(Protocol):
    """Prompts from submission to settlement. A returned call is on disk; each verb is one transaction.

    Raises `StoreUnavailable` where the store can't be written; then nothing of the call is stored.
    """

    async def add(
        self,
        prompt: Prompt,
        *,
        now: float,
        start: bool = False,
        thread: Thread | None = None,
        messages: Sequence[Message] = (),
        idempotency: Idempotency | None = None,
        attempts: Sequence[Attempt] = (),
    ) -> Added:
        """Store a new prompt, its thread (if new) and its incoming messages.

        `start`: insert it as running, if nothing of its thread and no `not_before` is in the way. A prompt with a final
        status and its `attempts` is stored as it is (attached prompts). The same id or idempotency key again gives
        the first prompt; raises `Conflict` where the id is another user's, `IdempotencyMismatch` where the bodies differ.
        A canceled prompt's id starts afresh.
        """

    async def claim(
        self, lane: str, count: int, *, now: float, fair_only: bool = False, alone: bool = False
    ) -> Claimed:
        """Take up to `count` prompts of a lane: by priority, then callers in turn, then age; `fair_only` ignores priority.

        `alone` takes one prompt of those that may only run with nothing beside them, because they lost their worker
        too often. Else it also brings due retries back into the line and abandons waiting prompts whose deadline has passed.
        """

    async def beat(self, now: float, lease: float) -> None:
        """Extend the lease of everything this process runs to `now + lease`."""

    async def settle(self, settlement: Settlement) -> Prompt | None:
        """End an attempt; None where the lease was lost (then nothing but a canceled attempt's ledger row is stored)."""

    async def cancel(self, identifier: str, *, now: float) -> Moved:
        """Cancel whatever its attempt does; a canceled prompt stays so. Raises `NotFound`, `Conflict` (already final)."""

    async def rescue(self, *, now: float, everything: bool = False) -> tuple[Prompt, ...]:
        """Take back running prompts whose lease ran out, or all where their process is proven dead."""

    async def retry(self, identifier: str, *, now: float) -> Moved:
        """Start an errored, abandoned or canceled prompt afresh. Raises `NotFound`, `Conflict`."""

    async def prune(self, rules: Sequence[Retention], *, now: float, dry_run: bool = False) -> int:
        """Delete old final prompts with their attempts; the number (that would go). Expired idempotency keys go too, also
        where there are no rules."""


class Ended(Struct, frozen=True):
    """An attached prompt that is final, and its attempts."""

    prompt: Prompt
    attempts: tuple[Attempt, ...]


class Ledger(Protocol):
    """Rows that follow their answers, and what all rows of the store add up to."""

    async def record(self, ended: Sequence[Ended], *, patient: bool = False) -> None:
        """Store them all, in one transaction. Raises `StoreUnavailable`; then none of them is stored.

        Where `patient`, the transaction may wait some hundredths of a second for more to come.

        What is stored already is not stored or counted again. Where another prompt has the id, that one keeps it and
        the new row gets an id of its own.
        """

    async def report(self, query: UsageQuery) -> Report:
        """What was used, by every way: queued and attached. It survives the deletion of prompts."""

    async def counted(self, header: str, subject: str, *, since: int, until: int) -> Mapping[str, Sums]:
        """What prompts used from day `since` to day `until` that were counted for `subject` of a header, by their models.

        Days that are over for longer than any budget lasts may be forgotten.
        """

    async def score(self, identifier: str, score: Score) -> Prompt:
        """Store what a user thinks of an answer, in place of what that user thought of it before under this name.

        Raises `NotFound`, `Conflict` (not completed, or too many scores).
        """

    async def forget(self, age: float | None, keys: Mapping[str, float], *, now: float) -> int:
        """Remove question and answer of prompts that finished more than `age` seconds ago (None: never); how many.

        `keys` has another age for the prompts of single keys. Rows and numbers stay, and so do messages of threads.
        """


#: records that are to be deleted, each by its kind and id
Gone = Collection[tuple[type[Struct], str]]


class Records(Protocol):
    """Every other read and write, by type: Prompt, Attempt, Thread, Message, Key and the nouns of later rooms."""

    async def get(self, kind: type[R], identifier: str) -> R | None: ...

    async def find(self, kind: type[R], query: Query) -> Page[R]: ...

    async def put(self, *records: Struct, gone: Gone = ()) -> None:
        """Store records, and delete those of `gone` (as `delete` would), all or none. A record whose `version` is not the stored one plus one raises `StaleVersion`.

        A message of a thread that is not there raises `NotFound`.
        """

    async def delete(self, kind: type[Struct], identifier: str) -> bool:
        """Whether there was such a record. A prompt must be final (else `Conflict`) and takes its attempts along.

        A thread's prompts must be final too; they belong to no thread afterwards, and its messages go.
        """


class Files(Protocol):
    """Bytes by content hash."""

    async def save(self, chunks: AsyncIterator[bytes]) -> str:
        """Store a stream; its SHA-256 in hex."""

    async def adopt(self, path: Path, digest: str | None = None) -> str:
        """Take over a finished local file, which is gone from `path` then; its SHA-256 in hex.

        A caller that gives the `digest` answers for it: reading a large file once more takes minutes.
        """

    def open(self, digest: str) -> BinaryIO:
        """Raises `NotFound`."""

    def path(self, digest: str) -> Path:
        """Where the content lies, for programs that open files themselves. It must not be changed. Raises `NotFound`."""

    async def delete(self, digest: str) -> bool: ...

    async def digests(self) -> Sequence[str]:
        """Everything that is stored, in no order."""


# ------------------------------------------------------------------ Bus


class Bus(Protocol):
    """Live chunks and wake-ups. One append-only log per topic (a prompt's id) and a cursor per reader."""

    def publish(self, topic: str, chunk: Chunk) -> None:
        """Append. A `restart` voids what was before it; `done` and `error` close the log."""

    def follow(self, topic: str, after: Position) -> AbstractAsyncContextManager[AsyncIterator[Sequence[Chunk]]]:
        """Everything behind `after`, in batches: what is there at once, then as it comes, until the log closes."""

    def wake(self, topic: str) -> None:
        """Tell every `follow`er of the topic to look again, without a chunk (an empty batch)."""


# ------------------------------------------------------------------ Egress and vault


#: A header of this name is no header: its value is what the request calls the service, where that is not its address
AUTHORITY: Final = ":authority"
#: The header of a request that must never be sent twice: it gets a connection of its own, as one that has served before may be
#: lost with the request on it
ALONE: Final = ("connection", "close")


class Timeouts(Struct, frozen=True):
    """Seconds per phase; there is no limit on a whole stream."""

    connect: float = 10.0
    first_byte: float = 120.0
    between_bytes: float = 60.0


class FixedHeaders(dict[str, str]):
    """Headers that are made once and never changed, so that who gets them again need not look what they say."""

    __slots__ = ()
    #: of equal ones each has its own, which only means that they are looked at twice
    __hash__ = object.__hash__  # type: ignore[assignment]


class HttpResponse(Protocol):
    status: int

    @property
    def headers(self) -> Mapping[str, str]:
        """With lower-case names."""

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises `NetworkError`, `Timeout`, `InvalidOutput` (size cap, bad encoding)."""

    async def read(self) -> bytes:
        """The whole body, up to the size cap."""


class HttpClient(Protocol):
    """The one way out. Leaving the context closes the connection at once unless the body was read to its end."""

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] = {},
        body: bytes | None = None,
        timeouts: Timeouts = Timeouts(),
        max_bytes: int = 64 * 1024 * 1024,
    ) -> AbstractAsyncContextManager[HttpResponse]:
        """Raises `PermissionDenied` where the policy forbids the address, `NetworkError`, `Timeout`."""

    def allow(self, url: str) -> None:
        """Let calls to the origin of `url` pass: the operator's config names it, or a child of ours serves it."""

    def disallow(self, url: str) -> None:
        """Take back what `allow` gave."""


class Vault(Protocol):
    """Secrets at rest."""

    def seal(self, secret: bytes) -> bytes: ...

    def open(self, sealed: bytes) -> bytes:
        """Raises `ConfigUnusable` where the key is not the one that sealed it."""

    def seal_file(self, pieces: AsyncIterator[bytes]) -> tuple[bytes, AsyncIterator[bytes]]:
        """The envelope of a key that belongs to this file, and the bytes under it: a change of the vault's own key seals
        the envelope anew and leaves the bytes as they are."""

    def open_file(self, file: BinaryIO, key: bytes) -> BinaryIO:
        """What was sealed under the key out of the envelope; closing it closes `file`. Raises `ConfigUnusable`, now or
        when it is read, where the bytes were changed."""


class Passwords(Protocol):
    """Slow hashes of passwords."""

    async def hash(self, password: str) -> str:
        """Raises `Overloaded` where too many wait for their turn."""

    async def verify(self, hashed: str | None, password: str) -> bool:
        """Whether this is the password. Without a hash the answer is no, and takes as long. Raises `Overloaded`."""


class Signer(Protocol):
    """Tokens that carry their claims; anybody with the public key can check them."""

    async def sign(self, claims: Claims) -> str: ...

    async def verify(self, token: str) -> Claims:
        """Whatever their time is. Raises `Unauthenticated` where it is not a token or another key's."""

    async def public_key(self) -> str:
        """PEM of a SubjectPublicKeyInfo."""


# ------------------------------------------------------------------ Decisions


class Guard(Protocol):
    """What a guard may have besides: `at_once(messages)`, which is its verdict without waiting, or None where it has to
    wait for that; then `inspect` is asked."""

    async def inspect(self, messages: Sequence[Turn]) -> Verdict: ...


class Intent(Protocol):
    async def match(self, messages: Sequence[Turn], targets: Sequence[Target]) -> Match | None:
        """The target that the conversation is about, if its score is above the threshold."""


class Models(Protocol):
    """The models of all connections. Local ones can be started and stopped; remote ones are as they are."""

    async def start(self, name: str) -> None:
        """Make the connection's model ready, or raise a `PromptExecutionError`; starting twice is fine."""

    async def stop(self, name: str) -> None: ...

    def status(self, name: str) -> Sequence[Model]:
        """Every model of the connection, with what it can do and how it stands."""
