"""One setting of a config model: a pydantic field with what its form needs to know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import Field, Secret, SecretBytes, SecretStr

#: every widget that a form may ask for; the console draws each of them
WIDGETS: Final = frozenset(
    {
        "api_key",
        "code",
        "date",
        "fieldset",
        "file",
        "files",
        "json",
        "json_schema",
        "key_value",
        "markdown",
        "model",
        "multiselect",
        "number",
        "param_table",
        "prompt",
        "prompt_fieldset",
        "repeater",
        "secret",
        "select",
        "slider",
        "switch",
        "task",
        "test_button",
        "text",
        "textarea",
        "url",
    }
)

_UNSET: Final[Any] = object()


def setting(
    default: Any = _UNSET,
    *,
    default_factory: Callable[[], Any] | None = None,
    required: bool = False,
    title: str = "",
    description: str = "",
    widget: str = "",
    options: str = "",
    on_change: bool = False,
    i18n: str = "",
    placeholder: str = "",
    labels: Mapping[str, str] | None = None,
    examples: list[Any] | None = None,
    **constraints: Any,
) -> Any:
    """A field of a config model; as every field has, it has a default.

    `required` is asked for when a form is saved and before a run, never while loading. `options` names the source that
    `FormLogic.options` is asked for, `on_change` has `FormLogic.on_change` told. `i18n` is the prefix of the field's texts
    in the catalogue (`<i18n>.label`, `.description`, `.placeholder`, `.<value of an enum>`); `title`, `description`,
    `placeholder` and `labels` stand where it has none. `constraints` are pydantic's own (`ge`, `max_length`, …).

    Raises `TypeError` without a default and `ValueError` for an unknown widget.
    """
    if widget and widget not in WIDGETS:
        raise ValueError(f"no such widget: {widget}")
    if (default is _UNSET) == (default_factory is None):
        raise TypeError("a setting needs a default or a default factory")
    hints: dict[str, Any] = {
        "x-required": required,
        "x-widget": widget,
        "x-options": options,
        "x-on-change": on_change,
        "i18n": i18n,
        "x-placeholder": placeholder,
        "x-labels": dict(labels or {}),
    }
    common: dict[str, Any] = {
        "title": title or None,
        "description": description or None,
        "examples": examples,
        "json_schema_extra": {name: hint for name, hint in hints.items() if hint},
        # `setting("")` is a good default of a secret; a secret itself would be refused where JSON is read
        "validate_default": not isinstance(default, (SecretStr, SecretBytes, Secret)),
        **constraints,
    }
    if default_factory is not None:
        return Field(default_factory=default_factory, **common)
    return Field(default, **common)
