"""What a prompt request of this wire asks for: type, model, template and parameters (contract sections 2, 3.1, 3.2)."""

from __future__ import annotations

import re
from typing import Any, Final

from msgspec import Struct, field

from promptd.core.content import Turn
from promptd.core.errors import InvalidRequest
from promptd.core.model import Capability, Request
from promptd.core.parameters import ImageParameters, Parameters, SpeechParameters
from promptd.core.texts import check_depth
from promptd.faces.asgi import encode
from promptd.faces.onebackend import types
from promptd.faces.onebackend.images import DEFAULTS, TextToImage, image_parameters, shown_common, shown_own
from promptd.faces.onebackend.options import OneBackendOptions, TypeRule
from promptd.faces.onebackend.show import PLATFORMS, STABLE_DIFFUSION
from promptd.service.connections import Connections

_MOST_ECHOED: Final = 1_000_000  # bytes of JSON
_MOST_SHARED: Final = 10 * 1024  # bytes of it that others than the author are shown too


class TextToText(Struct, rename="camel"):
    template: str = ""


class TextToSpeech(Struct, rename="camel"):
    """Not of the original; named like its siblings."""

    voice: str | None = None
    speed: float | None = None
    format: str | None = None
    language: str | None = None


class PromptParameters(Struct, rename="camel"):
    text_to_text: TextToText | None = None
    text_to_image: TextToImage | None = None
    text_to_speech: TextToSpeech | None = None


class StableDiffusion(Struct, rename="camel"):
    txt2_img: dict[str, Any] | None = field(default=None, name="txt2Img")


class EngineParameters(Struct, rename="camel"):
    llama_cpp_parameters: TextToText | None = None
    llama_cpp: TextToText | None = None
    stable_diffusion: StableDiffusion | None = None


class PromptRequest(Struct, rename="camel"):
    """A submit, in the members of both dialects."""

    prompt: str | None = None
    message: str | None = None  #: how sibling pages of the original call it
    id: str | None = None
    sync: bool = False
    thread_id: str | None = None
    model_id: str | None = None
    max_retries: int = 0
    parameters: PromptParameters | None = None
    engine_parameters: EngineParameters | None = None
    file_ids: tuple[str, ...] = ()
    type: str | None = None
    variables: dict[str, Any] | None = None

    @property
    def text(self) -> str:
        return self.prompt if self.prompt is not None else self.message or ""


class Plan(Struct, frozen=True):
    """What intake is asked for."""

    model: str | None
    capability: Capability
    request: Request


_PLACEHOLDER: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


def plan(asked: PromptRequest, connections: Connections, compat: OneBackendOptions, *, pictured: bool = False) -> Plan:
    """`pictured`: there is an image among its files. Raises `InvalidRequest`, `UnknownModel`."""
    given = types.named(asked.type) if asked.type else None
    common = asked.parameters.text_to_image if asked.parameters else None
    diffusion = asked.engine_parameters.stable_diffusion if asked.engine_parameters else None
    own = diffusion.txt2_img if diffusion else None
    drawn = common is not None or own is not None
    rule = compat.types.get(given, TypeRule()) if given else TypeRule()
    model = asked.model_id or rule.model
    capability = _capability(given, drawn, model, connections)
    seen = pictured and capability is Capability.CHAT
    needed = Capability.VISION if seen else capability
    if model is None:
        model, rule = _model(given, needed, connections, compat)
    image = None
    if drawn or capability is Capability.IMAGE:
        image = image_parameters(common, own, _image_defaults(model, connections))
    speech = asked.parameters.text_to_speech if asked.parameters else None
    request = Request(
        messages=(Turn("user", asked.text),),
        parameters=Parameters(
            template=_template(asked, model, rule, connections, compat, seen=seen),
            image=image if capability is Capability.IMAGE else None,
            speech=SpeechParameters(speech.voice, speech.speed, speech.format, speech.language) if speech else None,
        ),
        files=asked.file_ids,
        echo={"onebackend": _echo(asked, given or _kind(asked, needed))},
    )
    return Plan(model, capability, request)


def _image_defaults(model: str | None, connections: Connections) -> ImageParameters:
    """Those of the original are fields of its one image engine; another service refuses what it has no field for."""
    engine = connections.engine_of(connections.resolve(model))
    return DEFAULTS if PLATFORMS.get(engine) == STABLE_DIFFUSION else ImageParameters()


def _kind(asked: PromptRequest, capability: Capability) -> str | None:
    """The type of a prompt that names none. Only image parameters say for certain that an attached file is drawn over."""
    if capability is Capability.IMAGE and asked.file_ids:
        return types.IMAGE_TO_IMAGE
    if capability is Capability.IMAGE and not asked.text:
        common = asked.parameters.text_to_image if asked.parameters else None
        return types.TEXT_TO_IMAGE if common and common.prompt else types.UNCONDITIONAL
    return types.OF_CAPABILITY.get(capability)


def _capability(given: str | None, drawn: bool, model: str | None, connections: Connections) -> Capability:
    if given is not None:
        wanted = types.TYPES[given]
        if wanted is None and model is None:
            raise InvalidRequest(
                f"type: no model is configured for {given}", field="type", expected="a type that a model serves"
            )
        return wanted or Capability.CHAT
    if drawn:
        return Capability.IMAGE
    route = connections.resolve(model)
    for capability in (Capability.CHAT, Capability.IMAGE, Capability.SPEECH, Capability.TRANSCRIPTION):
        if connections.supports(route, capability):
            # a prompt without a model goes to the default one, whatever that is for
            return capability
    return Capability.CHAT


def _model(
    given: str | None, capability: Capability, connections: Connections, compat: OneBackendOptions
) -> tuple[str | None, TypeRule]:
    """The model for a prompt that names none: by its type, else the default one if it can, else the first that can."""
    rule = compat.types.get(given or types.OF_CAPABILITY.get(capability, ""), TypeRule())
    if rule.model is not None:
        return rule.model, rule
    default = connections.default_model
    if default is not None and connections.supports(connections.resolve(default), capability):
        return None, rule
    return connections.first_for(capability), rule


def _template(
    asked: PromptRequest,
    model: str | None,
    rule: TypeRule,
    connections: Connections,
    compat: OneBackendOptions,
    *,
    seen: bool,
) -> str | None:
    """The raw text around `{prompt}`, everything else filled in; None where the model's own chat form is used.

    Images go with messages only. So a prompt with images that are `seen` must not bring a template, and the one that it
    would get is left out.
    """
    chosen, field = "", "parameters.textToText.template"
    if asked.parameters and asked.parameters.text_to_text:
        chosen = asked.parameters.text_to_text.template
    elif asked.engine_parameters:
        engine = asked.engine_parameters.llama_cpp_parameters or asked.engine_parameters.llama_cpp
        chosen, field = engine.template if engine else "", "engineParameters.llamaCpp.template"
    if chosen and seen:
        raise InvalidRequest(field=field, expected="nothing, because fileIds holds an image, which needs a message")
    if not chosen and not seen:
        chosen = rule.template or connections.resolve(model).template or ""
    if not chosen:
        if asked.variables:
            raise InvalidRequest(field="variables", expected="nothing, because no template uses them")
        return None
    check_depth(asked.variables or {}, "variables")
    values: dict[str, Any] = {"system_message": compat.system_message} | (asked.variables or {})

    def filled(match: re.Match[str]) -> str:
        name = match[1]
        if name == "prompt" or name not in values:
            return match[0]
        value = values[name]
        return value if isinstance(value, str) else encode(value).decode()

    return _PLACEHOLDER.sub(filled, chosen.replace("\\n", "\n"))


# ---------------------------------------------------------------- what is shown again


def _echo(asked: PromptRequest, kind: str | None) -> dict[str, Any]:
    """The request's members that the prompt object repeats, in the names that strict clients know, without its text."""
    echo: dict[str, Any] = {"type": kind} if kind else {}
    if asked.sync:
        echo["sync"] = True
    if asked.max_retries:
        echo["maxRetries"] = asked.max_retries
    if asked.parameters:
        echo["parameters"] = _shown_parameters(asked.parameters)
    if asked.engine_parameters:
        echo["engineParameters"] = _shown_engine(asked.engine_parameters)
    size = len(encode(echo))
    if size > _MOST_ECHOED:
        raise InvalidRequest(field="parameters", expected=f"at most {_MOST_ECHOED} bytes, engineParameters included")
    if size > _MOST_SHARED:
        echo["large"] = True
    return echo


def _shown_parameters(given: PromptParameters) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    if given.text_to_text:
        shown["textToText"] = {"template": given.text_to_text.template}
    if given.text_to_image:
        shown["textToImage"] = shown_common(given.text_to_image)
    return shown


def _shown_engine(given: EngineParameters) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    llama = given.llama_cpp_parameters or given.llama_cpp
    if llama:
        shown["llamaCppParameters"] = {"template": llama.template}
    if given.stable_diffusion and given.stable_diffusion.txt2_img is not None:
        shown["stableDiffusion"] = {"txt2Img": shown_own(given.stable_diffusion.txt2_img)}
    return shown
