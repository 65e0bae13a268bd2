"""Shows a followed prompt until it ends; shared by `ask` and `prompts follow`."""

from __future__ import annotations

from collections.abc import Iterator

from promptd.cli.answer import Spinner, show, sink_for
from promptd.cli.client import Client, at
from promptd.cli.exits import CliError, Exit
from promptd.cli.output import complain, print_json
from promptd.cli.reader import Reader
from promptd.cli.sse import Event


def watch(client: Client, reader: Reader, events: Iterator[Event], spinner: Spinner, *, as_json: bool) -> Exit:
    """Print the answer, or with `as_json` the final prompt. Raises `CliError` where the stream can't be read."""
    outcome = Exit.OK
    try:
        show(events, sink_for(as_json=as_json), spinner)
    except CliError as error:
        if error.exit_code is not Exit.PROMPT_FAILED:
            raise
        complain(error.message)
        outcome = error.exit_code
    if as_json:
        print_json(client.call("GET", at("prompts", reader.prompt_id or "")))
    return outcome
