"""One call at its server, and questions beside it."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from typing import Final

import msgspec
from msgspec import Struct

from promptd.core.errors import NetworkError, PromptExecutionError, Timeout
from promptd.core.model import Blob
from promptd.core.ports import HttpClient, Timeouts
from promptd.dialects import sdapi
from promptd.dialects.bodies import error_body
from promptd.engines.stable_diffusion.config import StableDiffusionConfig

_PROGRESS: Final = "/sdapi/v1/progress?skip_current_image=true"
_TASK: Final = "/internal/progress"
_INTERRUPT: Final = "/sdapi/v1/interrupt"
_ASIDE: Final = Timeouts(5.0, 5.0, 5.0)  # of a question beside the call
_SMALL: Final = 1024 * 1024  # bytes of an answer without images
_PATIENCE: Final = 600.0  # seconds that a job which nobody wants any more is watched


class Job(Struct):
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


async def ask(
    http: HttpClient,
    config: StableDiffusionConfig,
    path: str,
    body: bytes | None = None,
    *,
    timeouts: Timeouts | None = None,
    job: Job | None = None,
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
