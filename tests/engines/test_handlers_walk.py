"""Queries of the built-in engines on the whole walk: uploads in, templates, lanes, outputs stored."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from promptd.app import House, build
from promptd.core.identity import ALL_PERMISSIONS
from promptd.core.lifecycle import Status
from promptd.core.model import Caller, Capability, Prompt
from promptd.core.template import Draft, TemplateVersion
from promptd.registry import load
from promptd.settings import Settings
from promptd.testing import media
from promptd.testing.image_server import ImageServer
from promptd.testing.sockets import Reader, Writer, head_of, serve
from promptd.testing.upstream import Upstream

PATIENCE = 10.0


class Walker:
    def __init__(self, house: House, ann: Caller) -> None:
        self.house, self.walk, self.ann = house, house.walk, ann

    async def run(
        self, connection: str, settings: dict[str, Any], value: dict[str, Any], **files: tuple[str, ...]
    ) -> Prompt:
        functions = self.walk.functions

        async def store(draft: Draft) -> TemplateVersion:
            await functions.check("query", draft)
            return await self.walk.templates.save(self.ann, "query", draft)

        await functions.with_settings(self.ann, "query", Draft(connection=connection), settings, store)
        submission = await functions.prepare(self.ann, "query", value, files=files)
        added = await self.walk.intake.submit(submission)
        async with asyncio.timeout(PATIENCE):
            return await self.walk.streams.finished(added.prompt.id)

    async def upload(self, name: str, media_type: str, data: bytes) -> str:
        async def once() -> AsyncIterator[bytes]:
            yield data

        return (await self.walk.uploads.save("ann", name, media_type, once(), len(data))).id

    async def read(self, identifier: str) -> bytes:
        return await self.walk.uploads.read(identifier, 10_000_000)


@asynccontextmanager
async def house(home: Path, **connections: dict[str, Any]) -> AsyncIterator[Walker]:
    settings = Settings.model_validate(
        {"home": home, "connections": connections, "models": {"m": {"connection": next(iter(connections))}}}
    )
    async with build(settings, load()) as built:
        _, secret = await built.walk.keys.store(name="ann", user="ann", permissions=ALL_PERMISSIONS)
        yield Walker(built, await built.walk.callers.authenticate(secret))


async def test_images_and_sounds_walk_like_any_prompt(tmp_path: Path, upstream: Upstream) -> None:
    async with house(tmp_path, cloud={"engine": "openai", "base_url": upstream.base_url}) as walker:
        image = {"task": "image", "model": "maker", "prompt": "a {{color}} cat", "image": {"count": 2}}
        drawn = await walker.run("cloud", image, {"color": "red"})
        assert (drawn.status, drawn.capability, drawn.model) == (Status.COMPLETED, Capability.QUERY, "maker")
        assert drawn.answer is not None
        assert len(drawn.answer.outputs["images"]) == 2
        assert (await walker.read(drawn.answer.outputs["images"][0])).startswith(b"\x89PNG")

        speech = {"task": "speech", "model": "maker", "prompt": "Hello {{name}}", "speech": {"format": "wav"}}
        spoken = await walker.run("cloud", speech, {"name": "Ada"})
        assert spoken.answer is not None
        (sound,) = spoken.answer.outputs["audio"]
        assert media.comment_of(await walker.read(sound)) == "Hello Ada"

        # what came out of one query goes into the next
        heard = await walker.run("cloud", {"task": "transcription", "model": "maker"}, {}, audio=(sound,))
        assert heard.answer is not None
        assert heard.answer.value == {"text": "Hello Ada"}


async def test_a_chat_of_the_same_engine_is_a_chat(tmp_path: Path, upstream: Upstream) -> None:
    async with house(tmp_path, cloud={"engine": "chat_completions", "base_url": upstream.base_url}) as walker:
        said = await walker.run("cloud", {"model": "echo", "prompt": "say {{word}}"}, {"word": "two"})
        assert (said.status, said.capability) == (Status.COMPLETED, Capability.CHAT)
        assert said.answer is not None
        assert said.answer.value == {"text": "say two "}


async def test_an_endpoint_of_one_s_own(tmp_path: Path) -> None:
    asked: list[tuple[str, bytes]] = []

    async def handle(reader: Reader, writer: Writer) -> None:
        while True:
            head = (await head_of(reader)).decode("latin-1")
            length = next(line for line in head.lower().split("\r\n") if line.startswith("content-length: "))
            asked.append((head.split("\r\n")[0], await reader.readexactly(int(length.partition(": ")[2]))))
            data = json.dumps({"result": {"price": 9.5, "currency": "EUR"}}).encode()
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(data), data))
            await writer.drain()

    async with serve(handle) as url, house(tmp_path, shop={"engine": "http_target", "base_url": url}) as walker:
        settings = {
            "path": "/quotes/{{customer}}",
            "body": "json",
            "json_body": {"count": "{{count}}"},
            "inputs": [{"name": "count", "kind": "integer"}],
            "pointer": "/result",
            "outputs": [{"name": "price", "kind": "number"}, {"name": "currency"}],
        }
        prompt = await walker.run("shop", settings, {"customer": "a/b", "count": 3})
        assert prompt.status is Status.COMPLETED
        assert prompt.answer is not None
        assert prompt.answer.value == {"price": 9.5, "currency": "EUR"}
    assert asked == [("POST /quotes/a%2Fb HTTP/1.1", b'{"count":3}')]


async def test_a_file_goes_through_an_endpoint(tmp_path: Path) -> None:
    async def repeat(reader: Reader, writer: Writer) -> None:
        head = (await head_of(reader)).decode("latin-1").lower()
        length = next(line for line in head.split("\r\n") if line.startswith("content-length: "))
        body = await reader.readexactly(int(length.partition(": ")[2]))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-thing\r\ncontent-length: %d\r\n\r\n" % len(body))
        writer.write(body)
        await writer.drain()

    data = bytes(range(256)) * 5000
    async with serve(repeat) as url, house(tmp_path, mirror={"engine": "http_target", "base_url": url}) as walker:
        settings = {"body": "file", "inputs": [{"name": "doc", "kind": "file"}], "response": "file"}
        prompt = await walker.run(
            "mirror", settings, {}, doc=(await walker.upload("a.bin", "application/octet-stream", data),)
        )
        assert prompt.answer is not None
        (made,) = prompt.answer.outputs["file"]
        assert await walker.read(made) == data


async def test_a_query_without_a_checkpoint_leaves_the_server_s_own(tmp_path: Path) -> None:
    async with ImageServer() as server:
        easel = {"engine": "stable_diffusion", "base_url": server.base_url, "choose_checkpoint": True}
        async with house(tmp_path, easel=easel) as walker:
            for settings, wanted in (({}, None), ({"model": "second"}, {"sd_model_checkpoint": "second"})):
                drawn = await walker.run("easel", {"prompt": "x", "width": 8, "height": 8, **settings}, {})
                assert drawn.status is Status.COMPLETED
                assert drawn.answer is not None
                assert len(drawn.answer.outputs["images"]) == 1
                bodies = [one.body for one in server.asked if one.path.endswith("txt2img")]
                assert bodies[-1].get("override_settings") == wanted
