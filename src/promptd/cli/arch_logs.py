"""`promptd arch logs`: the access logs of the listeners, as they are or as they grow."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final

import click

from promptd.cli.output import clean, complain

_FILES: Final = ("access_ingress.log", "access_llm.log", "access_internal.log")
_SERVICES: Final = {
    "all": _FILES,
    "archgw": _FILES,
    "ingress": _FILES[:1],
    "llm": _FILES[1:2],
    "internal": _FILES[2:],
    "model_server": (),
}
_PAUSE: Final = 0.25  # seconds between two looks


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written from now on, until Ctrl-C.")
@click.option(
    "--service", type=click.Choice(list(_SERVICES)), default="all", show_default=True, help="Whose requests are shown."
)
@click.option("--debug", is_flag=True, help="Taken for the original's sake: promptd's own log is on standard error.")
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="PROMPTD_HOME",
    show_envvar=True,
    help="Folder of database, keys and logs.  [default: ~/.promptd]",
)
def logs(follow: bool, service: str, debug: bool, home: Path | None) -> None:
    """Show the access logs of an Arch file's listeners."""
    folder = (home or Path("~/.promptd")).expanduser() / "logs"
    if debug:
        complain("--debug has no effect: promptd's own log is on its standard error", warning=True)
    names = _SERVICES[service]
    if not names:
        complain(f"--service {service}: promptd is one service, and this part has no log", warning=True)
    paths = [folder / name for name in names]
    if not follow and not any(path.is_file() for path in paths):
        complain(f"no requests yet: there is no access log in {folder}", warning=True)
    for line in lines(paths, follow=follow, pause=lambda: time.sleep(_PAUSE)):
        click.echo(clean(line))


def lines(paths: Sequence[Path], *, follow: bool, pause: Callable[[], None]) -> Iterator[str]:
    """The lines of the files, one file after the other; with `follow`, then those that come, without end.

    A file that is set aside for a new one is read to its end first. `pause` is called where nothing new is there.
    """
    tails = [_Tail(path) for path in paths]
    try:
        while True:
            some = False
            for tail in tails:
                for line in tail.fresh():
                    some = True
                    yield line
            if not follow:
                return
            if not some:
                pause()
    finally:
        for tail in tails:
            tail.close()


class _Tail:
    """One file, and how far it is read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._rest = b""

    def fresh(self) -> Iterator[str]:
        """What was not there before."""
        yield from self._read()
        if self._moved():
            self.close()
            yield from self._read()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file, self._rest = None, b""

    def _read(self) -> Iterator[str]:
        if self._file is None:
            try:
                self._file = self._path.open("rb")
            except OSError:  # none yet
                return
        while data := self._file.read(65536):
            *whole, self._rest = (self._rest + data).split(b"\n")
            for line in whole:
                yield line.decode("utf-8", "replace")

    def _moved(self) -> bool:
        """Whether another file has the name now."""
        if self._file is None:
            return False
        try:
            there = self._path.stat()
        except OSError:
            return False
        return not os.path.samestat(there, os.fstat(self._file.fileno()))
