"""Whether an attached call that failed before it said anything is made once more, and how long that waits. Pure."""

from __future__ import annotations

from typing import Final

from promptd.core.errors import NetworkError, PromptExecutionError, Timeout

CALLS: Final = 3  #: of one prompt in all, where nobody wishes more
_SECONDS: Final = 10.0  #: after so long no further call begins
_SHORTEST, _SPREAD = 0.25, 0.75  # seconds
#: the connection may be fine a moment later; with any other error it is better to ask the next leg, where there is one
_PASSING: Final = (NetworkError, Timeout)
#: where a listener says how often
_WISHED_SECONDS: Final = 60.0
_WISHED_SHORTEST, _WISHED_LONGEST = 0.5, 5.0


def calls(retries: int | None) -> int:
    """The most of one prompt. `retries` are those that its listener wishes of its first connection."""
    return CALLS if retries is None else CALLS + retries


def pause(
    error: PromptExecutionError, *, done: int, first: bool, last: bool, age: float, retries: int | None, chance: float
) -> float | None:
    """Seconds until the same connection is asked again; None: it is not.

    `done` are the calls before this one, `first` and `last` say which of its model's ways this was, `age` is the prompt's in
    seconds, `chance` a number from 0 to 1.
    """
    if not error.retryable or not first:
        return None
    asked = error.retry_after or 0.0
    if retries is None:
        soon, fresh = asked <= _SHORTEST + _SPREAD, age <= _SECONDS
        again = not done and soon and fresh and (last or isinstance(error, _PASSING))
        return _SHORTEST + _SPREAD * chance if again else None
    if done >= retries or asked > _WISHED_LONGEST or age > _WISHED_SECONDS:
        return None
    wished = min(_WISHED_LONGEST, _WISHED_SHORTEST * 2.0**done)
    return max(asked, wished * (0.5 + chance / 2), _WISHED_SHORTEST)
