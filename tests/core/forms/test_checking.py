"""Forms from strangers: what is wrong is found, and costs the panel only."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from promptd.core.forms import NOT_LOADED, Button, Control, Form, Text, Vertical, built, check_form, generate, make_form
from promptd.core.forms.checking import MAX_DEPTH, MAX_NODES, is_markup
from promptd.core.localisation import resolve
from tests.core.configs.models import Plain
from tests.core.forms.shop import Row, Shop, layout

pytestmark = pytest.mark.slow

URL = {"type": "Control", "scope": "#/properties/url"}


def problems(ui: Any) -> str:
    """What is wrong with a form whose only fault can be its layout."""
    schema = copy.deepcopy(generate(Shop).schema)
    for node in schema["properties"].values():
        node.pop("x-required", None)
    for inner in schema["$defs"].values():
        for node in inner.get("properties", {}).values():
            node.pop("x-required", None)
    return "; ".join(f"{problem.path}: {problem.reason}" for problem in check_form(Form(schema, ui)))


def rule(scope: str = "#/properties/kind", schema: Any = None, effect: str = "SHOW") -> dict[str, Any]:
    return URL | {"rule": {"effect": effect, "condition": {"scope": scope, "schema": {} if schema is None else schema}}}


def deep(levels: int) -> dict[str, Any]:
    ui: dict[str, Any] = dict(URL)
    for _ in range(levels):
        ui = {"type": "Group", "elements": [ui]}
    return ui


def test_good_layouts() -> None:
    assert problems(URL) == ""
    assert problems(rule(schema={"const": "open"})) == ""
    assert problems({"type": "Text", "text": "Use <host>:<port>, 1 < 2"}) == ""
    assert problems(deep(MAX_DEPTH - 1)) == ""


@pytest.mark.parametrize(
    ("ui", "reason"),
    [
        (None, "ui"),
        ([], "ui"),
        ({}, "ui"),
        ({"type": "Script", "src": "x"}, "Script"),
        (URL | {"onclick": "x"}, "onclick"),
        ({"type": "Control"}, "scope"),
        ({"type": "Control", "scope": "#/properties/nothing"}, "no such setting"),
        ({"type": "Control", "scope": "#/properties/url/properties/x"}, "no such setting"),
        ({"type": "Control", "scope": "#/$defs/Proxy"}, "no such setting"),
        ({"type": "Control", "scope": "url"}, "no such setting"),
        ({"type": "Control", "scope": "#"}, "no such setting"),
        (URL | {"widget": "carousel"}, "no such widget"),
        (URL | {"label": "<b>bold</b>"}, "markup"),
        ({"type": "Text", "text": "<script>alert(1)</script>"}, "markup"),
        ({"type": "Text", "text": "<img src=x onerror=alert(1)>"}, "markup"),
        ({"type": "Button", "action": "do it"}, "action"),
        ({"type": "Button", "action": ""}, "action"),
        ({"type": "Vertical", "elements": [URL, URL]}, "has a control already"),
        ({"type": "Tabs", "elements": [URL]}, "elements"),
        (rule(scope="#/properties/x"), "no such setting"),
        (rule(schema={"type": "nonsense"}), "schema"),
        (rule(schema={"$ref": "http://127.0.0.1/x"}), "schema"),
        (rule(schema=7), "schema"),
        (rule(effect="EXPLODE"), "effect"),
        (deep(MAX_DEPTH), "levels"),
        ({"type": "Vertical", "elements": [{"type": "Text"}] * (MAX_NODES + 5)}, "nodes"),
        (deep(100_000), ""),
    ],
    ids=range(27),
)
def test_bad_layouts(ui: Any, reason: str) -> None:
    said = problems(ui)
    assert said
    assert reason in said


def test_a_form_must_be_one() -> None:
    assert check_form(None)
    assert check_form({"schema": {}, "ui": URL})
    assert check_form(Form(None, URL))  # type: ignore[arg-type]
    assert check_form(Form({"type": "nonsense"}, URL))
    assert check_form(Form({"$ref": "https://example.org/schema"}, URL))


@pytest.mark.parametrize(
    ("hint", "value"),
    [("x-widget", "carousel"), ("x-options", "a b"), ("title", "<i>x</i>"), ("description", "<!-- x -->")],
)
def test_bad_hints_in_the_schema(hint: str, value: str) -> None:
    form = generate(Shop)
    form.schema["properties"]["url"][hint] = value
    assert [problem.path for problem in check_form(form)] == [f"schema/properties/url/{hint}"]


def test_a_required_setting_needs_a_control() -> None:
    class Outer(Plain):
        row: Row = Row()
        other: Row = Row()

    assert check_form(generate(Outer)) == []
    form = make_form(Outer, Vertical(elements=(Control(scope="#/properties/row/properties/name"),)))
    assert [problem.reason for problem in check_form(form)] == ["the required setting other.name has no control"]


class TestBuilding:
    def test_a_good_form_is_handed_on(self) -> None:
        form = make_form(Shop, layout())
        assert built(lambda: form).form is form

    @pytest.mark.parametrize("made", [None, "<form/>", Form({}, {"type": "Nothing"}), RuntimeError("secret-word")])
    @pytest.mark.formcycle(7, 8)
    def test_a_bad_one_is_replaced_by_a_message(self, made: Any) -> None:
        def make() -> Any:
            if isinstance(made, Exception):
                raise made
            return made

        result = built(make)
        assert result.form is None
        assert result.problems
        assert "secret-word" not in str(result)
        assert resolve(NOT_LOADED, None, "de") == "Dieses Formular konnte nicht geladen werden"


def test_what_counts_as_markup() -> None:
    assert is_markup("<A HREF='x'>")
    assert is_markup("<svg/onload=x>")
    assert not is_markup("a <b, c> d" * 3)
    assert not is_markup("<" * 100_000)
    assert not is_markup("<a " * 20_000)


def test_nodes_travel_as_json() -> None:
    form = make_form(Shop, Vertical(elements=(Text(text="t"), Button(action="test"))))
    assert form.ui == {
        "type": "Vertical",
        "elements": [{"type": "Text", "text": "t"}, {"type": "Button", "action": "test"}],
    }
