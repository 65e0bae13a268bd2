"""What this machine, or the container around us, gives."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

#: where Linux writes a control group's limit: version 2, version 1
_LIMITS: Final = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def memory(limits: tuple[str, ...] = _LIMITS) -> int:
    """Bytes of memory that there are for this process and all others here."""
    found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for path in limits:
        try:
            text = Path(path).read_text().strip()
        except OSError:
            continue
        if text.isdecimal():  # `max` where there is no limit
            found.append(int(text))
    return min(found)
