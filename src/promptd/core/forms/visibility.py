"""Which settings a form shows, by the rules of its layout; the server decides it again when a form is saved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import jsonschema_rs

from promptd.core.configs.paths import Path, spell
from promptd.core.configs.requiring import is_empty
from promptd.core.forms.form import Form
from promptd.core.forms.layout import Condition, Control, Node, Parent, read_layout
from promptd.core.forms.scopes import Names, at, names_of, properties, scope_of, value_at, variants

_PATTERNS: Final = jsonschema_rs.RegexOptions(size_limit=1024 * 1024)


def visible(form: Form, data: Mapping[str, Any]) -> set[str]:
    """The scopes of the controls that are shown with `data` in the form. The form must have passed `check_form`."""
    return set(_shown(form, read_layout(form.ui), data))


def missing_required(form: Form, data: Mapping[str, Any]) -> list[str]:
    """The paths of required settings that are shown and empty; what is hidden is not asked for."""
    shown = visible(form, data)
    controls = set(_controls(read_layout(form.ui)))
    paths = (path for scope in shown for path in _below_control(form, scope, data, controls))
    return sorted({spell(path) for path in paths})


def validator(schema: Mapping[str, Any]) -> jsonschema_rs.Validator:
    """A validator that follows no reference out of the schema and matches patterns in linear time."""
    return jsonschema_rs.validator_for(dict(schema), retriever=_refuse, pattern_options=_PATTERNS)


def _refuse(uri: str) -> Any:
    raise ValueError(f"references outside the schema are not followed: {uri}")


def _shown(form: Form, node: Node, data: Mapping[str, Any]) -> Iterator[str]:
    rule = node.rule
    if rule and rule.effect in ("SHOW", "HIDE") and _holds(form, rule.condition, data) is (rule.effect == "HIDE"):
        return
    if isinstance(node, Control):
        yield node.scope
    elif isinstance(node, Parent):
        for child in node.elements:
            yield from _shown(form, child, data)


def _controls(node: Node) -> Iterator[str]:
    if isinstance(node, Control):
        yield node.scope
    elif isinstance(node, Parent):
        for child in node.elements:
            yield from _controls(child)


def _holds(form: Form, condition: Condition, data: Mapping[str, Any]) -> bool:
    names = names_of(condition.scope) or ()
    there, value = value_at(data, names)
    if not there:
        value = (at(form.schema, names) or {}).get("default")
    try:
        return validator(condition.schema).is_valid(value)
    except (ValueError, jsonschema_rs.ReferencingError):  # nested beyond the validator's bound
        return False


def _below_control(form: Form, scope: str, data: Mapping[str, Any], controls: set[str]) -> Iterator[Path]:
    names = names_of(scope) or ()
    node = at(form.schema, names)
    there, value = value_at(data, names)
    if node is None or not value_at(data, names[:-1])[0]:
        return
    if node.get("x-required") is True and (not there or is_empty(value)):
        yield names
    else:
        yield from _inside(form.schema, node, value, names, names, controls)


def _inside(
    schema: Mapping[str, Any], node: Mapping[str, Any], value: Any, path: Path, names: Names | None, controls: set[str]
) -> Iterator[Path]:
    """Empty required settings inside a value; a setting with a control of its own is that control's matter."""
    if isinstance(value, dict):
        for name, inner in _fitting(schema, node, value).items():
            below = None if names is None else (*names, name)
            if not isinstance(inner, dict) or (below is not None and scope_of(below) in controls):
                continue
            if inner.get("x-required") is True and is_empty(value.get(name)):
                yield (*path, name)
            else:
                yield from _inside(schema, inner, value.get(name), (*path, name), below, controls)
    elif isinstance(value, list):
        for one in variants(schema, node):
            if isinstance(one.get("items"), dict):
                for index, item in enumerate(value):
                    yield from _inside(schema, one["items"], item, (*path, index), None, controls)


def _fitting(schema: Mapping[str, Any], node: Mapping[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    """The properties of the alternative that `value` is, by the constants of each, and of maps the values."""
    found: dict[str, Any] = {}
    for one in variants(schema, node):
        inner = one.get("properties")
        if isinstance(inner, dict):
            constants = {
                name: part["const"] for name, part in inner.items() if isinstance(part, dict) and "const" in part
            }
            if all(value.get(name, constant) == constant for name, constant in constants.items()):
                found = inner | found
        elif isinstance(one.get("additionalProperties"), dict):
            found = dict.fromkeys(value, one["additionalProperties"]) | found
    return found or properties(schema, node)
