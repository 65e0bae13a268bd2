"""The examples of docs/guards.md: each of them can be enforced, and every setting is in the guide."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from promptd.core.engine import Config
from promptd.guards.model import ModelConfig, ModelGuard
from promptd.guards.onnx import OnnxConfig
from promptd.guards.pii import PII, PIIConfig
from promptd.guards.remote import Remote, RemoteConfig
from promptd.guards.secrets import CATEGORIES, Secrets, SecretsConfig
from promptd.guards.shape import Shape, ShapeConfig
from promptd.guards.topics import HAZARDS, Topics, TopicsConfig
from promptd.settings.guards import CheckSettings
from tests.guards.house import house

GUIDE = (Path(__file__).parents[2] / "docs" / "guards.md").read_text(encoding="utf-8")
CONFIGS: dict[str, type[Config]] = {
    "pii": PIIConfig,
    "secrets": SecretsConfig,
    "topics": TopicsConfig,
    "shape": ShapeConfig,
    "model": ModelConfig,
    "onnx": OnnxConfig,
    "remote": RemoteConfig,
}
KINDS: dict[str, Any] = {
    "pii": PII,
    "secrets": Secrets,
    "topics": Topics,
    "shape": Shape,
    "model": ModelGuard,
    "remote": Remote,
}
CHECKS: dict[str, dict[str, Any]] = {
    name: check
    for block in re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    for name, check in yaml.safe_load(block)["guard"]["checks"].items()
}


@pytest.mark.parametrize("name", CHECKS)
def test_examples_can_be_enforced(name: str) -> None:
    given = CheckSettings.model_validate(CHECKS[name])
    config = CONFIGS[given.type].model_validate(given.config)
    if given.type in KINDS:
        assert KINDS[given.type](config, house()) is not None


@pytest.mark.parametrize("kind", CONFIGS)
def test_every_setting_is_in_the_guide(kind: str) -> None:
    section = re.split(r"^## ", GUIDE.split(f"\n## {kind}\n")[1], flags=re.MULTILINE)[0]
    for name in CONFIGS[kind].model_fields:
        assert f"`{name}`" in section, name
    assert {CheckSettings.model_validate(check).type for check in CHECKS.values()} == set(CONFIGS)


def test_every_kind_is_named() -> None:
    assert all(f"`{name}`" in GUIDE for name in (*CATEGORIES, *HAZARDS))
