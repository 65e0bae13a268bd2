"""Forms in the reader's language."""

from __future__ import annotations

import pytest

from promptd.core.forms import check_form, form_keys, generate, localise, make_form
from tests.core.forms.shop import TEXTS, Shop, layout

pytestmark = pytest.mark.slow

FORM = make_form(Shop, layout())


def test_titles_descriptions_placeholders_and_choices() -> None:
    german = localise(FORM, TEXTS, "de-AT").schema["properties"]
    assert (german["url"]["title"], german["url"]["description"]) == ("Adresse", "Where it is")
    assert german["url"]["x-placeholder"] == "https://beispiel"
    assert german["mode"]["x-labels"] == {"fast": "Schnell", "good": "Good one"}
    english = localise(FORM, TEXTS, "en").schema["properties"]
    assert english["url"]["title"] == "Address"
    assert english["mode"]["x-labels"] == {"good": "Good one"}


def test_nested_settings() -> None:
    assert localise(FORM, TEXTS, "de").schema["$defs"]["Proxy"]["properties"]["host"]["title"] == "Rechner"


def test_texts_of_the_layout() -> None:
    intro, tabs, *_, button = localise(FORM, TEXTS, "de").ui["elements"]
    assert (intro["text"], tabs["elements"][0]["label"], button["label"]) == (
        "Please fill this in",
        "Grundlagen",
        "Load the models",
    )


def test_without_a_catalogue_literals_stand() -> None:
    plain = localise(FORM, None, "de")
    assert plain.schema["properties"]["url"]["title"] == "Base URL"
    assert plain.ui["elements"][0]["text"] == "Fill this in"


def test_the_form_itself_is_not_changed() -> None:
    before = make_form(Shop, layout())
    localise(FORM, TEXTS, "de")
    assert before == FORM
    assert check_form(localise(FORM, TEXTS, "de")) == []


def test_keys_of_a_form() -> None:
    assert set(form_keys(FORM)) == {
        "url.label",
        "api_key.label",
        "mode.label",
        "proxy.host.label",
        "intro",
        "basics",
        "load",
    }
    assert TEXTS.missing_keys(form_keys(FORM)) == []
    assert "intro" not in form_keys(generate(Shop))
