"""What holds of every engine that is installed: settings, forms, texts, queries, the stored form."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel, SecretStr

from promptd import registry
from promptd.core.configs import LoadReport, secret_paths
from promptd.core.descriptors import check_params, input_schema, output_schema
from promptd.core.engine import Config, DescribeParams, Engine, NoConfig
from promptd.core.forms import Form, FormContext, check_form, form_keys, localise, public_data
from promptd.core.localisation import HOST_PREFIX, Key, Localizer, host_localizer, resolve
from promptd.engines.llamacpp import LlamaCppConfig
from promptd.engines.local_audio.config import LocalAudioConfig
from promptd.engines.stable_diffusion import ImageQuery, StableDiffusionConfig
from promptd.testing.conformance import Samples, assert_conforms

ENGINES = {
    name: engine
    for name, engine in registry.load().engines.items()
    if registry.load().origins[name].plugin == registry.HOST
}
BUILT_IN = [name for name in ENGINES if name != "scripted"]
#: conversations make its queries; nobody writes them
QUERYLESS = "endpoint"
#: what those are examined with that ask nobody over the house's way out, or for whom any settings are not good enough
SAMPLES = {
    "any_llm": Samples(online=False),
    QUERYLESS: Samples(online=False),
    # its service is a child of its own; what that does is shown with real models
    "llamacpp": Samples(connection=LlamaCppConfig(gguf="/no/such/file.gguf"), online=False),
    "local_audio": Samples(connection=LocalAudioConfig(), online=False),
    "stable_diffusion": Samples(
        connection=StableDiffusionConfig(base_url="http://127.0.0.1:7860"), query=ImageQuery(prompt="a {{color}} cat")
    ),
}
LOCALES = ("en", "de")
SECRET = "the-secret-of-the-test"
#: settings that only the settings file knows: these types make no images and no sounds
UNUSED = {name: {"voice", "ask_for_base64"} for name in ("chat_completions", "gemini")}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings are filled with samples, and some of them name files that are then written."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(params=sorted(ENGINES))
def engine(request: pytest.FixtureRequest) -> Engine[Any, Any]:
    return ENGINES[request.param]


@cache
def forms(type_id: str) -> dict[str, Form]:
    engine = ENGINES[type_id]
    context = FormContext(type_id=type_id, connection=engine.connection_config_class()())
    found = {"connection": engine.connection_form(context)}
    if engine.query_config_class() is not NoConfig:
        found["query"] = engine.query_form(context)
    return found


def test_the_handlers_of_the_issue_are_there() -> None:
    assert {
        *("anthropic", "any_llm", "chat_completions", "gemini", "http_target"),
        *("llamacpp", "local_audio", "openai", "stable_diffusion"),
    } <= ENGINES.keys()
    assert [problem.reason for problem in registry.load().problems if problem.plugin == registry.HOST] == []


def test_settings_are_models_that_an_empty_form_makes(engine: Engine[Any, Any]) -> None:
    for kind in (engine.connection_config_class(), engine.query_config_class()):
        assert issubclass(kind, Config)
        assert kind() == kind()
    assert (engine.query_config_class() is NoConfig) == (engine.type_id == QUERYLESS)


def test_forms_can_be_shown_and_reach_every_setting(engine: Engine[Any, Any]) -> None:
    for form in forms(engine.type_id).values():
        assert check_form(form) == []
        # a group of settings may have its controls inside
        reached = {scope.split("/")[2] for scope in scopes(form.ui)}
        assert form.schema["properties"].keys() - reached <= UNUSED.get(engine.type_id, set())


@pytest.mark.parametrize("type_id", BUILT_IN)
@pytest.mark.parametrize("locale", LOCALES)
def test_every_text_is_there(type_id: str, locale: str) -> None:
    engine = ENGINES[type_id]
    localizer = engine.localizer()
    assert localizer is not None
    assert localizer.problems == ()
    known = catalogue(localizer, locale)
    missing = [key for key in (engine.display_name_key, engine.display_description_key) if key not in known]
    for form in forms(type_id).values():
        missing += [key for key in form_keys(form) if key not in known]
        for node in properties(form.schema):
            prefix = node["i18n"]  # every setting has texts
            if node.get("description") and locale != "en" and f"{prefix}.description" not in known:
                missing.append(f"{prefix}.description")
            if f"{prefix}.description" in catalogue(localizer, "en") and f"{prefix}.description" not in known:
                missing.append(f"{prefix}.description")
            missing += [
                f"{prefix}.{value}"
                for value in values(node)
                if value != "" and f"{prefix}.{value}" not in known and value not in (node.get("x-labels") or {})
            ]
    assert missing == []


@pytest.mark.parametrize("type_id", BUILT_IN)
@pytest.mark.parametrize("locale", LOCALES)
def test_no_form_shows_a_key(type_id: str, locale: str) -> None:
    engine = ENGINES[type_id]
    for form in forms(type_id).values():
        shown = localise(form, engine.localizer(), locale)
        for node in properties(shown.schema):
            for word in (node.get("title"), node.get("description"), node.get("x-placeholder")):
                assert not (word or "").startswith((HOST_PREFIX, f"{type_id}.")), word
        for element in nodes(shown.ui):
            for word in (element.get("label"), element.get("text")):
                assert not (word or "").startswith((HOST_PREFIX, f"{type_id}.")), word


def test_both_catalogues_of_the_host_have_the_same_keys() -> None:
    host = host_localizer()
    ours = ("promptd.chat_query.", "promptd.connection.")
    keys = {locale: {key for key in host._catalogues[locale] if key.startswith(ours)} for locale in LOCALES}
    # what is said in English beside the setting needs no English text
    assert keys["en"] <= keys["de"]
    assert all(key.endswith(".description") for key in keys["de"] - keys["en"])


def test_the_form_of_a_connection_shows_no_secret(engine: Engine[Any, Any]) -> None:
    config = filled(engine.connection_config_class())
    assert SECRET not in json.dumps(public_data(config))
    for form in forms(engine.type_id).values():
        assert SECRET not in json.dumps(form.schema) + json.dumps(form.ui)


def test_what_is_stored_comes_back(engine: Engine[Any, Any]) -> None:
    connection, query = filled(engine.connection_config_class()), engine.query_config_class()()
    report = LoadReport()
    assert engine.deserialize_connection_config(engine.serialize_connection_config(connection), report) == connection
    assert engine.deserialize_query_config(engine.serialize_query_config(query), LoadReport()) == query
    assert [issue for issue in report.issues if issue.kind != "required"] == []


def test_every_promise_is_kept(engine: Engine[Any, Any]) -> None:
    """The storage, form, descriptor, test and error part of formcycle.md §6, as authors of plugins examine theirs."""
    assert_conforms(type(engine), SAMPLES.get(engine.type_id))


def test_descriptors_are_valid_and_pure(engine: Engine[Any, Any]) -> None:
    kind = engine.query_config_class()
    tasks = get_args(kind.model_fields["task"].annotation) if "task" in kind.model_fields else (None,)
    for task in tasks:
        query = kind.model_validate({} if task is None else {"task": task})
        params = DescribeParams(connection=engine.connection_config_class()(), query=query)
        for compute, schema, where in (
            (engine.compute_query_input, input_schema, "inputs"),
            (engine.compute_query_output, output_schema, "outputs"),
        ):
            found = check_params(compute(params), where=where)
            assert found == check_params(compute(params), where=where)
            assert schema(found)["type"] == "object"
        assert engine.compute_query_output(params) or engine.type_id == QUERYLESS


def scopes(ui: Mapping[str, Any]) -> Iterator[str]:
    return (node["scope"] for node in nodes(ui) if node["type"] == "Control")


def nodes(ui: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield ui
    for child in ui.get("elements", ()):
        yield from nodes(child)


def properties(schema: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for owner in (schema, *schema.get("$defs", {}).values()):
        if not owner.get("x-foreign"):
            yield from owner.get("properties", {}).values()


def values(node: Mapping[str, Any]) -> Iterator[str]:
    for one in (node, *node.get("anyOf", ())):
        yield from (value for value in one.get("enum", ()) if isinstance(value, str))


def catalogue(localizer: Localizer, locale: str) -> set[str]:
    """The keys that this very locale has, the host's among them."""
    return {
        *localizer._catalogues.get(locale, {}),
        *host_localizer()._catalogues[locale],
    }


def filled(kind: type[Config]) -> Config:
    """Settings with every secret set."""
    data: dict[str, Any] = {}
    for path in secret_paths(kind):
        name, _, rest = path.partition(".")
        if rest == "*":
            data[name] = {"x-key": SECRET}
        elif not rest:
            data[name] = SECRET
        elif rest == "*.headers.*":
            data[name] = {"one": {"headers": {"x-key": SECRET}}}
        else:
            data.setdefault(name, {})[rest] = SECRET
    found = kind.model_validate(data)
    assert isinstance(found, BaseModel)
    return found


def test_the_test_sets_secrets() -> None:
    config: Any = filled(ENGINES["openai"].connection_config_class())
    assert isinstance(config.api_key, SecretStr)
    assert config.api_key.get_secret_value() == config.headers["x-key"].get_secret_value() == SECRET
    assert resolve(Key("openai.name"), ENGINES["openai"].localizer(), "de") != "openai.name"


def test_the_queries_of_the_docs_can_be_saved() -> None:
    text = (Path(__file__).parents[2] / "docs/handlers.md").read_text(encoding="utf-8")
    blocks = [yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)]
    for block, type_id, outputs in zip(
        blocks, ("chat_completions", "http_target"), (["city", "country"], ["price", "currency"]), strict=True
    ):
        engine = ENGINES[type_id]
        query = engine.query_config_class().model_validate(block)
        params = DescribeParams(connection=engine.connection_config_class()(), query=query)
        assert check_params(engine.compute_query_input(params))
        assert [param.name for param in check_params(engine.compute_query_output(params))] == outputs
    assert all(f"`{name}`" in text for name in BUILT_IN if name != QUERYLESS)
