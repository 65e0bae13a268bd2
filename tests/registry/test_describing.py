"""What engines say of themselves: texts, forms, icons, and keys of their connections."""

from __future__ import annotations

from pathlib import Path

import pytest

from promptd.core.configs import LoadReport
from promptd.core.engine import Config
from promptd.core.errors import SettingsError
from promptd.core.forms import FormContext
from promptd.core.icons import Icon
from promptd.registry import Registry, check_connections
from promptd.service.callbacks import Callbacks
from promptd.settings import load as load_settings
from tests.registry.conftest import ECHO, ENGINE, EXECUTE, Install, load

TEXTED = ENGINE + "    type_id = 'acme.e'\n" + EXECUTE


@pytest.mark.parametrize(
    ("source", "warning"),
    [
        (TEXTED + "    def localizer(self): raise OSError('no texts')\n", "localizer raised OSError: no texts"),
        (TEXTED + "    def localizer(self): exit(3)\n", "localizer raised SystemExit"),
        (TEXTED + "    def localizer(self): return 'de'\n", "localizer() gave str"),
        (TEXTED + "    icon = '<svg>'\n", "icon is str"),
        (
            TEXTED + "    def connection_form(self, context): raise OSError('no form')\n",
            "connection_form raised OSError",
        ),
        (TEXTED + "    def query_form(self, context): return 5\n", "query_form raised"),
    ],
)
def test_broken_texts_forms_and_icons_are_warnings(site: Path, install: Install, source: str, warning: str) -> None:
    install("acme", source, e="E")
    found = load(site)
    engine = found.engines["acme.e"]
    (problem,) = found.problems
    assert problem.severity == "warning"
    assert warning in problem.reason
    assert engine.icon == Icon.NEUTRAL


@pytest.mark.formcycle(6)
def test_texts_that_the_default_locale_lacks_are_a_warning(site: Path, install: Install) -> None:
    install("texted", TEXTED, e="E")  # texts are read once for each module
    (site / "i18n").mkdir()
    (site / "i18n" / "de.json").write_text('{"service.name": "Dienst", "service.description": "Ein Dienst"}')
    (site / "i18n" / "en.json").write_text('{"service.name": "Service"}')
    (site / "i18n" / "fr.json").write_text("[")
    found = load(site)
    assert [(problem.severity, problem.reason.partition(":")[0]) for problem in found.problems] == [
        ("warning", "acme.e"),
        ("warning", "acme.e"),
    ]
    assert "i18n/fr.json" in found.problems[0].reason
    assert found.problems[1].reason == "acme.e: no text in 'en' for service.description"
    localizer = found.engines["acme.e"].localizer()
    assert localizer is not None
    assert localizer.text("service.name", "de-AT") == "Dienst"


@pytest.mark.formcycle(5)
async def test_a_bare_handler_is_complete(site: Path, install: Install) -> None:
    """Statement 5: neutral icon, keys as texts, a generated form, the default serialisers."""
    install("acme", ECHO, echo="Echo")
    found = load(site)
    assert found.problems == ()
    engine = found.engines["acme.echo"]
    assert engine.icon == Icon.NEUTRAL
    assert (engine.display_name_key, engine.display_description_key) == ("service.name", "service.description")
    callbacks = Callbacks()
    form = await callbacks.call(engine.connection_form, FormContext("acme.echo"))
    assert form.schema["type"] == "object"
    config = engine.connection_config_class()()
    stored = await callbacks.call(engine.serialize_connection_config, config)
    assert await callbacks.call(engine.deserialize_connection_config, stored, LoadReport()) == config
    assert engine.connection_form_logic() is engine.query_form_logic() is None
    await engine.close()


CONFIGURED = """
from pydantic import Field, SecretStr, model_validator
from promptd.plugins import Config, Engine, Result

class Limits(Config):
    size: int = Field(3, ge=1)

class Settings(Config):
    base_url: str = "here"
    api_key: SecretStr = SecretStr("")
    slots: int = 1
    limits: Limits = Limits()

    @model_validator(mode="after")
    def both(self):
        if self.base_url == "odd" and self.slots > 3:
            raise ValueError("fewer than four slots at an odd place")
        return self

class Service(Engine[Settings]):
    type_id = "acme.service"
    async def execute(self, call): return Result()
"""


@pytest.fixture
def service(site: Path, install: Install) -> Registry:
    install("acme", CONFIGURED, service="Service")
    install("broken", "raise OSError('gone')", **{"broken.one": "E"})
    return load(site)


def check(tmp_path: Path, service: Registry, connection: str) -> Config:
    text = f"connections: {{main: {connection}}}\nmodels: {{m: {{connection: main}}}}\n"
    (tmp_path / "promptd.yaml").write_text(text)
    return check_connections(load_settings(tmp_path, None, {}), service)["main"]


def test_an_engines_keys_reach_its_config(tmp_path: Path, service: Registry) -> None:
    config = check(tmp_path, service, "{engine: acme.service, base_url: there, slots: 9, limits: {size: 5}}")
    assert config.model_dump(exclude={"api_key"}) == {"base_url": "there", "slots": 9, "limits": {"size": 5}}


def test_common_keys_have_their_default_in_the_engines_config(tmp_path: Path, service: Registry) -> None:
    assert check(tmp_path, service, "{engine: acme.service}").model_dump()["slots"] == 4


@pytest.mark.parametrize(
    ("connection", "key", "text"),
    [
        ("{engine: acme.servce}", "connections.main.engine", 'did you mean "acme.service"?'),
        ("{engine: broken.one}", "connections.main.engine", "failed to load: OSError: gone"),
        ("{engine: acme.service, base_ulr: x}", "connections.main.base_ulr", 'did you mean "base_url"?'),
        ("{engine: acme.service, slot: 2}", "connections.main.slot", 'did you mean "slots"?'),
        ("{engine: acme.service, limits: {siez: 2}}", "connections.main.limits.siez", 'did you mean "size"?'),
        ("{engine: acme.service, limits: {size: 0}}", "connections.main.limits.size", "greater than or equal to 1"),
        ("{engine: acme.service, base_url: odd}", "connections.main", "fewer than four slots"),
        ("{engine: acme.service, api_key: [top, secret]}", "connections.main.api_key", "expected"),
    ],
)
def test_what_an_engine_does_not_take(tmp_path: Path, service: Registry, connection: str, key: str, text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        check(tmp_path, service, connection)
    assert caught.value.key == key
    assert text in caught.value.message
    assert caught.value.message.startswith(f"{key}: ")
    assert "secret" not in caught.value.message
