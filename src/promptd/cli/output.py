"""What commands print: tables and lines for people, tab-separated and JSON text for programs."""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Final, TypeVar

import click

T = TypeVar("T")

#: Control characters could move the cursor or type into the terminal. Texts come from models and from other users.
_CONTROL: Final = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0)), "\ufffd") | {0x09: "\t", 0x0A: "\n", 0x0D: ""}

_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def clean(text: str) -> str:
    """`text` without characters that a terminal would obey."""
    return text.translate(_CONTROL)


def one_line(text: str) -> str:
    return clean(" ".join(text.split()))


def is_terminal(stream: IO[str]) -> bool:
    return stream.isatty()


def complain(message: str, *, warning: bool = False) -> None:
    """One line on standard error."""
    click.echo(f"promptd: {'warning: ' if warning else ''}{one_line(message)}", err=True)


def print_json(value: Any) -> None:
    """One JSON document: indented for people, on one line for programs."""
    if is_terminal(sys.stdout):
        click.echo(clean(json.dumps(value, indent=2, ensure_ascii=False)))
    else:
        click.echo(json.dumps(value))


def write_exactly(text: str) -> None:
    """The bytes of `text` and nothing else, whatever the locale says."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode("utf-8", "replace"))
    sys.stdout.buffer.flush()


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table on a terminal; else one line per row with tabs between cells, the names of the columns first.

    Cells are texts, numbers, None or lists of texts. The first column is never folded: it is what people copy.
    """
    names = [name.upper() for name in columns]
    if not is_terminal(sys.stdout):
        click.echo("\t".join(names))
        for row in rows:
            click.echo("\t".join(_cell(cell, ",") for cell in row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, name in enumerate(names):
        table.add_column(name, overflow="fold", no_wrap=number == 0)
    for row in rows:
        table.add_row(*(Text(_local_time(_cell(cell, ", "))) for cell in row))
    Console().print(table)


def _cell(value: Any, separator: str) -> str:
    if value is None:
        return ""
    return one_line(separator.join(value) if isinstance(value, list) else str(value))


def _local_time(text: str) -> str:
    """A time of the API as people read it; any other text as it is."""
    if not _TIME.fullmatch(text):
        return text
    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def print_fields(fields: Mapping[str, Any]) -> None:
    """`name  value` lines; what is unset is left out."""
    width = max(map(len, fields))
    for name, value in fields.items():
        if value not in (None, "", [], {}):
            click.echo(f"{name:<{width}}  {one_line(str(value))}")


def with_progress(label: str, work: Callable[[], T], *, growing: Path, total: int) -> T:
    """Do `work`, which writes `total` bytes to `growing`, with a progress bar where standard error is a terminal.

    Ctrl-C leaves at once and removes the unfinished file. Raises what `work` raises.
    """
    if not is_terminal(sys.stderr):
        return work()
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    outcome: list[Callable[[], T]] = []

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # handed to the waiting thread, whatever it is
            outcome.append(_raising(error))
        else:
            outcome.append(lambda: result)

    thread = threading.Thread(target=run, name=label, daemon=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(label, total=total)
        thread.start()
        try:
            while thread.is_alive():
                thread.join(0.1)
                progress.update(task, completed=_size(growing))
        except KeyboardInterrupt:
            growing.unlink(missing_ok=True)
            raise
    return outcome[0]()


def _raising(error: BaseException) -> Callable[[], Any]:
    def again() -> Any:
        raise error

    return again


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
