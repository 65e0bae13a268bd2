"""The registry against real distributions: folders with entry_points.txt and modules, as pip leaves them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from textwrap import dedent

import pytest

from promptd import registry
from promptd.core.engine import Config
from promptd.core.errors import SettingsError
from promptd.registry import Registry, check_connections
from promptd.settings import load as load_settings

ECHO = """
from promptd.plugins import Call, Config, Engine, NoConfig, Result

class Echo(Engine[NoConfig]):
    type_id = "acme.echo"

    async def execute(self, call):
        return Result(text=call.messages[-1].content)
"""

Install = Callable[..., None]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def install(site: Path) -> Install:
    """Put a distribution with one module and its entry points into the site folder."""

    def put(name: str, source: str, *, group: str = registry.ENGINES, **entries: str) -> None:
        module = name.replace("-", "_") + "_plugin"
        (site / f"{module}.py").write_text(dedent(source))
        info = site / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        lines = "\n".join(f"{entry} = {module}:{thing}" for entry, thing in entries.items())
        (info / "entry_points.txt").write_text(f"[{group}]\n{lines}\n")

    return put


def load(site: Path) -> Registry:
    return registry.load(entry for dist in metadata.distributions(path=[str(site)]) for entry in dist.entry_points)


def test_a_strangers_engine_is_found(site: Path, install: Install) -> None:
    install("acme", ECHO, echo="Echo")
    found = load(site)
    assert list(found.engines) == ["acme.echo"]
    assert found.problems == ()


def test_installed_entry_points_are_the_default() -> None:
    found = registry.load()
    declared = {entry.name for entry in metadata.entry_points(group=registry.ENGINES)}
    assert declared >= {"openai", "llamacpp"}
    assert len(found.engines) + len(found.problems) >= len(declared)


@pytest.mark.parametrize("crash", ["raise RuntimeError('boom')", "raise SystemExit(3)", "import no_such_module", "("])
def test_a_failing_import_leaves_the_others_usable(site: Path, install: Install, crash: str) -> None:
    install("aaa-broken", crash, echo="Echo")
    install("bbb-works", ECHO, echo="Echo")
    found = load(site)
    assert list(found.engines) == ["acme.echo"]
    (problem,) = found.problems
    assert (problem.plugin, problem.entry) == ("aaa-broken", "promptd.engines:echo")
    assert "Traceback" in problem.traceback
    assert problem.reason


def test_a_keyboard_interrupt_is_not_a_plugin_problem(site: Path, install: Install) -> None:
    install("acme", "raise KeyboardInterrupt", echo="Echo")
    with pytest.raises(KeyboardInterrupt):
        load(site)


ENGINE = "from promptd.plugins import *\nclass E(Engine[NoConfig]):\n"
EXECUTE = "    async def execute(self, call): ...\n"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (ENGINE + "    type_id = 'a'\n    api_version = 2\n" + EXECUTE, "api_version is 2"),
        (ENGINE + EXECUTE, "type_id is None"),
        (ENGINE + "    type_id = 'Bad Id'\n" + EXECUTE, "type_id is 'Bad Id'"),
        (ENGINE + "    type_id = 'a..b'\n" + EXECUTE, "type_id is 'a..b'"),
        (ENGINE + "    type_id = 'a\\n'\n" + EXECUTE, "type_id is"),
        (ENGINE + f"    type_id = '{'a' * 121}'\n" + EXECUTE, "type_id is"),
        (ENGINE + "    type_id = 5\n" + EXECUTE, "type_id is 5"),
        (ENGINE + "    type_id = 'a'\n", "neither run nor execute"),
        (ENGINE + "    type_id = 'a'\n    capabilities = frozenset()\n" + EXECUTE, "capabilities"),
        (ENGINE + "    type_id = 'a'\n    capabilities = frozenset({'chat!'})\n" + EXECUTE, "capabilities"),
        (
            "from promptd.plugins import *\nclass C(Config):\n    url: str\n    good: int = 1\n"
            "class E(Engine[C]):\n    type_id = 'a'\n" + EXECUTE,
            "default to url",
        ),
        (
            "from promptd.plugins import *\nclass C(Config):\n    engine: str = ''\n"
            "class E(Engine[C]):\n    type_id = 'a'\n" + EXECUTE,
            "hide",
        ),
        (ENGINE + "    type_id = 'a'\n    def __init__(self): raise OSError('no disk')\n" + EXECUTE, "no disk"),
        ("class E: pass", "not a subclass"),
        ("E = 5", "neither a class nor"),
        ("def E(): return [5]", "not a subclass"),
        ("def E(): raise ValueError('late')", "late"),
        ("E = None", "neither a class nor"),
    ],
)
def test_rules_of_the_plugin_class(site: Path, install: Install, source: str, reason: str) -> None:
    install("acme", source, e="E")
    install("good", ECHO, echo="Echo")
    found = load(site)
    assert list(found.engines) == ["acme.echo"]
    (problem,) = found.problems
    assert reason in problem.reason


def test_the_config_class_is_found_through_a_subclass(site: Path, install: Install) -> None:
    install(
        "acme",
        """
        from promptd.plugins import Config, Engine, Result
        class Settings(Config):
            url: str = "x"
        class Base(Engine[Settings]):
            type_id = "acme.base"
            async def execute(self, call): return Result()
        class Derived(Base):
            type_id = "acme.derived"
        def engines(): return [Base, Derived]
        """,
        both="engines",
    )
    found = load(site)
    assert sorted(found.engines) == ["acme.base", "acme.derived"]
    assert found.problems == ()
    assert all(list(engine.config_class().model_fields) == ["url"] for engine in found.engines.values())


def test_one_of_several_classes_may_be_bad(site: Path, install: Install) -> None:
    install("acme", ECHO + "\ndef engines(): return [Engine, Echo]\n", both="engines")
    found = load(site)
    assert list(found.engines) == ["acme.echo"]
    assert len(found.problems) == 1


def test_the_first_of_two_with_one_type_id_stays_and_built_ins_are_first(site: Path, install: Install) -> None:
    install("aaa", ECHO, echo="Echo")
    install("promptd", ECHO, echo="Echo")
    found = load(site)
    assert type(found.engines["acme.echo"]).__module__ == "promptd_plugin"
    (problem,) = found.problems
    assert problem.plugin == "aaa"
    assert "taken by promptd_plugin.Echo" in problem.reason


def test_guards_and_faces_go_by_entry_name(site: Path, install: Install) -> None:
    install("promptd", "class Rules: pass", group=registry.GUARDS, rules="Rules")
    install("zzz", "class Rules: pass\nnothing = 5", group=registry.GUARDS, rules="Rules", bad="nothing")
    install("face", "def face(): pass", group=registry.FACES, native="face")
    found = load(site)
    assert found.guards["rules"].__module__ == "promptd_plugin"
    assert list(found.faces) == ["native"]
    assert sorted(problem.entry for problem in found.problems) == ["promptd.guards:bad", "promptd.guards:rules"]


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
