"""Pages in somebody's browser must not use what asks nobody for a key: it is open to that somebody, not to every site.

A browser tells whose page asks (`Origin`, `Sec-Fetch-Site`). A page whose name was made to lead here (DNS rebinding) is told
by `Host`, which then is a name that nobody gave this server. Other programs send neither, and an address or `localhost`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

_STRANGE: Final = frozenset({b"cross-site", b"same-site"})
_PORTS: Final = {"http": 80, "https": 443}
_NOBODY: Final[frozenset[str]] = frozenset()


class Sites:
    """`hosts`: names of this server, `*.example.com` for all below one. `origins`: of pages that may ask."""

    def __init__(self, hosts: Collection[str] = (), origins: Collection[str] = ()) -> None:
        self._hosts = frozenset(host.lower() for host in hosts if not host.startswith("*."))
        self._below = tuple(host[1:].lower() for host in hosts if host.startswith("*."))
        self._origins = frozenset(origin.lower() for origin in origins)

    def invites(self, origin: bytes | None) -> bool:
        """Whether the settings name the page's origin."""
        return origin is not None and bool(self._origins) and origin.decode("latin-1").lower() in self._origins

    def fault(self, headers: Mapping[bytes, bytes], *, strict: bool, known: Collection[str] = _NOBODY) -> str:
        """What is wrong with who asks; empty where nothing is.

        `strict`: the name must be one of this server's for programs too that tell nothing of a page. `known` are values of
        `Host` that are good beside those of the settings.
        """
        origin = headers.get(b"origin")
        if self.invites(origin):
            return ""
        site = headers.get(b"sec-fetch-site")
        if site is not None and site.lower() in _STRANGE:
            return "a page of another site asks"
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if origin is not None and not _is_own(origin.decode("latin-1").lower(), host):
            return "a page of another origin asks"
        if (strict or origin is not None or site is not None) and host and host not in known and not self.knows(host):
            return "the name in Host is none of this server's"
        return ""

    def knows(self, host: str) -> bool:
        """Whether a value of `Host` is an address, `localhost` or a name of the settings."""
        name, local = _name(host)
        return local or name in self._hosts or name.endswith(self._below)


def sites(given: Mapping[str, Any]) -> Sites:
    """As the settings of a face say, by `allowed_hosts` and `allowed_origins`."""
    return Sites(given.get("allowed_hosts", ()), given.get("allowed_origins", ()))


def is_local(scope: Mapping[str, Any]) -> bool:
    """Whether the request came by loopback, so that only this machine's programs and browsers can have sent it."""
    address = (scope.get("server") or ("",))[0]
    return address.startswith("127.") or address in ("::1", "::ffff:127.0.0.1")


@lru_cache(1024)
def _name(host: str) -> tuple[str, bool]:
    """The name in a value of `Host`, and whether it is an address or `localhost`."""
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        if name == "localhost" or name.endswith(".localhost"):
            return name, True
    except ValueError:
        return "", False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name, False
    return name, True


def _is_own(origin: str, host: str) -> bool:
    """Whether a page's origin is the very address that it asks."""
    try:
        page, here = urlsplit(origin), urlsplit(f"//{host}")
        usual = _PORTS.get(page.scheme)
        return bool(page.hostname) and (page.hostname, page.port or usual) == (here.hostname, here.port or usual)
    except ValueError:
        return False
