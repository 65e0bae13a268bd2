"""The checks of the settings: a guard, where it looks, and what happens to what it does not allow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Final

from msgspec import Struct
from msgspec.structs import force_setattr

from promptd.core.content import Turn
from promptd.core.guarding import Action, Redactor, Stage, Subject
from promptd.core.model import Judgement, Verdict
from promptd.core.ports import Guard

#: a guard's `at_once`: its opinion, or None where it has to wait for that
AtOnce = Callable[[Sequence[Turn]], Verdict | None]


class Check(Struct, frozen=True, kw_only=True):
    """One of them. Selectors that are empty choose everything; of those that are not, each must choose the text."""

    name: str
    guard: Guard
    stages: frozenset[Stage]
    action: Action = Action.REFUSE
    told: str = ""  #: what callers are told who are refused; empty: the reason
    seconds: float = 10.0  #: after so long the guard has failed
    models: tuple[str, ...] = ()  #: patterns
    keys: tuple[str, ...] = ()  #: ids
    teams: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()
    listeners: tuple[str, ...] = ()
    #: derived, because every prompt asks for them
    redactor: Redactor | None = None  #: the guard, where it replaces what it finds
    reads_input: bool = False  #: it looks at what callers write
    fine: Judgement = Judgement("", "", "")  #: what it says of most of that
    seen: tuple[str, str, str] = ("", "", "")  #: … and how that is counted
    at_once: AtOnce | None = None  #: of a guard that can judge most texts without waiting

    def __post_init__(self) -> None:
        if self.action is Action.REDACT and isinstance(self.guard, Redactor):
            force_setattr(self, "redactor", self.guard)
        force_setattr(self, "reads_input", Stage.INPUT in self.stages)
        force_setattr(self, "fine", Judgement(self.name, Stage.INPUT.value, "allowed"))
        force_setattr(self, "seen", (self.name, Stage.INPUT.value, "allowed"))
        force_setattr(self, "at_once", getattr(self.guard, "at_once", None))

    @property
    def selects(self) -> bool:
        """Whether it is for some texts only."""
        return bool(self.models or self.keys or self.teams or self.templates or self.listeners)

    def covers(self, subject: Subject) -> bool:
        return (
            (not self.models or any(fnmatchcase(name, model) for model in self.models for name in subject.models))
            and (not self.keys or subject.key in self.keys)
            and (not self.teams or subject.team in self.teams)
            and (not self.templates or subject.template in self.templates)
            and (not self.listeners or subject.listener in self.listeners)
        )


class Plan(Struct, frozen=True):
    """The checks of one prompt, in the order of the settings."""

    request: tuple[Check, ...] = ()  #: of what is asked: stages `input`, `tool` or both
    output: tuple[Check, ...] = ()
    #: derived, because every prompt asks for them
    input: tuple[Check, ...] = ()  #: those that look at what callers bring along, documents included
    holds: bool = False  #: some text of the answer may have to stay, so that nothing leaves unread
    judges: bool = False  #: what callers write is judged by all of `request`, and replaced by none
    fine: tuple[Judgement, ...] = ()  #: what these say of most of that

    def __post_init__(self) -> None:
        if self.request:
            force_setattr(self, "input", tuple([check for check in self.request if check.reads_input]))
            force_setattr(self, "judges", all(check.reads_input and not check.redactor for check in self.request))
            force_setattr(self, "fine", tuple([check.fine for check in self.request]))
        if self.output:
            force_setattr(self, "holds", any(check.action is not Action.RECORD for check in self.output))

    @property
    def tool(self) -> tuple[Check, ...]:
        return tuple(check for check in self.request if Stage.TOOL in check.stages)


NOTHING: Final = Plan()
_ASKED: Final = frozenset({Stage.INPUT, Stage.TOOL})


class Checks:
    """All of them. Without any, a prompt pays nothing."""

    def __init__(self, checks: Sequence[Check] = ()) -> None:
        self._checks = tuple(checks)
        self.all = _plan(self._checks)  #: every check, whomever it is for
        self.selects = any(check.selects for check in self._checks)  #: whether prompts differ in what looks at them

    def __bool__(self) -> bool:
        return bool(self._checks)

    def __iter__(self) -> Iterator[Check]:
        return iter(self._checks)

    def plan(self, subject: Subject) -> Plan:
        """Those for one prompt."""
        return _plan([check for check in self._checks if check.covers(subject)]) if self.selects else self.all


def _plan(checks: Sequence[Check]) -> Plan:
    return Plan(
        tuple(check for check in checks if check.stages & _ASKED),
        tuple(check for check in checks if Stage.OUTPUT in check.stages),
    )
