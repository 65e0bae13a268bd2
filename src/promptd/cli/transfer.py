"""Files on their way between this machine and the server; shared by `ask` and `files`."""

from __future__ import annotations

import itertools
import os
import re
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple
from urllib.parse import urlencode

from promptd.cli.client import Client, at
from promptd.cli.exits import CliError, Exit
from promptd.core.files import safe_name

#: The id of an upload, as the server makes them.
_ID: Final = re.compile(r"file-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MOST_TRIES: Final = 10_000  # to find a name that is free


def upload(client: Client, path: Path, *, name: str | None = None, media_type: str | None = None) -> dict[str, Any]:
    """Send a file; its record. Raises `CliError`."""
    headers = {} if media_type is None else {"Content-Type": media_type}
    target = f"{at('files')}?{urlencode({'name': name or path.name})}"
    try:
        with path.open("rb") as file:
            record: dict[str, Any] = client.send_file(target, file, _size(file), headers)
            return record
    except OSError as error:
        raise CliError(f"{path}: {error.strerror or error}", Exit.USAGE) from error


class Attached(NamedTuple):
    """What goes with a prompt."""

    ids: list[str]
    sent: list[str]  #: those that were uploaded for it just now

    def take_back(self, client: Client) -> None:
        """Delete what was sent: the prompt was refused. Why is told already, so that this says nothing."""
        for identifier in self.sent:
            with suppress(CliError):
                client.call("DELETE", at("files", identifier))


def attach(client: Client, given: Sequence[str]) -> Attached:
    """Upload each of `given` that is no id of an upload already. Raises `CliError`; then nothing of it stays."""
    attached = Attached([], [])
    try:
        for one in given:
            if is_path(one):
                attached.sent.append(upload(client, Path(one))["id"])
            attached.ids.append(attached.sent[-1] if is_path(one) else one)
    except CliError:
        attached.take_back(client)
        raise
    return attached


def is_path(given: str) -> bool:
    """Whether it is a file here and not the id of an upload."""
    return _ID.fullmatch(given) is None or Path(given).exists()


def download(client: Client, identifier: str, output: str | None, number: int | None = None) -> Path:
    """Save a file into the folder `output` (one that is there, or with a `/` behind it) under its own name, or as the file
    `output`; where it is now.

    In a folder nothing is overwritten. `number` tells several files apart that are to have the same name. Raises
    `CliError`; then nothing is left of it.
    """
    target = Path(output or ".")
    folder = output is None or output.endswith(os.sep) or target.is_dir()
    try:
        if folder:
            target.mkdir(parents=True, exist_ok=True)
            record = client.call("GET", at("files", identifier))
            path, file = _free(target / _local_name(str(record["name"])))
        else:
            path = target if number is None else _numbered(target, number)
            file = path.open("wb")
    except OSError as error:
        raise CliError(f"{error.filename or target}: {error.strerror or error}") from error
    try:
        with file:
            for piece in client.read_file(at("files", identifier, "content")):
                file.write(piece)
    except BaseException as error:  # Ctrl-C too: half a file must not look like a whole one
        if path.is_file():
            path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise CliError(f"{path}: {error.strerror or error}") from error
        raise
    return path


def download_all(client: Client, identifiers: Sequence[str], output: str | None) -> list[Path]:
    """Save several files; where they are. Raises `CliError`."""
    several = len(identifiers) > 1
    return [download(client, one, output, number if several else None) for number, one in enumerate(identifiers, 1)]


def _size(file: BinaryIO) -> int | None:
    """Bytes of a regular file; None for a pipe, which is sent until it ends."""
    status = os.fstat(file.fileno())
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _local_name(name: str) -> str:
    """A name from the server as one that leads nowhere else and is not hidden."""
    return safe_name(name).lstrip(".") or "file"


def _free(wanted: Path) -> tuple[Path, BinaryIO]:
    """Create `wanted`, or `name-2.ext` and so on where that is taken."""
    for number in itertools.count(1):
        path = wanted if number == 1 else _numbered(wanted, number)
        try:
            return path, path.open("xb")
        except FileExistsError:
            if number >= _MOST_TRIES:
                raise
    raise AssertionError("counting does not end")


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.stem}-{number}{path.suffix}")
