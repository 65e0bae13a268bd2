"""Prompt Svc: submit, list, delete, subscribe, types (contract sections 2 to 5)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from promptd.core import identity
from promptd.core.errors import Conflict, Forbidden, InvalidRequest, NotFound, UnknownModel
from promptd.core.lifecycle import Status
from promptd.core.model import Message, Prompt, Submission
from promptd.faces.limit_headers import counted_by
from promptd.faces.onebackend import query, stream
from promptd.faces.onebackend.messages import shown
from promptd.faces.onebackend.parameters import PromptRequest, plan
from promptd.faces.onebackend.schemas import SCHEMAS
from promptd.faces.onebackend.show import MessageView, PromptView, prompt_view
from promptd.faces.onebackend.wire import NOTHING, SMALL_BODY, Ask, Endpoint, Nothing
from promptd.service.attachments import is_picture
from promptd.service.walk import Walk

#: Fields of a submission → members of this wire's request.
_WORDS: Final = {
    "files": "fileIds",
    "messages": "prompt",
    "thread_id": "threadId",
    "capability": "modelId",
    "parameters.template": "parameters.textToText.template",
}
_MODEL: Final = 500  # characters of a model's name
_MOST_RETRIES: Final = 100
_MOST_FILES: Final = 32  # looked at; intake refuses more
_EVER: Final = 10 * 365 * 86400.0  # a sync caller waits as long as it likes


class PromptAnswer(Struct, frozen=True, rename="camel"):
    prompt: PromptView
    response_message: MessageView | UnsetType = UNSET


class RemoveRequest(Struct, rename="camel"):
    prompt_id: str | None = None


async def submit(ask: Ask) -> PromptAnswer:
    asked = ask.fit(PromptRequest)
    if len(asked.model_id or "") > _MODEL:  # looking for names that are like it would take seconds
        raise UnknownModel("modelId: there is no model with so long a name", field="modelId", expected="a model's name")
    pictured = await _pictured(ask.walk, asked.file_ids)
    chosen = plan(asked, ask.walk.connections, ask.desk.compat, pictured=pictured)
    identifier = asked.id or ask.walk.ids.make("prom")
    submission = Submission(
        caller=ask.caller,
        request=chosen.request,
        model=chosen.model,
        id=identifier,
        capability=chosen.capability,
        thread=asked.thread_id or identifier,
        max_attempts=_attempts(asked.max_retries),
    )
    try:
        headers = dict(ask.scope["headers"])
        added = await ask.walk.intake.submit(counted_by(submission, ask.walk.charges.headers, headers))
    except UnknownModel:
        raise
    except InvalidRequest as error:
        raise _in_wire_words(error) from None
    except Forbidden:
        if asked.id and not asked.thread_id:  # the thread that is refused is named after the prompt
            raise Conflict("the id is somebody else's") from None
        raise
    if not asked.sync:
        prompt = added.prompt
        if added.created:  # clients look for what was submitted; it may have a slot already
            prompt = replace(prompt, status=Status.SCHEDULED, runs=0, started=None)
        return PromptAnswer(prompt_view(prompt, ask.caller))
    work = ask.walk.streams.finished(added.prompt.id)
    finished = await ask.desk.readers.wait(work, ask.receive, _EVER, ask.holder)
    if finished is None:  # the caller left, or the server does: the prompt stays in the queue
        return PromptAnswer(prompt_view(added.prompt, ask.caller))
    return PromptAnswer(prompt_view(finished, ask.caller), await _response(ask, finished))


async def _pictured(walk: Walk, files: Sequence[str]) -> bool:
    """Whether there is an image among the files; one that does not exist is intake's to refuse."""
    for identifier in files[:_MOST_FILES]:
        with suppress(NotFound):
            if is_picture((await walk.uploads.get(identifier)).media_type):
                return True
    return False


def _in_wire_words(error: InvalidRequest) -> InvalidRequest:
    """The refusal with the member's name on this wire."""
    name, bracket, rest = error.field.partition("[")
    wire = _WORDS.get(name)
    if wire is None:
        return error
    field = f"{wire}{bracket}{rest}"
    told = error.message
    told = told.replace(error.field, field, 1) if told.startswith(error.field) else f"{field}: {told}"
    return InvalidRequest(told, field=field, expected=error.expected)


def _attempts(max_retries: int) -> int | None:
    if not 0 <= max_retries <= _MOST_RETRIES:
        raise InvalidRequest(field="maxRetries", expected=f"a whole number from 0 to {_MOST_RETRIES}")
    return max_retries or None


async def _response(ask: Ask, prompt: Prompt) -> MessageView | UnsetType:
    if prompt.status is not Status.COMPLETED or prompt.answer is None:
        return UNSET
    message = await ask.walk.threads.message(ask.caller, prompt.answer.message_id)
    return await shown(ask.walk, message if message is not None else _made(prompt))


def _made(prompt: Prompt) -> Message:
    """The answer of a prompt whose thread was deleted meanwhile."""
    answer = prompt.answer
    if answer is None:
        raise AssertionError("a completed prompt has an answer")
    when = prompt.finished or prompt.updated
    return Message(
        id=answer.message_id,
        thread=prompt.thread or prompt.id,
        prompt=prompt.id,
        role="assistant",
        created=when,
        updated=when,
        text=answer.text,
        files=answer.files,
        model=prompt.model,
    )


async def list_prompts(ask: Ask) -> Any:
    page = await query.run(ask.walk.prompts, ask.caller, ask.fit(query.ListRequest).query)
    more = {"after": page.after} if page.after is not None else {}
    return {"prompts": page.prompts, "count": page.count} | more


async def delete(ask: Ask) -> Nothing:
    """The id of the path wins; an unknown one is gone already."""
    identifier = ask.params.get("promptId") or ask.fit(RemoveRequest).prompt_id
    if not identifier:
        raise InvalidRequest(field="promptId", expected="the id of a prompt")
    try:
        await ask.walk.prompts.remove(ask.caller, identifier)
    except NotFound:
        return NOTHING
    return NOTHING


async def list_types(ask: Ask) -> Any:
    return {"types": sorted(SCHEMAS), "schemas": SCHEMAS}


_MAY_DELETE: Final = (identity.PROMPT_DELETE, identity.PROMPT_CREATE)

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint("POST", "/prompt-svc/prompt", (identity.PROMPT_CREATE,), submit),
    Endpoint("POST", "/prompt-svc/prompts", (identity.PROMPT_VIEW,), list_prompts),
    Endpoint("DELETE", "/prompt-svc/prompt/{promptId}", _MAY_DELETE, delete, max_body=SMALL_BODY),
    Endpoint("POST", "/prompt-svc/remove", _MAY_DELETE, delete, max_body=SMALL_BODY),
    stream.ENDPOINT,
    Endpoint("POST", "/prompt-svc/types", None, list_types, max_body=SMALL_BODY),
)
