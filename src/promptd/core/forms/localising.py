"""A form in the reader's language: titles, descriptions, placeholders and choices of its schema, texts of its layout."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, Final

from promptd.core.forms.form import Form
from promptd.core.forms.layout import Button, Control, Group, Node, Parent, Text, read_layout
from promptd.core.forms.scopes import variants
from promptd.core.localisation import Key, Localizer, resolve

_TEXTS: Final = {"title": "label", "description": "description", "x-placeholder": "placeholder"}


def localise(form: Form, localizer: Localizer | None, locale: str) -> Form:
    """The form with its texts in `locale`; a key that no catalogue has leaves the literal, or is shown itself.

    A setting with choices gets `x-labels`, which says the label of each value.
    """
    schema = copy.deepcopy(form.schema)
    for node in _property_nodes(schema):
        prefix = node.get("i18n")
        if isinstance(prefix, str) and prefix:
            _translate(schema, node, prefix, localizer, locale)
    return Form(schema, localise_layout(form.ui, localizer, locale))


def form_keys(form: Form) -> list[str]:
    """The catalogue keys of a form, for the warning about missing ones when a handler is registered.

    Descriptions, placeholders and labels of choices may be left out of a catalogue, so they are not among them.
    """
    prefixes = (node.get("i18n") for node in _property_nodes(form.schema))
    keys = [f"{prefix}.label" for prefix in prefixes if isinstance(prefix, str) and prefix]
    return list(dict.fromkeys([*keys, *_layout_keys(read_layout(form.ui))]))


def _translate(
    schema: dict[str, Any], node: dict[str, Any], prefix: str, localizer: Localizer | None, locale: str
) -> None:
    for name, ending in _TEXTS.items():
        text = _found(f"{prefix}.{ending}", localizer, locale)
        if text is not None:
            node[name] = text
    given = node.get("x-labels")
    labels: dict[str, Any] = given if isinstance(given, dict) else {}
    for value in _choices(schema, node):
        text = _found(f"{prefix}.{value}", localizer, locale)
        if text is not None:
            labels = {**labels, str(value): text}
    if labels:
        node["x-labels"] = labels


def _choices(schema: dict[str, Any], node: dict[str, Any]) -> Iterator[Any]:
    for one in variants(schema, node):
        if isinstance(one.get("enum"), list):
            yield from one["enum"]
        if isinstance(one.get("items"), dict):
            yield from (value for item in variants(schema, one["items"]) for value in item.get("enum") or ())


def localise_layout(ui: dict[str, Any], localizer: Localizer | None, locale: str) -> dict[str, Any]:
    """A layout that is valid, with its texts in `locale`."""
    said, key = dict(ui), ui.get("i18n")
    if key and ui["type"] in ("Text", "Button", "Group", "Control"):
        name = "text" if ui["type"] == "Text" else "label"
        said[name] = _found(key, localizer, locale) or ui.get(name) or key
    if "elements" in ui:
        said["elements"] = [localise_layout(child, localizer, locale) for child in ui["elements"]]
    return said


def _layout_keys(node: Node) -> Iterator[str]:
    if node.i18n and isinstance(node, Text | Button | Group | Control):
        yield node.i18n
    if isinstance(node, Parent):
        for child in node.elements:
            yield from _layout_keys(child)


def _found(key: str, localizer: Localizer | None, locale: str) -> str | None:
    text = resolve(Key(key), localizer, locale)
    return None if text == key else text


def _property_nodes(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for owner in (schema, *(schema.get("$defs") or {}).values()):
        yield from (node for node in (owner.get("properties") or {}).values() if isinstance(node, dict))
