"""A small image server with AUTOMATIC1111's HTTP API on 127.0.0.1: it checks what it is asked, draws real PNGs one job
at a time, goes on when its client leaves, tells its progress and can be interrupted."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode, b64encode
from types import TracebackType
from typing import Any, Self

from promptd.testing.faults import Presence, Wire
from promptd.testing.media import png
from promptd.testing.upstream import Received

#: one pixel
WEBP = b64decode("UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA==")
SAMPLERS = ("Euler", "Euler a", "DPM++ 2M")
CHECKPOINTS = ("first", "second")
_WHOLE = ("seed", "batch_size", "n_iter", "steps", "width", "height")
_NUMBERS = ("cfg_scale", "denoising_strength")


class Job:
    """One drawing. `begun` and `ended` are events to wait for."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.body = body
        self.task = str(body.get("force_task_id", ""))
        self.begun, self.ended = asyncio.Event(), asyncio.Event()
        self.go_on = asyncio.Event()
        self.interrupted = False
        self.step = 0

    @property
    def steps(self) -> int:
        return int(self.body.get("steps", 20))


class ImageServer:
    """The server, an async context manager.

    `pause_at`: the fraction of its steps at which each job waits for `Job.go_on` or for an interrupt. `bare` has no
    progress and no interrupt, as stable-diffusion.cpp has none; with `names` off it knows no job by its name, as old
    servers don't. `grid` puts a sheet of all images first. `answer` replaces what a drawing gives. `hold_look` holds the
    next answer about the progress back, true when it was made and perhaps not when it arrives.
    """

    def __init__(self, *, login: tuple[str, str] | None = None, bare: bool = False, names: bool = True) -> None:
        self.asked: list[Received] = []
        self.jobs: list[Job] = []
        self.pause_at: float | None = None
        self.grid = False
        self.answer: tuple[int, bytes] | None = None
        self.hold_look: asyncio.Event | None = None
        self._login, self._bare, self._names = login, bare, names
        self._turn = asyncio.Lock()
        self._working: Job | None = None
        self._arrived = asyncio.Condition()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.base_url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def job(self, number: int = 0) -> Job:
        """The job, once it has come."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self.jobs) > number)
        return self.jobs[number]

    async def asked_for(self, path: str) -> Received:
        """The first request for `path`, once it has come."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: any(asked.path == path for asked in self.asked))
        return next(asked for asked in self.asked if asked.path == path)

    def work_on(self, body: dict[str, Any]) -> Job:
        """Begin a job of somebody else."""
        job = Job(body)
        self.jobs.append(job)
        self._keep(asyncio.create_task(self._draw(job)))
        return job

    # ---------------------------------------------------------------- wire

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._keep(task)
        self._writers.add(writer)
        wire = Wire(Presence(), reader, writer)
        try:
            while wire.keep:
                await self._exchange(wire)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            return  # cancelled at the server's own end, where nobody waits for it
        finally:
            writer.close()
            self._writers.discard(writer)

    async def _exchange(self, wire: Wire) -> None:
        head = (await wire.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.strip().split("\r\n")
        method, path, _ = first.split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        data = await wire.reader.readexactly(int(headers.get("content-length", "0")))
        asked = Received(method, path, headers, json.loads(data) if data else {})
        async with self._arrived:
            self.asked.append(asked)
            self._arrived.notify_all()
        status, answer = await self._route(asked)
        wire.whole(status, answer)
        await wire.writer.drain()

    async def _route(self, asked: Received) -> tuple[int, Any]:
        if self._login is not None:
            expected = "Basic " + b64encode(":".join(self._login).encode()).decode()
            if asked.headers.get("authorization") != expected:
                return _refusal(401, "Incorrect username or password")
        match asked.method, asked.path.partition("?")[0]:
            case "POST", "/sdapi/v1/txt2img" | "/sdapi/v1/img2img":
                return await self._image(asked)
            case "GET", "/sdapi/v1/progress" if not self._bare:
                found, held, self.hold_look = self._progress(), self.hold_look, None
                if held is not None:
                    await held.wait()
                return 200, found
            case "POST", "/sdapi/v1/interrupt" if not self._bare:
                return 200, self._interrupt()
            case "POST", "/internal/progress" if self._names and not self._bare:
                return 200, self._standing(asked.body["id_task"])
            case "GET", "/sdapi/v1/sd-models":
                return 200, [{"title": f"{name}.safetensors [0]", "model_name": name} for name in CHECKPOINTS]
            case "GET", "/sdapi/v1/samplers" if not self._bare:
                return 200, [{"name": name, "aliases": [], "options": {}} for name in SAMPLERS]
            case _:
                return 404, {"detail": "Not Found"}

    async def _image(self, asked: Received) -> tuple[int, Any]:
        wrong = _wrong(asked.body, from_image=asked.path.endswith("img2img"))
        if wrong is not None:
            return wrong
        job = Job(asked.body)
        async with self._arrived:
            self.jobs.append(job)
            self._arrived.notify_all()
        drawing = asyncio.create_task(self._draw(job))
        self._keep(drawing)
        images = await asyncio.shield(drawing)  # who leaves does not stop the drawing
        if self.answer is not None:
            return self.answer
        count = len(images)
        if self.grid and count > 1:
            images.insert(0, png("grid", 16, 16))
        info = json.dumps({"index_of_first_image": len(images) - count, "prompt": asked.body["prompt"]})
        return 200, {"images": [b64encode(data).decode() for data in images], "parameters": {}, "info": info}

    # ---------------------------------------------------------------- work

    async def _draw(self, job: Job) -> list[bytes]:
        async with self._turn:
            self._working = job
            job.begun.set()
            if self.pause_at is not None:
                job.step = int(job.steps * self.pause_at)
                await job.go_on.wait()
            self._working = None
            job.ended.set()
        body = job.body
        if body.get("override_settings", {}).get("samples_format") == "webp":
            return [WEBP]
        count = body.get("batch_size", 1) * body.get("n_iter", 1)
        size = (body.get("width", 16), body.get("height", 16))
        seed = f"{body.get('prompt')}|{body.get('seed')}"
        return [png(f"{seed}|{number}", *size) for number in range(1 if job.interrupted else count)]

    def _interrupt(self) -> dict[str, Any]:
        if self._working is not None:
            self._working.interrupted = True
            self._working.go_on.set()
        return {}

    def _progress(self) -> dict[str, Any]:
        job = self._working
        state = {"job_count": 0 if job is None else 1, "sampling_step": 0 if job is None else job.step}
        return {"progress": 0.0 if job is None else job.step / job.steps, "eta_relative": 0.0, "state": state}

    def _standing(self, task: str) -> dict[str, Any]:
        job = next((job for job in self.jobs if job.task == task), None)
        active = job is not None and job is self._working
        return {
            "active": active,
            "queued": job is not None and not job.begun.is_set(),
            "completed": job is not None and job.ended.is_set(),
            "progress": job.step / job.steps if job is not None and active else None,
        }

    def _keep(self, task: asyncio.Task[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _wrong(body: dict[str, Any], *, from_image: bool) -> tuple[int, Any] | None:
    """The refusal of a request that no such server would take."""
    wrong = [name for name in _WHOLE if type(body.get(name, 1)) is not int]
    wrong += [name for name in _NUMBERS if type(body.get(name, 1)) not in (int, float)]
    wrong += [name for name in ("prompt", "negative_prompt") if not isinstance(body.get(name, ""), str)]
    if wrong:
        return 422, {"detail": [{"loc": ["body", name], "msg": "value is not valid"} for name in wrong]}
    if body.get("sampler_name", SAMPLERS[0]) not in SAMPLERS:
        return _refusal(404, "Sampler not found")
    if body.get("override_settings", {}).get("sd_model_checkpoint", CHECKPOINTS[0]) not in CHECKPOINTS:
        return 500, {"error": "RuntimeError", "detail": "", "body": "", "errors": "model not found"}
    if from_image:
        images = body.get("init_images")
        if not images:
            return _refusal(404, "Init image not found")
        if not all(b64decode(image, validate=True).startswith(b"\x89PNG") for image in images):
            return _refusal(500, "Invalid encoded image")
    return None


def _refusal(status: int, detail: str) -> tuple[int, Any]:
    return status, {"error": "HTTPException", "detail": detail, "body": "", "errors": ""}
