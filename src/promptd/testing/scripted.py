"""`Scripted`: an engine that does what a script says, for tests of everything above it, kill tests included.

A script is a JSON list of steps, or a list of such lists: then the n-th attempt runs the n-th, and the last one repeats.
It stands in the prompt's last user message or in the connection; without one the engine repeats that message, draws as
many images of it as were asked for, speaks it, or tells what was spoken in the sounds that came along.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from pydantic import Field, JsonValue, field_validator

from promptd.core.chat_queries import ChatQueries, ChatQuery
from promptd.core.content import ToolCall
from promptd.core.engine import Call, Config
from promptd.core.errors import EXECUTION_CODES, InvalidInput
from promptd.core.model import Blob, Capability, Chunk, Usage
from promptd.core.parameters import ImageParameters
from promptd.testing import media

_POLL = 0.01  # seconds between two looks for a file
_CRASH_STATUS = 70


class _Step(Struct, frozen=True, forbid_unknown_fields=True):
    """Its first field names it."""


class Say(_Step, frozen=True, forbid_unknown_fields=True):
    """Text, in `pieces` chunks."""

    say: str
    pieces: int = 1


class Wait(_Step, frozen=True, forbid_unknown_fields=True):
    """Seconds of silence."""

    wait: float


class WaitFile(_Step, frozen=True, forbid_unknown_fields=True):
    """Silence until somebody creates the file."""

    wait_file: str


class Fail(_Step, frozen=True, forbid_unknown_fields=True):
    """The error with this code of core/errors."""

    fail: str
    message: str = ""
    retry_after: float | None = None


class Raise(_Step, frozen=True, forbid_unknown_fields=True):
    """An exception that nobody mapped."""

    raise_: str = msgspec.field(name="raise")


class Crash(_Step, frozen=True, forbid_unknown_fields=True):
    """The whole process ends at once, as after `kill -9`."""

    crash: bool


class Hang(_Step, frozen=True, forbid_unknown_fields=True):
    """Silence for ever."""

    hang: bool


class Tool(_Step, frozen=True, forbid_unknown_fields=True):
    """A tool call."""

    tool: str
    arguments: dict[str, Any] = {}
    id: str = "call_1"


class Finish(_Step, frozen=True, forbid_unknown_fields=True):
    """The finish reason, where it is not the usual one."""

    finish: str


class Images(_Step, frozen=True, forbid_unknown_fields=True):
    """So many PNG images."""

    images: int
    width: int = 8
    height: int = 8


class Speech(_Step, frozen=True, forbid_unknown_fields=True):
    """A WAV sound, from which a transcription gets this text back."""

    speech: str


class Fraction(_Step, frozen=True, forbid_unknown_fields=True):
    """Progress without text: how much is done, 0 … 1."""

    fraction: float


_STEPS: dict[str, type[_Step]] = {
    "say": Say,
    "wait": Wait,
    "wait_file": WaitFile,
    "fail": Fail,
    "raise": Raise,
    "crash": Crash,
    "hang": Hang,
    "tool": Tool,
    "finish": Finish,
    "images": Images,
    "speech": Speech,
    "fraction": Fraction,
}


class ScriptedConfig(Config):
    """Settings of a scripted connection. Its scripts can end the server: never offer it to strangers."""

    script: list[JsonValue] = Field([], description="Steps, or one list of steps per attempt")
    prompt_scripts: bool = Field(True, description="Take a script from the prompt's text, where that is one")
    pieces: int = Field(4, ge=1, description="Chunks of an answer that repeats the prompt")
    journal: str = Field("", description="File that gets one JSON line per call, on disk before the call does anything")
    dimensions: int = Field(8, ge=1, le=32, description="Length of embeddings")

    @field_validator("script")
    @classmethod
    def _is_script(cls, value: list[JsonValue]) -> list[JsonValue]:
        try:
            for attempt in range(1, 1 + max(1, len(value))):
                parse_script(value, attempt)
        except InvalidInput as error:
            raise ValueError(error.message) from error
        return value


class Scripted(ChatQueries[ScriptedConfig]):
    type_id = "scripted"
    display_name_key = "scripted.name"
    display_description_key = "scripted.description"
    capabilities = frozenset(Capability) - {Capability.QUERY}

    async def run(self, call: Call[ScriptedConfig, ChatQuery]) -> AsyncGenerator[Chunk, None]:
        config = call.connection
        text = call.texts[0] if call.texts else asked_text(call)
        if config.journal:
            _note(Path(config.journal), call, text)
        if call.capability is Capability.EMBEDDING:
            vectors = [embed(item, config.dimensions) for item in call.texts]
            usage = Usage(input_tokens=sum(len(item.split()) for item in call.texts))
            yield Chunk("done", finish_reason="stop", usage=usage, value={"embeddings": vectors})
            return
        script = _script_in(text) if config.prompt_scripts else None
        steps = parse_script(config.script if script is None else script, call.attempt)
        steps = steps or [_unscripted(call, text, config.pieces)]
        said, reason = 0, "stop"
        blobs: list[Blob] = []
        for step in steps:
            if isinstance(step, Finish):
                reason = step.finish
            elif isinstance(step, Say):
                for piece in cut(step.say, step.pieces):
                    yield Chunk("progress", text=piece)
                    # an engine that never waits would give its readers no turn
                    await asyncio.sleep(0)
                said += len(step.say.split())
            elif isinstance(step, Tool):
                reason = "tool_calls"
                arguments = json.dumps(step.arguments)
                yield Chunk("progress", tool_calls=(ToolCall(0, step.id, step.tool, arguments),))
            elif isinstance(step, Fraction):
                yield Chunk("progress", fraction=step.fraction)
                await asyncio.sleep(0)
            elif isinstance(step, Images | Speech):
                blobs += _files(step, text, len(blobs))
            else:
                await _act(step)
        yield Chunk("done", finish_reason=reason, usage=Usage(len(text.split()), said), blobs=tuple(blobs))


def asked_text(call: Call[Any, Any]) -> str:
    return next((turn.content for turn in reversed(call.messages) if turn.role == "user"), "")


def _unscripted(call: Call[Any, Any], text: str, pieces: int) -> _Step:
    """What a prompt without a script gets."""
    if call.capability is Capability.IMAGE:
        asked = call.parameters.image or ImageParameters()
        return Images((asked.batch_size or 1) * (asked.rounds or 1), asked.width or 8, asked.height or 8)
    if call.capability is Capability.SPEECH:
        return Speech(text)
    if call.capability is Capability.TRANSCRIPTION:
        if not call.blobs:
            raise InvalidInput("files: expected a sound")
        text = " ".join(media.comment_of(blob.data) or f"{len(blob.data)} bytes" for blob in call.blobs)
    elif call.parameters.template:
        text = call.parameters.template.replace("{prompt}", text)
    return Say(text, pieces)


def _files(step: Images | Speech, text: str, made: int) -> list[Blob]:
    """`made` is how many files the attempt has already: none looks like another."""
    if isinstance(step, Speech):
        return [media.sound(step.speech, f"speech-{made + 1}.wav")]
    return [
        Blob(f"image-{number}.png", "image/png", media.png(f"{text}|{number}", step.width, step.height))
        for number in range(made + 1, made + 1 + step.images)
    ]


def parse_script(script: Sequence[Any], attempt: int) -> list[_Step]:
    """The steps of one attempt, 1 for the first. Raises `InvalidInput` that names the step."""
    path = "script"
    if script and all(isinstance(entry, list) for entry in script):
        number = min(attempt, len(script)) - 1
        script, path = script[number], f"script[{number}]"
    return [_parse_step(entry, f"{path}[{number}]") for number, entry in enumerate(script)]


def cut(text: str, pieces: int) -> Iterator[str]:
    """`text` in at most `pieces` parts of about one length."""
    size = max(1, -(-len(text) // max(1, pieces)))
    return (text[start : start + size] for start in range(0, len(text), size))


def embed(text: str, dimensions: int) -> list[float]:
    """Numbers in -1 … 1 that depend on the text alone."""
    return [byte / 127.5 - 1 for byte in hashlib.sha256(text.encode()).digest()[:dimensions]]


def _script_in(text: str) -> list[Any] | None:
    if not text.lstrip().startswith("["):
        return None
    try:
        script = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return None
    return script if isinstance(script, list) and script and isinstance(script[0], dict | list) else None


def _parse_step(entry: Any, path: str) -> _Step:
    kind = next((_STEPS[name] for name in entry if name in _STEPS), None) if isinstance(entry, dict) else None
    if kind is None:
        raise InvalidInput(f"{path}: expected one of {', '.join(_STEPS)}")
    try:
        step = msgspec.convert(entry, kind)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"{path}: {error}") from error
    if isinstance(step, Fail) and step.fail not in EXECUTION_CODES:
        raise InvalidInput(f"{path}.fail: expected one of {', '.join(sorted(EXECUTION_CODES))}")
    return step


async def _act(step: _Step) -> None:
    if isinstance(step, Wait):
        await asyncio.sleep(step.wait)
    elif isinstance(step, WaitFile):
        while not _is_there(step.wait_file):  # noqa: ASYNC110 - another process can't set an event here
            await asyncio.sleep(_POLL)
    elif isinstance(step, Fail):
        raise EXECUTION_CODES[step.fail](step.message, retry_after=step.retry_after)
    elif isinstance(step, Raise):
        raise RuntimeError(step.raise_)
    elif isinstance(step, Crash) and step.crash:
        os._exit(_CRASH_STATUS)
    elif isinstance(step, Hang) and step.hang:
        await asyncio.get_running_loop().create_future()


def _is_there(path: str) -> bool:
    return Path(path).exists()


def _note(journal: Path, call: Call[Any, Any], text: str) -> None:
    """Blocks the loop on purpose: nothing of the call may happen before its line is on disk."""
    line = {
        "prompt": call.run_id,
        "attempt": call.attempt,
        "model": call.model,
        "text": text,
        "pid": os.getpid(),
        "time": time.time(),
    }
    handle = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, msgspec.json.encode(line) + b"\n")
        os.fsync(handle)
    finally:
        os.close(handle)
