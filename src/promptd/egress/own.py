"""The way out of one stored connection: an administrator wrote its addresses down, the operator of the machine did not."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Collection, Sequence

from promptd.core.errors import PermissionDenied
from promptd.egress.client import Egress
from promptd.egress.policy import Policy, is_public, parse


def own_client(
    urls: Sequence[str], *, named: Collection[str] = (), private: bool = False, tls: ssl.SSLContext | None = None
) -> Egress:
    """A client that may call public addresses and, of others, those that the operator `named`; with `private`, its own
    `urls` wherever they lead.

    What a host name leads to is looked at when it is called; an address in place of one, at once. Raises `InvalidInput`
    for what is no address, `PermissionDenied`.
    """
    Policy(urls, public=False)
    if private:
        return Egress([*named, *urls], public=True, tls=tls)
    policy = Policy(named, public=True)
    for url in urls:
        origin, _ = parse(url.removesuffix(":*"))
        if not policy.named(origin) and not _may_be_public(origin.host):
            raise PermissionDenied(f"{origin.host} is not a public address, and the settings do not name it")
    return Egress(named, public=True, tls=tls)


def _may_be_public(host: str) -> bool:
    try:
        return is_public(str(ipaddress.ip_address(host)))
    except ValueError:
        return host != "localhost" and not host.endswith(".localhost")
