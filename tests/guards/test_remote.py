"""The remote guard against real servers: four spellings, and every way in which a server can fail."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr

from promptd.core.content import Turn
from promptd.core.errors import InvalidOutput, NetworkError, PromptdError, ServiceUnavailable, SettingsError, Timeout
from promptd.core.ports import Guard
from promptd.egress import Egress
from promptd.guards.remote import Remote, RemoteConfig
from promptd.testing.guards import GuardContract
from promptd.testing.sockets import Reader, Writer, answering, serve
from tests.guards.house import house

pytestmark = pytest.mark.slow

FORBIDDEN = "birnam wood"


class Service:
    """A guard that speaks all four spellings, by path. `asked` are the paths, headers and bodies."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, Any]]] = []

    async def __call__(self, reader: Reader, writer: Writer) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            size = re.search(r"(?i)content-length: (\d+)", head)
            body = json.loads(await reader.readexactly(int(size[1]) if size else 0))
            path = head.split(" ")[1]
            self.asked.append((path, head, body))
            writer.write(reply(json.dumps(self._judge(path, body)).encode()))
            await writer.drain()

    @staticmethod
    def _judge(path: str, body: dict[str, Any]) -> dict[str, Any]:
        if path == "/own":
            bad = FORBIDDEN in json.dumps(body["messages"])
            return {
                "allowed": not bad,
                "score": 0.9 if bad else 0.1,
                "categories": ["plant"] if bad else [],
                "reason": "r",
            }
        if path == "/v1/moderations":
            return {"id": "m", "model": "x", "results": [moderated(FORBIDDEN in text) for text in body["input"]]}
        bad = FORBIDDEN in body["input"]
        if path == "/guardrails":
            return {"task": body["task"], "input": body["input"], "prob": 0.98 if bad else 0.02, "verdict": bad, "metadata": {"guard_latency": 0.1}}  # fmt: skip
        return {
            "jailbreak_prob": 0.97 if bad else 0.01,
            "jailbreak_verdict": bad,
            "jailbreak_sentence": body["input"] if bad else None,
            "toxic_prob": None,
            "toxic_verdict": None,
            "toxic_sentence": None,
            "time": 0.1,
        }


def moderated(bad: bool) -> dict[str, Any]:
    return {
        "flagged": bad,
        "categories": {"hate": bad, "violence": False},
        "category_scores": {"hate": 0.8 if bad else 0.05, "violence": 0.01},
    }


def reply(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", "content-type: application/json", f"content-length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


PATHS = {"promptd": "/own", "guard": "/guard", "guardrails": "/guardrails", "moderations": "/v1/moderations"}


@pytest.fixture
async def service() -> Service:
    return Service()


@pytest.fixture
async def egress() -> AsyncIterator[Egress]:
    client = Egress()
    yield client
    await client.close()


@pytest.fixture
async def base(service: Service) -> AsyncIterator[str]:
    async with serve(service) as url:
        yield url


@pytest.fixture(params=list(PATHS))
def guard(request: pytest.FixtureRequest, base: str, egress: Egress) -> Remote:
    config = RemoteConfig(
        url=base + PATHS[request.param], dialect=request.param, timeout_seconds=30, window_chars=200_000
    )
    return Remote(config, house(http=egress))


class TestRemote(GuardContract):
    @pytest.fixture
    def guard(self, guard: Remote) -> Guard:
        return guard

    @pytest.fixture
    def forbidden(self) -> str:
        return FORBIDDEN


async def test_each_spelling_says_what_it_found(guard: Remote) -> None:
    verdict = await guard.inspect([Turn("user", "hello"), Turn("user", FORBIDDEN)])
    assert verdict.score in (0.9, 0.97, 0.98, 0.8)
    assert list(verdict.categories) in (["plant"], ["jailbreak"], ["hate"])
    assert verdict.reason.startswith("remote: ")


async def test_our_own_spelling(service: Service, base: str, egress: Egress) -> None:
    guard = Remote(
        RemoteConfig(url=f"{base}/own", key=SecretStr("s3cret"), headers={"X-Team": SecretStr("blue")}),
        house(http=egress),
    )
    await guard.inspect([Turn("system", "a"), Turn("assistant", "b"), Turn("user", "")])
    await guard.inspect([Turn("assistant", "c")])
    await guard.inspect([Turn("tool", "d\ud800")])
    assert [body for _, _, body in service.asked] == [
        {"messages": [{"role": "system", "content": "a"}, {"role": "assistant", "content": "b"}], "stage": "input", "task": "jailbreak"},
        {"messages": [{"role": "assistant", "content": "c"}], "stage": "output", "task": "jailbreak"},
        {"messages": [{"role": "tool", "content": "d?"}], "stage": "tool", "task": "jailbreak"},
    ]  # fmt: skip
    assert "authorization: Bearer s3cret" in service.asked[0][1]
    assert "x-team: blue" in service.asked[0][1]
    assert "s3cret" not in repr(RemoteConfig(url=base, key=SecretStr("s3cret")))


async def test_the_original_s_spelling_asks_for_each_text(service: Service, base: str, egress: Egress) -> None:
    guard = Remote(RemoteConfig(url=f"{base}/guard", dialect="guard", task="both"), house(http=egress))
    await guard.inspect([Turn("user", "a"), Turn("tool", "b")])
    assert [body for _, _, body in service.asked] == [{"input": "a", "task": "both"}, {"input": "b", "task": "both"}]


async def test_moderations_are_asked_for_all_texts_at_once(service: Service, base: str, egress: Egress) -> None:
    guard = Remote(RemoteConfig(url=f"{base}/v1/moderations", dialect="moderations", model="m"), house(http=egress))
    await guard.inspect([Turn("user", "a"), Turn("tool", "b")])
    assert [body for _, _, body in service.asked] == [{"input": ["a", "b"], "model": "m"}]


async def test_a_long_text_is_sent_in_windows_and_a_longer_one_is_refused(
    service: Service, base: str, egress: Egress
) -> None:
    config = RemoteConfig(url=f"{base}/guard", dialect="guard", window_chars=2000, max_calls=3)
    guard = Remote(config, house(http=egress))
    assert (await guard.inspect([Turn("user", "word " * 900)])).allowed
    assert len(service.asked) == 3
    assert (await guard.inspect([Turn("user", "word " * 5000)])).categories == {"length": 1.0}
    assert len(service.asked) == 3


async def asked(egress: Egress, answer: bytes, **settings: Any) -> Any:
    async with serve(answering(answer)) as url:
        guard = Remote(RemoteConfig(url=url, **settings), house(http=egress))
        return await guard.inspect([Turn("user", "hello")])


@pytest.mark.parametrize(
    ("dialect", "answer", "allowed", "categories"),
    [
        ("promptd", {"allowed": True}, True, {}),
        ("promptd", {"allowed": True, "score": 0.3}, True, {}),
        ("promptd", {"allowed": False}, False, {"jailbreak": 1.0}),
        ("promptd", {"flagged": True, "score": 0.7}, False, {"jailbreak": 0.7}),
        ("promptd", {"flagged": False}, True, {}),
        ("promptd", {"verdict": "unsafe", "categories": {"hate": 0.6, "crime": False}}, False, {"hate": 0.6}),
        ("promptd", {"verdict": "safe"}, True, {}),
        ("promptd", {"verdict": 1}, False, {"jailbreak": 1.0}),
        ("promptd", {"allowed": True, "flagged": True}, False, {"jailbreak": 1.0}),
        ("guard", {"jailbreak_verdict": False, "toxic_verdict": True, "toxic_prob": 0.8}, False, {"toxic": 0.8}),
        ("guard", {"jailbreak_verdict": True, "jailbreak_prob": 0.6}, False, {"jailbreak": 0.6}),
        ("guardrails", {"verdict": True, "prob": [0.9], "task": "jailbreak"}, False, {"jailbreak": 0.9}),
        ("guardrails", {"verdict": False, "prob": 0.1}, True, {}),
        ("moderations", {"results": [{"flagged": False}]}, True, {}),
        ("moderations", {"results": [{"flagged": True}]}, False, {"jailbreak": 1.0}),
        ("moderations", {"results": [moderated(False), moderated(True)]}, False, {"hate": 0.8}),
    ],
)
async def test_answers(egress: Egress, dialect: str, answer: Any, allowed: bool, categories: dict[str, float]) -> None:
    verdict = await asked(egress, reply(json.dumps(answer).encode()), dialect=dialect)
    assert (verdict.allowed, verdict.categories) == (allowed, categories)


async def test_a_threshold_makes_it_stricter(egress: Egress) -> None:
    answer = reply(b'{"allowed": true, "score": 0.4}')
    assert (await asked(egress, answer, threshold=0.5)).allowed
    assert not (await asked(egress, answer, threshold=0.4)).allowed


BROKEN: dict[str, bytes] = {
    "no JSON": b"<html>",
    "cut": b'{"allowed": tr',
    "no object": b"[true]",
    "nothing": b"",
    "no verdict": b'{"score": 0.1}',
    "a null": b'{"allowed": null}',
    "neither yes nor no": b'{"verdict": "maybe"}',
    "a number of no meaning": b'{"verdict": 7}',
    "a score out of range": b'{"allowed": true, "score": 3}',
    "a score that is a word": b'{"allowed": true, "score": "low"}',
    "deep": b'{"allowed": ' + b"[" * 100_000,
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=list(BROKEN))
async def test_what_is_no_verdict_is_an_error(egress: Egress, body: bytes) -> None:
    with pytest.raises(InvalidOutput) as failed:
        await asked(egress, reply(body))
    assert failed.value.message == "the remote guard gave no verdict"


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        ("guard", b'{"jailbreak_verdict": null, "toxic_verdict": null}'),
        ("guardrails", b'{"prob": 0.1}'),
        ("moderations", b'{"results": []}'),
        ("moderations", b'{"results": [7]}'),
        ("moderations", b'{"results": [{"categories": {}}]}'),
    ],
)
async def test_what_is_no_verdict_in_other_spellings(egress: Egress, dialect: str, body: bytes) -> None:
    with pytest.raises(InvalidOutput):
        await asked(egress, reply(body), dialect=dialect)


ALLOWED = b'{"allowed": true}'


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (reply(ALLOWED, "500 Oops"), ServiceUnavailable),
        (reply(ALLOWED, "401 Who"), ServiceUnavailable),
        (reply(ALLOWED, "204 Nothing"), PromptdError),
        (reply(ALLOWED, "302 Found", "location: http://127.0.0.1:1/"), ServiceUnavailable),
        (reply(b'{"allowed": true, "x": "' + b"a" * 1_000_000 + b'"}'), InvalidOutput),
        (reply(gzip.compress(b" " * 5_000_000 + ALLOWED), "200 OK", "content-encoding: gzip"), PromptdError),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n" + ALLOWED, PromptdError),
        (b"nonsense\r\n\r\n", PromptdError),
    ],
    ids=["500", "401", "204", "redirect", "huge", "bomb", "cut", "no HTTP"],
)
async def test_a_server_that_fails_is_an_error(egress: Egress, answer: bytes, error: type[Exception]) -> None:
    async def once(reader: Reader, writer: Writer) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        size = re.search(rb"(?i)content-length: (\d+)", head)
        await reader.readexactly(int(size[1]) if size else 0)
        writer.write(answer)
        await writer.drain()

    async with serve(once) as url:
        guard = Remote(RemoteConfig(url=url, timeout_seconds=5), house(http=egress))
        with pytest.raises(error):
            await guard.inspect([Turn("user", "hello")])


@pytest.mark.parametrize("lead", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 17\r\n\r\n{"], ids=["silent", "stuck"])
async def test_a_slow_server_is_left(egress: Egress, lead: bytes) -> None:
    gone = asyncio.Event()

    async def stuck(reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(lead)
        while await reader.read(1000):
            pass
        gone.set()

    async with serve(stuck) as url:
        guard = Remote(RemoteConfig(url=url, timeout_seconds=0.2), house(http=egress))
        with pytest.raises(Timeout):
            await guard.inspect([Turn("user", "hello")])
        async with asyncio.timeout(5):
            await gone.wait()


async def test_nobody_listens(egress: Egress) -> None:
    async with serve(answering(b"")) as url:
        pass
    with pytest.raises(NetworkError):
        await Remote(RemoteConfig(url=url), house(http=egress)).inspect([Turn("user", "hello")])


async def test_where_nothing_is_said_nobody_is_asked(service: Service, guard: Remote) -> None:
    assert (await guard.inspect([])).allowed
    assert (await guard.inspect([Turn("user", "")])).allowed
    assert service.asked == []


@pytest.mark.parametrize("url", ["", "ftp://example.org", "example.org", "http://user:pw@example.org", "http://"])
def test_addresses_that_can_not_be_asked(url: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Remote(RemoteConfig(url=url), house())
    assert refused.value.key == "url"


def test_headers_that_frame_a_request_are_refused() -> None:
    with pytest.raises(ValueError, match="names of headers that can be set"):
        RemoteConfig(url="http://example.org", headers={"Content-Length": SecretStr("3")})
