"""`oo`, the second command line: calls to a server that speaks 1Backend's wire, this one or another.

It talks HTTP and uses nothing of the rest of promptd. Modules import nothing heavy at the top, so that `oo --help`
answers at once.
"""

from __future__ import annotations

import sys
from typing import NoReturn

__all__ = ["main"]


def main() -> NoReturn:
    """The entry point of the `oo` script: run the command of `sys.argv` and exit with its code."""
    try:
        from promptd.oo.root import run

        sys.exit(run())
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception:  # a fault of our own: scripts tell it from a refused call by its exit code
        import traceback

        traceback.print_exc()
        sys.exit(2)
