"""A response for a client, as a stream of events or whole.

Numbers of events come in two kinds. A stream that ends with its connection counts from 0. One that can be resumed is a
function of the prompt and its chunks alone, so that whoever comes back with a number gets exactly what is behind it:

* `sequence_number` = attempt × 10⁶ + n. Chunk n of an attempt has one event that carries its piece (or none, and then its
  number is left out); what comes between two such events, each item's and part's begin and end, is counted on top.
* What an attempt said is void when the next one begins. The first event of that one ends the void item as
  `incomplete`, and the next `output_index` opens. Of a void attempt that a reader did not see nothing but this is known;
  it gets an empty item in its place, so that it counts as the others do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeVar

import msgspec
from msgspec.structs import replace

from promptd.core.chunks import END_OF_FAILED
from promptd.core.content import ToolCall
from promptd.core.errors import EXECUTION_CODES, Cancelled, ExecutionFailed, PromptdError
from promptd.core.model import Answer, Chunk, Request
from promptd.dialects.responses.annotations import annotations_of
from promptd.dialects.responses.envelope import encode_error, encode_usage, envelope, incomplete_reason
from promptd.dialects.responses.namespaces import places
from promptd.dialects.responses.output import Calling, Event, Item, Message, Reasoning
from promptd.dialects.responses.seals import pack_sealed, pack_signature

_encode: Final = msgspec.json.Encoder().encode
ATTEMPT: Final = 1_000_000
_FIRST: Final = ATTEMPT + 3  #: that the first attempt began
_NOTHING: Final = Request()
_SILENT: Final = 2**63  #: behind every number
I = TypeVar("I", bound=Item)  # noqa: E741


class Writer:
    """The events of one stream, or with `after` those behind a number. `response` is the object as it now is."""

    def __init__(
        self,
        *,
        id: str,  # noqa: A002
        model: str,
        created: float,
        request: Request = _NOTHING,
        store: bool = True,
        resumable: bool = False,
        after: int = -1,
    ) -> None:
        self.response = envelope(request, id=id, model=model, created=created, store=store)
        self._body = id.rpartition("_")[2]
        self._resumable, self._after = resumable, after
        self.attempt = 1 if resumable else 0
        self._number = _FIRST if resumable else 1  # of the last event; those that every stream has are counted already
        self._n = self._step = 0
        self._begun = self._working = False
        self._items: list[Item] = []  # of this attempt
        self._open: list[Item] = []  # one, or a call and what came before its arguments were whole
        self._waiting: dict[int, list[ToolCall]] = {}  # pieces of calls that wait until the open one is whole
        self._spaces = places(request.parameters.tools)
        self._index = -1  # output index of the last item that was opened
        self._voids = 0  # attempts that said something for nothing
        # made now, because the first chunk is written before its stream is begun
        self._beginning = self._begin()

    # ---------------------------------------------------------------- what a stream is made of

    def begin(self) -> bytes:
        """`response.created` and what follows it at once."""
        self._begun = True
        return self._beginning

    def _begin(self) -> bytes:
        if self._resumable:
            self.response["status"] = "queued"
            return self._lifecycle("created", _FIRST - 2) + self._lifecycle("queued", _FIRST - 1)
        return self._lifecycle("created", 0) + self._lifecycle("in_progress", 1)

    def write(self, chunk: Chunk) -> bytes:
        """The events of a chunk: a `progress`, or the `done`, which completes the stream; `error` ends it too."""
        if chunk.kind == "error":
            failure = EXECUTION_CODES.get(chunk.code or Cancelled.code, ExecutionFailed)(chunk.message or "")
            return self.fail(failure)
        if self._resumable and chunk.n == 0:
            return b""  # it has no place in the count
        self._step = chunk.n - self._n if self._resumable else 1
        self._n = chunk.n
        frames = self._work()
        if chunk.kind == "done":
            return frames + self._complete(chunk)
        if chunk.thinking or chunk.signature or chunk.sealed:
            frames += self._think(chunk)
        if chunk.text:
            frames += self._say("output_text", chunk.text, chunk.logprobs)
        if chunk.refusal:
            frames += self._say("refusal", chunk.refusal, None)
        for call in chunk.tool_calls:
            frames += self._call(call)
        if self._resumable:
            self._number += self._step  # nobody took the chunk's own number
        return frames

    def fail(self, error: PromptdError) -> bytes:
        """The end of a stream that failed; also of one of which `begin` was never asked."""
        if self._resumable:
            self._number = max(self._number, self.attempt * ATTEMPT + END_OF_FAILED - 1)
        if not self._begun:
            told = encode_error(error) or {"code": error.code, "message": error.message}
            event = {"type": "error", "code": told["code"], "message": told["message"], "param": None}
            self._number = -1 if not self._resumable else self._number
            return self._event(event)
        self.response["status"] = "cancelled" if isinstance(error, Cancelled) else "failed"
        self.response["error"] = encode_error(error)
        for item in self._open:
            item.status = "incomplete"
        self.response["output"] = self.items
        return self._lifecycle("failed", self._next())

    def again(self, attempt: int, *, spoke: bool) -> bytes:
        """The next attempt begins; `spoke`: what the one before said is void."""
        if attempt <= self.attempt:
            return b""
        frames = b""
        if self._items or spoke:
            spoke = True
            frames += self._work()
            if not self._items:
                self._begin_item(Message(self._item_id("msg")))
                frames += self._added()
            self._number = attempt * ATTEMPT
            void = self._items[-1]
            void.status = "incomplete"
            frames += self._event({"type": "response.output_item.done", "item": void.shown()}, void)
            self._voids += 1
        self.attempt, self._number, self._n = attempt, attempt * ATTEMPT + spoke, 0
        self._items, self._open, self._waiting = [], [], {}
        self._index = max(self._index, self._voids - 1)
        return frames

    @property
    def items(self) -> list[dict[str, Any]]:
        return [item.shown() for item in self._items]

    # ---------------------------------------------------------------- items

    def _think(self, chunk: Chunk) -> bytes:
        item = self._latest(Reasoning)
        frames = b""
        if item is None or item.encrypted:
            item = Reasoning(self._item_id("rs"))
            frames = self._open_item(item)
        if chunk.thinking:
            frames += self._tell(item.say(), item) + self._delta(item.delta(chunk.thinking), item)
        if chunk.signature:
            item.encrypted = pack_signature(chunk.signature)
        if chunk.sealed:
            item.encrypted = pack_sealed(chunk.sealed)
        return frames

    def _say(self, kind: str, words: str, logprobs: Any) -> bytes:
        item = self._latest(Message)
        frames = b""
        if item is None:
            item = Message(self._item_id("msg"))
            frames = self._open_item(item)
        return frames + self._tell(item.say(kind), item) + self._delta(item.delta(words, logprobs), item)

    def _call(self, call: ToolCall) -> bytes:
        """Pieces of parallel calls may come mixed; clients know one item after the other, as the vendor tells them."""
        item = next((item for item in self._items if isinstance(item, Calling) and item.index == call.index), None)
        if item is None:
            self._waiting.setdefault(call.index, []).append(call)
            return self._begin_calls()
        delta = item.take(call)
        # behind whole arguments only blanks can come: they are in the response at the end, but no event can tell them
        frames = self._delta(delta, item) if delta is not None and item in self._open else b""
        return frames + self._begin_calls() if self._waiting else frames

    def _begin_calls(self, *, all_of_them: bool = False) -> bytes:
        """Begin the calls that wait, as far as no other one is still being told."""
        frames = b""
        while self._waiting and (all_of_them or not self._is_calling()):
            pieces = self._waiting.pop(next(iter(self._waiting)))
            if all_of_them:
                frames += b"".join([self._close_item(item, "completed") for item in [*self._open]])
            call = _sum(pieces)
            item = Calling(self._item_id("ctc" if call.custom else "fc"), call, self._spaces)
            frames += self._open_item(item)
            delta = item.take(call)
            frames += self._delta(delta, item) if delta is not None else b""
        return frames

    def _is_calling(self) -> bool:
        """Whether a function's arguments are still on their way. Of a custom tool nobody knows; it holds up nobody."""
        return any(isinstance(item, Calling) and not item.custom and not item.whole for item in self._open)

    def _latest(self, kind: type[I]) -> I | None:
        """The item that was opened last, where it is of that kind and still open."""
        item = self._open[-1] if self._open else None
        return item if isinstance(item, kind) else None

    def _item_id(self, prefix: str) -> str:
        return f"{prefix}_{self._body}_{self.attempt}_{len(self._items)}"

    def _open_item(self, item: Item) -> bytes:
        frames = b"".join([self._close_item(other, "completed") for other in [*self._open] if other.whole])
        self._begin_item(item)
        return frames + self._added()

    def _begin_item(self, item: Item) -> None:
        self._items.append(item)
        self._open.append(item)
        self._index += 1
        item.place = self._index

    def _added(self) -> bytes:
        item = self._items[-1]
        return self._event({"type": "response.output_item.added", "item": item.shown()}, item)

    def _close_item(self, item: Item, status: str) -> bytes:
        frames = self._tell(item.finish(), item)
        item.status = status
        self._open.remove(item)
        return frames + self._event({"type": "response.output_item.done", "item": item.shown()}, item)

    # ---------------------------------------------------------------- the response

    def _work(self) -> bytes:
        if self._working or not self._resumable:
            return b""
        self._working = True
        self.response["status"] = "in_progress"
        return self._lifecycle("in_progress", _FIRST)

    def _complete(self, done: Chunk) -> bytes:
        reason = incomplete_reason(done.finish_reason)
        frames = self._begin_calls(all_of_them=True) + self._annotate(annotations_of(done.value))
        for item in [*self._open]:
            cut = reason and item is self._open[-1]
            frames += self._close_item(item, "incomplete" if cut else "completed")
        self._number += max(self._step, 1) - 1
        response = self.response
        response["status"] = "incomplete" if reason else "completed"
        response["incomplete_details"] = {"reason": reason} if reason else None
        response["usage"] = encode_usage(done.usage) if done.usage is not None else None
        response["output"] = self.items
        return frames + self._lifecycle(response["status"], self._next())

    def _annotate(self, annotations: list[dict[str, Any]]) -> bytes:
        """What the answer says about its own text. It comes at the end; a message that is closed has it in the response."""
        item = next((item for item in reversed(self._items) if isinstance(item, Message)), None)
        if item is None or not annotations:
            return b""
        events = item.annotate(annotations)
        return self._tell(events, item) if item in self._open else b""

    # ---------------------------------------------------------------- events

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _lifecycle(self, what: str, number: int) -> bytes:
        if number <= self._after:
            return b""
        kind = f"response.{what}"
        return _frame(kind, {"type": kind, "sequence_number": number, "response": self.response})

    def _delta(self, event: Event, item: Item) -> bytes:
        """The one event that carries a chunk's piece; it has the chunk's own place in the count."""
        self._number += max(self._step, 1) - 1
        self._step = 0 if self._resumable else 1
        return self._event(event, item)

    def _tell(self, events: list[Event], item: Item) -> bytes:
        return b"".join([self._event(event, item) for event in events])

    def _event(self, event: Event, item: Item | None = None) -> bytes:
        number = self._next()
        if number <= self._after:
            return b""
        event["sequence_number"] = number
        if item is not None:
            event["output_index"] = item.place
        return _frame(event["type"], event)


def _sum(pieces: Sequence[ToolCall]) -> ToolCall:
    if len(pieces) == 1:
        return pieces[0]
    name = next((piece.name for piece in pieces if piece.name), "")
    call_id = next((piece.id for piece in pieces if piece.id), "")
    return replace(pieces[0], id=call_id, name=name, arguments="".join([piece.arguments for piece in pieces]))


def _frame(kind: str, event: Event) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), _encode(event))


def told(answer: Answer) -> list[Chunk]:
    """A whole answer as the chunks that say it."""
    chunks = [
        Chunk("progress", thinking=thought.text, signature=thought.signature, sealed=thought.sealed)
        for thought in answer.thinking
    ]
    if answer.text:
        chunks.append(Chunk("progress", text=answer.text, logprobs=answer.logprobs))
    if answer.refusal:
        chunks.append(Chunk("progress", refusal=answer.refusal))
    return chunks + [Chunk("progress", tool_calls=(call,)) for call in answer.tool_calls]


def encode_answer(
    answer: Answer,
    *,
    id: str,  # noqa: A002
    model: str,
    created: float,
    request: Request = _NOTHING,
    store: bool = True,
    completed: float | None = None,
    attempt: int | None = None,
    chunks: Sequence[Chunk] = (),
) -> bytes:
    """The whole response that a client gets; `completed` is when, in UTC seconds.

    `attempt` is the number of the one whose answer it is, where its stream can be resumed. `chunks` are what it was
    said in, where they are known; else thoughts come first and calls last.
    """
    resumable = attempt is not None
    writer = Writer(
        id=id, model=model, created=created, request=request, store=store, resumable=resumable, after=_SILENT
    )
    if attempt is not None:
        writer.again(attempt, spoke=False)
    for n, chunk in enumerate(chunks or told(answer), 1):
        writer.write(chunk if chunk.n else replace(chunk, n=n))
    if writer.response["status"] == "in_progress":
        writer.write(
            Chunk("done", n=len(chunks) + 1, finish_reason=answer.finish_reason, usage=answer.usage, value=answer.value)
        )
    response = writer.response
    response["completed_at"] = int(completed) if completed is not None else None
    return _encode(response)


def encode_unfinished(
    *,
    id: str,  # noqa: A002
    model: str,
    created: float,
    request: Request,
    status: str,
    error: PromptdError | None = None,
) -> bytes:
    """A response without an answer: one that waits or runs (`queued`, `in_progress`), `failed` or `cancelled`."""
    response = envelope(request, id=id, model=model, created=created)
    response["status"] = status
    response["error"] = encode_error(error) if error is not None else None
    return _encode(response)
