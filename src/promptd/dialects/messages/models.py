"""Lists of models in the vendor's shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

_encode: Final = msgspec.json.Encoder().encode


def model_object(name: str) -> dict[str, Any]:
    """One model. Nobody knows when it was made, and then the vendor says so with the beginning of time."""
    return {
        "type": "model",
        "id": name,
        "display_name": name,
        "created_at": "1970-01-01T00:00:00Z",
        "lifecycle": "active",
    }


def encode_models(
    names: Sequence[str], *, after: str | None = None, before: str | None = None, limit: int = 20
) -> bytes:
    """One page: at most `limit` of them behind `after`, or those right before `before`."""
    first, last = 0, len(names)
    if after is not None and after in names:
        first = names.index(after) + 1
    if before is not None and before in names:
        last = names.index(before)
    found = names[first:last]
    page = found[-limit:] if before is not None and after is None else found[:limit]
    return _encode(
        {
            "data": [model_object(name) for name in page],
            "has_more": len(found) > len(page),
            "first_id": page[0] if page else None,
            "last_id": page[-1] if page else None,
        }
    )
