"""How limits stand, as headers: the `RateLimit` fields of the IETF's draft 10, and the names that vendors' SDKs read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, Literal

from msgspec.structs import replace

from promptd.core.errors import BudgetSpent, PromptdError, TooManyRequests
from promptd.core.model import Submission
from promptd.core.policy import Level, Metric
from promptd.faces.asgi import Headers

Vendor = Literal["openai", "anthropic"]

_MOST: Final = 10**15 - 1  # what a number of these fields can be
_UNITS: Final[dict[Metric, str]] = {
    "requests": "",  # the draft's default
    "concurrency": ';qu="concurrent-requests"',
    "input_tokens": ';qu="input-tokens"',
    "output_tokens": ';qu="output-tokens"',
    "tokens": ';qu="tokens"',
    "cost": ';qu="nano-cost"',
}
#: Where each vendor shows what; of several limits, it is the one that is nearest to its end.
_SHOWN: Final[dict[Vendor, dict[str, frozenset[Metric]]]] = {
    "openai": {
        "requests": frozenset({"requests"}),
        "tokens": frozenset({"tokens", "input_tokens", "output_tokens"}),
    },
    "anthropic": {
        "requests": frozenset({"requests"}),
        "tokens": frozenset({"tokens"}),
        "input-tokens": frozenset({"input_tokens"}),
        "output-tokens": frozenset({"output_tokens"}),
    },
}
_STEMS: Final[dict[Vendor, str]] = {
    "openai": "x-ratelimit-{part}-{what}",
    "anthropic": "anthropic-ratelimit-{what}-{part}",
}
_Names = tuple[bytes, bytes, bytes]  # of limit, remaining and reset


def _names(vendor: Vendor) -> dict[Metric, _Names]:
    return {
        metric: tuple(  # type: ignore[misc]  # three of them
            _STEMS[vendor].format(part=part, what=what).encode() for part in ("limit", "remaining", "reset")
        )
        for what, metrics in _SHOWN[vendor].items()
        for metric in metrics
    }


_NAMES: Final[dict[Vendor, dict[Metric, _Names]]] = {"openai": _names("openai"), "anthropic": _names("anthropic")}


def limit_headers(levels: Sequence[Level], vendor: Vendor, now: float) -> Headers:
    """The headers of an answer, or of a refusal, to a request that is under these limits. None where it is under none."""
    if not levels:
        return []
    names = _NAMES[vendor]
    policies: list[str] = []
    standings: list[str] = []
    nearest: dict[_Names, Level] = {}
    for one in levels:
        name, policy = _fixed(one.policy, one.limit, one.window, one.metric)
        policies.append(policy)
        left = one.remaining if one.remaining < _MOST else _MOST
        standings.append(f"{name};r={left};t={math.ceil(one.reset)}" if one.window else f"{name};r={left}")
        place = names.get(one.metric)
        if place is not None and (place not in nearest or _nearness(one) < _nearness(nearest[place])):
            nearest[place] = one
    found: Headers = [
        (b"ratelimit-policy", ", ".join(policies).encode()),
        (b"ratelimit", ", ".join(standings).encode()),
    ]
    for (limit, remaining, reset), one in nearest.items():
        if vendor == "openai":
            until = _duration(one.reset)
        else:
            until = datetime.fromtimestamp(math.ceil(now + one.reset), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        found += ((limit, b"%d" % one.limit), (remaining, b"%d" % one.remaining), (reset, until.encode()))
    return found


def counted_by(submission: Submission, wanted: Set[str], headers: Mapping[bytes, bytes]) -> Submission:
    """The submission with those of the request's headers that some limit counts by."""
    if not wanted:
        return submission
    given = {name: headers[key].decode("latin-1") for name in wanted if (key := name.encode()) in headers}
    return replace(submission, headers=given)


def refusal_headers(error: PromptdError, vendor: Vendor, now: float) -> Headers:
    """When to come back after an error, whether that is any use, and how the limits stand that it is about."""
    found: Headers = []
    if error.retry_after is not None:
        found.append((b"retry-after", str(max(1, math.ceil(error.retry_after))).encode()))
    if isinstance(error, BudgetSpent):
        found.append((b"x-should-retry", b"false"))  # SDKs try again after every other 429
    if isinstance(error, TooManyRequests):
        found += limit_headers(error.levels, vendor, now)
    return found


@lru_cache(10_000)
def _fixed(policy: str, limit: int, window: float, metric: Metric) -> tuple[str, str]:
    """A limit's name, and what never changes about it."""
    name = _string(policy)
    length = f";w={max(1, round(window))}" if window else ""
    return name, f"{name};q={min(limit, _MOST)}{length}{_UNITS[metric]}"


def _nearness(level: Level) -> tuple[float, float]:
    """How near a limit is to its end: the smaller, the nearer."""
    return level.remaining / level.limit, -level.reset


def _string(text: str) -> str:
    """A string as structured fields write it."""
    shown = "".join(letter if " " <= letter <= "~" else "?" for letter in text)
    return '"' + shown.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _duration(seconds: float) -> str:
    """As OpenAI writes it: `120ms`, `1.5s`, `6m0s`, `2h3m4s`."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    if seconds < 60:
        return f"{math.ceil(seconds * 1000) / 1000:g}s"
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{rest}s" if hours else f"{minutes}m{rest}s"
