"""Shows an answer as it comes.

On a terminal each piece is printed at once, and a line marks where a failed attempt's text becomes void. Into a pipe or
a file the answer is written when it is complete: what was written can't be taken back there, so it must not be void.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import click

from promptd.cli.exits import CliError, Exit
from promptd.cli.output import clean, complain, is_terminal, one_line, write_exactly
from promptd.cli.sse import Event


class Sink(Protocol):
    """Where the text of an answer goes."""

    def progress(self, text: str) -> None: ...

    def restart(self, code: str) -> None:
        """Everything so far is void."""

    def done(self) -> None:
        """The text is complete."""

    def failed(self) -> None:
        """Everything so far is void, and nothing will follow."""

    def saved(self, names: Sequence[str]) -> None:
        """Behind the complete text: the answer's files are here now."""


class Held:
    """Writes the stored answer, to the byte, once it is complete."""

    def __init__(self) -> None:
        self._pieces: list[str] = []

    def progress(self, text: str) -> None:
        self._pieces.append(text)

    def restart(self, code: str) -> None:
        self._pieces.clear()

    def done(self) -> None:
        write_exactly("".join(self._pieces))

    def failed(self) -> None:
        self._pieces.clear()

    def saved(self, names: Sequence[str]) -> None:
        if self._pieces and not self._pieces[-1].endswith("\n"):
            click.echo()
        _print_names(names)


class Silent:
    """For `--json`: the answer is in the prompt that is printed at the end."""

    def progress(self, text: str) -> None:
        pass

    def restart(self, code: str) -> None:
        pass

    def done(self) -> None:
        pass

    def failed(self) -> None:
        pass

    def saved(self, names: Sequence[str]) -> None:
        pass


class Live:
    """Prints pieces on a terminal as they come. A model's control characters never reach it."""

    def __init__(self) -> None:
        self._column_zero = True

    def progress(self, text: str) -> None:
        if text:
            click.echo(clean(text), nl=False)
            sys.stdout.flush()
            self._column_zero = text.endswith("\n")

    def restart(self, code: str) -> None:
        self._end_line()
        reason = f"attempt failed ({clean(code)})" if code else "attempt lost"
        click.secho(f"— {reason}, starting anew —", dim=True)

    def done(self) -> None:
        self._end_line()

    def failed(self) -> None:
        self._end_line()

    def saved(self, names: Sequence[str]) -> None:
        _print_names(names)

    def _end_line(self) -> None:
        if not self._column_zero:
            click.echo()
            self._column_zero = True


def _print_names(names: Sequence[str]) -> None:
    for name in names:
        click.echo(one_line(name))


class Spinner:
    """Tells on a terminal that somebody is waiting; nothing where standard error is none."""

    def __init__(self) -> None:
        self._status: Any = None

    def start(self, text: str) -> None:
        self.stop()
        if is_terminal(sys.stderr) and is_terminal(sys.stdout):
            from rich.console import Console

            self._status = Console(stderr=True).status(clean(text), spinner="dots")
            self._status.start()

    def notice(self, text: str) -> None:
        """Why it takes longer. Behind the pieces of an answer there is no place for it: it would cover their line."""
        if self._status is not None:
            self._status.update(clean(text))

    def stop(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None


def sink_for(*, as_json: bool) -> Sink:
    if as_json:
        return Silent()
    return Live() if is_terminal(sys.stdout) else Held()


def show(events: Iterable[Event], sink: Sink, spinner: Spinner) -> list[str]:
    """Apply `events` to `sink` until the prompt ends; the ids of the answer's files.

    Raises `CliError` where it ended without an answer.
    """
    files: list[str] = []
    spinner.start("waiting for the model")
    try:
        for kind, _, data in events:
            spinner.stop()
            if kind == "progress":
                sink.progress(str(data.get("text") or ""))
                if data.get("fraction") is not None:
                    spinner.start(f"{data['fraction']:.0%} done")
            elif kind == "restart":
                sink.restart(str(data.get("code") or ""))
                spinner.start("waiting for the next attempt")
            elif kind == "done":
                sink.done()
                files = [file["id"] for file in data.get("files") or ()]
                if data.get("finish_reason") == "length":
                    complain("the answer was cut by the limit on its tokens", warning=True)
            elif kind == "error":
                sink.failed()
                raise CliError(f"the prompt failed: {data.get('message')} ({data.get('code')})", Exit.PROMPT_FAILED)
    finally:
        spinner.stop()
    return files
