"""What an answer says about its own text: sources above all. In the house they are as the chat API writes them."""

from __future__ import annotations

from typing import Any, Final

_CITATION: Final = "url_citation"


def annotations_of(value: Any) -> list[dict[str, Any]]:
    """Those that an answer's value holds, in the form of this dialect; it has no wrapping around a source."""
    found = value.get("annotations") if isinstance(value, dict) else None
    return [_flat(one) for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def wrapped(annotation: dict[str, Any]) -> dict[str, Any]:
    """An annotation of this dialect as the chat API writes it. Kinds that only this dialect has stay as they are."""
    if annotation.get("type") != _CITATION or _CITATION in annotation:
        return annotation
    source = {name: value for name, value in annotation.items() if name != "type"}
    return {"type": _CITATION, _CITATION: source}


def _flat(annotation: dict[str, Any]) -> dict[str, Any]:
    source = annotation.get(_CITATION)
    return {"type": _CITATION, **source} if isinstance(source, dict) else annotation
