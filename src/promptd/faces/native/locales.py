"""In which language somebody wants to read."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from promptd.faces.native.operation import Call

DEFAULT: Final = "en"
AcceptLanguage = Annotated[str, Meta(description="languages that the reader knows, the favourite one first")]
Locale = Annotated[
    str,
    Meta(
        max_length=64,
        pattern=r"^[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*$",
        description="language of the texts, such as `de-AT`; default: as `Accept-Language` says",
    ),
]
_RANGE: Final = re.compile(r"\s*([A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8}){0,7})\s*(?:;\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*)?")
_MOST: Final = 50


class LocaleQuery(Struct, frozen=True, forbid_unknown_fields=True):
    locale: Locale | None = None


def locale_of(call: Call[LocaleQuery, Any]) -> str:
    """What the query says, else the language of the header with the highest weight, else English."""
    return call.query.locale or accepted(call.headers.get(b"accept-language", b"").decode("latin-1"))


def accepted(header: str) -> str:
    """The language of an `Accept-Language` header that weighs most; of several, the first."""
    best, weight = DEFAULT, 0.0
    for part in header[:4096].split(",")[:_MOST]:
        match = _RANGE.fullmatch(part)
        if match is None:
            continue
        given = float(match[2]) if match[2] else 1.0
        if given > weight:
            best, weight = match[1], given
    return best
