"""The command tree, and the one place where errors become lines and exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import click

from promptd import __version__
from promptd.cli.arch import arch
from promptd.cli.ask import ask
from promptd.cli.call import call
from promptd.cli.chains import chains
from promptd.cli.completion import completion
from promptd.cli.config import config, version
from promptd.cli.exits import CliError, Exit
from promptd.cli.files import files
from promptd.cli.guard import guard
from promptd.cli.intents import intents
from promptd.cli.keys import keys
from promptd.cli.models import connections, models
from promptd.cli.output import complain
from promptd.cli.plugins import plugins
from promptd.cli.prompts import prompts
from promptd.cli.serve import serve
from promptd.cli.store import backup, migrate, restore
from promptd.cli.templates import templates
from promptd.cli.usage import usage
from promptd.cli.vault import vault
from promptd.core.errors import PromptdError, SettingsError

NAME: Final = "promptd"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name=NAME, message="%(prog)s %(version)s")
def root() -> None:
    """One durable service between applications and AI models."""


for _command in (
    *(serve, arch, ask, prompts, files, templates, call, chains, models, connections, guard, intents, keys, usage),
    *(migrate, backup, restore, vault, config, plugins, completion, version),
):
    root.add_command(_command)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command (default: of `sys.argv`); its exit code. Every error is one line on standard error."""
    try:
        return _run(arguments)
    except OSError as error:
        _drop_output()
        with suppress(OSError):  # standard error may be the same full disk
            complain(f"{error.filename or 'input or output'}: {error.strerror or error}")
        return Exit.FAILED


def _run(arguments: Sequence[str] | None) -> int:
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a narrow locale must not end a command in the middle
    try:
        code = root.main(arguments, prog_name=NAME, standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return Exit.USAGE
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx is not None else NAME
        complain(f"{error.format_message()} (see `{where} --help`)")
        return Exit.USAGE
    except click.ClickException as error:
        complain(error.format_message())
        return Exit.FAILED
    except click.Abort:
        return Exit.INTERRUPTED
    except CliError as error:
        complain(error.message)
        return error.exit_code
    except SettingsError as error:
        complain(error.message)
        return Exit.USAGE
    except PromptdError as error:
        complain(error.message)
        return Exit.FAILED
    return code if isinstance(code, int) else Exit.OK


def _drop_output() -> None:
    """Send what standard output still holds to nowhere: the interpreter would try to write it again at its exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with suppress(OSError, ValueError, AttributeError):  # it may be closed, or none at all
        os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
