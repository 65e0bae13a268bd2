"""`StableDiffusion`: images of texts, and of other images."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import aclosing, suppress
from typing import Any, Final
from uuid import uuid4

from promptd.core.calls import CheckLine
from promptd.core.connection_forms import ConnectionLogic, models_found
from promptd.core.descriptors import Param
from promptd.core.engine import Call, ConnectionTestParams, ConnectionTestResult, DescribeParams, Engine
from promptd.core.errors import ResourceNotFound
from promptd.core.forms import Form, FormContext, FormLogic, make_form
from promptd.core.localisation import Key
from promptd.core.media_queries import IMAGES, as_outputs, media_outputs
from promptd.core.model import Capability, Chunk, Usage
from promptd.dialects import sdapi
from promptd.engines.stable_diffusion.config import StableDiffusionConfig
from promptd.engines.stable_diffusion.job import Job, ask
from promptd.engines.stable_diffusion.queries import (
    CONNECTION,
    QUERY,
    ImageQuery,
    ImageQueryLogic,
    image_inputs,
    plain_call,
)

_GRACE: Final = 2.0  # seconds that closing waits for servers to be told
_SHOWN: Final = 20  # samplers in a test's line


class StableDiffusion(Engine[StableDiffusionConfig, ImageQuery]):
    type_id = "stable_diffusion"
    display_name_key = "stable_diffusion.name"
    display_description_key = "stable_diffusion.description"
    capabilities = frozenset({Capability.IMAGE})

    def __init__(self) -> None:
        self._under_way: Counter[str] = Counter()  #: jobs by server
        self._withdrawals: set[asyncio.Task[None]] = set()

    def compute_query_input(self, params: DescribeParams[StableDiffusionConfig, ImageQuery]) -> Sequence[Param]:
        return image_inputs(params.query)

    def compute_query_output(self, params: DescribeParams[StableDiffusionConfig, ImageQuery]) -> Sequence[Param]:
        return media_outputs("image")

    def query_model(self, query: ImageQuery) -> str:
        return query.model

    def connection_form(self, context: FormContext) -> Form:
        return make_form(StableDiffusionConfig, CONNECTION)

    def connection_form_logic(self) -> FormLogic[StableDiffusionConfig, Any]:
        return ConnectionLogic(self)

    def query_form(self, context: FormContext) -> Form:
        return make_form(ImageQuery, QUERY)

    def query_form_logic(self) -> FormLogic[StableDiffusionConfig, ImageQuery]:
        return ImageQueryLogic(self)

    async def run(self, call: Call[StableDiffusionConfig, ImageQuery]) -> AsyncGenerator[Chunk, None]:
        if call.capability is not Capability.QUERY:
            chunks = self._draw(call)
        else:
            chunks = as_outputs(self._draw(await plain_call(call)), IMAGES)
        async with aclosing(chunks) as running:
            async for chunk in running:
                yield chunk

    async def _draw(self, call: Call[StableDiffusionConfig, ImageQuery]) -> AsyncGenerator[Chunk, None]:
        config = call.connection
        config.require_address()
        job = Job(call.http, config, f"task(promptd-{uuid4().hex})")
        path, body = await asyncio.to_thread(
            sdapi.encode_request,
            call,
            job.task,
            defaults=config.defaults,
            checkpoint=call.model if config.choose_checkpoint else "",
            bounds=config.bounds(),
        )
        self._under_way[config.base_url] += 1
        tasks: set[asyncio.Task[Any]] = set()
        try:
            await job.begin(self._under_way)
            drawing = asyncio.create_task(job.draw(path, body))
            tasks = {drawing}
            reached = 0.0
            while job.watched and not drawing.done():
                looking = asyncio.create_task(job.fraction(config.progress_interval))
                tasks = {drawing, looking}
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                if looking.done() and (fraction := looking.result()) > reached:
                    reached = fraction
                    yield Chunk("progress", fraction=fraction)
            blobs = await drawing
        finally:
            self._under_way[config.base_url] -= 1
            for task in tasks:
                task.cancel()
            if tasks and job.watched and not job.answered:
                self._in_background(job.withdraw(config.progress_interval))
            await asyncio.gather(*tasks, return_exceptions=True)
        yield Chunk("done", finish_reason="stop", usage=Usage(), blobs=blobs)

    async def test_connection(self, params: ConnectionTestParams[StableDiffusionConfig]) -> ConnectionTestResult:
        config = params.connection
        config.require_address()
        models = sdapi.decode_checkpoints(await ask(params.http, config, "/sdapi/v1/sd-models"))
        samplers: tuple[str, ...] = ()
        with suppress(ResourceNotFound):
            samplers = sdapi.decode_samplers(await ask(params.http, config, "/sdapi/v1/samplers"))
        named = ", ".join(samplers[:_SHOWN]) + (" …" if len(samplers) > _SHOWN else "")
        told = Key("stable_diffusion.samplers", {"names": named}) if named else Key("stable_diffusion.no_samplers")
        return models_found(models, CheckLine(bool(samplers), told), samplers=list(samplers))

    async def close(self) -> None:
        """Jobs that draw for nobody are stopped; those that still wait at their servers are given up."""
        if self._withdrawals:
            await asyncio.wait(self._withdrawals, timeout=_GRACE)
        for task in self._withdrawals:
            task.cancel()
        await asyncio.gather(*self._withdrawals, return_exceptions=True)

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._withdrawals.add(task)
        task.add_done_callback(self._withdrawals.discard)
