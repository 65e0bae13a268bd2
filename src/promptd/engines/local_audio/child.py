"""The child process of one call: it speaks a text or writes down a sound, and leaves.

Its parent writes one line of JSON (`Orders`) and the sound's bytes to its stdin, and keeps that pipe open: the pipe's
end is the end of this process and of what it started. Its stdout is one line of JSON (`Report`) and the bytes made.
What it runs is native code on strangers' bytes; a crash here takes nothing else along.
"""

from __future__ import annotations

import array
import ctypes
import importlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from promptd.engines.local_audio.sound import RATE, read_wav, resample, write_wav

_MEMORY = 2 * 1024**3  # bytes of address space
_LONGEST = 1800  # seconds of speech
_TOO_LONG = f"messages: expected a text that takes at most {_LONGEST} seconds to speak"
_PIECE = 8192  # bytes that the recogniser gets at once
_FLITE_VOICES = ("slt", "rms", "kal16", "awb", "kal")  # the first that is there speaks
_VOICE = re.compile(r"[A-Za-z0-9_+-]{1,64}")
_WORDS_PER_MINUTE = 175  # eSpeak's own speed …
_SLOWEST, _FASTEST = 80, 450  # … and how far it goes
_RETRIEVAL = 2  # eSpeak gives samples to a callback before it returns
_UTF8 = 1
_SPEED = 1  # number of the parameter


@dataclass(frozen=True)
class Orders:
    """`speak` a text with `program` (an executable of flite; empty for eSpeak NG's library), or else transcribe."""

    speak: bool
    text: str = ""
    voice: str = ""
    speed: float = 1.0
    program: str = ""
    size: int = 0  #: bytes of sound behind this line
    most_seconds: float = 0.0


@dataclass(frozen=True)
class Report:
    """What was heard, or how many bytes of sound follow; or what is wrong, with a code of promptd's errors."""

    text: str = ""
    size: int = 0
    code: str = ""
    message: str = ""


class Refused(Exception):
    """The orders can't be carried out; the message is for the caller."""


def main() -> None:
    _limit()
    orders = Orders(**json.loads(sys.stdin.buffer.readline()))
    data = sys.stdin.buffer.read(orders.size)
    threading.Thread(target=_leave_at_end_of_stdin, daemon=True).start()
    # native libraries may write to stdout: the report needs that pipe for itself
    reports = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    made = b""
    try:
        if orders.speak:
            made = speak_with_flite(orders) if orders.program else speak_with_espeak(orders)
            report = Report(size=len(made))
        else:
            report = Report(text=transcribe(data, orders.most_seconds))
    except Refused as error:
        report = Report(code="invalid_input", message=str(error))
    except (ImportError, OSError, MemoryError, RuntimeError) as error:
        report = Report(code="service_unavailable", message=f"{type(error).__name__}: {error}")
    reports.write(json.dumps(asdict(report)).encode() + b"\n" + made)
    reports.flush()
    os._exit(0)  # native threads and destructors have nothing left to say


def transcribe(data: bytes, most_seconds: float) -> str:
    """What is said in a WAV file, in English."""
    try:
        samples = read_wav(data, most_seconds=most_seconds)
    except ValueError as error:
        raise Refused(f"files[0]: {error}") from error
    pocketsphinx = importlib.import_module("pocketsphinx")
    decoder = pocketsphinx.Decoder(samprate=float(RATE), loglevel="FATAL")
    decoder.start_utt()
    for start in range(0, len(samples), _PIECE):
        decoder.process_raw(samples[start : start + _PIECE])
    decoder.end_utt()
    heard = decoder.hyp()
    return "" if heard is None else str(heard.hypstr)


def speak_with_flite(orders: Orders) -> bytes:
    listed = subprocess.run([orders.program, "-lv"], capture_output=True, text=True, check=False).stdout  # noqa: S603
    voices = [voice for voice in listed.partition(":")[2].split() if not voice.endswith("_time")]
    # anything else would be taken for a file's name or an address
    voice = _choose(orders.voice, voices)
    with tempfile.TemporaryDirectory(prefix="promptd-speech-") as folder:
        text, sound = Path(folder, "text"), Path(folder, "sound.wav")
        text.write_text(orders.text, "utf-8")
        stretch = f"duration_stretch={1 / orders.speed:.4f}"
        command = [orders.program, "-voice", voice, "--setf", stretch, "-f", str(text), "-o", str(sound)]
        ended = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)  # noqa: S603
        if ended.returncode != 0 or not sound.exists():
            raise RuntimeError(f"flite left with status {ended.returncode}")
        try:
            return write_wav(read_wav(sound.read_bytes(), most_seconds=_LONGEST))
        except ValueError as error:
            raise Refused(_TOO_LONG) from error


def _choose(asked: str, voices: list[str]) -> str:
    if asked and asked not in voices:
        raise Refused(f"parameters.speech.voice: expected one of {', '.join(voices)}")
    voice = asked or next((voice for voice in _FLITE_VOICES if voice in voices), "")
    if not voice:
        raise RuntimeError("flite has no voice")
    return voice


def speak_with_espeak(orders: Orders) -> bytes:
    """The library of the package espeakng-loader, as its header describes it."""
    package = importlib.import_module("espeakng_loader")
    library: Any = ctypes.CDLL(package.get_library_path())
    rate = library.espeak_Initialize(_RETRIEVAL, 0, package.get_data_path().encode(), 1 << 15)
    if rate <= 0:
        raise RuntimeError("eSpeak NG can't read its data")
    voice = orders.voice or "en-us"
    if not _VOICE.fullmatch(voice) or library.espeak_SetVoiceByName(voice.encode()) != 0:
        raise Refused("parameters.speech.voice: expected a voice of eSpeak NG, such as en-us or de")
    samples = array.array("h")

    def keep(piece: Any, count: int, events: Any) -> int:
        if piece and count > 0:
            samples.frombytes(ctypes.string_at(piece, count * 2))
        return int(len(samples) > _LONGEST * rate)

    kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
    callback = kind(keep)
    library.espeak_SetSynthCallback(callback)
    library.espeak_SetParameter(_SPEED, min(_FASTEST, max(_SLOWEST, round(_WORDS_PER_MINUTE * orders.speed))), 0)
    text = orders.text.encode()
    library.espeak_Synth(text, ctypes.c_size_t(len(text) + 1), 0, 0, 0, _UTF8, None, None)
    library.espeak_Synchronize()
    if len(samples) > _LONGEST * rate:
        raise Refused(_TOO_LONG)
    return write_wav(resample(samples, rate))


def _limit() -> None:
    """Bounds where the system keeps them; and no core files of other people's sounds."""
    for kind, most in ((resource.RLIMIT_AS, _MEMORY), (resource.RLIMIT_CORE, 0)):
        with suppress(ValueError, OSError):
            resource.setrlimit(kind, (most, most))


def _leave_at_end_of_stdin() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
