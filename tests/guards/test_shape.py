"""The guard of forms: the exam, each rule, and settings that stop the start."""

from __future__ import annotations

from typing import Any

import pytest

from promptd.core.content import ToolCall, Turn
from promptd.core.errors import SettingsError
from promptd.core.ports import Guard
from promptd.guards.shape import Shape, ShapeConfig
from promptd.testing.guards import GuardContract

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "pattern": "^[A-Z]"}, "age": {"type": "integer"}},
    "required": ["name"],
    "additionalProperties": False,
}


class TestPatterns(GuardContract):
    @pytest.fixture
    def guard(self) -> Guard:
        return Shape(ShapeConfig(must_not_match=(r"\bORD-\d{6}\b",)))

    @pytest.fixture
    def forbidden(self) -> str:
        return "ORD-123456"


class TestNothing:
    async def test_by_default_everything_passes(self) -> None:
        assert (await Shape().inspect([Turn("user", "\ud800"), Turn("user", "")])).allowed


async def reason(config: ShapeConfig, *turns: Turn | str) -> str:
    verdict = await Shape(config).inspect([turn if isinstance(turn, Turn) else Turn("user", turn) for turn in turns])
    assert verdict.allowed == (not verdict.reason)
    assert bool(verdict.categories) == (not verdict.allowed)
    return verdict.reason


@pytest.mark.parametrize(
    ("config", "text", "said"),
    [
        (ShapeConfig(max_chars=5), "12345", ""),
        (ShapeConfig(max_chars=5), "123456", "shape: longer than 5 characters"),
        (ShapeConfig(min_chars=3), " ab ", "shape: shorter than 3 characters"),
        (ShapeConfig(min_chars=3), "abc", ""),
        (ShapeConfig(must_match=(r"^\d+$",)), "123", ""),
        (ShapeConfig(must_match=(r"^\d+$",)), "12a", "shape: a pattern is missing"),
        (ShapeConfig(must_match=("a", "b")), "a", "shape: a pattern is missing"),
        (ShapeConfig(must_not_match=("(?i)secret",)), "SECRET", "shape: a forbidden pattern"),
        (ShapeConfig(must_not_match=("ü",)), "für", "shape: a forbidden pattern"),
        (ShapeConfig(json_schema=True), "[1, 2]", ""),
        (ShapeConfig(json_schema=True), "[1, 2", "shape: not JSON"),
        (ShapeConfig(json_schema=False), "[1, 2", ""),
        (ShapeConfig(json_schema=True), "[" * 100_000, "shape: nested too deeply"),
        (ShapeConfig(json_schema=PERSON), '{"name": "Ann", "age": 3}', ""),
        (ShapeConfig(json_schema=PERSON), '{"name": "ann"}', "shape: does not fit the schema"),
        (ShapeConfig(json_schema=PERSON), '{"name": "Ann", "age": "3"}', "shape: does not fit the schema"),
        (ShapeConfig(json_schema=PERSON), 'Here it is: {"name": "Ann"}', "shape: not JSON"),
    ],
)
async def test_each_rule(config: ShapeConfig, text: str, said: str) -> None:
    assert await reason(config, text) == said


async def test_the_scope_says_which_text() -> None:
    turns = ("12345", Turn("assistant", tool_calls=(ToolCall(arguments="1"),)), "123")
    assert await reason(ShapeConfig(scope="each", max_chars=4), *turns)
    assert not await reason(ShapeConfig(scope="last", max_chars=4), *turns)
    assert not await reason(ShapeConfig(scope="each", max_chars=5), *turns)
    assert await reason(ShapeConfig(scope="whole", max_chars=10), *turns)
    assert not await reason(ShapeConfig(scope="whole", max_chars=11), *turns)


async def test_a_message_without_text_is_too_short() -> None:
    assert await reason(ShapeConfig(min_chars=1), "hello", "")
    assert not await reason(ShapeConfig(min_chars=1))


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"must_match": ["a", "("]}, "must_match[1]"),
        ({"must_not_match": ["(?=a)"]}, "must_not_match[0]"),
        ({"json_schema": {"type": "objekt"}}, "json_schema"),
        ({"json_schema": {"$ref": "https://example.org/x"}}, "json_schema"),
        ({"min_chars": 5, "max_chars": 4}, "max_chars"),
    ],
)
def test_settings_that_can_not_be_enforced(values: dict[str, Any], key: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Shape(ShapeConfig.model_validate(values))
    assert refused.value.key == key
