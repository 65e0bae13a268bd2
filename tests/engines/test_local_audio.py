"""The `local_audio` engine: its exam, speech that is understood, and children that misbehave."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest
from pydantic import ValidationError

from promptd.core.content import Turn
from promptd.core.engine import Call, ConnectionTestParams
from promptd.core.errors import (
    HandlerUnavailable,
    InputTooLarge,
    InvalidInput,
    PromptExecutionError,
    ServiceUnavailable,
    Timeout,
    UnsupportedInput,
)
from promptd.core.localisation import resolve
from promptd.core.model import Blob, Capability
from promptd.core.parameters import Parameters, SpeechParameters
from promptd.egress import Egress
from promptd.engines.local_audio.config import LocalAudioConfig
from promptd.engines.local_audio.engine import LocalAudio
from promptd.engines.local_audio.sound import RATE, read_wav, write_wav
from promptd.testing import media
from promptd.testing.engines import EngineContract

SENTENCE = "Hello world, please open the door and turn on the light."
WORDS = {"hello", "world", "open", "door", "on"}

pytestmark = pytest.mark.slow

needs_flite = pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not installed")
needs_espeak = pytest.mark.skipif(
    importlib.util.find_spec("espeakng_loader") is None, reason="the extra `espeak` is not installed"
)
needs_ears = pytest.mark.skipif(
    importlib.util.find_spec("pocketsphinx") is None, reason="the extra `audio` is not installed"
)


def call(capability: Capability, text: str = SENTENCE, **fields: Any) -> Call[LocalAudioConfig, Any]:
    settings = {name: fields.pop(name) for name in list(fields) if name in LocalAudioConfig.model_fields}
    wishes = {name: fields.pop(name) for name in list(fields) if name in SpeechParameters.__struct_fields__}
    given: dict[str, Any] = {
        "messages": (Turn("user", text),),
        "parameters": Parameters(speech=SpeechParameters(**wishes) if wishes else None),
        "connection": LocalAudioConfig.model_validate(settings),
    }
    return Call(connection_name="c", model="m", http=Egress(), capability=capability, **(given | fields))


async def speak(text: str = SENTENCE, **fields: Any) -> Blob:
    (blob,) = (await LocalAudio().execute(call(Capability.SPEECH, text, **fields))).blobs
    return blob


@needs_flite
@needs_ears
class TestContract(EngineContract):
    @pytest.fixture
    def engine(self) -> LocalAudio:
        return LocalAudio()

    @pytest.fixture
    def connection(self) -> LocalAudioConfig:
        return LocalAudioConfig.model_validate({})

    @pytest.fixture
    def http(self) -> Egress:
        return Egress()

    @pytest.fixture
    def model(self) -> str:
        return "any"

    @pytest.fixture
    async def sound(self) -> Blob:
        return await speak("hello world")


@needs_ears
@pytest.mark.parametrize(
    "synthesizer", [pytest.param("flite", marks=needs_flite), pytest.param("espeak-ng", marks=needs_espeak)]
)
async def test_what_is_spoken_is_understood(synthesizer: str) -> None:
    spoken = await speak(synthesizer=synthesizer)
    assert (spoken.name, spoken.media_type) == ("speech.wav", "audio/wav")
    heard = await LocalAudio().execute(call(Capability.TRANSCRIPTION, "", blobs=(spoken,), language="en-US"))
    assert set(heard.text.split()) >= WORDS


def seconds(blob: Blob) -> float:
    return len(read_wav(blob.data, most_seconds=60)) / 2 / RATE


@pytest.mark.parametrize(
    "synthesizer", [pytest.param("flite", marks=needs_flite), pytest.param("espeak-ng", marks=needs_espeak)]
)
async def test_speed_is_heeded(synthesizer: str) -> None:
    usual, slow, fast = await asyncio.gather(*[speak(synthesizer=synthesizer, speed=speed) for speed in (1, 0.6, 1.8)])
    assert seconds(slow) > seconds(usual) * 1.3
    assert seconds(fast) < seconds(usual) * 0.8


@needs_flite
async def test_voices_differ_and_an_unknown_one_is_named() -> None:
    man, woman, usual = await asyncio.gather(
        speak("hello", voice="rms"), speak("hello", voice="slt"), speak("hello", synthesizer="flite")
    )
    assert man.data != woman.data == usual.data
    for voice in ("nobody", "/etc/passwd", "http://127.0.0.1:9/x.flitevox", "-lv"):
        with pytest.raises(InvalidInput, match=r"^parameters\.speech\.voice: expected one of .*slt"):
            await speak("hello", parameters=Parameters(speech=SpeechParameters(voice=voice)))


@needs_espeak
async def test_espeak_knows_languages() -> None:
    german, english = await asyncio.gather(
        speak("guten Tag", synthesizer="espeak-ng", language="de"), speak("guten Tag", synthesizer="espeak-ng")
    )
    assert german.data != english.data
    for voice in ("no-such-voice", "../../../etc/passwd"):
        with pytest.raises(InvalidInput, match=r"^parameters\.speech\.voice"):
            await speak("x", synthesizer="espeak-ng", parameters=Parameters(speech=SpeechParameters(voice=voice)))


@needs_ears
async def test_silence_is_no_text() -> None:
    silence = Blob("a.wav", "audio/x-wav", write_wav(bytes(RATE)))
    assert (await LocalAudio().execute(call(Capability.TRANSCRIPTION, blobs=(silence,)))).text == ""


SOUND = media.sound()


@needs_ears
@pytest.mark.parametrize(
    ("capability", "fields", "error", "named"),
    [
        (Capability.SPEECH, {"text": " … "}, InvalidInput, "messages"),
        (Capability.SPEECH, {"messages": ()}, InvalidInput, "messages"),
        (Capability.SPEECH, {"max_characters": 5}, InputTooLarge, "messages"),
        (Capability.SPEECH, {"format": "mp3"}, UnsupportedInput, "parameters.speech.format"),
        (Capability.SPEECH, {"speed": 9.0}, InvalidInput, "parameters.speech.speed"),
        (Capability.SPEECH, {"speed": float("nan")}, InvalidInput, "parameters.speech.speed"),
        (Capability.TRANSCRIPTION, {}, InvalidInput, "files"),
        (Capability.TRANSCRIPTION, {"blobs": (SOUND, SOUND)}, InvalidInput, "files"),
        (Capability.TRANSCRIPTION, {"blobs": (media.image(),)}, UnsupportedInput, "files[0]"),
        (Capability.TRANSCRIPTION, {"blobs": (SOUND,), "language": "de"}, UnsupportedInput, "parameters.speech"),
        (Capability.TRANSCRIPTION, {"blobs": (Blob("a", "audio/wav", b"RIFF"),)}, InvalidInput, "files[0]"),
        (Capability.TRANSCRIPTION, {"blobs": (SOUND,), "max_seconds": 0.01}, InvalidInput, "files[0]"),
        (Capability.CHAT, {}, UnsupportedInput, "capability"),
    ],
)
async def test_bad_input_names_its_field(
    capability: Capability, fields: dict[str, Any], error: type[PromptExecutionError], named: str
) -> None:
    with pytest.raises(error) as raised:
        await LocalAudio().execute(call(capability, **fields))
    assert raised.value.message.startswith(named)


@pytest.mark.parametrize(
    ("setting", "value"), [("synthesizer", "festival"), ("timeout", 0), ("max_seconds", 1e9), ("no_such", 1)]
)
def test_a_wrong_setting_is_named(setting: str, value: object) -> None:
    with pytest.raises(ValidationError, match=setting):
        LocalAudioConfig.model_validate({setting: value})


# ------------------------------------------------------------------ what is not there


async def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    engine, config = LocalAudio(), LocalAudioConfig.model_validate({})
    with pytest.raises(HandlerUnavailable, match=r"flite .* or eSpeak NG \(the extra `espeak`\)"):
        await speak()
    with pytest.raises(HandlerUnavailable, match="the extra `audio`"):
        await engine.execute(call(Capability.TRANSCRIPTION, blobs=(SOUND,)))
    found = await engine.test_connection(ConnectionTestParams(connection=config, connection_name="c", http=Egress()))
    assert not found.ok
    assert isinstance(found.message, str)
    assert "flite" in found.message
    assert "PocketSphinx" in found.message
    assert engine.standing("c", config).state == "unavailable"


@needs_flite
@needs_ears
async def test_check_says_who_speaks_and_who_listens() -> None:
    config = LocalAudioConfig.model_validate({})
    found = await LocalAudio().test_connection(
        ConnectionTestParams(connection=config, connection_name="c", http=Egress())
    )
    assert found.ok
    said = [resolve(line.text, LocalAudio().localizer(), "en") for line in found.checks]
    assert "flite" in said[0]
    assert said[1] == "PocketSphinx listens"
    assert LocalAudio().standing("c", config).state == "ready"


# ------------------------------------------------------------------ children that misbehave

Fake = Callable[[str], None]


@pytest.fixture
def flite(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Fake:
    """Put a program named flite, with a voice and this shell script, before all others."""

    def make(script: str) -> None:
        program = tmp_path / "flite"
        program.write_text(f'#!/bin/sh\nif [ "$1" = -lv ]; then echo "Voices available: slt"; exit; fi\n{script}\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    return make


async def test_a_crash_is_an_error_of_this_call_only(flite: Fake) -> None:
    flite("kill -9 $PPID")
    with pytest.raises(ServiceUnavailable, match="ended by SIGKILL"):
        await speak()


async def test_a_failing_program_is_an_error(flite: Fake) -> None:
    flite("exit 3")
    with pytest.raises(ServiceUnavailable, match="status 3"):
        await speak()


class Life:
    """A FIFO that a fake program holds open as long as it lives."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._path = path
        self._stream: IO[str] | None = None
        self.script = f"exec 3> {path}; echo begun >&3; sleep 30"

    async def begun(self) -> None:
        self._stream = await asyncio.to_thread(self._path.open)
        assert await asyncio.to_thread(self._stream.readline) == "begun\n"

    async def ended(self) -> None:
        assert self._stream is not None
        async with asyncio.timeout(5):
            assert await asyncio.to_thread(self._stream.read) == ""
        self._stream.close()


@pytest.fixture
def life(flite: Fake, tmp_path: Path) -> Life:
    """Of a flite that hangs."""
    held = Life(tmp_path / "life")
    flite(held.script)
    return held


async def test_a_hanging_program_is_ended(life: Life) -> None:
    speaking = asyncio.create_task(speak(timeout=2.0))
    await life.begun()
    with pytest.raises(Timeout, match="2 s"):
        await speaking
    await life.ended()


async def test_a_cancelled_call_ends_its_program(life: Life) -> None:
    speaking = asyncio.create_task(speak())
    await life.begun()
    speaking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await speaking
    await life.ended()


SERVER = """
import asyncio, os, sys, threading
from promptd.core.engine import Call
from promptd.core.model import Capability, Turn
from promptd.egress import Egress
from promptd.engines.local_audio.config import LocalAudioConfig
from promptd.engines.local_audio.engine import LocalAudio

def die():
    sys.stdin.read()
    os._exit(9)

threading.Thread(target=die, daemon=True).start()
asyncio.run(LocalAudio().execute(Call(connection=LocalAudioConfig(), connection_name="c", model="m", http=Egress(),
            capability=Capability.SPEECH, messages=(Turn("user", "hello"),))))
"""


async def test_no_program_outlives_the_server(life: Life) -> None:
    with subprocess.Popen([sys.executable, "-c", SERVER], stdin=subprocess.PIPE) as server:
        await life.begun()
        assert server.stdin is not None
        server.stdin.close()
        assert await asyncio.to_thread(server.wait, 10) == 9
    await life.ended()
