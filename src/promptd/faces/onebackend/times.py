"""Times of this wire: RFC 3339 with nine digits, and a zero time where there is none."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

ZERO: Final = "0001-01-01T00:00:00Z"
_ZERO_SECONDS: Final = -62135596800.0
_FORM: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")


def stamp(seconds: float | None) -> str:
    """UTC seconds as this wire writes them. Nine digits name one float exactly, so that paging loses nothing."""
    if seconds is None or seconds <= 0:
        return ZERO
    whole, fraction = divmod(seconds, 1)
    nanos = round(fraction * 1_000_000_000)
    if nanos == 1_000_000_000:
        whole, nanos = whole + 1, 0
    date = datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{date}.{nanos:09d}Z"


def seconds_of(text: str) -> float | None:
    """The other way round; None where the text is no such time."""
    match = _FORM.fullmatch(text)
    if match is None:
        return None
    try:
        whole = datetime.fromisoformat(match[1] + match[3].replace("Z", "+00:00")).timestamp()
    except (ValueError, OverflowError):
        return None
    return max(whole + float(match[2] or 0), _ZERO_SECONDS)
