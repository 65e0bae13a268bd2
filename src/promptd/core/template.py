"""Stored prompts: a template has versions that never change, and labels that point at them (issue glossary: Template).

A version says what to ask in one of two ways. With `messages` it is rendered, checked and asked of a model. With a
`query` it is one of the prompts of a connection's engine, whose settings say what its inputs and outputs are. Either
way it is a typed function: values for `inputs` in, `output` out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import unified_diff
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct, field

from promptd.core.connections import StoredSettings
from promptd.core.content import Role
from promptd.core.descriptors import Param
from promptd.core.errors import InvalidRequest, NotFound
from promptd.core.model import Output
from promptd.core.parameters import Parameters
from promptd.core.rendering import Dialect

LATEST: Final = "latest"  #: a label that nobody sets: the newest version
PRODUCTION: Final = "production"  #: the label that runs where none is named
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_MOST_COMPARED: Final = 4000  # lines: finding the least that differs takes time that grows with their square
_AROUND: Final = 3  # lines that are told around what changed
_LABEL: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class MessageSource(Struct, frozen=True, omit_defaults=True):
    """One message as it is written; rendering fills it.

    `partial` names a shared text that takes the place of `source` as long as it exists.
    """

    source: str
    role: Role = "user"
    partial: str = ""


class Assertion(Struct, frozen=True, omit_defaults=True):
    """What must hold of an example's output. `path` (`items[0].name`) picks a part of it; empty: all of it."""

    kind: Literal["equals", "contains", "not_contains", "matches", "schema", "min_length", "max_length"]
    value: Any
    path: str = ""


class Case(Struct, frozen=True, omit_defaults=True):
    """An example: inputs, and what must hold of the output."""

    name: str
    inputs: dict[str, Any] = field(default_factory=dict)
    assertions: tuple[Assertion, ...] = ()


class Draft(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an author writes; saved, it is a version."""

    messages: tuple[MessageSource, ...] = ()
    dialect: Dialect = Dialect.MINIJINJA
    model: str | None = None  #: None: the default model
    parameters: Parameters = Parameters()
    connection: str | None = None  #: of a query
    settings: StoredSettings | None = None  #: of the query
    inputs: tuple[Param, ...] | None = None  #: None: whatever the messages use, each required and of any kind
    terms: dict[str, Any] = field(default_factory=dict)  #: values for what a caller leaves out
    output: Output = Output()
    description: str = ""
    callable: bool = False  #: offered as a tool
    cases: tuple[Case, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)  #: the author's own
    source: str = ""  #: the text that it was read from, where somebody wants that back
    fault: str = ""  #: why it can't run; it is kept all the same, for those who list it


class TemplateVersion(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A draft that was saved. Nothing of it ever changes."""

    template: str
    number: int  #: 1, 2, 3 …
    draft: Draft
    created: float
    user: str  #: who saved it
    note: str = ""  #: why

    @property
    def id(self) -> str:
        return version_id(self.template, self.number)


class Share(Struct, frozen=True):
    """One version that a label points at; several share its runs by weight."""

    number: int
    weight: float = 1.0


class LabelMove(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A label was set or taken away, by whom and when."""

    label: str
    shares: tuple[Share, ...]
    time: float
    user: str


class Template(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A name, and where its labels point."""

    name: str
    created: float
    changed: float
    user: str  #: who made it
    latest: int = 0  #: number of its newest version
    labels: dict[str, tuple[Share, ...]] = field(default_factory=dict)
    guarded: tuple[str, ...] = ()  #: labels that only a version may have whose cases pass
    moves: tuple[LabelMove, ...] = ()  #: the last ones, oldest first
    version: int = 0  #: of this row, for compare-and-set

    @property
    def id(self) -> str:
        return self.name


class Partial(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A piece of text that templates share."""

    name: str
    source: str
    changed: float
    user: str
    version: int = 0

    @property
    def id(self) -> str:
        return self.name


class Terms(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Values that all templates share; a template's own, and a caller's, come before them."""

    values: dict[str, Any]
    changed: float
    user: str
    id: str = "terms"
    version: int = 0


def version_id(template: str, number: int) -> str:
    """The id that a version is stored under; those of one template sort by number."""
    return f"{template}@{number:08d}"


def check_name(name: str, *, field: str = "name") -> str:
    """Raises `InvalidRequest` for what can't name a template."""
    if not _NAME.fullmatch(name):
        raise InvalidRequest(field=field, expected="1 to 128 of letters, digits, _ . and -")
    return name


def check_label(label: str) -> str:
    """Raises `InvalidRequest` for what can't be a label."""
    if not _LABEL.fullmatch(label) or label == LATEST or label.isdigit():
        raise InvalidRequest(field="label", expected=f"1 to 64 of a-z, digits, . _ and -, no number and not {LATEST!r}")
    return label


def choose(template: Template, *, label: str | None, number: int | None, point: float) -> tuple[int, str]:
    """The version that runs, and the label that led there. `point` is 0 … 1, the same for the same caller.

    Without either, it is `production`, and while nothing is there, the newest. Raises `NotFound`.
    """
    if number is not None:
        if not 1 <= number <= template.latest:
            raise NotFound(f"the template {template.name!r} has no version {number}")
        return number, ""
    wanted = label or (PRODUCTION if PRODUCTION in template.labels else LATEST)
    if wanted == LATEST:
        if not template.latest:
            raise NotFound(f"the template {template.name!r} has no version yet")
        return template.latest, LATEST
    shares = template.labels.get(wanted)
    if not shares:
        raise NotFound(f"the template {template.name!r} has no label {wanted[:64]!r}")
    rest = point * sum(share.weight for share in shares)
    for share in shares:
        rest -= share.weight
        if rest < 0:
            return share.number, wanted
    return shares[-1].number, wanted


def difference(
    before: TemplateVersion,
    after: TemplateVersion,
    settings: tuple[Mapping[str, Any] | None, Mapping[str, Any] | None] = (None, None),
) -> str:
    """What changed from one version to another, as a unified diff of their readable forms. `settings` are those of the two
    as queries, as their form shows them: without secrets.

    Where most of two very long ones differs, it is one piece that takes the place of another.
    """
    old, new = _lines(before.draft, settings[0]), _lines(after.draft, settings[1])
    names = f"version {before.number}", f"version {after.number}"
    least = min(len(old), len(new))
    head = next((place for place in range(least) if old[place] != new[place]), least)
    tail = next((n for n in range(least - head) if old[-1 - n] != new[-1 - n]), least - head)
    if max(len(old), len(new)) - head - tail <= _MOST_COMPARED:
        return "".join(
            line if line.endswith("\n") else line + "\n" for line in unified_diff(old, new, *names, n=_AROUND)
        )
    start, more = max(0, head - _AROUND), min(tail, _AROUND)
    gone, come = old[head : len(old) - tail], new[head : len(new) - tail]
    kept = head - start + more
    return "".join(
        [
            f"--- {names[0]}\n+++ {names[1]}\n",
            f"@@ -{start + 1},{kept + len(gone)} +{start + 1},{kept + len(come)} @@\n",
            *(f" {line}" for line in old[start:head]),
            *(f"-{line}" for line in gone),
            *(f"+{line}" for line in come),
            *(f" {line}" for line in old[len(old) - tail :][:more]),
        ]
    )


def _lines(draft: Draft, settings: Mapping[str, Any] | None) -> Sequence[str]:
    """One line per fact, texts line by line."""
    shown: Mapping[str, Any] = msgspec.to_builtins(draft)
    lines: list[str] = []
    for place, message in enumerate(draft.messages):
        lines.append(f"messages[{place}] {message.role}:")
        lines.extend(f"  {line}" for line in message.source.splitlines())
    for key in sorted(shown):
        if key not in ("messages", "source", "settings"):
            lines.extend(f"{key}: {_pretty(shown[key])}".splitlines())
    if settings is not None:
        lines.extend(f"settings: {_pretty(settings)}".splitlines())
    return [f"{line}\n" for line in lines]


def _pretty(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value, order="deterministic"), indent=2).decode()
