"""Models of the catalogue, from their download to their answer."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from promptd.engines.llamacpp import LlamaCpp
from promptd.testing.image_server import ImageServer
from tests.engines.llamacpp_support import Death
from tests.faces.client import Http
from tests.faces.onebackend.lab import GGUF, MISTRAL, PATIENCE, TINY, fetch, lab, model, running, status
from tests.service.origin import Origin

pytestmark = pytest.mark.asyncio(loop_scope="module")


def prompt(name: str | None, text: str = "Hi", **more: Any) -> dict[str, Any]:
    return {"prompt": text, "sync": True, **({"modelId": name} if name else {}), **more}


async def ask(http: Http, name: str | None, **more: Any) -> Any:
    answer = await http.post("/prompt-svc/prompt", prompt(name, **more))
    assert answer.status == 200, answer.body
    return answer.json["prompt"]


@pytest.mark.slow
async def test_a_model_of_the_catalogue_runs_once_it_is_fetched(tmp_path: Path, far: Origin) -> None:
    async with lab(tmp_path, far, compat={"onebackend": {"llm_host": "gpu.example", "health_port": 8123}}) as server:
        assert not (await status(server.admin, TINY))["assetsReady"]
        await fetch(server, TINY)
        fetched = {"assetsReady": True, "running": False, "address": "gpu.example:8123"}
        assert await status(server.admin, TINY) == fetched
        started = await server.admin.call("PUT", model(TINY, "/start"))
        assert (started.status, started.json) == (200, {})
        await running(server, TINY)
        assert await status(server.admin, TINY) == fetched | {"running": True}
        done = await ask(server.admin, TINY)
        assert (done["status"], done["modelId"]) == ("completed", TINY)
        # its child is gone, and the status knows
        assert (await server.admin.post(f"/promptd/v1/models/{TINY.replace('/', '%2F')}/stop")).status == 200
        assert await status(server.admin, TINY) == fetched
        # a prompt starts it
        assert (await ask(server.admin, TINY))["status"] == "completed"
        assert (await status(server.admin, TINY))["running"]


async def test_a_killed_child_is_not_running(tmp_path: Path, far: Origin) -> None:
    async with lab(tmp_path, far) as server:
        await fetch(server, TINY)
        await running(server, TINY)
        connections = server.house.walk.connections
        connection = connections.get(TINY)
        assert connection is not None

        def child() -> int | None:
            """The process that answers, as far as the server knows."""
            pid: int | None = connection.engine.standing(TINY, connection.config).detail.get("pid")
            return pid

        first = child()
        assert first is not None
        death = Death(first)
        os.kill(first, signal.SIGKILL)
        await death.seen()
        seen: list[tuple[int | None, bool]] = [(first, True)]
        async with asyncio.timeout(PATIENCE):
            # its supervisor brings it back
            while seen[-1][0] in (first, None):
                before = child()
                told = (await status(server.admin, TINY))["running"]
                after = child()
                if before == after:
                    seen.append((after, told))
                    assert told == (after is not None)
        assert (await status(server.admin, TINY))["running"]
        assert (await ask(server.admin, TINY))["status"] == "completed"


async def test_the_image_model_of_the_catalogue_draws(tmp_path: Path, far: Origin) -> None:
    async with ImageServer() as painter:
        connections = {
            "lab": {"engine": "scripted"},
            "painter": {"engine": "stable_diffusion", "base_url": painter.base_url},
        }
        models = {"demo": {"connection": "lab"}}
        async with lab(tmp_path, far, connections=connections, models=models) as server:
            done = await server.admin.post("/prompt-svc/prompt", prompt("nicklucche/stable-diffusion", "a cat"))
            assert done.json["prompt"]["status"] == "completed", done.body
            (file,) = done.json["responseMessage"]["fileIds"]
            served = await server.http.of(None).get(f"/file-svc/serve/upload/{file}")
            assert (served.status, served.headers["content-type"]) == (200, "image/png")
            assert served.headers["content-disposition"].startswith("attachment;")


@pytest.mark.slow
async def test_the_default_model_is_a_choice_that_stays(tmp_path: Path, far: Origin) -> None:
    async with lab(tmp_path, far) as server:
        assert (await ask(server.admin, None))["modelId"] == "demo"
        await fetch(server, "dummy")
        for name in ("org/big", "dummy", TINY):
            if name == TINY:
                assert (await server.admin.call("PUT", model(TINY, "/make-default"))).status == 500
                await fetch(server, TINY)
            chosen = await server.admin.call("PUT", model(name, "/make-default"))
            assert (chosen.status, chosen.json) == (200, {}), chosen.body
        assert (await status(server.admin))["running"] is False
        assert (await ask(server.admin, None))["modelId"] == TINY
    # another configured default changes nothing, in a new process
    async with lab(tmp_path, far, default_model="org/big") as server:
        assert (await status(server.admin)) == await status(server.admin, TINY)
        assert (await ask(server.admin, None))["modelId"] == TINY
        listed = (await server.admin.get("/promptd/v1/models")).json["items"]
        assert [entry["name"] for entry in listed if entry["default"]] == [TINY]


async def test_a_chosen_default_that_is_gone_gives_way(tmp_path: Path, far: Origin) -> None:
    async with lab(tmp_path, far) as server:
        assert (await server.admin.call("PUT", model("org/big", "/make-default"))).status == 200
    less = {"models": {"demo": {"connection": "lab"}}}
    async with lab(tmp_path, far, **less) as server:
        assert (await ask(server.admin, None))["modelId"] == "demo"


async def test_start_does_not_wait_and_downloads_nothing(tmp_path: Path, far: Origin) -> None:
    asked = len(far.asked)
    async with lab(tmp_path, far) as server:
        assert (await server.admin.call("PUT", model(MISTRAL, "/start"))).status == 500
        assert len(far.asked) == asked
        await fetch(server, "dummy")  # a text, no model: it can be started, but will not run
        assert (await server.admin.call("PUT", model("dummy", "/start"))).status == 200
        with pytest.raises(Exception, match="can't be loaded"):
            await running(server, "dummy")
        told = await status(server.admin, "dummy")
        assert (told["assetsReady"], told["running"]) == (True, False)


async def test_prompts_that_wait_for_a_model_outlive_the_server(tmp_path: Path, far: Origin) -> None:
    async with lab(tmp_path, far) as server:
        await fetch(server, TINY)
        later = {"prompt": "x", "model": TINY, "id": "later", "not_before": "2099-01-01T00:00:00Z"}
        assert (await server.admin.post("/promptd/v1/prompts", later)).status == 202
    async with lab(tmp_path, far) as server:
        connection = server.house.walk.connections.get(TINY)
        assert connection is not None
        assert isinstance(connection.engine, LlamaCpp)
        assert Path(connection.config.gguf).read_bytes() == GGUF
        assert TINY in server.house.walk.worker.load()
        assert (await ask(server.admin, TINY, id="now"))["status"] == "completed"


async def test_a_reload_keeps_the_models_of_the_catalogue(tmp_path: Path, far: Origin) -> None:
    later: dict[str, Any] = {}
    async with lab(tmp_path, far, later) as server:
        await fetch(server, TINY)
        await running(server, TINY)
        assert (await server.admin.call("PUT", model(TINY, "/make-default"))).status == 200
        connections = server.house.walk.connections
        before = connections.get(TINY)
        # from now on there is an image engine, and one model less
        later["connections"] = {
            "lab": {"engine": "scripted", "slots": 8},
            "painter": {"engine": "stable_diffusion", "base_url": "http://127.0.0.1:9"},
        }
        later["models"] = {"demo": {"connection": "lab"}}
        assert (await server.admin.post("/promptd/v1/config/reload")).status == 200
        assert connections.get(TINY) is before
        assert (await status(server.admin))["running"]  # the same child, still up
        assert (await ask(server.admin, None))["modelId"] == TINY
        assert (await server.admin.get(model("org/big"))).status == 404
        image = connections.resolve("nicklucche/stable-diffusion")
        assert (image.connection, image.template) == ("painter", "{prompt}")
        assert (await server.admin.get(model("nicklucche/stable-diffusion"))).json["platform"][
            "id"
        ] == "stable-diffusion"


async def test_a_configured_name_wins_over_the_catalogue(tmp_path: Path, far: Origin) -> None:
    models = {"demo": {"connection": "lab"}, TINY: {"connection": "lab"}}
    async with lab(tmp_path, far, models=models) as server:
        assert (await status(server.admin, TINY))["running"]
        listed = (await server.admin.post("/model-svc/models")).json["models"]
        assert len(listed) == 49
        assert [one["platformId"] for one in listed if one["id"] == TINY] == ["scripted"]
        assert (await ask(server.admin, TINY))["status"] == "completed"
        await fetch(server, TINY)
        assert server.house.walk.connections.resolve(TINY).connection == "lab"


async def test_a_download_that_begins_anew_takes_the_model_away(tmp_path: Path, far: Origin) -> None:
    async with lab(tmp_path, far) as server:
        await fetch(server, TINY)
        await running(server, TINY)
        url = server.house.walk.models.catalogue.models[TINY].url
        events = server.house.walk.downloads
        await events.start(url, sha256="0" * 64)  # what is there is something else
        async with asyncio.timeout(20):
            assert (await events.wait(url)).status == "errored"
        assert (await status(server.admin, TINY))["assetsReady"] is False
        assert (await server.admin.post("/prompt-svc/prompt", prompt(TINY))).status == 400
