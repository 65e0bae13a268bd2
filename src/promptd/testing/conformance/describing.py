"""§6.26 to 6.36: descriptors, what is derived from them, and the checks of values."""

from __future__ import annotations

from typing import Any

from promptd.core.calls import Config, DescribeParams
from promptd.core.descriptors import (
    Checker,
    Param,
    check_value,
    fingerprint,
    input_schema,
    output_schema,
    rows,
    sample,
    screen,
)
from promptd.core.errors import InvalidInput, PromptExecutionError
from promptd.core.prompt_files import PromptFile
from promptd.testing.conformance.filling import secret
from promptd.testing.conformance.findings import said
from promptd.testing.conformance.subject import Subject, file_of


def check_descriptors(subject: Subject) -> None:
    """§6.26 to 6.29: pure, valid, and of one mind with the schema, the screen and the reference page."""
    for connection, query in _pairs(subject):
        before = connection.model_dump_json() + query.model_dump_json()
        for where in ("inputs", "outputs"):
            params = _described(subject, where, DescribeParams(connection=connection, query=query))
            if params is None:
                continue
            for locale in ("en", "de"):
                again = _described(subject, where, DescribeParams(connection=connection, query=query, locale=locale))
                same = again is not None and fingerprint(again) == fingerprint(params)
                subject.expect(same, 26, f"the same {where} for the same settings", "other ones")
            subject.expect(secret("one") not in repr(params), 9, f"no secret in the {where}", "one")
            with subject.guarded(28, f"schema, screen and page of the {where}"):
                _check_views(subject, where, params)
        after = connection.model_dump_json() + query.model_dump_json()
        subject.expect(after == before, 26, "settings that are only described to stay as they are", "they changed")


def _pairs(subject: Subject) -> list[tuple[Config, Config]]:
    connection, query = subject.kind.connection_config_class(), subject.kind.query_config_class()
    pairs: list[tuple[Config, Config]] = [(connection(), query()), (subject.connection, subject.query)]
    return pairs


def _described(subject: Subject, where: str, params: DescribeParams[Any, Any]) -> tuple[Param, ...] | None:
    try:
        return subject.described(where, params)
    except PromptExecutionError as error:
        subject.expect(False, 27, f"{where} that can be described", said(error))
    except Exception as error:  # a stranger's code; what it raised is the finding
        subject.expect(False, 27, f"{where} to be described without an exception", said(error))
    return None


def _check_views(subject: Subject, where: str, params: tuple[Param, ...]) -> None:
    names = [param.name for param in params]
    schema = input_schema(params) if where == "inputs" else output_schema(params)
    values = [param.name for param in params if param.kind != "file"]
    subject.expect(list(schema["properties"]) == values, 28, f"the schema to have the {where}", [*schema["properties"]])
    subject.expect([field.name for field in screen(params)] == names, 28, f"the screen to have the {where}")
    page = [row.path for row in rows(params) if "." not in row.path and "[]" not in row.path]
    subject.expect(page == names, 28, f"the reference page to have the {where}", page)
    made = sample(params, direction="input" if where == "inputs" else "output")
    files = {name: [file_of(file) for file in listed] for name, listed in made.files.items()}
    try:
        check_value(params, made.value, files, direction="input" if where == "inputs" else "output")
    except PromptExecutionError as error:
        subject.expect(
            False,
            28,
            f"a sample of the {where} to pass their own checks: give examples where one can't be guessed",
            error,
        )


def check_inputs(subject: Subject) -> None:
    """§6.33 to 6.35: the checks before a run refuse what the inputs do not allow."""
    with subject.guarded(33, "inputs to be described"):
        params = subject.inputs
        if not params:
            return
        made = sample(params)
        value = made.value if subject.samples.value is None else dict(subject.samples.value)
        files = {name: tuple(map(file_of, listed)) for name, listed in made.files.items()}
        files |= {name: tuple(listed) for name, listed in subject.samples.files.items()}
        checker = Checker(params)
        checker.check(value, files)
        for param in params:
            if param.required:
                _refused(subject, checker, param.name, _without(value, param.name), _without(files, param.name), 33)
        _refused(subject, checker, "conformance_unknown", value | {"conformance_unknown": 1}, files, 34)
        optional = {param.name for param in params if not param.required and not _has_default(param)}
        least = checker.check(
            {name: one for name, one in value.items() if name not in optional},
            {name: one for name, one in files.items() if name not in optional},
        )
        subject.expect(
            not optional & set(least.value), 35, "absent optional inputs to stay absent", sorted(least.value)
        )


def _has_default(param: Param) -> bool:
    return not isinstance(param.default, type(Param("x").default))


def _without(values: dict[str, Any], name: str) -> dict[str, Any]:
    return {other: one for other, one in values.items() if other != name}


def _refused(
    subject: Subject,
    checker: Checker,
    name: str,
    value: dict[str, Any],
    files: dict[str, tuple[PromptFile, ...]],
    statement: int,
) -> None:
    try:
        checker.check(value, files)
    except InvalidInput as error:
        subject.expect(error.field == name, statement, f"a refusal that names {name}", error.field)
        return
    subject.expect(False, statement, f"inputs with a fault at {name} to be refused", "they were taken")
