"""The check of a draft before it is saved: the schema, the model, and what is required and shown."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final

import jsonschema_rs
from pydantic import BaseModel, ValidationError

from promptd.core.configs import redact_text
from promptd.core.configs.files import FILES, StoredFile
from promptd.core.configs.loading import locate
from promptd.core.configs.paths import Path, spell, too_deep
from promptd.core.configs.problems import from_keyword, from_pydantic, invalid
from promptd.core.configs.requiring import is_empty
from promptd.core.configs.shapes import candidates, is_secret, places
from promptd.core.forms.drafts import FieldMessage
from promptd.core.forms.form import Form
from promptd.core.forms.visibility import missing_required, validator
from promptd.core.localisation import Localizer, Text, resolve

MAX_MESSAGES: Final = 100
_CHOOSING: Final = ("anyOf", "oneOf", "allOf", "not", "if")


def validate_draft(
    form: Form,
    model: type[BaseModel],
    data: Mapping[str, Any],
    *,
    localizer: Localizer | None = None,
    locale: str = "en",
    files: Mapping[str, StoredFile] | None = None,
) -> list[FieldMessage]:
    """All that forbids to save `data`, in the reader's language; an empty list if nothing does.

    `data` has its secrets in it (`merge_secrets`) and its files by slot in `files`. Nothing of a secret is in a message.
    """
    if too_deep(data):
        return [FieldMessage("", resolve(invalid("depth"), localizer, locale))]
    faults: dict[Path, Text] = {}
    unclear: dict[Path, Text] = {}  # at a choice between alternatives; the model often knows better what is wrong
    for path, keyword, wanted in islice(_schema_faults(form, data), MAX_MESSAGES):
        (unclear if keyword in _CHOOSING else faults).setdefault(path, from_keyword(keyword, wanted))
    for path, text in _model_faults(model, data, files or {}):
        if not any(_related(path, other) for other in faults):
            faults[path] = text
    for path, text in unclear.items():
        if not any(_related(path, other) for other in faults):
            faults[path] = text
    spelled = {spell(path): text for path, text in faults.items()}
    for required in missing_required(form, data):
        spelled[required] = invalid("required")
    messages = [FieldMessage(path, resolve(text, localizer, locale)) for path, text in spelled.items()]
    return messages[:MAX_MESSAGES]


def _schema_faults(form: Form, data: Mapping[str, Any]) -> Iterator[tuple[Path, str, Any]]:
    try:
        for error in validator(form.schema).iter_errors(data):
            path: Path = tuple(error.instance_path)
            keyword = error.kind.name
            wanted = getattr(error.kind, "value", None)
            if keyword == "additionalProperties" and isinstance(wanted, list):
                for name in wanted:
                    yield (*path, name), keyword, None
            else:
                yield (*path, wanted) if keyword == "required" and isinstance(wanted, str) else path, keyword, wanted
    except (ValueError, jsonschema_rs.ReferencingError):  # nested beyond the validator's bound
        yield (), "depth", None


def _model_faults(
    model: type[BaseModel], data: Mapping[str, Any], files: Mapping[str, StoredFile]
) -> Iterator[tuple[Path, Text]]:
    try:
        text = json.dumps(data, allow_nan=False)
        model.model_validate_json(text, context={FILES: files}, by_alias=False, by_name=True)
    except ValidationError as error:
        for one in error.errors(include_url=False, include_input=False):
            path = locate(model, data, one["loc"])
            yield path, _said(model, data, path, one)
    except Exception:  # an author's validator may raise anything
        yield (), invalid()


def _said(model: type[BaseModel], data: Mapping[str, Any], path: Path, error: Mapping[str, Any]) -> Text:
    """The author's own words where a validator of theirs says no, unless it looked at a secret."""
    cause = (error.get("ctx") or {}).get("error")
    if error.get("type") not in ("value_error", "assertion_error") or not isinstance(cause, Exception):
        return from_pydantic(error)
    try:
        secrets = {where: value for where, types, value in places(candidates(model), data) if is_secret(types)}
        if any(where[: len(path)] == path or path[: len(where)] == where for where in secrets if path):
            return invalid()
        words = [str(value) for value in secrets.values() if not is_empty(value)]
        return redact_text(str(cause)[:300], words) or invalid()
    except Exception:  # the author's exception may fail to say anything
        return invalid()


def _related(one: Path, other: Path) -> bool:
    """Whether one place is the other, or inside it."""
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]
