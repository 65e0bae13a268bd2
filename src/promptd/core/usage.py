"""Words of the usage report: who used what, when and where, and what it came to.

Amounts are summed when rows are written, and not from the rows: so a report is short however many prompts there were, and
stays true when old ones are deleted. A request counts where its first attempt ran, an attempt where it ran itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from enum import StrEnum
from typing import Final

from msgspec import Struct

from promptd.core.errors import InvalidRequest
from promptd.core.model import Attempt, Outcome, Prompt

_DAY: Final = 86_400
_MICROSECONDS: Final = 1_000_000  # in a second
_EPOCH: Final = date(1970, 1, 1).toordinal()


class Dimension(StrEnum):
    """What a report can be grouped by, and what can be picked from it."""

    DAY = "day"  #: of UTC
    KEY = "key"
    USER = "user"
    TEAM = "team"
    MODEL = "model"  #: the name that the caller used
    CONNECTION = "connection"
    ARM = "arm"  #: of a traffic split


#: Where an amount belongs: a value for each dimension, in their order. Days count from 1970-01-01. No class with names:
#: it is made for each attempt, and a plain tuple costs a third.
Place = tuple[int, str, str, str, str, str, str]


class Sums(Struct):
    """Amounts that can be added up. Times are in microseconds, money in nano-units of the prices' currency."""

    requests: int = 0
    attempts: int = 0
    completed: int = 0  #: attempts that brought an answer
    errors: int = 0  #: attempts that failed or were lost, and calls that never got as far as an attempt
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    cost: int = 0  #: of the attempts whose price is known
    unpriced: int = 0  #: attempts whose price is not known
    latency: int = 0  #: of the attempts that completed, together
    first_tokens: int = 0  #: attempts that brought a first token
    first_token: int = 0  #: how long those took to bring it, together


class Rating(Struct):
    """The scores of one name: how many, and their sum in millionths."""

    count: int = 0
    total: int = 0


class UsageQuery(Struct, frozen=True, kw_only=True):
    """Which amounts, grouped how. `since` and `until` are days, both included; `only` picks one value of a dimension."""

    by: tuple[Dimension, ...] = ()
    since: int | None = None
    until: int | None = None
    only: Mapping[Dimension, str] = {}
    limit: int = 1000
    after: tuple[str | int, ...] | None = None  #: the `Line.group` behind which to go on


class Line(Struct, frozen=True, kw_only=True):
    """One group of a report: its values in the order of `UsageQuery.by`, and what it comes to."""

    group: tuple[str | int, ...]
    sums: Sums
    ratings: Mapping[str, Rating] = {}


class Report(Struct, frozen=True, kw_only=True):
    """Groups in the order of their values. `after` is None where there are no more."""

    lines: tuple[Line, ...]
    after: tuple[str | int, ...] | None = None


Tally = dict[Place, Sums]


_COMPLETED: Final = Outcome.COMPLETED
_ERRORED: Final = Outcome.ERRORED
_LOST: Final = Outcome.LOST


def count(tally: Tally, prompt: Prompt, attempts: Sequence[Attempt]) -> None:
    """Add attempts of `prompt` that were not counted before.

    An attached call that ended before its first attempt has none, and is a request all the same.
    """
    for attempt in attempts:
        _add(tally, _place(prompt, attempt), (attempt,))
    if not attempts:
        sums = tally.setdefault(place_of(prompt), Sums())
        sums.requests += 1
        sums.errors += prompt.error is not None and prompt.error.code != "cancelled"


def count_all(tally: Tally, prompts: Iterable[tuple[Prompt, Sequence[Attempt]]]) -> None:
    """Add the attempts of many prompts: what belongs to one place is added up first, which costs half as much."""
    places: dict[Place, list[Attempt]] = {}
    for prompt, attempts in prompts:
        if not attempts:
            count(tally, prompt, attempts)
        for attempt in attempts:
            places.setdefault(_place(prompt, attempt), []).append(attempt)
    for place, attempts in places.items():
        _add(tally, place, attempts)


def count_alike(tally: Tally, prompt: Prompt, attempts: Sequence[Attempt]) -> None:
    """Add attempts of many prompts that differ from `prompt` in nothing that they are counted by."""
    first = attempts[0]
    started = [attempt.started for attempt in attempts]
    one_day = min(started) // _DAY == max(started) // _DAY
    if one_day and [attempt.connection for attempt in attempts].count(first.connection) == len(attempts):
        _add(tally, _place(prompt, first), attempts)
    else:
        count(tally, prompt, attempts)


def _place(prompt: Prompt, attempt: Attempt) -> Place:
    """Where an attempt is counted."""
    day = int(attempt.started // _DAY)
    return (day, prompt.key, prompt.user, prompt.team, prompt.model, attempt.connection, prompt.arm)


def _add(tally: Tally, place: Place, attempts: Sequence[Attempt]) -> None:
    """Attempts of one place."""
    sums = tally.get(place)
    if sums is None:
        sums = tally[place] = Sums()
    requests = completed = errors = cost = unpriced = firsts = 0
    taken = given = cached = written = thought = 0
    latency = first_token = 0.0
    for one in attempts:  # one loop over plain numbers: a list for each sum costs twice as much
        outcome, used, begun, first = one.outcome, one.usage, one.started, one.first_token
        if one.run == 1:
            requests += 1
        if one.cost is None:
            unpriced += 1
        else:
            cost += one.cost
        if outcome is _COMPLETED:
            completed += 1
            end = one.finished
            if end is not None and end > begun:
                latency += end - begun
        elif outcome is _ERRORED or outcome is _LOST:
            errors += 1
        if first is not None:
            firsts += 1
            if first > begun:
                first_token += first - begun
        taken += used.input_tokens
        given += used.output_tokens
        if used.cached_tokens:
            cached += used.cached_tokens
        if used.cache_write_tokens:
            written += used.cache_write_tokens
        if used.reasoning_tokens:
            thought += used.reasoning_tokens
    sums.requests += requests
    sums.attempts += len(attempts)
    sums.completed += completed
    sums.errors += errors
    sums.cost += cost
    sums.unpriced += unpriced
    sums.latency += int(latency * _MICROSECONDS)
    sums.first_tokens += firsts
    sums.first_token += int(first_token * _MICROSECONDS)
    sums.input_tokens += taken
    sums.output_tokens += given
    sums.cached_tokens += cached
    sums.cache_write_tokens += written
    sums.reasoning_tokens += thought


def place_of(prompt: Prompt) -> Place:
    """Where what belongs to the prompt as a whole is counted: on the day it came in."""
    return (int(prompt.created // _DAY), prompt.key, prompt.user, prompt.team, prompt.model, prompt.lane, prompt.arm)


def show_day(number: int) -> str:
    """A day as `2026-11-21`."""
    return date.fromordinal(number + _EPOCH).isoformat()


def read_day(text: str, field: str) -> int:
    """The number of a day written `2026-11-21`. Raises `InvalidRequest` that names `field`."""
    try:
        written = len(text) == 10 and text[4] == text[7] == "-"  # ISO 8601 knows weeks too, and days without hyphens
        number = date.fromisoformat(text).toordinal() - _EPOCH if written else -1
    except ValueError:
        number = -1
    if number < 0:
        raise InvalidRequest(field=field, expected="a day in UTC such as 2026-11-21, from 1970 on")
    return number
