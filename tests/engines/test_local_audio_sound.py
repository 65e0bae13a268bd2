"""Any PCM WAV becomes 16 kHz, 16 bits, one channel."""

from __future__ import annotations

import array
import io
import math
import struct
import sys
import wave
from itertools import pairwise

import pytest

from promptd.engines.local_audio.sound import RATE, read_wav, write_wav

LOUD = 12_000


def tone(rate: int, width: int, channels: int, *, hertz: int = 500, seconds: float = 0.5) -> bytes:
    """A WAV file with the same tone in every channel."""
    frames = bytearray()
    for number in range(int(rate * seconds)):
        value = int(LOUD * math.sin(2 * math.pi * hertz * number / rate))
        frames += (
            bytes([(value >> 8) + 128]) if width == 1 else struct.pack("<i", value << 16)[4 - width :]
        ) * channels
    held = io.BytesIO()
    with wave.open(held, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(bytes(frames))
    return held.getvalue()


def samples_of(data: bytes) -> array.array[int]:
    samples = array.array("h", data)
    if sys.byteorder == "big":
        samples.byteswap()
    return samples


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000])
@pytest.mark.parametrize(("width", "channels"), [(1, 1), (2, 1), (2, 2), (3, 1), (4, 6)])
def test_a_tone_stays_what_it_is(rate: int, width: int, channels: int) -> None:
    samples = samples_of(read_wav(tone(rate, width, channels), most_seconds=1))
    assert len(samples) == pytest.approx(RATE / 2, abs=2)
    rises = sum(before < 0 <= after for before, after in pairwise(samples))
    assert rises == pytest.approx(250, abs=2)
    assert max(samples) == pytest.approx(LOUD, rel=0.08)
    assert min(samples) == pytest.approx(-LOUD, rel=0.08)


def test_what_would_alias_is_muted() -> None:
    """15 kHz can't be heard at 16,000 samples a second; taken as it is, it would come back as 1 kHz at full force."""
    samples = samples_of(read_wav(tone(48_000, 2, 1, hertz=15_000), most_seconds=1))
    assert max(samples) < LOUD / 3


def test_what_is_right_already_is_not_touched() -> None:
    samples = read_wav(tone(RATE, 2, 1), most_seconds=1)
    assert read_wav(write_wav(samples), most_seconds=1) == samples


@pytest.mark.parametrize("data", [b"", b"RIFF", b"ID3\x04 no wave", tone(RATE, 2, 1)[:30]])
def test_what_is_no_wave_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="WAV"):
        read_wav(data, most_seconds=1)


@pytest.mark.parametrize(("rate", "channels"), [(1_000, 1), (192_000, 1), (RATE, 20)])
def test_odd_sounds_are_refused(rate: int, channels: int) -> None:
    with pytest.raises(ValueError, match="channels"):
        read_wav(tone(rate, 2, channels, seconds=0.01), most_seconds=1)


def test_a_float_wave_is_refused() -> None:
    data = bytearray(tone(RATE, 4, 1, seconds=0.01))
    data[20:22] = struct.pack("<H", 3)  # the format's tag: IEEE float
    with pytest.raises(ValueError, match="PCM"):
        read_wav(bytes(data), most_seconds=1)


def test_a_long_sound_is_refused_and_a_lying_header_is_not_believed() -> None:
    with pytest.raises(ValueError, match=r"at most 0\.4 seconds"):
        read_wav(tone(RATE, 2, 1), most_seconds=0.4)
    data = bytearray(tone(RATE, 2, 1, seconds=0.1))
    data[40:44] = struct.pack("<I", 0x7FFFFFF0)  # the size of the samples
    assert len(samples_of(read_wav(bytes(data), most_seconds=1))) == RATE // 10


def test_half_a_frame_at_the_end_is_dropped() -> None:
    data = tone(RATE, 2, 2, seconds=0.1)[:-1]
    assert len(samples_of(read_wav(data, most_seconds=1))) == RATE // 10 - 1
