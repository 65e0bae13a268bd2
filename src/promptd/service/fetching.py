"""GET over redirects, and what the headers of an answer mean for a download."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

from promptd.core.errors import (
    AuthenticationFailed,
    ExecutionFailed,
    InvalidOutput,
    PermissionDenied,
    PromptExecutionError,
    RateLimited,
    ResourceNotFound,
    ServiceUnavailable,
)
from promptd.core.files import HubTag, choose_file, digest_in, hub_url, joined, same_origin
from promptd.core.ports import HttpClient, HttpResponse

MOST_REDIRECTS: Final = 5
_LISTING_BYTES: Final = 16 * 1024 * 1024
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_RANGE: Final = re.compile(r"bytes (?:(\d{1,18})-\d{1,18}|\*)/(\d{1,18}|\*)")


class Landing(NamedTuple):
    """The last answer, and where the way to it went."""

    response: HttpResponse
    hops: list[tuple[str, Mapping[str, str]]]  #: every URL with the headers of its answer, the last one included

    def linked_digest(self, hub: str) -> str | None:
        """The SHA-256 that the hub names for the file; other servers' entity tags mean whatever they like."""
        for url, headers in self.hops:
            if same_origin(url, hub):
                found = digest_in(headers.get("x-linked-etag", "")) or digest_in(headers.get("etag", ""))
                if found:
                    return found
        return None


@asynccontextmanager
async def follow(
    http: HttpClient, url: str, *, headers: Mapping[str, str] = {}, max_bytes: int
) -> AsyncIterator[Landing]:
    """GET `url` and go where it redirects, at most `MOST_REDIRECTS` times; the policy of `http` judges every hop."""
    hops: list[tuple[str, Mapping[str, str]]] = []
    for _ in range(MOST_REDIRECTS + 1):
        async with http.request("GET", url, headers=headers, max_bytes=max_bytes) as response:
            hops.append((url, response.headers))
            if response.status not in _REDIRECTS:
                yield Landing(response, hops)
                return
            url = joined(url, response.headers.get("location", ""))
    raise ExecutionFailed(f"the server redirected more than {MOST_REDIRECTS} times")


def refusal(response: HttpResponse) -> PromptExecutionError:
    """The error that a status without content is."""
    status = response.status
    said = f"the server answered {status}"
    after = response.headers.get("retry-after", "")
    wait = float(after) if after.isascii() and after.isdigit() and len(after) < 6 else None
    if status == 429:
        return RateLimited(said, retry_after=wait)
    if status >= 500 or status == 408:
        return ServiceUnavailable(said, retry_after=wait)
    if status in (404, 410):
        return ResourceNotFound(f"{said}: there is no such file")
    if status == 401:
        return AuthenticationFailed(f"{said}: it wants a login")
    if status == 403:
        return PermissionDenied(f"{said}: it does not give this file away")
    return ExecutionFailed(said)


def content_range(headers: Mapping[str, str]) -> tuple[int | None, int | None]:
    """Where the part starts and how large the whole is; None for what the server does not say."""
    match = _RANGE.fullmatch(headers.get("content-range", "").strip())
    if match is None:
        return None, None
    start, total = match.groups()
    return (None if start is None else int(start)), (None if total == "*" else int(total))


def content_length(headers: Mapping[str, str]) -> int | None:
    """The size of the content itself: not known where it comes packed."""
    text = headers.get("content-length", "").strip()
    packed = headers.get("content-encoding", "identity").strip().lower() not in ("", "identity")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 and not packed else None


class _Sibling(Struct):
    rfilename: str


class _Listing(Struct):
    siblings: list[_Sibling]


async def find_on_hub(http: HttpClient, hub: str, tag: HubTag) -> str:
    """The URL of the one file that a tag means. Raises `InvalidRequest`, `PromptExecutionError`."""
    async with follow(http, f"{hub.rstrip('/')}/api/models/{tag.repository}", max_bytes=_LISTING_BYTES) as landing:
        if landing.response.status != 200:
            raise refusal(landing.response)
        try:
            listing = msgspec.json.decode(await landing.response.read(), type=_Listing)
        except msgspec.MsgspecError as error:
            raise InvalidOutput("the hub's list of files can't be read", detail=str(error)) from error
    return hub_url(hub, tag.repository, choose_file(tag, [file.rfilename for file in listing.siblings]))
