"""How a command ends: exit codes, and the one error that carries them."""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class Exit(IntEnum):
    """The exit codes. Scripts rely on them; a number never changes its meaning."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    DENIED = 4
    NOT_FOUND = 5
    PROMPT_FAILED = 6
    BUSY = 7
    INTERRUPTED = 130


MEANINGS: Final = {
    Exit.OK: "The command did what it says.",
    Exit.FAILED: "It failed; the line on standard error says why.",
    Exit.USAGE: "The command line, a setting or a value in the request is wrong. Nothing was done.",
    Exit.UNREACHABLE: "The server can't be reached, or it went away and did not come back in time.",
    Exit.DENIED: "The key is missing, wrong or lacks a permission.",
    Exit.NOT_FOUND: "There is no such prompt, template, chain, file, model, connection or key.",
    Exit.PROMPT_FAILED: "The prompt was accepted, but ended without an answer: abandoned or canceled.",
    Exit.BUSY: "The server can't take it now (a limit, a full queue, a restart): try again later.",
    Exit.INTERRUPTED: "Ctrl-C, or no answer to a question.",
}


class CliError(Exception):
    """Ends the command with one line on standard error and an exit code."""

    def __init__(self, message: str, exit_code: Exit = Exit.FAILED) -> None:
        self.message, self.exit_code = message, exit_code
        super().__init__(message)
