"""The one door to all template languages: check a template, name its variables, render it.

Text that is filled in is never read as a template again. Nothing but plain data is looked into, and each rendering has
limits on its steps, its memory and its output, whatever the template says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, Protocol, runtime_checkable

from promptd.core import ibis, jinja
from promptd.core.errors import InvalidInput, InvalidRequest
from promptd.core.metering import DEFAULT_LIMITS, Fault, Limits, Meter, MissingVariable, check_values

__all__ = [
    "DEFAULT_LIMITS",
    "Dialect",
    "Fault",
    "Including",
    "Job",
    "Limits",
    "Meter",
    "MissingVariable",
    "Renderer",
    "check",
    "register",
    "render",
    "variables",
]


class Dialect(StrEnum):
    """The language that a template is written in."""

    PLAIN = "plain"  #: `{prompt}`: a known name in braces
    MINIJINJA = "minijinja"  #: promptd's own
    IBIS = "ibis"  #: TrustGraph's
    HANDLEBARS = "handlebars"  #: dotprompt's


class Job:
    """What a rendering has besides template and values: partials, time, chance and the meter that it must run on."""

    def __init__(self, partials: Mapping[str, str], limits: Limits, now: float, seed: int) -> None:
        self.partials, self.limits, self.now, self.seed = partials, limits, now, seed
        self.meter = Meter(limits)


class Renderer(Protocol):
    """One template language. Its `Fault`s name the line; `MissingVariable` names a value that was not given."""

    def variables(self, source: str) -> frozenset[str]:
        """The names at the top level that a template uses. Raises `Fault` where it can't be read."""
        ...

    def render(self, source: str, values: Mapping[str, Any], job: Job) -> str:
        """The text. Raises `Fault`, `MissingVariable` and `InputTooLarge`."""
        ...


@runtime_checkable
class Including(Renderer, Protocol):
    """A language that knows by reading which partials a template includes."""

    def partials(self, source: str) -> Mapping[str, frozenset[str]]:
        """The partials, each with the names that have a value there already."""
        ...


def register(dialect: Dialect, renderer: Renderer) -> None:
    """Bring the renderer of a language whose library lives on a higher floor; the composition root does so once."""
    _renderers[dialect] = renderer


def check(source: str, dialect: Dialect, *, field: str = "template") -> None:
    """Raise `InvalidRequest` that says in which line of `field` what is wrong."""
    try:
        _read(source, dialect)
    except Fault as fault:
        raise InvalidRequest(f"{field}: {_message(fault)}", field=field) from None


def variables(source: str, dialect: Dialect, *, partials: Mapping[str, str] | None = None) -> frozenset[str]:
    """The names at the top level that a template and the partials in it use, without those of its own tags.

    Raises `InvalidRequest` where one of them is wrong.
    """
    try:
        found = _read(source, dialect)
        renderer = _renderer(dialect)
        if partials and isinstance(renderer, Including):
            found |= _included(source, renderer, partials)
    except Fault as fault:
        raise InvalidRequest(f"template: {_message(fault)}", field="template") from None
    return found


def render(
    source: str,
    dialect: Dialect,
    values: Mapping[str, Any],
    *,
    partials: Mapping[str, str] | None = None,
    limits: Limits = DEFAULT_LIMITS,
    now: float,
    seed: int = 0,
) -> str:
    """Fill a template with plain JSON values. `now` is Unix time in seconds, `seed` decides what is left to chance.

    Raises `InvalidInput`, with the variable in `field` where one is missing or no plain data (but a missing one is
    empty in `ibis`), and `InputTooLarge` where values or text are beyond `limits`.
    """
    check_values(values, limits)
    try:
        _check_size(source, limits)
        return _renderer(dialect).render(source, values, Job(partials or {}, limits, now, seed))
    except MissingVariable as missing:
        raise InvalidInput(_message(missing), field=missing.path) from None
    except Fault as fault:
        raise InvalidInput(f"The template failed: {_message(fault)}") from None
    except RecursionError:
        raise InvalidInput("The template failed: it is nested too deeply") from None


def _read(source: str, dialect: Dialect) -> frozenset[str]:
    _check_size(source, DEFAULT_LIMITS)
    try:
        return _renderer(dialect).variables(source)
    except RecursionError:
        raise Fault("The template is nested too deeply") from None


def _included(source: str, renderer: Including, sources: Mapping[str, str]) -> frozenset[str]:
    """The names that partials use, and those in them. What a partial is called with first counts for it."""
    found: set[str] = set()
    seen: set[str] = set()
    pending = list(renderer.partials(source).items())
    while pending:
        name, bound = pending.pop()
        if name in sources and name not in seen:
            seen.add(name)
            _check_size(sources[name], DEFAULT_LIMITS)
            found |= renderer.variables(sources[name]) - bound
            pending.extend((inner, also | bound) for inner, also in renderer.partials(sources[name]).items())
    return frozenset(found)


def _check_size(source: str, limits: Limits) -> None:
    if len(source) > limits.source:
        raise Fault(f"A template has at most {limits.source} characters")


def _renderer(dialect: Dialect) -> Renderer:
    try:
        return _renderers[dialect]
    except KeyError:
        raise Fault(f"The template language {dialect} is not installed here") from None


def _message(fault: Fault) -> str:
    return f"line {fault.line}: {fault.message}" if fault.line else fault.message


class _Plain:
    """Braces around a name that is known; every other brace stands for itself."""

    def variables(self, source: str) -> frozenset[str]:
        return frozenset(match[1] for match in _PLACEHOLDER.finditer(source))

    def render(self, source: str, values: Mapping[str, Any], job: Job) -> str:
        meter, position = job.meter, 0
        for match in _PLACEHOLDER.finditer(source):
            if match[1] in values:
                meter.step()
                meter.write(source[position : match.start()])
                meter.write(meter.text(values[match[1]]))
                position = match.end()
        meter.write(source[position:])
        return "".join(meter.parts)


class _Ibis:
    def variables(self, source: str) -> frozenset[str]:
        return _ibis(source).variables

    def render(self, source: str, values: Mapping[str, Any], job: Job) -> str:
        return _ibis(source).render(values, job.meter, now=job.now, seed=job.seed)


class _Jinja:
    def variables(self, source: str) -> frozenset[str]:
        return _jinja(source).variables

    def partials(self, source: str) -> Mapping[str, frozenset[str]]:
        return _jinja(source).partials

    def render(self, source: str, values: Mapping[str, Any], job: Job) -> str:
        read: dict[str, jinja.Template] = {}

        def partial(name: str) -> jinja.Template | None:
            if name not in read and name in job.partials:
                text = job.partials[name]
                _check_size(text, job.limits)
                job.meter.step(len(text) // _READ_IN_A_STEP)
                read[name] = _jinja(text)
            return read.get(name)

        return _jinja(source).render(values, job.meter, partial)


_PLACEHOLDER: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_-]{0,127})\}")
_CACHED: Final = 1 << 14  # characters: a larger template is read anew each time, so that memory has a bound
_READ_IN_A_STEP: Final = 16  # characters of a partial

_cached_ibis = lru_cache(maxsize=128)(ibis.Template)
_cached_jinja = lru_cache(maxsize=128)(jinja.Template)


def _ibis(source: str) -> ibis.Template:
    return _cached_ibis(source) if len(source) <= _CACHED else ibis.Template(source)


def _jinja(source: str) -> jinja.Template:
    return _cached_jinja(source) if len(source) <= _CACHED else jinja.Template(source)


_renderers: Final[dict[Dialect, Renderer]] = {
    Dialect.PLAIN: _Plain(),
    Dialect.IBIS: _Ibis(),
    Dialect.MINIJINJA: _Jinja(),
}
