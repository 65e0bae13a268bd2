"""The `openai` engine's images, sounds and looks at images, against a real server on loopback."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from typing import Any

import pytest

from promptd.core.content import Turn
from promptd.core.engine import Call
from promptd.core.errors import (
    AuthenticationFailed,
    InvalidInput,
    InvalidOutput,
    NetworkError,
    PromptExecutionError,
    RateLimited,
    ServiceUnavailable,
    Timeout,
    UnsupportedInput,
)
from promptd.core.model import Blob, Capability, Usage
from promptd.core.parameters import ImageParameters, Parameters, SpeechParameters
from promptd.egress import Egress
from promptd.engines.openai import OpenAI, OpenAIConfig
from promptd.testing import media
from promptd.testing.upstream import Upstream

KEY = "sk-secret-of-the-test"
PROMPTLY = 0.1  # seconds


def call(upstream: Upstream, http: Egress, capability: Capability, **fields: Any) -> Call[OpenAIConfig, Any]:
    image = {name: fields.pop(name) for name in list(fields) if name in ImageParameters.__struct_fields__}
    settings = {name: fields.pop(name) for name in list(fields) if name in OpenAIConfig.model_fields}
    config = OpenAIConfig.model_validate({"base_url": upstream.base_url, "api_key": KEY} | settings)
    given: dict[str, Any] = {
        "model": "maker",
        "messages": (Turn("system", "be kind"), Turn("user", "a cat")),
        "parameters": Parameters(image=ImageParameters(**image) if image else None),
        "capability": capability,
    }
    return Call(connection=config, connection_name="c", http=http, **(given | fields))


# ------------------------------------------------------------------ vision


async def test_images_are_parts_of_the_last_users_message(upstream: Upstream, http: Egress) -> None:
    turns = (Turn("user", "earlier"), Turn("assistant", "yes"), Turn("user", "what is it?"))
    files = (media.image("a"), Blob("b.jpg", "image/jpeg", b"\xff\xd8\xff"))
    asked = call(upstream, http, Capability.VISION, model="echo", messages=turns, blobs=files)
    assert (await OpenAI().execute(asked)).text == "what is it? image_url image_url "
    (received,) = upstream.calls
    assert received.path == "/v1/chat/completions"
    first, _, last = received.body["messages"]
    assert first == {"role": "user", "content": "earlier"}
    assert last["content"][0] == {"type": "text", "text": "what is it?"}
    head, _, data = last["content"][1]["image_url"]["url"].partition(",")
    assert (head, b64decode(data)) == ("data:image/png;base64", files[0].data)
    assert last["content"][2]["image_url"]["url"].startswith("data:image/jpeg;base64,")


async def test_a_sound_is_a_part_too(upstream: Upstream, http: Egress) -> None:
    files = (media.sound("x"), Blob("b.mp3", "audio/mpeg", b"ID3"))
    asked = call(upstream, http, Capability.CHAT, model="echo", messages=(Turn("user", ""),), blobs=files)
    assert (await OpenAI().execute(asked)).text == "input_audio input_audio "
    parts = upstream.calls[0].body["messages"][0]["content"]
    assert [part["input_audio"]["format"] for part in parts] == ["wav", "mp3"]
    assert b64decode(parts[0]["input_audio"]["data"]) == files[0].data


@pytest.mark.parametrize(
    ("fields", "error", "named"),
    [
        ({"blobs": (Blob("a.flac", "audio/flac", b"x"),)}, UnsupportedInput, "files[0]"),
        ({"messages": (Turn("system", "x"),), "blobs": (media.image(),)}, InvalidInput, "messages"),
        ({"parameters": Parameters(template="<{prompt}>")}, UnsupportedInput, "parameters.template"),
        (
            {"parameters": Parameters(template="{prompt}"), "capability": Capability.CHAT, "blobs": (media.image(),)},
            UnsupportedInput,
            "files",
        ),
    ],
)
async def test_bad_vision_names_its_field(
    upstream: Upstream, http: Egress, fields: dict[str, Any], error: type[PromptExecutionError], named: str
) -> None:
    with pytest.raises(error) as raised:
        await OpenAI().execute(call(upstream, http, **({"capability": Capability.VISION} | fields)))
    assert raised.value.message.startswith(named)
    assert upstream.calls == []


# ------------------------------------------------------------------ images


async def test_an_image_for_every_wish(upstream: Upstream, http: Egress) -> None:
    asked = call(
        upstream, http, Capability.IMAGE, batch_size=2, rounds=2, width=24, height=16, extra={"quality": "low"}
    )
    result = await OpenAI().execute(asked)
    assert result.blobs == tuple(
        Blob(f"image-{number + 1}.png", "image/png", media.png(f"a cat||{number}", 24, 16)) for number in range(4)
    )
    assert (result.text, result.usage) == ("", Usage(5, 7))
    (received,) = upstream.calls
    assert (received.path, received.headers["authorization"]) == ("/v1/images/generations", f"Bearer {KEY}")
    assert received.body == {
        "model": "maker",
        "prompt": "a cat",
        "n": 4,
        "size": "24x16",
        "response_format": "b64_json",
        "quality": "low",
    }


async def test_an_image_from_images(upstream: Upstream, http: Egress) -> None:
    odd = Blob('a"b\r\n.png', "image/png", media.png("a"))
    result = await OpenAI().execute(call(upstream, http, Capability.IMAGE, blobs=(odd,)))
    (received,) = upstream.calls
    assert received.path == "/v1/images/edits"
    assert received.body["image"] == [Blob("a_b__.png", "image/png", odd.data)]
    assert (received.body["prompt"], received.body["response_format"]) == ("a cat", "b64_json")
    assert result.blobs[0].data == media.png("a cat|a_b__.png|0")
    await OpenAI().execute(call(upstream, http, Capability.IMAGE, blobs=(odd, media.image("b")), batch_size=2))
    assert len(upstream.calls[1].body["image[]"]) == 2
    assert upstream.calls[1].body["n"] == "2"


async def test_a_server_that_only_sends_bytes_is_not_asked_for_them(upstream: Upstream, http: Egress) -> None:
    asked = call(upstream, http, Capability.IMAGE, model="bytes-only", ask_for_base64=False, format="webp")
    assert (await OpenAI().execute(asked)).blobs
    assert upstream.calls[0].body["output_format"] == "webp"
    with pytest.raises(InvalidInput, match="response_format"):
        await OpenAI().execute(call(upstream, http, Capability.IMAGE, model="bytes-only"))


async def test_an_address_is_not_fetched(upstream: Upstream, http: Egress) -> None:
    with pytest.raises(InvalidOutput, match="address"):
        await OpenAI().execute(call(upstream, http, Capability.IMAGE, model="links-only"))


# ------------------------------------------------------------------ sounds


def spoken(**wishes: Any) -> Parameters:
    return Parameters(speech=SpeechParameters(**wishes))


async def test_speech(upstream: Upstream, http: Egress) -> None:
    wishes = spoken(voice="bella", speed=1.5, format="WAV")
    result = await OpenAI().execute(call(upstream, http, Capability.SPEECH, parameters=wishes))
    assert result.blobs == (Blob("speech.wav", "audio/wav", media.wav("a cat")),)
    (received,) = upstream.calls
    assert received.path == "/v1/audio/speech"
    assert received.body == {
        "model": "maker",
        "input": "a cat",
        "voice": "bella",
        "speed": 1.5,
        "response_format": "wav",
    }


@pytest.mark.parametrize(
    ("asked", "name", "media_type"),
    [
        (None, "speech.mp3", "audio/mpeg"),
        ("opus", "speech.ogg", "audio/ogg"),
        ("pcm", "speech.pcm", "audio/pcm"),
    ],
)
async def test_a_sound_is_called_what_it_is(
    upstream: Upstream, http: Egress, asked: str | None, name: str, media_type: str
) -> None:
    result = await OpenAI().execute(call(upstream, http, Capability.SPEECH, parameters=spoken(format=asked)))
    assert (result.blobs[0].name, result.blobs[0].media_type) == (name, media_type)
    assert upstream.calls[0].body["voice"] == "alloy"


async def test_the_voice_can_be_left_to_the_server(upstream: Upstream, http: Egress) -> None:
    with pytest.raises(InvalidInput, match="voice"):
        await OpenAI().execute(call(upstream, http, Capability.SPEECH, voice=""))
    assert "voice" not in upstream.calls[0].body


async def test_transcription(upstream: Upstream, http: Egress) -> None:
    asked = call(
        upstream,
        http,
        Capability.TRANSCRIPTION,
        blobs=(media.sound("hello world", "grüße.wav"),),
        parameters=Parameters(
            temperature=0.5, speech=SpeechParameters(language="en"), extra={"timestamp_granularities[]": "word"}
        ),
    )
    result = await OpenAI().execute(asked)
    assert (result.text, result.usage, result.blobs) == ("hello world", Usage(5, 7), ())
    (received,) = upstream.calls
    assert received.path == "/v1/audio/transcriptions"
    assert received.headers["content-type"].startswith("multipart/form-data; boundary=")
    (sent,) = received.body.pop("file")
    assert (sent.media_type, sent.data) == ("audio/wav", asked.blobs[0].data)
    assert received.body == {
        "model": "maker",
        "response_format": "json",
        "language": "en",
        "prompt": "a cat",
        "temperature": "0.5",
        "timestamp_granularities[]": "word",
    }


async def test_a_plain_transcription_is_one_too(upstream: Upstream, http: Egress) -> None:
    asked = call(upstream, http, Capability.TRANSCRIPTION, model="bytes-only", blobs=(media.sound(),))
    assert (await OpenAI().execute(asked)).text == "heard"


# ------------------------------------------------------------------ refusals and faults


@pytest.mark.parametrize(
    ("capability", "fields", "error", "named"),
    [
        (Capability.IMAGE, {"negative_prompt": "x"}, UnsupportedInput, "parameters.image.negative_prompt"),
        (Capability.IMAGE, {"styles": ("x",)}, UnsupportedInput, "parameters.image.styles"),
        (Capability.IMAGE, {"restore_faces": False}, UnsupportedInput, "parameters.image.restore_faces"),
        (Capability.IMAGE, {"width": 5}, InvalidInput, "parameters.image.width"),
        (Capability.IMAGE, {"batch_size": 0}, InvalidInput, "parameters.image.batch_size"),
        (Capability.IMAGE, {"format": "gif"}, InvalidInput, "parameters.image.format"),
        (Capability.IMAGE, {"extra": {"model": "x"}}, InvalidInput, "parameters.image.extra.model"),
        (Capability.IMAGE, {"blobs": (media.sound(),)}, UnsupportedInput, "files[0]"),
        (Capability.IMAGE, {"parameters": Parameters(extra={"x": object()})}, InvalidInput, "parameters"),
        (Capability.SPEECH, {"messages": (Turn("user", " "),)}, InvalidInput, "messages"),
        (Capability.SPEECH, {"parameters": spoken(format="avi")}, InvalidInput, "parameters.speech.format"),
        (Capability.TRANSCRIPTION, {}, InvalidInput, "files"),
        (Capability.TRANSCRIPTION, {"blobs": (media.sound(), media.sound())}, InvalidInput, "files"),
        (Capability.TRANSCRIPTION, {"blobs": (media.image(),)}, UnsupportedInput, "files[0]"),
        (
            Capability.TRANSCRIPTION,
            {"blobs": (media.sound(),), "messages": (Turn("user", "\ud800"),)},
            InvalidInput,
            "messages",
        ),
        (
            Capability.TRANSCRIPTION,
            {"blobs": (media.sound(),), "parameters": Parameters(extra={'a"\r\n': 1})},
            InvalidInput,
            "parameters.extra",
        ),
    ],
)
async def test_bad_input_names_its_field(
    upstream: Upstream,
    http: Egress,
    capability: Capability,
    fields: dict[str, Any],
    error: type[PromptExecutionError],
    named: str,
) -> None:
    with pytest.raises(error) as raised:
        await OpenAI().execute(call(upstream, http, capability, **fields))
    assert raised.value.message.startswith(named)
    assert upstream.calls == []


@pytest.mark.parametrize("capability", [Capability.IMAGE, Capability.SPEECH, Capability.TRANSCRIPTION])
@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("401", AuthenticationFailed),
        ("429", RateLimited),
        ("short-body", NetworkError),
        ("wrong-content-type", InvalidOutput),
        ("truncated-json", InvalidOutput),
        ("garbage", InvalidOutput),
        ("slow-first-byte", Timeout),
    ],
)
async def test_a_fault_becomes_one_typed_error(
    upstream: Upstream, http: Egress, capability: Capability, model: str, error: type[PromptExecutionError]
) -> None:
    files = (media.sound(),) if capability is Capability.TRANSCRIPTION else ()
    with pytest.raises(error) as raised:
        await OpenAI().execute(call(upstream, http, capability, model=model, blobs=files, first_byte_timeout=0.2))
    assert KEY not in f"{raised.value.message} {raised.value.detail}"


STREAMED = {
    Capability.IMAGE: Parameters(image=ImageParameters(partial_images=1)),
    Capability.TRANSCRIPTION: Parameters(speech=SpeechParameters(deltas=True)),
}


@pytest.mark.parametrize("capability", STREAMED)
@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("error-in-stream", ServiceUnavailable),
        ("truncated-event", InvalidOutput),
        ("garbage-event", InvalidOutput),
        ("wrong-types", InvalidOutput),
        ("endless-event", InvalidOutput),
        ("cut-stream", NetworkError),
        ("truncated-chunk", NetworkError),
    ],
)
async def test_a_fault_in_a_stream_becomes_one_typed_error(
    upstream: Upstream, http: Egress, capability: Capability, model: str, error: type[PromptExecutionError]
) -> None:
    files = (media.sound(),) if capability is Capability.TRANSCRIPTION else ()
    asked = call(upstream, http, capability, model=model, blobs=files, parameters=STREAMED[capability])
    with pytest.raises(error):
        await OpenAI().execute(asked)


async def test_a_stream_without_an_image_is_no_answer(upstream: Upstream, http: Egress) -> None:
    asked = call(upstream, http, Capability.IMAGE, model="empty-stream", parameters=STREAMED[Capability.IMAGE])
    with pytest.raises(InvalidOutput, match="no image"):
        await OpenAI().execute(asked)


async def test_a_transcription_in_the_events_of_a_chat_is_understood(upstream: Upstream, http: Egress) -> None:
    parameters = STREAMED[Capability.TRANSCRIPTION]
    asked = call(
        upstream, http, Capability.TRANSCRIPTION, model="step-by-step", blobs=(media.sound(),), parameters=parameters
    )
    upstream.presence.go.set()
    done = await OpenAI().execute(asked)
    assert (done.text, done.usage) == ("first second", Usage(3, 2))


@pytest.mark.parametrize(
    ("place", "files"), [(1, 1), (-1, 2), (0, 1), (0, 0)], ids=["beyond", "before", "alone", "without files"]
)
async def test_a_mask_is_one_of_the_files(upstream: Upstream, http: Egress, place: int, files: int) -> None:
    asked = call(upstream, http, Capability.IMAGE, mask=place, blobs=(media.image(),) * files)
    with pytest.raises(InvalidInput, match=r"^parameters\.image\.mask: "):
        await OpenAI().execute(asked)
    assert upstream.calls == []


async def test_times_that_make_no_sense(upstream: Upstream, http: Egress) -> None:
    parameters = Parameters(speech=SpeechParameters(timestamps=("segment",)))
    asked = call(
        upstream, http, Capability.TRANSCRIPTION, model="maker", blobs=(media.sound("hi"),), parameters=parameters
    )
    done = await OpenAI().execute(asked)
    assert done.value["segments"][0]["end"] == 0.5
    asked = call(
        upstream, http, Capability.TRANSCRIPTION, model="odd-times", blobs=(media.sound("hi"),), parameters=parameters
    )
    with pytest.raises(InvalidOutput, match="times"):
        await OpenAI().execute(asked)


async def test_a_cancelled_call_closes_the_upstream(upstream: Upstream, http: Egress) -> None:
    task = asyncio.create_task(OpenAI().execute(call(upstream, http, Capability.IMAGE, model="slow-first-byte")))
    async with asyncio.timeout(5):
        await upstream.called()
    cancelled = asyncio.get_running_loop().time()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(5):
        assert await upstream.presence.left() - cancelled < PROMPTLY
