"""`POST /v1/chat/completions`."""

from __future__ import annotations

from functools import partial
from typing import Final

from promptd.core.model import Mode, Native, Prompt, Submission
from promptd.dialects import chat
from promptd.dialects.asked import Asked
from promptd.faces.gateway import Ask, Gateway

DIALECT = "openai.chat"
_ATTACHED: Final = Mode.ATTACHED


async def chat_completions(gateway: Gateway, ask: Ask) -> None:
    body = gateway.at_hand(ask) or await gateway.body(ask)
    asked = chat.decode_request(body, unchecked=True)
    submission = gateway.idempotent(ask, submission_of(gateway, ask, asked, body), body)
    if asked.stream:
        writer = partial(_writer, asked.model, asked.usage, chat.FUNCTIONS in asked.request.echo)
        told = gateway.stream(ask, submission, writer)
        del body, asked, submission  # a stream may be long, and there may be many: none of them keeps what was asked
        await told
        return
    whole = await gateway.whole(ask, submission)
    prompt = whole.prompt
    body = whole.raw or chat.encode_answer(
        whole.answer,
        id=prompt.id,
        model=asked.model or prompt.model,
        created=prompt.created,
        functions=chat.FUNCTIONS in asked.request.echo,
    )
    await gateway.reply(ask, body, prompt)


def _writer(model: str | None, usage: bool, functions: bool, prompt: Prompt) -> chat.Writer:
    return chat.Writer(
        id=prompt.id, model=model or prompt.model, created=prompt.created, usage=usage, functions=functions
    )


def submission_of(gateway: Gateway, ask: Ask, asked: Asked, body: bytes) -> Submission:
    return Submission(
        caller=ask.caller,
        request=asked.request,
        model=asked.model,
        mode=_ATTACHED,
        prefix="chatcmpl",
        native=Native(DIALECT, body, asked.stream, asked.usage, asked.model, asked.once, asked.plain),
        keep=asked.keep,
        affinity=gateway.affinity(ask, asked.request),
    )
