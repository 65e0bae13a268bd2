"""What is wrong with a file, in the original's form: a message, where it stands, and what stands there."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, Final

from promptd.core.errors import SettingsError
from promptd.dialects.yaml_text import Path, spelled

HIDDEN: Final = "…"
_LONGEST: Final = 200


def fault(message: str, path: Path = (), value: Any = None) -> SettingsError:
    """An error at `path`. `value` is shown, except for what is inside of it where it is no scalar; None shows nothing."""
    lines = [message]
    if path:
        lines.append(f"Location: {' → '.join(map(shown, path))}")
    if value is not None:
        lines.append(f"Value: {shown(value)}")
    return SettingsError("\n".join(lines), key=spelled(path)[:_LONGEST])


def shown(value: Any) -> str:
    """A value without what may be secret inside of it: of a mapping its keys, of a list its length."""
    if isinstance(value, dict):
        text = f"{{{', '.join(map(str, value))}}}"
    elif isinstance(value, list):
        text = f"[{len(value)} items]"
    elif isinstance(value, bool):
        text = str(value).lower()
    else:
        text = str(value)
    text = text.encode("ascii", "backslashreplace").decode() if not text.isprintable() else text
    return text if len(text) <= _LONGEST else text[:_LONGEST] + HIDDEN


def meant(name: str, known: Iterable[str]) -> str:
    """`, did you mean "port"?`, or nothing where nothing is near."""
    near = get_close_matches(name[:100], list(known), n=1)
    return f', did you mean "{near[0]}"?' if near else ""
