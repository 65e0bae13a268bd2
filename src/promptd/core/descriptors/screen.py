"""The screen of an action that uses a query or template, as layout data: one field for each input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from promptd.core.descriptors.files import allowed
from promptd.core.descriptors.param import ANY_TYPE, MISSING, Param
from promptd.core.descriptors.schema import Resolve, literal

Source = Literal["literal", "template", "reference"]

_VALUE: Final[tuple[Source, ...]] = ("literal", "template", "reference")
_FILE: Final[tuple[Source, ...]] = ("literal", "reference")
_WIDGETS: Final = {
    "string": "text",
    "integer": "number",
    "number": "number",
    "boolean": "switch",
    "object": "fieldset",
    "array": "rows",
    "any": "json",
    "file": "file",
}


class Field(Struct, frozen=True, omit_defaults=True):
    """One input. `fields` are those inside a fieldset; `row` is the field of each row.

    A sensitive field shows no default and no example. `accept` is what a file picker offers.
    """

    name: str
    path: str  #: `order.items[].price`
    kind: str
    widget: str
    label: str
    required: bool = False
    help: str = ""
    placeholder: str = ""
    sources: tuple[Source, ...] = _VALUE
    options: tuple[Any, ...] = ()
    default: Any = MISSING
    nullable: bool = False
    deprecated: bool = False
    sensitive: bool = False
    group: str = ""
    accept: tuple[str, ...] = ()
    multiple: bool = False
    fields: tuple[Field, ...] = ()
    row: Field | None = None


def screen(params: Sequence[Param], resolve: Resolve = literal) -> tuple[Field, ...]:
    """The fields in the order of the list."""
    return tuple(_field(param, "", resolve, inner=False) for param in params)


def _field(param: Param, above: str, resolve: Resolve, *, inner: bool) -> Field:
    path = f"{above}.{param.name}" if above else param.name
    return _drawn(param, path, param.name, resolve, inner=inner, required=param.required)


def _drawn(param: Param, path: str, name: str, resolve: Resolve, *, inner: bool, required: bool) -> Field:
    file = param.kind == "file"
    shown = not param.sensitive
    return Field(
        name=name,
        path=path,
        kind=kind_of(param),
        widget=_widget(param),
        label=resolve(param.title) if param.title else name,
        required=required,
        help=resolve(param.description) if param.description else _allowed(param),
        placeholder=example_of(param) if shown else "",
        # inside a fieldset or a row the outer field has chosen already
        sources=("literal",) if inner else _FILE if file else _VALUE,
        options=param.enum,
        default=param.default if shown else MISSING,
        nullable=param.nullable,
        deprecated=param.deprecated,
        sensitive=param.sensitive,
        group=param.group,
        accept=() if not file or ANY_TYPE in param.media_types else param.media_types,
        multiple=param.multiple,
        fields=tuple(_field(one, path, resolve, inner=True) for one in param.properties),
        row=_row(param, path, resolve),
    )


def _row(param: Param, path: str, resolve: Resolve) -> Field | None:
    if param.items is None:
        return None
    return _drawn(param.items, f"{path}[]", param.items.name, resolve, inner=True, required=not param.items.nullable)


def _widget(param: Param) -> str:
    if param.widget:
        return param.widget
    if param.schema is not None or (param.kind == "array" and param.items is None):
        return "json"
    if param.kind == "object" and not param.properties:
        return "key_value" if param.additional else "json"
    if param.kind == "file":
        return "files" if param.multiple else "file"
    if param.enum:
        return "select"
    if param.kind == "string":
        return "secret" if param.sensitive else "textarea" if param.multiline else "text"
    return _WIDGETS[param.kind]


def kind_of(param: Param) -> str:
    """Of a schema of its own the type that it names, `any` where it names none or several."""
    if param.schema is None:
        return param.kind
    said = param.schema.get("type", [])
    types = {said} if isinstance(said, str) else set(said)
    kinds = types - {"null"}
    return str(kinds.pop()) if len(kinds) == 1 else "any"


def example_of(param: Param) -> str:
    """The first example as a reader would type it; empty where there is none, or none may be shown."""
    if not param.examples or param.sensitive:
        return ""
    first = param.examples[0]
    return first if isinstance(first, str) else msgspec.json.encode(first).decode()


def _allowed(param: Param) -> str:
    return allowed(param) if param.kind == "file" and ANY_TYPE not in param.media_types else ""
