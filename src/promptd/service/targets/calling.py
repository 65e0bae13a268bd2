"""Calling a developer's API for a conversation: a prompt of its own, asked of the endpoint's connection.

What can go wrong has the original's statuses and texts (contracts/arch.md §3.4, §3.9).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from promptd.core.content import Turn, text_of
from promptd.core.errors import ExecutionFailed, InvalidInput, InvalidRequest, PromptExecutionError
from promptd.core.model import Caller, Capability, Mode, Request, Submission
from promptd.core.policy import Counted
from promptd.dialects.arch.config import PromptTarget, connection_name
from promptd.service.attached import Attached

_LONGEST: Final = 16_384  # characters of an API's answer that an error quotes
_NO_BODY: Final = 304  # the one status of those below that can't carry a text
_KNOWN: Final = range(300, 600)


class Responded(Struct, frozen=True):
    """What the API answered. `body` is text."""

    status: int
    body: str
    media_type: str = ""


class Failed(Struct, frozen=True):
    """The conversation ends with a status and a plain text. `code` says what kind of failure it is."""

    status: int
    text: str
    code: str = "upstream_error"


class Errand(Struct, frozen=True, kw_only=True):
    """For whom an API is called."""

    caller: Caller
    listener: str = ""
    parent: str | None = None  #: the prompt that this call is a part of
    id: str | None = None  #: that the call's own prompt shall have
    headers: Mapping[str, str] = {}  #: request id
    counted: Counted = ()  #: what limits by header count the request for


class Calling:
    """Calls targets."""

    def __init__(self, attached: Attached) -> None:
        self._attached = attached

    async def call(self, target: PromptTarget, value: Mapping[str, Any], errand: Errand) -> Responded | Failed:
        """The API's answer where it is a success. Raises a `Refusal`, such as a limit that is reached."""
        endpoint, path = target.endpoint, target.path
        try:
            responded = await self.ask(endpoint, {"target": target.target.name, **value}, errand)
        except InvalidInput as error:
            text = f"error computing api request path or body: {error.message}"
            return Failed(400, text, "invalid_arguments")
        except (InvalidRequest, PromptExecutionError) as error:
            if isinstance(error, InvalidRequest) or error.http_status in (409, 422, 500) or _is_policy(error):
                text = f"Error dispatching HTTP call to `{endpoint}/{path}`, error: {error.message}"
                return Failed(400, text, "not_dispatched")
            status = 503 if error.code == "network_error" else error.http_status
            return _failed(endpoint, path, status, error.message)
        if 200 <= responded.status < 300:
            return responded
        return _failed(endpoint, path, responded.status, responded.body)

    async def ask(self, endpoint: str, value: Mapping[str, Any], errand: Errand) -> Responded:
        """Whatever the API answers. Raises `PromptdError`."""
        submission = Submission(
            caller=errand.caller,
            request=Request(connection=connection_name(endpoint), value={**value, "headers": dict(errand.headers)}),
            mode=Mode.ATTACHED,
            capability=Capability.QUERY,
            id=errand.id,
            parent=errand.parent,
            listener=errand.listener,
            counted=errand.counted,
        )
        async with self._attached.open(submission) as visit:
            _, done = await visit.whole()
        told = done.value
        if not isinstance(told, dict):
            raise ExecutionFailed("the endpoint's engine gave no answer")
        return Responded(told["status"], told["body"], told.get("media_type", ""))


def messages_of(turns: Sequence[Turn]) -> list[dict[str, Any]]:
    """A conversation as APIs get it: the texts of all turns, and the calls."""
    messages: list[dict[str, Any]] = []
    for turn in turns:
        message: dict[str, Any] = {"role": turn.role, "content": text_of(turn)}
        if turn.tool_calls:
            message["tool_calls"] = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in turn.tool_calls
            ]
        if turn.tool_call_id is not None:
            message["tool_call_id"] = turn.tool_call_id
        messages.append(message)
    return messages


def _failed(endpoint: str, path: str, status: int, body: str) -> Failed:
    text = f"upstream application error host={endpoint}, path={path}, status={status}, body={body[:_LONGEST]}"
    return Failed(client_status(status), text)


def client_status(status: int) -> int:
    """The status of a failure for the client, where somebody behind us answered with `status`."""
    return status if status in _KNOWN and status != _NO_BODY else 502


def _is_policy(error: PromptExecutionError) -> bool:
    """Whether the call was not let out, or has nobody to make it."""
    return error.code in ("permission_denied", "handler_unavailable")
