"""Where in a configuration something is: `auth.password`, `servers[2].url`, `headers["X-Key"]`."""

from __future__ import annotations

import json
import re
from typing import Any

Path = tuple[str | int, ...]

#: deeper values are refused or dropped: the validator's own bound would cost the whole configuration
MAX_DEPTH = 100

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PART = re.compile(r'\.?([A-Za-z_][A-Za-z0-9_]*)|\[(\d{1,9})\]|\[("(?:[^"\\]|\\.)*")\]')


def spell(path: Path) -> str:
    """The path as text; different paths have different texts."""
    parts = []
    for part in path:
        if isinstance(part, int):
            parts.append(f"[{part}]")
        elif _NAME.fullmatch(part):
            parts.append(f".{part}")
        else:
            parts.append(f"[{json.dumps(part)}]")
    return "".join(parts).removeprefix(".")


def parse(text: str) -> Path | None:
    """The path that `spell` wrote as `text`, or None."""
    path: list[str | int] = []
    at = 0
    while at < len(text):
        match = _PART.match(text, at)
        if match is None or (match[0].startswith(".") and at == 0) or (match[1] and at and match[0] == match[1]):
            return None
        try:
            path.append(match[1] or (int(match[2]) if match[2] else json.loads(match[3])))
        except ValueError:
            return None
        at = match.end()
    return tuple(path)


def too_deep(data: Any) -> bool:
    """Whether the JSON value is nested deeper than any setting is."""
    level = [data]
    for _ in range(MAX_DEPTH):
        level = [inner for one in level for inner in _inside(one)]
        if not level:
            return False
    return True


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    return [inner for inner in value if isinstance(inner, dict | list)] if isinstance(value, list) else []


def exists(data: Any, path: Path) -> bool:
    """Whether the JSON value `data` has something at `path`."""
    found = data
    for part in path:
        named = isinstance(part, str) and isinstance(found, dict) and part in found
        if not named and not (isinstance(part, int) and isinstance(found, list) and 0 <= part < len(found)):
            return False
        found = found[part]
    return True


def get(data: Any, path: Path) -> Any:
    """What the JSON value `data` has at `path`; None where there is nothing."""
    if not exists(data, path):
        return None
    found: Any = data
    for part in path:
        found = found[part]
    return found
