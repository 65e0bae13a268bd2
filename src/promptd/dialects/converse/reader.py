"""What a service that speaks the Converse API answers, whole or as a stream, as chunks.

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
from promptd.dialects.converse.ends import Counts, finish_reason
from promptd.dialects.converse.errors import error_from_exception
from promptd.dialects.counts import decoded_anyway
from promptd.dialects.event_stream import Message, Parser

_KIND: Final = ":message-type"
#: those that are read; the service may get others at any time
_EVENTS: Final = frozenset(
    {"messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"}
)
_encode: Final = msgspec.json.Encoder().encode


class _ReasoningText(Struct):
    text: str | None = None
    signature: str | None = None


class _Reasoning(_ReasoningText):
    """Flat in a stream, and not where it comes whole."""

    redactedContent: str | None = None  # noqa: N815 - the wire's names
    reasoningText: _ReasoningText | None = None  # noqa: N815


class _ToolUse(Struct):
    toolUseId: str | None = None  # noqa: N815
    name: str | None = None
    input: Any = None
    type: str | None = None  #: of a tool that the service runs by itself, and nobody else


class _Piece(Struct):
    text: str | None = None


class _Cited(Struct):
    content: list[_Piece] | None = None


class _Block(Struct):
    text: str | None = None
    toolUse: _ToolUse | None = None  # noqa: N815
    reasoningContent: _Reasoning | None = None  # noqa: N815
    citationsContent: _Cited | None = None  # noqa: N815


class _Event(Struct):
    start: _Block | None = None
    delta: _Block | None = None
    contentBlockIndex: int | None = None  # noqa: N815
    stopReason: str | None = None  # noqa: N815
    additionalModelResponseFields: Any = None  # noqa: N815
    usage: Counts | None = None


class _Said(Struct):
    content: list[_Block] | None = None


class _Output(Struct):
    message: _Said | None = None


class _Answer(_Event):
    output: _Output | None = None


_event: Final = msgspec.json.Decoder(_Event)
_answer: Final = msgspec.json.Decoder(_Answer)


class Reader:
    """A stream's bytes, cut anywhere, as `progress` chunks and one `done`.

    Raises what an exception means, `InvalidOutput` for what is no Converse stream, and from `finish` a `NetworkError`
    where the stream ended before the answer did. What the same packet said before it is given first: then the error is
    in `error`, and raised by the next call. Values of `secrets` are blotted out of messages.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = secrets
        self._parser = Parser()
        self._counts: Counts | None = None
        self._reason: str | None = None
        self._sequence: str | None = None
        self._calls: dict[int, int] = {}  # index of a block → number of its call
        self._silent: set[int] = set()  # blocks of calls whose input has not begun
        self.ended = False  #: the `done` was given; what comes now is of no interest
        self.error: PromptdError | None = None

    def feed(self, packet: bytes) -> list[Chunk]:
        """The chunks that `packet` completes."""
        if self.error is not None:
            raise self.error
        return [] if self.ended else self._take_all(packet)

    def finish(self) -> list[Chunk]:
        """The body is at its end."""
        if self.error is not None:
            raise self.error
        if self.ended:
            return []
        if self._reason is None:
            raise NetworkError("the stream ended before the answer did")
        return [self._done()]

    def cut(self) -> Chunk | None:
        """The `done` of a connection that broke: None where more than the token counts are missing."""
        return None if self.ended or self._reason is None else self._done()

    def _take_all(self, packet: bytes) -> list[Chunk]:
        chunks: list[Chunk] = []
        try:
            for message in self._parser.feed(packet):
                self._take(message, chunks)
                if self.ended:
                    return chunks
            if self._parser.error is not None:
                raise self._parser.error
        except PromptdError as error:
            if not chunks:
                raise
            self.error = error
        return chunks

    def _take(self, message: Message, chunks: list[Chunk]) -> None:
        kind = message.headers.get(_KIND)
        if kind == "exception":
            named = message.headers.get(":exception-type", "")
            raise error_from_exception(named, message.payload, secrets=self._secrets)
        if kind == "error":
            said = _encode({"message": message.headers.get(":error-message", "")})
            raise error_from_exception(message.headers.get(":error-code", ""), said, secrets=self._secrets)
        if kind != "event":
            raise InvalidOutput("the service sent something that is no event of an answer")
        event_type = message.headers.get(":event-type")
        if event_type not in _EVENTS:
            return
        try:
            event = _event.decode(message.payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            mended = decoded_anyway(_event, message.payload)
            if mended is None:
                raise InvalidOutput(
                    "the service sent something that is no event of an answer", detail=str(error)
                ) from error
            event = mended
        index = event.contentBlockIndex or 0
        match event_type:
            case "contentBlockStart":
                self._start(index, event.start or _Block(), chunks)
            case "contentBlockDelta":
                self._delta(index, event.delta or _Block(), chunks)
            case "contentBlockStop":
                self._stop(index, chunks)
            case "messageStop":
                self._end(event)
            case "metadata":
                self._counts = event.usage
        if self._reason is not None and self._counts is not None:
            chunks.append(self._done())

    def _start(self, index: int, block: _Block, chunks: list[Chunk]) -> None:
        use = block.toolUse
        if use is not None and use.type is None and index not in self._calls:
            self._calls[index] = number = len(self._calls)
            self._silent.add(index)
            chunks.append(Chunk("progress", tool_calls=(ToolCall(number, use.toolUseId or "", use.name or ""),)))

    def _delta(self, index: int, block: _Block, chunks: list[Chunk]) -> None:
        use = block.toolUse
        if use is not None:
            if index in self._calls and isinstance(use.input, str) and use.input:
                self._silent.discard(index)
                chunks.append(Chunk("progress", tool_calls=(ToolCall(self._calls[index], arguments=use.input),)))
            return
        _say(block, chunks)

    def _stop(self, index: int, chunks: list[Chunk]) -> None:
        """A call without arguments has an empty object of them."""
        if index in self._silent:
            self._silent.discard(index)
            chunks.append(Chunk("progress", tool_calls=(ToolCall(self._calls[index], arguments="{}"),)))

    def _end(self, event: _Event) -> None:
        self._reason = event.stopReason or "end_turn"
        finish_reason(self._reason)
        more = event.additionalModelResponseFields
        sequence = more.get("stop_sequence") if isinstance(more, dict) else None
        if isinstance(sequence, str) and self._reason == "stop_sequence":
            self._sequence = sequence

    def _done(self) -> Chunk:
        self.ended = True
        return Chunk(
            "done",
            finish_reason=finish_reason(self._reason or "end_turn"),
            stop_sequence=self._sequence,
            usage=(self._counts or Counts()).usage(),
        )

    def whole(self, answer: _Answer) -> tuple[Chunk, ...]:
        """An answer that came whole, as the chunks that a stream of it would have been."""
        chunks: list[Chunk] = []
        said = answer.output.message if answer.output is not None else None
        for index, block in enumerate((said.content if said is not None else None) or ()):
            use = block.toolUse
            if use is None:
                _say(block, chunks)
                continue
            self._start(index, block, chunks)
            if index in self._calls:
                arguments = _encode(use.input if use.input is not None else {}).decode()
                chunks.append(Chunk("progress", tool_calls=(ToolCall(self._calls[index], arguments=arguments),)))
        self._counts = answer.usage
        self._end(answer)
        return (*chunks, self._done())


def _say(block: _Block, chunks: list[Chunk]) -> None:
    """Whatever of a block or of a delta we have a place for."""
    thought = block.reasoningContent or _Reasoning()
    proven = thought.reasoningText or thought
    cited = block.citationsContent.content if block.citationsContent is not None else None
    said = Chunk(
        "progress",
        text=(block.text or "") + "".join([piece.text or "" for piece in cited or ()]),
        thinking=proven.text or "",
        signature=proven.signature or "",
        sealed=thought.redactedContent or "",
    )
    if said.text or said.thinking or said.signature or said.sealed:
        chunks.append(said)


def decode_answer(body: bytes, *, secrets: Iterable[str] = ()) -> tuple[Chunk, ...]:
    """An answer that came whole as `progress` chunks and one `done`. Raises `InvalidOutput` for what is none."""
    try:
        answer = _answer.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        mended = decoded_anyway(_answer, body)
        if mended is None:
            raise InvalidOutput("the service sent something that is no answer", detail=str(error)) from error
        answer = mended
    if answer.output is None or answer.stopReason is None:
        raise InvalidOutput("the service's answer holds no output")
    return Reader(secrets).whole(answer)
