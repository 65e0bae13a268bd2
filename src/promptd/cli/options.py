"""Options and value types that several commands share."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

import click

R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_URL: Final = "http://127.0.0.1:11337"
PATIENCE_SECONDS: Final = 60.0

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_LONGEST: Final = 100 * 365 * 86400


def seconds(text: str) -> float | None:
    """`90`, `30s`, `5m`, `2h`, `30d`, `1w` as seconds; None for anything else."""
    match = re.fullmatch(r"(\d{1,12}(?:\.\d{1,9})?)([smhdw]?)", text)
    if match is None:
        return None
    value = float(match[1]) * _UNITS[match[2] or "s"]
    return value if value <= _LONGEST else None


class Duration(click.ParamType[float]):
    """A length of time, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found = seconds(value) if isinstance(value, str) else float(value)
        if found is None:
            self.fail(f"{value!r} is not a duration; expected something like 30s, 5m, 2h or 30d", param, ctx)
        return found


class Moment(click.ParamType[str]):
    """A point in time, as RFC 3339 text in UTC: a duration counts from now, a time without offset is local time."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        length = None if text.isdigit() else seconds(text)
        try:
            moment = (
                datetime.now(UTC) + timedelta(seconds=length)
                if length is not None
                else datetime.fromisoformat(text).astimezone(UTC)
            )
        except (ValueError, OverflowError):
            self.fail(f"{text!r} is not a time; expected a duration like 5m, or 2030-01-31T12:00:00Z", param, ctx)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def json_option(command: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")(command)


def patience_option(command: F) -> F:
    return click.option(
        "--retry-for",
        "patience",
        type=Duration(),
        default=f"{PATIENCE_SECONDS:.0f}s",
        show_default=True,
        help="How long to keep trying when the server goes away in the middle.",
    )(command)


def settings_options(command: F) -> F:
    """`--config` and `--home`, for the commands that read the settings themselves."""
    for option in (
        click.option(
            "--home",
            type=click.Path(path_type=Path, file_okay=False),
            envvar="PROMPTD_HOME",
            show_envvar=True,
            help="Folder of database, keys and configuration.  [default: ~/.promptd]",
        ),
        click.option(
            "--config",
            type=click.Path(path_type=Path, exists=True),
            envvar="PROMPTD_CONFIG",
            show_envvar=True,
            help="Configuration file, or an Arch file, or a folder with one.  [default: promptd.yaml in the home folder]",
        ),
    ):
        command = option(command)
    return command


def with_client(command: Callable[..., R]) -> Callable[..., R]:
    """Give a command `--url` and `--key`, and the client they make as its first argument."""

    @functools.wraps(command)
    def wrapped(*, url: str, key: str | None, **values: Any) -> R:
        from promptd.cli.client import Client, home_key

        return command(Client(url, key or home_key(url, os.environ)), **values)

    for option in (
        click.option(
            "--key",
            envvar="PROMPTD_KEY",
            show_envvar=True,
            help="API key; better in the variable, where other users of the machine can't see it. "
            "[default on this machine: cli.key in the home folder]",
        ),
        click.option(
            "--url",
            envvar="PROMPTD_URL",
            show_envvar=True,
            default=DEFAULT_URL,
            show_default=True,
            help="Address of the server.",
        ),
    ):
        wrapped = option(wrapped)
    return wrapped
