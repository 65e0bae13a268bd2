"""What a key may be, and who may change what of it."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from promptd.core import identity, keys
from promptd.core.errors import Forbidden, InvalidRequest, ModelForbidden
from promptd.core.keys import KeyChange, KeyLimit
from promptd.core.model import Caller, Key

NOW = 1_900_000_000.0
KEY = Key(id="k", digest=b"", user="ann", name="ci", created=NOW)
ANN = Caller("ann", "own", permissions=identity.USER_PERMISSIONS | {identity.KEY_EDIT})


def limit(**fields: Any) -> KeyLimit:
    wished: dict[str, Any] = {"name": "one", "metric": "requests", "limit": 5}
    return KeyLimit(**(wished | fields))


@pytest.mark.parametrize(
    ("limits", "field"),
    [
        ([limit(limit=0)], "limits[0].limit"),
        ([limit(), limit()], "limits[1].name"),
        ([limit(period="day", window=5.0)], "limits[0].window"),
        ([limit(metric="concurrency", window=5.0)], "limits[0].window"),
        ([limit(metric="concurrency", period="day")], "limits[0].period"),
        ([limit(period="day", burst=5)], "limits[0].burst"),
        ([limit(window=0.0)], "limits[0].window"),
        ([limit(name=str(number)) for number in range(21)], "limits"),
    ],
)
def test_limits_that_can_not_be_kept_are_named(limits: list[KeyLimit], field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        keys.policies(limits, "k")
    assert refused.value.field == field
    assert refused.value.expected


def test_own_limits_are_shown_as_they_were_wished_for() -> None:
    wishes = (
        limit(window=10.0, burst=2),
        limit(name="two", metric="cost", period="month", models=("gpt-*",)),
        limit(name="three", metric="concurrency"),
    )
    key = replace(KEY, limits=keys.policies(wishes, "k"))
    assert keys.limits_of(key) == wishes
    assert {(policy.scope, policy.only) for policy in key.limits} == {("key", "k")}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"user": ""}, "user"),
        ({"team": "x" * 129}, "team"),
        ({"permissions": frozenset({"fly"})}, "permissions"),
        ({"expires": NOW}, "expires_at"),
        ({"models": ("",)}, "models"),
        ({"models": ("x",) * 101}, "models"),
        ({"retention": 0.0}, "retention"),
        ({"retention": 1e12}, "retention"),
        ({"labels": {"": "x"}}, "labels"),
        ({"labels": {"x": "y" * 513}}, "labels"),
        ({"labels": {str(number): "" for number in range(51)}}, "labels"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        keys.check(replace(KEY, **fields), NOW)
    assert refused.value.field == field


@pytest.mark.parametrize(
    "change",
    [
        KeyChange(limits=()),
        KeyChange(models=()),
        KeyChange(keep=None),
        KeyChange(retention=None),
        KeyChange(team="other"),
        KeyChange(permissions=identity.ALL_PERMISSIONS),
        KeyChange(expires=None),
        KeyChange(expires=NOW + 101),
    ],
)
def test_nobody_lets_a_key_do_more_but_an_admin(change: KeyChange) -> None:
    with pytest.raises(Forbidden):
        keys.check_change(ANN, KEY, change, NOW + 100)
    keys.check_change(Caller("root", admin=True), KEY, change, None)


def test_harmless_changes() -> None:
    change = KeyChange(name="x", labels={}, permissions=frozenset({identity.PROMPT_VIEW}), expires=NOW + 100)
    keys.check_change(ANN, KEY, change, NOW + 100)
    with pytest.raises(Forbidden):
        keys.check_change(ANN, replace(KEY, admin=True), KeyChange(name="x"), None)


@pytest.mark.parametrize(
    ("patterns", "model", "may"),
    [
        ((), "anything", True),
        (("gpt-*",), "gpt-4o", True),
        (("gpt-*", "demo"), "demo", True),
        (("gpt-*",), "claude", False),
        (("gpt-*",), "GPT-4o", False),
        (("gpt-?",), "gpt-4o", False),
    ],
)
def test_models_of_a_key(patterns: tuple[str, ...], model: str, may: bool) -> None:
    caller = Caller("ann", models=patterns)
    assert identity.may_use(caller, model) is may
    if may:
        identity.require_model(caller, model)
        return
    with pytest.raises(ModelForbidden, match=model) as refused:
        identity.require_model(caller, model)
    assert refused.value.field == "model"


@pytest.mark.parametrize(
    ("patterns", "others", "covered"),
    [
        ((), ("*",), True),
        (("gpt-*",), ("gpt-*",), True),
        (("gpt-*",), ("gpt-4o",), True),
        (("gpt-*",), ("gpt-4*",), False),
        (("gpt-*",), ("gpt-4o", "claude"), False),
        (("gpt-*",), (), False),
    ],
)
def test_patterns_that_surely_cover_others(patterns: tuple[str, ...], others: tuple[str, ...], covered: bool) -> None:
    assert identity.covers(patterns, others) is covered
