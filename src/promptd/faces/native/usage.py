"""The usage report in the native API, as JSON or CSV, and the scores of answers."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

from msgspec import Meta, Struct

from promptd.core.errors import InvalidRequest
from promptd.core.identity import PROMPT_EDIT, PROMPT_VIEW
from promptd.core.usage import Dimension, Line, Rating, Report, Sums, UsageQuery, read_day, show_day
from promptd.faces.native.operation import Call, Desk, Operation, Reply, json_reply
from promptd.faces.native.requests import NoQuery
from promptd.faces.native.show import prompt_view
from promptd.faces.native.views import PromptView

_DIMENSIONS: Final = "|".join(Dimension)
_MICRO: Final = 1_000_000
_CSV: Final = "text/csv"
_DEFAULT_SCORE: Final = "score"
#: A cell that begins with one of these is a formula to a spreadsheet; names of keys and models come from callers.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")

Day = Annotated[str, Meta(description="a day in UTC, included", extra_json_schema={"format": "date"})]
Only = Annotated[str, Meta(description="only what has this value")]


class UsageParameters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    by: Annotated[
        str,
        Meta(
            description="what to group by: one dimension or several, with commas between",
            extra_json_schema={"pattern": f"^({_DIMENSIONS})(,({_DIMENSIONS}))*$"},
        ),
    ] = "day"
    since: Day | None = None
    until: Day | None = None
    key: Only | None = None
    user: Only | None = None
    team: Only | None = None
    model: Only | None = None
    connection: Only | None = None
    arm: Only | None = None
    limit: Annotated[int, Meta(ge=1, le=10_000, description="how many groups at most")] = 1000
    after: Annotated[str, Meta(description="`after` of the page before")] | None = None
    format: Annotated[Literal["json", "csv"], Meta(description="instead of the header `Accept`")] = "json"

    def query(self) -> UsageQuery:
        """Raises `InvalidRequest`."""
        by = _dimensions(self.by)
        values = {
            Dimension.KEY: self.key,
            Dimension.USER: self.user,
            Dimension.TEAM: self.team,
            Dimension.MODEL: self.model,
            Dimension.CONNECTION: self.connection,
            Dimension.ARM: self.arm,
        }
        return UsageQuery(
            by=by,
            since=None if self.since is None else read_day(self.since, "since"),
            until=None if self.until is None else read_day(self.until, "until"),
            only={dimension: value for dimension, value in values.items() if value is not None},
            limit=self.limit,
            after=None if self.after is None else _read_after(self.after, by),
        )


class NewScore(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How good an answer is, from 0 (useless) to 1 (perfect). `name` says in what respect."""

    score: Annotated[float, Meta(ge=0, le=1)]
    name: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")] = _DEFAULT_SCORE
    comment: Annotated[str, Meta(max_length=4096)] = ""


class RatingView(Struct, frozen=True):
    """How many scores there are, and their mean."""

    count: int
    mean: float


class UsageLine(Struct, frozen=True):
    """One group. A request counts where its first attempt ran; `errors` are failed attempts, also of requests that
    another attempt answered. `cost` is in billionths of the prices' currency, over the attempts whose price is known;
    `unpriced` attempts are not in it. Latencies are means in seconds: of completed attempts, and of the time to their first
    token; null where there are none."""

    group: dict[str, str]
    requests: int
    attempts: int
    completed: int
    errors: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    cost: int
    unpriced: int
    latency_seconds: float | None
    first_token_seconds: float | None
    scores: dict[str, RatingView]


class UsageReport(Struct, frozen=True):
    """Groups in the order of their values. `after` leads to the next page and is null on the last one."""

    items: tuple[UsageLine, ...]
    after: str | None


async def get_usage(desk: Desk, call: Call[UsageParameters, None]) -> Reply:
    query = call.query.query()
    report = await desk.walk.usage.report(call.caller, query)
    after = None if report.after is None else _write_after(report.after, query.by)
    if call.query.format == "csv" or _wants_csv(call.headers.get(b"accept", b"")):
        headers = [(b"content-type", b"text/csv; charset=utf-8"), (b"vary", b"accept")]
        if after is not None:
            headers.append((b"x-after", quote(after).encode()))
        return Reply(200, _as_csv(query.by, report), headers)
    return json_reply(200, UsageReport(tuple(_line(query.by, line) for line in report.lines), after))


async def score_prompt(desk: Desk, call: Call[NoQuery, NewScore]) -> Reply:
    given = call.body
    prompt = await desk.walk.usage.score(
        call.caller, call.params["id"], value=given.score, name=given.name, comment=given.comment
    )
    return json_reply(200, prompt_view(prompt))


# ---------------------------------------------------------------- words of the wire


def _dimensions(text: str) -> tuple[Dimension, ...]:
    names = text.split(",")
    known = set(Dimension)
    if not known.issuperset(names) or len(set(names)) != len(names):
        raise InvalidRequest(field="by", expected=f"each at most once: {', '.join(Dimension)}")
    return tuple(map(Dimension, names))


def _wants_csv(accept: bytes) -> bool:
    """Whether CSV stands before JSON in the header, or alone; weights are not read."""
    kinds = [kind.partition(b";")[0].strip().lower() for kind in accept.split(b",")]
    wanted = [kind for kind in kinds if kind in (b"text/csv", b"application/json")]
    return bool(wanted) and wanted[0] == b"text/csv"


def _show(dimension: Dimension, value: str | int) -> str:
    return show_day(value) if dimension is Dimension.DAY and isinstance(value, int) else str(value)


def _write_after(group: tuple[str | int, ...], by: Sequence[Dimension]) -> str:
    """The values of the last group, as a line of CSV: readable, and any text can stand in it."""
    return _csv([[_show(dimension, value) for dimension, value in zip(by, group, strict=True)]]).removesuffix("\r\n")


def _read_after(text: str, by: Sequence[Dimension]) -> tuple[str | int, ...]:
    try:
        values = next(csv.reader([text], strict=True), [])
    except csv.Error:
        values = []
    if len(values) != len(by):
        raise InvalidRequest(field="after", expected="the `after` of the page before, for the same groups")
    return tuple(
        read_day(value, "after") if dimension is Dimension.DAY else value
        for dimension, value in zip(by, values, strict=True)
    )


# ---------------------------------------------------------------- what is shown


def _line(by: Sequence[Dimension], line: Line) -> UsageLine:
    sums = line.sums
    return UsageLine(
        group={dimension.value: _show(dimension, value) for dimension, value in zip(by, line.group, strict=True)},
        requests=sums.requests,
        attempts=sums.attempts,
        completed=sums.completed,
        errors=sums.errors,
        input_tokens=sums.input_tokens,
        output_tokens=sums.output_tokens,
        cached_tokens=sums.cached_tokens,
        cache_write_tokens=sums.cache_write_tokens,
        reasoning_tokens=sums.reasoning_tokens,
        cost=sums.cost,
        unpriced=sums.unpriced,
        latency_seconds=_mean(sums.latency, sums.completed),
        first_token_seconds=_mean(sums.first_token, sums.first_tokens),
        scores={name: _rating(rating) for name, rating in line.ratings.items()},
    )


def _mean(total: int, count: int) -> float | None:
    return round(total / count / _MICRO, 6) if count else None


def _rating(rating: Rating) -> RatingView:
    return RatingView(rating.count, _mean(rating.total, rating.count) or 0.0)


_COUNTS: Final = tuple(
    name for name in Sums.__struct_fields__ if name not in ("latency", "first_tokens", "first_token")
)


def _as_csv(by: Sequence[Dimension], report: Report) -> bytes:
    """A table with a head; of the scores, only those without a name of their own."""
    head = [*by, *_COUNTS, "latency_seconds", "first_token_seconds", "scores", "mean_score"]
    rows: list[list[Any]] = [head]
    for line in report.lines:
        sums, rating = line.sums, line.ratings.get(_DEFAULT_SCORE, Rating())
        rows.append(
            [
                *(_cell(_show(dimension, value)) for dimension, value in zip(by, line.group, strict=True)),
                *(getattr(sums, name) for name in _COUNTS),
                _mean(sums.latency, sums.completed),
                _mean(sums.first_token, sums.first_tokens),
                rating.count,
                _mean(rating.total, rating.count),
            ]
        )
    return _csv(rows).encode()


def _cell(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


def _csv(rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def operations(base: str) -> tuple[Operation, ...]:
    """The rows of the API's table."""
    return (
        Operation(
            method="GET",
            path=f"{base}/usage",
            handler=get_usage,
            summary="What was used, by day, key, user, team, model, connection or arm of a split: yours; all for admins",
            group="prompts",
            permission=PROMPT_VIEW,
            query=UsageParameters,
            answers={200: UsageReport},
            also={200: _CSV},
        ),
        Operation(
            method="POST",
            path=f"{base}/prompts/{{id}}/score",
            handler=score_prompt,
            summary="Say how good an answer is; again replaces what you said before under the same name",
            group="prompts",
            permission=PROMPT_EDIT,
            body=NewScore,
            example={"score": 1, "comment": "exactly"},
            answers={200: PromptView},
            refusals=(409,),
        ),
    )
