"""`promptd migrate`, `backup` and `restore`: the commands that open the database themselves."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from promptd.cli.exits import CliError, Exit
from promptd.cli.options import json_option, settings_options
from promptd.cli.output import print_json, with_progress

if TYPE_CHECKING:
    from promptd.settings import Settings


@click.command()
@click.option("--check", is_flag=True, help="Only say what is missing; exit code 1 if anything is.")
@json_option
@settings_options
def migrate(check: bool, as_json: bool, config: Path | None, home: Path | None) -> Exit:
    """Bring the database to this version's schema. `serve` does the same at its start.

    An existing database is copied beside itself first, as `promptd.db.before-` and the number of the newest migration; the
    copy stays until you delete it. Refused while a server uses it.
    """
    from promptd.stores.sqlite import database

    settings = _settings(home, config)
    path = settings.store_path
    with _one_line_errors(path):
        if check:
            applied = database.pending(path)
        else:
            with _locked(settings):
                connection = database.connect(path)
                try:
                    database.check(connection, path)
                    applied = database.migrate(connection, path)
                finally:
                    connection.close()
    copies = [str(one) for one in sorted(path.parent.glob(f"{path.name}.before-*[0-9]"))]
    if as_json:
        print_json({"path": str(path), "pending" if check else "applied": applied, "copies": copies})
    else:
        listed = ", ".join(f"{number:04d}" for number in applied)
        click.echo(f"{path}: {('missing ' if check else 'applied ') + listed if applied else 'up to date'}")
        for copy in copies:
            click.echo(f"{copy}: from before a migration; delete it once nobody wants to go back")
    return Exit.FAILED if check and applied else Exit.OK


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--force", is_flag=True, help="Replace FILE where it exists.")
@json_option
@settings_options
def backup(file: Path, force: bool, as_json: bool, config: Path | None, home: Path | None) -> None:
    """Copy the database to FILE, also while a server runs.

    The copy is complete or not there at all. It holds prompts and answers; only you may read it. Key files and the
    configuration file are not in it.
    """
    from promptd.stores.sqlite import database

    path = _settings(home, config).store_path
    _require(path)
    _distinct(file, path)
    if file.exists() and not force:
        raise CliError(f"{file} exists; say --force to replace it", Exit.USAGE)
    if not file.absolute().parent.is_dir():
        raise CliError(f"there is no folder {file.absolute().parent}", Exit.USAGE)
    with _one_line_errors(path), _private_files():
        part = file.with_name(file.name + ".part")
        with_progress("backup", lambda: database.backup_file(path, file), growing=part, total=path.stat().st_size)
    size = file.stat().st_size
    if as_json:
        print_json({"path": str(path), "file": str(file), "bytes": size})
    else:
        click.echo(f"{file}  {size} bytes")


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@json_option
@settings_options
def restore(file: Path, as_json: bool, config: Path | None, home: Path | None) -> None:
    """Put back the backup FILE, after checking it.

    The database that was there is kept beside it. Refused while a server uses it.
    """
    from promptd.stores.sqlite import database

    settings = _settings(home, config)
    path = settings.store_path
    _distinct(file, path)
    with _one_line_errors(file), _locked(settings), _private_files():
        growing = path.with_name(path.name + ".restoring.part")
        kept = with_progress(
            "restore", lambda: database.restore(file, path), growing=growing, total=file.stat().st_size
        )
    if as_json:
        print_json({"path": str(path), "file": str(file), "kept": None if kept is None else str(kept)})
    else:
        click.echo(f"{path}  restored" + ("" if kept is None else f"; the old one is {kept}"))


def _settings(home: Path | None, config: Path | None) -> Settings:
    from promptd.settings import load

    return load(home, config)


@contextmanager
def _locked(settings: Settings) -> Iterator[None]:
    """Hold the data folder, so that no server has the database open. Raises `SettingsError`, as `serve` does."""
    from promptd.home import HomeLock

    lock = HomeLock(settings.home)
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _private_files() -> Iterator[None]:
    """Files made inside can be read by this user alone: they hold what people asked."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def _one_line_errors(path: Path) -> Iterator[None]:
    import sqlite3

    try:
        yield
    except sqlite3.Error as error:
        raise CliError(f"{path}: {error}") from error
    except OSError as error:
        raise CliError(f"{error.filename or path}: {error.strerror or error}") from error


def _require(path: Path) -> None:
    if not path.exists():
        raise CliError(f"there is no database {path}", Exit.NOT_FOUND)


def _distinct(file: Path, path: Path) -> None:
    if file.exists() and path.exists() and file.samefile(path):
        raise CliError(f"{file} is the database itself", Exit.USAGE)
