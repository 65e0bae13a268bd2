"""`POST /v1/audio/speech` and `/v1/audio/transcriptions`."""

from __future__ import annotations

import math
from base64 import b64encode
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
_NO_TIMES: Final = "response_format: this model tells no times, so there can be no {}; ask for json or text"
_LONGEST: Final = 100_000  # characters of one speech
_SPEECH: Final = frozenset({"model", "input", "voice", "response_format", "speed", "stream_format", "user"})
_GRANULARITIES: Final = "timestamp_granularities[]"
_HEARD: Final = frozenset(
    {
        "model",
        "prompt",
        "language",
        "response_format",
        "temperature",
        "stream",
        _GRANULARITIES,
        "timestamp_granularities",
    }
)
_PIECE: Final = 48 * 1024  # bytes of sound in one event; a multiple of 3, so that pieces of base64 can be joined


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
        wanted = _wanted(submission)
        try:
            whole = await inputs.whole(submission)
        except UnsupportedInput as error:
            if error.message.startswith("parameters.speech.timestamps"):
                raise UnsupportedInput(_NO_TIMES.format(shape)) from None
            raise
        body, media = _transcript(whole.answer, shape, wanted)
        await gateway.reply(ask, body, whole.prompt, media=media)

    return {("POST", "/v1/audio/speech"): speech, ("POST", "/v1/audio/transcriptions"): transcriptions}


async def speech(gateway: Gateway, ask: Ask) -> None:
    raw = await gateway.body(ask)
    body = wrong.decode(_decoder, raw)
    if not body.input.strip() or len(body.input) > _LONGEST:
        raise InvalidRequest(field="input", expected=f"a text of at most {_LONGEST} characters")
    if body.response_format is not None and body.response_format not in _FORMATS:
        raise InvalidRequest(field="response_format", expected=f"one of {', '.join(_FORMATS)}")
    if body.stream_format not in (None, "audio", "sse"):
        raise InvalidRequest(field="stream_format", expected="audio or sse")
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
    if body.stream_format == "sse":
        told = _spoken(blobs[0].data, whole.answer.usage)
        await gateway.reply(ask, told, whole.prompt, media=b"text/event-stream; charset=utf-8")
        return
    await gateway.reply(ask, blobs[0].data, whole.prompt, media=blobs[0].media_type.encode())


def _spoken(sound: bytes, usage: Usage) -> bytes:
    """The events of a speech, which is whole before its first one."""
    pieces = [sound[start : start + _PIECE] for start in range(0, len(sound), _PIECE)]
    deltas = [_event({"type": "speech.audio.delta", "audio": b64encode(piece).decode()}) for piece in pieces]
    counts = {name: value for name, value in _usage(usage).items() if name != "type"}
    return b"".join([*deltas, _event({"type": "speech.audio.done", "usage": counts})])


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
    times = _times(inputs, shape)
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
                    speech=SpeechParameters(language=form.text("language") or None, timestamps=times, deltas=streamed),
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


def _times(inputs: Inputs, shape: str) -> tuple[str, ...]:
    """Of what times are wanted. Raises `InvalidRequest`."""
    fields = inputs.form.fields
    given = [*fields.get(_GRANULARITIES, ()), *fields.get("timestamp_granularities", ())]
    if not all(one in ("segment", "word") for one in given):
        raise InvalidRequest(field="timestamp_granularities", expected="segment, word or both")
    if given and shape != "verbose_json":
        raise InvalidRequest(
            field="timestamp_granularities", expected="nothing, unless response_format is verbose_json"
        )
    if shape in ("json", "text"):
        return ()
    return tuple(dict.fromkeys(given)) or ("segment",)


def _wanted(submission: Submission) -> tuple[str, ...]:
    speech = submission.request.parameters.speech
    return () if speech is None else speech.timestamps


def _number(text: str | None) -> float | None:
    if not text:
        return None
    try:
        return msgspec.convert(text, float, strict=False)
    except msgspec.ValidationError:
        raise InvalidRequest(field="temperature", expected="a number") from None


def _transcript(answer: Answer, shape: str, wanted: tuple[str, ...]) -> tuple[bytes, bytes | None]:
    """Body and media type. Raises `UnsupportedInput` where the engine does not tell what the form needs."""
    if shape == "json":
        told = {"text": answer.text, "usage": _usage(answer.usage)}
        return encode(told | {"logprobs": answer.logprobs} if answer.logprobs else told), None
    if shape == "text":
        return f"{answer.text}\n".encode(), b"text/plain; charset=utf-8"
    try:
        times = msgspec.convert(answer.value, Transcript)
    except msgspec.ValidationError:
        raise UnsupportedInput(_NO_TIMES.format(shape)) from None
    if "segment" in wanted and not times.segments:
        raise UnsupportedInput(_NO_TIMES.format(shape))
    if "word" in wanted and not times.words:
        raise UnsupportedInput("timestamp_granularities: this model tells no times of words; ask for segments")
    if shape == "verbose_json":
        lasted = times.lasted
        head = {"task": "transcribe", "language": times.language, "duration": lasted, "text": answer.text}
        lists = {name: value for name in ("segments", "words") if (value := getattr(times, name))}
        return encode(head | lists | {"usage": {"type": "duration", "seconds": math.ceil(lasted)}}), None
    segments = times.spans
    made = srt(segments) if shape == "srt" else vtt(segments)
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
            delta = {"type": "transcript.text.delta", "delta": chunk.text}
            return _event(delta | {"logprobs": chunk.logprobs} if chunk.logprobs else delta) if chunk.text else b""
        if chunk.kind != "done":
            return b""
        text = "".join(self._text)
        done = {"type": "transcript.text.done", "text": text, "usage": _usage(chunk.usage or Usage())}
        return _event(done) + b"data: [DONE]\n\n"

    def fail(self, error: PromptdError) -> bytes:
        return error_event(error)


def _event(members: dict[str, Any]) -> bytes:
    return b"data: " + encode(members) + b"\n\n"
