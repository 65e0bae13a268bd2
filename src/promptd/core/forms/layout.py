"""The layout of a form: a tree of nodes that are data, never markup or script (contracts/formcycle.md §3.1).

A layout is written with these classes and travels as JSON, in which `type` names the class. A node's `i18n` is the key of
its label or text in the plugin's catalogue; the literal stands where the key is unknown.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Struct

Effect = Literal["SHOW", "HIDE", "ENABLE", "DISABLE"]


class Condition(Struct, frozen=True, forbid_unknown_fields=True):
    """True where the value at `scope` fits the JSON Schema `schema`; a value that is not there counts as null."""

    scope: str
    schema: dict[str, Any]


class Rule(Struct, frozen=True, forbid_unknown_fields=True):
    """`SHOW` and `ENABLE` need the condition, `HIDE` and `DISABLE` forbid it. It holds for all below the node too."""

    effect: Effect
    condition: Condition


class _Node(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True, tag_field="type"):
    rule: Rule | None = None
    i18n: str = ""


class Control(_Node, tag="Control", frozen=True):
    """The widget of one setting; `scope` is its place in the schema (`#/properties/auth/properties/user`)."""

    scope: str
    label: str = ""
    widget: str = ""  #: in place of the schema's `x-widget`


class Text(_Node, tag="Text", frozen=True):
    """A paragraph of plain text."""

    text: str = ""


class Button(_Node, tag="Button", frozen=True):
    """Calls `FormLogic.action(action)`; the action `test` is the host's connection test."""

    action: str
    label: str = ""


class Vertical(_Node, tag="Vertical", frozen=True):
    elements: tuple[Node, ...] = ()


class Horizontal(_Node, tag="Horizontal", frozen=True):
    elements: tuple[Node, ...] = ()


class Group(_Node, tag="Group", frozen=True):
    """A fieldset with a legend."""

    label: str = ""
    elements: tuple[Node, ...] = ()
    collapsed: bool = False


class Tabs(_Node, tag="Tabs", frozen=True):
    """One tab for each group."""

    elements: tuple[Group, ...] = ()


Node = Control | Text | Button | Vertical | Horizontal | Group | Tabs
Parent = Vertical | Horizontal | Group | Tabs


def read_layout(ui: Any) -> Node:
    """The tree that the JSON `ui` stands for. Raises `msgspec.ValidationError` or `RecursionError`."""
    return msgspec.convert(ui, Node, strict=True)  # type: ignore[no-any-return]


def write_layout(node: Node) -> dict[str, Any]:
    """The tree as JSON data."""
    ui: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(node))
    return ui
