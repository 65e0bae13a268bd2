"""§6.7 to 6.13: forms, their secrets, and the logic behind them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from pydantic import BaseModel

from promptd.core.calls import Config
from promptd.core.configs import merge_secrets, secret_paths, secret_states, secret_values, serialize
from promptd.core.configs.shapes import candidates, is_model
from promptd.core.errors import PromptdError
from promptd.core.forms import (
    Draft,
    FieldMessage,
    Form,
    FormContext,
    FormLogic,
    Option,
    check_form,
    check_patch,
    form_keys,
    localise,
    missing_required,
    public_data,
    read_draft,
    validate_draft,
)
from promptd.testing.conformance.filling import filled, secret
from promptd.testing.conformance.findings import said
from promptd.testing.conformance.subject import Subject, answered
from promptd.testing.fake_http import FAILURES, FakeHttp

_SECRET_NAMES: Final = ("password", "passphrase", "secret", "api_key", "apikey", "token", "private_key")
_STATEMENT: Final = {"connection": 7, "query": 8}


def check_forms(subject: Subject) -> None:
    """§6.7, 6.8: both forms can be shown, for empty settings and for settings that are there."""
    for which in ("connection", "query"):
        form = form_of(subject, which)
        if form is None:
            continue
        problems = check_form(form)
        named = "; ".join(f"{one.path or 'form'}: {one.reason}" for one in problems[:5])
        if not subject.expect(not problems, _STATEMENT[which], f"{which}_form to be a form that can be shown", named):
            continue
        _check_keys(subject, form, which)
        model: type[Config] = getattr(subject.kind, f"{which}_config_class")()
        others = set(form.schema.get("properties", {})) - set(model.model_fields)
        subject.expect(
            not others, _STATEMENT[which], f"{which}_form to have settings of {model.__name__}", sorted(others)
        )


def form_of(subject: Subject, which: str) -> Form | None:
    """The form, as the host asks for it; None where it raises."""
    context = FormContext(
        type_id=subject.kind.type_id,
        object_id="examination",
        connection=subject.connection if which == "query" else None,
    )
    made: list[Form] = []
    with subject.guarded(_STATEMENT[which], f"{which}_form not to raise"):
        made.append(getattr(subject.engine, f"{which}_form")(context))
    return made[0] if made else None


def _check_keys(subject: Subject, form: Form, which: str) -> None:
    with subject.guarded(6, f"the texts of {which}_form"):
        localizer = subject.engine.localizer()
        missing = localizer.missing_keys(form_keys(form)) if localizer is not None else []
        subject.expect(not missing, 6, f"texts for {which}_form in the default locale", f"none for {missing[:10]}")
        localise(form, localizer, "de-AT")


def check_secrets(subject: Subject) -> None:
    """§6.9, 6.10: secrets are known as such, never shown, kept when a form leaves them blank, and cleared when asked."""
    for which in ("connection", "query"):
        model: type[Config] = getattr(subject.kind, f"{which}_config_class")()
        for path in _plain_secrets(model):
            subject.expect(False, 9, f"{path} to be a SecretStr, by its name", "a plain text, which is shown")
        with subject.guarded(9, f"secrets of the {which} to be handled"):
            config = filled(model, "hidden")
            if not secret_paths(model):
                continue
            form = form_of(subject, which)
            shown = {
                "the form's data": json.dumps(public_data(config)),
                "str()": f"{config} {config!r}",
                "its JSON": config.model_dump_json(),
                "the form": "" if form is None else json.dumps([form.schema, form.ui]),
            }
            for place, text in shown.items():
                hidden = all(value not in text for value in secret_values(config))
                subject.expect(hidden, 9, f"no secret of the {which} in {place}", "one")
            _check_blank(subject, model, config, which)


def _plain_secrets(model: type[BaseModel], path: str = "", above: tuple[Any, ...] = ()) -> Iterator[str]:
    for name, field in model.model_fields.items():
        where = f"{path}.{name}" if path else name
        types = candidates(field.annotation)
        if str in types and any(name == one or name.endswith(f"_{one}") for one in _SECRET_NAMES):
            yield where
        for inner in types:
            if is_model(inner) and inner not in above:
                yield from _plain_secrets(inner, where, (*above, model))


def _check_blank(subject: Subject, model: type[Config], config: Config, which: str) -> None:
    data = public_data(config)["data"]
    states = [path for path, is_set in secret_states(config).items() if is_set]
    files = serialize(config, 1).files
    kept = read_draft(model, merge_secrets(model, data, config), files)
    subject.expect(
        secret_values(kept) == secret_values(config), 10, f"a form that is sent back keeps the {which}'s secrets"
    )
    cleared = read_draft(model, merge_secrets(model, data, config, clear=states), files)
    subject.expect(not secret_values(cleared), 10, f"cleared secrets of the {which} to be gone", "some are there")


async def check_callbacks(subject: Subject) -> None:
    """§6.11 to 6.13: what is behind a form answers to drafts, whatever is in them."""
    for which in ("connection", "query"):
        form = form_of(subject, which)
        logic = None
        with subject.guarded(11, f"{which}_form_logic not to raise"):
            logic = getattr(subject.engine, f"{which}_form_logic")()
        if form is None or check_form(form):
            continue
        for draft in _drafts(subject, which):
            with subject.guarded(13, f"the {which}'s draft to be judged"):
                missing_required(form, draft.data)
                validate_draft(form, type(draft.config), draft.data, files=serialize(draft.config, 1).files)
            if logic is not None:
                await _ask(subject, form, logic, draft, which)


def _drafts(subject: Subject, which: str) -> Iterator[Draft[Any, Any]]:
    connection = subject.kind.connection_config_class()
    edited = connection if which == "connection" else subject.kind.query_config_class()
    for config in (edited(), filled(edited)):
        for reply in (FAILURES["refused"], FAILURES["broken"]):
            data = json.loads(serialize(config, 1).data)
            on = subject.connection if which == "query" else config
            query = config if which == "query" else None
            yield Draft(connection=on, query=query, data=data, revision=1, http=FakeHttp(reply))


async def _ask(subject: Subject, form: Form, logic: FormLogic[Any, Any], draft: Draft[Any, Any], which: str) -> None:
    asked: list[tuple[str, Any]] = [
        *((f"options({source!r})", (logic.options, source, draft, "")) for source in _hinted(form, "x-options")),
        *((f"on_change({path!r})", (logic.on_change, path, draft)) for path in _changing(form)),
        *((f"action({name!r})", (logic.action, name, draft)) for name in _buttons(form.ui) if name != "test"),
        ("validate()", (logic.validate, draft)),
    ]
    for name, (method, *arguments) in asked:
        try:
            answer = await answered(method, *arguments)
        except PromptdError:
            continue  # its message is shown, and the draft stays
        except Exception as error:  # a stranger's code; what it raised is the finding
            subject.expect(False, 12, f"{name} of the {which}'s form to survive a draft", said(error))
            continue
        problem = _problem(form, name, answer)
        subject.expect(not problem, 11, f"{name} of the {which}'s form to answer as promised", problem)
        hidden = secret("one") not in repr(answer)
        subject.expect(hidden, 9, f"no secret in what {name} of the {which}'s form answers", "one")


def _problem(form: Form, name: str, answer: Any) -> str:
    if name.startswith("options"):
        fits = isinstance(answer, list) and all(isinstance(one, Option) for one in answer)
        return "" if fits else "no list of Option"
    if name == "validate()":
        fits = isinstance(answer, list) and all(isinstance(one, FieldMessage) for one in answer)
        return "" if fits else "no list of FieldMessage"
    problems = check_patch(form, answer) if answer is not None else []
    return "; ".join(one.reason for one in problems)


def _nodes(form: Form) -> Iterator[tuple[str, dict[str, Any]]]:
    for owner in (form.schema, *(form.schema.get("$defs") or {}).values()):
        for name, node in (owner.get("properties") or {}).items():
            if isinstance(node, dict):
                yield name, node


def _hinted(form: Form, hint: str) -> list[str]:
    return list(dict.fromkeys(str(node[hint]) for _, node in _nodes(form) if node.get(hint)))


def _changing(form: Form) -> list[str]:
    return [
        name
        for name, node in (form.schema.get("properties") or {}).items()
        if isinstance(node, dict) and node.get("x-on-change")
    ]


def _buttons(ui: dict[str, Any]) -> Iterator[str]:
    if ui.get("type") == "Button":
        yield ui["action"]
    for child in ui.get("elements", ()):
        yield from _buttons(child)
