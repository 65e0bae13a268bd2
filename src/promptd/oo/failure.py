"""The one error of `oo`, and its exit codes."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Scripts rely on these numbers; 2 is an uncaught fault of the program itself."""

    OK = 0
    FAILED = 1
    INTERRUPTED = 130


class Failed(Exception):
    """Ends the command with `Error: MESSAGE` on standard error and exit code 1."""

    def __init__(self, message: str) -> None:
        self.message = message
        super().__init__(message)
