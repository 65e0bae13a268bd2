"""Policy Svc: rate limits and blocklists on endpoints (contract section 9)."""

from __future__ import annotations

import re
from typing import Any, Final

from msgspec import Struct, field

from promptd.core import identity
from promptd.core.errors import InvalidRequest
from promptd.core.rules import Access, RateLimit
from promptd.faces.onebackend.lenient import texts
from promptd.faces.onebackend.wire import NOTHING, SMALL_BODY, Ask, Endpoint, Nothing

_UNITS: Final = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "w": 604800.0,
}
_LONGEST: Final = 64  # characters of a duration; the pattern's time grows with the square of a text that does not fit
_PART: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h|d|w)", re.ASCII)
_ENTITIES: Final = {"userid": "user", "user": "user", "ip": "address"}


class RateLimitBody(Struct, rename="camel"):
    max_requests: int = 0
    time_window: str = ""
    entity: str = "userId"
    scope: str = "endpoint"


class BlocklistBody(Struct, rename="camel"):
    blocked_ips: Any = field(default=(), name="blockedIPs")


class ParametersBody(Struct, rename="camel"):
    rate_limit: RateLimitBody | None = None
    blocklist: BlocklistBody | None = None


class InstanceBody(Struct, rename="camel"):
    id: str | None = None
    endpoint: str = ""
    template_id: str = ""
    parameters: ParametersBody = field(default_factory=ParametersBody)


class SaveInstance(Struct, rename="camel"):
    instance: InstanceBody = field(default_factory=InstanceBody)


class CheckBody(Struct, rename="camel"):
    endpoint: str = ""
    method: str = ""
    ip: str = ""
    user_id: str = ""


def duration(text: str) -> float | None:
    """Seconds of a duration such as `1h30m` or `7d`; None where it is none."""
    parts = _PART.findall(text) if len(text) <= _LONGEST else ()
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


async def save_instance(ask: Ask) -> Nothing:
    given = ask.fit(SaveInstance).instance
    path = "instance.parameters"
    limit: RateLimit | None = None
    blocked: tuple[str, ...] = ()
    if given.template_id == "rate-limit":
        if given.parameters.rate_limit is None:
            raise InvalidRequest(field=f"{path}.rateLimit", expected="an object")
        limit = _limit(given.parameters.rate_limit, f"{path}.rateLimit")
    elif given.template_id == "blocklist":
        if given.parameters.blocklist is None:
            raise InvalidRequest(field=f"{path}.blocklist", expected="an object")
        blocked = texts(given.parameters.blocklist.blocked_ips, f"{path}.blocklist.blockedIPs")
    else:
        raise InvalidRequest(field="instance.templateId", expected="rate-limit or blocklist")
    await ask.walk.rules.save(
        ask.caller, ask.params["instanceId"], endpoint=given.endpoint, limit=limit, blocked=blocked
    )
    return NOTHING


async def remove_instance(ask: Ask) -> Nothing:
    await ask.walk.rules.remove(ask.caller, ask.params["instanceId"])
    return NOTHING


def _limit(given: RateLimitBody, path: str) -> RateLimit:
    window = duration(given.time_window)
    if window is None or window <= 0:
        raise InvalidRequest(field=f"{path}.timeWindow", expected="a duration such as 30s, 5m, 1h30m or 7d")
    entity = _ENTITIES.get(given.entity.lower())
    if entity is None:
        raise InvalidRequest(field=f"{path}.entity", expected="userId or ip")
    if given.scope not in ("endpoint", "global"):
        raise InvalidRequest(field=f"{path}.scope", expected="endpoint or global")
    if given.max_requests < 1:
        raise InvalidRequest(field=f"{path}.maxRequests", expected="at least 1")
    return RateLimit(
        requests=given.max_requests,
        window=window,
        entity="user" if entity == "user" else "address",
        scope="global" if given.scope == "global" else "endpoint",
    )


async def check(ask: Ask) -> Any:
    asked = ask.fit(CheckBody)
    access = Access(asked.endpoint, asked.method, asked.ip, asked.user_id)
    return {"allowed": await ask.walk.rules.allows(ask.caller, access)}


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint("PUT", "/policy-svc/instance/{instanceId}", (identity.POLICY_INSTANCE_EDIT,), save_instance),
    # not in the contract, and needed to be rid of a rule
    Endpoint(
        "DELETE",
        "/policy-svc/instance/{instanceId}",
        (identity.POLICY_INSTANCE_DELETE,),
        remove_instance,
        max_body=SMALL_BODY,
    ),
    Endpoint(
        "POST", "/policy-svc/check", (identity.POLICY_CHECK, identity.POLICY_TEMPLATE_EDIT), check, max_body=SMALL_BODY
    ),
)
