"""Names of headers, as settings give them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Final

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
#: headers that frame a request; nobody sets them
FRAMING: Final = frozenset(
    {"content-length", "transfer-encoding", "connection", "accept-encoding", "upgrade", "te", "expect", "trailer"}
)


def check_header_names(names: Iterable[str], *, taken: Collection[str] = FRAMING) -> None:
    """Raises `ValueError` for what is no name of a header, and for one of `taken`, which are in lower case."""
    for name in names:
        if not _TOKEN.fullmatch(name) or name.lower() in taken:
            raise ValueError(f"names of headers that can be set, and {name[:40]!r} is none")
