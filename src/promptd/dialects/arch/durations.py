"""Lengths of time in a file: `5s`, `500ms`, `1m`, or seconds."""

from __future__ import annotations

import re
from typing import Final

from promptd.dialects.arch.faults import fault
from promptd.dialects.yaml_text import Path

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)?", re.ASCII)
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_LONGEST: Final = 86_400.0


def seconds(value: str | float, path: Path) -> float:
    """Seconds, up to a day. Raises `SettingsError`."""
    match = _DURATION.fullmatch(str(value))
    found = float(match[1]) * _UNITS[match[2] or "s"] if match else float(value)
    if not 0 <= found <= _LONGEST:
        raise fault("expected a time of a day at most", path, value)
    return found


def positive(value: str | float, path: Path) -> float:
    """Seconds above 0. Raises `SettingsError`."""
    found = seconds(value, path)
    if not found:
        raise fault("expected a time above 0", path, value)
    return found
