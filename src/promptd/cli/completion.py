"""`promptd completion`: the script that teaches a shell to complete promptd's commands."""

from __future__ import annotations

import click

from promptd.cli.exits import CliError


@click.command()
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script of SHELL.

    For bash and zsh put `eval "$(promptd completion SHELL)"` into the start file of your shell; for fish,
    `promptd completion fish | source`.
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        raise CliError(f"no completion for {shell}")
    click.echo(kind(context.find_root().command, {}, "promptd", "_PROMPTD_COMPLETE").source())
