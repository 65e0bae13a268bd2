"""Is a form usable? What a plugin hands out is data from a stranger; a bad form costs its own panel and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec
from msgspec import Struct

from promptd.core.configs import WIDGETS
from promptd.core.errors import InvalidRequest
from promptd.core.forms.form import Form
from promptd.core.forms.layout import Button, Control, Node, Parent, Rule, read_layout
from promptd.core.forms.scopes import Names, at, names_of, properties, scope_of
from promptd.core.localisation import Key
from promptd.core.output import check_schema

MAX_NODES: Final = 2_000
MAX_DEPTH: Final = 32
MAX_PROBLEMS: Final = 50
#: what is shown in place of a form that could not be made
NOT_LOADED: Final = Key("promptd.form.not_loaded")

_ACTION: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_SOURCE: Final = _ACTION
_ELEMENTS: Final = (
    "a|abbr|applet|audio|b|base|body|br|button|canvas|div|embed|em|font|form|frame|frameset|h[1-6]|head|hr|html|i|iframe|"
    "img|input|li|link|marquee|math|meta|object|ol|option|p|pre|script|select|span|strong|style|svg|table|tbody|td|"
    "template|textarea|th|title|tr|u|ul|video"
)
_MARKUP: Final = re.compile(rf"</[a-z]|<[!?]|<(?:{_ELEMENTS})(?:[\s/][^<>]{{0,2000}})?>|<(?:{_ELEMENTS})[\s/]+on", re.I)


class FormProblem(Struct, frozen=True):
    """What makes a form invalid, and where (`ui/elements/0/scope`). For the admin and the log."""

    path: str
    reason: str


class BuiltForm(Struct, frozen=True):
    """A form that can be shown, or None and the reasons; then `NOT_LOADED` stands in its panel."""

    form: Form | None
    problems: tuple[FormProblem, ...] = ()


def built(make: Callable[[], Form]) -> BuiltForm:
    """The form that `make`, a handler's own code, gives, if it is one that can be shown. Never raises."""
    try:
        form = make()
    except (Exception, SystemExit) as error:  # a stranger's code costs its own panel, and the rest of the page works
        return BuiltForm(None, (FormProblem("", f"it raised {type(error).__name__}"),))
    problems = tuple(check_form(form))
    return BuiltForm(None if problems else form, problems)


def check_form(form: Any) -> list[FormProblem]:
    """All that is wrong with a form, up to a bound; an empty list means that it can be shown."""
    if not isinstance(form, Form) or not isinstance(form.schema, dict):
        return [FormProblem("", "it is not a form")]
    try:
        check_schema(form.schema, "schema")
        layout = read_layout(form.ui)
        problems = _Walk(form).problems(layout)
        return problems[:MAX_PROBLEMS]
    except InvalidRequest as error:
        return [FormProblem("schema", error.message)]
    except msgspec.ValidationError as error:
        return [FormProblem("ui", str(error)[:300])]
    except (RecursionError, TypeError, ValueError):
        return [FormProblem("", "it is nested too deeply or is no JSON")]


class _Walk:
    def __init__(self, form: Form) -> None:
        self._schema = form.schema
        self._controls: set[str] = set()
        self._count = 0

    def problems(self, layout: Node) -> list[FormProblem]:
        found = [*self._node(layout, "ui", 1), *self._settings()]
        return [*found, *self._unreachable()]

    def _node(self, node: Node, path: str, depth: int) -> Iterator[FormProblem]:
        self._count += 1
        if self._count > MAX_NODES or depth > MAX_DEPTH:
            if self._count == MAX_NODES + 1 or depth == MAX_DEPTH + 1:
                yield FormProblem(path, f"more than {MAX_NODES} nodes or {MAX_DEPTH} levels")
            return
        for name in ("label", "text"):
            if is_markup(getattr(node, name, "")):
                yield FormProblem(f"{path}/{name}", "texts hold no markup")
        if node.rule is not None:
            yield from self._rule(node.rule, f"{path}/rule")
        if isinstance(node, Control):
            yield from self._control(node, path)
        elif isinstance(node, Button) and not _ACTION.fullmatch(node.action):
            yield FormProblem(f"{path}/action", "not the name of an action")
        elif isinstance(node, Parent):
            for index, child in enumerate(node.elements):
                yield from self._node(child, f"{path}/elements/{index}", depth + 1)

    def _control(self, control: Control, path: str) -> Iterator[FormProblem]:
        yield from self._scope(control.scope, f"{path}/scope")
        if control.scope in self._controls:
            yield FormProblem(f"{path}/scope", "the setting has a control already")
        self._controls.add(control.scope)
        if control.widget and control.widget not in WIDGETS:
            yield FormProblem(f"{path}/widget", f"no such widget: {control.widget[:60]}")

    def _scope(self, scope: str, path: str) -> Iterator[FormProblem]:
        names = names_of(scope)
        if names is None or at(self._schema, names) is None:
            yield FormProblem(path, f"no such setting: {scope[:120]}")

    def _rule(self, rule: Rule, path: str) -> Iterator[FormProblem]:
        yield from self._scope(rule.condition.scope, f"{path}/condition/scope")
        try:
            check_schema(rule.condition.schema, "schema")
        except InvalidRequest as error:
            yield FormProblem(f"{path}/condition/schema", error.message)

    def _settings(self) -> Iterator[FormProblem]:
        for path, node in _property_nodes(self._schema):
            widget, source = node.get("x-widget", ""), node.get("x-options", "")
            if widget and widget not in WIDGETS:
                yield FormProblem(f"{path}/x-widget", f"no such widget: {str(widget)[:60]}")
            if source and not (isinstance(source, str) and _SOURCE.fullmatch(source)):
                yield FormProblem(f"{path}/x-options", "not the name of a source")
            for name in ("title", "description", "x-placeholder"):
                if is_markup(node.get(name, "")):
                    yield FormProblem(f"{path}/{name}", "texts hold no markup")

    def _unreachable(self, names: Names = (), above: tuple[int, ...] = ()) -> Iterator[FormProblem]:
        """Required settings that nobody could fill in."""
        node = at(self._schema, names)
        if node is None or id(node) in above:
            return
        for name, inner in properties(self._schema, node).items():
            below = (*names, name)
            if scope_of(below) in self._controls or not isinstance(inner, dict):
                continue
            if inner.get("x-required") is True:
                yield FormProblem("ui", f"the required setting {'.'.join(below)} has no control")
            yield from self._unreachable(below, (*above, id(node)))


def is_markup(text: Any) -> bool:
    """Whether a text holds tags, as HTML has them; `<name>` as a placeholder is none."""
    return isinstance(text, str) and _MARKUP.search(text) is not None


def _property_nodes(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    owners = {"schema": schema} | {f"schema/$defs/{name}": one for name, one in (schema.get("$defs") or {}).items()}
    for path, owner in owners.items():
        if isinstance(owner, dict):
            for name, node in (owner.get("properties") or {}).items():
                if isinstance(node, dict):
                    yield f"{path}/properties/{name}", node
