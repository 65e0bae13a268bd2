"""Errors as each vendor's SDK knows them: by class, with the members that its users read; retries; request ids."""

from __future__ import annotations

from typing import Any

import anthropic
import openai
import pytest

from tests.contract.gateway.both import every, got
from tests.contract.gateway.hosts import Hosts
from tests.contract.gateway.samples import unique
from tests.contract.stage import Stage

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


def said(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


#: what goes wrong above, and what either vendor's users see; each is a class of both SDKs
FAULTS: dict[str, tuple[type[Exception], type[Exception]]] = {
    "context": (openai.BadRequestError, anthropic.BadRequestError),
    "rate": (openai.RateLimitError, anthropic.RateLimitError),
    "broken": (openai.InternalServerError, anthropic.InternalServerError),
    "unavailable": (openai.InternalServerError, anthropic.InternalServerError),
    "overloaded": (openai.InternalServerError, anthropic.InternalServerError),
    "key": (openai.InternalServerError, anthropic.InternalServerError),  # promptd's key, not the caller's
    "die": (openai.InternalServerError, anthropic.InternalServerError),
    "garbage": (openai.InternalServerError, anthropic.InternalServerError),
    "die-within": (openai.InternalServerError, anthropic.InternalServerError),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", ["gpt", "claude"])
async def test_upstreams_fault(client: Any, name: str, fault: str) -> None:
    with pytest.raises(FAULTS[fault][0]) as caught:
        await got(client.chat.completions.create(model=name, messages=said(unique(f"x\n/fault {fault}"))))
    error: Any = caught.value
    assert isinstance(error.body, dict), error.response.text
    assert {"message", "type", "param", "code"} <= error.body.keys()
    assert error.message
    if fault == "context":
        assert error.code == "context_length_exceeded"


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", ["gpt", "claude"])
async def test_upstreams_fault_of_messages(claude: Any, name: str, fault: str) -> None:
    with pytest.raises(FAULTS[fault][1]) as caught:
        await got(claude.messages.create(model=name, max_tokens=99, messages=said(unique(f"x\n/fault {fault}"))))
    error: Any = caught.value
    assert error.body["type"] == "error", error.response.text
    assert error.body["error"]["type"]
    assert error.body["error"]["message"]


@pytest.mark.parametrize("fault", ["error-within", "no-end", "die-within"])
@pytest.mark.parametrize("name", ["gpt", "claude"])
async def test_broken_stream(client: Any, name: str, fault: str) -> None:
    """An answer that broke off is an error at its end, never a short answer that looks whole."""
    words = unique(f"one two three four five six\n/fault {fault}")
    with pytest.raises(openai.APIError):
        await every(client.chat.completions.create(model=name, messages=said(words), stream=True))


@pytest.mark.parametrize("fault", ["error-within", "no-end", "die-within"])
@pytest.mark.parametrize("name", ["gpt", "claude"])
async def test_broken_stream_of_messages(claude: Any, name: str, fault: str) -> None:
    words = unique(f"one two three four five six\n/fault {fault}")
    with pytest.raises(anthropic.APIError):
        await every(claude.messages.create(model=name, max_tokens=99, messages=said(words), stream=True))


async def test_callers_fault(client: Any, server: Stage) -> None:
    create = client.chat.completions.create
    with pytest.raises(openai.AuthenticationError) as wrong_key:
        await got(client.with_options(api_key="sk-wrong").chat.completions.create(model="gpt", messages=said("x")))
    assert wrong_key.value.code == "invalid_api_key"
    with pytest.raises(openai.NotFoundError) as unknown:
        await got(create(model="nothing-like-it", messages=said("x")))
    assert unknown.value.code == "model_not_found"
    wrong: list[dict[str, Any]] = [
        {"messages": []},
        {"messages": [{"role": "nobody", "content": "x"}]},
        {"messages": said("x"), "temperature": "warm"},
        {"messages": said("x"), "tools": [{"type": "function"}]},
        {"messages": said("x"), "max_tokens": "many"},
    ]
    for fields in wrong:
        with pytest.raises(openai.BadRequestError) as caught:
            await got(create(model="gpt", **fields))
        assert caught.value.type == "invalid_request_error"
        assert caught.value.param


async def test_callers_fault_of_messages(claude: Any) -> None:
    create = claude.messages.create
    with pytest.raises(anthropic.AuthenticationError):
        await got(
            claude.with_options(api_key="sk-wrong").messages.create(model="gpt", max_tokens=9, messages=said("x"))
        )
    with pytest.raises(anthropic.NotFoundError) as unknown:
        await got(create(model="nothing-like-it", max_tokens=9, messages=said("x")))
    assert body_of(unknown.value)["error"]["type"] == "not_found_error"
    wrong: list[dict[str, Any]] = [
        {"messages": []},
        {"messages": [{"role": "system", "content": 7}]},
        {"messages": said("x"), "tools": [7]},
    ]
    for fields in wrong:
        with pytest.raises(anthropic.BadRequestError) as caught:
            await got(create(model="claude", max_tokens=9, **fields))
        assert body_of(caught.value)["error"]["type"] == "invalid_request_error"


def body_of(error: anthropic.APIStatusError) -> dict[str, Any]:
    assert isinstance(error.body, dict), error.response.text
    return error.body


async def test_bytes_that_are_no_request(server: Stage) -> None:
    headers = {"authorization": f"Bearer {server.native_key}", "content-type": "application/json"}
    for path in ("/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/embeddings", "/v1/completions"):
        for body in (
            b"",
            b"{",
            b"[]",
            b"\xff\xfe",
            b'{"model": 7}',
            b"[" * 100_000,
            b'{"model": "gpt", "messages": 1}',
        ):
            answer = server.http.post(path, content=body, headers=headers)
            assert answer.status_code == 400, (path, body[:40], answer.text)
            assert "error" in answer.json()


async def test_sdk_waits_as_long_as_it_is_told(client: Any, hosts: Hosts) -> None:
    words = unique("x\n/fault rate")
    with pytest.raises(openai.RateLimitError) as caught:
        await got(client.with_options(max_retries=1).chat.completions.create(model="claude", messages=said(words)))
    assert caught.value.response.headers["retry-after"] == "1"
    assert caught.value.response.request.headers["x-stainless-retry-count"] == "1"


async def test_request_ids(client: Any, claude: Any) -> None:
    raw = await got(
        client.chat.completions.with_raw_response.create(
            model="gpt", messages=said(unique()), extra_headers={"x-request-id": "mine-7"}
        )
    )
    assert raw.headers["x-request-id"] == "mine-7"
    assert raw.parse()._request_id == "mine-7"
    answer = await got(claude.messages.create(model="gpt", max_tokens=99, messages=said(unique())))
    assert answer._request_id
    with pytest.raises(anthropic.NotFoundError) as caught:
        await got(claude.messages.create(model="nothing", max_tokens=9, messages=said("x")))
    assert body_of(caught.value)["request_id"] == caught.value.request_id


async def test_idempotency_key(client: Any, hosts: Hosts) -> None:
    words = unique()
    headers = {"idempotency-key": words.split()[0]}
    first, second = [
        await got(client.chat.completions.create(model="gpt", messages=said(words), extra_headers=headers))
        for _ in range(2)
    ]
    assert first.choices[0].message.content == second.choices[0].message.content == f"You said: {words}"
    assert first.id == second.id
    assert len(hosts.asked(words)) == 1
    with pytest.raises(openai.UnprocessableEntityError):
        await got(client.chat.completions.create(model="gpt", messages=said("other"), extra_headers=headers))


def test_upstreams_never_had_to_complain(hosts: Hosts) -> None:
    """What promptd sent was always as its vendor wants it. Runs behind the tests of this module."""
    assert hosts.complaints == []
