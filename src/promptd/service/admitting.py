"""What intake writes down of a submission beside its prompt."""

from __future__ import annotations

from typing import Final, cast

from promptd.core.errors import InvalidRequest
from promptd.core.model import Message, Prompt, Submission
from promptd.core.ports import Idempotency
from promptd.service.clock import Ids

_DAY: Final = 86400.0


def messages_of(prompt: Prompt, engine: str, ids: Ids) -> tuple[Message, ...]:
    """The turns as messages of the thread; the last one has the prompt's id and files."""
    last = len(prompt.request.messages) - 1
    return tuple(
        Message(
            id=prompt.id if index == last else ids.make("msg"),
            thread=cast(str, prompt.thread),
            prompt=prompt.id,
            role=turn.role,
            created=prompt.created,
            text=turn.content,
            tool_calls=turn.tool_calls,
            tool_call_id=turn.tool_call_id,
            user=prompt.user,  # of the caller's assistant turns too: only an answer has none
            files=prompt.request.files if index == last else (),
            model=prompt.model,
            engine=engine,
        )
        for index, turn in enumerate(prompt.request.messages)
    )


def idempotency_of(submission: Submission, now: float) -> Idempotency | None:
    """The caller's `Idempotency-Key`, good for a day. Raises `InvalidRequest`."""
    if submission.idempotency_key is None:
        return None
    if not 1 <= len(submission.idempotency_key) <= 255:
        raise InvalidRequest(field="Idempotency-Key", expected="1 to 255 characters")
    return Idempotency(submission.idempotency_key, submission.fingerprint, now + _DAY)
