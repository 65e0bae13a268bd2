"""Rules that callers with the permission set on endpoints at run time: rate limits and blocked addresses. Pure."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Literal

from msgspec import Struct

from promptd.core.policy import Charge, Policy

Network = IPv4Network | IPv6Network
_MAPPED: Final = IPv6Network("::ffff:0:0/96")  # IPv4 addresses as IPv6 spells them
_FOREVER: Final = 366 * 86400.0


class RateLimit(Struct, frozen=True, kw_only=True):
    """At most `requests` per `window` seconds for each user or address, per endpoint or over all that the rule names."""

    requests: int
    window: float
    entity: Literal["user", "address"]
    scope: Literal["endpoint", "global"] = "endpoint"


class Rule(Struct, frozen=True, kw_only=True):
    """What holds on `endpoint`: a path, with `*` for any text; empty for every path."""

    id: str
    endpoint: str
    created: float
    updated: float
    limit: RateLimit | None = None
    blocked: tuple[str, ...] = ()  #: addresses and networks
    version: int = 0


class Access(Struct, frozen=True):
    """One access that is asked about."""

    endpoint: str
    method: str = ""
    address: str = ""
    user: str = ""
    template: str = ""  #: the endpoint with `{name}` for what callers put there, where it is known


def applies(rule: Rule, access: Access) -> bool:
    """Whether the rule names the endpoint: its path or its template, or a pattern of either."""
    if not rule.endpoint or rule.endpoint in (access.endpoint, access.template):
        return True
    if "*" not in rule.endpoint:
        return False
    pattern = _pattern(rule.endpoint)
    return any(pattern.fullmatch(place) is not None for place in {access.endpoint, access.template or access.endpoint})


def names_everything(rule: Rule) -> bool:
    """Whether the rule is for every path there is, rather than for some that it names."""
    return rule.endpoint.replace("*", "") in ("", "/")


@lru_cache(1000)
def _pattern(endpoint: str) -> re.Pattern[str]:
    """`*` is any text. Possessive, so that no path makes it slow."""
    first, *rest = map(re.escape, endpoint.split("*"))
    *middle, last = rest
    between = "".join(f"(?>.*?{part})" for part in middle)
    return re.compile(f"{first}{between}.*{last}", re.DOTALL)


def blocks(networks: tuple[Network, ...], address: str) -> bool:
    """Whether the address is in one of the networks; what is no address is in none."""
    try:
        known: IPv4Address | IPv6Address = ip_address(address)
    except ValueError:
        return False
    if isinstance(known, IPv6Address) and known.ipv4_mapped is not None:
        known = known.ipv4_mapped
    return any(known in network for network in networks)


def network(text: str) -> Network:
    """An address or a network. Raises `ValueError`."""
    found: Network = ip_network(text.strip(), strict=False)
    if isinstance(found, IPv6Network) and found.subnet_of(_MAPPED):
        # as `blocks` sees such addresses
        bits = int(found.network_address) & 0xFFFF_FFFF
        return IPv4Network((bits, found.prefixlen - _MAPPED.prefixlen))
    return found


def charge_of(rule: Rule, access: Access, *, hearsay: bool = False) -> Charge | None:
    """What the access costs under the rule; None where it limits nothing or the access names nobody.

    `hearsay` is an access that somebody tells of a user or an address without proof: it is counted by itself, so that
    nobody uses up what others may do.
    """
    limit = rule.limit
    subject = "" if limit is None else access.user if limit.entity == "user" else access.address
    if limit is None or not subject:
        return None
    # a rule with other numbers counts afresh
    name = f"{'told of ' if hearsay else ''}rule {rule.id}, {limit.requests} per {limit.window:g} s"
    policy = Policy(name=name, metric="requests", limit=limit.requests, window=min(limit.window, _FOREVER))
    # one bucket per endpoint, not one for every id that callers put into its path
    place = access.template or access.endpoint
    return Charge(policy, subject if limit.scope == "global" else f"{subject}:{place}", 1)
