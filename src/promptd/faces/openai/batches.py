"""`/v1/batches`: files of requests, carried out by the house's own queue."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from promptd.core.batches import Batch, BatchStatus
from promptd.core.errors import InvalidRequest, PromptdError
from promptd.core.model import Answer, Prompt
from promptd.dialects import chat, responses
from promptd.dialects.asked import Asked
from promptd.dialects.chat import wrong
from promptd.faces.asgi import encode
from promptd.faces.gateway import Ask, Gateway
from promptd.faces.limit_headers import counted_for
from promptd.faces.openai import completions, embeddings
from promptd.faces.openai.errors import error_body, status_of
from promptd.faces.openai.files import checked_seconds, page
from promptd.faces.openai.table import Table, count, identifier, query
from promptd.service.batches import Batches, Decoded, Kind

_PAGE, _MOST = 20, 100


class _Expiry(Struct, frozen=True):
    anchor: str
    seconds: int


class _Body(Struct, frozen=True):
    input_file_id: str
    endpoint: str
    completion_window: str
    metadata: dict[str, str] | None = None
    output_expires_after: _Expiry | None = None


_decoder: Final = msgspec.json.Decoder(_Body)


def endpoints(batches: Batches) -> Table:
    async def create(gateway: Gateway, ask: Ask) -> None:
        body = wrong.decode(_decoder, await gateway.body(ask))
        batch = await batches.create(
            ask.caller,
            input_file=body.input_file_id,
            endpoint=body.endpoint,
            window=body.completion_window,
            metadata=body.metadata or {},
            keep_seconds=_keep_seconds(body.output_expires_after),
            counted=counted_for(gateway.walk.charges.headers, ask.headers),
        )
        await gateway.reply(ask, encode(batch_view(batch)))

    async def find(gateway: Gateway, ask: Ask) -> None:
        wanted = query(ask)
        found, more = await batches.find(
            ask.caller, limit=count(wanted.get("limit"), "limit", _PAGE, _MOST), after=wanted.get("after")
        )
        await gateway.reply(ask, encode(page([batch_view(batch) for batch in found], more)))

    async def get(gateway: Gateway, ask: Ask) -> None:
        await gateway.reply(ask, encode(batch_view(await batches.get(ask.caller, identifier(ask)))))

    async def cancel(gateway: Gateway, ask: Ask) -> None:
        await gateway.reply(ask, encode(batch_view(await batches.cancel(ask.caller, identifier(ask)))))

    return {
        ("POST", "/v1/batches"): create,
        ("GET", "/v1/batches"): find,
        ("GET", "/v1/batches/{id}"): get,
        ("POST", "/v1/batches/{id}/cancel"): cancel,
    }


def _keep_seconds(expiry: _Expiry | None) -> int | None:
    if expiry is None:
        return None
    if expiry.anchor != "created_at":
        raise InvalidRequest(field="output_expires_after.anchor", expected="created_at")
    return checked_seconds(expiry.seconds, "output_expires_after.seconds")


def batch_view(batch: Batch) -> dict[str, Any]:
    usage = batch.usage
    view: dict[str, Any] = {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "model": batch.model or None,
        "errors": None,
        "input_file_id": batch.input_file,
        "completion_window": batch.window,
        "status": batch.status.value,
        # ids are chosen before the files are there
        "output_file_id": batch.output_file or None if batch.status.final else None,
        "error_file_id": batch.error_file or None if batch.status.final else None,
        "created_at": int(batch.created),
        "expires_at": int(batch.expires),
        "request_counts": {"total": batch.total, "completed": batch.completed, "failed": batch.failed},
        "usage": {
            "input_tokens": usage.input_tokens,
            "input_tokens_details": {"cached_tokens": usage.cached_tokens},
            "output_tokens": usage.output_tokens,
            "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
            "total_tokens": usage.input_tokens + usage.output_tokens,
        },
        "metadata": batch.metadata or None,
    }
    for status in BatchStatus:
        if status is not BatchStatus.VALIDATING:
            told = batch.times.get(status.value)
            view[f"{status.value}_at"] = int(told) if told is not None else None
    if batch.errors:
        view["errors"] = {"object": "list", "data": [msgspec.to_builtins(error) for error in batch.errors]}
    return view


# ---------------------------------------------------------------- lines


def _refuse(error: PromptdError) -> tuple[int, bytes]:
    return status_of(error), error_body(error)


def whole_only(decode: Callable[[bytes], Decoded]) -> Callable[[bytes], Decoded]:
    """Nobody reads a stream in a batch."""

    def decoded(body: bytes) -> Decoded:
        found = decode(body)
        if found.asked[0].stream:
            raise InvalidRequest(field="stream", expected="false in a batch")
        return found

    return decoded


def _chat_line(body: bytes) -> Decoded:
    asked = chat.decode_request(body)
    model = asked.model

    def encode_line(prompts: Sequence[Prompt]) -> bytes:
        prompt = prompts[0]
        return chat.encode_answer(
            prompt.answer or Answer(""),
            id=prompt.id,
            model=model or prompt.model,
            created=prompt.created,
            functions=chat.FUNCTIONS in prompt.request.echo,
        )

    return Decoded((_unchecked(asked),), encode_line)


def _response_line(body: bytes) -> Decoded:
    asked = responses.decode_request(body)
    wish = responses.wish_of(asked.request)
    if wish.background:
        raise InvalidRequest(field="background", expected="false in a batch, which is always in the background")
    if wish.previous is not None:
        raise InvalidRequest(field="previous_response_id", expected="nothing in a batch")
    model, store = asked.model, asked.keep is not False

    def encode_line(prompts: Sequence[Prompt]) -> bytes:
        prompt = prompts[0]
        return responses.encode_answer(
            prompt.answer or Answer(""),
            id=prompt.id,
            model=model or prompt.model,
            created=prompt.created,
            request=prompt.request,
            store=store,
            completed=prompt.finished,
        )

    return Decoded((_unchecked(asked),), encode_line)


def _unchecked(asked: Asked) -> Asked:
    """Clients of this vendor judge the form of an answer themselves."""
    return replace(asked, request=replace(asked.request, unchecked=True))


def kind(decode: Callable[[bytes], Decoded]) -> Kind:
    """An endpoint of this vendor's, by how it reads a request."""
    return Kind(whole_only(decode), _refuse)


KINDS: Final[Mapping[str, Kind]] = {
    "/v1/chat/completions": kind(_chat_line),
    "/v1/responses": kind(_response_line),
    "/v1/embeddings": kind(embeddings.decode_line),
    "/v1/completions": kind(completions.decode_line),
}
