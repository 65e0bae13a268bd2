"""Templates in the native API: what it takes and shows of them."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, field

from promptd.core.descriptors import Param
from promptd.core.errors import InvalidRequest
from promptd.core.model import Mode, Output, Prompt
from promptd.core.parameters import Parameters
from promptd.core.rendering import Dialect
from promptd.core.template import Case, Draft, LabelMove, MessageSource, Partial, Share, Template, TemplateVersion
from promptd.faces.native.requests import FileId, Label, LabelValue
from promptd.faces.native.show import file_views, prompt_view, rfc3339, usage_view, use_view
from promptd.faces.native.views import FileView, PromptView, Time, UsageView, UseView
from promptd.service.functions import Function, Options

LabelName = Annotated[str, Meta(min_length=1, max_length=64, description="`production`, `staging` or one of your own")]
Number = Annotated[int, Meta(ge=1, description="number of a version")]


class NewVersion(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A version of a template. Either `messages`, which are rendered with the inputs and asked of `model`; or `connection`
    and `settings`, a query of that connection's engine. `inputs` that are not declared follow from the messages. `terms` are
    values for what a caller leaves out. `cases` are examples that tests run. `label` is moved to the new version."""

    messages: Annotated[tuple[MessageSource, ...], Meta(max_length=100)] = ()
    dialect: Dialect = Dialect.MINIJINJA
    model: str | None = None
    parameters: Parameters = Parameters()
    connection: str | None = None
    settings: dict[str, Any] | None = None
    inputs: tuple[Param, ...] | None = None
    terms: dict[str, Any] = field(default_factory=dict)
    output: Output = Output()
    description: Annotated[str, Meta(max_length=10_000)] = ""
    callable: bool = False
    cases: Annotated[tuple[Case, ...], Meta(max_length=100)] = ()
    metadata: dict[str, Any] = field(default_factory=dict)
    note: Annotated[str, Meta(max_length=1000)] = ""
    label: LabelName | None = None

    def draft(self) -> Draft:
        """Without the settings of a query, which its engine has to read first. Raises `InvalidRequest`."""
        if (self.connection is None) != (self.settings is None):
            raise InvalidRequest(field="settings", expected="settings and a connection, or neither")
        if self.connection is not None and self.messages:
            raise InvalidRequest(field="messages", expected="none, because a connection's query is asked")
        return Draft(
            messages=self.messages,
            dialect=self.dialect,
            model=self.model,
            parameters=self.parameters,
            connection=self.connection,
            inputs=self.inputs,
            terms=self.terms,
            output=self.output,
            description=self.description,
            callable=self.callable,
            cases=self.cases,
            metadata=self.metadata,
        )


class ShareView(Struct, frozen=True, forbid_unknown_fields=True):
    """A version that a label points at, and its part of the runs."""

    version: Number
    weight: Annotated[float, Meta(gt=0, lt=1_000_000)] = 1.0

    def share(self) -> Share:
        return Share(self.version, self.weight)


class NewLabel(Struct, frozen=True, forbid_unknown_fields=True):
    """Where a label points: at one version, or at several that share the runs by weight."""

    versions: Annotated[tuple[ShareView, ...], Meta(min_length=1, max_length=20)]


class NewGuards(Struct, frozen=True, forbid_unknown_fields=True):
    """Labels that only a version may have whose cases pass."""

    labels: Annotated[tuple[LabelName, ...], Meta(max_length=20)]


class NewPartial(Struct, frozen=True, forbid_unknown_fields=True):
    """A text that templates share."""

    source: Annotated[str, Meta(max_length=1_000_000)]


class TermsView(Struct, frozen=True, forbid_unknown_fields=True):
    """Values that all templates share."""

    values: dict[str, Any]


class NewRun(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A run of a template: a value per input, and ids of uploads for inputs that are files."""

    inputs: dict[str, Any] = field(default_factory=dict)
    files: dict[str, Annotated[tuple[FileId, ...], Meta(max_length=32)]] = field(default_factory=dict)
    label: LabelName | None = None
    version: Number | None = None
    model: str | None = None
    repair: Annotated[int, Meta(ge=0, le=3)] | None = None
    locale: Annotated[str, Meta(max_length=35)] = "en"
    priority: Annotated[int, Meta(ge=-100, le=100)] = 0
    metadata: Annotated[dict[Label, LabelValue], Meta(max_length=64)] = field(default_factory=dict)

    def options(self, mode: Mode = Mode.QUEUED) -> Options:
        return Options(
            label=self.label,
            number=self.version,
            model=self.model,
            repair=self.repair,
            locale=self.locale,
            mode=mode,
        )


# ---------------------------------------------------------------- views


class MoveView(Struct, frozen=True):
    """A label was set, or taken away where it points at nothing."""

    label: str
    versions: tuple[ShareView, ...]
    at: Time
    user: str


class TemplateView(Struct, frozen=True):
    """A template and where its labels point. `moves` are the last ones, oldest first."""

    name: str
    created_at: Time
    changed_at: Time
    user: str
    latest: int
    labels: dict[str, tuple[ShareView, ...]]
    guarded: tuple[str, ...]
    moves: tuple[MoveView, ...]


class TemplatePage(Struct, frozen=True):
    items: tuple[TemplateView, ...]
    after: str | None


class VersionView(Struct, frozen=True):
    """A version, which never changes. `settings` are what the form of a query holds, `{"$secret": "<path>"}` in place of
    each secret, or `{"$sealed": …}` where they can't be read, because their type is not installed or the vault's key is
    another one; only those who may write templates see them. `fault` says why it can't run, where something is wrong with
    it."""

    template: str
    version: int
    created_at: Time
    user: str
    note: str
    messages: tuple[MessageSource, ...]
    dialect: Dialect
    model: str | None
    parameters: Parameters
    connection: str | None
    settings: dict[str, Any] | None
    inputs: tuple[Param, ...] | None
    terms: dict[str, Any]
    output: Output
    description: str
    callable: bool
    cases: tuple[Case, ...]
    metadata: dict[str, Any]
    fault: str


class VersionList(Struct, frozen=True):
    """The newest first."""

    items: tuple[VersionView, ...]


class FunctionView(Struct, frozen=True):
    """What goes into a template and what comes out, as JSON Schema 2020-12."""

    name: str
    version: int
    description: str
    inputs: tuple[Param, ...]
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]


class DiffView(Struct, frozen=True):
    """A unified diff of two versions."""

    diff: str


class PartialView(Struct, frozen=True):
    name: str
    source: str
    changed_at: Time
    user: str


class PartialList(Struct, frozen=True):
    items: tuple[PartialView, ...]


class RunView(Struct, frozen=True):
    """The result of a run. `value` is the object that was promised, `text` what the model said; `outputs` are files by name."""

    id: str
    template: UseView
    text: str
    value: Any
    outputs: dict[str, tuple[FileView, ...]]
    warnings: tuple[str, ...]
    finish_reason: str
    usage: UsageView
    model: str


class CaseView(Struct, frozen=True):
    """How an example went; `failures` names each assertion that does not hold."""

    name: str
    passed: bool
    failures: tuple[str, ...]
    prompt: str | None


class TestReport(Struct, frozen=True):
    template: str
    version: int
    passed: bool
    cases: tuple[CaseView, ...]


def template_view(template: Template) -> TemplateView:
    return TemplateView(
        template.name,
        rfc3339(template.created),
        rfc3339(template.changed),
        template.user,
        template.latest,
        {label: _shares(shares) for label, shares in template.labels.items()},
        template.guarded,
        tuple(map(_move, template.moves)),
    )


def version_view(version: TemplateVersion, settings: dict[str, Any] | None = None) -> VersionView:
    draft = version.draft
    return VersionView(
        version.template,
        version.number,
        rfc3339(version.created),
        version.user,
        version.note,
        draft.messages,
        draft.dialect,
        draft.model,
        draft.parameters,
        draft.connection,
        settings,
        draft.inputs,
        draft.terms,
        draft.output,
        draft.description,
        draft.callable,
        draft.cases,
        draft.metadata,
        draft.fault,
    )


def function_view(function: Function) -> FunctionView:
    version = function.version
    return FunctionView(
        version.template,
        version.number,
        version.draft.description,
        function.inputs,
        function.input_schema(),
        function.output_schema(),
    )


def partial_view(partial: Partial) -> PartialView:
    return PartialView(partial.name, partial.source, rfc3339(partial.changed), partial.user)


def run_view(prompt: Prompt) -> RunView | PromptView:
    """The result, or the prompt as it stands where there is none yet."""
    answer, use = prompt.answer, prompt.request.template
    if answer is None or use is None:
        return prompt_view(prompt)
    return RunView(
        prompt.id,
        use_view(use),
        answer.text,
        answer.value,
        {name: file_views(files) for name, files in answer.outputs.items()},
        answer.warnings,
        answer.finish_reason,
        usage_view(answer.usage),
        prompt.model,
    )


def _shares(shares: tuple[Share, ...]) -> tuple[ShareView, ...]:
    return tuple(ShareView(share.number, share.weight) for share in shares)


def _move(move: LabelMove) -> MoveView:
    return MoveView(move.label, _shares(move.shares), rfc3339(move.time), move.user)


def plain(value: Struct) -> dict[str, Any]:
    """A struct as JSON data."""
    found: dict[str, Any] = msgspec.to_builtins(value)
    return found
