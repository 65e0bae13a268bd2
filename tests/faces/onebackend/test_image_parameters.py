"""What a prompt request asks of an image, and an engine's own parameters (contract sections 3.1, 3.2)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from promptd.core.errors import InvalidRequest
from promptd.core.parameters import ImageParameters
from tests.faces.onebackend.planning import echo_of, planned


def image_of(body: dict[str, Any]) -> ImageParameters:
    image = planned(body).request.parameters.image
    assert image is not None
    return image


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
