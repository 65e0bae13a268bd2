"""What is taken out of a client's body before a model sees it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptd.core.errors import InvalidRequest
from promptd.core.model import Native
from promptd.core.preferences import Preference
from promptd.faces.arch.bodies import cleaned
from promptd.faces.arch.quirks import native_for

pytestmark = pytest.mark.slow

MESSAGES = [{"role": "user", "content": "hi"}]


def clean(**members: Any) -> tuple[Any, tuple[Preference, ...] | None]:
    body, found = cleaned(json.dumps({"model": "m", "messages": MESSAGES, **members}).encode())
    return json.loads(body), found


def test_a_plain_body_is_not_touched() -> None:
    body = b'{ "model" : "m", "messages": [] }'
    assert cleaned(body) == (body, None)
    assert cleaned(b"not json") == (b"not json", None)
    assert cleaned(b'["routing_preferences"]') == (b'["routing_preferences"]', None)


@pytest.mark.arch("6.1.route")
def test_preferences_of_the_body() -> None:
    given = [
        {"name": "code", "description": "writing code", "models": ["a", "b"]},
        {"name": "talk", "description": "", "models": ["c"], "selection_policy": {"prefer": "fastest"}},
    ]
    body, found = clean(routing_preferences=given, temperature=0.5)
    assert body == {"model": "m", "messages": MESSAGES, "temperature": 0.5}
    assert found == (
        Preference(name="code", description="writing code", models=("a", "b")),
        Preference(name="talk", description="", models=("c",), prefer="fastest"),
    )


@pytest.mark.arch("6.1.route")
@pytest.mark.parametrize("name", ["archgw_preference_config", "plano_preference_config"])
def test_preferences_in_metadata_in_the_older_form(name: str) -> None:
    text = "- model: a\n  routing_preferences:\n    - {name: code, description: writing code}\n"
    body, found = clean(metadata={name: text, "mine": "x"})
    assert body["metadata"] == {"mine": "x"}
    assert found == (Preference(name="code", description="writing code", models=("a",)),)
    body, _ = clean(metadata={name: text})
    assert "metadata" not in body


def test_the_body_goes_before_metadata_and_both_are_taken_out() -> None:
    own = [{"name": "n", "description": "d", "models": ["own"]}]
    body, found = clean(routing_preferences=own, metadata={"plano_preference_config": "[]"})
    assert set(body) == {"model", "messages"}
    assert found is not None
    assert found[0].models == ("own",)


@pytest.mark.parametrize(
    "given",
    [
        {},
        "x",
        [1],
        [{"name": "n", "description": "d"}],
        [{"name": "n", "description": "d", "models": []}],
        [{"name": 1, "description": "d", "models": ["m"]}],
        [{"name": "n", "description": "d", "models": ["m"], "selection_policy": {"prefer": "best"}}],
        [{"name": "n", "description": "d", "models": ["m"], "selection_policy": {"prefer": []}}],
        [{"model": "m", "routing_preferences": [1]}],
        "a: [",
    ],
)
def test_preferences_that_make_no_sense(given: Any) -> None:
    with pytest.raises(InvalidRequest):
        clean(routing_preferences=given)


@given(st.recursive(st.none() | st.booleans() | st.text(max_size=5) | st.integers(), lambda x: st.lists(x) | st.dictionaries(st.sampled_from(["name", "models", "model", "description", "routing_preferences", "selection_policy"]), x)))  # fmt: skip
def test_whatever_preferences_are_they_are_read_or_refused(value: Any) -> None:
    try:
        body, _ = clean(routing_preferences=value)
    except InvalidRequest:
        return
    assert "routing_preferences" not in body


@pytest.mark.arch("9.7")
def test_marks_on_messages_are_taken_off_and_the_rest_stays() -> None:
    marked = [{"role": "assistant", "content": "x", "model": "Arch-Function", "odd": [1.50]}]
    body, _ = clean(messages=[*MESSAGES, *marked], unknown={"a": 1})
    assert body["messages"][1] == {"role": "assistant", "content": "x", "odd": [1.5]}
    assert body["unknown"] == {"a": 1}
    assert body["model"] == "m"


def native(vendor: str, model: str, **members: Any) -> Any:
    body = json.dumps({"messages": MESSAGES, **members}).encode()
    return json.loads(native_for(vendor, model, Native("openai.chat", body)).body)


def test_quirks_of_models() -> None:
    assert native("openai", "o3-mini", max_tokens=5)["max_completion_tokens"] == 5
    assert "max_tokens" not in native("openai", "o3", max_tokens=5, max_completion_tokens=7)
    assert native("openai", "gpt-5-mini", temperature=0.2)["temperature"] == 1
    assert "web_search_options" not in native("xai", "grok", web_search_options={})
    assert native("openai", "gpt-4o", temperature=0.2, max_tokens=5)["temperature"] == 0.2
