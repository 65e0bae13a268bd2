"""Forms: JSON Schema and layout, and the form that is made of a config class without one of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from promptd.core.configs.shapes import Candidates, below, candidates, is_model, is_secret
from promptd.core.forms.layout import Control, Node, Vertical, write_layout
from promptd.core.forms.scopes import properties, scope_of, variants

_MASK: Final = "**********"


@dataclass(frozen=True)
class Form:
    """`schema` is the JSON Schema (2020-12) of the config class, `ui` the layout as JSON (`forms.layout`)."""

    schema: dict[str, Any]
    ui: dict[str, Any]


@dataclass(frozen=True)
class FormContext:
    """What a handler knows when it is asked for a form. `connection` and `discovered` are for query forms.

    `discovered` is what the last connection test found (`{"models": […]}`).
    """

    type_id: str
    object_id: str = ""
    locale: str = "en"
    connection: Any = None
    discovered: Mapping[str, Any] = field(default_factory=dict)


class _Schema(GenerateJsonSchema):
    #: a default that JSON can't show is left out of the schema
    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}


def form_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The schema of a form for `model`: every property has its `x-widget`, no default says anything of a secret."""
    schema = model.model_json_schema(by_alias=False, mode="validation", schema_generator=_Schema)
    _mark_secrets(candidates(model), schema, schema, ())
    for owner in (schema, *(schema.get("$defs") or {}).values()):
        _prepare(schema, owner)
    return schema


def make_form(model: type[BaseModel], layout: Node) -> Form:
    """A form for `model` with a layout of the author's own."""
    return Form(form_schema(model), write_layout(layout))


def generate(model: type[BaseModel]) -> Form:
    """The form for a config class that brings none: all its settings, one below the other."""
    schema = form_schema(model)
    controls = tuple(Control(scope=scope_of((name,))) for name in schema.get("properties", {}))
    return Form(schema, write_layout(Vertical(elements=controls)))


def widget_of(schema: Mapping[str, Any], node: Mapping[str, Any]) -> str:
    """The widget of a setting whose schema is `node`: the author's own, or by the kind of value."""
    if node.get("x-widget"):
        return str(node["x-widget"])
    if any(one.get("writeOnly") for one in variants(schema, node)):
        return "secret"
    choices = [one for one in variants(schema, node) if one.get("type") != "null"]
    kinds = [one for one in choices if not any(word in one for word in ("$ref", "anyOf", "oneOf", "allOf"))]
    if len(kinds) > 1 and all(one.get("type") == "object" for one in kinds):
        return "task"
    return _of_kind(schema, kinds[0]) if len(kinds) == 1 else "text"


def _of_kind(schema: Mapping[str, Any], one: Mapping[str, Any]) -> str:
    kind, form = one.get("type"), one.get("format")
    simple = {"boolean": "switch", "number": "number", "integer": "number"}
    if "enum" in one or "const" in one:
        return "select"
    if isinstance(kind, str) and kind in simple:
        return simple[kind]
    if kind == "string":
        return {"uri": "url", "date": "date", "date-time": "date"}.get(str(form), "text")
    if kind == "object":
        return _of_object(schema, one)
    if kind == "array":
        item = widget_of(schema, one["items"]) if isinstance(one.get("items"), dict) else ""
        return {"file": "files", "select": "multiselect"}.get(item, "repeater")
    return "text" if kind else "json"


def _of_object(schema: Mapping[str, Any], one: Mapping[str, Any]) -> str:
    if one.get("x-file"):
        return "file"
    if one.get("properties"):
        return "fieldset"
    values = one.get("additionalProperties")
    plain = isinstance(values, dict) and widget_of(schema, values) in {"text", "secret", "url", "number", "switch"}
    return "key_value" if plain else "fieldset" if values is False else "json"


def _mark_secrets(types: Candidates, schema: dict[str, Any], node: Any, above: tuple[Any, ...]) -> None:
    """Have every secret say so: pydantic's schemas do for texts, and for no other type."""
    if is_secret(types) and isinstance(node, dict):
        node["writeOnly"] = True
        return
    for one in types:
        if one in above:  # a type inside itself
            continue
        for kind in variants(schema, node):
            if is_model(one):
                for name, inner in (kind.get("properties") or {}).items():
                    _mark_secrets(below((one,), name), schema, inner, (*above, one))
            else:
                _mark_secrets(below((one,), ""), schema, kind.get("additionalProperties"), (*above, one))
                _mark_secrets(below((one,), 0), schema, kind.get("items"), (*above, one))


def _prepare(schema: dict[str, Any], owner: Any) -> None:
    for node in (owner.get("properties") or {}).values():
        node["x-widget"] = widget_of(schema, node)
        if "default" in node:
            node["default"] = _blanked(schema, node, node["default"])


def _blanked(schema: Mapping[str, Any], node: Any, default: Any) -> Any:
    """A default with its secrets empty, also where the author wrote one as plain text."""
    kinds = list(variants(schema, node))
    if default is not None and any(kind.get("writeOnly") for kind in kinds):
        return ""
    if isinstance(default, list):
        items: Any = next((kind["items"] for kind in kinds if "items" in kind), {})
        return [_blanked(schema, items, inner) for inner in default]
    if isinstance(default, dict):
        known = properties(schema, node)
        other: Any = next((kind["additionalProperties"] for kind in kinds if "additionalProperties" in kind), {})
        return {name: _blanked(schema, known.get(name, other), inner) for name, inner in default.items()}
    return "" if default == _MASK else default
