"""What is left of an attached prompt once it is final: what its attempts add up to, and no words where none are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from promptd.core.errors import Cancelled, PromptExecutionError, Refusal, Unauthenticated
from promptd.core.lifecycle import Status
from promptd.core.model import NO_REQUEST, Answer, Attempt, Failure, Outcome, Request, Usage
from promptd.core.routing import add
from promptd.service.runs import Stop

#: what a caller is told whose prompt was stopped
WHY: Final[Mapping[str, str]] = {
    "cancel": "the prompt was cancelled",
    "leave": "the caller left",
    "drain": "the server is shutting down",
    "revocation": "the session or key has ended",
}
# looked up once: in Python 3.11 an enum's member costs as much as a call
#: how a prompt ends that has its answer, as `ending` says of others
DONE: Final = (Status.COMPLETED, Outcome.COMPLETED, None)
_NOTHING: Final = Usage()


def ending(
    stopped: Stop | None, error: PromptExecutionError | Refusal | None
) -> tuple[Status, Outcome, Failure | None]:
    """How a prompt ends whose attempt has no answer, and why."""
    if stopped is not None and stopped != "deadline":
        return Status.CANCELED, Outcome.CANCELED, Failure(Cancelled.code, WHY[stopped])
    return Status.ABANDONED, Outcome.ERRORED, Failure(error.code, error.message) if error is not None else None


def stopped_for(why: Stop) -> PromptExecutionError | Refusal:
    """What a caller is told whose prompt was stopped."""
    return Unauthenticated(WHY[why]) if why == "revocation" else Cancelled(WHY[why])


def origin_of(request: Request) -> Request:
    """What remains of a request that is not kept: which template it was made from, and whom it asked."""
    if request.template is None and request.connection is None:
        return NO_REQUEST
    return Request(template=request.template, connection=request.connection)


def without_words(answer: Answer) -> Answer:
    """What remains of an answer that is not kept."""
    return Answer(
        answer.message_id,
        finish_reason=answer.finish_reason,
        usage=answer.usage,
        stop_sequence=answer.stop_sequence,
        warnings=answer.warnings,
    )


def sums_of(attempts: Sequence[Attempt]) -> tuple[Usage, int | None]:
    """What they used and cost together; None where the price of one is not known."""
    used = _NOTHING
    for attempt in attempts:
        used = add(used, attempt.usage)
    costs = [attempt.cost for attempt in attempts if attempt.cost is not None]
    return used, sum(costs) if len(costs) == len(attempts) else None
