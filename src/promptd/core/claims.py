"""Which token counts of an engine are believed: those that are possible. The rest would charge limits and money.

Nobody can check a count, because services count what nobody sees: hidden thought, their own prompts, the rounds of tools
that they call themselves. So the bounds are wide: an answer has at most the tokens of the model's context, and one for each
of its bytes; an input at most those of sixteen contexts, and one for each byte of the request.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import astuple

from promptd.core import sizes
from promptd.core.model import Request, Usage

_WINDOW: Final = 1_048_576  #: tokens that fit, where nobody says how many do
_ROUNDS: Final = 16  #: how often a service may read its context for one answer, to call tools of its own

#: What a dialect makes of counts that are no numbers of anything, such as negative ones: nobody believes it
ABSURD: Final = Usage(-1, -1)


def believed(told: Usage, request: Request, context: int | None, said: int) -> Usage | None:
    """What an engine counted; None where that is not possible.

    `context` are the tokens that fit into the model, `said` the bytes of the answer.
    """
    taken, given, window = told.input_tokens, told.output_tokens, context or _WINDOW
    if (
        type(taken) is type(given) is int
        and 0 <= taken <= window
        and 0 <= given <= window
        and told.cached_tokens == told.cache_write_tokens == told.reasoning_tokens == 0
    ):
        return told  # most answers: this costs a third of looking at all of it
    if not all(type(count) is int and count >= 0 for count in astuple(told)):
        return None
    if given > sizes.answers(request) * window + said or taken > _ROUNDS * window + sizes.at_most(request):
        return None
    return Usage(
        taken,
        given,
        min(told.cached_tokens, taken),
        min(told.cache_write_tokens, taken),
        min(told.reasoning_tokens, _ROUNDS * window),  # some services count thought beside the output
    )
