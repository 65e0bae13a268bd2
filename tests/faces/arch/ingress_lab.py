"""A prompt listener on a real port: providers and APIs on sockets, decisions from a script."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from promptd.app import build
from promptd.app.house import House
from promptd.core.targets import Decision
from promptd.dialects.arch.config import ArchConfig, Provider
from promptd.engines.endpoint import Endpoint
from promptd.engines.openai import OpenAI
from promptd.settings import Settings
from promptd.testing.function_model import ScriptedFunctionModel
from promptd.testing.model_server import KEY, ModelServer
from promptd.testing.scripted import Scripted
from tests.faces.client import Http, Response
from tests.faces.conftest import installed, listening
from tests.service.targets.lab import Api, endpoint_of

PATH = "/v1/chat/completions"
CALL = Decision(target="weather", arguments={"city": "Oslo", "days": 2}, raw='```json\n{"tool_calls": []}\n```')
ASK = Decision(target="weather", missing=("city",), question="It seems I'm missing some information. Where?", raw="raw")
OLD, NEW = "Arch-Function-1.5B", "Arch-Function"


class Listener:
    """The port, and everything around it."""

    def __init__(self, house: House, port: int, model: ModelServer, api: Api, decider: ScriptedFunctionModel) -> None:
        self.house, self.port = house, port
        self.model, self.api, self.decider = model, api, decider
        self.http = Http(port, None)

    async def post(self, body: Any, path: str = PATH, **headers: str) -> Response:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.call("POST", path, headers=named, raw=data)

    async def chat(self, *messages: Any, **more: Any) -> Any:
        """The reply to a conversation, which must be a success."""
        answer = await self.post({"messages": list(messages), **more})
        assert answer.status == 200, answer.body
        return answer.json

    async def events(self, *messages: Any, **more: Any) -> list[Any]:
        """The events of a streamed reply, without its `[DONE]`, which must be there."""
        answer = await self.post({"messages": list(messages), "stream": True, **more})
        assert answer.status == 200, answer.body
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in answer.body.decode().split("\n\n") if line]
        assert lines[-1] == "data: [DONE]"
        return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]

    @property
    def asked(self) -> Any:
        """The body that the provider got last."""
        return self.model.exchanges[-1].body


def user(text: Any) -> dict[str, Any]:
    return {"role": "user", "content": text}


def called(name: str, arguments: Any) -> dict[str, Any]:
    """A call of a tool, as messages have it."""
    return {"id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}}


@asynccontextmanager
async def listener(
    home: Path,
    file: ArchConfig,
    model: ModelServer,
    api: Api,
    decider: ScriptedFunctionModel | None,
    **sections: Any,
) -> AsyncIterator[Listener]:
    home.mkdir(exist_ok=True)
    provider = Provider(
        name="lab",
        vendor="openai",
        model="script",
        interface="openai",
        access_key=KEY,
        base_url=model.base_url,
        default=True,
    )
    file = replace(file, providers=(provider, replace(provider, name="second", model="other", default=False)))
    llm = {"engine": "openai", "base_url": model.base_url, "api_key": KEY}
    settings = Settings.model_validate(
        {
            "home": home,
            "connections": {"llm": llm, "endpoint:api": endpoint_of(file, api.url)},
            "models": {
                "lab": {"connection": "llm", "upstream": "script"},
                "second": {"connection": "llm", "upstream": "other"},
            },
        }
        | sections
    ).with_arch(file)
    engines = {"scripted": Scripted(), "openai": OpenAI(), "endpoint": Endpoint()}
    plugins = replace(installed(), engines=engines)
    async with build(settings, plugins) as house:
        assert house.walk.conversation is not None
        if decider is not None:  # else those decide that the settings name
            house.walk.conversation.configure(file, decider)
        front = house.listeners.fronts["prompt"]
        async with listening(replace(house, front=front)) as server:
            yield Listener(house, server.port, model, api, decider or ScriptedFunctionModel())
