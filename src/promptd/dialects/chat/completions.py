"""Legacy completions (`/completions`) as their clients see them; `outgoing.py` and `answers.py` are the other side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from promptd.core.content import Turn
from promptd.core.errors import InvalidRequest, PromptdError
from promptd.core.model import Answer, Capability, Chunk, Request, Usage
from promptd.core.parameters import Parameters
from promptd.core.routing import add
from promptd.dialects.asked import Asked
from promptd.dialects.chat import wrong
from promptd.dialects.chat.ends import wire_reason, wire_usage
from promptd.dialects.chat.errors import error_event

_MOST: Final = 128  # prompts of one request, and choices for each
_encode = msgspec.json.Encoder().encode


class _StreamOptions(Struct, frozen=True):
    include_usage: bool | None = None


class _Body(Struct, frozen=True):
    prompt: str | list[Any]
    model: str | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: Annotated[int, Meta(ge=0, le=2**53)] | None = None
    stop: str | list[str] | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    top_k: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logprobs: Annotated[int, Meta(ge=0, le=100)] | bool | None = None
    user: str | None = None
    n: Annotated[int, Meta(ge=1, le=_MOST)] | None = None
    best_of: Annotated[int, Meta(ge=1, le=_MOST)] | None = None


_decode = msgspec.json.Decoder(_Body)
_untyped = msgspec.json.Decoder(dict[str, Any])
_KNOWN: Final = frozenset(_Body.__struct_fields__)


def decode_completions(body: bytes) -> tuple[Asked, ...]:
    """What is asked, once for each prompt, in order. Raises `InvalidRequest` that names the field."""
    asked: _Body = wrong.decode(_decode, body)
    prompts = [asked.prompt] if isinstance(asked.prompt, str) else asked.prompt
    if not prompts:
        raise InvalidRequest(field="prompt", expected="at least one text")
    if len(prompts) > _MOST and isinstance(prompts[0], str):
        raise InvalidRequest(field="prompt", expected=f"at most {_MOST} texts")
    for place, prompt in enumerate(prompts):
        if not isinstance(prompt, str):
            raise InvalidRequest(field=f"prompt[{place}]", expected="a text; token numbers are not taken")
    parameters = _parameters(asked, wrong.decode(_untyped, body))
    options = asked.stream_options
    return tuple(
        Asked(
            request=Request(messages=(Turn("user", prompt),), parameters=parameters),
            model=asked.model or None,
            stream=asked.stream is True,
            usage=options is not None and options.include_usage is True,
            capability=Capability.COMPLETION,
        )
        for prompt in prompts
    )


def _parameters(asked: _Body, body: dict[str, Any]) -> Parameters:
    extra = {name: value for name, value in body.items() if name not in _KNOWN and value is not None}
    told = asked.logprobs is not None and asked.logprobs is not False
    return Parameters(
        temperature=asked.temperature,
        top_p=asked.top_p,
        max_tokens=asked.max_tokens,
        stop=() if asked.stop is None else (asked.stop,) if isinstance(asked.stop, str) else tuple(asked.stop),
        seed=asked.seed,
        top_k=asked.top_k,
        presence_penalty=asked.presence_penalty,
        frequency_penalty=asked.frequency_penalty,
        logprobs=True if told else None,
        top_logprobs=int(asked.logprobs or 0) if told else None,
        user=asked.user,
        n=asked.n or 1,
        best_of=asked.best_of,
        extra=extra,
    )


def encode_completion(answers: Sequence[Answer], *, id: str, model: str, created: float) -> bytes:  # noqa: A002
    """The answer that a client gets: one choice for each prompt, in order."""
    usage = Usage()
    for answer in answers:
        usage = add(usage, answer.usage)
    choices = [
        _choice(index, answer.text, answer.logprobs, _reason(answer.finish_reason))
        for index, answer in enumerate(answers)
    ]
    head = {"id": id, "object": "text_completion", "created": int(created), "model": model}
    return _encode(head | {"choices": choices, "usage": wire_usage(usage)})


class CompletionWriter:
    """The events of one stream with `choices` answers. `usage`: the client asked for token counts."""

    __slots__ = ("_head", "_none", "_open", "_sum", "_usage")

    def __init__(
        self,
        *,
        id: str,  # noqa: A002
        model: str,
        created: float,
        usage: bool = False,
        choices: int = 1,
    ) -> None:
        frame = _encode({"id": id, "object": "text_completion", "created": int(created), "model": model})
        self._head = b"data: " + frame[:-1] + b',"choices":['
        self._none = b'],"usage":null}\n\n' if usage else b"]}\n\n"
        self._usage, self._open, self._sum = usage, choices, Usage()

    def begin(self) -> bytes:
        return b""

    def write(self, chunk: Chunk, index: int = 0) -> bytes:
        """A `progress` or the `done` of choice `index`; the last `done` completes the stream."""
        if chunk.kind == "progress":
            if not (chunk.text or chunk.logprobs):
                return b""
            return self._head + _encode(_choice(index, chunk.text, chunk.logprobs, None)) + self._none
        if chunk.kind != "done":
            return b""
        end = self._head + _encode(_choice(index, "", None, _reason(chunk.finish_reason))) + self._none
        self._open -= 1
        self._sum = add(self._sum, chunk.usage or Usage())
        if self._open > 0:
            return end
        if self._usage:
            end += self._head + b'],"usage":' + _encode(wire_usage(self._sum)) + b"}\n\n"
        return end + b"data: [DONE]\n\n"

    def fail(self, error: PromptdError) -> bytes:
        """The end of a stream that failed."""
        return error_event(error)


def _reason(reason: str | None) -> str:
    word = wire_reason(reason)
    return word if word != "tool_calls" else "stop"


def _choice(index: int, text: str, logprobs: Any, reason: str | None) -> dict[str, Any]:
    return {"text": text, "index": index, "logprobs": _legacy(logprobs), "finish_reason": reason}


def _legacy(logprobs: Any) -> dict[str, Any] | None:
    """One list for each member, where the chat API has one object for each token."""
    if not logprobs:
        return None
    offsets, at = [], 0
    for one in logprobs:
        offsets.append(at)
        at += len(one.get("token", ""))
    return {
        "tokens": [one.get("token", "") for one in logprobs],
        "token_logprobs": [one.get("logprob") for one in logprobs],
        "top_logprobs": [
            {other.get("token", ""): other.get("logprob") for other in one.get("top_logprobs") or ()}
            for one in logprobs
        ],
        "text_offset": offsets,
    }
