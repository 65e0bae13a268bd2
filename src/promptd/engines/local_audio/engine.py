"""The engine: one child process per call, within bounds of time and size."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import msgspec

from promptd.core.calls import CheckLine
from promptd.core.chat_queries import text_inputs
from promptd.core.descriptors import Param
from promptd.core.engine import (
    Call,
    ConnectionTestParams,
    ConnectionTestResult,
    DescribeParams,
    Engine,
    Result,
    Standing,
)
from promptd.core.errors import (
    EXECUTION_CODES,
    HandlerUnavailable,
    InputTooLarge,
    InvalidInput,
    ServiceUnavailable,
    Timeout,
    UnsupportedInput,
)
from promptd.core.forms import Form, FormContext, make_form
from promptd.core.localisation import Key
from promptd.core.media_queries import AUDIO, TEXT, media_outputs, sound_input, speech_call, transcription_call
from promptd.core.model import Blob, Capability
from promptd.core.parameters import SpeechParameters
from promptd.core.prompt_files import PromptFile
from promptd.engines.local_audio.child import Orders, Report
from promptd.engines.local_audio.config import CONNECTION, QUERY, AudioQuery, LocalAudioConfig

_CHILD = "promptd.engines.local_audio.child"
_RECOGNISER = "pocketsphinx"
_ESPEAK = "espeakng_loader"
_MOST_BYTES = 64 * 1024 * 1024  # of a sound, in and out
_SLOWEST, _FASTEST = 0.25, 4.0
_WAV = ("audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave")
_NO_RECOGNISER = "transcription on this machine needs PocketSphinx: install promptd with the extra `audio`"
_NO_SYNTHESIZER = {
    "auto": "speech on this machine needs flite (a package of the operating system) or eSpeak NG (the extra `espeak`)",
    "flite": "speech on this machine needs the program flite on the server's PATH",
    "espeak-ng": "speech on this machine needs eSpeak NG: install promptd with the extra `espeak`",
}


class LocalAudio(Engine[LocalAudioConfig, AudioQuery]):
    """English by default: PocketSphinx and flite know no other language, eSpeak NG does."""

    type_id = "local_audio"
    display_name_key = "local_audio.name"
    display_description_key = "local_audio.description"
    capabilities = frozenset({Capability.SPEECH, Capability.TRANSCRIPTION})

    def compute_query_input(self, params: DescribeParams[LocalAudioConfig, AudioQuery]) -> Sequence[Param]:
        query = params.query
        return [sound_input(*_WAV)] if query.task == "transcription" else text_inputs(query.prompt)

    def compute_query_output(self, params: DescribeParams[LocalAudioConfig, AudioQuery]) -> Sequence[Param]:
        return media_outputs(params.query.task)

    def connection_form(self, context: FormContext) -> Form:
        return make_form(LocalAudioConfig, CONNECTION)

    def query_form(self, context: FormContext) -> Form:
        return make_form(AudioQuery, QUERY)

    async def execute(self, call: Call[LocalAudioConfig, AudioQuery]) -> Result:
        if call.capability is not Capability.QUERY:
            return await self._execute(call)
        query = call.query
        if query.task == "transcription":
            result = await self._execute(await transcription_call(call, "", query.language))
            return Result(value={TEXT: result.text})
        speech = SpeechParameters(query.voice or None, query.speed, None, query.language or None)
        result = await self._execute(speech_call(call, query.prompt, speech))
        return Result(
            value={}, files={AUDIO: [PromptFile.from_bytes(one.name, one.data, one.media_type) for one in result.blobs]}
        )

    async def _execute(self, call: Call[LocalAudioConfig, Any]) -> Result:
        if call.capability is Capability.TRANSCRIPTION:
            orders, sound = _transcription(call)
        elif call.capability is Capability.SPEECH:
            orders, sound = _speech(call), b""
        else:
            raise UnsupportedInput(f"capability: this engine can't do {call.capability}")
        report, made = await _in_child(orders, sound, call.connection.timeout)
        if orders.speak:
            return Result(blobs=(Blob("speech.wav", "audio/wav", made),))
        return Result(text=report.text)

    async def test_connection(self, params: ConnectionTestParams[LocalAudioConfig]) -> ConnectionTestResult:
        missing = _missing(params.connection)
        if missing:
            return ConnectionTestResult(
                ok=False, message="; ".join(missing), checks=tuple(CheckLine(False, text) for text in missing)
            )
        speaks = Key("local_audio.test.speaks", {"program": _flite(params.connection) or "eSpeak NG"})
        listens = Key("local_audio.test.listens")
        return ConnectionTestResult(
            ok=True, message=Key("local_audio.test.ready"), checks=(CheckLine(True, speaks), CheckLine(True, listens))
        )

    def standing(self, name: str, connection: LocalAudioConfig) -> Standing:
        missing = _missing(connection)
        return Standing(state="unavailable" if len(missing) == 2 else "ready", reason="; ".join(missing))


def _speech(call: Call[LocalAudioConfig, Any]) -> Orders:
    config = call.connection
    wishes = call.parameters.speech or SpeechParameters()
    text = next((turn.content for turn in reversed(call.messages) if turn.role == "user"), "")
    if call.parameters.template is not None:
        text = call.parameters.template.replace("{prompt}", text)
    if not any(letter.isalnum() for letter in text):
        raise InvalidInput("messages: expected a text to speak")
    if len(text) > config.max_characters:
        raise InputTooLarge(f"messages: expected at most {config.max_characters} characters to speak")
    if wishes.format not in (None, "wav"):
        raise UnsupportedInput("parameters.speech.format: this engine makes wav only")
    speed = 1.0 if wishes.speed is None else wishes.speed
    if not _SLOWEST <= speed <= _FASTEST:
        raise InvalidInput(f"parameters.speech.speed: expected {_SLOWEST:g} to {_FASTEST:g}")
    program = _flite(config)
    if not program and not _has_espeak(config):
        raise HandlerUnavailable(_NO_SYNTHESIZER[config.synthesizer])
    if program and not _english(wishes.language):
        raise UnsupportedInput("parameters.speech.language: flite speaks English only")
    voice = wishes.voice or config.voice or ("" if program else wishes.language or "")
    return Orders(speak=True, text=text, voice=voice, speed=speed, program=program)


def _transcription(call: Call[LocalAudioConfig, Any]) -> tuple[Orders, bytes]:
    if len(call.blobs) != 1:
        raise InvalidInput(f"files: expected one sound, found {len(call.blobs)} files")
    sound = call.blobs[0]
    if sound.media_type not in _WAV:
        raise UnsupportedInput(f"files[0]: this engine reads WAV only, not {sound.media_type}")
    if len(sound.data) > _MOST_BYTES:
        raise InputTooLarge(f"files[0]: expected at most {_MOST_BYTES} bytes")
    if call.parameters.speech is not None and call.parameters.speech.timestamps:
        raise UnsupportedInput("parameters.speech.timestamps: this engine tells no times")
    if call.parameters.speech is not None and not _english(call.parameters.speech.language):
        raise UnsupportedInput("parameters.speech.language: this engine understands English only")
    if importlib.util.find_spec(_RECOGNISER) is None:
        raise HandlerUnavailable(_NO_RECOGNISER)
    return Orders(speak=False, size=len(sound.data), most_seconds=call.connection.max_seconds), sound.data


def _english(language: str | None) -> bool:
    return language is None or language.lower().replace("_", "-").split("-")[0] in ("en", "eng")


def _flite(config: LocalAudioConfig) -> str:
    """The path of the program, empty where it is missing or not wanted."""
    return "" if config.synthesizer == "espeak-ng" else shutil.which("flite") or ""


def _has_espeak(config: LocalAudioConfig) -> bool:
    return config.synthesizer != "flite" and importlib.util.find_spec(_ESPEAK) is not None


def _missing(config: LocalAudioConfig) -> list[str]:
    missing = [] if _flite(config) or _has_espeak(config) else [_NO_SYNTHESIZER[config.synthesizer]]
    return missing if importlib.util.find_spec(_RECOGNISER) is not None else [*missing, _NO_RECOGNISER]


async def _in_child(orders: Orders, sound: bytes, timeout: float) -> tuple[Report, bytes]:
    """Have a child carry the orders out; its report and the sound it made."""
    # its temporary files hold the caller's text, and a child that is killed removes none
    with tempfile.TemporaryDirectory(prefix="promptd-audio-", ignore_cleanup_errors=True) as folder:
        return await _run_child(orders, sound, timeout, folder)


async def _run_child(orders: Orders, sound: bytes, timeout: float, folder: str) -> tuple[Report, bytes]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        _CHILD,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        # a group of its own, so that what the child starts ends with it; and a terminal's Ctrl-C is for the server
        start_new_session=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("PROMPTD_")} | {"TMPDIR": folder},
        limit=_MOST_BYTES,
    )
    try:
        async with asyncio.timeout(timeout):
            return await _talk(process, orders, sound)
    except TimeoutError as error:
        raise Timeout(f"speech or transcription took longer than {timeout:g} s") from error
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def _talk(process: asyncio.subprocess.Process, orders: Orders, sound: bytes) -> tuple[Report, bytes]:
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(ConnectionError):  # a child that is gone is noticed when it says nothing
        process.stdin.write(json.dumps(asdict(orders)).encode() + b"\n" + sound)
        await process.stdin.drain()
    try:
        report = msgspec.json.decode(await process.stdout.readline(), type=Report)
        made = await process.stdout.readexactly(report.size)
    except (msgspec.DecodeError, asyncio.IncompleteReadError) as error:
        raise ServiceUnavailable(f"the process that {_does(orders)} {await _end_of(process)}") from error
    if report.code:
        raise EXECUTION_CODES[report.code](report.message[:500])
    return report, made


def _does(orders: Orders) -> str:
    return "speaks" if orders.speak else "listens"


async def _end_of(process: asyncio.subprocess.Process) -> str:
    """How it ended, in words that fit behind "the process"."""
    status: Any = await process.wait()
    if status < 0:
        with suppress(ValueError):
            return f"was ended by {signal.Signals(-status).name}"
    return f"left with status {status}"
