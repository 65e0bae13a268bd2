"""Choices by weight, by chance or by a key, and names that stand for many models."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from promptd.core.choice import STAR, Pattern, Wildcards, arrange, choose_arm, fill, point
from promptd.core.routing import Arm, Leg, Price, Route

names = st.text("abcz", min_size=1, max_size=3)
weights = st.floats(0.1, 10)


def leg(name: str, weight: float = 1.0) -> Leg:
    return Leg(model="m", connection=name, upstream="up", weight=weight)


def legs(found: dict[str, float]) -> list[Leg]:
    return [leg(name, weight) for name, weight in found.items()]


def by_key(key: str, among: list[Leg]) -> list[str]:
    return [one.connection for one in arrange(among, lambda one: point(key, one.connection, one.upstream))]


@given(st.lists(names, max_size=4))
def test_a_point_is_above_nothing_and_at_most_one(words: list[str]) -> None:
    assert 0 < point(*words) <= 1
    assert point(*words) == point(*words)


def test_a_key_of_half_a_surrogate_pair_has_a_point_too() -> None:
    assert point("\ud800") == point("\ud800")


def test_points_of_words_that_join_to_the_same_text_differ() -> None:
    assert point("ab", "c") != point("a", "bc")


@given(st.dictionaries(names, weights, min_size=1, max_size=5), st.integers(0, 2**32))
def test_an_order_has_every_leg_once(found: dict[str, float], seed: int) -> None:
    chance = random.Random(seed)
    arranged = arrange(legs(found), lambda one: 1 - chance.random())
    assert sorted(one.connection for one in arranged) == sorted(found)


@pytest.mark.parametrize("shares", [{"a": 1.0, "b": 1.0}, {"a": 9.0, "b": 1.0}, {"a": 5.0, "b": 3.0, "c": 2.0}])
@pytest.mark.parametrize("sticky", [False, True])
def test_each_leg_is_first_as_often_as_its_weight_says(shares: dict[str, float], sticky: bool) -> None:
    chance, calls, among = random.Random(7), 20_000, legs(shares)
    if sticky:
        first = Counter(by_key(f"user-{number}", among)[0] for number in range(calls))
    else:
        first = Counter(arrange(among, lambda one: 1 - chance.random())[0].connection for _ in range(calls))
    whole = sum(shares.values())
    for name, weight in shares.items():
        assert first[name] / calls == pytest.approx(weight / whole, abs=0.015)


def test_the_second_choice_goes_by_weight_too() -> None:
    chance = random.Random(3)
    among = legs({"a": 100.0, "b": 3.0, "c": 1.0})
    orders = [arrange(among, lambda one: 1 - chance.random()) for _ in range(10_000)]
    second = Counter(order[1].connection for order in orders if order[0].connection == "a")
    assert second["b"] / second.total() == pytest.approx(0.75, abs=0.02)


@given(st.dictionaries(names, weights, min_size=2, max_size=6), names, st.data())
def test_a_key_keeps_its_leg_when_another_one_goes_or_changes(
    found: dict[str, float], key: str, data: st.DataObject
) -> None:
    before = by_key(key, legs(found))
    other = data.draw(st.sampled_from(before[1:]))
    less = {name: weight for name, weight in found.items() if name != other}
    assert by_key(key, legs(less)) == [name for name in before if name != other]
    lighter = found | {other: found[other] / 2}
    assert by_key(key, legs(lighter))[0] == before[0]


def test_when_a_leg_comes_only_its_share_of_the_keys_moves() -> None:
    four, five = legs(dict.fromkeys("abcd", 1.0)), legs(dict.fromkeys("abcde", 1.0))
    keys = [f"session-{number}" for number in range(5000)]
    moved = [key for key in keys if by_key(key, four)[0] != by_key(key, five)[0]]
    assert len(moved) / len(keys) == pytest.approx(1 / 5, abs=0.02)
    assert all(by_key(key, five)[0] == "e" for key in moved), "between two others nobody moves"


def route(model: str, *found: Leg, **fields: object) -> Route:
    first = found[0]
    return Route(model=model, connection=first.connection, upstream=first.upstream, legs=found, **fields)  # type: ignore[arg-type]


def test_a_user_is_always_on_the_same_side_of_a_split_and_sides_have_their_share() -> None:
    side = {name: route("chat", leg(name)) for name in "ab"}
    split = route(
        "chat",
        leg("a"),
        leg("b"),
        arms=(Arm(name="a", weight=3, route=side["a"]), Arm(name="b", weight=1, route=side["b"])),
    )
    users = [f"user-{number}" for number in range(8000)]
    sides = {user: choose_arm(split, user) for user in users}
    assert all(choose_arm(split, user) is sides[user] for user in users[:100])
    count = Counter(arm.name for arm in sides.values() if arm is not None)
    assert count["a"] / count.total() == pytest.approx(0.75, abs=0.02)
    other = replace(split, model="other", arms=split.arms)
    assert any(choose_arm(other, user) is not sides[user] for user in users[:50]), "another split divides them anew"


def test_nothing_is_chosen_where_nothing_is_split() -> None:
    assert choose_arm(route("chat", leg("a")), "user") is None


# ---------------------------------------------------------------- patterns


@pytest.mark.parametrize(
    ("pattern", "name", "taken"),
    [
        ("gpt-*", "gpt-4o", "4o"),
        ("gpt-*", "gpt-", ""),
        ("gpt-*", "xgpt-4", ""),
        ("*", "anything", "anything"),
        ("*-mini", "gpt-mini", "gpt"),
        ("a*a", "a", ""),
        ("a*a", "aa", ""),
        ("a*a", "aba", "b"),
        ("vendor/*", "vendor/x/y", "x/y"),
    ],
)
def test_what_the_star_stands_for(pattern: str, name: str, taken: str) -> None:
    assert Pattern.of(pattern).taken(name) == taken


@given(st.text("ab-", max_size=4), st.text("ab-", max_size=4), st.text("ab-", min_size=1, max_size=4))
def test_a_name_made_of_a_pattern_gives_back_what_was_filled_in(prefix: str, suffix: str, middle: str) -> None:
    assert Pattern(prefix, suffix).taken(prefix + middle + suffix) == middle


def pattern_route(pattern: str, upstream: str, connection: str = "c") -> Route:
    return route(pattern, Leg(model=pattern, connection=connection, upstream=upstream))


def test_the_longest_pattern_has_a_name() -> None:
    routes = {name: pattern_route(name, STAR, name) for name in ("*", "gpt-*", "gpt-4*", "*-mini")}
    wild = Wildcards(routes | {"exact": route("exact", leg("x"))})

    def served_by(name: str) -> str | None:
        found = wild.find(name)
        return found.connection if found is not None else None

    assert served_by("gpt-4o") == "gpt-4*"
    assert served_by("gpt-3") == "gpt-*"
    assert served_by("gpt-4") == "gpt-*", "the star stands for one character at least"
    assert served_by("llama-mini") == "*-mini"
    assert served_by("llama") == "*"


@pytest.mark.parametrize("name", ["", " x", "x y", "x\n", "é", "x" * 129, "-x", "a*b"])
def test_only_a_models_name_fills_a_pattern(name: str) -> None:
    assert Wildcards({"*": pattern_route("*", "*")}).find(name) is None


def test_every_leg_of_a_pattern_is_filled_and_priced_where_its_upstream_is_new() -> None:
    fallback = Leg(model="spare", connection="two", upstream="spare-1", price=Price(9, 9), tier=1)
    own = Leg(model="v/*", connection="one", upstream="eu.*")
    whole = replace(own, connection="three", upstream="v/*")
    wild = Wildcards({"v/*": route("v/*", own, whole, fallback)})
    found = wild.find("v/large", lambda one: replace(one, price=Price(len(one.upstream), 0)))
    assert found is not None
    assert (found.model, found.connection, found.upstream, found.price) == ("v/large", "one", "eu.large", Price(8, 0))
    assert [(one.model, one.upstream, one.price) for one in found.legs] == [
        ("v/large", "eu.large", Price(8, 0)),
        ("v/large", "v/large", Price(7, 0)),
        ("spare", "spare-1", Price(9, 9)),
    ]


def test_a_pattern_that_is_another_name_of_one_model_leads_to_that() -> None:
    target = route("local", leg("c"))
    assert Wildcards({"claude-*": target}).find("claude-opus") is target


def test_a_split_under_a_pattern_keeps_its_sides() -> None:
    side = route("p-*", leg("a"))
    split = replace(side, arms=(Arm(name="a", weight=1, route=side),))
    found = fill(split, "p-1", "1")
    assert (found.model, found.arms[0].route.model, found.arms[0].route.legs) == ("p-1", "p-1", side.legs)


@given(st.text("abz-", min_size=1, max_size=6))
def test_a_filled_route_has_no_star_left(name: str) -> None:
    assume(not name.startswith("-"))
    found = Wildcards({"*": pattern_route("*", "x/*")}).find(name)
    assert found is not None
    assert STAR not in found.upstream + found.model
    assert (found.upstream, found.pattern) == (f"x/{name}", "*")
