"""The HTTP API of AUTOMATIC1111's server, which Forge, SD.Next and stable-diffusion.cpp speak too: bodies and answers.

Nothing that a server sends is trusted: every odd answer ends in a defined result or a typed error.
"""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from promptd.core.engine import Call
from promptd.core.errors import InvalidInput, InvalidOutput, PromptExecutionError, UnsupportedInput
from promptd.core.model import Blob
from promptd.core.parameters import ImageParameters
from promptd.dialects.errors import error_from_response
from promptd.dialects.media import decode_images, is_transparent, masked

T = TypeVar("T")

TXT2IMG: Final = "/sdapi/v1/txt2img"
IMG2IMG: Final = "/sdapi/v1/img2img"

#: the house's name: the server's
_NAMES: Final = {
    "negative_prompt": "negative_prompt",
    "seed": "seed",
    "batch_size": "batch_size",
    "rounds": "n_iter",
    "steps": "steps",
    "guidance_scale": "cfg_scale",
    "width": "width",
    "height": "height",
    "denoising_strength": "denoising_strength",
    "upscale": "enable_hr",
    "restore_faces": "restore_faces",
    "scheduler": "scheduler",
}
_FORMATS: Final = {"png": "png", "jpg": "jpg", "jpeg": "jpg", "webp": "webp"}
#: fields that decide what is asked and whether an answer comes; they are written here and nowhere else
RESERVED: Final = frozenset({"prompt", "init_images", "send_images", "force_task_id"})
#: fields that reach beyond the image: they run what is installed at the server, change its settings, write its disk
_FAR: Final = frozenset({"script_name", "script_args", "alwayson_scripts", "override_settings", "save_images"})
#: fields whose text is an image; the server would fetch it where it is an address
_IMAGES: Final = ("mask", "firstpass_image")


class Bounds(Struct, frozen=True):
    """What one prompt may ask of the server."""

    pixels: int  #: of one image
    images: int
    steps: int
    trusted: bool = True  #: its fields may reach beyond its images


def encode_request(
    call: Call[Any, Any], task: str, *, defaults: Mapping[str, Any], checkpoint: str, bounds: Bounds
) -> tuple[str, bytes]:
    """Path and body; image to image where files came along. `task` is the name that the server knows the job by.

    `defaults` are fields of the API for what the prompt leaves open; a `checkpoint` that is not empty is asked for.
    Raises `InvalidInput`, `UnsupportedInput` with the field's name.
    """
    asked = call.parameters.image or ImageParameters()
    if asked.partial_images:
        raise UnsupportedInput("parameters.image.partial_images: this service shows no unfinished images")
    _check_extra(asked.extra, bounds)
    settings = _settings(asked, checkpoint)
    body: dict[str, Any] = dict(defaults)
    if call.parameters.seed is not None:
        body["seed"] = call.parameters.seed
    body |= {there: value for here, there in _NAMES.items() if (value := getattr(asked, here)) is not None}
    if asked.styles:
        body["styles"] = asked.styles
    body |= asked.extra
    for given in (defaults, asked.extra):
        overrides = given.get("override_settings") or {}
        if not isinstance(overrides, dict):
            raise InvalidInput("parameters.image.extra.override_settings: expected an object")
        settings |= overrides
    if settings:
        body["override_settings"] = settings
    body |= {"prompt": _prompt(call), "force_task_id": task, "send_images": True}
    path = TXT2IMG
    if call.blobs:
        path = IMG2IMG
        images, mask = masked(call)
        body["init_images"] = [b64encode(blob.data).decode() for blob in images]
        if mask is not None:
            body["mask"] = b64encode(mask.data).decode()
            # these servers draw where a mask is opaque, or white; what is transparent is meant to be drawn
            body.setdefault("inpainting_mask_invert", int(is_transparent(mask)))
    elif asked.mask is not None:
        raise InvalidInput("parameters.image.mask: expected the place of one of the prompt's files")
    _check_bounds(body, bounds)
    try:
        return path, msgspec.json.encode(body)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise InvalidInput(f"parameters.image.extra: not JSON: {error}") from error


def _prompt(call: Call[Any, Any]) -> str:
    """An empty one is fine: the model draws what it likes."""
    text = next((turn.content for turn in reversed(call.messages) if turn.role == "user"), "")
    template = call.parameters.template
    return text if template is None else template.replace("{prompt}", text)


def _settings(asked: ImageParameters, checkpoint: str) -> dict[str, Any]:
    settings: dict[str, Any] = {"sd_model_checkpoint": checkpoint} if checkpoint else {}
    if asked.format is not None:
        name = _FORMATS.get(asked.format.lower())
        if name is None:
            raise InvalidInput("parameters.image.format: expected png, jpg or webp")
        settings["samples_format"] = name
    return settings


def _check_extra(extra: Mapping[str, Any], bounds: Bounds) -> None:
    for name in extra:
        if name in RESERVED:
            raise InvalidInput(f"parameters.image.extra.{name}: this field can't be set here")
        if name in _FAR and not bounds.trusted:
            raise UnsupportedInput(f"parameters.image.extra.{name}: prompts may not set this here")
    for name in _IMAGES:
        value = extra.get(name)
        if isinstance(value, str) and value.lstrip().lower().startswith(("http:", "https:")):
            raise InvalidInput(f"parameters.image.extra.{name}: expected an image in base64, not an address")


def _check_bounds(body: Mapping[str, Any], bounds: Bounds) -> None:
    if _pixels(body) > bounds.pixels:
        raise InvalidInput(f"parameters.image.width, height: expected at most {bounds.pixels} pixels in all")
    images = (_whole(body, "batch_size") or 1) * (_whole(body, "n_iter") or 1)
    if images > bounds.images:
        raise InvalidInput(f"parameters.image.batch_size, rounds: expected at most {bounds.images} images in all")
    if (_whole(body, "steps") or 0) > bounds.steps:
        raise InvalidInput(f"parameters.image.steps: expected at most {bounds.steps}")


def _pixels(body: Mapping[str, Any]) -> float:
    """Of an image as it will be in the end; what nobody gave is taken as the servers' usual value."""
    pixels: float = (_whole(body, "width") or 512) * (_whole(body, "height") or 512)
    if not body.get("enable_hr"):
        return pixels
    scale = body.get("hr_scale", 2)
    if isinstance(scale, bool) or not isinstance(scale, int | float) or not scale >= 0:
        raise InvalidInput("parameters.image.hr_scale: expected a number")
    wide, high = body.get("hr_resize_x") or 0, body.get("hr_resize_y") or 0
    if not (isinstance(wide, int) and isinstance(high, int)):
        raise InvalidInput("parameters.image.hr_resize_x, hr_resize_y: expected whole numbers")
    return max(pixels, pixels * scale * scale, float(wide) * high)


def _whole(body: Mapping[str, Any], name: str) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidInput(f"parameters.image.{name}: expected a whole number of at least 1")
    return value


# ------------------------------------------------------------------ decode


class _Answer(Struct):
    images: list[str] | None = None
    info: Any = None


class _Info(Struct):
    index_of_first_image: int = 0


class _State(Struct):
    job_count: int = 0


class _Progress(Struct):
    progress: float = 0.0
    state: _State | None = None


class _Task(Struct):
    active: bool = False
    queued: bool = False
    completed: bool = False
    progress: float | None = None


class _Checkpoint(Struct):
    model_name: str = ""
    title: str = ""


class _Sampler(Struct):
    name: str


class Work(Struct, frozen=True):
    """What the server is doing, or how it stands with one job of it."""

    busy: bool = False
    waiting: bool = False
    over: bool = False
    fraction: float = 0.0


def decode_answer(body: bytes) -> tuple[Blob, ...]:
    """The images of a job, without the sheet of all of them that some servers put first. Raises `InvalidOutput`."""
    answer = _decode(body, _Answer, "images")
    images = answer.images or []
    info = answer.info
    if isinstance(info, str):
        try:
            info = msgspec.json.decode(info)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            info = None  # older servers write plain text
    try:
        first = msgspec.convert(info, _Info).index_of_first_image
    except msgspec.ValidationError:
        first = 0
    kept = images[first:] if 0 < first < len(images) else images
    if not kept:
        raise InvalidOutput("the service's answer holds no image")
    return decode_images(kept)


def decode_progress(body: bytes) -> Work:
    """The answer to `GET /sdapi/v1/progress`: whatever the server is at, for whomever."""
    found = _decode(body, _Progress, "progress")
    busy = found.state is not None and found.state.job_count != 0
    return Work(busy=busy, fraction=_fraction(found.progress))


def decode_task(body: bytes) -> Work:
    """The answer to `POST /internal/progress`: one job."""
    found = _decode(body, _Task, "progress")
    return Work(found.active, found.queued, found.completed, _fraction(found.progress or 0.0))


def decode_checkpoints(body: bytes) -> tuple[str, ...]:
    """The names in an answer to `GET /sdapi/v1/sd-models`."""
    found = _decode(body, list[_Checkpoint], "models")
    return tuple(name for item in found if (name := item.model_name or item.title))


def decode_samplers(body: bytes) -> tuple[str, ...]:
    return tuple(item.name for item in _decode(body, list[_Sampler], "samplers"))


def decode_error(
    status: int, headers: Mapping[str, str], body: bytes, *, secrets: Iterable[str]
) -> PromptExecutionError:
    """What a response that is not a success means. These servers say it in one of four places."""
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        decoded = None
    said = _words(decoded) if isinstance(decoded, dict) else ""
    body = msgspec.json.encode({"message": said}) if said else body
    return error_from_response(status, headers, body, now=time.time(), secrets=secrets)


def _words(error: Mapping[str, Any]) -> str:
    detail = error.get("detail")
    if isinstance(detail, list):  # one entry per wrong field
        wrong = [item for item in detail if isinstance(item, dict)]
        return "; ".join(f"{'.'.join(map(str, item.get('loc', ())[1:]))}: {item.get('msg', '')}" for item in wrong)
    for key in ("detail", "errors", "message", "error"):
        value = error.get(key)
        if isinstance(value, str) and value.strip():
            return value
    return ""


def _decode(body: bytes, kind: type[T], what: str) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidOutput(f"the service sent something that holds no {what}", detail=str(error)) from error


def _fraction(value: float) -> float:
    return min(1.0, max(0.0, value))
