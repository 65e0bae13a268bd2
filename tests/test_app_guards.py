"""Checks that can't be enforced stop the start with their path; the others are made as the settings say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from pydantic import Field

from promptd import registry
from promptd.app.parts import Parts, make
from promptd.core.content import Turn
from promptd.core.engine import Config
from promptd.core.errors import SettingsError
from promptd.core.guarding import Action, GuardTools, Stage
from promptd.core.model import Verdict
from promptd.egress import Egress
from promptd.settings import load
from promptd.testing.word_guard import WordGuard

MODELS = "connections: {lab: {engine: scripted}}\nmodels: {m: {connection: lab}}\n"


class KindConfig(Config):
    url: str = ""
    least: int = Field(1, ge=1)
    message: str = ""


class Kind:
    """Judges questions only, and wants an address."""

    config_class = KindConfig
    stages = frozenset({Stage.INPUT})

    def __init__(self, config: KindConfig, tools: GuardTools) -> None:
        self.config = config
        if config.url and tools.allow is not None:
            tools.allow(config.url)
        if config.least == 7:
            raise SettingsError("least: expected another number", key="least")
        if config.least == 8:
            raise RuntimeError("secret")

    async def inspect(self, messages: Any) -> Verdict:
        return Verdict(True)


class Words(WordGuard):
    def __init__(self, config: Any, tools: GuardTools) -> None:
        super().__init__({"bad": "rude"})


class Plain:
    def __init__(self, *args: Any) -> None: ...


def made(home: Path, text: str) -> Parts:
    (home / "promptd.yaml").write_text(MODELS + text)
    found = registry.load()
    plugins = replace(found, guards={**found.guards, "kind": Kind, "words": Words, "plain": Plain})
    return make(load(home, environ={}), plugins, Egress())


@pytest.mark.parametrize(
    ("text", "key", "says"),
    [
        ("guard: {checks: {a: {}}}", "guard.checks.a.type", "required"),
        ("guard: {checks: {a: {type: knd}}}", "guard.checks.a.type", 'unknown guard "knd", did you mean "kind"'),
        ("guard: {checks: {a: {type: kind, lest: 1}}}", "guard.checks.a.lest", 'did you mean "least"'),
        ("guard: {checks: {a: {type: kind, stage: [input]}}}", "guard.checks.a.stage", 'did you mean "stages"'),
        ("guard: {checks: {a: {type: kind, least: 0}}}", "guard.checks.a.least", "greater than or equal to 1"),
        ("guard: {checks: {a: {type: kind, least: 7}}}", "guard.checks.a.least", "expected another number"),
        ("guard: {checks: {a: {type: kind, least: 8}}}", "guard.checks.a", "could not be made (RuntimeError)"),
        ("guard: {checks: {a: {type: kind, stages: []}}}", "guard.checks.a.stages", "at least 1"),
        ("guard: {checks: {a: {type: kind, stages: [inputs]}}}", "guard.checks.a.stages[0]", "'input'"),
        (
            "guard: {checks: {a: {type: kind, stages: [input, output]}}}",
            "guard.checks.a.stages[1]",
            "can't judge output",
        ),
        ("guard: {checks: {a: {type: kind}}}", "guard.checks.a.stages[1]", "can't judge tool"),
        (
            "guard: {checks: {a: {type: kind, stages: [input], action: redact}}}",
            "guard.checks.a.action",
            "can't redact",
        ),
        ("guard: {checks: {a: {type: kind, stages: [input], action: stop}}}", "guard.checks.a.action", "'refuse'"),
        ("guard: {checks: {a: {type: words, listeners: [door]}}}", "guard.checks.a.listeners[0]", "no listener"),
        ("guard: {checks: {a: {type: words, timeout_seconds: 0}}}", "guard.checks.a.timeout_seconds", "greater than 0"),
        ("guard: {checks: {a: {type: plain}}}", "guard.checks.a.type", "config_class"),
        (
            "guard: {checks: {a: {type: rules, patterns: [{name: x, pattern: (}]}}}",
            "guard.checks.a.patterns[0].pattern",
            "RE2",
        ),
        ("guard: {blocklist: [x], checks: {rules: {type: words}}}", "guard", "beside the keys"),
        ("guard: {output: true}", "guard.output", "no rule"),
    ],
)
@pytest.mark.arch("1.6.5", "9.3")
def test_what_can_not_be_enforced_stops_the_start(tmp_path: Path, text: str, key: str, says: str) -> None:
    with pytest.raises(SettingsError) as error:
        made(tmp_path, text)
    assert error.value.key == key
    assert error.value.message.startswith(key)
    assert says in error.value.message
    assert "secret" not in error.value.message


def test_checks_are_made_as_the_settings_say(tmp_path: Path) -> None:
    parts = made(
        tmp_path,
        """
guard:
  blocklist: [badger]
  output: true
  timeout_seconds: 3
  checks:
    first: {type: words, action: redact, stages: [output], models: ['m*'], keys: [k], teams: [t], templates: [x]}
    second: {type: kind, stages: [input], url: 'http://10.0.0.1:8080/guard', message: not that, timeout_seconds: 5}
""",
    )
    rules, first, second = parts.checks
    assert (rules.name, rules.stages, rules.action, rules.seconds) == ("rules", frozenset(Stage), Action.REFUSE, 3.0)
    assert (first.name, first.stages, first.action, first.seconds) == (
        "first",
        frozenset({Stage.OUTPUT}),
        Action.REDACT,
        3.0,
    )
    assert (first.models, first.keys, first.teams, first.templates) == (("m*",), ("k",), ("t",), ("x",))
    assert (second.told, second.seconds) == ("not that", 5.0)
    assert isinstance(second.guard, Kind)
    assert second.guard.config.message == "not that"  # a key of ours that the guard has too
    assert "http://10.0.0.1:8080/guard" in parts.origins


def test_without_checks_there_are_none(tmp_path: Path) -> None:
    assert not made(tmp_path, "").checks


async def test_rules_may_be_several(tmp_path: Path) -> None:
    parts = made(tmp_path, "guard: {checks: {a: {type: rules, blocklist: [x]}, b: {type: rules, blocklist: [y]}}}")
    assert [(await check.guard.inspect([Turn("user", "y")])).allowed for check in parts.checks] == [True, False]
