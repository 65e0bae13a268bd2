"""`POST /v1/embeddings`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct

from promptd.core.errors import InvalidOutput
from promptd.core.model import Answer, Mode, Native, Prompt, Submission
from promptd.dialects import chat
from promptd.dialects.chat.embeddings import BASE64
from promptd.faces.gateway import Ask, Gateway
from promptd.faces.openai.table import Table
from promptd.service.batches import Decoded

DIALECT: Final = "openai.embeddings"
_MOST_VALUES: Final = 400_000  # texts may come as tokens, 300,000 of them in a request


class _Value(Struct, frozen=True):
    embeddings: list[list[float]]


async def embeddings(gateway: Gateway, ask: Ask) -> None:
    body = await gateway.body(ask, most_values=_MOST_VALUES)
    asked = chat.decode_embeddings_request(body, tokens=True)
    if not asked.request.texts and not _takes_tokens(gateway, asked.model):
        asked = chat.decode_embeddings_request(body)  # which tells what is wrong with them
    submission = Submission(
        caller=ask.caller,
        request=asked.request,
        model=asked.model,
        mode=Mode.ATTACHED,
        capability=asked.capability,
        prefix="embd",
        native=Native(DIALECT, body),
        keep=asked.keep,
        affinity=gateway.affinity(ask, asked.request),
    )
    whole = await gateway.whole(ask, gateway.idempotent(ask, submission, body))
    prompt = whole.prompt
    base64 = BASE64 in asked.request.echo
    raw = whole.raw or _encode(whole.answer, asked.model or prompt.model, base64=base64)
    await gateway.reply(ask, raw, prompt)


def _takes_tokens(gateway: Gateway, model: str | None) -> bool:
    """Whether the bytes reach a service of the dialect on every way, which alone knows what the numbers mean.

    No guard can read them.
    """
    walk = gateway.walk
    if walk.guarding.checks.all.input:
        return False
    found = [walk.connections.get(leg.connection) for leg in walk.connections.resolve(model).legs]
    return all(connection is not None and DIALECT in connection.dialects for connection in found)


def _encode(answer: Answer, model: str, *, base64: bool) -> bytes:
    return chat.encode_embeddings(vectors_of(answer), model=model, usage=answer.usage, base64=base64)


def vectors_of(answer: Answer) -> list[list[float]]:
    """Raises `InvalidOutput` where the engine made something else."""
    try:
        return msgspec.convert(answer.value, _Value).embeddings
    except msgspec.ValidationError as error:
        raise InvalidOutput("the engine's answer is no list of embeddings", detail=str(error)) from error


def decode_line(body: bytes) -> Decoded:
    """The request of a batch. Raises `InvalidRequest`."""
    asked = chat.decode_embeddings_request(body)
    model, base64 = asked.model, BASE64 in asked.request.echo

    def encode(prompts: Sequence[Prompt]) -> bytes:
        prompt = prompts[0]
        return _encode(prompt.answer or Answer(""), model or prompt.model, base64=base64)

    return Decoded((asked,), encode)


ENDPOINTS: Final[Table] = {("POST", "/v1/embeddings"): embeddings}
