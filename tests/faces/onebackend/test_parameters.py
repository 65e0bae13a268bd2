"""What a prompt request asks for (contract sections 2, 3.1, 3.2, 14): type, model, template, echo."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from promptd.core.errors import InvalidRequest, UnknownModel
from promptd.core.model import Caller, Capability, Prompt
from promptd.faces.onebackend import types
from promptd.faces.onebackend.options import OneBackendOptions
from promptd.faces.onebackend.show import prompt_view
from tests.faces.onebackend.planning import echo_of, planned


def template_of(body: dict[str, Any], **more: Any) -> str | None:
    return planned(body, **more).request.parameters.template


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
