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
from promptd.core.policy import Counted, Level, Metric, subjects_of
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
_FEW: Final = 59
_THOUSANDTHS: Final = tuple([f"{number}ms" for number in range(1001)])
_SECONDS: Final = tuple([str(number) for number in range(_FEW + 1)])
_MOST_FORMS: Final = 4096
_Limits = tuple[tuple[str, int, float, Metric], ...]  # names, sizes, windows and metrics of a set of limits
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
    """How a vendor writes one limit of those that share its names."""

    at: int  #: its place among the limits
    remaining: str  #: what stands in front of what is left of it
    reset: str  #: … and then in front of when it is reset


class _Form(NamedTuple):
    """All that is the same for a set of limits, whatever is left of them."""

    pieces: list[str]  #: the lines, with gaps
    #: for each limit, which gaps are for what is left of it, when all of it is back in seconds, and the same two as its
    #: vendor writes them; 0 where there is none
    gaps: tuple[tuple[int, int, int, int], ...]
    rivals: tuple[tuple[_Shown, ...], ...]  #: the limits of which a vendor tells of one only, for each such thing


_FORMS: Final[dict[Vendor, dict[_Limits, _Form]]] = {"openai": {}, "anthropic": {}}

#: The lines of limits that are whole again but for what runs
_IDLE: Final[dict[tuple[Level, ...], str]] = {}


def limit_headers(levels: Sequence[Level], vendor: Vendor, now: float) -> Headers:
    """The headers of an answer, or of a refusal, to a request that is under these limits. None where it is under none."""
    return fields(limit_lines(levels, vendor, now))


def limit_lines(levels: Sequence[Level], vendor: Vendor, now: float) -> str:
    """The same as lines that end with a line break each."""
    if not levels:
        return ""
    if vendor != "openai":  # whose lines tell the time
        return _lines(levels, vendor, now)
    key = tuple(levels)
    lines = _IDLE.get(key)
    if lines is None:
        lines = _lines(levels, vendor, now)
        for one in levels:
            if one.reset:
                break
        else:  # most are whole again when an answer is there, in a few ways only
            if len(_IDLE) >= _MOST_FORMS:
                _IDLE.clear()
            _IDLE[key] = lines
    return lines


def _lines(levels: Sequence[Level], vendor: Vendor, now: float) -> str:
    same = tuple([(one.policy, one.limit, one.window, one.metric) for one in levels])
    known = _FORMS[vendor]  # `lru_cache` costs ten times as much as a dict
    form, gaps, rivals = known.get(same) or _learn(known, vendor, same)
    pieces = form.copy()
    for at, (left, seconds, remaining, reset) in enumerate(gaps):
        one = levels[at]
        free, until = one.remaining, one.reset
        pieces[left] = told = f"{free}"
        if free > _MOST:
            pieces[left] = f"{_MOST}"
        if seconds:
            pieces[seconds] = _SECONDS[ceil(until)] if until <= _FEW else f"{ceil(until)}"
        if reset:
            pieces[remaining] = told
            if vendor == "openai" and until < 1:
                pieces[reset] = _THOUSANDTHS[ceil(until * 1000)]
            else:
                pieces[reset] = _until(vendor, until, now)
    for limits in rivals:
        at, name, end = min(limits, key=lambda limit: _nearness(levels[limit.at]))
        one = levels[at]
        pieces += name, f"{one.remaining}", end, _until(vendor, one.reset, now), "\r\n"
    return "".join(pieces)


def counted_by(submission: Submission, wanted: Set[str], headers: Mapping[bytes, bytes]) -> Submission:
    """The submission with those of the request's headers that some limit counts by."""
    if not wanted:
        return submission
    return replace(submission, counted=counted_for(wanted, headers))


def counted_for(wanted: Set[str], headers: Mapping[bytes, bytes]) -> Counted:
    """The subjects of a request's headers, of those that some limit counts by."""
    given = {name: headers[key].decode("latin-1") for name in wanted if (key := name.encode()) in headers}
    return subjects_of(wanted, given)


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


def _learn(known: dict[_Limits, _Form], vendor: Vendor, limits: _Limits) -> _Form:
    if len(known) >= _MOST_FORMS:
        known.clear()
    known[limits] = form = _form(vendor, limits)
    return form


def _form(vendor: Vendor, limits: _Limits) -> _Form:
    """Of limits of these names, sizes, windows and metrics."""
    names = _NAMES[vendor]
    policies: list[str] = []
    pieces = [""]
    shown: dict[_Names, list[_Shown]] = {}
    places: list[tuple[int, int]] = []
    for at, (policy, limit, window, metric) in enumerate(limits):
        name = _string(policy)
        length = f";w={max(1, round(window))}" if window else ""
        policies.append(f"{name};q={min(limit, _MOST)}{length}{_UNITS[metric]}")
        pieces += f"{', ' if at else 'ratelimit: '}{name};r=", ""
        places.append((len(pieces) - 1, len(pieces) + 1 if window else 0))
        if window:
            pieces += ";t=", ""
        if (place := names.get(metric)) is not None:
            most, remaining, reset = place
            shown.setdefault(place, []).append(_Shown(at, f"{most}: {limit}\r\n{remaining}: ", f"\r\n{reset}: "))
    pieces[0] = f"ratelimit-policy: {', '.join(policies)}\r\n"
    pieces.append("\r\n")
    told: dict[int, tuple[int, int]] = {}
    for alone, *others in shown.values():
        if not others:
            told[alone.at] = len(pieces) + 1, len(pieces) + 3
            pieces += alone.remaining, "", alone.reset, "", "\r\n"
    return _Form(
        pieces,
        tuple([(*place, *told.get(at, (0, 0))) for at, place in enumerate(places)]),
        tuple([tuple(rivals) for rivals in shown.values() if len(rivals) > 1]),
    )


def _nearness(level: Level) -> tuple[float, float]:
    """How near a limit is to its end: the smaller, the nearer."""
    return level.remaining / level.limit, -level.reset


def _string(text: str) -> str:
    """A string as structured fields write it."""
    shown = "".join(letter if " " <= letter <= "~" else "?" for letter in text)
    return '"' + shown.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _until(vendor: Vendor, seconds: float, now: float) -> str:
    """When a limit is reset, in so many seconds."""
    if vendor != "openai":
        return _time(ceil(now + seconds))
    if seconds < 1:
        return _THOUSANDTHS[ceil(seconds * 1000)]
    return f"{ceil(seconds * 1000) / 1000:g}s" if seconds < 60 else _duration(ceil(seconds))


@lru_cache(256)
def _time(seconds: int) -> str:
    """As Anthropic writes it. Remembered, because it is the same for a second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _duration(seconds: int) -> str:
    """As OpenAI writes a minute and more: `6m0s`, `2h3m4s`."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{rest}s" if hours else f"{minutes}m{rest}s"
