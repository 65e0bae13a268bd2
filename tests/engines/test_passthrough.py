"""Callers' own keys in the form that each service wants, and in no other case."""

from __future__ import annotations

from typing import Any

import pytest

from promptd.core.credentials import Credential
from promptd.core.errors import AuthenticationFailed
from promptd.egress import Egress
from promptd.engines.anthropic import AnthropicConfig
from promptd.engines.openai.config import OpenAIConfig
from promptd.testing.messages_server import KEY, MessagesServer
from tests.engines.anthropic_support import call, run, settings

MINE = Credential("sk-of-the-caller")
OWN: dict[str, Any] = {"api_key": "sk-of-the-house"}


@pytest.mark.arch("4.3.passthrough")
@pytest.mark.parametrize(
    ("settings", "dialect", "sent"),
    [
        ({"passthrough": True}, "openai.chat", {"authorization": "Bearer sk-of-the-caller"}),
        ({"passthrough": True, "profile": "azure"}, "openai.chat", {"api-key": "sk-of-the-caller"}),
        (
            {"passthrough": True},
            "anthropic.messages",
            {
                "authorization": "Bearer sk-of-the-caller",
                "x-api-key": "sk-of-the-caller",
                "anthropic-version": "2023-06-01",
            },
        ),
        ({}, "openai.chat", {"authorization": "Bearer sk-of-the-house"}),
    ],
)
def test_headers(settings: dict[str, Any], dialect: str, sent: dict[str, str]) -> None:
    config = OpenAIConfig(**OWN, **settings)
    assert config.headers_for(MINE, dialect) == {**sent, "content-type": "application/json"}


def test_without_one_no_key_goes_out() -> None:
    config = OpenAIConfig(**OWN, passthrough=True)
    assert config.headers_for(None) == {}
    assert AnthropicConfig(**OWN, passthrough=True).request_headers() == {}


def test_a_credential_does_not_show() -> None:
    assert "caller" not in repr(MINE)
    assert "caller" not in f"{MINE}"
    assert MINE.reveal() == "sk-of-the-caller"


async def test_anthropic_takes_keys_and_logins_apart() -> None:
    async with MessagesServer() as server:
        http = Egress([server.base_url])
        passing = settings(server, api_key="sk-of-the-house", passthrough=True)
        await run(call(passing, http, credential=Credential(KEY)))
        with pytest.raises(AuthenticationFailed):
            await run(call(passing, http))
        with pytest.raises(AuthenticationFailed):
            await run(call(passing, http, credential=Credential("sk-ant-oat01-login")))
        await run(call(settings(server), http, credential=MINE))
        await http.close()
        keyed, without, login, own = [one.headers for one in server.calls]
        assert keyed["x-api-key"] == KEY
        assert not {"x-api-key", "authorization"} & set(without)
        assert (login["authorization"], "x-api-key" in login) == ("Bearer sk-ant-oat01-login", False)
        assert own["x-api-key"] == KEY
