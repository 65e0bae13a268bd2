"""Variables: where they are replaced, where they come from, and what is never told of them."""

from __future__ import annotations

import pytest

from promptd.core.errors import SettingsError
from promptd.dialects.arch import variables
from tests.dialects.arch.files import old, read, target


@pytest.mark.arch("1.1.scalars")
@pytest.mark.parametrize("value", ["x", "a: b", "{a: b}", "# no comment", "", "  spaces ", '"quoted"', "$OTHER", "[1]"])
def test_what_comes_out_is_never_yaml(value: str) -> None:
    config = read(old(system_prompt="<${PART}|$PART>"), PART=value, OTHER="never")
    assert config.system_prompt == f"<{value}|{value}>"


@pytest.mark.arch("1.1.scalars")
def test_numbers_and_truth_values_may_be_variables() -> None:
    config = read(
        old(listener={"port": "$PORT"}, overrides={"prompt_target_intent_matching_threshold": "${HALF}"}),
        PORT="8123",
        HALF="0.5",
    )
    assert (config.listeners[0].port, config.intent_threshold) == (8123, 0.5)
    with pytest.raises(SettingsError, match="not of type 'integer'"):
        read(old(listener={"port": "8123"}))


@pytest.mark.arch("1.1.scalars")
def test_keys_are_left_as_they_are() -> None:
    with pytest.raises(SettingsError) as caught:
        read(old(**{"$NAME": 1}), NAME="mode")
    assert caught.value.key == "$NAME"


@pytest.mark.arch("1.1.dollar")
@pytest.mark.parametrize(
    ("written", "read_as"),
    [
        ("$$5", "$5"),
        ("$$NAME", "$NAME"),
        ("$$$NAME", "$v"),
        ("$5 and $", "$5 and $"),
        ("$NAME_", None),
        ("a$NAME-b", "av-b"),
    ],
)
def test_dollars(written: str, read_as: str | None) -> None:
    if read_as is None:
        with pytest.raises(SettingsError, match="NAME_ not found"):
            read(old(system_prompt=written), NAME="v")
    else:
        assert read(old(system_prompt=written), NAME="v").system_prompt == read_as


@pytest.mark.arch("1.1.unknown")
def test_a_missing_key_is_told_in_the_originals_words() -> None:
    with pytest.raises(SettingsError) as caught:
        read(old(llm_providers=[{"model": "openai/x", "access_key": "$OPENAI_API_KEY"}]))
    assert caught.value.message == (
        "Access Key: OPENAI_API_KEY not found. Exiting Start\nLocation: llm_providers → 0 → access_key"
    )
    assert caught.value.key == "llm_providers[0].access_key"


@pytest.mark.arch("1.1.unknown")
def test_so_is_that_of_an_endpoint() -> None:
    endpoint = {"name": "api", "path": "/", "http_headers": {"Authorization": "Bearer $TOKEN"}}
    with pytest.raises(SettingsError, match="Access Key: TOKEN not found"):
        read(old(endpoints={"api": {"endpoint": "h"}}, prompt_targets=[target(endpoint=endpoint)]))


@pytest.mark.arch("1.1.unknown")
@pytest.mark.parametrize("written", ["$NOWHERE", "${NOWHERE}", "a ${NOWHERE} b"])
def test_other_names_are_told_with_their_place(written: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(old(endpoints={"api": {"endpoint": written}}))
    assert "NOWHERE not found" in caught.value.message
    assert "Location: endpoints → api → endpoint" in caught.value.message


def test_an_open_brace_is_a_mistake() -> None:
    with pytest.raises(SettingsError, match="name of a variable"):
        read(old(system_prompt="${not a name}"))


@pytest.mark.arch("1.1.secrets")
def test_values_are_never_told() -> None:
    for tree in (
        old(listener={"port": "$SECRET"}),
        old(listener={"address": "$SECRET"}),
        old(endpoints={"api": {"endpoint": "$SECRET"}}),
        old(mode="$SECRET"),
        old(model_aliases={"x": {"target": "$SECRET"}}, acces_key="$SECRET"),
        old(llm_providers=[{"model": "openai/x", "access_key": "$SECRET"}]),
        old(llm_providers=[{"model": "openai/x", "base_url": "$SECRET", "access_key": "k"}]),
        old(version="$SECRET"),
    ):
        with pytest.raises(SettingsError) as caught:
            read(tree, SECRET="very hidden")
        assert "hidden" not in str(caught.value)
        assert "hidden" not in caught.value.message


def test_a_file_of_variables() -> None:
    text = "# keys\n\nA=1\nexport B = two words \nC='#3'\nD=\"4\"\nE=5 # five\nF=\nG=a=b\n"
    found = {"A": "1", "B": "two words", "C": "#3", "D": "4", "E": "5", "F": "", "G": "a=b"}
    assert variables(text, name=".env") == found
    with pytest.raises(SettingsError, match=r"^\.env, line 2: expected NAME=value$"):
        variables("A=1\nhidden value\n", name=".env")
