"""The OpenAI API's endpoints for files: images, speech, transcription. Pure but for `run_media`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from promptd.core.engine import Call
from promptd.core.errors import InvalidInput, InvalidOutput, UnsupportedInput
from promptd.core.model import Blob, Capability, Chunk, Usage
from promptd.core.parameters import ImageParameters, SpeechParameters
from promptd.core.ports import HttpClient, Timeouts
from promptd.dialects.errors import error_from_object
from promptd.dialects.exchange import MAX_BYTES, media_type, raise_for_status, secrets_of
from promptd.dialects.media import EXTENSIONS, decode_images, masked, media_type_of
from promptd.dialects.multipart import encode_form
from promptd.dialects.openai_media_streams import read_media_stream, usage_of

MEDIA: Final = frozenset({Capability.IMAGE, Capability.SPEECH, Capability.TRANSCRIPTION})

#: fields that `extra` must not touch: the answer's shape hangs on them, or they are the call itself
_RESERVED: Final = frozenset(
    {
        "model",
        "prompt",
        "input",
        "file",
        "image",
        "mask",
        "partial_images",
        "response_format",
        "stream",
        "stream_format",
    }
)
#: what this API has no field for
_NO_FIELD: Final = (
    "negative_prompt",
    "styles",
    "seed",
    "steps",
    "guidance_scale",
    "denoising_strength",
    "upscale",
    "restore_faces",
    "scheduler",
)
_IMAGE_FORMATS: Final = {"png": "png", "jpg": "jpeg", "jpeg": "jpeg", "webp": "webp"}
#: formats of speech as the API names them; what a service sends without saying so
_SPEECH_FORMATS: Final = {
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "flac": "audio/flac",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "pcm": "audio/pcm",
}


_DEFAULT_TIMEOUTS: Final = Timeouts()


class Request(Struct, frozen=True):
    """What to post, and where below the base URL."""

    path: str
    content_type: str
    body: bytes


def encode_media(call: Call[Any, Any], *, voice: str = "", ask_for_base64: bool = True) -> Request:
    """The request of a call whose capability is one of `MEDIA`. `voice` speaks where the prompt names none.

    Raises `InvalidInput`, `UnsupportedInput` with the field's name.
    """
    if call.capability is Capability.IMAGE:
        return _image(call, ask_for_base64=ask_for_base64)
    return _speech(call, voice) if call.capability is Capability.SPEECH else _transcription(call)


def decode_media(
    call: Call[Any, Any], content_type: str, body: bytes, *, secrets: Iterable[str] = ()
) -> tuple[Chunk, ...]:
    """The chunks of a successful answer, the `done` last. Raises `InvalidOutput`, or what an error inside means."""
    if call.capability is Capability.IMAGE:
        return (_images(body, secrets),)
    kind = content_type.partition(";")[0].strip().lower()
    if call.capability is Capability.SPEECH:
        return (_spoken(call, kind, body, secrets),)
    return _transcribed(kind, body, secrets)


async def run_media(
    http: HttpClient,
    base_url: str,
    headers: Mapping[str, str],
    call: Call[Any, Any],
    *,
    timeouts: Timeouts = _DEFAULT_TIMEOUTS,
    max_bytes: int = MAX_BYTES,
    voice: str = "",
    ask_for_base64: bool = True,
) -> AsyncGenerator[Chunk, None]:
    """Run a call for an image, a speech or a transcription; the chunks, the `done` last.

    Encoding and decoding are work in proportion to the files, so a thread does it. Values of `headers` are taken for
    secrets: they are blotted out of messages.
    """
    request = await asyncio.to_thread(encode_media, call, voice=voice, ask_for_base64=ask_for_base64)
    secrets = secrets_of(headers)
    async with http.request(
        "POST",
        base_url.rstrip("/") + request.path,
        headers={**headers, "content-type": request.content_type},
        body=request.body,
        timeouts=timeouts,
        max_bytes=max_bytes,
    ) as response:
        await raise_for_status(response, secrets=secrets)
        if media_type(response) == "text/event-stream":
            async with aclosing(read_media_stream(response, call, secrets=secrets)) as chunks:
                async for chunk in chunks:
                    yield chunk
            return
        content_type = response.headers.get("content-type", "")
        body = await response.read()
    for chunk in await asyncio.to_thread(decode_media, call, content_type, body, secrets=secrets):
        yield chunk


# ------------------------------------------------------------------ images


def _image(call: Call[Any, Any], *, ask_for_base64: bool) -> Request:
    asked = call.parameters.image or ImageParameters()
    for name in _NO_FIELD:
        if getattr(asked, name) not in (None, ()):
            raise UnsupportedInput(f"parameters.image.{name}: this service has no such setting")
    fields: dict[str, Any] = {"model": call.model, "prompt": _asked(call)}
    count = _positive(asked.batch_size, "batch_size") * _positive(asked.rounds, "rounds")
    if count > 1:
        fields["n"] = count
    if (asked.width is None) != (asked.height is None):
        raise InvalidInput("parameters.image.width, height: expected both or none")
    if asked.width is not None:
        fields["size"] = f"{_positive(asked.width, 'width')}x{_positive(asked.height, 'height')}"
    if asked.format is not None:
        if asked.format.lower() not in _IMAGE_FORMATS:
            raise InvalidInput("parameters.image.format: expected png, jpg or webp")
        fields["output_format"] = _IMAGE_FORMATS[asked.format.lower()]
    if ask_for_base64:
        fields["response_format"] = "b64_json"
    if call.end_user_ref is not None:
        fields["user"] = call.end_user_ref
    fields |= _extra(asked.extra, "parameters.image.extra") | _extra(call.parameters.extra, "parameters.extra")
    if asked.partial_images:
        fields |= {"stream": True, "partial_images": asked.partial_images}
    if not call.blobs and asked.mask is None:
        return _json("/images/generations", fields)
    images, mask = masked(call)
    name = "image" if len(images) == 1 else "image[]"
    masks = [] if mask is None else [("mask", mask)]
    return _form("/images/edits", fields, [(name, blob) for blob in images] + masks)


def _images(body: bytes, secrets: Iterable[str]) -> Chunk:
    answer = _decode(body, _ImageAnswer, "image", secrets)
    found = answer.data or []
    if any(item.b64_json is None for item in found):
        # an address is the service's own choice, and nothing is fetched that the operator did not name
        raise InvalidOutput("the service sent an address in the place of an image")
    blobs = decode_images([item.b64_json for item in found if item.b64_json is not None])
    if not blobs:
        raise InvalidOutput("the service's answer holds no image")
    return Chunk("done", finish_reason="stop", usage=usage_of(answer.usage), blobs=blobs)


# ------------------------------------------------------------------ sounds


def _speech(call: Call[Any, Any], voice: str) -> Request:
    asked = call.parameters.speech or SpeechParameters()
    text = _asked(call)
    if not text.strip():
        raise InvalidInput("messages: expected a text to speak")
    if asked.format is not None and asked.format.lower() not in _SPEECH_FORMATS:
        raise InvalidInput(f"parameters.speech.format: expected one of {', '.join(_SPEECH_FORMATS)}")
    fields = {
        "model": call.model,
        "input": text,
        "voice": asked.voice or voice or None,
        "response_format": asked.format and asked.format.lower(),
        "speed": asked.speed,
    }
    return _json("/audio/speech", _given(fields) | _extra(call.parameters.extra, "parameters.extra"))


def _spoken(call: Call[Any, Any], said: str, body: bytes, secrets: Iterable[str]) -> Chunk:
    if said in ("application/json", "text/html", "text/plain") or not body:
        if said == "application/json":
            _decode(body, _Answer, "sound", secrets)
        raise InvalidOutput(f"expected a sound, the service sent {len(body)} bytes of {said[:80]}")
    asked = call.parameters.speech.format if call.parameters.speech else None
    kind = media_type_of(body) or _SPEECH_FORMATS.get((asked or "").lower(), said)
    if not kind.startswith("audio/"):
        raise InvalidOutput(f"expected a sound, the service sent {kind[:80]}")
    extension = EXTENSIONS.get(kind, "audio")
    return Chunk("done", finish_reason="stop", usage=Usage(), blobs=(Blob(f"speech.{extension}", kind, body),))


def _transcription(call: Call[Any, Any]) -> Request:
    if len(call.blobs) != 1:
        raise InvalidInput(f"files: expected one sound, found {len(call.blobs)} files")
    sound = call.blobs[0]
    if not sound.media_type.startswith(("audio/", "video/")):
        raise UnsupportedInput(f"files[0]: a transcription can't read {sound.media_type}")
    asked = call.parameters.speech or SpeechParameters()
    fields = {
        "model": call.model,
        "response_format": "verbose_json" if asked.timestamps else "json",
        "timestamp_granularities": list(asked.timestamps) or None,
        "stream": asked.deltas or None,
        "language": asked.language,
        "prompt": _asked(call) or None,
        "temperature": call.parameters.temperature,
    }
    extra = _extra(call.parameters.extra, "parameters.extra")
    return _form("/audio/transcriptions", _given(fields) | extra, [("file", sound)])


def _transcribed(kind: str, body: bytes, secrets: Iterable[str]) -> tuple[Chunk, ...]:
    usage, times, logprobs = Usage(), None, None
    if kind == "text/plain":  # a server that knows no response format
        try:
            text = body.decode()
        except UnicodeDecodeError as error:
            raise InvalidOutput("the service's transcription is not UTF-8") from error
    else:
        answer = _decode(body, _Transcript, "transcription", secrets)
        if answer.text is None:
            raise InvalidOutput("the service's answer holds no text")
        text, usage, times = answer.text, usage_of(answer.usage), _times(answer)
        logprobs = answer.logprobs if isinstance(answer.logprobs, list) else None
    done = Chunk("done", finish_reason="stop", usage=usage, value=times)
    return (Chunk("progress", text=text, logprobs=logprobs), done) if text else (done,)


def _times(answer: _Transcript) -> dict[str, Any] | None:
    """What the service tells of times, with all members that it gives them; None where it tells of none."""
    try:
        msgspec.convert([answer.segments or (), answer.words or ()], list[tuple[_Span, ...]])
        duration = msgspec.convert(answer.duration, float | None, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidOutput("the service's transcription has times that can't be read", detail=str(error)) from error
    if not answer.segments and not answer.words:
        return None
    language = answer.language if isinstance(answer.language, str) else None
    told = {"language": language, "duration": duration, "segments": answer.segments, "words": answer.words}
    return _given(told)


# ------------------------------------------------------------------ helpers


class _Answer(Struct):
    error: Any = None
    usage: Any = None


class _Image(Struct):
    b64_json: str | None = None


class _ImageAnswer(_Answer):
    data: list[_Image] | None = None


class _Transcript(_Answer):
    text: str | None = None
    language: Any = None
    duration: Any = None
    segments: Any = None
    words: Any = None
    logprobs: Any = None


class _Span(Struct):
    """A segment or a word; seconds."""

    start: float
    end: float


A = TypeVar("A", bound=_Answer)


def _decode(body: bytes, kind: type[A], what: str, secrets: Iterable[str]) -> A:
    try:
        answer = msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidOutput(f"the service sent something that is no {what}", detail=str(error)) from error
    if answer.error is not None:
        raise error_from_object(answer.error, secrets=secrets)
    return answer


def _asked(call: Call[Any, Any]) -> str:
    text = next((turn.content for turn in reversed(call.messages) if turn.role == "user"), "")
    template = call.parameters.template
    return text if template is None else template.replace("{prompt}", text)


def _positive(value: int | None, name: str) -> int:
    if value is None:
        return 1
    if value < 1:
        raise InvalidInput(f"parameters.image.{name}: expected a whole number of at least 1")
    return value


def _extra(extra: Mapping[str, Any], place: str) -> dict[str, Any]:
    for name in extra:
        if name in _RESERVED:
            raise InvalidInput(f"{place}.{name}: this field can't be set here")
    return dict(extra)


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _json(path: str, fields: Mapping[str, Any]) -> Request:
    return Request(path, "application/json", _encoded(fields))


def _form(path: str, fields: Mapping[str, Any], files: list[tuple[str, Blob]]) -> Request:
    """Values that are not text go as JSON, which for numbers and booleans is what forms have; lists one by one."""
    flat = [
        pair
        for name, value in fields.items()
        for pair in ([(f"{name}[]", one) for one in value] if isinstance(value, list) else [(name, value)])
    ]
    texts = [(_field(name), value if isinstance(value, str) else _encoded(value).decode()) for name, value in flat]
    try:
        return Request(path, *encode_form(texts, files))
    except UnicodeEncodeError as error:
        raise InvalidInput("messages, files: a text or a name is not Unicode") from error


def _field(name: str) -> str:
    if not name.isascii() or not name.replace("_", "").replace("[]", "").isalnum():
        raise InvalidInput(f"parameters.extra.{name[:80]!r}: expected the name of a form's field")
    return name


def _encoded(value: Any) -> bytes:
    try:
        return msgspec.json.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise InvalidInput(f"parameters: not JSON: {error}") from error
