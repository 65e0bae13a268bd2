"""Image parameters of both places of a prompt request (contract section 3.1), and what is shown of them again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from promptd.core.errors import InvalidRequest
from promptd.core.parameters import ImageParameters
from promptd.core.texts import check_depth
from promptd.faces.onebackend.lenient import fit


class TextToImage(Struct, rename="camel"):
    """Engine-independent; every member is optional."""

    prompt: str | None = None
    negative_prompt: str | None = None
    styles: tuple[str, ...] = ()
    seed: int | None = None
    batch_size: int | None = None
    num_iterations: int | None = None
    steps: int | None = None
    guidance_scale: float | None = None
    width: int | None = None
    height: int | None = None
    aspect_ratio: str | None = None
    denoising_strength: float | None = None
    enable_upscaling: bool | None = None
    restore_faces: bool | None = None
    scheduler: str | None = None
    quality_preset: str | None = None
    format: str | None = None


class Txt2Img(Struct):
    """The members of `txt2Img` that strict clients know, with their types. Others reach the engine and are not repeated."""

    prompt: str | None = None  #: always replaced by the request's own
    negative_prompt: str | None = None
    sampler_name: str | None = None
    scheduler: str | None = None
    sampler_index: str | None = None
    script_name: str | None = None
    refiner_checkpoint: str | None = None
    firstpass_image: str | None = None
    hr_upscaler: str | None = None
    hr_checkpoint_name: str | None = None
    hr_sampler_name: str | None = None
    hr_scheduler: str | None = None
    hr_prompt: str | None = None
    hr_negative_prompt: str | None = None
    force_task_id: str | None = None
    infotext: str | None = None
    seed: int | None = None
    subseed: int | None = None
    seed_resize_from_h: int | None = None
    seed_resize_from_w: int | None = None
    batch_size: int | None = None
    n_iter: int | None = None
    steps: int | None = None
    width: int | None = None
    height: int | None = None
    firstphase_width: int | None = None
    firstphase_height: int | None = None
    hr_second_pass_steps: int | None = None
    hr_resize_x: int | None = None
    hr_resize_y: int | None = None
    subseed_strength: float | None = None
    cfg_scale: float | None = None
    eta: float | None = None
    denoising_strength: float | None = None
    s_min_uncond: float | None = None
    s_churn: float | None = None
    s_tmax: float | None = None
    s_tmin: float | None = None
    s_noise: float | None = None
    refiner_switch_at: float | None = None
    hr_scale: float | None = None
    restore_faces: bool | None = None
    tiling: bool | None = None
    do_not_save_samples: bool | None = None
    do_not_save_grid: bool | None = None
    override_settings_restore_afterwards: bool | None = None
    disable_extra_networks: bool | None = None
    enable_hr: bool | None = None
    send_images: bool | None = None
    save_images: bool | None = None
    styles: tuple[str, ...] | None = None
    script_args: tuple[Any, ...] | None = None
    override_settings: dict[str, Any] | None = None
    comments: dict[str, Any] | None = None
    alwayson_scripts: dict[str, Any] | None = None


_PATH: Final = "engineParameters.stableDiffusion.txt2Img"
_SPELLINGS: Final = {"num_inference_steps": "steps", "guidance_scale": "cfg_scale"}
DEFAULTS: Final = ImageParameters(
    steps=20,
    width=100,
    height=100,
    guidance_scale=7.5,
    rounds=1,
    restore_faces=True,
    extra={"hr_scale": 2, "sampler_index": "Euler", "tiling": True},
)
#: txt2Img member → field of `ImageParameters`; everything else is the engine's own.
_FIELDS: Final = {
    "negative_prompt": "negative_prompt",
    "styles": "styles",
    "seed": "seed",
    "batch_size": "batch_size",
    "n_iter": "rounds",
    "steps": "steps",
    "cfg_scale": "guidance_scale",
    "width": "width",
    "height": "height",
    "denoising_strength": "denoising_strength",
    "enable_hr": "upscale",
    "restore_faces": "restore_faces",
    "scheduler": "scheduler",
}
_PRESETS: Final = {"low": 10, "medium": 20, "high": 40, "ultra": 80}  # steps
_BASE: Final = 512  # pixels of the shorter side, where only the ratio is given
#: What an image server can be asked for: field → its name in `textToImage`, and most. The least is 1.
_MOST: Final = {
    "width": ("width", 16_384),
    "height": ("height", 16_384),
    "batch_size": ("batchSize", 100),
    "rounds": ("numIterations", 100),
    "steps": ("steps", 1000),
}
#: Members of `txt2Img` that say how to answer, which is the engine's business, or stand elsewhere in the request.
_NOT_TAKEN: Final = frozenset({"prompt", "init_images", "send_images", "force_task_id"})
_DIGITS: Final = 5  # of either number of a ratio


def image_parameters(
    common: TextToImage | None, own: Mapping[str, Any] | None, defaults: ImageParameters
) -> ImageParameters:
    """The image parameters of both places, the engine-independent ones on top, over `defaults`.

    Raises `InvalidRequest`.
    """
    fields = {name: getattr(defaults, name) for name in ImageParameters.__struct_fields__}
    fields["extra"] = dict(defaults.extra)
    if own is not None:
        _put_own(fields, own)
    if common is not None:
        _put_common(fields, common)
    for name, (wire, most) in _MOST.items():
        value = fields[name]
        if value is not None and not 1 <= value <= most:
            raise InvalidRequest(field=f"parameters.textToImage.{wire}", expected=f"a whole number from 1 to {most}")
    return ImageParameters(**fields)


def _put_own(fields: dict[str, Any], own: Mapping[str, Any]) -> None:
    known = _known(own)
    for wire, name in _FIELDS.items():
        value = known.pop(wire, None)
        if value is not None and not (value == 0 and name in _MOST):  # zero is how Go clients send what was not set
            fields[name] = value
    strange = {
        name: value
        for name, value in own.items()
        if value is not None and _spelled(name) not in Txt2Img.__struct_fields__
    }
    check_depth(strange, _PATH)
    extra = fields["extra"] | strange | known
    fields["extra"] = {name: value for name, value in extra.items() if name.lower() not in _NOT_TAKEN}


def _known(own: Mapping[str, Any]) -> dict[str, Any]:
    """The members that strict clients know, in their types, under their own names."""
    typed = fit({_spelled(name): value for name, value in own.items()}, Txt2Img, _PATH)
    known = {name: value for name in Txt2Img.__struct_fields__ if (value := getattr(typed, name)) is not None}
    for name in ("script_args", "override_settings", "comments", "alwayson_scripts"):
        check_depth(known.get(name), f"{_PATH}.{name}")
    return known


def _spelled(name: str) -> str:
    """Names match in any case, and in either documented spelling."""
    lower = name.lower()
    return _SPELLINGS.get(lower, lower)


def _put_common(fields: dict[str, Any], common: TextToImage) -> None:
    if common.quality_preset is not None:
        steps = _PRESETS.get(common.quality_preset.lower())
        if steps is None:
            raise InvalidRequest(
                field="parameters.textToImage.qualityPreset", expected="one of Low, Medium, High and Ultra"
            )
        fields["steps"] = steps
    if common.aspect_ratio is not None:
        fields["width"], fields["height"] = _size(common)
    named = {
        "prompt": common.prompt,
        "negative_prompt": common.negative_prompt,
        "styles": common.styles or None,
        "seed": common.seed,
        "batch_size": common.batch_size,
        "rounds": common.num_iterations,
        "steps": common.steps,
        "guidance_scale": common.guidance_scale,
        "width": common.width,
        "height": common.height,
        "denoising_strength": common.denoising_strength,
        "upscale": common.enable_upscaling,
        "restore_faces": common.restore_faces,
        "scheduler": common.scheduler,
        "format": common.format,
    }
    fields.update({name: value for name, value in named.items() if value is not None})


def _size(common: TextToImage) -> tuple[int, int]:
    """Width and height of a ratio such as 16:9; the side that is given counts, else the shorter one has 512 pixels."""
    wide, _, high = (common.aspect_ratio or "").partition(":")
    if not (_is_number(wide) and _is_number(high)):
        raise InvalidRequest(field="parameters.textToImage.aspectRatio", expected="two whole numbers such as 16:9")
    ratio = int(wide) / int(high)
    if common.width is not None:
        return common.width, common.height or _eights(common.width / ratio)
    if common.height is not None:
        return _eights(common.height * ratio), common.height
    return (_eights(_BASE * ratio), _BASE) if ratio >= 1 else (_BASE, _eights(_BASE / ratio))


def _is_number(text: str) -> bool:
    return len(text) <= _DIGITS and text.isascii() and text.isdigit() and int(text) > 0


def _eights(pixels: float) -> int:
    return max(8, round(pixels / 8) * 8)


# ---------------------------------------------------------------- what is shown again


def shown_common(given: TextToImage) -> dict[str, Any]:
    """Without the prompt, which is no echo but text."""
    return {
        wire: value
        for name, wire in zip(TextToImage.__struct_fields__, TextToImage.__struct_encode_fields__, strict=True)
        if name != "prompt" and (value := getattr(given, name)) not in (None, ())
    }


def shown_own(own: Mapping[str, Any]) -> dict[str, Any]:
    """In names and types that strict clients decode: one member of another type would spoil a whole list for them."""
    known = _known(own)
    known.pop("prompt", None)
    if "script_args" in known:
        known["script_args"] = [value for value in known["script_args"] if isinstance(value, str)]
    for name in ("override_settings", "comments", "alwayson_scripts"):
        if name in known:
            known[name] = {key: value for key, value in known[name].items() if isinstance(value, str)}
    return known
