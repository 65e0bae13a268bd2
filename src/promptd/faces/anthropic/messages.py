"""`POST /v1/messages`."""

from __future__ import annotations

from functools import partial
from typing import Final

from msgspec.structs import replace

from promptd.core.model import Mode, Native, Prompt, Request, Submission
from promptd.dialects import messages
from promptd.dialects.asked import Asked
from promptd.dialects.messages import DIALECT
from promptd.faces.gateway import Ask, Gateway

_MOST_BETAS: Final = 20


async def create_message(gateway: Gateway, ask: Ask) -> None:
    body = gateway.at_hand(ask) or await gateway.body(ask)
    asked = messages.decode_request(body)
    submission = gateway.idempotent(ask, submission_of(gateway, ask, asked, body), body)
    if asked.stream:
        answer = gateway.stream(ask, submission, partial(_writer, asked.model, ask.request_id.decode()))
        del body, asked, submission  # a stream may be long, and there may be many: none of them keeps what was asked
        await answer
        return
    whole = await gateway.whole(ask, submission)
    prompt = whole.prompt
    told = whole.raw or messages.encode_answer(whole.answer, id=prompt.id, model=asked.model or prompt.model)
    await gateway.reply(ask, told, prompt)


def _writer(model: str | None, request_id: str, prompt: Prompt) -> messages.Writer:
    return messages.Writer(id=prompt.id, model=model or prompt.model, request_id=request_id or prompt.id)


def submission_of(gateway: Gateway, ask: Ask, asked: Asked, body: bytes) -> Submission:
    request = _with_betas(ask, asked.request)
    return Submission(
        caller=ask.caller,
        request=request,
        model=asked.model,
        mode=Mode.ATTACHED,
        capability=asked.capability,
        prefix="msg",
        native=Native(DIALECT, body, asked.stream, model=asked.model),
        affinity=gateway.affinity(ask, request),
    )


def _with_betas(ask: Ask, request: Request) -> Request:
    """The betas that the caller's header names go along, for services that have them."""
    given = ask.headers.get(b"anthropic-beta")
    if given is None:
        return request
    betas = [beta.strip() for beta in given.decode("latin-1").split(",", _MOST_BETAS)[:_MOST_BETAS]]
    parameters = request.parameters
    return replace(request, parameters=replace(parameters, extra={**parameters.extra, "anthropic_beta": betas}))
