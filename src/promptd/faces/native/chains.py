"""Chains in the native API: saved, run, looked up, cancelled."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Final

from msgspec import Meta, Struct, field

from promptd.core.chain import Action, Chain, ChainRun, RunStatus, Step, StepStatus
from promptd.core.descriptors import Param
from promptd.core.identity import PROMPT_CREATE, PROMPT_EDIT, PROMPT_VIEW, TEMPLATE_EDIT, TEMPLATE_VIEW
from promptd.faces.limit_headers import counted_for
from promptd.faces.native.operation import Call, Desk, Operation, Reply, json_reply
from promptd.faces.native.requests import FileId, NoQuery, PageQuery, SubmitQuery
from promptd.faces.native.show import file_views, rfc3339
from promptd.faces.native.views import FileView, Time

_RUNS: Final = "chain-runs"


class NewChain(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Actions, each a run of a template. A binding's `value` is a JSON value (`literal`), a text with `{{place}}`s
    (`template`), or a place such as `inputs.text` or `summary.items[0].name`, or a list of them of which the first that is
    there counts (`reference`, `file`). `outputs` are places by name."""

    actions: Annotated[tuple[Action, ...], Meta(min_length=1, max_length=100)]
    inputs: tuple[Param, ...] = ()
    outputs: dict[str, str] = field(default_factory=dict)
    description: Annotated[str, Meta(max_length=10_000)] = ""


class NewChainRun(Struct, frozen=True, forbid_unknown_fields=True):
    """A value per input, and ids of uploads for inputs that are files."""

    inputs: dict[str, Any] = field(default_factory=dict)
    files: dict[str, Annotated[tuple[FileId, ...], Meta(max_length=32)]] = field(default_factory=dict)


class ChainView(Struct, frozen=True):
    """`stale` are the actions whose template is gone, or takes or gives something else than when the chain was saved;
    null in lists."""

    name: str
    description: str
    inputs: tuple[Param, ...]
    actions: tuple[Action, ...]
    outputs: dict[str, str]
    created_at: Time
    changed_at: Time
    user: str
    stale: tuple[str, ...] | None = None


class ChainPage(Struct, frozen=True):
    items: tuple[ChainView, ...]
    after: str | None


class StepView(Struct, frozen=True):
    """How far an action is; `prompt` is the id of its prompt."""

    name: str
    status: StepStatus
    prompt: str | None
    value: dict[str, Any]
    files: dict[str, tuple[FileView, ...]]
    code: str
    message: str


class ChainRunView(Struct, frozen=True):
    """A run of a chain. `outputs` are there once it is completed; `code` and `message` say why one failed."""

    id: str
    chain: str
    status: RunStatus
    created_at: Time
    finished_at: Time | None
    steps: tuple[StepView, ...]
    outputs: dict[str, Any]
    code: str
    message: str


def chain_view(chain: Chain, stale: tuple[str, ...] | None = None) -> ChainView:
    return ChainView(
        chain.name,
        chain.description,
        chain.inputs,
        chain.actions,
        chain.outputs,
        rfc3339(chain.created),
        rfc3339(chain.changed),
        chain.user,
        stale,
    )


def run_view(run: ChainRun) -> ChainRunView:
    return ChainRunView(
        run.id,
        run.chain.name,
        run.status,
        rfc3339(run.created),
        None if run.finished is None else rfc3339(run.finished),
        tuple(_step(action.name, run.steps.get(action.name, Step())) for action in run.chain.actions),
        run.outputs,
        run.code,
        run.message,
    )


def _step(name: str, step: Step) -> StepView:
    files = {output: file_views(ids) for output, ids in step.files.items()}
    return StepView(name, step.status, step.prompt, step.value, files, step.code, step.message)


async def list_chains(desk: Desk, call: Call[PageQuery, None]) -> Reply:
    page = await desk.walk.chains.find(call.caller, limit=call.query.limit, after=call.query.after)
    return json_reply(200, ChainPage(tuple(map(chain_view, page.items)), page.after))


async def get_chain(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    found = await desk.walk.chains.get(call.params["name"])
    return json_reply(200, chain_view(found, await desk.walk.chains.stale(found)))


async def save_chain(desk: Desk, call: Call[NoQuery, NewChain]) -> Reply:
    body = call.body
    saved = await desk.walk.chains.save(
        call.caller,
        call.params["name"],
        actions=body.actions,
        inputs=body.inputs,
        outputs=body.outputs,
        description=body.description,
    )
    return json_reply(200, chain_view(saved, ()))


async def delete_chain(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    await desk.walk.chains.delete(call.caller, call.params["name"])
    return Reply(204)


async def run_chain(desk: Desk, call: Call[SubmitQuery, NewChainRun]) -> Reply:
    walk = desk.walk
    counted = counted_for(walk.charges.headers, call.headers)
    run = await walk.chains.run(call.caller, call.params["name"], call.body.inputs, call.body.files, counted=counted)
    place = [(b"location", f"/promptd/v1/{_RUNS}/{run.id}".encode())]
    seconds = call.query.seconds()
    if seconds:
        waiting = desk.readers.wait(walk.chains.finished(run.id), call.receive, seconds, call.holder)
        run = await waiting or await walk.chains.look(call.caller, run.id)
    return json_reply(202 if run.status == "running" else 200, run_view(run), place)


async def get_chain_run(desk: Desk, call: Call[SubmitQuery, None]) -> Reply:
    walk = desk.walk
    run = await walk.chains.look(call.caller, call.params["id"])
    seconds = call.query.seconds()
    if seconds and run.status == "running":
        waiting = desk.readers.wait(walk.chains.finished(run.id), call.receive, seconds, call.holder)
        run = await waiting or await walk.chains.look(call.caller, run.id)
    return json_reply(200, run_view(run))


async def cancel_chain_run(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    return json_reply(200, run_view(await desk.walk.chains.cancel(call.caller, call.params["id"])))


def operations(base: str) -> tuple[Operation, ...]:
    """Everything about chains, below `base`."""
    operation = partial(Operation, group="chains")
    one, run = f"{base}/chains/{{name}}", f"{base}/{_RUNS}/{{id}}"
    example = {
        "inputs": [{"name": "text"}],
        "actions": [
            {
                "name": "summary",
                "template": "summarise",
                "bindings": {"text": {"kind": "reference", "value": "inputs.text"}},
            }
        ],
        "outputs": {"summary": "summary.text"},
    }
    return (
        operation(
            method="GET",
            path=f"{base}/chains",
            handler=list_chains,
            summary="List chains by name",
            permission=TEMPLATE_VIEW,
            query=PageQuery,
            answers={200: ChainPage},
        ),
        operation(
            method="GET",
            path=one,
            handler=get_chain,
            summary="Look a chain up",
            permission=TEMPLATE_VIEW,
            answers={200: ChainView},
        ),
        operation(
            method="PUT",
            path=one,
            handler=save_chain,
            summary="Save a chain; cycles and missing bindings are refused",
            permission=TEMPLATE_EDIT,
            body=NewChain,
            example=example,
            answers={200: ChainView},
            refusals=(404, 409, 500, 503),
        ),
        operation(
            method="DELETE",
            path=one,
            handler=delete_chain,
            summary="Delete a chain; what runs goes on",
            permission=TEMPLATE_EDIT,
            answers={204: None},
        ),
        operation(
            method="POST",
            path=f"{one}/run",
            handler=run_chain,
            summary="Run a chain: a receipt at once, or its end with `wait`; it goes on after a restart",
            permission=PROMPT_CREATE,
            query=SubmitQuery,
            body=NewChainRun,
            example={"inputs": {"text": "…"}},
            answers={200: ChainRunView, 202: ChainRunView},
            events=False,
            refusals=(404, 413),
        ),
        operation(
            method="GET",
            path=run,
            handler=get_chain_run,
            summary="How far a run is",
            permission=PROMPT_VIEW,
            query=SubmitQuery,
            answers={200: ChainRunView},
        ),
        operation(
            method="POST",
            path=f"{run}/cancel",
            handler=cancel_chain_run,
            summary="Cancel a run and its prompts",
            permission=PROMPT_EDIT,
            answers={200: ChainRunView},
            refusals=(409,),
        ),
    )
