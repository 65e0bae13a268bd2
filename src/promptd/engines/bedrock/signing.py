"""AWS Signature Version 4: a request's headers and body, signed with a key that never leaves."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Final
from urllib.parse import quote, urlsplit

from msgspec import Struct

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_SERVICE: Final = "bedrock"
_UNRESERVED: Final = "/-_.~"
_PORTS: Final = {"http": 80, "https": 443}


class AccessKey(Struct, frozen=True):
    """Who signs. `token` belongs to keys that are valid for a time."""

    id: str
    secret: str
    token: str = ""

    def __repr__(self) -> str:
        """Without what is secret."""
        return f"AccessKey(id={self.id!r})"


def sign(
    key: AccessKey, region: str, url: str, headers: Mapping[str, str], body: bytes, *, now: datetime, host: str = ""
) -> dict[str, str]:
    """The headers that a `POST` of `body` to `url` needs besides `headers`, which are signed too.

    Names of `headers` are lower-case, `url` has no query, `now` is UTC, `host` what the request says in place of the
    address's own.
    """
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{region}/{_SERVICE}/aws4_request"
    added = {"x-amz-date": stamp} | ({"x-amz-security-token": key.token} if key.token else {})
    signed = {**headers, **added, "host": host or _host(url)}
    names = ";".join(sorted(signed))
    lines = [f"{name}:{' '.join(signed[name].split())}\n" for name in sorted(signed)]
    # every byte of the path is encoded once more, its percent signs too
    path = quote(urlsplit(url).path or "/", safe=_UNRESERVED)
    request = f"POST\n{path}\n\n{''.join(lines)}\n{names}\n{hashlib.sha256(body).hexdigest()}"
    text = f"{_ALGORITHM}\n{stamp}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    derived = f"AWS4{key.secret}".encode()
    for step in scope.split("/"):
        derived = hmac.digest(derived, step.encode(), "sha256")
    signature = hmac.digest(derived, text.encode(), "sha256").hex()
    said = f"{_ALGORITHM} Credential={key.id}/{scope}, SignedHeaders={names}, Signature={signature}"
    return {**added, "authorization": said}


def _host(url: str) -> str:
    """As the `Host` header has it: with a port only where that is not the scheme's own."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return host if parts.port in (None, _PORTS.get(parts.scheme)) else f"{host}:{parts.port}"
