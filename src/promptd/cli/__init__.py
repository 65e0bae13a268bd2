"""The command line. It talks HTTP to a running server; only migrate, backup and restore open the database themselves.

Modules here import nothing heavy at the top, so that `promptd --help` and the completion of shells answer at once.
"""

from __future__ import annotations

import sys
from typing import NoReturn

__all__ = ["main"]


def main() -> NoReturn:
    """The entry point of the `promptd` script: run the command of `sys.argv` and exit with its code."""
    try:
        from promptd.cli.root import run

        sys.exit(run())
    except KeyboardInterrupt:  # before or behind a command; inside one it has its own meaning
        sys.exit(130)
