"""Days of a report, and where amounts are counted."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from promptd.core.errors import InvalidRequest
from promptd.core.lifecycle import Status
from promptd.core.model import Attempt, Failure, Outcome, Prompt, Request, Usage
from promptd.core.usage import Sums, Tally, count, count_alike, count_all, place_of, read_day, show_day

PROMPT = Prompt(
    id="p",
    model="m",
    lane="first",
    user="ann",
    request=Request(),
    created=86_399.9,
    key="k",
    team="red",
    arm="x",
    status=Status.ABANDONED,
)


def attempt(run: int, outcome: Outcome, started: float, connection: str = "first") -> Attempt:
    return Attempt(
        prompt=1,
        run=run,
        engine="e",
        connection=connection,
        model="up",
        started=started,
        first_token=started + 0.5,
        finished=started + 1.5,
        outcome=outcome,
        usage=Usage(1, 2),
        cost=3,
    )


@pytest.mark.parametrize(("number", "text"), [(0, "1970-01-01"), (22_000, "2030-03-27"), (2_932_896, "9999-12-31")])
def test_days_are_written_and_read(number: int, text: str) -> None:
    assert show_day(number) == text
    assert read_day(text, "since") == number


@pytest.mark.parametrize("text", ["", "1969-12-31", "2030-02-29", "20300101", "2030-W01-1", "10000-01-01", "today"])
def test_what_is_no_day_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_day(text, "until")
    assert refused.value.field == "until"


def test_a_request_counts_where_its_first_attempt_ran() -> None:
    tally: Tally = {}
    count(tally, PROMPT, [attempt(1, Outcome.ERRORED, 86_399.0), attempt(2, Outcome.COMPLETED, 86_400.0, "second")])
    shared = ("k", "ann", "red", "m")
    assert tally == {
        (0, *shared, "first", "x"): Sums(
            requests=1,
            attempts=1,
            errors=1,
            input_tokens=1,
            output_tokens=2,
            cost=3,
            first_tokens=1,
            first_token=500_000,
        ),
        (1, *shared, "second", "x"): Sums(
            attempts=1,
            completed=1,
            input_tokens=1,
            output_tokens=2,
            cost=3,
            latency=1_500_000,
            first_tokens=1,
            first_token=500_000,
        ),
    }


@pytest.mark.parametrize(("code", "errors"), [("timeout", 1), ("cancelled", 0)])
def test_a_call_that_never_began_is_a_request_of_its_lane(code: str, errors: int) -> None:
    tally: Tally = {}
    count(tally, replace(PROMPT, error=Failure(code, "")), [])
    assert tally == {place_of(PROMPT): Sums(requests=1, errors=errors)}
    assert place_of(PROMPT) == (0, "k", "ann", "red", "m", "first", "x")


def test_a_clock_that_went_back_makes_no_negative_time() -> None:
    tally: Tally = {}
    backwards = attempt(1, Outcome.COMPLETED, 100.0)
    count(tally, PROMPT, [replace(backwards, first_token=99.0, finished=98.0)])
    (sums,) = tally.values()
    assert (sums.latency, sums.first_token) == (0, 0)


@pytest.mark.parametrize("far", [0.0, 86_400.0])
@pytest.mark.parametrize("connection", ["first", "second"])
def test_many_at_once_add_up_to_what_each_is(far: float, connection: str) -> None:
    """Whether they belong to one place or, by day and connection, to several."""
    many = [
        replace(attempt(1, outcome, 100.0 + at * far, connection if at % 2 else "first"), cost=cost, usage=usage)
        for at, (outcome, cost, usage) in enumerate(
            [
                (Outcome.COMPLETED, 3, Usage(1, 2, 3, 4, 5)),
                (Outcome.ERRORED, None, Usage()),
                (Outcome.LOST, 0, Usage(7)),
                (Outcome.CANCELED, 2, Usage(output_tokens=8)),
            ]
        )
    ]
    singly: Tally = {}
    for one in many:
        count(singly, PROMPT, (one,))
    alike: Tally = {}
    count_alike(alike, PROMPT, many)
    together: Tally = {}
    count_all(together, [(PROMPT, (one,)) for one in many])
    assert alike == together == singly
    assert len(singly) == {(0.0, "first"): 1, (0.0, "second"): 2}.get((far, connection), 4)
