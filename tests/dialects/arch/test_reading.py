"""Which texts are Arch files, and which are no strict YAML."""

from __future__ import annotations

import pytest

from promptd.core.errors import SettingsError
from promptd.dialects import arch


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected a mapping"),
        ("- a", "expected a mapping"),
        ("version: v0.1\nversion: v0.2", "line 2: the key version is there twice"),
        ("a: &x 1\nb: *x", "anchors"),
        ("a: !!python/object:os.system {}", "tags"),
        ("a: [", "arch_config.yaml, line"),
        ("version: v0.1\nlistener: {port: .inf}", "not a finite number"),
    ],
)
def test_what_is_no_strict_yaml(text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        arch.read(text, name="arch_config.yaml", variables={})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("version: v0.1\nlistener: {}", True),
        ("listeners: []", True),
        ("{version: v0.1, model_providers: []}", True),
        ("llm_providers:\n  - a: *b", True),  # a mistake in it does not make it another file
        ("server: {}\nlistener: {}", False),
        ("version: v0.1", False),
        ("models: {}", False),
        ("", False),
        ("- listener", False),
    ],
)
def test_what_is_an_arch_file(text: str, expected: bool) -> None:
    assert arch.is_arch(text, ("server", "models")) is expected
