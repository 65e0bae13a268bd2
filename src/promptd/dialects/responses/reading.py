"""What a service of the Responses API answers, whole or as a stream, as chunks.

Nothing that it sends is trusted: every odd answer ends in a defined result or a typed error.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from functools import partial
from typing import Any, Final, Literal

import msgspec

from promptd.core.content import ToolCall
from promptd.core.engine import Call
from promptd.core.errors import Cancelled, InvalidOutput, NetworkError
from promptd.core.model import Chunk, Usage
from promptd.core.ports import HttpClient, HttpResponse, Timeouts
from promptd.dialects import sse
from promptd.dialects.counts import counts_of
from promptd.dialects.errors import error_from_object
from promptd.dialects.exchange import MAX_BYTES, drain, encoded, media_type, raise_for_status, secrets_of
from promptd.dialects.hosted import HostedTools, fitted, noted
from promptd.dialects.responses.annotations import wrapped
from promptd.dialects.responses.ends import Counts
from promptd.dialects.responses.namespaces import joined
from promptd.dialects.responses.outgoing import encode_request
from promptd.dialects.responses.parts import DIALECT
from promptd.dialects.responses.seals import pack_item, sealed_of, signature_of

_decode: Final = msgspec.json.Decoder().decode
_REASONS: Final = {"max_output_tokens": "length", "content_filter": "content_filter"}
_BETWEEN: Final = "\n\n"  #: texts of one thought
_DEFAULT_TIMEOUTS: Final = Timeouts()
#: the last event repeats the whole answer
_LARGEST_EVENT: Final = 8 * 1024 * 1024


def decode_answer(body: bytes, *, secrets: Iterable[str] = ()) -> tuple[Chunk, ...]:
    """A response that came whole, as the chunks that a stream of it would have been. Raises `PromptExecutionError`."""
    reading = _Reading(secrets)
    return tuple(reading.end(_object(body), whole=True))


class Reader:
    """A stream's bytes, cut anywhere, as chunks."""

    def __init__(self, *, secrets: Iterable[str] = ()) -> None:
        self._reading, self._parser = _Reading(secrets), sse.Parser(_LARGEST_EVENT)

    @property
    def ended(self) -> bool:
        """The `done` was there."""
        return self._reading.ended

    def feed(self, packet: bytes) -> list[Chunk]:
        """`progress` chunks, and the `done` where the packet holds the last event; what comes behind it is ignored."""
        return self._take(self._parser.feed(packet))

    def finish(self) -> list[Chunk]:
        """What is left at the stream's end. Raises `NetworkError` where the response had not ended."""
        try:
            chunks = self._take(self._parser.finish())
        except InvalidOutput:
            chunks = []  # it broke off inside an event
        if not self.ended:
            raise NetworkError("the stream ended before the answer did")
        return chunks

    def _take(self, events: Iterable[sse.Event]) -> list[Chunk]:
        chunks: list[Chunk] = []
        for event in events:
            if self.ended:
                break
            if event.data != b"[DONE]":  # some servers write one, of another dialect's manners
                chunks += self._reading.take(_object(event.data))
        return chunks


class _Reading:
    """What a response has said so far: per place in it how much, so that what comes twice is told once."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = tuple(secrets)
        self._told: dict[tuple[Any, ...], int] = {}  # characters
        self._calls: dict[Any, int] = {}  # output index → which call
        self._sealed: set[Any] = set()
        self._shown: dict[Any, str] = {}  # output index → which of its texts shows the thought
        self._annotations: list[dict[str, Any]] = []
        self.ended = False

    def take(self, event: dict[str, Any]) -> list[Chunk]:
        kind = event.get("type")
        place = event.get("output_index")
        place = place if isinstance(place, int) else 0
        match kind:
            case "response.output_text.delta":
                return self._text((place, _index(event)), _text(event, "delta"), event.get("logprobs"))
            case "response.refusal.delta":
                return self._refusal((place, _index(event)), _text(event, "delta"))
            case "response.reasoning_summary_text.delta" | "response.reasoning_text.delta":
                shown = "summary" if "summary" in kind else "content"
                return self._thought(place, shown, _index(event, shown), _text(event, "delta"))
            case "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta":
                return self._arguments(place, _text(event, "delta"), custom="custom" in kind)
            case "response.output_item.added":
                return self._began(place, _mapping(event, "item"))
            case "response.output_item.done":
                return self._item(place, _mapping(event, "item"))
            case "response.completed" | "response.incomplete" | "response.failed" | "response.cancelled":
                return self.end(_mapping(event, "response"), whole=False)
            case "error":
                raise error_from_object(event.get("error") or event, secrets=self._secrets)
            case None if event.get("error") is not None:
                raise error_from_object(event["error"], secrets=self._secrets)
        return []

    def end(self, response: dict[str, Any], *, whole: bool) -> list[Chunk]:
        """What was not told yet, then the `done`. Raises what the response failed with."""
        status = response.get("status")
        if response.get("error") is not None or status == "failed":
            raise error_from_object(response.get("error") or "the response failed", secrets=self._secrets)
        if status == "cancelled":
            raise Cancelled("the service cancelled the response")
        output = response.get("output")
        if whole and not isinstance(output, list):
            raise InvalidOutput("the service's answer holds no output")
        if status in ("queued", "in_progress"):
            raise InvalidOutput(f"the service's answer is {status}")
        # events told all of it, unless this server leaves some of them out
        known = {key[0] for key in self._told} | ({"reasoning"} if self._sealed else set())
        known |= {"function_call", "custom_tool_call"} if self._calls else set()
        chunks = [
            chunk
            for place, item in enumerate(output if isinstance(output, list) else ())
            if isinstance(item, dict) and item.get("type") not in known
            for chunk in self._item(place, item)
        ]
        if not self._annotations:  # they may be told behind the text that they are about
            self._annotations = [
                one
                for item in (output if isinstance(output, list) else ())
                if isinstance(item, dict)
                for part in _objects(item, "content")
                for one in _annotations(part)
            ]
        details = _mapping(response, "incomplete_details")
        if status == "incomplete":
            finish_reason = _REASONS.get(_text(details, "reason"), "length")
        else:
            finish_reason = "tool_calls" if self._calls else "stop"
        self.ended = True
        value = {"annotations": self._annotations} if self._annotations else None
        counts = counts_of(response.get("usage"), Counts)
        usage = counts.usage() if counts is not None else Usage()
        return [*chunks, Chunk("done", finish_reason=finish_reason, usage=usage, value=value)]

    # ---------------------------------------------------------------- items

    def _began(self, place: int, item: dict[str, Any]) -> list[Chunk]:
        kind = item.get("type")
        if kind not in ("function_call", "custom_tool_call") or place in self._calls:
            return []
        index = self._calls[place] = len(self._calls)
        name, namespace = _text(item, "name"), _text(item, "namespace")
        name = joined(namespace, name) if namespace else name
        call = ToolCall(index, _text(item, "call_id") or _text(item, "id"), name, "", kind != "function_call")
        return [Chunk("progress", tool_calls=(call,))]

    def _item(self, place: int, item: dict[str, Any]) -> list[Chunk]:
        """An item that is whole: the rest of it."""
        kind = item.get("type")
        chunks: list[Chunk] = []
        if kind in ("function_call", "custom_tool_call"):
            said = _text(item, "input" if kind == "custom_tool_call" else "arguments")
            chunks += self._began(place, item)
            return chunks + self._arguments(
                place, said[self._told.get(("call", place), 0) :], custom=kind != "function_call"
            )
        if kind == "message":
            for index, part in enumerate(_objects(item, "content")):
                key = ("message", place, index)
                self._annotations += _annotations(part)
                if part.get("type") == "refusal":
                    chunks += self._refusal((place, index), _text(part, "refusal")[self._told.get(key, 0) :])
                else:
                    known = self._told.get(key, 0)
                    logprobs = None if known else part.get("logprobs")
                    chunks += self._text((place, index), _text(part, "text")[known:], logprobs)
        if kind == "reasoning":
            chunks += self._reasoned(place, item)
        return chunks

    def _reasoned(self, place: int, item: dict[str, Any]) -> list[Chunk]:
        chunks: list[Chunk] = []
        for shown in ("summary", "content"):
            for index, part in enumerate(_objects(item, shown)):
                text = _text(part, "text")[self._told.get(("reasoning", place, shown, index), 0) :]
                chunks += self._thought(place, shown, index, text)
        encrypted = _text(item, "encrypted_content")
        if encrypted and place not in self._sealed:
            self._sealed.add(place)
            signature = signature_of(encrypted)
            sealed = sealed_of(encrypted)
            if signature is not None:  # the service is one of ours
                chunks.append(Chunk("progress", signature=signature))
            elif sealed is not None:
                chunks.append(Chunk("progress", sealed=sealed))
            else:
                chunks.append(Chunk("progress", sealed=pack_item(_text(item, "id"), encrypted)))
        return chunks

    # ---------------------------------------------------------------- pieces

    def _count(self, key: tuple[Any, ...], text: str) -> None:
        self._told[key] = self._told.get(key, 0) + len(text)

    def _text(self, place: tuple[int, int], text: str, logprobs: Any) -> list[Chunk]:
        self._count(("message", *place), text)
        told = logprobs if isinstance(logprobs, list) and logprobs else None
        return [Chunk("progress", text=text, logprobs=told)] if text else []

    def _refusal(self, place: tuple[int, int], text: str) -> list[Chunk]:
        self._count(("message", *place), text)
        return [Chunk("progress", refusal=text)] if text else []

    def _thought(self, place: int, shown: str, index: int, text: str) -> list[Chunk]:
        """A summary and the thought itself say the same: the first of them that comes is told."""
        if not text or self._shown.setdefault(place, shown) != shown:
            return []
        key = ("reasoning", place, shown, index)
        begins = key not in self._told and index > 0
        self._count(key, text)
        return [Chunk("progress", thinking=_BETWEEN + text if begins else text)]

    def _arguments(self, place: int, text: str, *, custom: bool) -> list[Chunk]:
        if place not in self._calls:
            return []  # a call of nothing that was ever named; its item may still come whole
        self._count(("call", place), text)
        return [Chunk("progress", tool_calls=(ToolCall(self._calls[place], "", "", text, custom),))] if text else []


def _object(data: bytes) -> dict[str, Any]:
    try:
        event = _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidOutput("the service sent something that is no response", detail=str(error)) from error
    if type(event) is not dict:
        raise InvalidOutput("the service sent something that is no response")
    return event


def _text(of: dict[str, Any], name: str) -> str:
    value = of.get(name)
    return value if isinstance(value, str) else ""


def _mapping(of: dict[str, Any], name: str) -> dict[str, Any]:
    value = of.get(name)
    return value if isinstance(value, dict) else {}


def _objects(of: dict[str, Any], name: str) -> list[dict[str, Any]]:
    value = of.get(name)
    return [part if isinstance(part, dict) else {} for part in value] if isinstance(value, list) else []


def _annotations(part: dict[str, Any]) -> list[dict[str, Any]]:
    return [wrapped(one) for one in _objects(part, "annotations") if one]


def _index(event: dict[str, Any], of: str = "content") -> int:
    value = event.get(f"{of}_index")
    return value if isinstance(value, int) else 0


# ------------------------------------------------------------------ run a call


async def run(
    http: HttpClient,
    url: str,
    headers: Mapping[str, str],
    call: Call[Any, Any],
    *,
    timeouts: Timeouts = _DEFAULT_TIMEOUTS,
    max_bytes: int = MAX_BYTES,
    open_thoughts: bool = False,
    hosted_tools: HostedTools = "leave_out",
) -> AsyncGenerator[Chunk, None]:
    """Run `call` at `url`, the service's `…/responses`. Closing the generator closes the connection at once.

    Values of `headers` are taken for secrets: they are blotted out of messages. `open_thoughts`: the service takes
    readable thoughts of earlier turns too.
    """
    thoughts: Literal["open", "sealed"] = "open" if open_thoughts else "sealed"
    call, left = fitted(call, DIALECT, hosted_tools)
    body = await encoded(call, partial(encode_request, call, stream=True, thoughts=thoughts))
    secrets = secrets_of(headers)
    sent = {**headers, "content-type": "application/json"}
    async with http.request("POST", url, headers=sent, body=body, timeouts=timeouts, max_bytes=max_bytes) as response:
        await raise_for_status(response, secrets=secrets)
        async with aclosing(_chunks(response, secrets)) as chunks:
            async for chunk in chunks:
                if chunk.kind == "done":
                    done = chunk
                else:
                    yield chunk
    # only now, so that the connection is free for the next call before anybody acts on the answer
    yield noted(done, left)


async def _chunks(response: HttpResponse, secrets: list[str]) -> AsyncGenerator[Chunk, None]:
    kind = media_type(response)
    if kind == "application/json":
        for chunk in decode_answer(await response.read(), secrets=secrets):
            yield chunk
        return
    if kind not in ("text/event-stream", ""):
        raise InvalidOutput(f"expected an event stream, the service sent {kind[:80]}")
    reader = Reader(secrets=secrets)
    packets = response.chunks()
    async for packet in packets:
        for chunk in reader.feed(packet):
            yield chunk
        if reader.ended:
            await drain(packets)
            return
    for chunk in reader.finish():
        yield chunk
