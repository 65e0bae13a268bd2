"""Secrets: never seen outside, kept by forms that leave them blank, and removed on request."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from pydantic import BaseModel, Secret, SecretBytes, SecretStr

from promptd.core.configs import (
    LoadReport,
    load,
    merge_secrets,
    redact,
    redact_data,
    redact_text,
    secret_paths,
    secret_states,
    secret_values,
    serialize,
)
from tests.core.configs.models import Basic, Plain, Server, Settings, configs, full

pytestmark = pytest.mark.slow

SECRETS = ('key "1"', "pass", "token", "ka", "kb", "hx")


def saved(data: dict[str, Any], old: Settings | None = None, **given: Any) -> dict[str, Any]:
    """The secrets in the data after a save of a form."""
    merged = merge_secrets(Settings, data, old or full(), **given)
    return {path: value for path, value in flat(merged).items() if any(path.endswith(name) for name in NAMES)}


NAMES = ("api_key", "password", "token", ".key", "X-Key", "plain")


def flat(value: Any, path: str = "") -> dict[str, Any]:
    if isinstance(value, dict) and "$secret" not in value:
        return {k: v for name, inner in value.items() for k, v in flat(inner, f"{path}.{name}").items()}
    if isinstance(value, list):
        return {k: v for index, inner in enumerate(value) for k, v in flat(inner, f"{path}[{index}]").items()}
    return {path: value}


def test_where_a_model_has_secrets() -> None:
    assert secret_paths(Settings) == [
        "api_key",
        "auth.password",
        "login.password",
        "login.token",
        "servers[].key",
        "headers.*",
    ]


def test_a_model_inside_itself_ends() -> None:
    class Tree(Plain):
        key: SecretStr = SecretStr("")
        children: list[Tree] = []

    assert secret_paths(Tree) == ["key"]
    deep = Tree(children=[Tree(key=SecretStr("deep"))])
    assert redact(deep)["children"][0]["key"] == {"$secret": "children[0].key"}


@pytest.mark.formcycle(9)
def test_set_and_not_set_is_all_that_is_shown() -> None:
    shown = redact(full())
    assert shown["api_key"] == {"$secret": "api_key"}
    assert shown["login"] == {"kind": "bearer", "token": {"$secret": "login.token"}}
    assert shown["headers"] == {"X-Key": {"$secret": 'headers["X-Key"]'}, "plain": ""}
    assert shown["certificate"]["filename"] == "c.pem"
    assert shown["certificate"]["last_modified"] == "2026-03-04T05:06:07.891+00:00"
    assert secret_states(full())["headers.plain"] is False
    assert not any(value in SECRETS for value in flat(shown).values())
    assert redact(Settings())["api_key"] == ""


@pytest.mark.formcycle(9)
def test_data_is_redacted_like_a_configuration() -> None:
    stored = json.loads(serialize(full(), 1).data)
    shown = redact_data(Settings, stored)
    expected = redact(full())
    for name in ("certificate", "documents", "names"):
        shown.pop(name)
        expected.pop(name)
    assert shown == expected
    assert stored["api_key"] == 'key "1"'
    assert redact_data(Settings, shown) == shown
    assert redact_data(Settings, {"api_key": ["odd"], "auth": 7}) == {"api_key": {"$secret": "api_key"}, "auth": 7}


def test_a_form_that_is_sent_back_as_it_came_keeps_all_secrets() -> None:
    assert saved(redact(full())) == {
        ".api_key": 'key "1"',
        ".auth.password": "pass",
        ".login.token": "token",
        ".servers[0].key": "ka",
        ".servers[1].key": "kb",
        ".headers.X-Key": "hx",
        ".headers.plain": "",
    }


@given(configs())
@settings(max_examples=40, deadline=None)
def test_whatever_the_model_is_nothing_is_lost(drawn: tuple[BaseModel, Any]) -> None:
    config, _ = drawn
    stored = serialize(config, 1)
    config = load(type(config), stored, LoadReport())
    merged = merge_secrets(type(config), redact(config), config)
    assert reread(type(config), merged, stored.files) == config


def reread(model: type[BaseModel], data: dict[str, Any], files: Any) -> BaseModel:
    return model.model_validate_json(json.dumps(data), context={"promptd.files": files})


@pytest.mark.parametrize("blank", ["", "  ", None])
@pytest.mark.formcycle(10)
def test_a_blank_secret_keeps_the_old_one(blank: str | None) -> None:
    kept = saved({"api_key": blank, "auth": {"user": "new", "password": blank}})
    assert (kept[".api_key"], kept[".auth.password"]) == ('key "1"', "pass")


@pytest.mark.formcycle(10)
def test_an_absent_secret_keeps_the_old_one() -> None:
    kept = saved({"auth": {"user": "new"}})
    assert (kept[".api_key"], kept[".auth.password"]) == ('key "1"', "pass")
    assert saved({})[".auth.password"] == "pass"


def test_a_new_secret_takes_its_place() -> None:
    assert saved({"api_key": "new"})[".api_key"] == "new"


@pytest.mark.formcycle(10)
def test_an_explicit_clear_removes_it() -> None:
    cleared = saved(redact(full()), clear=["api_key", "servers[1].key"])
    assert (cleared[".api_key"], cleared[".servers[1].key"]) == ("", "")
    assert cleared[".servers[0].key"] == "ka"
    assert saved({}, clear=["api_key"])[".api_key"] == ""

    class Nullable(Plain):
        key: SecretStr | None = None

    old = Nullable(key=SecretStr("old"))
    assert merge_secrets(Nullable, {"key": ""}, old, clear=["key"]) == {"key": None}
    assert merge_secrets(Nullable, {"key": ""}, old) == {"key": "old"}


def test_another_kind_of_login_does_not_take_over_the_secret() -> None:
    assert merge_secrets(Settings, {"login": {"kind": "basic", "password": ""}}, full())["login"] == {
        "kind": "basic",
        "password": "",
    }
    old = Settings(login=Basic(password=SecretStr("p")))
    assert merge_secrets(Settings, {"login": {"kind": "bearer", "token": ""}}, old)["login"] == {
        "kind": "bearer",
        "token": "",
    }


def test_a_secret_stays_with_its_item_when_the_list_changes() -> None:
    shown = redact(full())["servers"]
    moved = merge_secrets(Settings, {"servers": [shown[1], {"url": "new", "key": ""}, shown[0]]}, full())["servers"]
    assert [item["key"] for item in moved] == ["kb", "", "ka"]


def test_a_blank_item_keeps_its_secret_only_where_it_was() -> None:
    one, two = {"url": "a", "key": "", "weight": 1}, {"url": "b", "key": "", "weight": 2}
    assert keys([one, two]) == ["ka", "kb"]
    assert keys([two]) == [""]
    assert keys([{"url": "elsewhere", "key": ""}, two]) == ["", "kb"]


def keys(servers: list[dict[str, Any]]) -> list[str]:
    return [server["key"] for server in merge_secrets(Settings, {"servers": servers}, full())["servers"]]


def test_a_name_that_was_taken_out_of_a_map_does_not_come_back() -> None:
    assert merge_secrets(Settings, {"headers": {"plain": ""}}, full())["headers"] == {"plain": ""}
    assert merge_secrets(Settings, {"headers": {"X-Key": ""}}, full())["headers"] == {"X-Key": "hx"}


def test_a_mark_brings_no_secret_to_another_place() -> None:
    data = {"url": {"$secret": "api_key"}, "api_key": {"$secret": "no.such"}, "servers": [{"key": {"$secret": "url"}}]}
    merged = merge_secrets(Settings, data, full())
    assert merged["url"] == {"$secret": "api_key"}
    assert (merged["api_key"], merged["servers"][0]["key"]) == ("", "")


@pytest.mark.parametrize(
    "data", [{"auth": 7}, {"servers": {"0": 1}}, {"headers": []}, {"login": [1]}, {"servers": [None]}]
)
def test_odd_data_does_not_disturb_the_rest(data: dict[str, Any]) -> None:
    merged = merge_secrets(Settings, data, full())
    assert merged["api_key"] == 'key "1"'
    (name,) = data
    assert merged[name] == data[name]


def test_a_secret_of_space_is_one() -> None:
    config = Settings(api_key=SecretStr("  "))
    assert redact(config)["api_key"] == {"$secret": "api_key"}
    assert merge_secrets(Settings, redact(config), config)["api_key"] == "  "


def test_a_first_save_has_no_old_secrets() -> None:
    assert merge_secrets(Settings, {"api_key": "", "auth": {"password": {"$secret": "x"}}}, None) == {
        "api_key": "",
        "auth": {"password": ""},
    }


def test_secrets_of_other_types() -> None:
    class Odd(Plain):
        raw: SecretBytes = SecretBytes(b"")
        number: Secret[int] = Secret(0)
        rows: list[SecretStr] = []

    config = Odd(raw=SecretBytes(b"bytes"), number=Secret(4711), rows=[SecretStr("r1"), SecretStr("r2")])
    stored = json.loads(serialize(config, 1).data)
    assert stored == {"raw": "bytes", "number": 4711, "rows": ["r1", "r2"]}
    assert secret_values(config) == ["bytes", "4711", "r1", "r2"]
    assert "4711" not in json.dumps(redact(config))
    assert merge_secrets(Odd, redact(config), config) == stored
    assert merge_secrets(Odd, {"rows": ["", "x"]}, config)["rows"] == ["r1", "x"]
    assert merge_secrets(Odd, {"rows": [""]}, config)["rows"] == [""]


@pytest.mark.formcycle(43)
def test_texts_lose_every_secret_also_one_inside_another() -> None:
    config = Settings(api_key=SecretStr("abc"), servers=[Server(key=SecretStr("abcdef")), Server(key=SecretStr("b.*"))])
    text = "abcdef abc b.* bXX"
    assert redact_text(text, secret_values(config)) == "*** *** *** bXX"
    assert redact_text(text, []) == text
    assert secret_values(None) == []
