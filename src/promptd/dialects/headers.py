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
_COMMON: Final = (
    b"accept accept-encoding accept-language anthropic-version api-key authorization cache-control connection content-encoding "
    b"content-length content-type date host openai-organization openai-processing-ms openai-version request-id "
    b"retry-after server strict-transport-security traceparent transfer-encoding user-agent vary via x-api-key x-forwarded-for "
    b"x-forwarded-proto x-ratelimit-limit-requests x-ratelimit-limit-tokens x-ratelimit-remaining-requests "
    b"x-ratelimit-remaining-tokens x-ratelimit-reset-requests x-ratelimit-reset-tokens x-request-id "
    b"x-stainless-arch x-stainless-async x-stainless-lang x-stainless-os x-stainless-package-version "
    b"x-stainless-read-timeout x-stainless-retry-count x-stainless-runtime x-stainless-runtime-version"
).split()
#: Names that most messages have, as they are mostly spelled, in lower case: to look one up is cheaper than to make it, and
#: many requests at once hold it once.
LOWER: Final = {spelled: name for name in _COMMON for spelled in (name, name.title())}


def check_header_names(names: Iterable[str], *, taken: Collection[str] = FRAMING) -> None:
    """Raises `ValueError` for what is no name of a header, and for one of `taken`, which are in lower case."""
    for name in names:
        if not _TOKEN.fullmatch(name) or name.lower() in taken:
            raise ValueError(f"names of headers that can be set, and {name[:40]!r} is none")
