"""Texts in the reader's language, and the host's own catalogues."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptd.core.errors import PromptdError, leaves
from promptd.core.localisation import Key, Localizer, host_localizer, resolve

TEXTS = Localizer(
    {
        "en": {"greet": "Hello {name}", "only": "English", "twice": "{a} {b}"},
        "de": {"greet": "Hallo {name}"},
        "de-AT": {"greet": "Servus {name}"},
    }
)


@pytest.mark.parametrize(
    ("locale", "text"),
    [
        ("de-AT", "Servus Ada"),
        ("de_at", "Servus Ada"),
        ("de-CH", "Hallo Ada"),
        ("de-AT-1996", "Servus Ada"),
        ("de", "Hallo Ada"),
        ("fr", "Hello Ada"),
        ("", "Hello Ada"),
        ("../../etc", "Hello Ada"),
    ],
)
@pytest.mark.formcycle(6)
def test_a_locale_falls_back_to_shorter_ones_and_the_default(locale: str, text: str) -> None:
    assert TEXTS.text("greet", locale, name="Ada") == text


@pytest.mark.formcycle(6)
def test_an_unknown_key_is_its_own_text() -> None:
    assert TEXTS.text("no.such", "de") == "no.such"
    assert TEXTS.text("only", "de-AT") == "English"


def test_arguments_are_filled_in_one_pass() -> None:
    assert TEXTS.text("twice", "en", a="{b}", b=2) == "{b} 2"
    assert TEXTS.text("greet", "en") == "Hello {name}"
    assert TEXTS.text("twice", "en", a=["é", None], b=True) == '["é", null] true'


@given(st.text(), st.text(), st.dictionaries(st.text(max_size=5), st.text() | st.integers() | st.none()))
@pytest.mark.formcycle(6)
def test_no_look_up_raises(key: str, locale: str, args: dict[str, Any]) -> None:
    assert isinstance(resolve(Key(key, args), TEXTS, locale), str)
    assert isinstance(TEXTS.text("twice", locale, a=object(), b=float("nan")), str)


def test_a_text_is_a_literal_or_a_key() -> None:
    assert resolve("greet", TEXTS, "de") == "greet"
    assert resolve(Key("greet", {"name": "Ada"}), TEXTS, "de") == "Hallo Ada"
    assert resolve(Key("greet"), None, "de") == "greet"
    assert resolve(None, TEXTS, "de") == ""  # type: ignore[arg-type]
    assert resolve(Key("promptd.form.save"), TEXTS, "de-AT") == "Speichern"


def test_a_localizer_that_raises_breaks_no_page() -> None:
    class Broken(Localizer):
        def find(self, key: str, locale: str) -> str | None:
            raise RuntimeError(key)

    assert resolve(Key("greet"), Broken({}), "de") == "greet"


def test_keys_that_the_default_locale_lacks_are_named() -> None:
    assert TEXTS.missing_keys(["greet", "no.such", "only", "no.such"]) == ["no.such"]
    german = Localizer({"de": {"a": "A"}, "en": {"b": "B"}}, default="de")
    assert german.missing_keys(["a", "b"]) == ["b"]
    assert german.text("a", "fr") == "A"
    assert german.locales == ("de", "en")


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[ModuleType]:
    """A handler's module in a folder of its own, as a plugin has it."""
    (tmp_path / "i18n").mkdir()
    (tmp_path / "i18n" / "en.json").write_text('{"service.name": "Test service"}')
    (tmp_path / "i18n" / "de.json").write_text('{"service.name": ["no text"]}')
    (tmp_path / "i18n" / "fr.json").write_bytes(b"\xff{")
    file = tmp_path / "localised_handler.py"
    file.write_text("")
    spec = importlib.util.spec_from_file_location("localised_handler", file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["localised_handler"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["localised_handler"]


def test_catalogues_lie_beside_the_module(plugin: ModuleType) -> None:
    localizer = Localizer.beside(plugin.__name__)
    assert localizer.text("service.name", "de") == "Test service"
    assert localizer.locales == ("en",)
    assert [problem.partition(":")[0] for problem in localizer.problems] == ["i18n/de.json", "i18n/fr.json"]


def test_a_module_without_catalogues_has_an_empty_localizer() -> None:
    assert Localizer.beside("promptd.service.walk").locales == ()
    assert Localizer.beside("no.such.module").locales == ()


def test_every_error_has_its_title_in_both_languages() -> None:
    host = host_localizer()
    assert host.problems == ()
    own = list(leaves())
    tree: list[type[PromptdError]] = [PromptdError, *own]
    for error in tree:
        if not error.__module__.startswith("promptd."):
            continue  # a plugin's, defined by another test
        key = f"promptd.error.{error.code}"
        assert host.find(key, "en"), key
        assert host.find(key, "de") != host.find(key, "en"), key
        if "code" in vars(error):
            assert host.find(key, "en") == error.title


def test_the_host_says_the_same_things_in_every_language() -> None:
    folder = Path(sys.modules[Localizer.__module__].__file__ or "").parent / "i18n"
    texts = {file.stem: json.loads(file.read_text()) for file in folder.glob("*.json")}
    assert texts.keys() == {"en", "de"}
    beside = {key for key in texts["de"].keys() - texts["en"].keys() if not key.endswith(".description")}
    assert not beside, "only descriptions of settings stand in the code in English"
    assert texts["en"].keys() <= texts["de"].keys()
    for key, text in texts["en"].items():
        assert re.findall(r"\{\w+\}", text) == re.findall(r"\{\w+\}", texts["de"][key]), key


def test_every_key_that_core_uses_is_in_the_catalogue() -> None:
    core = Path(sys.modules[Localizer.__module__].__file__ or "").parent
    used = {key for file in core.rglob("*.py") for key in re.findall(r'Key\("(promptd\.[a-z_.]+)"', file.read_text())}
    assert "promptd.load.unreadable" in used
    assert host_localizer().missing_keys(sorted(used)) == []
