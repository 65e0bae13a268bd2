"""`/v1/responses`: make one, look at it, follow it, cancel it, delete it. A response is a prompt, its id the prompt's.

A plain call is attached; `background` makes it a queued prompt, which outlives the connection and the server. What is
stored (`store`, by default) can be looked at and gone on from: `previous_response_id` puts that conversation before the
input, so that every prompt holds all that it needs.

Bytes pass through to a service of the same dialect only where nothing is stored: ids and state of such a response are
the service's own. All others are translated, also to that dialect, so that the ids are ours and lead back here.
"""

from __future__ import annotations

from msgspec.structs import replace

from promptd.core.content import Foreign
from promptd.core.errors import InvalidRequest
from promptd.core.model import Mode, Native, Prompt, Request, Submission
from promptd.dialects import chat, responses
from promptd.dialects.asked import Asked
from promptd.faces.asgi import encode
from promptd.faces.gateway import Ask, Gateway
from promptd.faces.openai.responses_stored import (
    PreviousNotFound,
    cancel_response,
    delete_response,
    get_response,
    input_items,
    input_tokens,
    item_of,
    referenced,
    shown,
    with_earlier,
)
from promptd.faces.openai.responses_stream import follow
from promptd.faces.openai.table import Table


async def create_response(gateway: Gateway, ask: Ask) -> None:
    """`POST /v1/responses`."""
    try:
        await create(gateway, ask)
    except PreviousNotFound as error:
        told = chat.error_object(error) | {"code": "previous_response_not_found"}
        await gateway.reply(ask, encode({"error": told}), status=400)


async def create(gateway: Gateway, ask: Ask) -> None:
    """The same. Raises `PreviousNotFound`."""
    body = await gateway.body(ask)
    asked = await _understood(gateway, ask, body)
    wish = responses.wish_of(asked.request)
    if wish.background and asked.keep is False:
        raise InvalidRequest("store: a response in the background is always stored", field="store", expected="true")
    alone = asked.keep is False and wish.previous is None
    if not alone:
        _check_references(asked.request)
    request = asked.request
    if wish.previous is not None:
        request = await with_earlier(gateway, ask, request, wish.previous)
    submission = Submission(
        caller=ask.caller,
        request=replace(request, unchecked=True),
        model=asked.model,
        mode=Mode.ATTACHED,
        capability=asked.capability,
        prefix="resp",
        native=Native(responses.DIALECT, body, asked.stream) if alone else None,
        keep=asked.keep is not False,
        affinity=gateway.affinity(ask, request),
    )
    submission = gateway.idempotent(ask, submission, body)
    if wish.background:
        submission = replace(submission, mode=Mode.QUEUED, native=None)
    if asked.stream:
        await _stream(gateway, ask, submission)
    elif wish.background:
        prompt = await gateway.queue(ask, submission)
        await gateway.reply(ask, shown(prompt), prompt)
    else:
        await _whole(gateway, ask, submission)


async def _understood(gateway: Gateway, ask: Ask, body: bytes) -> Asked:
    named = responses.references(body)
    asked = responses.decode_request(body, items=await referenced(gateway, ask, named) if named else None)
    if asked.keep is False:
        # a prompt that must be durable all the same, for its idempotency key, is nobody's to look at
        asked = replace(asked, request=replace(asked.request, echo={**asked.request.echo, "store": False}))
    return asked


def _check_references(request: Request) -> None:
    for turn in request.messages:
        for part in turn.parts:
            if isinstance(part, Foreign) and part.value.get("type") == "item_reference":
                raise item_of(str(part.value.get("id")))


async def _stream(gateway: Gateway, ask: Ask, submission: Submission) -> None:
    if submission.mode is Mode.QUEUED:
        await follow(gateway, ask, await gateway.queue(ask, submission))
        return

    def writer(prompt: Prompt) -> responses.Writer:
        return responses.Writer(
            id=prompt.id,
            model=submission.model or prompt.model,
            created=prompt.created,
            request=submission.request,
            store=submission.keep is True,
        )

    await gateway.stream(ask, submission, writer)


async def _whole(gateway: Gateway, ask: Ask, submission: Submission) -> None:
    whole = await gateway.whole(ask, submission)
    prompt = whole.prompt
    body = whole.raw or responses.encode_answer(
        whole.answer,
        id=prompt.id,
        model=submission.model or prompt.model,
        created=prompt.created,
        request=submission.request,
        store=submission.keep is True,
        completed=prompt.finished,
        attempt=prompt.runs if prompt.mode is Mode.QUEUED else None,
    )
    await gateway.reply(ask, body, prompt)


TABLE: Table = {
    ("POST", "/v1/responses"): create_response,
    ("POST", "/v1/responses/input_tokens"): input_tokens,
    ("GET", "/v1/responses/{id}"): get_response,
    ("DELETE", "/v1/responses/{id}"): delete_response,
    ("POST", "/v1/responses/{id}/cancel"): cancel_response,
    ("GET", "/v1/responses/{id}/input_items"): input_items,
}
