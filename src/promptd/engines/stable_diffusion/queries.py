"""The query of an image server, and the forms."""

from __future__ import annotations

from typing import Any, Final

from pydantic import JsonValue

from promptd.core.chat_queries import text_inputs
from promptd.core.chat_queries import text_key as shared
from promptd.core.configs import setting
from promptd.core.connection_forms import connection_layout, control, shown
from promptd.core.descriptors import Param
from promptd.core.engine import Call, Config, ConnectionTestParams, Engine
from promptd.core.forms import Draft, FieldMessage, FormLogic, Group, Option, Vertical
from promptd.core.localisation import Key
from promptd.core.media_queries import IMAGE, image_call, image_input
from promptd.core.parameters import ImageParameters
from promptd.dialects import sdapi
from promptd.engines.stable_diffusion.config import StableDiffusionConfig

_KEYS: Final = "stable_diffusion.query"


class ImageQuery(Config):
    """What is drawn, and how."""

    model: str = setting("", widget="model", options="models", i18n=f"{_KEYS}.model")
    prompt: str = setting("", required=True, widget="prompt", i18n=shared("prompt"))
    negative_prompt: str = setting("", widget="prompt", i18n=f"{_KEYS}.negative_prompt")
    width: int | None = setting(None, ge=1, le=16_384, i18n=shared("width"))
    height: int | None = setting(None, ge=1, le=16_384, i18n=shared("height"))
    count: int = setting(1, ge=1, le=64, i18n=shared("count"))
    from_image: bool = setting(False, i18n=shared("from_image"))
    denoising_strength: float | None = setting(None, ge=0, le=1, widget="slider", i18n=f"{_KEYS}.denoising_strength")
    steps: int | None = setting(None, ge=1, i18n=f"{_KEYS}.steps")
    seed: int | None = setting(None, ge=-1, i18n=f"{_KEYS}.seed")
    sampler: str = setting("", widget="select", options="samplers", i18n=f"{_KEYS}.sampler")
    scheduler: str = setting("", i18n=f"{_KEYS}.scheduler")
    guidance_scale: float | None = setting(None, ge=0, le=100, i18n=f"{_KEYS}.guidance_scale")
    extra: dict[str, JsonValue] = setting(default_factory=dict, widget="json", i18n=f"{_KEYS}.extra")


CONNECTION: Final = connection_layout(
    ("base_url", "user", "password"),
    advanced=("choose_checkpoint", "defaults", "headers", "trusted"),
    limits=(
        *("max_pixels", "max_images", "max_steps", "progress_interval"),
        *("connect_timeout", "answer_timeout", "silence_timeout", "max_response_bytes"),
    ),
)
QUERY: Final = Vertical(
    elements=(
        *(control(name) for name in ("model", "prompt", "negative_prompt", "width", "height", "count", "from_image")),
        control("denoising_strength", rule=shown("from_image", True)),
        Group(
            i18n=shared("advanced"),
            collapsed=True,
            elements=tuple(
                control(name) for name in ("steps", "seed", "sampler", "scheduler", "guidance_scale", "extra")
            ),
        ),
    )
)


def image_inputs(query: ImageQuery) -> list[Param]:
    """A text for each placeholder, and the image that it is drawn from."""
    texts = text_inputs(query.prompt, query.negative_prompt)
    if not query.from_image:
        return texts
    return [image_input(), *(param for param in texts if param.name != IMAGE)]


async def plain_call(call: Call[StableDiffusionConfig, ImageQuery]) -> Call[StableDiffusionConfig, Any]:
    """The call for an image that a query means."""
    query = call.query
    extra: dict[str, Any] = dict(query.extra)
    if query.sampler:
        extra["sampler_name"] = query.sampler
    image = ImageParameters(
        negative_prompt=call.text(query.negative_prompt) or None,
        width=query.width,
        height=query.height,
        batch_size=query.count if query.count > 1 else None,
        steps=query.steps,
        seed=query.seed,
        guidance_scale=query.guidance_scale,
        denoising_strength=query.denoising_strength if query.from_image else None,
        scheduler=query.scheduler or None,
        extra=extra,
    )
    return await image_call(call, query.prompt, image)


class ImageQueryLogic(FormLogic[StableDiffusionConfig, ImageQuery]):
    """Checkpoints and samplers that the server names, and the bounds of the connection."""

    def __init__(self, engine: Engine[StableDiffusionConfig, ImageQuery]) -> None:
        self._engine = engine

    async def options(self, source: str, draft: Draft[StableDiffusionConfig, ImageQuery], search: str) -> list[Option]:
        if draft.http is None:
            return []
        params = ConnectionTestParams(
            connection=draft.connection, connection_name="", http=draft.http, locale=draft.locale
        )
        found = (await self._engine.test_connection(params)).discovered.get(source, [])
        return [Option(name, name) for name in found if search.casefold() in name.casefold()]

    async def validate(self, draft: Draft[StableDiffusionConfig, ImageQuery]) -> list[FieldMessage]:
        query, config = draft.query, draft.connection
        found = []
        if (query.width or 512) * (query.height or 512) > config.max_pixels:
            found.append(FieldMessage("width", Key(f"{_KEYS}.too_many_pixels", {"limit": config.max_pixels})))
        if query.count > config.max_images:
            found.append(FieldMessage("count", Key("promptd.invalid.maximum", {"limit": config.max_images})))
        if (query.steps or 0) > config.max_steps:
            found.append(FieldMessage("steps", Key("promptd.invalid.maximum", {"limit": config.max_steps})))
        if taken := sorted(sdapi.RESERVED.intersection(query.extra)):
            found.append(FieldMessage("extra", Key(f"{_KEYS}.reserved", {"names": ", ".join(taken)})))
        if query.model and not config.choose_checkpoint:
            found.append(FieldMessage("model", Key(f"{_KEYS}.checkpoint_unused"), "warning"))
        return found
