"""Templates as YAML files that people read, edit and compare: one file holds one draft, partials, or both.

```yaml
dialect: minijinja
description: Says hello
messages:
- system: |
    You greet people.
- user: Say hello to {{ name }}.
inputs:
- name: name
  description: whom to greet
cases:
- name: a friend
  inputs:
    name: Ada
  assertions:
  - kind: contains
    value: Ada
```

Everything of a draft has a place here, under the name that it has in `core/template.py`; but `settings` of a query are
not the sealed ones, which only one server can open: they are what its form holds, with a mark (`{$secret: path}`) in
place of each secret. Labels and versions are matters of the server. Comments do not survive.
"""

from __future__ import annotations

from typing import Any, Final, get_args

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from promptd.core.content import Role
from promptd.core.errors import InvalidRequest
from promptd.core.model import Output
from promptd.core.template import Assertion, Case, Draft, MessageSource
from promptd.dialects import yaml_text

SUFFIX: Final = ".yaml"
_PARTIAL: Final = "partial"
_ROLES: Final[tuple[str, ...]] = get_args(Role)


class TemplateFile(Struct, frozen=True):
    """What one file holds: a draft, partials by their names, or both."""

    draft: Draft | None = None  #: without its settings
    partials: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] | None = None  #: of a query: what its form holds


class _Output(Output, frozen=True, forbid_unknown_fields=True):
    pass


class _Assertion(Assertion, frozen=True, forbid_unknown_fields=True):
    pass


class _Case(Case, frozen=True, forbid_unknown_fields=True):
    assertions: tuple[_Assertion, ...] = ()


class _File(Draft, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A draft as it stands in a file; here a name that does not exist is a mistake."""

    messages: list[dict[str, str]] = field(default_factory=list)  # type: ignore[assignment]
    settings: dict[str, Any] | None = None  # type: ignore[assignment]
    output: _Output = _Output()
    cases: tuple[_Case, ...] = ()
    partials: dict[str, str] = field(default_factory=dict)


#: how a file begins: what is read first is said first
_ORDER: Final = (
    "dialect",
    "description",
    "model",
    "callable",
    "connection",
    "settings",
    "messages",
    "inputs",
    "output",
)


def read_template_file(text: str, *, name: str) -> TemplateFile:
    """The draft and partials in the text of a file.

    Raises `InvalidRequest` that tells `name`, the path of what is wrong, and its line.
    """
    document = yaml_text.read(text, name=name)
    value = document.value
    if not isinstance(value, dict):
        raise _wrong(name, document, (), "expected a mapping with `messages`, `partials` or both")
    try:
        msgspec.convert(value, _File)
        partials, query = value.pop("partials", {}), value.pop("settings", None)
        messages = [_message(one, no, name, document) for no, one in enumerate(value.get("messages", ()))]
        has_draft = bool(value) or query is not None
        draft = msgspec.convert({**value, "messages": messages}, Draft) if has_draft else None
    except msgspec.ValidationError as error:
        reason, path = yaml_text.explain(error)
        raise _wrong(name, document, path, reason) from None
    return TemplateFile(draft, partials, query)


def write_template_file(file: TemplateFile, *, name: str) -> str:
    """The text of a file that `read_template_file` reads as the same again.

    Raises `InvalidRequest` where the draft holds what a file can't.
    """
    value: dict[str, Any] = {}
    if file.draft is not None:
        try:
            shown = msgspec.to_builtins(replace(file.draft, settings=None))
        except (TypeError, ValueError, RecursionError):
            raise InvalidRequest(f"{name}: a value that no file can hold", field=name) from None
        shown["dialect"] = str(file.draft.dialect)
        if file.settings is not None:
            shown["settings"] = file.settings
        shown["messages"] = [_written(one) for one in file.draft.messages]
        for member in ("messages", "output", "parameters"):
            if not shown.get(member):
                shown.pop(member, None)
        value = {key: shown[key] for key in (*_ORDER, *shown) if key in shown}
    if file.partials:
        value["partials"] = file.partials
    return yaml_text.write(value, name=name)


def _message(one: dict[str, str], no: int, name: str, document: yaml_text.Document) -> dict[str, str]:
    rest = dict(one)
    partial = rest.pop(_PARTIAL, "")
    role, source = next(iter(rest.items()), ("", ""))
    if len(rest) != 1 or role not in _ROLES:
        raise _wrong(name, document, ("messages", no), f"expected one text under one of {', '.join(_ROLES)}")
    return {"role": role, "source": source, "partial": partial}


def _written(one: MessageSource) -> dict[str, str]:
    return {one.role: one.source} | ({_PARTIAL: one.partial} if one.partial else {})


def _wrong(name: str, document: yaml_text.Document, path: yaml_text.Path, reason: str) -> InvalidRequest:
    steps = yaml_text.spelled(path)
    line = document.line(path) or 1
    return InvalidRequest(f"{name}, line {line}: {steps + ': ' if steps else ''}{reason}", field=steps or name)
