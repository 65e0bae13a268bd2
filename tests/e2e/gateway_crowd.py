"""Callers of the gateway in the dialects of its vendors, each of whom knows what the answer must be."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import httpx

HANG_SECONDS = 40.0  # longer than every timeout of server and upstreams together


class Wish(NamedTuple):
    """One request: where it goes, what it says, and how its answer is read."""

    path: str
    body: dict[str, Any]
    stream: bool
    text: Callable[[Any], str]  #: of a whole answer
    delta: Callable[[Any], str]  #: of one event


class Answer(NamedTuple):
    """What came of a request: `id` is its prompt's, where there is an answer."""

    token: str
    status: int
    id: str = ""
    error: str = ""  #: the vendor's error, from a body or from a stream's end
    left: bool = False


@dataclass
class Notes:
    """What the crowd saw. `faults` is what must not be."""

    answers: list[Answer] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def good(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.status == 200 and not answer.error and not answer.left]


def chat(model: str, words: str, stream: bool) -> Wish:
    body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": words}]}
    return Wish(
        "/v1/chat/completions",
        body,
        stream,
        lambda answer: str(answer["choices"][0]["message"]["content"]),
        lambda event: str(event["choices"][0]["delta"].get("content") or "") if event["choices"] else "",
    )


def messages(model: str, words: str, stream: bool) -> Wish:
    body = {"model": model, "stream": stream, "max_tokens": 500, "messages": [{"role": "user", "content": words}]}
    return Wish(
        "/v1/messages",
        body,
        stream,
        lambda answer: "".join(block["text"] for block in answer["content"]),
        lambda event: str(event["delta"]["text"]) if event["type"] == "content_block_delta" else "",
    )


def responses(model: str, words: str, stream: bool) -> Wish:
    body = {"model": model, "stream": stream, "store": False, "input": words}
    return Wish(
        "/v1/responses",
        body,
        stream,
        lambda answer: "".join(part["text"] for item in answer["output"] for part in item["content"]),
        lambda event: str(event["delta"]) if event["type"] == "response.output_text.delta" else "",
    )


DIALECTS = (chat, messages, responses)
#: exactly one of these ends each stream that did not fail
ENDS = ("[DONE]", "message_stop", "response.completed")


class Caller:
    """Asks again and again until the time is up, pausing as people do."""

    def __init__(
        self, number: int, client: httpx.AsyncClient, models: tuple[str, ...], notes: Notes, seed: int
    ) -> None:
        self.number, self.client, self.models, self.notes = number, client, models, notes
        self.random = random.Random(f"{seed}-{number}")

    async def work(self, until: float) -> None:
        loop, count = asyncio.get_running_loop(), 0
        while loop.time() < until:
            count += 1
            token = f"token-{self.number}-{count}"
            try:
                async with asyncio.timeout(HANG_SECONDS):
                    self.notes.answers.append(await self.ask(token))
            except TimeoutError:
                self.notes.faults.append(f"{token}: no end in {HANG_SECONDS} s")
            except httpx.HTTPError as error:
                self.notes.faults.append(f"{token}: {error!r}")
            await asyncio.sleep(self.random.uniform(0, 0.6))

    async def ask(self, token: str) -> Answer:
        words = f"{token} " + " ".join(["said"] * self.random.randint(1, 30))
        pace = self.random.choice((0, 0, 0.002, 0.01))
        script = f"{words}\n/pace {pace}"
        make = self.random.choice(DIALECTS)
        wish = make(self.random.choice(self.models), script, self.random.random() < 0.5)
        expected = f"You said: {words}"
        if self.random.random() < 0.05:
            return await self.leave(token, wish)
        if wish.stream:
            return await self.follow(token, wish, expected)
        answer = await self.client.post(wish.path, json=wish.body)
        if answer.status_code != 200:
            return Answer(token, answer.status_code, error=self.error_of(token, answer.status_code, answer.text))
        said = wish.text(answer.json())
        if said != expected:
            self.notes.faults.append(f"{token}: not its answer: {said[:200]!r}")
        return Answer(token, 200, answer.headers["x-prompt-id"])

    async def follow(self, token: str, wish: Wish, expected: str) -> Answer:
        async with self.client.stream("POST", wish.path, json=wish.body) as answer:
            if answer.status_code != 200:
                text = (await answer.aread()).decode()
                return Answer(token, answer.status_code, error=self.error_of(token, answer.status_code, text))
            said, ends, error = "", 0, ""
            async for line in answer.aiter_lines():
                if not line.startswith("data: "):
                    continue
                data = line[6:]
                if data == "[DONE]":
                    ends += 1
                    continue
                event = json.loads(data)
                kind = event.get("type")
                if kind in ("error", "response.failed") or event.get("error"):
                    error = data
                    continue
                ends += kind in ENDS
                said += wish.delta(event)
            identifier = answer.headers["x-prompt-id"]
        if error:
            if not expected.startswith(said):
                self.notes.faults.append(f"{token}: not its answer: {said[:200]!r}")
        elif said != expected or ends != 1:
            self.notes.faults.append(f"{token}: {ends} ends, {said[:200]!r}")
        return Answer(token, 200, identifier, error)

    async def leave(self, token: str, wish: Wish) -> Answer:
        """Hang up in the middle, or before anything came."""
        try:
            async with asyncio.timeout(self.random.uniform(0.001, 0.1)):
                await self.client.post(wish.path, json=wish.body)
        except TimeoutError:
            pass
        return Answer(token, 0, left=True)

    def error_of(self, token: str, status: int, text: str) -> str:
        """The error's body; a fault of ours where it is none, or one that nobody should get."""
        try:
            error = json.loads(text)["error"]
            assert error["message"]
            assert error["type"]
        except (ValueError, KeyError, TypeError, AssertionError):
            self.notes.faults.append(f"{token}: {status} without an error: {text[:200]!r}")
        if status not in (429, 500, 502, 503, 504, 529) or "internal" in text:
            self.notes.faults.append(f"{token}: {status}: {text[:300]!r}")
        return text
