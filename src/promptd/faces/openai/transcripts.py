"""Transcripts with times, as subtitles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct


class Segment(Struct, frozen=True):
    """Seconds from the beginning of the sound."""

    start: float
    end: float
    text: str
    id: int = 0


class Transcript(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an engine that knows times says in its answer's value, besides the text."""

    duration: float
    segments: tuple[Segment, ...]
    language: str = ""
    words: tuple[dict[str, Any], ...] = ()


def srt(segments: Sequence[Segment]) -> str:
    return "".join(
        f"{number}\n{_time(one.start, ',')} --> {_time(one.end, ',')}\n{_line(one.text)}\n\n"
        for number, one in enumerate(segments, 1)
    )


def vtt(segments: Sequence[Segment]) -> str:
    cues = [f"{_time(one.start, '.')} --> {_time(one.end, '.')}\n{_line(one.text)}\n\n" for one in segments]
    return "WEBVTT\n\n" + "".join(cues)


def _line(text: str) -> str:
    """An arrow or an empty line would end a cue."""
    return " ".join(text.split()).replace("-->", "->")


def _time(seconds: float, point: str) -> str:
    milliseconds = round(max(0.0, seconds) * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}{point}{rest % 1000:03}"
