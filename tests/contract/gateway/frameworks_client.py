"""Published frameworks, as their users write them. Runs in the environment of `requirements/frameworks.txt`.

Asks the server at `URL` with `KEY` for `MODEL` and prints, as JSON, what each of them made of the answers.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from typing import Any

from langchain_anthropic import ChatAnthropic  # type: ignore[import-not-found]
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage  # type: ignore[import-not-found]
from langchain_core.tools import tool  # type: ignore[import-not-found]
from langchain_openai import ChatOpenAI, OpenAIEmbeddings  # type: ignore[import-not-found]
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput  # type: ignore[import-not-found]
from pydantic_ai.models.anthropic import AnthropicModel, AnthropicModelSettings  # type: ignore[import-not-found]
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel  # type: ignore[import-not-found]
from pydantic_ai.providers.anthropic import AnthropicProvider  # type: ignore[import-not-found]
from pydantic_ai.providers.openai import OpenAIProvider  # type: ignore[import-not-found]

URL, KEY, MODEL, WORDS = (os.environ[name] for name in ("URL", "KEY", "MODEL", "WORDS"))
CALLS = 'go\n/call weather {"city": "Zürich"}\n/call weather {"city": "Oslo"}'
OPENAI: dict[str, Any] = {"model": MODEL, "base_url": f"{URL}/v1", "api_key": KEY, "max_retries": 0}
CLAUDE: dict[str, Any] = {"model": MODEL, "base_url": URL, "api_key": KEY, "max_retries": 0, "max_tokens": 6000}


class City(BaseModel):
    """A city."""

    city: str
    degrees: int


def weather(city: str) -> str:
    """The weather of a city."""
    return f"sunny in {city}"


# ------------------------------------------------------------------ LangChain


def chats() -> Iterator[tuple[str, Any]]:
    yield "chat", ChatOpenAI(**OPENAI, stream_usage=True)
    sealed = {"store": False, "include": ["reasoning.encrypted_content"]}
    yield "responses", ChatOpenAI(**OPENAI, output_version="responses/v1", reasoning={"effort": "low"}, **sealed)
    yield "stored", ChatOpenAI(**OPENAI, use_responses_api=True, use_previous_response_id=True, store=True)
    yield "anthropic", ChatAnthropic(**CLAUDE)
    yield "thinking", ChatAnthropic(**CLAUDE, thinking={"type": "enabled", "budget_tokens": 2000})


async def langchain(model: Any) -> dict[str, Any]:
    whole = model.invoke([SystemMessage("be kind"), HumanMessage(WORDS)])
    first, second = model.batch(["one", "two"])
    described = tool(weather)
    agent = model.bind_tools([described])
    turns = [HumanMessage(CALLS)]
    for _ in range(2):
        answer = await gathered(agent, turns)
        turns.append(answer)
        turns += [ToolMessage(described.invoke(call["args"]), tool_call_id=call["id"]) for call in answer.tool_calls]
    parsed = model.with_structured_output(City, method="json_schema").invoke("a city")
    return {
        "whole": whole.text,
        "usage": whole.usage_metadata["output_tokens"],
        "stream": (await gathered(model, [HumanMessage(WORDS)])).text,
        "batch": [first.text, second.text],
        "tools": turns[-1].text,
        "parsed": parsed.model_dump(),
    }


async def gathered(model: Any, turns: list[Any]) -> Any:
    """A streamed answer, put together."""
    answer = None
    async for piece in model.astream(turns):
        answer = piece if answer is None else answer + piece
    return answer


# ------------------------------------------------------------------ pydantic-ai


def models() -> Iterator[tuple[str, Any, Any]]:
    openai = OpenAIProvider(base_url=f"{URL}/v1", api_key=KEY)
    claude = AnthropicModel(MODEL, provider=AnthropicProvider(base_url=URL, api_key=KEY))
    yield "chat", OpenAIChatModel(MODEL, provider=openai), None
    yield "responses", OpenAIResponsesModel(MODEL, provider=openai), None
    yield "anthropic", claude, AnthropicModelSettings(anthropic_cache_instructions=True)
    thinking = {"type": "enabled", "budget_tokens": 2000}
    yield "thinking", claude, AnthropicModelSettings(max_tokens=6000, anthropic_thinking=thinking)


async def pydantic_ai(name: str, model: Any, settings: Any) -> dict[str, Any]:
    agent = Agent(model, instructions="be kind", tools=[weather], model_settings=settings)
    whole = await agent.run(CALLS)
    async with agent.run_stream(CALLS) as answer:
        pieces = [piece async for piece in answer.stream_text(delta=True)]
    later = await agent.run(WORDS, message_history=whole.all_messages())
    seen = {"tools": whole.output, "stream": "".join(pieces), "later": later.output}
    if name in ("chat", "responses"):
        made = await Agent(model, output_type=NativeOutput(City)).run("a city")
        seen["parsed"] = made.output.model_dump()
    return seen


async def main() -> None:
    seen: dict[str, Any] = {"langchain": {}, "pydantic_ai": {}}
    for name, model in chats():
        seen["langchain"][name] = await langchain(model)
    for name, model, settings in models():
        seen["pydantic_ai"][name] = await pydantic_ai(name, model, settings)
    seen["count"] = ChatAnthropic(**CLAUDE).get_num_tokens_from_messages([HumanMessage(WORDS)])
    vectors = OpenAIEmbeddings(model="gpt", base_url=f"{URL}/v1", api_key=KEY, check_embedding_ctx_length=False)
    seen["vectors"] = [len(vector) for vector in vectors.embed_documents(["a", "bc"])]
    busy = f"busy {WORDS}"
    seen["again"] = [
        model(**{**how, "max_retries": 4}).invoke(busy).text
        for model, how in ((ChatOpenAI, OPENAI), (ChatAnthropic, CLAUDE))
    ]
    print(json.dumps(seen))


asyncio.run(main())
