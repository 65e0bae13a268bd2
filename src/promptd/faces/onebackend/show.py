"""Prompts, messages and threads as this wire shows them. Strict clients refuse any member that is not in these structs."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, Struct, UnsetType

from promptd.core.model import Caller, Message, Prompt, Thread
from promptd.core.parameters import ImageParameters
from promptd.faces.onebackend.times import ZERO, stamp

IMAGE_TEXT = "Sure, here is your image"
#: Members of image parameters that hold a prompt's text, or may, as what scripts are given: for its author alone.
_WORDS = frozenset(
    {
        "prompt",
        "negativePrompt",
        "negative_prompt",
        "hr_prompt",
        "hr_negative_prompt",
        "infotext",
        "comments",
        "script_args",
        "alwayson_scripts",
        "firstpass_image",
    }
)
STABLE_DIFFUSION = "stable-diffusion"
PLATFORMS = {"llamacpp": "llama-cpp", "stable_diffusion": STABLE_DIFFUSION}  #: engine type → platform id


class PromptView(Struct, frozen=True, rename="camel"):
    id: str
    prompt: str
    sync: bool
    thread_id: str
    request_message_id: str
    response_message_id: str
    created_at: str
    updated_at: str
    status: str
    last_run: str
    user_id: str
    type: str | UnsetType = UNSET
    model_id: str | UnsetType = UNSET
    max_retries: int | UnsetType = UNSET
    run_count: int | UnsetType = UNSET
    error: str | UnsetType = UNSET
    parameters: dict[str, Any] | UnsetType = UNSET
    engine_parameters: dict[str, Any] | UnsetType = UNSET


class MessageView(Struct, frozen=True, rename="camel"):
    id: str
    thread_id: str
    created_at: str
    updated_at: str
    text: str | UnsetType = UNSET
    user_id: str | UnsetType = UNSET
    file_ids: tuple[str, ...] | UnsetType = UNSET
    meta: dict[str, Any] | UnsetType = UNSET


class ThreadView(Struct, frozen=True, rename="camel"):
    id: str
    created_at: str
    updated_at: str
    title: str | UnsetType = UNSET
    user_ids: tuple[str, ...] | UnsetType = UNSET
    topic_ids: tuple[str, ...] | UnsetType = UNSET


def prompt_view(prompt: Prompt, caller: Caller) -> PromptView:
    """The prompt for this caller: its text, also where it hides in parameters, is its author's alone."""
    own = caller.user == prompt.user
    echo = prompt.request.echo.get("onebackend", {})
    parameters, engine = echo.get("parameters", UNSET), echo.get("engineParameters", UNSET)
    if not own and "large" in echo:  # a page of a stranger's prompts must not weigh gigabytes
        parameters = engine = UNSET
    elif own:
        parameters = _with_image_prompt(parameters, prompt.request.parameters.image)
    else:
        parameters = _without_words(parameters, "textToImage")
        engine = _without_words(engine, "stableDiffusion", "txt2Img")
    return PromptView(
        id=prompt.id,
        prompt=asked_text(prompt) if own else "",
        sync=echo.get("sync", False),
        thread_id=prompt.thread or prompt.id,
        request_message_id=prompt.id if prompt.thread is not None else "",
        response_message_id=prompt.answer.message_id if prompt.answer is not None else "",
        created_at=stamp(prompt.created),
        updated_at=stamp(prompt.updated or prompt.created),
        status=prompt.status.value,
        last_run=stamp(prompt.started) if prompt.started is not None else ZERO,
        user_id=prompt.user,
        type=echo.get("type", UNSET),
        model_id=prompt.model or UNSET,
        max_retries=echo.get("maxRetries") or UNSET,
        run_count=prompt.runs or UNSET,
        error=prompt.error.message or prompt.error.code if prompt.error is not None else UNSET,
        parameters=parameters,
        engine_parameters=engine,
    )


def _with_image_prompt(shown: Any, image: ImageParameters | None) -> Any:
    if image is None or image.prompt is None or shown is UNSET or "textToImage" not in shown:
        return shown
    return shown | {"textToImage": {"prompt": image.prompt} | shown["textToImage"]}


def _without_words(shown: Any, name: str, *path: str) -> Any:
    """The parameters without what somebody wrote for a model to read, below `name` and `path`."""
    if shown is UNSET or name not in shown:
        return shown
    inner = shown[name]
    if path:
        return shown | {name: _without_words(inner, *path)}
    return shown | {name: {member: value for member, value in inner.items() if member not in _WORDS}}


def asked_text(prompt: Prompt) -> str:
    """What the author typed: the last turn, before any template."""
    return prompt.request.messages[-1].content if prompt.request.messages else ""


def message_view(message: Message, *, drawn: bool = False) -> MessageView:
    """`drawn` is an answer that consists of images."""
    return MessageView(
        id=message.id,
        thread_id=message.thread,
        created_at=stamp(message.created),
        updated_at=stamp(message.updated or message.created),
        text=IMAGE_TEXT if drawn else message.text or UNSET,
        user_id=message.user or UNSET,
        file_ids=message.files or UNSET,
        meta=_meta(message) or UNSET,
    )


def _meta(message: Message) -> dict[str, Any]:
    if not message.model:
        return message.labels
    return message.labels | {"modelId": message.model, "platformId": PLATFORMS.get(message.engine, message.engine)}


def thread_view(thread: Thread) -> ThreadView:
    return ThreadView(
        id=thread.id,
        created_at=stamp(thread.created),
        updated_at=stamp(thread.updated),
        title=thread.title or UNSET,
        user_ids=thread.members or UNSET,
        topic_ids=thread.topics or UNSET,
    )
