"""What intake writes down of a submission beside its prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast

from msgspec import Struct
from msgspec.structs import replace

from promptd.core.errors import Conflict, Forbidden, InvalidRequest
from promptd.core.lifecycle import Status
from promptd.core.model import (
    NO_REQUEST,
    Caller,
    Capability,
    Judgement,
    Message,
    Mode,
    Native,
    Prompt,
    Submission,
    Thread,
)
from promptd.core.policy import Bill, Counted
from promptd.core.ports import Idempotency
from promptd.core.routing import Leg, Route
from promptd.service.clock import Ids
from promptd.service.guarding import Plan

_DAY: Final = 86400.0
# names of their own: in Python 3.11 to look for an enum's member costs as much as a call
_ATTACHED: Final = Mode.ATTACHED
_CHAT: Final = Capability.CHAT
_RUNNING: Final = Status.RUNNING
_SCHEDULED: Final = Status.SCHEDULED


class Way(Struct, frozen=True, eq=False):
    """Where a caller's prompts for a model go; it is the same until models are configured anew, or the caller may do
    something else."""

    caller: Caller
    version: int  #: of the connections
    route: Route
    legs: Sequence[Leg]  #: to try, where that is the same for all; else empty
    chats: bool  #: one of its legs does
    keep: bool  #: question and answer are stored where the prompt does not wish anything else
    blank: Prompt | None = None  #: what `is_ordinary` becomes, without what is its own; None where there are choices


class Admitted(Struct, frozen=True, eq=False):
    """A prompt that may run, where its model leads, and the legs to try in turn."""

    prompt: Prompt
    route: Route
    legs: Sequence[Leg]
    charges: Bill  #: what it was charged
    keep: bool  #: whether question and answer are stored
    plan: Plan  #: who looks at documents and answer
    native: Native | None  #: the request as it came, if it may go on like that
    ordinary: bool = False  #: it says nothing but words, and nothing has to be read for it
    thread: Thread | None = None  #: as it begins with this prompt, where it is not there yet


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


def names_of(model: str, pinned: str | None, route: Route) -> Sequence[str]:
    """What a model is called, here and by those who serve it."""
    return (model, pinned or "", *[leg.upstream for leg in route.legs])


def thread_of(submission: Submission, known: Thread | None, now: float) -> Thread:
    """The thread as it begins with a prompt; `known` is the one that has its id. Raises `Forbidden`, `Conflict`."""
    identifier, user = cast(str, submission.thread), submission.caller.user
    if known is not None and user not in known.members:
        raise Forbidden(f"the thread {identifier} is somebody else's")
    if known is not None and identifier == submission.id and user != known.user:
        raise Conflict(f"the id {identifier} is that of somebody else's thread")
    title = next((turn.content for turn in submission.request.messages if turn.role == "user"), "")[:100]
    return Thread(id=identifier, user=user, members=(user,), created=now, updated=now, title=title)


def is_ordinary(submission: Submission) -> bool:
    """Whether a plain submission asks for nothing but that somebody answers it, as most do."""
    request = submission.request
    if (
        submission.mode is not _ATTACHED
        or submission.capability is not _CHAT
        or submission.id is not None
        or submission.thread is not None
        or submission.parent is not None
        or submission.deadline is not None
        or submission.not_before is not None
        or submission.max_attempts is not None
        or submission.priority
        or submission.fallbacks
        or request.template is not None
        or request.connection is not None
        or request.output is not None
        or request.files
        or request.inputs
    ):
        return False
    turns = request.messages
    return turns != () and turns[0].content != ""


def blank_of(caller: Caller, route: Route, max_attempts: int) -> Prompt:
    """The prompt of an ordinary submission on the only leg of `route`, but for its id, its time and what it asks."""
    return Prompt(
        id="",
        model=route.model,
        lane=route.legs[0].connection,
        user=caller.user,
        key=caller.key,
        team=caller.team,
        request=NO_REQUEST,
        created=0.0,
        mode=_ATTACHED,
        status=_RUNNING,
        runs=1,
        max_attempts=max_attempts,
    )


def prompt_of(
    submission: Submission,
    identifier: str,
    model: str,
    arm: str,
    leg: Leg,
    now: float,
    max_attempts: int,
    judgements: tuple[Judgement, ...],
    counted: Counted,
) -> Prompt:
    """The prompt as it is stored. One that is attached is seen by nobody before its first attempt begins, which is mostly
    at once."""
    caller, attached = submission.caller, submission.mode is _ATTACHED
    # at most 15 names: a call with more of them makes a dict of them first, which costs ten times as much
    prompt = Prompt(
        id=identifier,
        model=model,
        lane=leg.connection,
        user=caller.user,
        key=caller.key,
        team=caller.team,
        request=submission.request,
        created=now,
        updated=now,
        mode=submission.mode,
        status=_RUNNING if attached else _SCHEDULED,
        runs=1 if attached else 0,
        started=now if attached else None,
        capability=submission.capability,
        max_attempts=max_attempts,
    )
    if arm or judgements or counted or submission.parent is not None:
        prompt = replace(prompt, arm=arm, judgements=judgements, counted=counted, parent=submission.parent)
    if (
        submission.thread is None
        and submission.deadline is None
        and submission.not_before is None
        and not submission.priority
    ):
        return prompt
    return replace(
        prompt,
        thread=submission.thread,
        priority=submission.priority,
        not_before=submission.not_before,
        deadline=submission.deadline,
    )
