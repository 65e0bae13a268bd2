"""Prompt types (contract section 3.2): the names that strict clients accept, and what each asks of a model."""

from __future__ import annotations

from typing import Final

from promptd.core.errors import InvalidRequest
from promptd.core.model import Capability

TEXT_TO_TEXT: Final = "Text-to-Text"
IMAGE_TEXT_TO_TEXT: Final = "Image-Text-to-Text"
TEXT_TO_IMAGE: Final = "Text-to-Image"
IMAGE_TO_IMAGE: Final = "Image-to-Image"
UNCONDITIONAL: Final = "Unconditional Image Generation"
TEXT_TO_SPEECH: Final = "Text-to-Speech"
SPEECH_RECOGNITION: Final = "Automatic Speech Recognition"

#: None: there is no engine for it yet; a prompt of that type needs a model of the operator's own choice.
TYPES: Final[dict[str, Capability | None]] = {
    IMAGE_TEXT_TO_TEXT: Capability.CHAT,
    "Visual Question Answering": Capability.CHAT,
    "Document Question Answering": Capability.CHAT,
    TEXT_TO_IMAGE: Capability.IMAGE,
    IMAGE_TO_IMAGE: Capability.IMAGE,
    "Image-to-Video": None,
    UNCONDITIONAL: Capability.IMAGE,
    "Text-to-Video": None,
    "Zero-Shot Image Classification": None,
    "Zero-Shot Object Detection": None,
    "Text-to-3D": None,
    "Image-to-3D": None,
    "Image Feature Extraction": None,
    "Keypoint Detection": None,
    TEXT_TO_TEXT: Capability.CHAT,
    "Question Answering": Capability.CHAT,
    "Translation": Capability.CHAT,
    "Summarization": Capability.CHAT,
    "Text Generation": Capability.CHAT,
    "Fill-Mask": Capability.CHAT,
    TEXT_TO_SPEECH: Capability.SPEECH,
    "Text-to-Audio": Capability.SPEECH,
    SPEECH_RECOGNITION: Capability.TRANSCRIPTION,
    "Audio-to-Audio": None,
    "Audio Classification": None,
    "Reinforcement Learning": None,
    "Robotics": None,
    "Graph Machine Learning": None,
}
_BY_LETTERS: Final = {name.lower().replace("-", " "): name for name in TYPES}

#: The type of a prompt that names none.
OF_CAPABILITY: Final = {
    Capability.CHAT: TEXT_TO_TEXT,
    Capability.COMPLETION: TEXT_TO_TEXT,
    Capability.VISION: IMAGE_TEXT_TO_TEXT,
    Capability.IMAGE: TEXT_TO_IMAGE,
    Capability.SPEECH: TEXT_TO_SPEECH,
    Capability.TRANSCRIPTION: SPEECH_RECOGNITION,
}


def named(text: str) -> str:
    """The exact name, also for another spelling such as `text-to-text`. Raises `InvalidRequest`."""
    name = _BY_LETTERS.get(" ".join(text.lower().replace("-", " ").replace("_", " ").split()))
    if name is None:
        raise InvalidRequest(
            f"type: there is no prompt type {text[:100]!r}", field="type", expected=f"one of {', '.join(TYPES)}"
        )
    return name
