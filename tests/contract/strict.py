"""What the published Go client accepts (contract section 15): members that it needs, no member that it does not know,
exact types, numbers that fit, and only the listed words. Each shape is written down from the contract, not from our code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

Check = Callable[[Any, str], None]


class Refused(AssertionError):
    """The client would fail on this answer."""


def text(value: Any, path: str) -> None:
    if not isinstance(value, str):
        raise Refused(f"{path}: expected a string, not {value!r}")


def time(value: Any, path: str) -> None:
    """RFC 3339 with a zone and at most nine digits."""
    text(value, path)
    fraction = value.partition(".")[2].rstrip("Z")
    if len(fraction) > 9 or datetime.fromisoformat(value).tzinfo is None:
        raise Refused(f"{path}: expected a time, not {value!r}")


def flag(value: Any, path: str) -> None:
    if not isinstance(value, bool):
        raise Refused(f"{path}: expected true or false, not {value!r}")


def whole(bits: int) -> Check:
    def check(value: Any, path: str) -> None:
        if type(value) is not int or not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
            raise Refused(f"{path}: expected an int{bits}, not {value!r}")

    return check


def number(value: Any, path: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused(f"{path}: expected a number, not {value!r}")


def anything(value: Any, path: str) -> None:
    pass


def one_of(*words: str) -> Check:
    def check(value: Any, path: str) -> None:
        if value not in words:
            raise Refused(f"{path}: {value!r} is not in the list")

    return check


def many(check: Check, *, null: bool = False) -> Check:
    """A list; `null` where the original sends one for an empty list."""

    def each(value: Any, path: str) -> None:
        if value is None and null:
            return
        if not isinstance(value, list):
            raise Refused(f"{path}: expected a list, not {value!r}")
        for index, item in enumerate(value):
            check(item, f"{path}[{index}]")

    return each


def named(check: Check) -> Check:
    """An object with names of its own."""

    def each(value: Any, path: str) -> None:
        if not isinstance(value, dict):
            raise Refused(f"{path}: expected an object, not {value!r}")
        for name, item in value.items():
            check(item, f"{path}.{name}")

    return each


class Shape:
    """An object. Optional members may be null, which counts as absent; needed ones may not."""

    def __init__(self, needed: Mapping[str, Check], optional: Mapping[str, Check] | None = None) -> None:
        self.needed, self.optional = needed, optional or {}

    def __call__(self, value: Any, path: str = "answer") -> None:
        if not isinstance(value, dict):
            raise Refused(f"{path}: expected an object, not {value!r}")
        if missing := self.needed.keys() - value.keys():
            raise Refused(f"{path}: {', '.join(sorted(missing))} is missing")
        if unknown := value.keys() - self.needed.keys() - self.optional.keys():
            raise Refused(f"{path}: unknown member {', '.join(sorted(unknown))}")
        for name, item in value.items():
            if name in self.needed:
                self.needed[name](item, f"{path}.{name}")
            elif item is not None:
                self.optional[name](item, f"{path}.{name}")


def _words(text: str, between: str | None = None) -> list[str]:
    return text.split(between)


INT32, INT64 = whole(32), whole(64)
TEXTS = many(text)
_times = {"createdAt": time, "updatedAt": time}

TYPES = _words(
    "Image-Text-to-Text, Visual Question Answering, Document Question Answering, Text-to-Image, Image-to-Image, "
    "Image-to-Video, Unconditional Image Generation, Text-to-Video, Zero-Shot Image Classification, Zero-Shot Object "
    "Detection, Text-to-3D, Image-to-3D, Image Feature Extraction, Keypoint Detection, Text-to-Text, Question Answering, "
    "Translation, Summarization, Text Generation, Fill-Mask, Text-to-Speech, Text-to-Audio, Automatic Speech "
    "Recognition, Audio-to-Audio, Audio Classification, Reinforcement Learning, Robotics, Graph Machine Learning",
    ", ",
)
STATUSES = ("scheduled", "running", "completed", "errored", "abandoned", "canceled")

TEMPLATE = Shape({}, {"template": text})
TEXT_TO_IMAGE = Shape(
    {},
    dict.fromkeys(("prompt", "negativePrompt", "aspectRatio", "scheduler", "qualityPreset", "format"), text)
    | dict.fromkeys(("seed", "batchSize", "numIterations", "steps", "width", "height"), INT32)
    | dict.fromkeys(("guidanceScale", "denoisingStrength"), number)
    | dict.fromkeys(("enableUpscaling", "restoreFaces"), flag)
    | {"styles": TEXTS},
)
TXT2IMG = Shape(
    {},
    dict.fromkeys(
        _words(
            "prompt negative_prompt sampler_name scheduler sampler_index script_name refiner_checkpoint firstpass_image "
            "hr_upscaler hr_checkpoint_name hr_sampler_name hr_scheduler hr_prompt hr_negative_prompt force_task_id "
            "infotext"
        ),
        text,
    )
    | dict.fromkeys(
        _words(
            "seed subseed seed_resize_from_h seed_resize_from_w batch_size n_iter steps width height firstphase_width "
            "firstphase_height hr_second_pass_steps hr_resize_x hr_resize_y"
        ),
        INT32,
    )
    | dict.fromkeys(
        _words(
            "subseed_strength cfg_scale eta denoising_strength s_min_uncond s_churn s_tmax s_tmin s_noise "
            "refiner_switch_at hr_scale"
        ),
        number,
    )
    | dict.fromkeys(
        _words(
            "restore_faces tiling do_not_save_samples do_not_save_grid override_settings_restore_afterwards "
            "disable_extra_networks enable_hr send_images save_images"
        ),
        flag,
    )
    | dict.fromkeys(("styles", "script_args"), TEXTS)
    | dict.fromkeys(("override_settings", "comments", "alwayson_scripts"), named(text)),
)
_PROMPT = {
    **dict.fromkeys(("prompt", "id", "threadId", "userId", "requestMessageId", "responseMessageId"), text),
    **dict.fromkeys(("createdAt", "updatedAt", "lastRun"), time),
    "sync": flag,
    "status": one_of(*STATUSES),
}
#: The client itself needs `prompt` alone; the original always sends all these.
PROMPT = Shape(
    _PROMPT,
    {
        "type": one_of(*TYPES),
        "modelId": text,
        "maxRetries": INT32,
        "runCount": INT32,
        "error": text,
        "parameters": Shape({}, {"textToText": TEMPLATE, "textToImage": TEXT_TO_IMAGE}),
        "engineParameters": Shape(
            {}, {"llamaCppParameters": TEMPLATE, "stableDiffusion": Shape({}, {"txt2Img": TXT2IMG})}
        ),
    },
)
MESSAGE = Shape(
    {"id": text, "threadId": text, **_times},
    {"text": text, "userId": text, "fileIds": TEXTS, "meta": named(anything)},
)
PROMPT_ANSWER = Shape({"prompt": PROMPT}, {"responseMessage": MESSAGE})
PROMPTS = Shape({"prompts": many(PROMPT), "count": INT32}, {"after": text})
EVENT = Shape({"type": one_of("progress", "done")}, {"text": text, "messageId": text})

THREAD = Shape({"id": text, **_times}, {"title": text, "userIds": TEXTS, "topicIds": TEXTS})
THREAD_ANSWER, THREADS = Shape({"thread": THREAD}), Shape({"threads": many(THREAD)})
MESSAGES = Shape({"messages": many(MESSAGE)})
THREAD_IF_ANY = Shape({"exists": flag}, {"thread": THREAD})
MESSAGE_IF_ANY = Shape({"exists": flag}, {"message": MESSAGE})

ASSET = Shape({}, {"envVarKey": text, "url": text})
MODEL = Shape(
    {"id": text, "platformId": text, "name": text},
    dict.fromkeys(
        _words("parameters flavour version quality extension fullName description promptTemplate quantComment"), text
    )
    | dict.fromkeys(("tags", "mirrors"), TEXTS)
    | dict.fromkeys(("size", "maxRam"), number)
    | dict.fromkeys(("maxBits", "bits"), INT32)
    | {"uncensored": flag, "assets": many(ASSET)},
)
CONTAINER = Shape(
    {},
    {
        "port": INT32,
        "imageTemplate": text,
        "envars": many(Shape({}, {"key": text, "value": text})),
        "keeps": many(Shape({}, {"path": text, "readOnly": flag})),
    },
)
PLATFORM = Shape(
    {
        "id": text,
        "name": text,
        "architectures": Shape(
            {},
            {
                "default": Shape({}, {"container": CONTAINER}),
                "cuda": Shape(
                    {},
                    {
                        "container": CONTAINER,
                        "defaultCudaVersion": text,
                        "cudaVersionPrecision": INT32,
                        "defaultCudnnVersion": text,
                    },
                ),
            },
        ),
    },
    {"version": text, "types": many(one_of(*TYPES))},
)
MODELS, PLATFORMS = Shape({"models": many(MODEL)}), Shape({"platforms": many(PLATFORM)})
MODEL_ANSWER = Shape({"exists": flag, "model": MODEL, "platform": PLATFORM})
STATUS = Shape({"status": Shape({"assetsReady": flag, "running": flag, "address": text})})

UPLOAD = Shape(
    {**dict.fromkeys(("id", "fileId", "fileName", "filePath", "nodeId", "userId"), text), "fileSize": INT64, **_times}
)
UPLOAD_ANSWER, UPLOADS = Shape({"upload": UPLOAD}), Shape({}, {"uploads": many(UPLOAD)})
DOWNLOAD = Shape(
    {
        "id": text,
        **_times,
        "url": text,
        "fileName": text,
        "downloadedBytes": INT64,
        "status": one_of("inProgress", "paused", "completed", "errored"),
    },
    {"progress": number, "fileSize": INT64, "filePath": text, "error": text},
)
DOWNLOAD_ANSWER, DOWNLOADS = (
    Shape({"exists": flag}, {"download": DOWNLOAD}),
    Shape({"downloads": many(DOWNLOAD, null=True)}),
)

CHECK = Shape({"allowed": flag})

APP = Shape({"id": text, "host": text})
USER = Shape(
    {"id": text, "slug": text, **_times},
    {"name": text, "thumbnailFileId": text, "labels": named(text), "deletedAt": time},
)
TOKEN = Shape(
    {**dict.fromkeys(("id", "appId", "userId", "device", "token"), text), **_times, "expiresAt": time},
    {"app": APP, "active": flag, "internalId": text, "lastRefreshedAt": time, "deletedAt": time},
)
PERMIT = Shape(
    {
        **dict.fromkeys(("internalId", "appId", "id", "permission"), text),
        **_times,
        "deletedAt": time,
    },
    {"slugs": TEXTS, "roles": TEXTS},
)
TOKEN_ANSWER = Shape({"token": TOKEN})
SELF = Shape(
    {"user": USER, "roles": TEXTS, "tokenCount": INT32},
    {"organizations": many(anything), "contacts": many(anything), "activeOrganizationId": text},
)
HAS_PERMISSION = Shape({"authorized": flag, "appId": text, "until": time, "user": USER, "app": APP})
PERMITS, PERMISSIONS, APPS = Shape({"permits": many(PERMIT)}), Shape({"permissions": TEXTS}), Shape({"apps": many(APP)})
PUBLIC_KEY = Shape({"publicKey": text})
NOTHING = Shape({})
FIREHOSE_EVENT = Shape({"name": text}, {"data": named(anything)})
