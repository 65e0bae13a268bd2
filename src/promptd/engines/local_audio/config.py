"""Settings of speech and transcription on this machine, its query, and the forms."""

from __future__ import annotations

from typing import Final, Literal

from promptd.core.chat_queries import text_key as shared
from promptd.core.configs import setting
from promptd.core.connection_forms import connection_layout, control, shown
from promptd.core.engine import Config
from promptd.core.forms import Vertical


class LocalAudioConfig(Config):
    """Settings of speech and transcription on this machine."""

    synthesizer: Literal["auto", "flite", "espeak-ng"] = setting(
        "auto", i18n="local_audio.synthesizer", description="What speaks; auto takes flite where it is installed"
    )
    voice: str = setting(
        "",
        i18n="local_audio.voice",
        description="Speaks where a prompt names no voice; empty for the synthesizer's usual one",
    )
    max_characters: int = setting(
        5000, i18n="local_audio.max_characters", gt=0, description="Characters of a text to speak"
    )
    max_seconds: float = setting(
        120.0, i18n="local_audio.max_seconds", gt=0, le=3600, description="Seconds of a sound to transcribe"
    )
    timeout: float = setting(120.0, i18n="local_audio.timeout", gt=0, description="Seconds that one call may take")


class AudioQuery(Config):
    """A text that is spoken, or a speech that becomes a text: `task` says which."""

    task: Literal["speech", "transcription"] = setting("speech", widget="task", i18n=shared("task"))
    prompt: str = setting("", required=True, widget="prompt", i18n="local_audio.query.prompt")
    voice: str = setting("", i18n=shared("voice"))
    speed: float | None = setting(None, ge=0.25, le=4, i18n=shared("speed"))
    language: str = setting("", max_length=35, i18n="local_audio.query.language")


CONNECTION: Final = connection_layout(
    ("synthesizer", "voice"), models=False, limits=("max_characters", "max_seconds", "timeout")
)
QUERY: Final = Vertical(
    elements=(
        control("task"),
        Vertical(rule=shown("task", "speech"), elements=tuple(control(name) for name in ("prompt", "voice", "speed"))),
        control("language"),
    )
)
