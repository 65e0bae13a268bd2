"""The file of those who have none."""

from __future__ import annotations

import pytest

from promptd.dialects import arch
from promptd.dialects.arch.starting import starting_file
from promptd.dialects.arch.vendors import VENDORS


@pytest.mark.arch("4.3.start")
def test_all_vendors_with_the_keys_that_there_are() -> None:
    variables = {"GROQ_API_KEY": "sk-groq", "XAI_API_KEY": ""}
    text = starting_file(variables, port=12001)
    assert "sk-groq" not in text
    config = arch.read(text, name="arch_config.yaml", variables=variables)
    assert [(one.kind, one.address, one.port) for one in config.listeners] == [("model", "127.0.0.1", 12001)]
    assert (config.era, config.warnings, config.chosen) == ("E", (), ())
    # anthropic's old name, and a service that wants a login
    known = {name for name, one in VENDORS.items() if one.origin is not None} - {"claude", "chatgpt"}
    assert {one.vendor for one in config.providers} == known
    assert all(one.wildcard for one in config.providers)
    assert {one.vendor: one.access_key for one in config.providers if not one.passthrough_auth} == {"groq": "sk-groq"}
