"""The generated parts of docs/cli.md. Regenerate with `cog -r docs/cli.md`; a test fails when the page is stale."""

from __future__ import annotations

from collections.abc import Iterator

import click

from promptd.cli.exits import MEANINGS
from promptd.cli.root import NAME, root

_WIDTH = 100


def commands() -> str:
    """Every command's help, in the order of the root's help."""
    return "\n".join(f"### {path}\n\n```\n{text}\n```\n" for path, text in _helps(root, NAME, None))


def exit_codes() -> str:
    rows = [f"| {code.value} | {meaning} |" for code, meaning in MEANINGS.items()]
    return "\n".join(["| Code | Meaning |", "|---|---|", *rows])


def _helps(command: click.Command, path: str, parent: click.Context | None) -> Iterator[tuple[str, str]]:
    info_name = path.rpartition(" ")[2]
    context = click.Context(
        command, info_name=info_name, parent=parent, terminal_width=_WIDTH, **command.context_settings
    )
    yield path, command.get_help(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None:
                yield from _helps(inner, f"{path} {name}", context)
