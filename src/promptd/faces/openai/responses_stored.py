"""Responses that are stored: look-ups, the conversation that they leave, cancel and delete. Only their owner may."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from promptd.core.chunks import replay
from promptd.core.content import Part, Refusal, Text, Turn
from promptd.core.errors import EXECUTION_CODES, Cancelled, Conflict, ExecutionFailed, InvalidRequest, NotFound
from promptd.core.history import tokens
from promptd.core.lifecycle import Status
from promptd.core.model import Answer, Mode, Prompt, Request
from promptd.dialects import responses
from promptd.faces.asgi import encode
from promptd.faces.gateway import Ask, Gateway
from promptd.faces.missing import PreviousNotFound
from promptd.faces.openai.responses_stream import follow
from promptd.faces.openai.table import count, identifier, query

_PREFIX: Final = "resp_"
_ITEM: Final = re.compile(r"(?:msg|rs|fc|ctc)_([0-9a-z]{26})_[0-9]{1,6}_[0-9]{1,6}")
_MOST_REFERRED: Final = 200  # responses
_MOST_LISTED: Final = 100
_LISTED: Final = 20
_DIGITS: Final = 16  # of an event's number, at most
_decode: Final = msgspec.json.Decoder().decode


# ------------------------------------------------------------------ endpoints


async def get_response(gateway: Gateway, ask: Ask) -> None:
    """`GET /v1/responses/{id}`; with `stream=true` its events behind number `starting_after`."""
    asked = query(ask)
    after = _number(asked.get("starting_after"), "starting_after")
    prompt = await stored(gateway, ask, identifier(ask))
    if asked.get("stream", "false").lower() not in ("true", "1"):
        await gateway.reply(ask, shown(prompt), prompt)
        return
    if prompt.mode is not Mode.QUEUED:
        raise InvalidRequest("this response can't be streamed again: it was not made in the background", field="stream")
    await gateway.walk.prompts.may_stream(ask.caller, prompt.id)
    await follow(gateway, ask, prompt, after)


async def delete_response(gateway: Gateway, ask: Ask) -> None:
    """`DELETE /v1/responses/{id}`; one that still runs is cancelled first."""
    prompt = await stored(gateway, ask, identifier(ask))
    if not prompt.status.final:
        with suppress(Conflict):
            await gateway.walk.prompts.cancel(ask.caller, prompt.id)
    await gateway.walk.attached.flush()
    await gateway.walk.prompts.delete(ask.caller, prompt.id)
    await gateway.reply(ask, encode({"id": prompt.id, "object": "response", "deleted": True}))


async def cancel_response(gateway: Gateway, ask: Ask) -> None:
    """`POST /v1/responses/{id}/cancel`; one that has ended is shown as it is."""
    prompt = await stored(gateway, ask, identifier(ask))
    if not responses.wish_of(prompt.request).background:
        raise InvalidRequest("only a response in the background can be cancelled", field="response_id")
    if not prompt.status.final:
        with suppress(Conflict):  # it ended just now
            await gateway.walk.prompts.cancel(ask.caller, prompt.id)
        prompt = await stored(gateway, ask, prompt.id)
    await gateway.reply(ask, shown(prompt), prompt)


async def input_items(gateway: Gateway, ask: Ask) -> None:
    """`GET /v1/responses/{id}/input_items`: all that the answer was made from, earlier conversation included."""
    asked = query(ask)
    limit = count(asked.get("limit"), "limit", _LISTED, _MOST_LISTED)
    order = asked.get("order", "desc")
    if order not in ("asc", "desc"):
        raise InvalidRequest(field="order", expected="asc or desc")
    prompt = await stored(gateway, ask, identifier(ask))
    items = _listed(prompt)
    if order == "desc":
        items.reverse()
    begin = 0
    if (after := asked.get("after")) is not None:
        begin = next((place for place, item in enumerate(items, 1) if item["id"] == after), -1)
        if begin < 0:
            raise InvalidRequest(field="after", expected="the id of one of the items")
    page = items[begin : begin + limit]
    listing = {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else "",
        "last_id": page[-1]["id"] if page else "",
        "has_more": begin + limit < len(items),
    }
    await gateway.reply(ask, encode(listing), prompt)


async def input_tokens(gateway: Gateway, ask: Ask) -> None:
    """`POST /v1/responses/input_tokens`: about how many there are; no tokenizer is asked."""
    asked = responses.decode_request(await gateway.body(ask))
    request = asked.request
    previous = responses.wish_of(request).previous
    if previous is not None:
        request = await with_earlier(gateway, ask, request, previous)
    tools = [tool.name + tool.description + encode(tool.parameters).decode() for tool in request.parameters.tools]
    estimate = sum(map(tokens, request.messages)) + sum(len(tool.encode()) // 4 for tool in tools)
    await gateway.reply(ask, encode({"object": "response.input_tokens", "input_tokens": estimate}))


# ------------------------------------------------------------------ what is stored


async def stored(gateway: Gateway, ask: Ask, name: str) -> Prompt:
    """A response of the caller's own. Raises `NotFound`, also for what is somebody else's or was not to be kept."""
    with suppress(NotFound):
        prompt = await gateway.walk.prompts.get(ask.caller, name)
        echo = prompt.request.echo
        if prompt.user == ask.caller.user and echo.get("object") == "response" and echo.get("store") is not False:
            return prompt
    raise NotFound(f"Response with id '{name[:200]}' not found.")


def shown(prompt: Prompt) -> bytes:
    """The response object as the prompt now stands."""
    surroundings: dict[str, Any] = {
        "id": prompt.id,
        "model": prompt.model,
        "created": prompt.created,
        "request": prompt.request,
    }
    if prompt.answer is not None:
        return responses.encode_answer(
            prompt.answer,
            **surroundings,
            completed=prompt.finished,
            attempt=prompt.runs if prompt.mode is Mode.QUEUED else None,
            chunks=replay(prompt.answer, prompt.trace, prompt.runs)[:-1],
        )
    match prompt.status:
        case Status.CANCELED:
            return responses.encode_unfinished(**surroundings, status="cancelled")
        case Status.ABANDONED:
            failure = prompt.error
            kind = EXECUTION_CODES.get(failure.code, ExecutionFailed) if failure is not None else Cancelled
            error = kind(failure.message if failure is not None else "")
            return responses.encode_unfinished(**surroundings, status="failed", error=error)
        case Status.RUNNING:
            return responses.encode_unfinished(**surroundings, status="in_progress")
    return responses.encode_unfinished(**surroundings, status="queued")


async def with_earlier(gateway: Gateway, ask: Ask, request: Request, previous: str) -> Request:
    """The request with the conversation before it. The instructions of earlier ones are not part of that.

    Raises `PreviousNotFound`, `InvalidRequest` where that response has no answer.
    """
    field = "previous_response_id"
    try:
        prompt = await stored(gateway, ask, previous)
    except NotFound:
        raise PreviousNotFound(previous) from None
    if prompt.answer is None:
        raise InvalidRequest(f"the response {previous} is {prompt.status}: it has no answer to go on from", field=field)
    told = prompt.request.messages[1 if prompt.request.echo.get("instructions") else 0 :]
    now = 1 if request.echo.get("instructions") else 0
    messages = (*request.messages[:now], *told, *turns_of(prompt.answer), *request.messages[now:])
    return replace(request, messages=messages)


def turns_of(answer: Answer) -> tuple[Turn, ...]:
    """What an answer adds to its conversation."""
    parts: list[Part] = [*answer.thinking]
    if answer.text and not parts and not answer.refusal:
        return (Turn("assistant", answer.text, tool_calls=answer.tool_calls),)
    if answer.text:
        parts.append(Text(answer.text))
    if answer.refusal:
        parts.append(Refusal(answer.refusal))
    return (Turn("assistant", tool_calls=answer.tool_calls, parts=tuple(parts)),) if parts or answer.tool_calls else ()


async def referenced(gateway: Gateway, ask: Ask, named: Iterable[str]) -> Mapping[str, dict[str, Any]]:
    """The output items with these ids, as far as they are the caller's own."""
    bodies = {match[1] for name in named if (match := _ITEM.fullmatch(name)) is not None}
    if len(bodies) > _MOST_REFERRED:
        raise InvalidRequest(field="input", expected=f"items of at most {_MOST_REFERRED} responses")
    items: dict[str, dict[str, Any]] = {}
    for body in bodies:
        with suppress(NotFound):
            response = _decode(shown(await stored(gateway, ask, _PREFIX + body)))
            items |= {item["id"]: item for item in response["output"]}
    return items


def item_of(name: str) -> InvalidRequest:
    return InvalidRequest(f"Item with id '{name[:200]}' not found.", field="input")


# ------------------------------------------------------------------ input items


def _listed(prompt: Prompt) -> list[dict[str, Any]]:
    """The items with what only stored ones have: an id, a status, and content in parts."""
    messages = prompt.request.messages[1 if prompt.request.echo.get("instructions") else 0 :]
    body = prompt.id.removeprefix(_PREFIX)
    listed: list[dict[str, Any]] = []
    items = responses.encode_items(messages, tools=prompt.request.parameters.tools)
    for place, given in enumerate(items):
        item = {"status": "completed", **given}
        if isinstance(content := item.get("content"), str):
            said = item["role"] == "assistant"
            text = {"type": "output_text" if said else "input_text", "text": content}
            item["content"] = [{**text, "annotations": [], "logprobs": []} if said else text]
        listed.append({"id": f"item_{body}_{place}", **item})
    return listed


def _number(given: str | None, name: str) -> int:
    """Of an event; -1 where none is given: before all of them."""
    if given is None:
        return -1
    if not given.isascii() or not given.isdigit() or len(given) > _DIGITS:
        raise InvalidRequest(field=name, expected="the sequence_number of an event")
    return int(given)


__all__ = [
    "PreviousNotFound",
    "cancel_response",
    "delete_response",
    "get_response",
    "input_items",
    "input_tokens",
    "item_of",
    "referenced",
    "shown",
    "stored",
    "with_earlier",
]
