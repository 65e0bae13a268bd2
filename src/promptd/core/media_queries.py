"""Queries for images and sounds: an image of a text, a speech of a text, the text of a speech.

Files go in as `Call.files` and come out as `Result.files`. An engine that makes images and sounds for plain prompts
already needs only to translate: the query becomes such a call (`image_call` …), its chunks become outputs (`as_outputs`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Final, Generic, Literal, TypeVar

from msgspec.structs import replace

from promptd.core.calls import Call, Config, DescribeParams
from promptd.core.chat_queries import ChatQueries, ChatQuery, chat_controls, text_inputs, text_key
from promptd.core.configs import setting
from promptd.core.connection_forms import control, shown
from promptd.core.content import Turn
from promptd.core.descriptors import Param
from promptd.core.forms import Condition, Form, FormContext, Group, Rule, Vertical, make_form, scope_of
from promptd.core.localisation import Key
from promptd.core.model import Blob, Capability, Chunk, Request, Usage
from promptd.core.parameters import ImageParameters, Parameters, SpeechParameters
from promptd.core.prompt_files import PromptFile

IMAGES: Final = "images"  #: output of an image
AUDIO: Final = "audio"  #: output of a speech, input of a transcription
IMAGE: Final = "image"  #: input of an image that is drawn from another one
TEXT: Final = "text"  #: output of a transcription
_MOST_BYTES: Final = 64 * 1024 * 1024  # of a file that goes in: it is part of one request

_SOUNDS: Final = {"mp3": "MP3", "wav": "WAV", "flac": "FLAC", "opus": "Opus", "aac": "AAC", "pcm": "PCM"}

A = TypeVar("A", bound=Config)


class ImageTask(Config):
    """How a service draws that has OpenAI's API."""

    width: int | None = setting(None, ge=1, le=16_384, i18n=text_key("width"))
    height: int | None = setting(None, ge=1, le=16_384, i18n=text_key("height"))
    count: int = setting(1, ge=1, le=16, i18n=text_key("count"))
    format: Literal["", "png", "jpg", "webp"] = setting(
        "", i18n=text_key("image_format"), labels={"png": "PNG", "jpg": "JPEG", "webp": "WebP"}
    )
    from_image: bool = setting(False, i18n=text_key("from_image"))


class SpeechTask(Config):
    """How a text is spoken."""

    voice: str = setting("", i18n=text_key("voice"))
    speed: float | None = setting(None, ge=0.25, le=4, i18n=text_key("speed"))
    format: Literal["", "mp3", "wav", "flac", "opus", "aac", "pcm"] = setting(
        "", i18n=text_key("sound_format"), labels=_SOUNDS
    )


class TranscriptionTask(Config):
    """How a speech is understood."""

    language: str = setting("", max_length=35, i18n=text_key("language"))
    hint: str = setting("", widget="prompt", i18n=text_key("hint"))


class MediaQuery(ChatQuery):
    """A chat, an image, a speech or a transcription: `task` says which."""

    task: Literal["chat", "image", "speech", "transcription"] = setting("chat", widget="task", i18n=text_key("task"))
    image: ImageTask = setting(default_factory=ImageTask, i18n=text_key("image"))
    speech: SpeechTask = setting(default_factory=SpeechTask, i18n=text_key("speech"))
    transcription: TranscriptionTask = setting(default_factory=TranscriptionTask, i18n=text_key("transcription"))


class MediaQueries(ChatQueries[A, MediaQuery], Generic[A]):
    """Base of the engines that chat and make images and sounds, too. Chats are composed, all else goes to `run`."""

    def compute_query_input(self, params: DescribeParams[A, MediaQuery]) -> Sequence[Param]:
        query = params.query
        if query.task == "chat":
            return super().compute_query_input(params)
        if query.task == "transcription":
            return [sound_input(), *_without(AUDIO, text_inputs(query.transcription.hint))]
        if query.task == "image" and query.image.from_image:
            return [image_input(), *_without(IMAGE, text_inputs(query.prompt))]
        return text_inputs(query.prompt)

    def compute_query_output(self, params: DescribeParams[A, MediaQuery]) -> Sequence[Param]:
        task = params.query.task
        return super().compute_query_output(params) if task == "chat" else media_outputs(task)

    def compose(self, call: Call[A, MediaQuery]) -> Request | None:
        return super().compose(call) if call.query.task == "chat" else None

    def query_form(self, context: FormContext) -> Form:
        return make_form(MediaQuery, _layout())


async def media_call(call: Call[Any, MediaQuery]) -> Call[Any, MediaQuery]:
    """The plain call that such a query means. Reads its files."""
    query = call.query
    if query.task == "speech":
        speech = query.speech
        return speech_call(
            call, query.prompt, SpeechParameters(speech.voice or None, speech.speed, speech.format or None)
        )
    if query.task == "transcription":
        return await transcription_call(call, query.transcription.hint, query.transcription.language)
    image = query.image
    return await image_call(
        call,
        query.prompt,
        ImageParameters(width=image.width, height=image.height, batch_size=image.count, format=image.format or None),
    )


async def image_call(call: Call[Any, Any], template: str, image: ImageParameters) -> Call[Any, Any]:
    """An image of the filled `template`, or of the input file besides."""
    blobs = await blobs_of(call.files.get(IMAGE, ()))
    return _plain(call, Capability.IMAGE, call.text(template), Parameters(image=image), blobs)


def speech_call(call: Call[Any, Any], template: str, speech: SpeechParameters) -> Call[Any, Any]:
    """The filled `template`, spoken."""
    return _plain(call, Capability.SPEECH, call.text(template), Parameters(speech=speech))


async def transcription_call(call: Call[Any, Any], hint: str, language: str) -> Call[Any, Any]:
    """The text of the input file."""
    blobs = await blobs_of(call.files.get(AUDIO, ()))
    speech = SpeechParameters(language=language) if language else None
    return _plain(call, Capability.TRANSCRIPTION, call.text(hint), Parameters(speech=speech), blobs)


async def blobs_of(files: Sequence[PromptFile]) -> tuple[Blob, ...]:
    """Files as they go into a request. Raises `OSError`."""
    return await asyncio.to_thread(lambda: tuple(Blob(file.filename, file.media_type, file.read()) for file in files))


async def as_outputs(chunks: AsyncGenerator[Chunk, None], output: str) -> AsyncGenerator[Chunk, None]:
    """The chunks of a plain call as those of a query: the text, or the files, become its `output`."""
    said: list[str] = []
    async with aclosing(chunks) as running:
        async for chunk in running:
            if chunk.kind == "done":
                files = {} if output == TEXT else {output: tuple(map(_file, chunk.blobs))}
                yield Chunk(
                    "done",
                    finish_reason=chunk.finish_reason or "stop",
                    usage=chunk.usage or Usage(),
                    value={TEXT: "".join(said)} if output == TEXT else {},
                    outputs=files or None,
                    warnings=chunk.warnings,
                )
            elif chunk.fraction is not None:
                yield chunk
            else:
                said.append(chunk.text)


def output_of(capability: Capability) -> str:
    """The output that a plain call of this kind fills."""
    return {Capability.IMAGE: IMAGES, Capability.SPEECH: AUDIO}.get(capability, TEXT)


def media_outputs(task: str) -> list[Param]:
    """What a task returns."""
    if task == "image":
        title = Key(text_key("images"))
        return [Param(name=IMAGES, kind="file", media_types=("image/*",), multiple=True, title=title)]
    if task == "speech":
        return [Param(name=AUDIO, kind="file", media_types=("audio/*",), title=Key(text_key("audio")))]
    return [Param(name=TEXT, multiline=True, title=Key(text_key("transcript")))]


def image_input() -> Param:
    """The image that another one is made from."""
    title = Key(text_key("source_image"))
    return Param(name=IMAGE, kind="file", media_types=("image/*",), max_bytes=_MOST_BYTES, title=title)


def sound_input(*media_types: str) -> Param:
    """The sound that is transcribed."""
    kinds = media_types or ("audio/*", "video/*")
    return Param(name=AUDIO, kind="file", media_types=kinds, max_bytes=_MOST_BYTES, title=Key(text_key("audio")))


def _plain(
    call: Call[Any, Any], capability: Capability, text: str, parameters: Parameters, blobs: tuple[Blob, ...] = ()
) -> Call[Any, Any]:
    turns = (Turn("user", text),) if text else ()
    return replace(call, capability=capability, messages=turns, parameters=parameters, blobs=blobs)


def _file(blob: Blob) -> PromptFile:
    return PromptFile.from_bytes(blob.name, blob.data, blob.media_type)


def _without(name: str, params: Sequence[Param]) -> list[Param]:
    """The file's input has its name for itself; a placeholder of that name stays empty."""
    return [param for param in params if param.name != name]


def _layout() -> Vertical:
    is_chat = shown("task", "chat")
    speaks = Rule("HIDE", Condition(scope_of(("task",)), {"const": "transcription"}))
    system, prompt, *others = chat_controls()
    return Vertical(
        elements=(
            control("task"),
            control("model"),
            Vertical(rule=is_chat, elements=(system,)),
            Vertical(rule=speaks, elements=(prompt,)),
            Vertical(rule=is_chat, elements=tuple(others)),
            *(
                Group(
                    i18n=text_key(f"task.{task}"),
                    rule=shown("task", task),
                    elements=tuple(control(task, name) for name in settings.model_fields),
                )
                for task, settings in (
                    ("image", ImageTask),
                    ("speech", SpeechTask),
                    ("transcription", TranscriptionTask),
                )
            ),
        )
    )
