"""A stranger's code at start-up: an import that hangs must not keep the server from starting."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from typing import TypeVar

import msgspec

from promptd.isolation import child

R = TypeVar("R")

_KEPT = 20_000  # characters of a traceback


class ImportFailed(Exception):
    """An entry point took its process down, or raised there; `trace` is what that process said."""

    def __init__(self, reason: str, trace: str = "") -> None:
        super().__init__(reason)
        self.trace = trace


def probe(entry: str, seconds: float) -> None:
    """Load the entry point `module:thing` in a process of its own, which it may crash. Raises `ImportFailed`."""
    asked = msgspec.json.encode((sys.path, entry))
    command = [sys.executable, "-P", "-m", child.__name__, child.PROBE]
    try:
        ended = subprocess.run(command, input=asked, capture_output=True, timeout=seconds, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        raise ImportFailed(f"it was not loaded within {seconds:g} s") from None
    except OSError as error:
        raise ImportFailed(f"its process could not be started: {error.strerror}") from None
    if ended.returncode != 0:
        trace = ended.stderr.decode("utf-8", "replace")[-_KEPT:].strip()
        last = trace.rpartition("\n")[2]
        how = child.how_it_ended(ended.returncode)
        raise ImportFailed(last if "Error" in last else f"its process {how} at the import", trace)


def within(seconds: float, step: Callable[[], R]) -> R:
    """The result of `step`, which runs in a thread and raises what it raises. Raises `TimeoutError`.

    A step that hangs keeps its thread, and the locks of the modules that it imports; nothing can be done about that.
    """
    ended: list[Callable[[], R]] = []

    def run() -> None:
        try:
            result = step()
        except BaseException as error:  # SystemExit and KeyboardInterrupt too: the caller decides
            raised = error
            ended.append(lambda: _raise(raised))
        else:
            ended.append(lambda: result)

    thread = threading.Thread(target=run, name="plugin import", daemon=True)
    thread.start()
    thread.join(seconds)
    if not ended:
        raise TimeoutError(f"it was not loaded within {seconds:g} s")
    return ended[0]()


def _raise(error: BaseException) -> R:  # type: ignore[type-var] # it never returns
    raise error
