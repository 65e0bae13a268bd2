"""The table of operations on templates."""

from __future__ import annotations

from functools import partial

from promptd.core.identity import PROMPT_CREATE, TEMPLATE_EDIT, TEMPLATE_VIEW
from promptd.faces.native import templates as desk
from promptd.faces.native.operation import Operation
from promptd.faces.native.requests import IdempotencyKey, PageQuery
from promptd.faces.native.template_forms import (
    DiffView,
    FunctionView,
    NewGuards,
    NewLabel,
    NewPartial,
    NewRun,
    NewVersion,
    PartialList,
    PartialView,
    RunView,
    TemplatePage,
    TemplateView,
    TermsView,
    TestReport,
    VersionList,
    VersionView,
)
from promptd.faces.native.templates import DiffQuery, PageForm, ReferenceQuery, RunQuery
from promptd.faces.native.views import PromptView


def operations(base: str) -> tuple[Operation, ...]:
    """Everything about templates, below `base`."""
    templates, template = f"{base}/templates", f"{base}/templates/{{name}}"
    label = f"{template}/labels/{{label}}"
    viewing = partial(Operation, group="templates", permission=TEMPLATE_VIEW)
    editing = partial(Operation, group="templates", permission=TEMPLATE_EDIT)
    message = {"role": "user", "source": "Say {{ greeting }} to {{ name }}."}
    return (
        viewing(
            method="GET",
            path=templates,
            handler=desk.list_templates,
            summary="List templates by name",
            query=PageQuery,
            answers={200: TemplatePage},
        ),
        viewing(
            method="GET",
            path=f"{templates}/openapi.json",
            handler=desk.describe_templates,
            summary="The templates as OpenAPI operations, each with the schemas of its inputs and output",
            answers={200: "application/json"},
        ),
        viewing(
            method="GET",
            path=template,
            handler=desk.get_template,
            summary="Look a template up",
            answers={200: TemplateView},
        ),
        editing(
            method="DELETE",
            path=template,
            handler=desk.delete_template,
            summary="Delete a template with all its versions",
            answers={204: None},
            refusals=(409,),
        ),
        editing(
            method="POST",
            path=f"{template}/versions",
            handler=desk.save_version,
            summary="Save a new version; the template begins with its first one",
            body=NewVersion,
            example={"messages": [message], "label": "production"},
            answers={201: VersionView},
            refusals=(409, 500, 503),
        ),
        editing(
            method="POST",
            path=f"{template}/versions/check",
            handler=desk.check_version,
            summary="What a version would be as a function, or what is wrong with it; nothing is saved",
            body=NewVersion,
            example={"messages": [message]},
            answers={200: FunctionView},
            refusals=(409, 500, 503),
        ),
        editing(
            method="POST",
            path=f"{template}/versions/test",
            handler=desk.try_version,
            summary="Run the cases of a version without saving it",
            body=NewVersion,
            example={
                "messages": [message],
                "cases": [{"name": "a friend", "inputs": {"greeting": "hi", "name": "Ada"}}],
            },
            answers={200: TestReport},
            refusals=(409, 500, 503),
        ),
        viewing(
            method="GET",
            path=f"{template}/versions",
            handler=desk.list_versions,
            summary="The newest versions, the newest first",
            answers={200: VersionList},
        ),
        viewing(
            method="GET",
            path=f"{template}/version",
            handler=desk.get_version,
            summary="One version: by label, by number, or the one that runs",
            query=ReferenceQuery,
            answers={200: VersionView},
        ),
        viewing(
            method="GET",
            path=f"{template}/diff",
            handler=desk.diff_versions,
            summary="What changed between two versions",
            query=DiffQuery,
            answers={200: DiffView},
        ),
        editing(
            method="PUT",
            path=label,
            handler=desk.move_label,
            summary="Let a label point at a version, or at several by weight",
            body=NewLabel,
            example={"versions": [{"version": 1}]},
            answers={200: TemplateView},
            refusals=(409,),
        ),
        editing(
            method="DELETE",
            path=label,
            handler=desk.remove_label,
            summary="Take a label away",
            answers={200: TemplateView},
            refusals=(409,),
        ),
        editing(
            method="POST",
            path=f"{label}/rollback",
            handler=desk.roll_back_label,
            summary="Let a label point where it did before its last move",
            answers={200: TemplateView},
            refusals=(409,),
        ),
        editing(
            method="PUT",
            path=f"{template}/guards",
            handler=desk.guard_labels,
            summary="Labels that only a version may have whose cases pass",
            body=NewGuards,
            example={"labels": ["production"]},
            answers={200: TemplateView},
            refusals=(409,),
        ),
        Operation(
            method="POST",
            path=f"{template}/test",
            handler=desk.test_template,
            summary="Run the cases of a version",
            group="templates",
            permission=PROMPT_CREATE,
            query=ReferenceQuery,
            answers={200: TestReport},
        ),
        viewing(
            method="GET",
            path=f"{template}/function",
            handler=desk.get_function,
            summary="What goes in and what comes out, as JSON Schema",
            query=ReferenceQuery,
            answers={200: FunctionView},
            refusals=(409, 500, 503),
        ),
        viewing(
            method="GET",
            path=f"{template}/reference",
            handler=desk.get_reference,
            summary="What goes in and what comes out, as a page for people",
            query=PageForm,
            answers={200: "text/markdown"},
            also={200: "text/html"},
            refusals=(409, 500, 503),
        ),
        Operation(
            method="POST",
            path=f"{template}/run",
            handler=desk.run_template,
            summary="Run a template: its result, a receipt once `wait` is over, or a stream with `Accept: text/event-stream`",
            group="templates",
            permission=PROMPT_CREATE,
            query=RunQuery,
            body=NewRun,
            headers={"Idempotency-Key": IdempotencyKey},
            example={"inputs": {"greeting": "hello", "name": "Ada"}},
            answers={200: RunView, 202: PromptView},
            events=True,
            refusals=(404, 409, 413, 429, 500, 502, 503, 504),
        ),
        viewing(
            method="GET",
            path=f"{base}/partials",
            handler=desk.list_partials,
            summary="Texts that templates share",
            answers={200: PartialList},
        ),
        editing(
            method="PUT",
            path=f"{base}/partials/{{name}}",
            handler=desk.put_partial,
            summary="Save a text that templates share",
            body=NewPartial,
            example={"source": "Answer in one sentence."},
            answers={200: PartialView},
            refusals=(409,),
        ),
        editing(
            method="DELETE",
            path=f"{base}/partials/{{name}}",
            handler=desk.delete_partial,
            summary="Delete a text that templates share",
            answers={204: None},
        ),
        viewing(
            method="GET",
            path=f"{base}/terms",
            handler=desk.get_terms,
            summary="Values that all templates share",
            answers={200: TermsView},
        ),
        editing(
            method="PUT",
            path=f"{base}/terms",
            handler=desk.put_terms,
            summary="Replace the values that all templates share",
            body=TermsView,
            example={"values": {"company": "Example Ltd"}},
            answers={200: TermsView},
            refusals=(409,),
        ),
    )
