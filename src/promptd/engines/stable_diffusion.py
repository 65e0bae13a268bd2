"""Engine for image servers with the HTTP API of AUTOMATIC1111: that one, Forge, SD.Next, stable-diffusion.cpp's.

These servers answer when the last image is drawn and go on drawing when nobody listens any more. So progress is asked
for beside the call, and a call that is left early takes its job back, in the background: where the job draws, the server
is told to stop; where it still waits behind others, it is watched until it begins.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections import Counter
from collections.abc import AsyncGenerator, Coroutine
from contextlib import suppress
from typing import Any
from uuid import uuid4

import msgspec
from msgspec import Struct
from pydantic import Field, JsonValue, SecretStr, field_validator

from promptd.core.engine import Call, CheckParams, CheckResult, Config, Engine
from promptd.core.errors import ConfigIncomplete, NetworkError, PromptExecutionError, ResourceNotFound, Timeout
from promptd.core.model import Blob, Capability, Chunk, Usage
from promptd.core.ports import HttpClient, Timeouts
from promptd.dialects import sdapi
from promptd.dialects.addresses import base_url
from promptd.dialects.bodies import error_body

_PROGRESS = "/sdapi/v1/progress?skip_current_image=true"
_TASK = "/internal/progress"
_INTERRUPT = "/sdapi/v1/interrupt"
_ASIDE = Timeouts(5.0, 5.0, 5.0)  # of a question beside the call
_SMALL = 1024 * 1024  # bytes of an answer without images
_PATIENCE = 600.0  # seconds that a job which nobody wants any more is watched
_GRACE = 2.0  # seconds that closing waits for servers to be told
_SHOWN = 20  # samplers in a check's message


class StableDiffusionConfig(Config):
    """Settings of a connection to an image server."""

    base_url: str = Field("", description="Address of the server, e.g. http://127.0.0.1:7860")
    user: str = Field("", description="User for Basic authentication; empty for servers without it")
    password: SecretStr = Field(SecretStr(""), description="Password for Basic authentication")
    headers: dict[str, SecretStr] = Field({}, description="Further headers of every call")
    defaults: dict[str, JsonValue] = Field(
        {}, description="Fields of the server's API for what a prompt leaves open, e.g. {steps: 20, width: 512}"
    )
    choose_checkpoint: bool = Field(
        False, description="Ask the server to load the checkpoint that the model's `upstream` names"
    )
    trusted: bool = Field(
        True,
        description="Let prompts use fields that reach beyond their images: scripts, override_settings, save_images",
    )
    max_pixels: int = Field(4_194_304, gt=0, description="Width times height of an image that a prompt may ask for")
    max_images: int = Field(16, gt=0, description="Images that one prompt may ask for")
    max_steps: int = Field(150, gt=0, description="Steps that a prompt may ask for")
    progress_interval: float = Field(1.0, gt=0, description="Seconds between two looks at how far the server is")
    connect_timeout: float = Field(10.0, gt=0, description="Seconds to reach the server")
    answer_timeout: float = Field(
        900.0, gt=0, description="Seconds until the images are drawn, waiting in line included"
    )
    silence_timeout: float = Field(60.0, gt=0, description="Seconds without a byte inside an answer")
    max_response_bytes: int = Field(128 * 1024 * 1024, gt=0, description="Bytes of one answer")

    @field_validator("base_url")
    @classmethod
    def _is_http(cls, value: str) -> str:
        return base_url(value, secrets="user and password are settings")

    @field_validator("user")
    @classmethod
    def _has_no_colon(cls, value: str) -> str:
        if ":" in value:
            raise ValueError("a name without a colon")
        return value

    @field_validator("defaults")
    @classmethod
    def _are_free(cls, value: dict[str, JsonValue]) -> dict[str, JsonValue]:
        if taken := sdapi.RESERVED.intersection(value):
            raise ValueError(f"fields other than {', '.join(sorted(taken))}, which every call sets")
        return value

    def timeouts(self) -> Timeouts:
        return Timeouts(self.connect_timeout, self.answer_timeout, self.silence_timeout)

    def request_headers(self) -> dict[str, str]:
        headers = {name: value.get_secret_value() for name, value in self.headers.items()}
        password = self.password.get_secret_value()
        if self.user or password:
            headers["authorization"] = "Basic " + b64encode(f"{self.user}:{password}".encode()).decode()
        return headers

    def secrets(self) -> list[str]:
        """What no message may show."""
        sent = [secret for value in self.request_headers().values() for secret in (value, value.rpartition(" ")[2])]
        return [*sent, self.password.get_secret_value()]

    def bounds(self) -> sdapi.Bounds:
        return sdapi.Bounds(self.max_pixels, self.max_images, self.max_steps, self.trusted)


class _Job(Struct):
    """One call at its server."""

    http: HttpClient
    config: StableDiffusionConfig
    task: str  #: its name there
    watched: bool = False  #: the server tells what it is at
    alone: bool = False  #: it was at nothing when the job was sent, so whatever it does now is this job
    by_name: bool = True  #: it may know jobs by their names
    known: bool = False  #: it has known this one
    answered: bool = False

    async def begin(self, under_way: Counter[str]) -> None:
        """Look at the server before it gets the job. `under_way` counts our jobs there, this one included."""
        first = under_way[self.config.base_url] == 1
        with suppress(PromptExecutionError):  # a server that is really gone says so to the call itself
            idle = not (await self._overall()).busy
            self.watched = True
            # a job of ours that came meanwhile may get there first
            self.alone = idle and first and under_way[self.config.base_url] == 1

    async def draw(self, path: str, body: bytes) -> tuple[Blob, ...]:
        return await asyncio.to_thread(sdapi.decode_answer, await ask(self.http, self.config, path, body, job=self))

    async def look(self) -> sdapi.Work:
        """How the job stands, as far as the server tells: all False where that can't be known."""
        if self.by_name:
            try:
                named = msgspec.json.encode({"id_task": self.task, "live_preview": False})
                work = sdapi.decode_task(await ask(self.http, self.config, _TASK, named, timeouts=_ASIDE))
            except (NetworkError, Timeout):
                raise
            except PromptExecutionError:
                self.by_name = False
            else:
                if work.busy or work.waiting or work.over:
                    self.known = True
                    return work
                if self.known:
                    return sdapi.Work(over=True)
        return await self._overall() if self.alone else sdapi.Work()

    async def fraction(self, interval: float) -> float:
        """How far the job is, after `interval` seconds; 0 where that can't be known."""
        await asyncio.sleep(interval)
        with suppress(PromptExecutionError):
            work = await self.look()
            return work.fraction if work.busy else 0.0
        return 0.0

    async def withdraw(self, interval: float) -> None:
        """Nobody waits for the images any more: stop the job if it is being drawn, or once its turn comes."""
        with suppress(PromptExecutionError, TimeoutError):  # a server that can't be reached can't be told either
            async with asyncio.timeout(_PATIENCE):
                while (work := await self.look()).waiting:  # noqa: ASYNC110 - only asking tells
                    await asyncio.sleep(interval)
                if work.busy:
                    await ask(self.http, self.config, _INTERRUPT, b"{}", timeouts=_ASIDE)

    async def _overall(self) -> sdapi.Work:
        return sdapi.decode_progress(await ask(self.http, self.config, _PROGRESS, timeouts=_ASIDE))


class StableDiffusion(Engine[StableDiffusionConfig]):
    type_id = "stable_diffusion"
    display_name = "Stable Diffusion server"
    display_description = "Image servers with the HTTP API of AUTOMATIC1111: Forge, SD.Next, stable-diffusion.cpp too"
    capabilities = frozenset({Capability.IMAGE})

    def __init__(self) -> None:
        self._under_way: Counter[str] = Counter()  #: jobs by server
        self._withdrawals: set[asyncio.Task[None]] = set()

    async def run(self, call: Call[StableDiffusionConfig]) -> AsyncGenerator[Chunk, None]:
        config = call.connection
        _require_address(config)
        job = _Job(call.http, config, f"task(promptd-{uuid4().hex})")
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

    async def check(self, params: CheckParams[StableDiffusionConfig]) -> CheckResult:
        config = params.connection
        _require_address(config)
        models = sdapi.decode_checkpoints(await ask(params.http, config, "/sdapi/v1/sd-models"))
        samplers: tuple[str, ...] = ()
        with suppress(ResourceNotFound):
            samplers = sdapi.decode_samplers(await ask(params.http, config, "/sdapi/v1/samplers"))
        named = ", ".join(samplers[:_SHOWN]) + (" …" if len(samplers) > _SHOWN else "")
        return CheckResult(ok=True, message=f"{len(models)} models; samplers: {named or 'not told'}", models=models)

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


async def ask(
    http: HttpClient,
    config: StableDiffusionConfig,
    path: str,
    body: bytes | None = None,
    *,
    timeouts: Timeouts | None = None,
    job: _Job | None = None,
) -> bytes:
    """The answer to a GET, or to a POST where there is a `body`; a `job` is told that it was answered."""
    async with http.request(
        "GET" if body is None else "POST",
        config.base_url + path,
        headers={**config.request_headers(), "content-type": "application/json"},
        body=body,
        timeouts=timeouts or config.timeouts(),
        max_bytes=_SMALL if job is None else config.max_response_bytes,
    ) as response:
        if job is not None:
            job.answered = True
        if not 200 <= response.status < 300:
            said = await error_body(response)
            raise sdapi.decode_error(response.status, response.headers, said, secrets=config.secrets())
        return await response.read()


def _require_address(config: StableDiffusionConfig) -> None:
    if not config.base_url:
        raise ConfigIncomplete("base_url: the connection needs the server's address")
