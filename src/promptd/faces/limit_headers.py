"""How limits stand, as headers: the `RateLimit` fields of the IETF's draft 10, and the names that vendors' SDKs read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from datetime import UTC, datetime
from functools import lru_cache
from math import ceil
from typing import Final, Literal, NamedTuple

from msgspec.structs import replace

from promptd.core.errors import BudgetSpent, PromptdError, TooManyRequests
from promptd.core.model import Submission
from promptd.core.policy import Level, Metric
from promptd.faces.asgi import Headers, fields

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
_Names = tuple[str, str, str]  # of limit, remaining and reset


def _names(vendor: Vendor) -> dict[Metric, _Names]:
    return {
        metric: tuple(  # type: ignore[misc]  # three of them
            _STEMS[vendor].format(part=part, what=what) for part in ("limit", "remaining", "reset")
        )
        for what, metrics in _SHOWN[vendor].items()
        for metric in metrics
    }


_NAMES: Final[dict[Vendor, dict[Metric, _Names]]] = {"openai": _names("openai"), "anthropic": _names("anthropic")}


class _Shown(NamedTuple):
    """How a vendor writes one limit."""

    at: int  #: its place among the limits
    remaining: str  #: what stands in front of what is left of it
    reset: str  #: … and then in front of when it is reset


class _Form(NamedTuple):
    """All that is the same for a set of limits, whatever is left of them."""

    policies: str  #: a line
    standings: tuple[str, ...]  #: for each limit, what stands in front of what is left of it
    shown: tuple[tuple[_Shown, ...], ...]  #: for each thing that the vendor tells of, the limits on it


def limit_headers(levels: Sequence[Level], vendor: Vendor, now: float) -> Headers:
    """The headers of an answer, or of a refusal, to a request that is under these limits. None where it is under none."""
    return fields(limit_lines(levels, vendor, now))


def limit_lines(levels: Sequence[Level], vendor: Vendor, now: float) -> str:
    """The same as lines that end with a line break each."""
    if not levels:
        return ""
    form = tuple([(one.policy, one.limit, one.window, one.metric) for one in levels])
    told, standings, shown = _form(vendor, form)  # taken apart: looking names up costs more
    for text, one in zip(standings, levels, strict=True):
        left = one.remaining if one.remaining < _MOST else _MOST
        told += f"{text}{left};t={ceil(one.reset)}" if one.window else f"{text}{left}"
    told += "\r\n"
    for limits in shown:
        at, remaining, reset = limits[0] if len(limits) == 1 else _nearest(limits, levels)
        one = levels[at]
        until = one.reset
        if vendor != "openai":
            when = _time(now + until)
        else:
            when = f"{ceil(until * 1000)}ms" if until < 1 else _duration(until)
        told += f"{remaining}{one.remaining}{reset}{when}\r\n"
    return told


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
        found.append((b"retry-after", str(max(1, ceil(error.retry_after))).encode()))
    if isinstance(error, BudgetSpent):
        found.append((b"x-should-retry", b"false"))  # SDKs try again after every other 429
    if isinstance(error, TooManyRequests):
        found += limit_headers(error.levels, vendor, now)
    return found


@lru_cache(4096)
def _form(vendor: Vendor, limits: tuple[tuple[str, int, float, Metric], ...]) -> _Form:
    """Of limits of these names, sizes, windows and metrics."""
    names = _NAMES[vendor]
    policies: list[str] = []
    standings: list[str] = []
    shown: dict[_Names, list[_Shown]] = {}
    for at, (policy, limit, window, metric) in enumerate(limits):
        name = _string(policy)
        length = f";w={max(1, round(window))}" if window else ""
        policies.append(f"{name};q={min(limit, _MOST)}{length}{_UNITS[metric]}")
        standings.append(f"{', ' if at else 'ratelimit: '}{name};r=")
        if (place := names.get(metric)) is not None:
            most, remaining, reset = place
            shown.setdefault(place, []).append(_Shown(at, f"{most}: {limit}\r\n{remaining}: ", f"\r\n{reset}: "))
    return _Form(
        f"ratelimit-policy: {', '.join(policies)}\r\n",
        tuple(standings),
        tuple([tuple(rivals) for rivals in shown.values()]),
    )


def _nearest(limits: Sequence[_Shown], levels: Sequence[Level]) -> _Shown:
    """The one that is nearest to its end."""
    return min(limits, key=lambda limit: _nearness(levels[limit.at]))


def _nearness(level: Level) -> tuple[float, float]:
    """How near a limit is to its end: the smaller, the nearer."""
    return level.remaining / level.limit, -level.reset


def _string(text: str) -> str:
    """A string as structured fields write it."""
    shown = "".join(letter if " " <= letter <= "~" else "?" for letter in text)
    return '"' + shown.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _time(seconds: float) -> str:
    """As Anthropic writes it."""
    return datetime.fromtimestamp(ceil(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _duration(seconds: float) -> str:
    """As OpenAI writes a second and more: `1.5s`, `6m0s`, `2h3m4s`."""
    if seconds < 60:
        return f"{ceil(seconds * 1000) / 1000:g}s"
    minutes, rest = divmod(ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{rest}s" if hours else f"{minutes}m{rest}s"
