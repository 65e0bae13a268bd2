"""What services answer, as chunks: chats and legacy completions, whole or as a stream.

Nothing that a service sends is trusted: every odd answer ends in a defined result or a typed error.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec
from msgspec import Struct

from promptd.core.content import Thinking, ToolCall
from promptd.core.errors import ContentFiltered, InvalidOutput, NetworkError
from promptd.core.model import Chunk, Usage
from promptd.dialects import sse
from promptd.dialects.chat.ends import Counts, finish_reason
from promptd.dialects.chat.parts import thought_of
from promptd.dialects.chat.proofs import decode_details, proofs_of
from promptd.dialects.counts import decoded_anyway
from promptd.dialects.errors import error_from_object

DONE: Final = b"[DONE]"


class _Function(Struct):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class _Custom(Struct):
    name: str | None = None
    input: str | None = None


class _ToolPiece(Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None
    custom: _Custom | None = None
    extra_content: dict[str, Any] | None = None  #: Gemini's proof of the thought behind a call


class _Audio(Struct):
    transcript: str | None = None


class _Said(Struct):
    """A message, or what one event adds to it."""

    content: str | list[dict[str, Any]] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: Any = None
    reasoning_details: Any = None
    tool_calls: list[_ToolPiece] | None = None
    function_call: _Function | None = None
    annotations: list[dict[str, Any]] | None = None
    audio: _Audio | None = None


class _Logprobs(Struct):
    content: list[dict[str, Any]] | None = None
    tokens: list[str] | None = None
    token_logprobs: list[float | None] | None = None
    top_logprobs: list[dict[str, float] | None] | None = None


class _Choice(Struct):
    index: int | None = None
    delta: _Said | None = None
    message: _Said | None = None
    text: str | None = None
    finish_reason: str | None = None
    stop_reason: Any = None  #: vLLM's: the stop sequence, or a token's number
    logprobs: _Logprobs | None = None


class _Completion(Struct):
    """A whole chat or text completion, or one event of its stream."""

    choices: list[_Choice] | None = None
    usage: Counts | None = None
    error: Any = None


_completion: Final = msgspec.json.Decoder(_Completion)
_decode: Final = _completion.decode


class _Reading:
    """What a completion's events have said so far."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = secrets
        self._spoke = self._called = False
        self._usage = Usage()
        self._indexes: dict[str, int] = {}  # of tool calls, for servers that leave them out
        self._annotations: list[dict[str, Any]] = []
        self._stop: str | None = None
        self.answered = False  #: there was a choice at all
        self.thoughts: tuple[Thinking, ...] = ()  #: of a whole message, where they come with their proofs
        self.finish_reason: str | None = None

    def take(self, data: bytes) -> Chunk | None:
        """The `progress` of one event or whole body. Raises what its `error` means, or `InvalidOutput`."""
        try:
            event = _decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            mended = decoded_anyway(_completion, data)
            if mended is None:
                raise InvalidOutput("the service sent something that is no completion", detail=str(error)) from error
            event = mended
        if event.error is not None:
            raise error_from_object(event.error, secrets=self._secrets)
        if event.usage is not None:
            self._usage = event.usage.usage()
        choice = next((choice for choice in event.choices or () if not choice.index), None)
        if choice is None:
            return None
        self.answered = True
        self.finish_reason = choice.finish_reason or self.finish_reason
        if isinstance(choice.stop_reason, str):
            self._stop = choice.stop_reason
        said = choice.delta or choice.message
        chunk = self._chunk(said, choice) if said is not None else Chunk("progress", text=choice.text or "")
        if choice.logprobs is not None and (told := logprobs_of(choice.logprobs)):
            chunk = msgspec.structs.replace(chunk, logprobs=told)
        elif not (chunk.text or chunk.thinking or chunk.tool_calls or chunk.refusal or chunk.signature or chunk.sealed):
            return None
        self._spoke = True
        return chunk

    def _chunk(self, said: _Said, choice: _Choice) -> Chunk:
        if said.annotations:
            self._annotations += said.annotations
        thinking = said.reasoning_content or ""
        if not thinking and isinstance(said.reasoning, str):
            thinking = said.reasoning
        content = said.content
        if isinstance(content, list):
            text, more = _read_parts(content)
            thinking += more
        else:
            text = content or choice.text or ""
        if not text and said.audio is not None:
            text = said.audio.transcript or ""
        tool_calls: tuple[ToolCall, ...] = ()
        if said.tool_calls:
            tool_calls = tuple([self._tool_call(piece) for piece in said.tool_calls])
        elif said.function_call is not None:
            tool_calls = (self._tool_call(_ToolPiece(0, function=said.function_call)),)
        if said.reasoning_details is None and not said.refusal:
            return Chunk("progress", text=text, tool_calls=tool_calls, thinking=thinking)
        signature, sealed = proofs_of(said.reasoning_details)
        if choice.message is not None and (signature or sealed):
            self.thoughts = decode_details(said.reasoning_details, thinking)
            thinking = signature = sealed = ""
        return Chunk(
            "progress",
            text=text,
            tool_calls=tool_calls,
            thinking=thinking,
            signature=signature,
            sealed=sealed,
            refusal=said.refusal or "",
        )

    def _tool_call(self, piece: _ToolPiece) -> ToolCall:
        self._called = True
        index = piece.index
        if index is None:
            known = len(self._indexes)
            index = self._indexes.setdefault(piece.id, known) if piece.id else max(0, known - 1)
        extra = {"extra_content": piece.extra_content} if piece.extra_content else {}
        if piece.custom is not None:
            name, text = piece.custom.name, piece.custom.input
            return ToolCall(max(0, index), piece.id or "", name or "", text or "", custom=True, extra=extra)
        function = piece.function or _Function()
        given = function.arguments
        arguments = msgspec.json.encode(given).decode() if isinstance(given, dict) else given or ""
        return ToolCall(max(0, index), piece.id or "", function.name or "", arguments, extra=extra)

    def done(self) -> Chunk:
        """The end. Raises `ContentFiltered` where the service withheld it all, `InvalidOutput` where there is no answer."""
        if not self.answered:
            raise InvalidOutput("the service's answer holds no choice")
        reason = finish_reason(self.finish_reason, called=self._called)
        if reason == "content_filter" and not self._spoke:
            raise ContentFiltered(stage="output")
        return Chunk(
            "done",
            finish_reason=reason,
            usage=self._usage,
            stop_sequence=self._stop if reason == "stop" else None,
            value={"annotations": self._annotations} if self._annotations else None,
        )


class Reader:
    """A stream's bytes, cut anywhere, as chunks."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """`secrets` are blotted out of the service's words."""
        self._reading = _Reading(secrets)
        self._parser = sse.Parser()
        self.ended = False  #: `[DONE]` was there; what follows is not looked at

    @property
    def complete(self) -> bool:
        """Whether nothing but the token counts can be missing."""
        return self.ended or self._reading.finish_reason is not None

    def feed(self, packet: bytes) -> Iterator[Chunk]:
        """The `progress` chunks that `packet` completes. Raises, behind them, what an error inside means."""
        return self._take(self._parser.feed(packet))

    def finish(self) -> list[Chunk]:
        """What is left at the end of the stream, the `done` last. Raises `NetworkError` where the answer is cut short."""
        chunks: list[Chunk] = []
        if not self.ended:
            try:
                chunks = list(self._take(self._parser.finish()))
            except InvalidOutput:
                if not self.complete:
                    raise NetworkError("the stream ended inside an event") from None
            if not self.complete:
                raise NetworkError("the stream ended before the answer did")
        return [*chunks, self._reading.done()]

    def _take(self, events: Iterable[sse.Event]) -> Iterator[Chunk]:
        for event in events:
            if self.ended:
                return
            if event.data == DONE:
                self.ended = True
            elif (progress := self._reading.take(event.data)) is not None:
                yield progress


def decode_answer(body: bytes, *, secrets: Iterable[str] = ()) -> tuple[Chunk, ...]:
    """A completion that came whole, as the chunks that a stream of it would have been."""
    reading = _Reading(secrets)
    progress = reading.take(body)
    told = [
        Chunk("progress", thinking=thought.text, signature=thought.signature, sealed=thought.sealed)
        for thought in reading.thoughts
    ]
    if progress is not None:
        told.append(progress)
    return (*told, reading.done())


def logprobs_of(told: _Logprobs) -> list[dict[str, Any]] | None:
    """As the chat API writes them; the legacy form has a list for each member."""
    if told.content is not None or not told.tokens:
        return told.content
    chances, tops = told.token_logprobs or [], told.top_logprobs or []
    return [
        {
            "token": token,
            "logprob": (chances[place] if place < len(chances) else None) or 0.0,
            "bytes": list(token.encode("utf-8", "replace")),
            "top_logprobs": [
                {"token": other, "logprob": chance, "bytes": list(other.encode("utf-8", "replace"))}
                for other, chance in ((tops[place] if place < len(tops) else None) or {}).items()
            ],
        }
        for place, token in enumerate(told.tokens)
    ]


def _read_parts(content: list[dict[str, Any]]) -> tuple[str, str]:
    """Text and thought of a content that came in parts."""
    texts, thoughts = [], []
    for part in content:
        if part.get("type") == "thinking":
            thoughts.append(thought_of(part))
        elif isinstance(part.get("text"), str):
            texts.append(part["text"])
    return "".join(texts), "".join(thoughts)
