"""How much room a stranger's plugin gets."""

from __future__ import annotations

import re
from typing import Any, Literal

from msgspec import Struct

from promptd.core.engine import Engine

Mode = Literal["thread", "process"]


class Rules(Struct, frozen=True, kw_only=True):
    """Bounds on the plugins of one distribution. Sizes in bytes, times in seconds; 0 means no limit."""

    mode: Mode = "thread"
    threads: int = 8  #: plain `def` methods that run at once
    blocked_seconds: float = 5.0  #: a loop that gives no sign of life for so long is given up
    most_stuck: int = 8  #: threads given up that still run; with so many the plugin is unavailable
    max_answer_bytes: int = 16 * 1024 * 1024
    start_seconds: float = 30.0  #: for the import, and for the start of a child process
    memory_bytes: int = 0  #: address space of the child process
    cpu_seconds: int = 0  #: of the child process, in all its life


def overrides(kind: type[Engine[Any, Any]], method: str) -> bool:
    """Whether an engine class has a `method` of its own."""
    return getattr(kind, method) is not getattr(Engine, method)


def normal(distribution: str) -> str:
    """The one spelling of a distribution's name: `Acme_Echo` is `acme-echo`."""
    return re.sub(r"[-_.]+", "-", distribution).lower()
