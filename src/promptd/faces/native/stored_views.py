"""Stored connections as the native API takes and shows them."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from promptd.core.configs import LoadReport, redact, secret_states
from promptd.core.connections import sealed_mark
from promptd.core.engine import Engine
from promptd.core.localisation import resolve
from promptd.faces.native.requests import When
from promptd.faces.native.show import rfc3339
from promptd.faces.native.views import Time
from promptd.service.connection_tests import Tested, localizer_of
from promptd.service.known_connections import Known, State

EXPORT: Final = "promptd.connection/1"

_Name = Annotated[str, Meta(min_length=1, max_length=128)]
_Description = Annotated[str, Meta(max_length=4000)]
_Slots = Annotated[int, Meta(ge=1, le=10_000, description="prompts that run on it at once")]
_Config = Annotated[
    dict[str, Any],
    Meta(
        description='the type\'s own settings; a blank secret, or `{"$secret": …}`, means the stored one, '
        '`{"$upload": "<id of a file>"}` is a new file'
    ),
]
_Clear = Annotated[
    tuple[Annotated[str, Meta(min_length=1, max_length=500)], ...],
    Meta(max_length=100, description="paths of secrets to be emptied"),
]


class NewConnection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A connection to save. What `config` leaves out has its default."""

    name: _Name
    engine: Annotated[str, Meta(min_length=1, max_length=120, description="a type of `GET /promptd/v1/plugins`")]
    description: _Description = ""
    slots: _Slots = 4
    config: _Config = field(default_factory=dict)


class EditConnection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be different. `changed_at` is that of the connection which the change is based on; `config` replaces all
    settings but secrets."""

    changed_at: When
    name: _Name | UnsetType = UNSET
    description: _Description | UnsetType = UNSET
    slots: _Slots | UnsetType = UNSET
    config: _Config | UnsetType = UNSET
    clear: _Clear = ()


class RestoreConnection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`changed_at` is that of the connection whose settings are exchanged with those before the last save."""

    changed_at: When


class TestSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings to test as they are; nothing of them is stored. Blank secrets are those of the stored `connection`."""

    __test__ = False

    engine: Annotated[str, Meta(min_length=1, max_length=120)]
    config: _Config = field(default_factory=dict)
    clear: _Clear = ()
    connection: Annotated[str, Meta(max_length=200, description="id or name of a stored connection")] | None = None


class LoadIssueView(Struct, frozen=True):
    """One thing that did not load as it was stored; at the settings as a whole where `path` is empty."""

    kind: str
    path: str
    message: str


class LoadReportView(Struct, frozen=True):
    """How the stored settings were read; `more` issues are not shown. A save makes the losses final."""

    status: Literal["clean", "adjusted", "incomplete", "unreadable"]
    issues: tuple[LoadIssueView, ...]
    more: int


class TestNoteView(Struct, frozen=True):
    """How the last test of the stored settings ended."""

    __test__ = False

    ok: bool
    message: str
    time: Time


class StoredConnectionView(Struct, frozen=True):
    """A connection that was saved. Secrets of its `config` are `{"$secret": "<path>"}` where they are set. It is `served`
    while it can be used; else `state` and `problem` say why not: its type may not be installed (`unavailable`), its settings
    may raise when they are read (`unusable`)."""

    id: str
    name: str
    engine: str
    description: str
    slots: int
    state: State
    problem: str
    served: bool
    config: dict[str, Any] | None
    secrets: Annotated[dict[str, bool], Meta(description="path of each secret → whether it is set")]
    report: LoadReportView | None
    tested: TestNoteView | None
    backup: Annotated[bool, Meta(description="whether there are settings from before the last save")]
    user: str
    created_at: Time
    changed_at: Time


class ExportView(Struct, frozen=True):
    """A connection for elsewhere, without its secrets. Where its type is not installed nobody can tell what is a secret:
    `config` is then `{"$sealed": …}`, the settings as they lie in the store, under the vault's key."""

    format: str
    name: str
    engine: str
    description: str
    slots: int
    version: int | None
    config: dict[str, Any]
    secrets: dict[str, bool]
    files: tuple[str, ...]


class TestLineView(Struct, frozen=True):
    """One step of a test."""

    __test__ = False

    ok: bool
    text: str


class TestedView(Struct, frozen=True):
    """How a test went. `discovered` are choices for the form, by the name of their source."""

    __test__ = False

    ok: bool
    message: str
    models: tuple[str, ...]
    checks: tuple[TestLineView, ...]
    discovered: dict[str, Any]


def stored_view(known: Known, locale: str) -> StoredConnectionView:
    record = known.record
    config, secrets, problem = shown_settings(known)
    note = record.tested
    return StoredConnectionView(
        record.id,
        record.name,
        record.engine,
        record.description,
        record.slots,
        known.state,
        problem,
        known.lane is not None,
        config,
        secrets,
        report_view(known.report, known.engine, locale),
        None if note is None else TestNoteView(note.ok, note.message, rfc3339(note.time)),
        record.backup is not None,
        record.user,
        _exactly(record.created),
        _exactly(record.changed),
    )


def _exactly(milliseconds: float) -> str:
    """A time that comes back as what it was: of whole milliseconds, a float may lie a little below."""
    return rfc3339(milliseconds + 0.0001)


def shown_settings(known: Known) -> tuple[dict[str, Any] | None, dict[str, bool], str]:
    """The settings without their secrets, which of those are set, and why there is nothing to show."""
    if known.config is None:
        return None, {}, known.problem
    try:
        return redact(known.config), secret_states(known.config), known.problem
    except Exception as error:  # the author's own serialisers run in there
        return None, {}, f"the settings can't be shown ({type(error).__name__})"


def report_view(report: LoadReport | None, engine: Engine[Any, Any] | None, locale: str) -> LoadReportView | None:
    """What there is to say about reading stored settings; None where there are none."""
    if report is None or engine is None:
        return None
    localizer = localizer_of(engine)
    issues = tuple(
        LoadIssueView(issue.kind, issue.path, resolve(issue.message, localizer, locale)) for issue in report.issues
    )
    return LoadReportView(report.status, issues, report.more)


def tested_view(tested: Tested) -> TestedView:
    checks = tuple(TestLineView(line.ok, line.text) for line in tested.checks)
    return TestedView(tested.ok, tested.message, tested.models, checks, tested.discovered)


def export_view(known: Known) -> ExportView:
    record = known.record
    config, secrets, _ = shown_settings(known)
    if config is None:
        config = sealed_mark(record.settings)
    files = tuple(sorted(file.filename for file in record.settings.files.values()))
    return ExportView(
        EXPORT,
        record.name,
        record.engine,
        record.description,
        record.slots,
        record.settings.version,
        config,
        secrets,
        files,
    )
