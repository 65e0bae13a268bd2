"""Shows a followed prompt until it ends; shared by `ask` and `prompts follow`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from promptd.cli.answer import Spinner, show, sink_for
from promptd.cli.client import Client, at
from promptd.cli.exits import CliError, Exit
from promptd.cli.output import complain, print_json
from promptd.cli.reader import Reader
from promptd.cli.sse import Event

Keep = Callable[[Sequence[str]], list[Path]]
"""Saves files by their ids; where they are."""


def watch(
    client: Client,
    reader: Reader,
    events: Iterator[Event],
    spinner: Spinner,
    *,
    as_json: bool,
    keep: Keep | None = None,
) -> Exit:
    """Print the answer, or with `as_json` the final prompt. Its files are kept and their names printed, or only named.

    Raises `CliError` where the stream can't be read or a file can't be saved.
    """
    outcome, files, saved = Exit.OK, [], None
    sink = sink_for(as_json=as_json)
    try:
        files = show(events, sink, spinner)
    except CliError as error:
        if error.exit_code is not Exit.PROMPT_FAILED:
            raise
        complain(error.message)
        outcome = error.exit_code
    if files and keep is not None:
        saved = [str(path) for path in keep(files)]
        sink.saved(saved)
    if as_json:
        prompt = client.call("GET", at("prompts", reader.prompt_id or ""))
        print_json(prompt if saved is None else {**prompt, "saved": saved})
    elif files and saved is None:
        complain(f"the answer has files: `promptd files get {' '.join(files)}`")
    return outcome
