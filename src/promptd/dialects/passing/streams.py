"""A stream of events that passes through: the bytes of the service become the bytes of the client.

Events go on as soon as they are whole, one or several at a time; what has come of the next one waits for its rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
from msgspec import Struct

from promptd.core.errors import InvalidOutput, NetworkError, PromptExecutionError
from promptd.core.model import Usage
from promptd.dialects.passing.bodies import without
from promptd.dialects.passing.looks import Look, Seen, look_for

_encode: Final = msgspec.json.Encoder().encode
MAX_EVENT: Final = 16 * 1024 * 1024  #: bytes; pictures come as events


_NULLS: Final = (b',"usage":null', b', "usage": null')
#: where an event says something, in the dialects whose events differ in nothing else
_SAYS: Final = re.compile(
    rb'"(?:content|text|arguments|partial_json|reasoning_content|reasoning|thinking)"\s*:\s*"(?P<said>[^"\\]+)"'
)
_NOTHING: Final = bytearray()  # nobody changes it; most streams need none
_QUOTE: Final = ord('"')
_TRIES: Final = 9  # to learn what most events of a stream look like


class _Inner(Struct, frozen=True):
    model: str | None = None


class _Named(_Inner, frozen=True):
    """Where an event tells the model's name."""

    message: _Inner | None = None
    response: _Inner | None = None


_named: Final = msgspec.json.Decoder(_Named).decode


class Stream:
    """One answer. Look at `error` and `ended` after each `feed`."""

    __slots__ = (
        "_held",
        "_hidden",
        "_look",
        "_model",
        "_new",
        "_null",
        "_old",
        "_secrets",
        "_told",
        "_tries",
        "_usual",
        "ended",
        "error",
        "events",
        "finish_reason",
        "over",
        "usage",
    )

    def __init__(
        self, dialect: str, *, model: str | None = None, hidden: bool = False, secrets: Iterable[str] = ()
    ) -> None:
        """`model` takes the place of the service's own name for it; `hidden`: nobody asked for token counts."""
        self._look: Look = look_for(dialect)
        self._model, self._hidden, self._secrets = model, hidden, secrets
        self._held = _NOTHING  # of the event that is not whole yet
        self._old = self._new = self._null = b""
        #: what most events are, up to what they say and behind it; how long these are, the latter less than 0
        self._usual: tuple[bytes, bytes, int, int] | None = None
        self._told = (b"", b"")  # the same two as the client gets them
        self._tries = _TRIES
        self.ended = False  #: the last event was there; what follows is not looked at
        self.error: PromptExecutionError | None = (
            None  #: the service failed; what it said before is in what `feed` gave
        )
        self.over = False  #: either of the two
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        self.events = 0  #: in what `feed` gave

    def feed(self, packet: bytes) -> bytes:
        """The client's bytes of the events that `packet` completes. Raises `InvalidOutput` for an event without end."""
        if self.over:
            return b""
        held, usual = self._held, self._usual
        if usual is not None and not held:
            # The quotes around what is said are those of one text. (`startswith` costs more than a slice, and bytes in
            # place of the number of one as much as all of this.)
            start, rest, before, behind = usual
            if packet[:before] == start and packet[behind:] == rest and len(packet) >= before - behind:
                said = packet[before:behind]
                if _QUOTE not in said:
                    start, rest = self._told
                    self.events += 1
                    return start + said + rest
        if not held and packet.endswith(b"\n\n"):
            return self._pass(packet)
        since = max(0, len(held) - 2)
        if held is _NOTHING:
            held = self._held = bytearray()
        held += packet
        end = max(held.rfind(b"\n\n", since) + 2, held.rfind(b"\n\r\n", since) + 3)
        if end < 3:  # nothing was found, which is -1 + 3
            if len(held) > MAX_EVENT:
                raise InvalidOutput(f"the stream holds an event of more than {MAX_EVENT} bytes")
            return b""
        block = bytes(held[:end])
        del held[:end]
        return self._pass(block)

    def finish(self) -> bytes:
        """The end of the body: what was left open. Raises `NetworkError` where the answer is cut short."""
        if self.ended:
            return b""
        # a service may leave out the empty line behind its last event; nothing else of half an event is told
        rest = self._pass(bytes(self._held) + b"\n\n") if self._held.strip() else b""
        if self.error is None and not self.ended:
            raise NetworkError("the stream ended before the answer did")
        return rest

    def _pass(self, block: bytes) -> bytes:
        told = self._searched(block)
        self.events += told.count(b"data:")
        return told

    def _searched(self, block: bytes) -> bytes:
        told = block if self._model is None else self._renamed(block, self._model)
        if self._look.hint(told):
            return self._looked(told)
        if self._tries and (found := _SAYS.search(block)) is not None:
            if self._tries < _TRIES:  # not from the first one: many say one thing and are silent then for long
                self._learn_usual(block, *found.span("said"))
            self._tries -= 1
        return self._unmarked(told) if self._hidden else told

    def _learn_usual(self, block: bytes, start: int, end: int) -> None:
        """Nothing has to be looked for in an event that differs from this one only between these two places."""
        if self._model is not None and not self._old and b'"model"' in block:
            return  # how the name is written may be learned yet
        if block.count(b"data:") > 1:
            return  # several events, of which each counts
        before, behind = block[:start], block[end:]
        self._usual = before, behind, start, end - len(block)
        if self._old:
            before, behind = before.replace(self._old, self._new), behind.replace(self._old, self._new)
        if self._hidden:
            before, behind = self._unmarked(before), self._unmarked(behind)
        self._told = before, behind

    def _unmarked(self, block: bytes) -> bytes:
        """Without the `null` with which every event says that token counts will come."""
        if not self._null:
            self._null = next((null for null in _NULLS if null in block), b"")
        return block.replace(self._null, b"") if self._null else block

    def _renamed(self, block: bytes, model: str) -> bytes:
        if not self._old:
            self._learn(block, model)
        return block.replace(self._old, self._new) if self._old else block

    def _learn(self, block: bytes, model: str) -> None:
        """How the service writes the model's name. It stays so for the whole stream."""
        if b'"model"' not in block:
            return
        for event in _events(block):
            try:
                told = _named(_data_of(event))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
            name = told.model or (told.message and told.message.model) or (told.response and told.response.model)
            if not name:
                continue
            found = re.search(rb'[,{]\s*"model"\s*:\s*' + re.escape(_encode(name)), event)
            if found is not None:
                self._old = found[0]
                self._new = found[0].removesuffix(_encode(name)) + _encode(model)
                return

    def _looked(self, block: bytes) -> bytes:
        """The slow way: event by event."""
        kept: list[bytes] = []
        for event in _events(block):
            data = _data_of(event)
            if not data:
                kept.append(event)
                continue
            try:
                seen = self._look.event(data, self._secrets)
            except InvalidOutput:
                seen = Seen()  # it is the client's to make something of it
            except PromptExecutionError as error:
                self.error = error
                self.over = True
                break
            self.usage = seen.usage or self.usage
            self.finish_reason = seen.finish_reason or self.finish_reason
            if not self._hidden:
                kept.append(event)
            elif not seen.bare:
                kept.append(_bared(event, data))
            if seen.ended:
                self.ended = self.over = True
                break
        return b"".join(kept)


def _events(block: bytes) -> Iterator[bytes]:
    """Each event with the empty line behind it."""
    start = 0
    while start < len(block):
        ends = [
            at + width for at, width in ((block.find(b"\n\n", start), 2), (block.find(b"\n\r\n", start), 3)) if at >= 0
        ]
        end = min(ends, default=len(block))
        yield block[start:end]
        start = end


def _bared(event: bytes, data: bytes) -> bytes:
    """An event without token counts that came with something else."""
    if b'"usage"' not in data:
        return event
    try:
        bare = without(data, "usage")
    except InvalidOutput:
        return event
    return event.replace(data, bare) if data in event else b"data: " + bare + b"\n\n"


def _data_of(event: bytes) -> bytes:
    lines = [line[5:].strip() for line in event.splitlines() if line.startswith(b"data:")]
    return lines[0] if len(lines) == 1 else b"\n".join(lines)
