"""What a prompt request asks for (contract sections 2, 3.1, 3.2, 14): type, model, template, image parameters, echo."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from promptd.core.engine import NoConfig
from promptd.core.errors import InvalidRequest, UnknownModel
from promptd.core.model import Caller, Capability, Prompt
from promptd.core.parameters import ImageParameters
from promptd.core.routing import Route
from promptd.egress import Egress
from promptd.engines.stable_diffusion import StableDiffusion, StableDiffusionConfig
from promptd.faces.onebackend import types
from promptd.faces.onebackend.lenient import fit
from promptd.faces.onebackend.options import OneBackendOptions, TypeRule
from promptd.faces.onebackend.parameters import Plan, PromptRequest, plan
from promptd.faces.onebackend.show import prompt_view
from promptd.service.connections import Connection, Connections
from tests.service.house import Puppet

TEXT, IMAGE = frozenset({Capability.CHAT}), frozenset({Capability.IMAGE})
SPEECH = frozenset({Capability.SPEECH})
ROUTES = {
    "talker": (TEXT, None),
    "templated": (TEXT, "[INST] {prompt} [/INST]"),
    "tiny": (TEXT, "<|system|>\n{system_message}</s>\n<|user|>\n{prompt}</s>\n"),
    "painter": (IMAGE, None),
    "speaker": (SPEECH, None),
}


def connections(default: str | None = "talker", names: tuple[str, ...] = tuple(ROUTES)) -> Connections:
    lab = Connection(name="lab", engine=Puppet(), config=NoConfig(), http=Egress(), slots=1)
    easel = Connection(name="easel", engine=StableDiffusion(), config=StableDiffusionConfig(), http=Egress(), slots=1)
    routes = {
        name: Route(
            model=name,
            connection="easel" if name == "painter" else "lab",
            upstream=name,
            template=ROUTES[name][1],
            capabilities=ROUTES[name][0],
        )
        for name in names
    }
    return Connections({"lab": lab, "easel": easel}, routes, default)


COMPAT = OneBackendOptions(
    types={
        "Translation": TypeRule(model="templated", template="Translate: {prompt}"),
        "Text-to-Image": TypeRule(model="painter"),
    },
    system_message="Be brief.",
)


def planned(body: dict[str, Any], default: str | None = "talker", compat: OneBackendOptions = COMPAT) -> Plan:
    return plan(fit({"prompt": "x"} | body, PromptRequest), connections(default), compat)


def echo_of(body: dict[str, Any], **more: Any) -> Any:
    return planned(body, **more).request.echo["onebackend"]


def template_of(body: dict[str, Any], **more: Any) -> str | None:
    return planned(body, **more).request.parameters.template


def image_of(body: dict[str, Any]) -> ImageParameters:
    image = planned(body).request.parameters.image
    assert image is not None
    return image


# ------------------------------------------------------------------ types and models


def test_the_names_are_those_of_the_contract() -> None:
    assert len(types.TYPES) == 28
    for name in types.TYPES:
        for spelling in (name, name.lower(), name.replace("-", " "), name.replace(" ", "_"), f"  {name.upper()} "):
            assert types.named(spelling) == name


@pytest.mark.parametrize("name", ["", "text", "Text-to", "x" * 1_000_000])
def test_an_unknown_type_is_refused_in_a_few_words(name: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        types.named(name)
    assert refused.value.field == "type"
    assert len(refused.value.message) < 1000


@pytest.mark.parametrize(
    ("body", "model", "capability", "kind"),
    [
        ({}, None, Capability.CHAT, "Text-to-Text"),
        ({"modelId": "painter"}, "painter", Capability.IMAGE, "Text-to-Image"),
        ({"modelId": "speaker"}, "speaker", Capability.SPEECH, "Text-to-Speech"),
        ({"modelId": ""}, None, Capability.CHAT, "Text-to-Text"),
        ({"type": "text-to-text"}, None, Capability.CHAT, "Text-to-Text"),
        ({"type": "Summarization"}, None, Capability.CHAT, "Summarization"),
        ({"type": "translation"}, "templated", Capability.CHAT, "Translation"),
        ({"type": "Text-to-Image"}, "painter", Capability.IMAGE, "Text-to-Image"),
        ({"type": "Text-to-Speech"}, "speaker", Capability.SPEECH, "Text-to-Speech"),
        ({"type": "Robotics", "modelId": "talker"}, "talker", Capability.CHAT, "Robotics"),
        ({"parameters": {"textToImage": {}}}, "painter", Capability.IMAGE, "Text-to-Image"),
        ({"engineParameters": {"stableDiffusion": {"txt2Img": {}}}}, "painter", Capability.IMAGE, "Text-to-Image"),
        ({"parameters": {"textToImage": {}}, "fileIds": ["f"]}, "painter", Capability.IMAGE, "Image-to-Image"),
        ({"prompt": "", "modelId": "painter"}, "painter", Capability.IMAGE, "Unconditional Image Generation"),
    ],
)
def test_type_and_model(body: dict[str, Any], model: str | None, capability: Capability, kind: str) -> None:
    chosen = planned(body)
    assert (chosen.model, chosen.capability) == (model, capability)
    assert chosen.request.echo["onebackend"]["type"] == kind


def test_an_image_prompt_finds_its_model_without_any_default_or_rule() -> None:
    body = {"parameters": {"textToImage": {"prompt": "a cat"}}}
    for default in ("talker", None):
        assert planned(body, default, OneBackendOptions()).model == "painter"
    assert planned(body, "painter", OneBackendOptions()).model is None, "the default model, which can do it"


@pytest.mark.parametrize(
    ("body", "field"),
    [({"type": "nonsense"}, "type"), ({"type": "Robotics"}, "type"), ({"variables": {"a": 1}}, "variables")],
)
def test_what_cannot_be_planned(body: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        planned(body)
    assert refused.value.field == field


@pytest.mark.parametrize("body", [{"modelId": "none"}, {"modelId": "none", "parameters": {"textToImage": {}}}])
def test_an_unknown_model(body: dict[str, Any]) -> None:
    with pytest.raises(UnknownModel):
        planned(body)


# ------------------------------------------------------------------ templates

LLAMA, CPP = "llamaCppParameters", "llamaCpp"


@pytest.mark.parametrize(
    ("body", "template"),
    [
        ({}, None),
        ({"parameters": {"textToText": {"template": "A {prompt}"}}}, "A {prompt}"),
        ({"engineParameters": {LLAMA: {"template": "B {prompt}"}}}, "B {prompt}"),
        ({"engineParameters": {CPP: {"template": "C {prompt}"}}}, "C {prompt}"),
        ({"engineParameters": {LLAMA: {"template": "B {prompt}"}, CPP: {"template": "C {prompt}"}}}, "B {prompt}"),
        (
            {"parameters": {"textToText": {"template": "A {prompt}"}}, "engineParameters": {CPP: {"template": "C"}}},
            "A {prompt}",
        ),
        ({"parameters": {"textToText": {}}, "engineParameters": {CPP: {"template": "C {prompt}"}}}, None),
        ({"modelId": "templated"}, "[INST] {prompt} [/INST]"),
        ({"modelId": "templated", "parameters": {"textToText": {"template": "A {prompt}"}}}, "A {prompt}"),
        ({"modelId": "templated", "parameters": {"textToText": {"template": ""}}}, "[INST] {prompt} [/INST]"),
        ({"type": "Translation"}, "Translate: {prompt}"),
        ({"modelId": "tiny"}, "<|system|>\nBe brief.</s>\n<|user|>\n{prompt}</s>\n"),
        ({"parameters": {"textToText": {"template": "a\\n{prompt}\\n\\nb"}}}, "a\n{prompt}\n\nb"),
        (
            {"parameters": {"textToText": {"template": "{prompt} {prompt} {no} {} {0}"}}},
            "{prompt} {prompt} {no} {} {0}",
        ),
        (
            {
                "parameters": {"textToText": {"template": "{context}|{count}|{yes}|{list}|{system_message}|{prompt}"}},
                "variables": {
                    "context": "c\\n {count}",
                    "count": 3,
                    "yes": True,
                    "list": ["a", 1],
                    "system_message": "mine",
                    "prompt": "never",
                },
            },
            'c\\n {count}|3|true|["a",1]|mine|{prompt}',
        ),
        (
            {"parameters": '{"textToText": {"template": "J {prompt}"}}', "variables": '{"a": 1}'},
            "J {prompt}",
        ),
    ],
)
def test_the_template(body: dict[str, Any], template: str | None) -> None:
    assert template_of(body) == template


def test_variables_have_a_bound_of_depth() -> None:
    deep: Any = "x"
    for _ in range(200):
        deep = [deep]
    with pytest.raises(InvalidRequest) as refused:
        planned({"variables": {"a": deep}, "parameters": {"textToText": {"template": "{a} {prompt}"}}})
    assert refused.value.field == "variables"


# ------------------------------------------------------------------ images


def test_defaults_where_little_is_given() -> None:
    image = image_of({"parameters": {"textToImage": {}}})
    assert (image.steps, image.width, image.height, image.guidance_scale) == (20, 100, 100, 7.5)
    assert (image.rounds, image.restore_faces) == (1, True)
    assert image.extra == {"hr_scale": 2, "sampler_index": "Euler", "tiling": True}
    assert image_of({"modelId": "painter"}) == image


def test_every_member_of_text_to_image_reaches_the_engine() -> None:
    given = {
        "prompt": "a cat",
        "negativePrompt": "a dog",
        "styles": ["oil"],
        "seed": 7,
        "batchSize": 2,
        "numIterations": 3,
        "steps": 30,
        "guidanceScale": 7.25,
        "width": 640,
        "height": 480,
        "denoisingStrength": 0.5,
        "enableUpscaling": True,
        "restoreFaces": False,
        "scheduler": "karras",
        "format": "webp",
    }
    image = image_of({"parameters": {"textToImage": given}})
    assert image == ImageParameters(
        prompt="a cat",
        negative_prompt="a dog",
        styles=("oil",),
        seed=7,
        batch_size=2,
        rounds=3,
        steps=30,
        guidance_scale=7.25,
        width=640,
        height=480,
        denoising_strength=0.5,
        upscale=True,
        restore_faces=False,
        scheduler="karras",
        format="webp",
        extra=image.extra,
    )
    as_text = {name: value if isinstance(value, str | list | bool) else str(value) for name, value in given.items()}
    as_text["styles"] = '["oil"]'
    assert image_of({"parameters": {"textToImage": as_text}}) == image, "as the command line sends it"
    without = {name: value for name, value in given.items() if name != "prompt"}
    shown = msgspec.json.encode(echo_of({"parameters": {"textToImage": as_text}})["parameters"])
    assert msgspec.json.decode(shown) == {"textToImage": without}


@pytest.mark.parametrize(
    ("given", "size"),
    [
        ({"aspectRatio": "16:9"}, (912, 512)),
        ({"aspectRatio": "9:16"}, (512, 912)),
        ({"aspectRatio": "1:1"}, (512, 512)),
        ({"aspectRatio": "2:1", "width": 640}, (640, 320)),
        ({"aspectRatio": "2:1", "height": 640}, (1280, 640)),
        ({"aspectRatio": "2:1", "width": 100, "height": 100}, (100, 100)),
    ],
)
def test_a_ratio_gives_the_size(given: dict[str, Any], size: tuple[int, int]) -> None:
    image = image_of({"parameters": {"textToImage": given}})
    assert (image.width, image.height) == size


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"aspectRatio": "wide"}, "aspectRatio"),
        ({"aspectRatio": "0:1"}, "aspectRatio"),
        ({"aspectRatio": "1:0"}, "aspectRatio"),
        ({"aspectRatio": "1:"}, "aspectRatio"),
        ({"aspectRatio": "²:1"}, "aspectRatio"),
        ({"aspectRatio": "9" * 5000 + ":1"}, "aspectRatio"),
        ({"aspectRatio": "99999:1"}, "width"),
        ({"qualityPreset": "best"}, "qualityPreset"),
        ({"width": 0}, "width"),
        ({"width": 10**9}, "width"),
        ({"height": -1}, "height"),
        ({"batchSize": 10**6}, "batchSize"),
        ({"steps": 10**6}, "steps"),
        ({"seed": 2**64}, "seed"),
        ({"guidanceScale": "much"}, "guidanceScale"),
    ],
)
def test_image_parameters_that_cannot_be(given: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        planned({"parameters": {"textToImage": given}})
    assert refused.value.field.endswith(named)


@pytest.mark.parametrize(("preset", "steps"), [("Low", 10), ("medium", 20), ("HIGH", 40), ("Ultra", 80)])
def test_presets(preset: str, steps: int) -> None:
    assert image_of({"parameters": {"textToImage": {"qualityPreset": preset}}}).steps == steps
    assert image_of({"parameters": {"textToImage": {"qualityPreset": preset, "steps": 5}}}).steps == 5


def own(given: Any) -> dict[str, Any]:
    return {"engineParameters": {"stableDiffusion": {"txt2Img": given}}}


def test_the_engines_own_parameters_in_both_spellings() -> None:
    given = {
        "prompt": "never",
        "num_inference_steps": "30",
        "guidance_scale": "7.25",
        "n_iter": 2,
        "eta": "0.5",
        "tiling": "false",
        "sampler_index": "DDIM",
        "alwayson_scripts": {"x": {"args": [1]}, "y": "text"},
        "future_member": {"deep": [1, 2]},
    }
    image = image_of(own(given))
    assert (image.steps, image.guidance_scale, image.rounds, image.prompt) == (30, 7.25, 2, None)
    assert image.extra == {
        "hr_scale": 2,
        "sampler_index": "DDIM",
        "tiling": False,
        "eta": 0.5,
        "alwayson_scripts": {"x": {"args": [1]}, "y": "text"},
        "future_member": {"deep": [1, 2]},
    }
    assert echo_of(own(given))["engineParameters"] == {
        "stableDiffusion": {
            "txt2Img": {
                "steps": 30,
                "cfg_scale": 7.25,
                "n_iter": 2,
                "eta": 0.5,
                "tiling": False,
                "sampler_index": "DDIM",
                "alwayson_scripts": {"y": "text"},
            }
        }
    }, "names and types that strict clients decode"


def test_both_places_at_once() -> None:
    both = {"parameters": {"textToImage": {"steps": 7}}} | own({"steps": 9, "cfg_scale": 3})
    image = image_of(both)
    assert (image.steps, image.guidance_scale) == (7, 3.0)


@pytest.mark.parametrize("given", ['{"steps": 9}', {"STEPS": "9"}, {"steps": 9.0}])
def test_spellings_and_texts(given: Any) -> None:
    assert image_of(own(given)).steps == 9


@pytest.mark.parametrize(
    "given", [{"eta": "x"}, {"steps": []}, {"sampler_name": {}}, {"tiling": 7}, {"styles": [[]]}, "[]", 5]
)
def test_own_parameters_of_a_wrong_type_are_refused(given: Any) -> None:
    """Stored and shown again, they would spoil a whole list for strict clients."""
    with pytest.raises(InvalidRequest) as refused:
        planned(own(given))
    assert refused.value.field.startswith("engineParameters.stableDiffusion.txt2Img")


@pytest.mark.parametrize("name", ["future_member", "alwayson_scripts", "override_settings"])
def test_own_parameters_have_a_bound_of_depth(name: str) -> None:
    deep: Any = {}
    for _ in range(200):
        deep = {"a": deep}
    with pytest.raises(InvalidRequest):
        planned(own({name: deep}))


# ------------------------------------------------------------------ echo


def test_the_echo_has_the_names_of_strict_clients_and_no_text() -> None:
    body = {
        "sync": "true",
        "maxRetries": "3",
        "parameters": {"textToText": {"template": "A {prompt}"}, "textToSpeech": {"voice": "v"}, "other": {"x": 1}},
        "engineParameters": {"llamaCpp": {"template": "B {prompt}", "more": 1}, "unknown": {}},
    }
    assert echo_of(body) == {
        "type": "Text-to-Text",
        "sync": True,
        "maxRetries": 3,
        "parameters": {"textToText": {"template": "A {prompt}"}},
        "engineParameters": {"llamaCppParameters": {"template": "B {prompt}"}},
    }
    assert "secret" not in str(echo_of({"prompt": "secret", "parameters": {"textToImage": {"prompt": "secret"}}}))


@pytest.mark.parametrize(
    "body",
    [
        {"parameters": {"textToText": {"template": "{prompt}" + "T" * 1_000_000}}},
        {"engineParameters": {"llamaCppParameters": {"template": "{prompt}" + "T" * 1_000_000}}},
        {"type": "Text-to-Image", "parameters": {"textToImage": {"styles": ["T" * 500_000] * 2}}},
        {
            "type": "Text-to-Image",
            "engineParameters": {"stableDiffusion": {"txt2Img": {"negative_prompt": "T" * 10**6}}},
        },
    ],
)
def test_what_is_shown_again_has_a_bound(body: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        planned(body)
    assert "at most" in (refused.value.expected or "")


def test_large_parameters_are_shown_to_their_author_alone() -> None:
    def shown(template: str, user: str) -> Any:
        request = planned({"parameters": {"textToText": {"template": template}}}).request
        prompt = Prompt(id="p", model="m", lane="l", user="ann", created=0.0, request=request)
        view = prompt_view(prompt, Caller(user, admin=True))
        return msgspec.to_builtins(view).get("parameters")

    small, large = "{prompt}", "{prompt}" + "T" * 10 * 1024
    assert shown(small, "ann") == shown(small, "eve") == {"textToText": {"template": small}}
    assert shown(large, "ann") == {"textToText": {"template": large}}
    assert shown(large, "eve") is None


def test_speech_parameters() -> None:
    speech = {"voice": "ann", "speed": "1.5", "format": "mp3", "language": "en"}
    body = {"type": "Text-to-Speech", "parameters": {"textToSpeech": speech}}
    made = planned(body).request.parameters.speech
    assert made is not None
    assert (made.voice, made.speed, made.format, made.language) == ("ann", 1.5, "mp3", "en")
