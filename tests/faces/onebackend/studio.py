"""A server beside services that draw, see, speak and listen, all of them on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from promptd.core.engine import Engine
from promptd.core.model import Blob
from promptd.dialects.multipart import encode_form
from promptd.engines.local_audio.engine import LocalAudio
from promptd.engines.openai import OpenAI
from promptd.engines.stable_diffusion import StableDiffusion
from promptd.testing.image_server import ImageServer
from promptd.testing.upstream import Upstream
from tests.faces.client import Http
from tests.faces.conftest import Server, run_server
from tests.faces.onebackend.clients import PATIENCE, PROMPTS, Wire, done, register

TXT2IMG: Final = "/sdapi/v1/txt2img"
IMG2IMG: Final = "/sdapi/v1/img2img"


class Studio(NamedTuple):
    server: Server
    easel: ImageServer
    upstream: Upstream

    async def person(self, slug: str) -> Wire:
        return await register(self.server, slug, PROMPTS)

    async def upload(self, name: str, media_type: str, data: bytes) -> str:
        """The file's id. It is the admin's; whoever knows the id may use it."""
        kind, body = encode_form([], [("file", Blob(name, media_type, data))])
        answer = await self.server.admin.call("PUT", "/file-svc/upload", raw=body, headers={"Content-Type": kind})
        return str(done(answer)["upload"]["fileId"])

    async def served(self, identifier: str) -> tuple[str, bytes]:
        """A file's content type and bytes, as anybody gets them."""
        answer = await Http(self.server.port, None).get(f"/file-svc/serve/upload/{identifier}")
        assert answer.status == 200, answer.body
        return answer.headers["content-type"], answer.body

    def drawings(self) -> list[tuple[str, dict[str, Any]]]:
        """What the image server was asked to draw: path and body."""
        return [(asked.path, asked.body) for asked in self.easel.asked if asked.path in (TXT2IMG, IMG2IMG)]

    def drawn(self) -> dict[str, Any]:
        """The last drawing, without what every one of this engine has."""
        path, body = self.drawings()[-1]
        assert path == TXT2IMG
        rest = dict(body)
        assert rest.pop("force_task_id").startswith("task(promptd-")
        assert rest.pop("send_images") is True
        return rest

    async def job(self, number: int) -> Any:
        """A job of the image server, once it is being drawn."""
        async with asyncio.timeout(PATIENCE):
            job = await self.easel.job(number)
            await job.begun.wait()
        return job


@asynccontextmanager
async def studio(home: Path, **sections: Any) -> AsyncIterator[Studio]:
    """The default model only writes. `easel` draws; `eyes` and `templated` see; `maker` draws, speaks and listens, as
    `voice` does on this machine."""
    async with ImageServer() as easel, Upstream() as upstream:
        far = {"engine": "openai", "base_url": upstream.base_url}
        settings = {
            "connections": {
                "lab": {"engine": "scripted", "slots": 8},
                "diffusion": {
                    "engine": "stable_diffusion",
                    "base_url": easel.base_url,
                    "progress_interval": 0.005,
                },
                "far": far,
                "audio": {"engine": "local_audio"},
            },
            "models": {
                "demo": {"connection": "lab", "capabilities": ["chat"]},
                "easel": {"connection": "diffusion"},
                "eyes": {"connection": "far", "upstream": "echo", "capabilities": ["chat", "vision"]},
                "templated": {
                    "connection": "far",
                    "upstream": "echo",
                    "capabilities": ["chat", "vision"],
                    "template": "[INST] {prompt} [/INST]",
                },
                "voice": {"connection": "audio"},
                "maker": {"connection": "far", "capabilities": ["image", "speech", "transcription"]},
            },
        } | sections
        engines: dict[str, Engine[Any, Any]] = {
            "stable_diffusion": StableDiffusion(),
            "openai": OpenAI(),
            "local_audio": LocalAudio(),
        }
        async with run_server(home, engines=engines, **settings) as server:
            yield Studio(server, easel, upstream)
