"""What is told of an Arch file: defaults that were chosen, keys without effect, and why the start is refused."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from promptd.cli.exits import Exit
from promptd.cli.output import clean

if TYPE_CHECKING:
    from promptd.core.errors import SettingsError
    from promptd.settings import Settings

_log = logging.getLogger("promptd")


def announce(settings: Settings) -> None:
    """Into the log, once the doors are open."""
    config = settings.arch
    if config is None:
        return
    for one in config.chosen:
        _log.info("arch file (%s): %s: %s", config.era, one.path, one.text, extra={"action": "arch_chosen"})
    for one in config.warnings:
        _log.warning("arch file: %s: %s", one.path, one.text, extra={"action": "arch_warning"})


def refuse(error: SettingsError, config: Path | None) -> NoReturn:
    """End the command: of an Arch file with exit code 1 and all lines of the error, else as of any setting.

    The data folder is in no Arch file: where it is in use, all commands end alike.
    """
    from promptd.settings import arch_file

    if error.key == "home" or arch_file(config) is None:
        raise error
    fail(error)


def fail(error: SettingsError) -> NoReturn:
    """Every line of the error on standard error, and exit code 1."""
    click.echo("\n".join(clean(line) for line in error.message.splitlines()), err=True)
    raise click.exceptions.Exit(Exit.FAILED)
