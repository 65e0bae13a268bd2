"""The command tree of `oo`, and the one place where errors become lines and exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress

import click

from promptd.oo.access import global_options
from promptd.oo.calls import delete, get, post, put
from promptd.oo.envs import env
from promptd.oo.failure import Exit, Failed
from promptd.oo.output import complain
from promptd.oo.permits import permit
from promptd.oo.users import login, register, set_token, su, token, whoami


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@global_options
def root(env_name: str | None, app_host: str | None) -> None:
    """Calls to a server that speaks 1Backend's wire."""


for _command in (get, post, put, delete, env, login, register, whoami, token, set_token, su, permit):
    root.add_command(_command)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command (default: of `sys.argv`); its exit code. Every error is a line on standard error."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a narrow locale must not end a command in the middle
    try:
        root.main(arguments, prog_name="oo", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
    except click.ClickException as error:
        complain(error.format_message())
        return Exit.FAILED
    except Failed as error:
        complain(error.message)
        return Exit.FAILED
    except click.Abort:
        return Exit.INTERRUPTED
    except BrokenPipeError:  # whoever read our output has seen enough
        _drop_output()
        return Exit.FAILED
    except OSError as error:
        _drop_output()
        with suppress(OSError):  # standard error may be the same full disk
            complain(f"{error.filename or 'input or output'}: {error.strerror or error}")
        return Exit.FAILED
    return Exit.OK


def _drop_output() -> None:
    """Send what standard output still holds to nowhere: the interpreter would try to write it again at its exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with suppress(OSError, ValueError, AttributeError):  # it may be closed, or none at all
        os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
