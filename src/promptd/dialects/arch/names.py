"""What the house calls the things of a file."""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Final

_MODEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}")
_STRANGE: Final = re.compile(r"[^A-Za-z0-9._:/-]+")
_EDGES: Final = "._:/-"
_LAST: Final = 100  # characters that leave room for a number


def is_model(name: str) -> bool:
    """Whether a model of the house, without `*`, can be called so."""
    return _MODEL.fullmatch(name) is not None


def free_name(wanted: str, fallback: str, taken: Container[str]) -> str:
    """`wanted` in letters that every name can have, with a number behind it where that is taken."""
    base = _STRANGE.sub("-", wanted).strip(_EDGES)[:_LAST] or fallback
    number, name = 1, base
    while name in taken:
        number += 1
        name = f"{base}-{number}"
    return name
