"""Transcripts with times, as subtitles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct


class Segment(Struct, frozen=True):
    """Seconds from the beginning of the sound."""

    start: float
    end: float
    text: str = ""


class _Span(Struct, frozen=True):
    start: float
    end: float


class Transcript(Struct, frozen=True, kw_only=True):
    """What an engine that knows times says in its answer's value, besides the text."""

    duration: float | None = None
    segments: list[dict[str, Any]] = []
    language: str = ""
    words: list[dict[str, Any]] = []

    def __post_init__(self) -> None:
        """Raises `msgspec.ValidationError`, as all that is wrong does."""
        msgspec.convert([*self.segments, *self.words], list[_Span])

    @property
    def spans(self) -> tuple[Segment, ...]:
        return msgspec.convert(self.segments, tuple[Segment, ...])

    @property
    def lasted(self) -> float:
        """Seconds of the sound; where nobody told them, until the end of its last word."""
        if self.duration is not None:
            return max(0.0, self.duration)
        return max([0.0, *(float(one["end"]) for one in (*self.segments, *self.words))])


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
