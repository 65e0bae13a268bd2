"""WAV files in and out, with the standard library alone: any PCM becomes 16 kHz, 16 bits, one channel."""

from __future__ import annotations

import array
import io
import sys
import wave
from itertools import accumulate, pairwise

RATE = 16_000  # samples per second
WIDTH = 2  # bytes of a sample
_SLOWEST, _FASTEST = 4_000, 96_000
_MOST_CHANNELS = 8


def read_wav(data: bytes, *, most_seconds: float) -> bytes:
    """The samples of a WAV file at `RATE`. Raises `ValueError` with what is wrong, for users."""
    try:
        with wave.open(io.BytesIO(data)) as file:
            channels, width, rate = file.getnchannels(), file.getsampwidth(), file.getframerate()
            frames = file.readframes(file.getnframes())
    except (wave.Error, EOFError, ValueError, ArithmeticError) as error:
        raise ValueError("expected a WAV sound with PCM samples") from error
    if not (1 <= channels <= _MOST_CHANNELS and 1 <= width <= 4 and _SLOWEST <= rate <= _FASTEST):
        raise ValueError(f"expected 1 to {_MOST_CHANNELS} channels and {_SLOWEST} to {_FASTEST} samples per second")
    frames = frames[: len(frames) - len(frames) % (channels * width)]
    if len(frames) > most_seconds * rate * channels * width:
        raise ValueError(f"expected a sound of at most {most_seconds:g} seconds")
    return resample(_mixed(_narrowed(frames, width), channels), rate)


def write_wav(samples: bytes) -> bytes:
    """A WAV file of samples at `RATE`."""
    held = io.BytesIO()
    with wave.open(held, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(WIDTH)
        file.setframerate(RATE)
        file.writeframes(samples)
    return held.getvalue()


def resample(samples: array.array[int], rate: int) -> bytes:
    """Samples of `rate` as bytes at `RATE`: means on the way down, straight lines on the way up."""
    count = len(samples) * RATE // rate
    if rate == RATE:
        made = samples
    elif rate > RATE:
        sums = [0, *accumulate(samples)]
        edges = [number * rate // RATE for number in range(count + 1)]
        made = array.array("h", ((sums[end] - sums[begin]) // (end - begin) for begin, end in pairwise(edges)))
    else:
        held = array.array("h", [*samples, *samples[-1:]])
        made = array.array("h")
        for number in range(count):
            place, part = divmod(number * rate, RATE)
            made.append(held[place] + (held[place + 1] - held[place]) * part // RATE)
    return _bytes(made)


def _narrowed(frames: bytes, width: int) -> array.array[int]:
    """Little-endian samples of any width as 16-bit ones; those of one byte have no sign."""
    if width == 1:
        return array.array("h", ((byte - 128) << 8 for byte in frames))
    upper = bytearray(len(frames) // width * WIDTH)
    upper[0::2] = frames[width - 2 :: width]
    upper[1::2] = frames[width - 1 :: width]
    samples = array.array("h", bytes(upper))
    if sys.byteorder == "big":
        samples.byteswap()
    return samples


def _mixed(samples: array.array[int], channels: int) -> array.array[int]:
    if channels == 1:
        return samples
    lines = [samples[channel::channels] for channel in range(channels)]
    return array.array("h", (sum(together) // channels for together in zip(*lines, strict=True)))


def _bytes(samples: array.array[int]) -> bytes:
    if sys.byteorder == "big":
        samples.byteswap()
    return samples.tobytes()
