"""Where promptd may connect to: origins that the operator's config names, and, if allowed, the public internet."""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import urlsplit

from promptd.core.errors import InvalidInput, PermissionDenied

_PORTS = {"http": 80, "https": 443}
_URL = re.compile(r"[!-~]+")
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,252}[a-z0-9_.])?|[0-9a-f:.]+")

#: the one part of IPv6 that is given out for public use …
_UNICAST = ipaddress.IPv6Network("2000::/3")
#: … less what carries an IPv4 address inside (6to4, Teredo): what that leads to can't be judged here
_TUNNELS = tuple(map(ipaddress.IPv6Network, ("2002::/16", "2001::/32")))


class Origin(NamedTuple):
    scheme: str
    host: str  #: lower case, without brackets
    port: int  #: 0 in an allowed origin means any

    @property
    def authority(self) -> str:
        """As the `Host` header has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


@functools.lru_cache(maxsize=1024)
def parse(url: str) -> tuple[Origin, str]:
    """The origin of `url` and the rest of it (path and query). Raises `InvalidInput`."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError as error:
        raise InvalidInput(f"url: {error}") from error
    if parts.scheme not in _PORTS:
        raise InvalidInput("url: expected http or https")
    if not _URL.fullmatch(url) or not _HOST.fullmatch(host):
        raise InvalidInput("url: expected a plain host name and no spaces or control characters")
    if "@" in parts.netloc:
        raise InvalidInput("url: expected no user name or password")
    origin = Origin(parts.scheme, host, _PORTS[parts.scheme] if port is None else port)
    path = parts.path or "/"
    return origin, f"{path}?{parts.query}" if parts.query else path


class Policy:
    """`allowed`: URLs whose origins may be called, wherever they lead; `http://127.0.0.1:*` means every port.

    `public`: other origins too, as long as their addresses are public ones.
    """

    def __init__(self, allowed: Iterable[str], *, public: bool) -> None:
        self._allowed = {_pattern(url) for url in allowed}
        self._public = public

    def allow(self, url: str) -> None:
        self._allowed.add(_pattern(url))

    def disallow(self, url: str) -> None:
        self._allowed.discard(_pattern(url))

    def named(self, origin: Origin) -> bool:
        """Whether the config names the origin; if not, its addresses must be checked. Raises `PermissionDenied`."""
        if origin in self._allowed or origin._replace(port=0) in self._allowed:
            return True
        if not self._public:
            raise PermissionDenied(f"{origin.scheme}://{origin.authority} is not among the allowed addresses")
        return False


def check_public(host: str, addresses: Iterable[str]) -> None:
    """Raises `PermissionDenied` unless every address is a public one."""
    for address in addresses:
        if not is_public(address):
            # the address itself would tell a caller how the inner network looks
            raise PermissionDenied(f"{host} does not lead to a public address")


def is_public(address: str) -> bool:
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        elif ip not in _UNICAST or any(ip in network for network in _TUNNELS):
            return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def _pattern(url: str) -> Origin:
    if url.endswith(":*"):
        return parse(url.removesuffix(":*"))[0]._replace(port=0)
    return parse(url)[0]
