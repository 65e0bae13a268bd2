"""`promptd usage`: what was used, by whom, on what, and what it came to."""

from __future__ import annotations

import csv
import io
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import click

from promptd.cli.options import json_option, seconds, with_client
from promptd.cli.output import print_json, print_table, write_exactly

if TYPE_CHECKING:
    from promptd.cli.client import Client

_DIMENSIONS: Final = ("day", "key", "user", "team", "model", "connection", "arm")
_COUNTS: Final = (
    "requests",
    "attempts",
    "completed",
    "errors",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "cost",
    "unpriced",
    "latency_seconds",
    "first_token_seconds",
)
_SHOWN: Final = ("requests", "errors", "input", "output", "cost", "latency", "first token", "score")
_BILLION: Final = 1_000_000_000
#: A cell that begins with one of these is a formula to a spreadsheet.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


class Day(click.ParamType[str]):
    """A day of UTC as `2026-11-21`; a duration counts back from now."""

    name = "day"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        back = None if text.isdigit() else seconds(text)
        try:
            if back is not None:
                return (datetime.now(UTC) - timedelta(seconds=back)).date().isoformat()
            return date.fromisoformat(text).isoformat()
        except (ValueError, OverflowError):
            self.fail(f"{text!r} is not a day; expected 2026-11-21, or a duration back from now like 7d", param, ctx)


class Grouping(click.ParamType[str]):
    """Dimensions with commas between."""

    name = "dimension"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        names = str(value).split(",")
        if not set(_DIMENSIONS).issuperset(names):
            self.fail(f"{value!r}: expected some of {', '.join(_DIMENSIONS)}, with commas between", param, ctx)
        return ",".join(names)


class Only(click.ParamType[tuple[str, str]]):
    """A dimension and the one value of it that counts."""

    name = "dimension=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        name, given, picked = str(value).partition("=")
        if not given or name not in _DIMENSIONS[1:]:
            self.fail(f"{value!r}: expected something like model=gpt-4o", param, ctx)
        return name, picked


@click.command()
@click.option(
    "--by",
    type=Grouping(),
    default="day",
    show_default=True,
    help=f"What to group by: {', '.join(_DIMENSIONS)}; several with commas between.",
)
@click.option("--since", type=Day(), help="First day (UTC), or a duration back from now like 7d.")
@click.option("--until", type=Day(), help="Last day (UTC).")
@click.option("--only", type=Only(), multiple=True, help="Count only this key, user, team, model …; may be repeated.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, with every count.")
@json_option
@with_client
def usage(
    client: Client,
    by: str,
    since: str | None,
    until: str | None,
    only: tuple[tuple[str, str], ...],
    as_csv: bool,
    as_json: bool,
) -> None:
    """Report requests, tokens, cost and latency: yours, or everybody's for admins."""
    from promptd.cli.client import at

    if as_csv and as_json:
        raise click.UsageError("choose one of --csv and --json")
    query = {"by": by, "since": since, "until": until, **dict(only)}
    items = [item for page in client.pages(at("usage"), query) for item in page]
    names = by.split(",")
    if as_json:
        print_json({"items": items})
    elif as_csv:
        write_exactly(_csv(names, items))
    else:
        print_table((*names, *_SHOWN), ([*(item["group"][name] for name in names), *_row(item)] for item in items))


def _row(item: dict[str, Any]) -> list[Any]:
    score = item["scores"].get("score")
    return [
        item["requests"],
        item["errors"],
        item["input_tokens"],
        item["output_tokens"],
        _cost(item),
        _seconds(item["latency_seconds"]),
        _seconds(item["first_token_seconds"]),
        f"{score['mean']:.2f} ({score['count']})" if score else "",
    ]


def _cost(item: dict[str, Any]) -> str:
    """In units of the currency. What is not known is never shown as nothing."""
    unpriced = item["unpriced"]
    if not unpriced:
        return f"{item['cost'] / _BILLION:.6f}"
    return f"{item['cost'] / _BILLION:.6f} + {unpriced} unknown" if item["cost"] else "unknown"


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _csv(names: list[str], items: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([*names, *_COUNTS, "scores", "mean_score"])
    for item in items:
        score = item["scores"].get("score", {"count": 0, "mean": None})
        group = [_cell(item["group"][name]) for name in names]
        writer.writerow([*group, *(item[name] for name in _COUNTS), score["count"], score["mean"]])
    return text.getvalue()


def _cell(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text
