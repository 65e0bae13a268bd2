"""`promptd guard`: what the configured checks think of a text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from promptd.cli.exits import CliError, Exit
from promptd.cli.options import json_option, with_client
from promptd.cli.output import clean, print_json, print_table

if TYPE_CHECKING:
    from promptd.cli.client import Client

_SECONDS: Final = 120.0  # a guard may be a model


@click.group()
def guard() -> None:
    """Try out the guards of the server."""


@guard.command("test")
@click.argument("text", required=False)
@click.option(
    "--file",
    "path",
    type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True),
    help="Read the text from a file; - is standard input.",
)
@click.option("--stage", type=click.Choice(["input", "tool", "output"]), help="Whose text it is. Default: any.")
@click.option("--check", help="Ask the check of this name only.")
@json_option
@with_client
def try_out(
    client: Client, text: str | None, path: Path | None, stage: str | None, check: str | None, as_json: bool
) -> None:
    """Ask every check of the server what it thinks of TEXT. The exit code is 1 where one would refuse it."""
    from promptd.cli.client import at

    if (text is None) == (path is None):
        raise CliError("give a text, or a file with --file", Exit.USAGE)
    if path is not None:
        with click.open_file(str(path), encoding="utf-8", errors="replace") as file:
            text = file.read()
    asked = {"text": text} | ({"stage": stage} if stage else {}) | ({"check": check} if check else {})
    found = client.call("POST", at("guard", "test"), body=asked, timeout=_SECONDS)
    if as_json:
        print_json(found)
    elif not found["items"]:
        click.echo("no check looks at it")
    else:
        print_table(
            ("check", "stage", "outcome", "score", "categories", "reason", "ms"),
            (
                (
                    item["check"],
                    item["stage"],
                    item["outcome"],
                    f"{item['score']:.3f}",
                    sorted(item["categories"]),
                    item["reason"],
                    f"{item['milliseconds']:.2f}",
                )
                for item in found["items"]
            ),
        )
        for item in found["items"]:
            if item["redacted_text"] is not None:
                click.echo(f"\n{item['check']}, {item['stage']}:\n{clean(item['redacted_text'])}")
    if not found["allowed"]:
        raise click.exceptions.Exit(Exit.FAILED)
