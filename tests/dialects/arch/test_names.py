"""What the house calls the things of a file."""

from __future__ import annotations

import pytest

from promptd.dialects.arch.names import free_name, is_model


@pytest.mark.parametrize(
    ("wanted", "taken", "name"),
    [
        ("internal", set[str](), "internal"),
        ("internal", {"internal", "internal-2"}, "internal-3"),
        ("my model!", set[str](), "my-model"),
        ("ü", set[str](), "other"),
        ("x" * 200, set[str](), "x" * 100),
    ],
)
def test_names_that_nothing_else_has(wanted: str, taken: set[str], name: str) -> None:
    assert free_name(wanted, "other", taken) == name
    assert is_model(name)


@pytest.mark.parametrize("name", ["", "-a", "a b", "openai/*", "x" * 129])
def test_no_model_is_called_so(name: str) -> None:
    assert not is_model(name)
