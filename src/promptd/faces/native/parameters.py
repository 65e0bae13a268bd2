"""How a prompt of the native API is generated: the core's parameters with their bounds, unknown members refused."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from promptd.core.content import Tool
from promptd.core.errors import InvalidRequest
from promptd.core.model import Capability
from promptd.core.parameters import ImageParameters, Parameters, SpeechParameters
from promptd.core.texts import check_depth

Pixels = Annotated[int, Meta(ge=1, le=16_384, description="pixels")]
Seed = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Word = Annotated[str, Meta(min_length=1, max_length=64)]


class NewTool(Tool, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A function offered to the model; `parameters` is a JSON Schema."""


class NewImageParameters(ImageParameters, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """How to draw; what is absent is the engine's own default. `prompt` is what is drawn, where that is not the prompt's
    own text. `batch_size` images are drawn in each of `rounds`. `denoising_strength` says how far an image that came
    with the prompt may be left behind; `extra` holds what only the engine knows."""

    seed: Seed | None = None
    batch_size: Annotated[int, Meta(ge=1, le=100)] | None = None
    rounds: Annotated[int, Meta(ge=1, le=100)] | None = None
    steps: Annotated[int, Meta(ge=1, le=1000)] | None = None
    guidance_scale: Annotated[float, Meta(ge=0)] | None = None
    width: Pixels | None = None
    height: Pixels | None = None
    denoising_strength: Annotated[float, Meta(ge=0, le=1)] | None = None
    format: Word | None = None


class NewSpeechParameters(SpeechParameters, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """How to speak; what is absent is the engine's own default. `speed` 1 is the voice's own; `format` such as `wav`.
    A transcription reads `language` only: that of its sound, such as `en`."""

    voice: Word | None = None
    speed: Annotated[float, Meta(gt=0, le=10)] | None = None
    format: Word | None = None
    language: Word | None = None


class NewParameters(Parameters, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """How to generate; what is absent is the engine's own default. `template` is raw text around `{prompt}` and makes
    the prompt a completion, `image` makes it an image, `speech` a sound; `grammar` is GBNF; `extra` holds what only the
    engine knows."""

    temperature: Annotated[float, Meta(ge=0)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    max_tokens: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    seed: Seed | None = None
    tools: tuple[NewTool, ...] = ()
    image: NewImageParameters | None = None
    speech: NewSpeechParameters | None = None


def capability_of(parameters: Parameters) -> Capability:
    """What a prompt with these parameters asks for, where it does not say so itself."""
    if parameters.image is not None:
        return Capability.IMAGE
    if parameters.speech is not None:
        return Capability.SPEECH
    return Capability.CHAT if parameters.template is None else Capability.COMPLETION


def check_media(parameters: Parameters, capability: Capability) -> None:
    """Raises `InvalidRequest` for parameters that the capability has no use for: they would be ignored."""
    if parameters.image is not None:
        if capability is not Capability.IMAGE:
            raise InvalidRequest(field="parameters.image", expected="nothing, unless the capability is image")
        check_depth(parameters.image.extra, "parameters.image.extra")
    if parameters.speech is not None and capability not in (Capability.SPEECH, Capability.TRANSCRIPTION):
        raise InvalidRequest(
            field="parameters.speech", expected="nothing, unless the capability is speech or transcription"
        )
