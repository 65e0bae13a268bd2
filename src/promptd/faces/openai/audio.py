"""`POST /v1/audio/speech` and `/v1/audio/transcriptions`."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

from promptd.core.content import Turn
from promptd.core.errors import InvalidOutput, InvalidRequest, PromptdError, UnsupportedInput
from promptd.core.model import Answer, Capability, Chunk, Mode, Prompt, Request, Submission, Usage
from promptd.core.parameters import Parameters, SpeechParameters
from promptd.dialects.chat import wrong
from promptd.dialects.chat.errors import error_event
from promptd.faces.asgi import encode
from promptd.faces.gateway import Ask, Gateway
from promptd.faces.openai.inputs import Inputs, blobs_of
from promptd.faces.openai.table import Table
from promptd.faces.openai.transcripts import Transcript, srt, vtt
from promptd.service.filed import Filed

_FORMATS: Final = ("mp3", "opus", "aac", "flac", "wav", "pcm")
_SHAPES: Final = ("json", "text", "verbose_json", "srt", "vtt")
_LONGEST: Final = 100_000  # characters of one speech
_SPEECH: Final = frozenset({"model", "input", "voice", "response_format", "speed", "stream_format", "user"})
_HEARD: Final = frozenset({"model", "prompt", "language", "response_format", "temperature", "stream"})


class _Voice(Struct, frozen=True):
    id: str


class _Body(Struct, frozen=True):
    input: str
    model: str | None = None
    voice: str | _Voice | None = None
    response_format: str | None = None
    speed: float | None = None
    stream_format: str | None = None
    user: str | None = None


_decoder: Final = msgspec.json.Decoder(_Body)
_untyped: Final = msgspec.json.Decoder(dict[str, Any])


def endpoints(filed: Filed) -> Table:
    async def transcriptions(gateway: Gateway, ask: Ask) -> None:
        inputs = Inputs(gateway, ask, filed)
        await inputs.read("file")
        try:
            shape, streamed, submission = _transcription(ask, inputs)
            told = encode([inputs.form.fields, [upload.digest for upload in inputs.files["file"]]])
            submission = gateway.idempotent(ask, submission, told)
        except BaseException:
            await inputs.dismiss()
            raise
        if streamed:
            try:
                await gateway.stream(ask, submission, _Writer)
            finally:
                if submission.mode is Mode.ATTACHED:
                    await inputs.dismiss()
            return
        whole = await inputs.whole(submission)
        body, media = _transcript(whole.answer, shape)
        await gateway.reply(ask, body, whole.prompt, media=media)

    return {("POST", "/v1/audio/speech"): speech, ("POST", "/v1/audio/transcriptions"): transcriptions}


async def speech(gateway: Gateway, ask: Ask) -> None:
    raw = await gateway.body(ask)
    body = wrong.decode(_decoder, raw)
    if not body.input.strip() or len(body.input) > _LONGEST:
        raise InvalidRequest(field="input", expected=f"a text of at most {_LONGEST} characters")
    if body.response_format is not None and body.response_format not in _FORMATS:
        raise InvalidRequest(field="response_format", expected=f"one of {', '.join(_FORMATS)}")
    if body.stream_format not in (None, "audio"):
        raise InvalidRequest(field="stream_format", expected="audio")
    if body.speed is not None and not 0.25 <= body.speed <= 4:
        raise InvalidRequest(field="speed", expected="a number from 0.25 to 4")
    members = wrong.decode(_untyped, raw)
    voice = body.voice.id if isinstance(body.voice, _Voice) else body.voice
    submission = Submission(
        caller=ask.caller,
        request=Request(
            messages=(Turn("user", body.input),),
            parameters=Parameters(
                speech=SpeechParameters(voice=voice, speed=body.speed, format=body.response_format),
                user=body.user,
                extra={name: value for name, value in members.items() if name not in _SPEECH and value is not None},
            ),
        ),
        model=body.model or None,
        mode=Mode.ATTACHED,
        capability=Capability.SPEECH,
        prefix="speech",
    )
    whole = await gateway.whole(ask, gateway.idempotent(ask, submission, raw))
    blobs = await blobs_of(gateway, whole)
    if not blobs:
        raise InvalidOutput("the engine made no sound")
    await gateway.reply(ask, blobs[0].data, whole.prompt, media=blobs[0].media_type.encode())


# ---------------------------------------------------------------- transcriptions


def _transcription(ask: Ask, inputs: Inputs) -> tuple[str, bool, Submission]:
    """The form of the answer, whether it is streamed, and what is asked. Raises `InvalidRequest`."""
    form = inputs.form
    if len(inputs.files.get("file", ())) != 1:
        raise InvalidRequest(field="file", expected="one sound")
    shape = form.text("response_format") or "json"
    if shape not in _SHAPES:
        raise InvalidRequest(field="response_format", expected=f"one of {', '.join(_SHAPES)}")
    streamed = form.text("stream") in ("true", "True", "1")
    if streamed and shape not in ("json", "text"):
        raise InvalidRequest(field="response_format", expected="json or text on a stream")
    extra = {
        name.removesuffix("[]"): values if name.endswith("[]") else values[-1]
        for name, values in form.fields.items()
        if name not in _HEARD
    }
    return (
        shape,
        streamed,
        Submission(
            caller=ask.caller,
            request=Request(
                messages=(Turn("user", form.text("prompt") or ""),),
                parameters=Parameters(
                    temperature=_number(form.text("temperature")),
                    speech=SpeechParameters(language=form.text("language") or None),
                    extra=extra,
                ),
                files=(inputs.files["file"][0].id,),
            ),
            model=form.text("model") or None,
            mode=Mode.ATTACHED,
            capability=Capability.TRANSCRIPTION,
            prefix="trsc",
        ),
    )


def _number(text: str | None) -> float | None:
    if not text:
        return None
    try:
        return msgspec.convert(text, float, strict=False)
    except msgspec.ValidationError:
        raise InvalidRequest(field="temperature", expected="a number") from None


def _transcript(answer: Answer, shape: str) -> tuple[bytes, bytes | None]:
    """Body and media type. Raises `UnsupportedInput` where the engine does not tell what the form needs."""
    if shape == "json":
        return encode({"text": answer.text, "usage": _usage(answer.usage)}), None
    if shape == "text":
        return f"{answer.text}\n".encode(), b"text/plain; charset=utf-8"
    try:
        told = msgspec.convert(answer.value, Transcript)
    except msgspec.ValidationError:
        raise UnsupportedInput(
            f"response_format: this model tells no times, so there can be no {shape}; ask for json or text"
        ) from None
    if shape == "verbose_json":
        return encode({"task": "transcribe", "text": answer.text} | msgspec.to_builtins(told)), None
    made = srt(told.segments) if shape == "srt" else vtt(told.segments)
    return made.encode(), b"text/plain; charset=utf-8"


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "type": "tokens",
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


class _Writer:
    """The events of a transcription."""

    def __init__(self, prompt: Prompt) -> None:
        self._text: list[str] = []

    def begin(self) -> bytes:
        return b""

    def write(self, chunk: Chunk) -> bytes:
        if chunk.kind == "progress":
            self._text.append(chunk.text)
            return _event({"type": "transcript.text.delta", "delta": chunk.text}) if chunk.text else b""
        if chunk.kind != "done":
            return b""
        text = "".join(self._text)
        done = {"type": "transcript.text.done", "text": text, "usage": _usage(chunk.usage or Usage())}
        return _event(done) + b"data: [DONE]\n\n"

    def fail(self, error: PromptdError) -> bytes:
        return error_event(error)


def _event(members: dict[str, Any]) -> bytes:
    return b"data: " + encode(members) + b"\n\n"
