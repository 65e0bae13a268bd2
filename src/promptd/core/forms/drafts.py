"""Forms at work: drafts, the logic behind a form, and what it answers."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Generic, Literal, TypeVar

from msgspec import Struct
from pydantic import BaseModel

from promptd.core.configs import LoadReport, SerializedConfig, load, redact, redact_text, secret_states, serialize
from promptd.core.configs.files import StoredFile
from promptd.core.configs.paths import Path, parse, too_deep
from promptd.core.configs.shapes import candidates, is_secret, places
from promptd.core.forms.checking import FormProblem, check_form
from promptd.core.forms.form import Form
from promptd.core.forms.localising import localise_layout
from promptd.core.forms.scopes import at
from promptd.core.localisation import Key, Localizer, Text, resolve
from promptd.core.ports import HttpClient

C = TypeVar("C", bound=BaseModel)
Q = TypeVar("Q", bound=BaseModel | None)
M = TypeVar("M", bound=BaseModel)


class Option(Struct, frozen=True):
    """One choice of a select; `value` is JSON."""

    value: Any
    label: Text = ""
    description: Text = ""
    group: str = ""


class FieldMessage(Struct, frozen=True):
    """A message at a setting, by its path (`auth.user`); an empty path is the form as a whole."""

    path: str
    message: Text
    level: Literal["error", "warning", "info"] = "error"


@dataclass(frozen=True)
class FormPatch:
    """What an answer changes on screen, and nothing else: values by path, options by source, messages, the layout.

    `revision` is that of the draft it answers; the host sets it (`answering`).
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Sequence[Option]] = field(default_factory=dict)
    messages: Sequence[FieldMessage] = ()
    ui: dict[str, Any] | None = None
    revision: int | None = None


@dataclass(frozen=True)
class Draft(Generic[C, Q]):
    """Settings that somebody edits and that need not be saved.

    A connection's draft is `connection`, and `query` is None; a query's draft is `query`, and `connection` the settings
    of the connection it was picked for. `data` is the edited one as the form has it, with its secrets filled in.
    """

    connection: C
    query: Q
    data: Mapping[str, Any] = field(default_factory=dict)
    changed: frozenset[str] = frozenset()  #: paths
    revision: int = 0
    locale: str = "en"
    http: HttpClient | None = None

    @property
    def config(self) -> Any:
        """The settings that are edited: the query's on a query form, else the connection's."""
        return self.connection if self.query is None else self.query


_FAILED = FormPatch(messages=(FieldMessage("", Key("promptd.form.failed")),))


class FormLogic(Generic[C, Q]):
    """The code behind a form. Each part is optional, works on drafts and never on what is stored."""

    async def options(self, source: str, draft: Draft[C, Q], search: str) -> list[Option]:
        """The choices of a field with `x-options: source`, narrowed by what was typed."""
        return []

    async def on_change(self, path: str, draft: Draft[C, Q]) -> FormPatch | None:
        """What else changes, now that the field at `path` has (fields with `x-on-change`)."""
        return None

    async def validate(self, draft: Draft[C, Q]) -> list[FieldMessage]:
        """Faults across fields, asked for on save after the schema's check."""
        return []

    async def action(self, name: str, draft: Draft[C, Q]) -> FormPatch | None:
        """A button was pressed."""
        return None


def read_draft(model: type[M], data: Mapping[str, Any], files: Mapping[str, StoredFile] | None = None) -> M:
    """The settings that a form's data stands for, as far as it can be read. Raises `PromptSerializationError`."""
    try:
        text = json.dumps(data, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError):
        text = b""
    return load(model, SerializedConfig(text, files=files or {}), LoadReport())


def public_data(config: BaseModel) -> dict[str, Any]:
    """What a form starts with: `data` with secrets as set or not set, and `secrets`, which says it by path."""
    return {"data": redact(config), "secrets": secret_states(config)}


def answering(patch: FormPatch, draft: Draft[Any, Any]) -> FormPatch:
    """`patch` as the answer to `draft`."""
    return replace(patch, revision=draft.revision)


async def ask(form: Form, answer: Awaitable[FormPatch | None], draft: Draft[Any, Any]) -> FormPatch:
    """What a callback of a form's logic answers to `draft`. One that raises, or answers nonsense, becomes a message.

    The message leaves what was entered as it is.
    """
    try:
        patch = await answer
    except (Exception, SystemExit):  # a stranger's code; whoever filled in the form must not lose it
        patch = _FAILED
    patch = FormPatch() if patch is None else patch
    return answering(_FAILED if check_patch(form, patch) else patch, draft)


def apply_patch(draft: Draft[C, Q], patch: FormPatch) -> Draft[C, Q]:
    """The draft with the values of the patch in it; an answer to an older revision changes nothing."""
    if patch.revision is not None and patch.revision < draft.revision:
        return draft
    data: Any = json.loads(json.dumps(draft.data))
    for path, value in patch.values.items():
        _put(data, parse(path), value)
    config = read_draft(type(draft.config), data, serialize(draft.config, 0).files)
    if draft.query is None:
        return replace(draft, connection=config, data=data)
    return replace(draft, query=config, data=data)


def check_patch(form: Form, patch: Any) -> list[FormProblem]:
    """What is wrong with a patch for `form`: fields that it does not have, values that are no JSON, a bad layout."""
    if not isinstance(patch, FormPatch):
        return [FormProblem("", "it is not a patch")]
    problems = []
    for path, value in patch.values.items():
        names = parse(path)
        if not names or at(form.schema, tuple(part for part in _named(names))) is None:
            problems.append(FormProblem("values", f"no such setting: {path[:120]}"))
        if not _is_json(value):
            problems.append(FormProblem("values", f"{path[:120]}: the value is no JSON"))
    for source, options in patch.options.items():
        if not all(isinstance(option, Option) and _is_json(option.value) for option in options):
            problems.append(FormProblem("options", f"{source[:60]}: not a list of options"))
    if not all(isinstance(message, FieldMessage) for message in patch.messages):
        problems.append(FormProblem("messages", "not a list of messages"))
    if patch.ui is not None:
        problems += check_form(Form(form.schema, patch.ui))
    return problems


def public_patch(
    patch: FormPatch, model: type[BaseModel], localizer: Localizer | None, locale: str, secrets: Iterable[str] = ()
) -> dict[str, Any]:
    """The patch as JSON for the screen: texts in the reader's language, nothing of the values of `secrets` in them.

    A value at a secret's place stays on the server.
    """
    known = list(secrets)

    def said(text: Text) -> str:
        return redact_text(resolve(text, localizer, locale), known)

    return {
        "revision": patch.revision,
        "values": {
            path: _redacted(value, known)
            for path, value in patch.values.items()
            if not _holds_secret(model, path, value)
        },
        "options": {
            source: [
                {
                    "value": _redacted(option.value, known),
                    "label": said(option.label) or _shown(_redacted(option.value, known)),
                    "description": said(option.description),
                    "group": redact_text(option.group, known),
                }
                for option in options
            ]
            for source, options in patch.options.items()
        },
        "messages": [
            {"path": message.path, "message": said(message.message), "level": message.level}
            for message in patch.messages
        ],
        "ui": None if patch.ui is None else _redacted(localise_layout(patch.ui, localizer, locale), known),
    }


def _holds_secret(model: type[BaseModel], path: str, value: Any) -> bool:
    outer: Any = value
    for part in reversed(parse(path) or ()):
        outer = {part: outer} if isinstance(part, str) else [*[None] * min(part, 1000), outer]
    return any(is_secret(types) for _, types, inner in places(candidates(model), outer) if inner is not None)


def _redacted(value: Any, secrets: list[str]) -> Any:
    if isinstance(value, dict):
        return {name: _redacted(inner, secrets) for name, inner in value.items()}
    if isinstance(value, list):
        return [_redacted(inner, secrets) for inner in value]
    return redact_text(value, secrets) if isinstance(value, str) else value


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _named(path: Path) -> Iterable[str]:
    """The names up to the first item of a list, which scopes do not lead into."""
    for part in path:
        if isinstance(part, int):
            return
        yield part


def _is_json(value: Any) -> bool:
    if too_deep(value):
        return False
    try:
        return bool(json.loads(json.dumps(value, allow_nan=False)) == value)
    except (TypeError, ValueError, RecursionError):
        return False


def _put(data: Any, path: Path | None, value: Any) -> None:
    """Set a value in the data; objects on the way are made, list items must be there."""
    if not path:
        return
    for part, following in pairwise(path):
        if isinstance(data, dict) and isinstance(part, str):
            if not isinstance(data.get(part), dict | list) and isinstance(following, str):
                data[part] = {}
            data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        else:
            return
    last = path[-1]
    if isinstance(data, dict) and isinstance(last, str):
        data[last] = value
    elif isinstance(data, list) and isinstance(last, int) and last <= len(data):
        data[last : last + 1] = [value]
