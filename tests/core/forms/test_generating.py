"""The form that a config class gets without an author's, and what of a model is in its schema."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from pydantic import BaseModel, Secret, SecretStr

from promptd.core.configs import WIDGETS, setting
from promptd.core.forms import check_form, form_schema, generate, make_form
from tests.core.configs.models import Plain, Settings, configs
from tests.core.forms.shop import Kinds, Shop, layout

pytestmark = pytest.mark.slow


def test_each_setting_has_its_control() -> None:
    form = generate(Shop)
    assert form.ui["type"] == "Vertical"
    assert [one["scope"] for one in form.ui["elements"]] == [f"#/properties/{name}" for name in Shop.model_fields]
    assert check_form(form) == []


@pytest.mark.parametrize(
    ("name", "widget"),
    [
        ("address", "url"),
        ("secret", "secret"),
        ("switch", "switch"),
        ("choice", "select"),
        ("enum", "select"),
        ("number", "number"),
        ("whole", "number"),
        ("nested", "fieldset"),
        ("maybe", "fieldset"),
        ("rows", "repeater"),
        ("text", "text"),
        ("either", "text"),
        ("day", "date"),
        ("file", "file"),
        ("files", "files"),
        ("many", "multiselect"),
        ("texts", "repeater"),
        ("headers", "key_value"),
        ("keys", "key_value"),
        ("table", "json"),
        ("anything", "json"),
        ("login", "task"),
        ("own", "prompt"),
    ],
)
def test_the_kind_of_value_gives_the_widget(name: str, widget: str) -> None:
    assert form_schema(Kinds)["properties"][name]["x-widget"] == widget


def test_nested_settings_have_widgets_too() -> None:
    assert form_schema(Kinds)["$defs"]["Proxy"]["properties"]["password"]["x-widget"] == "secret"


def test_every_kind_is_covered() -> None:
    form = generate(Kinds)
    assert check_form(form) == []
    assert {node["x-widget"] for node in form.schema["properties"].values()} <= WIDGETS


@pytest.mark.formcycle(9)
def test_no_default_says_anything_of_a_secret() -> None:
    class Inner(Plain):
        key: SecretStr = SecretStr("inner-secret")

    class Outer(Plain):
        key: SecretStr = setting("outer-secret")
        inner: Inner = Inner()
        rows: list[Inner] = [Inner()]
        plain: list[Inner] = setting([{"key": "plain-secret"}])
        names: dict[str, SecretStr] = setting({"a": "named-secret"})
        maybe: SecretStr | None = setting("maybe-secret")
        number: Secret[int] = setting(4711)
        rows_of: dict[str, list[Secret[int]]] = setting({"a": [4711]})

    text = json.dumps(form_schema(Outer))
    assert "-secret" not in text
    assert "****" not in text
    assert "4711" not in text
    assert form_schema(Outer)["properties"]["number"]["x-widget"] == "secret"
    assert Outer().number.get_secret_value() == 4711


@given(configs())
@settings(max_examples=40, deadline=None)
def test_whatever_the_model_is_its_form_is_valid(drawn: tuple[BaseModel, Any]) -> None:
    assert check_form(generate(type(drawn[0]))) == []


def test_a_layout_of_the_authors_own() -> None:
    form = make_form(Shop, layout())
    assert check_form(form) == []
    assert json.loads(json.dumps(form.ui)) == form.ui
    assert form.schema == form_schema(Shop)
    assert check_form(generate(Settings)) == []
