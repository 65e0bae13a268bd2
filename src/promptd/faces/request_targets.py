"""What a request's target says."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

import httptools

_LONG_TARGET: Final = 100
_MOST_KNOWN: Final = 1024
#: of a host that a URL may not have, such as a name of an endpoint with an underscore
_ABSOLUTE: Final = re.compile(
    rb"https?://[A-Za-z0-9._~:-]{1,300}(?P<path>/[\x21-\x7e]*?)?(?:\?(?P<query>[\x21-\x7e]*))?"
)


def _parts(target: bytes) -> tuple[str, bytes, bytes]:
    """Path, the same as it came, and query of a request's target."""
    try:
        parsed = httptools.parse_url(target)
        raw, query = parsed.path, parsed.query
    except httptools.HttpParserInvalidURLError:
        found = _ABSOLUTE.fullmatch(target)
        if found is None:
            raise
        raw, query = found["path"] or b"/", found["query"]
    return unquote(raw.decode("ascii")), raw, query or b""


#: most requests ask for one of a few; `lru_cache` costs ten times as much as a dict
_known: Final[dict[bytes, tuple[str, bytes, bytes]]] = {}


def parts_of(target: bytes) -> tuple[str, bytes, bytes]:
    """Path, the same as it came, and query. Raises `httptools.HttpParserInvalidURLError`."""
    found = _known.get(target)
    if found is None:
        found = _parts(target)
        if len(target) <= _LONG_TARGET:
            if len(_known) >= _MOST_KNOWN:
                _known.clear()
            _known[target] = found
    return found


def authority_of(target: bytes) -> bytes:
    """Host and port of a target in absolute form, in lower case."""
    return target.partition(b"://")[2].split(b"/", 1)[0].split(b"?", 1)[0].rpartition(b"@")[2].lower()


def agrees(authority: bytes, headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether `Host` says the same as a target in absolute form, as it must (RFC 9112, 3.2.2)."""
    hosts = {_without_port(value) for name, value in headers if name == b"host"}
    return not hosts - {_without_port(authority)}


def _without_port(host: bytes) -> bytes:
    """In lower case, and without the port that `http` has."""
    return host.strip().lower().removesuffix(b":80")
