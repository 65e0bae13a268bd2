"""The one table of the native API."""

from __future__ import annotations

from typing import Final

from promptd.core.identity import (
    METRICS_VIEW,
    MODEL_EDIT,
    MODEL_VIEW,
    PROMPT_CREATE,
    PROMPT_DELETE,
    PROMPT_EDIT,
    PROMPT_STREAM,
    PROMPT_VIEW,
)
from promptd.faces import Reloaded
from promptd.faces.native import (
    catalogue,
    chains,
    downloads,
    files,
    forms,
    guards,
    keys,
    plugins,
    prompts,
    server,
    stored_connections,
    template_routes,
    usage,
)
from promptd.faces.native.operation import Operation
from promptd.faces.native.requests import (
    EventsQuery,
    IdempotencyKey,
    LastEventId,
    MessagesQuery,
    NewPrompt,
    NewTicket,
    PromptsQuery,
    PruneOrder,
    SubmitQuery,
)
from promptd.faces.native.views import (
    AttemptList,
    CallerView,
    CheckView,
    ConnectionList,
    MessagePage,
    ModelList,
    ModelView,
    PromptPage,
    PromptView,
    Pruned,
    StatusView,
    ThreadView,
    TicketView,
)

BASE: Final = "/promptd/v1"
_LAST_EVENT_ID = {"Last-Event-ID": LastEventId}
_ENGINE_REFUSALS = (409, 413, 422, 429, 500, 502, 504)  # whatever an engine may say when it starts or stops


def table(*, open_metrics: bool = False) -> tuple[Operation, ...]:
    """Every operation of the native API."""
    return (
        *_PROMPTS,
        *usage.operations(BASE),
        *files.operations(BASE),
        *template_routes.operations(BASE),
        *chains.operations(BASE),
        *_THREADS,
        *_MODELS,
        *plugins.operations(BASE),
        *forms.operations(BASE),
        *stored_connections.operations(BASE),
        *catalogue.operations(BASE),
        *downloads.operations(BASE),
        *_KEYS,
        *guards.operations(BASE),
        *_server(open_metrics),
        *_DOCUMENTS,
    )


_PROMPTS: Final = (
    Operation(
        method="POST",
        path=f"{BASE}/prompts",
        handler=prompts.submit_prompt,
        summary="Submit a prompt: a receipt at once, the answer with `wait`, or a stream with `Accept: text/event-stream`",
        group="prompts",
        permission=PROMPT_CREATE,
        query=SubmitQuery,
        body=NewPrompt,
        headers={"Idempotency-Key": IdempotencyKey},
        example={"prompt": "Say hello.", "parameters": {"max_tokens": 50}},
        answers={200: PromptView, 202: PromptView},
        events=True,
        refusals=(404, 409, 429),
    ),
    Operation(
        method="GET",
        path=f"{BASE}/prompts",
        handler=prompts.list_prompts,
        summary="List your prompts; admins list everybody's, without their text",
        group="prompts",
        permission=PROMPT_VIEW,
        query=PromptsQuery,
        answers={200: PromptPage},
    ),
    Operation(
        method="POST",
        path=f"{BASE}/prompts/prune",
        handler=prompts.prune_prompts,
        summary="Delete old final prompts, or count them",
        group="prompts",
        admin=True,
        body=PruneOrder,
        example={"rules": [{"status": "completed", "older_than_seconds": 604800}], "dry_run": True},
        answers={200: Pruned},
    ),
    Operation(
        method="GET",
        path=f"{BASE}/prompts/{{id}}",
        handler=prompts.get_prompt,
        summary="Look a prompt up",
        group="prompts",
        permission=PROMPT_VIEW,
        answers={200: PromptView},
    ),
    Operation(
        method="DELETE",
        path=f"{BASE}/prompts/{{id}}",
        handler=prompts.delete_prompt,
        summary="Delete a final prompt and its attempts",
        group="prompts",
        permission=PROMPT_DELETE,
        answers={204: None},
        refusals=(409,),
    ),
    Operation(
        method="GET",
        path=f"{BASE}/prompts/{{id}}/attempts",
        handler=prompts.list_attempts,
        summary="The ledger of a prompt",
        group="prompts",
        permission=PROMPT_VIEW,
        answers={200: AttemptList},
    ),
    Operation(
        method="GET",
        path=f"{BASE}/prompts/{{id}}/events",
        handler=prompts.follow_prompt,
        summary="Follow a prompt: what is there at once, then as it comes. 204 where nothing more will come",
        group="prompts",
        permission=PROMPT_STREAM,
        query=EventsQuery,
        headers=_LAST_EVENT_ID,
        ticket=True,
        events=True,
        answers={204: None},
    ),
    Operation(
        method="POST",
        path=f"{BASE}/prompts/{{id}}/cancel",
        handler=prompts.cancel_prompt,
        summary="Stop a prompt, whatever it is doing",
        group="prompts",
        permission=PROMPT_EDIT,
        answers={200: PromptView},
        refusals=(409,),
    ),
    Operation(
        method="POST",
        path=f"{BASE}/prompts/{{id}}/retry",
        handler=prompts.retry_prompt,
        summary="Start an errored, abandoned or canceled prompt afresh",
        group="prompts",
        permission=PROMPT_EDIT,
        answers={202: PromptView},
        refusals=(409,),
    ),
)

_THREADS: Final = (
    Operation(
        method="GET",
        path=f"{BASE}/threads/{{id}}",
        handler=prompts.get_thread,
        summary="Look a thread up",
        group="threads",
        permission=PROMPT_VIEW,
        answers={200: ThreadView},
    ),
    Operation(
        method="GET",
        path=f"{BASE}/threads/{{id}}/messages",
        handler=prompts.list_messages,
        summary="The messages of a thread, for its members",
        group="threads",
        permission=PROMPT_VIEW,
        query=MessagesQuery,
        answers={200: MessagePage},
    ),
    Operation(
        method="GET",
        path=f"{BASE}/threads/{{id}}/events",
        handler=prompts.follow_thread,
        summary="Follow the prompts of a thread in turn; the stream stays open",
        group="threads",
        permission=PROMPT_STREAM,
        query=EventsQuery,
        headers=_LAST_EVENT_ID,
        ticket=True,
        events=True,
        answers={},
    ),
)

_MODELS: Final = (
    Operation(
        method="GET",
        path=f"{BASE}/models",
        handler=server.list_models,
        summary="The models that prompts may ask for",
        group="models",
        permission=MODEL_VIEW,
        answers={200: ModelList},
    ),
    Operation(
        method="POST",
        path=f"{BASE}/models/{{name}}/start",
        handler=server.start_model,
        summary="Make a model ready; other models of its connection share its fate",
        group="models",
        permission=MODEL_EDIT,
        answers={200: ModelView},
        refusals=_ENGINE_REFUSALS,
    ),
    Operation(
        method="POST",
        path=f"{BASE}/models/{{name}}/stop",
        handler=server.stop_model,
        summary="Free what a model holds; the next prompt starts it again",
        group="models",
        permission=MODEL_EDIT,
        answers={200: ModelView},
        refusals=_ENGINE_REFUSALS,
    ),
    Operation(
        method="GET",
        path=f"{BASE}/connections",
        handler=server.list_connections,
        summary="What serves the models, and how busy it is",
        group="models",
        permission=MODEL_EDIT,
        answers={200: ConnectionList},
    ),
    Operation(
        method="POST",
        path=f"{BASE}/connections/{{name}}/check",
        handler=server.check_connection,
        summary="Test a connection; a failure is an answer too",
        group="models",
        permission=MODEL_EDIT,
        answers={200: CheckView},
    ),
)

_KEYS: Final = (
    Operation(
        method="GET",
        path=f"{BASE}/me",
        handler=server.get_caller,
        summary="Who the key belongs to",
        group="keys",
        answers={200: CallerView},
    ),
    *keys.OPERATIONS,
    Operation(
        method="POST",
        path=f"{BASE}/tickets",
        handler=server.issue_ticket,
        summary="A ticket opens one stream once, within a minute, for readers that can't send a header",
        group="keys",
        permission=PROMPT_STREAM,
        body=NewTicket,
        example={"path": "/promptd/v1/prompts/prm_…/events"},
        answers={201: TicketView},
    ),
)


def _server(open_metrics: bool) -> tuple[Operation, ...]:
    return (
        Operation(
            method="POST",
            path=f"{BASE}/config/reload",
            handler=server.reload_config,
            summary="Read the configuration again; a bad one changes nothing and is answered with the key that is wrong",
            admin=True,
            answers={200: Reloaded},
            refusals=(422,),
        ),
        Operation(
            method="GET",
            path="/healthz",
            handler=server.get_health,
            summary="The process lives",
            public=True,
            answers={200: StatusView},
        ),
        Operation(
            method="GET",
            path="/readyz",
            handler=server.get_readiness,
            summary="Whether prompts are taken now, or why not",
            public=True,
            answers={200: StatusView, 503: StatusView},
        ),
        Operation(
            method="GET",
            path="/metrics",
            handler=server.get_metrics,
            summary="Metrics in the text format of Prometheus",
            public=open_metrics,
            permission=None if open_metrics else METRICS_VIEW,
            answers={200: "text/plain"},
        ),
        Operation(
            method="GET",
            path=f"{BASE}/openapi.json",
            handler=server.get_openapi,
            summary="This document",
            public=True,
            answers={200: "application/json"},
        ),
    )


_DOCUMENTS: Final = tuple(
    Operation(
        method="GET",
        path=f"{BASE}/{path}",
        handler=server.page(file, media_type),
        summary="The docs",
        public=True,
        answers={200: media_type.partition(";")[0]},
        in_document=path == "docs",
    )
    for path, file, media_type in (
        ("docs", "index.html", "text/html; charset=utf-8"),
        ("docs/page.js", "page.js", "text/javascript; charset=utf-8"),
        ("docs/page.css", "page.css", "text/css; charset=utf-8"),
    )
)
