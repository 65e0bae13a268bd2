"""Variables in a file: `$NAME` and `${NAME}` inside of scalar values, after parsing (contracts/arch.md §1.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from promptd.core.errors import SettingsError
from promptd.dialects.arch.faults import fault, shown
from promptd.dialects.yaml_text import Path

_NAME: Final = r"[A-Za-z_][A-Za-z0-9_]*"
_REFERENCE: Final = re.compile(rf"\$(?:(?P<dollar>\$)|\{{(?P<braced>{_NAME})\}}|(?P<plain>{_NAME})|(?P<wrong>\{{))")
_LINE: Final = re.compile(rf"\s*(?:export\s+)?(?P<name>{_NAME})\s*=\s*(?P<value>.*?)\s*", re.DOTALL)
#: keys whose variables the original asks for by name, before anything else
_ACCESS: Final = frozenset({"access_key", "Authorization", "authorization"})


def variables(text: str, *, name: str) -> dict[str, str]:
    """What a `.env` file sets. Raises `SettingsError` with the line, and never with what stands there."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise SettingsError(f"{name}, line {number}: expected NAME=value")
        found[match["name"]] = _unquoted(match["value"])
    return found


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return value.partition(" #")[0].rstrip()


def expand(value: Any, known: Mapping[str, str], path: Path = ()) -> Any:
    """`value` with every variable in it replaced. Raises `SettingsError` for one that is not known."""
    if isinstance(value, dict):
        return {key: expand(item, known, (*path, key)) for key, item in value.items()}
    if isinstance(value, list):
        return [expand(item, known, (*path, index)) for index, item in enumerate(value)]
    if not isinstance(value, str) or "$" not in value:
        return value

    def replaced(match: re.Match[str]) -> str:
        if match["dollar"]:
            return "$"
        if match["wrong"]:
            raise fault("expected the name of a variable behind `${`; `$$` stands for `$`", path)
        name = match["braced"] or match["plain"]
        if name not in known:
            if path[-1:] and path[-1] in _ACCESS:
                raise fault(f"Access Key: {shown(name)} not found. Exiting Start", path)
            raise fault(f"Variable: {shown(name)} not found; `$$` stands for `$`", path)
        return known[name]

    return _REFERENCE.sub(replaced, value)
