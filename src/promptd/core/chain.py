"""Chains: stored lists of actions, each a run of a template, whose outputs feed other actions' inputs
(contracts/formcycle.md §3, the prompt workflow action).

An action runs as soon as all that it refers to is there, so that independent ones run side by side. A *place* is
`inputs.<name>`, `<action>.<output>` or deeper (`extract.items[0].name`), and `<action>.error.code` (`.message`,
`.retryable`) of one that failed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from promptd.core.descriptors import Param
from promptd.core.errors import InputTooLarge, InvalidRequest
from promptd.core.policy import Counted

INPUTS: Final = "inputs"
ERROR: Final = "error"
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_PLACE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}(?:\.[A-Za-z_][A-Za-z0-9_-]{0,63}|\[\d{1,6}\])+")
_STEP: Final = re.compile(r"\.?([A-Za-z_][A-Za-z0-9_-]*)|\[(\d+)\]")
_PLACEHOLDER: Final = re.compile(
    r"\{\{([^{}]{1,500})\}\}"
)  # spaces are cut off later: a pattern for them takes cubic time
_MOST_TEXT: Final = 16 * 1024 * 1024  # characters of the texts that are filled in for one action
_MOST_ACTIONS: Final = 100
_ABSENT: Final = object()

StepStatus = Literal["waiting", "running", "completed", "failed", "skipped"]
RunStatus = Literal["running", "completed", "failed", "canceled"]


class Binding(Struct, frozen=True, omit_defaults=True):
    """Where an input comes from: a `literal` JSON value, a `template` text with `{{place}}`s, a `reference` to a place (or
    to the first of several that is there), or a `file`: such places whose files it takes."""

    kind: Literal["literal", "template", "reference", "file"]
    value: Any


class Action(Struct, frozen=True, omit_defaults=True):
    """One run of a template. When it fails, the chain stops, goes on without it, or branches to another action, which
    runs in no other case."""

    name: str
    template: str
    bindings: dict[str, Binding] = field(default_factory=dict)
    label: str | None = None
    number: int | None = None  #: of the version
    on_error: Literal["stop", "continue", "branch"] = "stop"
    branch: str | None = None
    after: tuple[str, ...] = ()  #: actions that it waits for without referring to them


class Chain(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`outputs` are places by name: what a run returns."""

    name: str
    actions: tuple[Action, ...]
    created: float
    changed: float
    user: str  #: who saved it last
    inputs: tuple[Param, ...] = ()
    outputs: dict[str, str] = field(default_factory=dict)
    description: str = ""
    bound: dict[str, str] = field(default_factory=dict)  #: by action, what its template took and gave when it was saved
    version: int = 0

    @property
    def id(self) -> str:
        return self.name


class Step(Struct, frozen=True, omit_defaults=True):
    """How far one action is. `value` and `files` (ids of uploads) are its outputs."""

    status: StepStatus = "waiting"
    prompt: str | None = None
    value: dict[str, Any] = field(default_factory=dict)
    files: dict[str, tuple[str, ...]] = field(default_factory=dict)
    code: str = ""
    message: str = ""
    retryable: bool = False

    @property
    def over(self) -> bool:
        return self.status in ("completed", "failed", "skipped")


class ChainRun(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A run with the chain as it was when it began. It goes on after a restart."""

    id: str
    chain: Chain
    user: str
    created: float
    key: str = ""
    team: str = ""
    counted: Counted = ()  #: headers that limits look at, each with its subject: its prompts count like the request
    inputs: dict[str, Any] = field(default_factory=dict)
    files: dict[str, tuple[str, ...]] = field(default_factory=dict)
    steps: dict[str, Step] = field(default_factory=dict)
    status: RunStatus = "running"
    outputs: dict[str, Any] = field(default_factory=dict)
    code: str = ""
    message: str = ""
    finished: float | None = None
    version: int = 0

    forgotten: bool = False  #: nothing is left of what went in and came out

    def silenced(self) -> ChainRun:
        """The same without what went in and came out."""
        steps = {name: replace(step, value={}, files={}, message="") for name, step in self.steps.items()}
        return replace(
            self, inputs={}, files={}, outputs={}, message="", steps=steps, forgotten=True, version=self.version + 1
        )


class StepResult(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an action of a run gave, in a row of its own: the run's row is written after every step, and stays small."""

    id: str  #: `<run>.<action>`, as its prompt's
    value: dict[str, Any] = field(default_factory=dict)
    files: dict[str, tuple[str, ...]] = field(default_factory=dict)


def apart(run: ChainRun) -> tuple[ChainRun, dict[str, StepResult]]:
    """The run without what its steps gave, and that by action."""
    results = {
        name: StepResult(id=f"{run.id}.{name}", value=step.value, files=step.files)
        for name, step in run.steps.items()
        if step.value or step.files
    }
    steps = {name: replace(step, value={}, files={}) if name in results else step for name, step in run.steps.items()}
    return replace(run, steps=steps), results


def together(run: ChainRun, results: Mapping[str, StepResult]) -> ChainRun:
    """The reverse of `apart`."""
    steps = {
        name: replace(step, value=results[name].value, files=results[name].files) if name in results else step
        for name, step in run.steps.items()
    }
    return replace(run, steps=steps)


class ActiveRun(Struct, frozen=True):
    """A mark that a run is not over, so that a start finds it without reading all runs."""

    id: str


def check(chain: Chain, functions: Mapping[str, tuple[Sequence[Param], frozenset[str] | None]]) -> None:
    """Raises `InvalidRequest` for cycles, for what refers to nothing and for required inputs without a binding.

    `functions` has, by action, the inputs of its template and the names of its outputs, None where they are not known.
    """
    if not 1 <= len(chain.actions) <= _MOST_ACTIONS:
        raise InvalidRequest(field="actions", expected=f"1 to {_MOST_ACTIONS} actions")
    actions = {action.name: action for action in chain.actions}
    for number, action in enumerate(chain.actions):
        where = f"actions[{number}]"
        if not _NAME.fullmatch(action.name) or action.name == INPUTS:
            raise InvalidRequest(field=f"{where}.name", expected=f"a name like [A-Za-z_][A-Za-z0-9_]*, not {INPUTS!r}")
        if actions[action.name] is not action:
            raise InvalidRequest(field=f"{where}.name", expected="another name than the actions before")
        if (action.on_error == "branch") != (action.branch is not None):
            raise InvalidRequest(field=f"{where}.branch", expected="an action's name, with on_error: branch")
        for other in (*action.after, *([action.branch] if action.branch is not None else [])):
            if other not in actions or other == action.name:
                raise InvalidRequest(field=where, expected=f"another action of the chain in place of {other!r}")
        _check_bindings(chain, action, functions, where)
    for name, place in chain.outputs.items():
        _check_place(chain, place, functions, f"outputs.{name}")
    try:
        TopologicalSorter({name: needs(chain, name) for name in actions}).prepare()
    except CycleError as error:
        raise InvalidRequest(
            f"actions: they wait for each other: {' → '.join(error.args[1])}", field="actions", expected="no cycle"
        ) from None


def needs(chain: Chain, name: str) -> frozenset[str]:
    """The actions that must be over before this one can begin."""
    action = next(one for one in chain.actions if one.name == name)
    referred = (
        place.partition(".")[0].partition("[")[0] for binding in action.bindings.values() for place in places(binding)
    )
    branching = (one.name for one in chain.actions if one.branch == name)
    return frozenset({*referred, *action.after, *branching} - {INPUTS})


def branches(chain: Chain) -> frozenset[str]:
    """The actions that run only where another one failed."""
    return frozenset(action.branch for action in chain.actions if action.branch is not None)


def places(binding: Binding) -> Iterator[str]:
    """The places that a binding refers to. Raises `InvalidRequest`, without its field, for what is none."""
    if binding.kind == "literal":
        return
    if binding.kind == "template":
        if not isinstance(binding.value, str):
            raise InvalidRequest(expected="a text", field="value")
        yield from (place.strip() for place in _PLACEHOLDER.findall(binding.value))
        return
    found = binding.value if isinstance(binding.value, list | tuple) else [binding.value]
    for place in found:
        if not isinstance(place, str):
            raise InvalidRequest(expected="a place such as inputs.text, or a list of them", field="value")
        yield place


def _check_bindings(
    chain: Chain,
    action: Action,
    functions: Mapping[str, tuple[Sequence[Param], frozenset[str] | None]],
    where: str,
) -> None:
    declared = {param.name: param for param in functions[action.name][0]}
    for name, binding in action.bindings.items():
        field = f"{where}.bindings.{name}"
        param = declared.get(name)
        if param is None:
            raise InvalidRequest(
                field=field, expected=f"an input of {action.template!r}: {', '.join(declared) or 'none'}"
            )
        if (param.kind == "file") != (binding.kind == "file"):
            raise InvalidRequest(field=f"{field}.kind", expected="file" if param.kind == "file" else "a value, no file")
        try:
            referred = list(places(binding))
        except InvalidRequest as error:
            raise InvalidRequest(field=f"{field}.value", expected=error.expected) from None
        for place in referred:
            _check_place(chain, place, functions, f"{field}.value")
    missing = [param.name for param in declared.values() if param.required and param.name not in action.bindings]
    if missing:
        raise InvalidRequest(
            field=f"{where}.bindings.{missing[0]}", expected="a binding, because the input is required"
        )


def _check_place(
    chain: Chain, place: str, functions: Mapping[str, tuple[Sequence[Param], frozenset[str] | None]], field: str
) -> None:
    if not _PLACE.fullmatch(place):
        raise InvalidRequest(field=field, expected="a place such as inputs.text or summary.items[0].name")
    root, name = (str(step) for step in list(_steps(place))[:2])
    if root == INPUTS:
        known: frozenset[str] | None = frozenset(param.name for param in chain.inputs)
    elif root in functions:
        outputs = functions[root][1]
        known = None if outputs is None else outputs | {ERROR}
    else:
        raise InvalidRequest(field=field, expected=f"inputs or another action in place of {root!r}")
    if known is not None and name not in known:
        raise InvalidRequest(field=field, expected=f"one of {root}.{{{', '.join(sorted(known))}}}")


# ---------------------------------------------------------------- at run time


def bound(run: ChainRun, action: Action) -> tuple[dict[str, Any], dict[str, tuple[str, ...]]]:
    """The values and the files (ids of uploads) of an action's inputs; what is not there is left out.

    Raises `InputTooLarge`.
    """
    values: dict[str, Any] = {}
    files: dict[str, tuple[str, ...]] = {}
    for name, binding in action.bindings.items():
        if binding.kind == "literal":
            values[name] = binding.value
        elif binding.kind == "template":
            values[name] = _filled(run, binding.value, f"{action.name}.{name}")
        elif binding.kind == "reference":
            found = next(
                (value for place in places(binding) if (value := value_at(run, place)) is not _ABSENT), _ABSENT
            )
            if found is not _ABSENT:
                values[name] = found
        else:
            taken = next((ids for place in places(binding) if (ids := files_at(run, place))), ())
            if taken:
                files[name] = taken
    return values, files


def outputs_of(run: ChainRun) -> dict[str, Any]:
    """What the run returns; a place that is not there is left out. Files are lists of ids of uploads."""
    found: dict[str, Any] = {}
    for name, place in run.chain.outputs.items():
        value = value_at(run, place)
        if value is _ABSENT and (files := files_at(run, place)):
            value = list(files)
        if value is not _ABSENT:
            found[name] = value
    return found


def value_at(run: ChainRun, place: str) -> Any:
    """The value at a place, or a mark that nothing is there."""
    root, *path = _steps(place)
    if root == INPUTS:
        value: Any = run.inputs
    else:
        step = run.steps.get(str(root), Step())
        failed = {ERROR: {"code": step.code, "message": step.message, "retryable": step.retryable}}
        value = failed if step.status == "failed" else step.value if step.status == "completed" else {}
    for part in path:
        named = isinstance(value, dict) and isinstance(part, str) and part in value
        counted = isinstance(value, list) and isinstance(part, int) and part < len(value)
        if not (named or counted):
            return _ABSENT
        value = value[part]
    return value


def files_at(run: ChainRun, place: str) -> tuple[str, ...]:
    """The ids of the uploads at a place."""
    root, _, name = place.partition(".")
    given = run.files if root == INPUTS else run.steps.get(root, Step()).files
    return tuple(given.get(name, ()))


def _filled(run: ChainRun, source: str, field: str) -> str:
    """A text with what stands at its places. A value that it names often is counted as often, before it is built."""
    found: dict[str, str] = {}
    pieces: list[str] = []
    size = end = 0
    for match in _PLACEHOLDER.finditer(source):
        place = match[1].strip()
        if place not in found:
            found[place] = _spelled(value_at(run, place))
        size += len(found[place])
        if size > _MOST_TEXT:
            raise InputTooLarge(f"with its values the text is longer than {_MOST_TEXT} characters", field=field)
        pieces += source[end : match.start()], found[place]
        end = match.end()
    return "".join([*pieces, source[end:]])


def _spelled(value: Any) -> str:
    if value is _ABSENT:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _steps(place: str) -> Iterator[str | int]:
    for found in _STEP.finditer(place):
        yield found[1] if found[1] is not None else int(found[2])
