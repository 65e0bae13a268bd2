"""The registry against real distributions: folders with entry_points.txt and modules, as pip leaves them."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

import pytest

from promptd import registry
from promptd.core.errors import SettingsError
from promptd.isolation import Isolation, Rules
from promptd.registry import Origin, check_plugins
from tests.registry.conftest import ECHO, ENGINE, EXECUTE, Install, load


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
@pytest.mark.formcycle(2)
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
        (ENGINE + "    type_id = 'a'\n    execute = None\n", "execute is no method"),
        (ENGINE + "    type_id = 'a'\n    test_connection = 5\n" + EXECUTE, "test_connection is no method"),
        (ENGINE + "    type_id = 'a'\n    async def run(self, call): return []\n", "run must yield chunks"),
        (ENGINE + "    type_id = 'a'\n    query_version = 0\n" + EXECUTE, "query_version is 0"),
        (
            "from promptd.plugins import *\nclass Q(Config):\n    text: str\n"
            "class E(Engine[NoConfig, Q]):\n    type_id = 'a'\n" + EXECUTE,
            "default to text",
        ),
        (
            ENGINE + "    type_id = 'a'\n    @classmethod\n    def query_config_class(cls): return dict\n" + EXECUTE,
            "config class is <class 'dict'>",
        ),
        (
            ENGINE + "    type_id = 'a'\n    @classmethod\n    def connection_config_class(cls): exit(4)\n" + EXECUTE,
            "SystemExit: 4",
        ),
    ],
)
@pytest.mark.formcycle(4)
def test_rules_of_the_plugin_class(site: Path, install: Install, source: str, reason: str) -> None:
    install("acme", source, e="E")
    install("good", ECHO, echo="Echo")
    found = load(site)
    assert list(found.engines) == ["acme.echo"]
    (problem,) = found.problems
    assert reason in problem.reason


@pytest.mark.formcycle(3)
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
    assert all(list(engine.connection_config_class().model_fields) == ["url"] for engine in found.engines.values())


@pytest.mark.formcycle(3)
def test_an_explicit_config_class_wins_and_queries_have_one_too(site: Path, install: Install) -> None:
    install(
        "acme",
        """
        from promptd.plugins import Config, Engine, Result
        class A(Config):
            a: str = "x"
        class B(Config):
            b: str = "x"
        class Two(Engine[A, B]):
            type_id = "acme.two"
            async def execute(self, call): return Result()
        class Own(Two):
            type_id = "acme.own"
            @classmethod
            def query_config_class(cls): return A
        def engines(): return [Two, Own]
        """,
        both="engines",
    )
    found = load(site)
    assert found.problems == ()
    two, own = found.engines["acme.two"], found.engines["acme.own"]
    assert list(two.query_config_class().model_fields) == ["b"]
    assert own.query_config_class() is own.connection_config_class() is two.connection_config_class()


def test_one_of_several_classes_may_be_bad(site: Path, install: Install) -> None:
    install("acme", ECHO + "\ndef engines(): return [Engine, Echo]\n", both="engines")
    found = load(site)
    assert list(found.engines) == ["acme.echo"]
    assert len(found.problems) == 1


@pytest.mark.formcycle(1)
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


def test_an_engine_has_an_origin(site: Path, install: Install) -> None:
    install("promptd", ECHO.replace("acme.echo", "built.in"), echo="Echo")
    install("Acme_Echo", ECHO, echo="Echo")
    found = load(site, Isolation({"acme.echo": Rules(mode="thread")}))
    assert found.origins == {
        "built.in": Origin("promptd", "1.0", "promptd.engines:echo", ""),
        "acme.echo": Origin("Acme_Echo", "1.0", "promptd.engines:echo", "thread"),
    }


@pytest.mark.parametrize("name", ["promptd", "acme-ecko"])
def test_settings_of_a_plugin_that_is_not_there(site: Path, install: Install, name: str) -> None:
    install("promptd", ECHO.replace("acme.echo", "built.in"), echo="Echo")
    install("Acme_Echo", ECHO, echo="Echo")
    install("acme-broken", "raise OSError", echo="Echo")
    found = load(site)
    check_plugins(["acme.echo", "acme-broken"], found)
    with pytest.raises(SettingsError, match=f"plugins.{name}: no plugin") as raised:
        check_plugins([name], found)
    assert ("acme-echo" in raised.value.message) is (name == "acme-ecko")


def test_our_own_engines_are_not_wrapped(site: Path, install: Install) -> None:
    install("promptd", ECHO, echo="Echo")
    engine = load(site).engines["acme.echo"]
    assert type(engine) is sys.modules["promptd_plugin"].Echo


def test_an_import_that_hangs_does_not_stop_the_start(site: Path, install: Install) -> None:
    install("aaa-hangs", "import threading\nthreading.Event().wait(30)", echo="Echo")
    install("bbb-works", ECHO, echo="Echo")
    found = load(site, Isolation({"aaa-hangs": Rules(start_seconds=0.2)}))
    assert list(found.engines) == ["acme.echo"]
    (problem,) = found.problems
    assert "not loaded within 0.2 s" in problem.reason


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("crash", "reason"),
    [
        ("import os; os._exit(3)", "left with status 3"),
        ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
        ("raise ValueError('boom')", "ValueError: boom"),
        ("import threading; threading.Event().wait(60)", "not loaded within 3 s"),
    ],
)
def test_an_import_that_takes_its_process_down_takes_down_a_trial_only(
    site: Path, install: Install, crash: str, reason: str
) -> None:
    install("aaa-crash", crash, echo="Echo")
    install("bbb-works", ECHO, echo="Echo")
    rules = Rules(mode="process", start_seconds=3 if "wait" in crash else 30)
    found = load(site, Isolation({"aaa-crash": rules}))
    assert list(found.engines) == ["acme.echo"]
    (problem,) = found.problems
    assert reason in problem.reason
    assert "Traceback" in problem.traceback or not crash.startswith("raise")
