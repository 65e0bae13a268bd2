"""Settings of config models, paths, and what is required."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from promptd.core.configs import LoadReport, SerializedConfig, load, required_empty, setting
from promptd.core.configs.paths import exists, get, parse, spell
from tests.core.configs.models import Auth, Plain, Settings

pytestmark = pytest.mark.slow


class Lists(Plain):
    logins: list[Auth] = setting(default_factory=list, required=True)
    by_name: dict[str, Auth] = {}
    count: int = setting(0, required=True, widget="slider", options="counts", on_change=True, i18n="count", le=9)
    maybe: Auth | None = None


def test_hints_are_in_the_schema() -> None:
    schema = Lists.model_json_schema()["properties"]["count"]
    assert schema["x-required"] is True
    assert (schema["x-widget"], schema["x-options"], schema["x-on-change"]) == ("slider", "counts", True)
    assert (schema["i18n"], schema["maximum"]) == ("count", 9)
    assert "x-placeholder" not in schema


def test_a_setting_has_a_default_and_a_known_widget() -> None:
    with pytest.raises(TypeError, match="default"):
        setting()
    with pytest.raises(TypeError, match="default"):
        setting(1, default_factory=int)
    with pytest.raises(ValueError, match="carousel"):
        setting(1, widget="carousel")


def test_a_plain_default_becomes_a_secret() -> None:
    assert Auth().password == SecretStr("")


def test_required_and_empty() -> None:
    assert required_empty(Lists()) == ["logins"]
    assert required_empty(Lists(logins=[Auth(user="a"), Auth(user=" ")], by_name={"a b": Auth()}, maybe=Auth())) == [
        "logins[1].user",
        'by_name["a b"].user',
        "maybe.user",
    ]
    assert required_empty(Settings(url="u", auth=Auth(user="me"))) == []


@given(st.lists(st.text() | st.integers(0, 99), max_size=5))
def test_paths_are_read_as_they_were_spelled(path: list[str | int]) -> None:
    assert parse(spell(tuple(path))) == tuple(path)


@given(st.text(alphabet='a.[]0"\\', max_size=12))
def test_a_path_has_one_spelling(text: str) -> None:
    path = parse(text)
    assert path is None or parse(spell(path)) == path


@pytest.mark.parametrize("text", [".a", "a..b", "a b", "[x]", "a[0", "[0]a", '["a'])
def test_what_is_no_path(text: str) -> None:
    assert parse(text) is None


def test_paths_in_data() -> None:
    data = {"a": [{"b": None}]}
    assert exists(data, ("a", 0, "b"))
    assert not exists(data, ("a", "0", "b"))
    assert not exists(data, ("a", -1))
    assert get(data, ("a", 0)) == {"b": None}
    assert get(data, ("a", 1)) is None


@pytest.mark.formcycle(18)
def test_a_secret_as_default_costs_nothing_where_json_leaves_it_out() -> None:
    class Keyed(Plain):
        key: SecretStr = setting(SecretStr("k"), required=True)
        url: str = ""

    report = LoadReport()
    assert load(Keyed, SerializedConfig(b'{"url": "u"}'), report) == Keyed(url="u")
    assert report.status == "clean"
