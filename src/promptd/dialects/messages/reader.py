"""What a service that speaks the Messages API answers, whole or as a stream, as chunks.

Nothing that it sends is trusted: every odd answer ends in a defined result or a typed error.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import Struct

from promptd.core.content import ToolCall
from promptd.core.errors import InvalidOutput, NetworkError, PromptdError
from promptd.core.model import Chunk
from promptd.dialects import sse
from promptd.dialects.counts import decoded_anyway
from promptd.dialects.errors import error_from_object
from promptd.dialects.messages.ends import Counts, finish_reason

MAX_EVENT: Final = 16 * 1024 * 1024  #: bytes; the result of a search comes as one event
_DONE: Final = b"[DONE]"  # of servers that speak OpenAI's API as well
_FOUND: Final = "web_search_result_location"
_encode: Final = msgspec.json.Encoder().encode


class _Block(Struct):
    type: str | None = None
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: Any = None
    citations: Any = None
    partial_json: str | None = None


class _Details(Struct):
    explanation: str | None = None


class _End(Struct):
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: _Details | None = None


class _Delta(_Block):
    citation: Any = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: _Details | None = None


class _Message(_End):
    type: str | None = None
    content: list[_Block] | None = None
    usage: Counts | None = None
    error: Any = None


class _Event(Struct):
    type: str | None = None
    message: _Message | None = None
    index: int | None = None
    content_block: _Block | None = None
    delta: _Delta | None = None
    usage: Counts | None = None
    error: Any = None


_event: Final = msgspec.json.Decoder(_Event)
_message: Final = msgspec.json.Decoder(_Message)


class Reader:
    """A stream's bytes, cut anywhere, as `progress` chunks and one `done`.

    Raises what an `error` event means, `InvalidOutput` for what is no Messages stream, and from `finish` a `NetworkError`
    where the stream ended before the answer did. What the same packet said before it is given first: then the error is
    in `error`, and raised by the next call. Values of `secrets` are blotted out of messages.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = secrets
        self._parser = sse.Parser(MAX_EVENT)
        self._counts = Counts()
        self._reason: str | None = None
        self._sequence: str | None = None
        self._calls: dict[int, int] = {}  # index of a block → number of its call
        self._given: dict[int, Any] = {}  # input that came whole, before any delta did
        self._spoke = False
        self._length = self._begun = 0  # of the text, and where its block begins
        self._sources: list[dict[str, Any]] = []  # of the text, from searches
        self.ended = False  #: the `done` was given; what comes now is of no interest
        self.error: PromptdError | None = None

    def feed(self, packet: bytes) -> list[Chunk]:
        """The chunks that `packet` completes."""
        if self.error is not None:
            raise self.error
        return [] if self.ended else self._take_all(self._parser.feed(packet))

    def finish(self) -> list[Chunk]:
        """The body is at its end."""
        if self.error is not None:
            raise self.error
        if self.ended:
            return []
        try:
            chunks = self._take_all(self._parser.finish())
        except InvalidOutput:
            chunks = []  # it broke off inside its last event
        if not self.ended and self.error is None:
            if self._reason is None:
                raise NetworkError("the stream ended before the answer did")
            chunks.append(self._done())
        return chunks

    def cut(self) -> Chunk | None:
        """The `done` of a connection that broke: None where more than the end is missing."""
        return None if self.ended or self._reason is None else self._done()

    def _take_all(self, events: list[sse.Event]) -> list[Chunk]:
        chunks: list[Chunk] = []
        for event in events:
            if event.data == _DONE:
                if self._reason is not None:
                    chunks.append(self._done())
            else:
                try:
                    self._take(event, chunks)
                except PromptdError as error:
                    if not chunks:
                        raise
                    self.error = error
            if self.ended or self.error is not None:
                break
        return chunks

    def _take(self, event: sse.Event, chunks: list[Chunk]) -> None:
        try:
            wire = _event.decode(event.data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            mended = decoded_anyway(_event, event.data)
            if mended is None:
                raise InvalidOutput(
                    "the service sent something that is no event of a message", detail=str(error)
                ) from error
            wire = mended
        if wire.error is not None:
            raise error_from_object(wire.error, secrets=self._secrets)
        match wire.type or event.name:
            case "content_block_delta":
                self._delta(wire.index or 0, wire.delta or _Delta(), chunks)
            case "content_block_start":
                self._start(wire.index or 0, wire.content_block or _Block(), chunks)
            case "content_block_stop":
                self._stop(wire.index or 0, chunks)
            case "message_start":
                if wire.message is not None:
                    self._count(wire.message.usage)
                    self._end(wire.message)
            case "message_delta":
                self._count(wire.usage)
                if wire.delta is not None:
                    self._end(wire.delta)
                    self._explain(wire.delta.stop_details, chunks)
            case "message_stop":
                chunks.append(self._done())
            case "error":
                raise error_from_object({}, secrets=self._secrets)

    def _start(self, index: int, block: _Block, chunks: list[Chunk]) -> None:
        if block.type == "tool_use":
            number = self._calls.setdefault(index, len(self._calls))
            self._spoke = True
            chunks.append(Chunk("progress", tool_calls=(ToolCall(number, block.id or "", block.name or ""),)))
            self._given[index] = block.input
        else:
            self._begun = self._length
            self._say(block, chunks)
            if isinstance(block.citations, list):
                for citation in block.citations:
                    self._cite(citation)

    def _delta(self, index: int, delta: _Delta, chunks: list[Chunk]) -> None:
        if delta.citation is not None:
            self._cite(delta.citation)
        elif delta.partial_json is None:
            self._say(delta, chunks)
        elif index in self._calls and delta.partial_json:
            self._given.pop(index, None)
            call = ToolCall(self._calls[index], arguments=delta.partial_json)
            chunks.append(Chunk("progress", tool_calls=(call,)))

    def _say(self, block: _Block, chunks: list[Chunk]) -> None:
        """Whatever of a block or of a delta we have a place for."""
        sealed = block.data if block.type == "redacted_thinking" and block.data else ""
        said = Chunk(
            "progress",
            text=block.text or "",
            thinking=block.thinking or "",
            signature=block.signature or "",
            sealed=sealed,
        )
        if said.text or said.thinking or said.signature or said.sealed:
            self._spoke = True
            self._length += len(said.text)
            chunks.append(said)

    def _cite(self, citation: Any) -> None:
        """A page that the text of this block is from, as the chat API writes it; other sources came along with the call."""
        if isinstance(citation, dict) and citation.get("type") == _FOUND and isinstance(citation.get("url"), str):
            source = {"url": citation["url"], "title": citation.get("title") or "", "start_index": self._begun}
            self._sources.append(source)

    def _stop(self, index: int, chunks: list[Chunk]) -> None:
        self._whole_input(index, chunks)
        for source in self._sources:
            source.setdefault("end_index", self._length)

    def _whole_input(self, index: int, chunks: list[Chunk]) -> None:
        """A call whose arguments came with its start, or that has none."""
        if index in self._given:
            given = self._given.pop(index)
            call = ToolCall(self._calls[index], arguments=_encode(given if given is not None else {}).decode())
            chunks.append(Chunk("progress", tool_calls=(call,)))

    def _explain(self, details: _Details | None, chunks: list[Chunk]) -> None:
        if details is not None and details.explanation and not self._spoke:
            chunks.append(Chunk("progress", refusal=details.explanation))

    def _count(self, counts: Counts | None) -> None:
        if counts is not None:
            self._counts = counts.over(self._counts)

    def _end(self, end: _End | _Delta) -> None:
        self._reason = end.stop_reason or self._reason
        self._sequence = end.stop_sequence or self._sequence

    def _done(self) -> Chunk:
        self.ended = True
        sources = [{"type": "url_citation", "url_citation": source} for source in self._sources]
        return Chunk(
            "done",
            finish_reason=finish_reason(self._reason or "end_turn"),
            stop_sequence=self._sequence,
            usage=self._counts.usage(),
            value={"annotations": sources} if sources else None,
        )

    def whole(self, message: _Message) -> tuple[Chunk, ...]:
        """A message that came whole, as the chunks that a stream of it would have been."""
        chunks: list[Chunk] = []
        for index, block in enumerate(message.content or ()):
            self._start(index, block, chunks)
            self._stop(index, chunks)
        self._count(message.usage)
        self._end(message)
        self._explain(message.stop_details, chunks)
        return (*chunks, self._done())


def decode_answer(body: bytes, *, secrets: Iterable[str] = ()) -> tuple[Chunk, ...]:
    """A message that came whole as `progress` chunks and one `done`.

    Raises what its `error` means, or `InvalidOutput` for what is no message.
    """
    try:
        message = _message.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        mended = decoded_anyway(_message, body)
        if mended is None:
            raise InvalidOutput("the service sent something that is no message", detail=str(error)) from error
        message = mended
    if message.error is not None:
        raise error_from_object(message.error, secrets=secrets)
    if message.content is None:
        raise InvalidOutput("the service's answer holds no content")
    return Reader(secrets).whole(message)
