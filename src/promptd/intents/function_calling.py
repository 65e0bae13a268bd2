"""A remote function model that speaks `/function_calling` (contracts/arch.md §3.3)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct, field

from promptd.core.content import ToolCall, Turn, text_of
from promptd.core.errors import InvalidOutput, NetworkError, PromptExecutionError, ServiceUnavailable, Timeout
from promptd.core.ports import HttpClient, HttpResponse, Timeouts
from promptd.core.targets import Asking, Decision, Target
from promptd.core.utterances.deciding import decided
from promptd.core.utterances.replies import Reply, read_reply
from promptd.dialects.errors import error_from_response

_LOG: Final = logging.getLogger(__name__)
PATH: Final = "/function_calling"
NO_INTENT: Final = "No intent matched"
_MAX_BYTES: Final = 1024 * 1024
_TOLD: Final = 8192  #: characters of a refusal's body that are passed on
#: what every hop is told
_HEADERS: Final = frozenset({"traceparent", "tracestate", "x-request-id"})
_RAW: Final = "x-arch-fc-model-response"


class _Function(Struct):
    name: str = ""
    arguments: Any = None


class _Call(Struct):
    id: str | None = None
    function: _Function = field(default_factory=_Function)


class _Message(Struct):
    content: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(Struct):
    message: _Message = field(default_factory=_Message)


class _Completion(Struct):
    choices: list[_Choice] = field(default_factory=list)
    metadata: dict[str, Any] | None = None
    result: Any = None
    error: Any = None


class Remote:
    """`url` is the server's address without the path; the composition root allows calls to it.

    `arguments`: how the server takes those of earlier calls, as an object (eras A to C) or as JSON text.
    """

    def __init__(
        self,
        http: HttpClient,
        url: str,
        *,
        model: str = "Arch-Function",
        timeout: float = 30.0,
        metadata: Mapping[str, str] = {},
        arguments: Literal["object", "string"] = "string",
    ) -> None:
        self._http, self._url, self._model, self._timeout = http, url.rstrip("/") + PATH, model, timeout
        self._metadata, self._arguments = metadata, arguments

    async def decide(self, turns: Sequence[Turn], targets: Sequence[Target], asking: Asking) -> Decision:
        """Every target is offered, the default one included.

        Raises `ServiceUnavailable`, `Timeout`, `InvalidOutput`; where the server refuses, an error with its status and
        the text for the client in `native`.
        """
        if not targets or not any(turn.role == "user" for turn in turns):
            return Decision()
        body = {
            "messages": [self._message(turn) for turn in turns],
            "tools": [target.tool() for target in targets],
            "metadata": {**asking.metadata, **self._metadata},
            "stream": False,
            "model": self._model,
        }
        completion = await self._post(msgspec.json.encode(body), asking.headers)
        if completion is None:
            return Decision()
        found = decided(_reply(completion), targets, asking)
        if found.warning:
            _LOG.warning("%s", found.warning, extra={"action": "function_model_reply"})
        return found.decision

    def _message(self, turn: Turn) -> dict[str, Any]:
        message: dict[str, Any] = {"role": turn.role, "content": text_of(turn)}
        if turn.tool_calls:
            message["tool_calls"] = [self._call(one) for one in turn.tool_calls]
        if turn.tool_call_id is not None:
            message["tool_call_id"] = turn.tool_call_id
        if isinstance(said := turn.extra.get("model"), str):
            message["model"] = said
        return message

    def _call(self, call: ToolCall) -> dict[str, Any]:
        arguments: Any = call.arguments or "{}"
        if self._arguments == "object":
            arguments = read_reply("", [call]).calls[0].arguments or {}
        return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}

    async def _post(self, body: bytes, headers: Mapping[str, str]) -> _Completion | None:
        """None where the server says that there is no intent."""
        told = {name: value for name, value in headers.items() if name.lower() in _HEADERS}
        timeouts = Timeouts(connect=min(5.0, self._timeout), first_byte=self._timeout, between_bytes=self._timeout)
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._http.request(
                    "POST",
                    self._url,
                    headers={"content-type": "application/json", **told},
                    body=body,
                    timeouts=timeouts,
                    max_bytes=_MAX_BYTES,
                ) as response,
            ):
                said = await response.read()
                return _completion(response, said)
        except NetworkError as error:
            raise ServiceUnavailable("the function model's server can't be reached", detail=error.message) from error
        except TimeoutError as error:
            raise Timeout(f"the function model did not answer within {self._timeout:g} s") from error


def _completion(response: HttpResponse, said: bytes) -> _Completion | None:
    text = said.decode(errors="replace")
    if not 200 <= response.status < 300:
        if response.status < 500 and NO_INTENT in text:
            return None
        raise _refused(response, said, text)
    try:
        completion = msgspec.json.decode(said, type=_Completion)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidOutput("the function model's answer can't be read") from None
    if NO_INTENT in (completion.result, completion.error):
        return None
    if not completion.choices:
        raise InvalidOutput("the function model's answer has no choices")
    content = completion.choices[0].message.content or ""
    return None if content.strip() == NO_INTENT else completion


def _refused(response: HttpResponse, said: bytes, text: str) -> PromptExecutionError:
    """The words of the original, to the letter; the kind of the error is that of the status."""
    status = response.status
    error = error_from_response(status, response.headers, said, now=time.time())
    message = f"upstream application error host=arch_internal, path={PATH}, status={status}, body={text[:_TOLD]}"
    refused = type(error)(message, retry_after=error.retry_after)
    refused.native = (status, message.encode(errors="replace"))
    return refused


def _reply(completion: _Completion) -> Reply:
    """A call; or words without one, which are the server's question: it has judged them already."""
    message = completion.choices[0].message
    calls = [
        ToolCall(name=one.function.name, arguments=_text(one.function.arguments)) for one in message.tool_calls or ()
    ]
    reply = read_reply(message.content or "", calls)
    told = (completion.metadata or {}).get(_RAW)
    raw = _unquoted(told) if isinstance(told, str) else reply.raw
    clarification = reply.clarification or ("" if reply.form else reply.response)
    return msgspec.structs.replace(reply, clarification=clarification, response="", raw=raw)


def _text(arguments: Any) -> str:
    """Of eras with objects, and of those with JSON text."""
    if isinstance(arguments, str):
        return arguments
    return "" if arguments is None else msgspec.json.encode(arguments).decode()


def _unquoted(told: str) -> str:
    """The value is JSON in JSON, in some eras."""
    try:
        decoded = msgspec.json.decode(told)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return told
    return decoded if isinstance(decoded, str) else told
