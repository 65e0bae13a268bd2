"""What the settings of models lead to, and what about them stops the start."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from promptd.app.routes import make_routes
from promptd.core.choice import Wildcards
from promptd.core.errors import SettingsError
from promptd.core.model import Capability
from promptd.core.routing import Cause, Leg, Price, Route
from promptd.settings import load

CONNECTIONS = ("one", "two", "three")


def read(home: Path, models: Mapping[str, Any], **more: Any) -> Mapping[str, Route]:
    connections = {name: {"engine": "openai"} for name in CONNECTIONS}
    text = yaml.safe_dump({"connections": connections, "models": dict(models), **more}, sort_keys=False)
    (home / "promptd.yaml").write_text(text)
    settings = load(home, None, {})
    return make_routes(
        settings, lambda leg: leg if leg.price is not None else replace(leg, price=Price(len(leg.upstream)))
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


def refused(home: Path, models: Mapping[str, Any], **more: Any) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        read(home, models, **more)
    return caught.value


def ways(route: Route) -> list[tuple[str, str, str, int]]:
    return [(leg.model, leg.connection, leg.upstream, leg.tier) for leg in route.legs]


# ---------------------------------------------------------------- what is made


def test_one_connection_is_one_leg(home: Path) -> None:
    models = {"m": {"connection": "one", "upstream": "up", "context": 10, "capabilities": ["chat"], "template": "t"}}
    route = read(home, models)["m"]
    assert ways(route) == [("m", "one", "up", 0)]
    assert (route.connection, route.upstream, route.context, route.template) == ("one", "up", 10, "t")
    assert route.legs[0].capabilities == route.capabilities == frozenset({Capability.CHAT})
    assert (route.price, route.legs[0].context, route.sticky, route.fallback_on) == (Price(2), 10, False, frozenset())


def test_several_connections_are_legs_in_the_order_of_their_tiers(home: Path) -> None:
    models = {
        "m": {
            "connections": [
                {"connection": "three", "tier": 5},
                {
                    "connection": "one",
                    "weight": 3,
                    "upstream": "up",
                    "price": {"input_per_million": 1, "output_per_million": 2},
                },
                {"connection": "two"},
            ],
            "upstream": "common",
            "sticky": "user",
        }
    }
    route = read(home, models)["m"]
    assert ways(route) == [("m", "one", "up", 0), ("m", "two", "common", 0), ("m", "three", "common", 5)]
    assert [leg.weight for leg in route.legs] == [3, 1, 1]
    assert (route.legs[0].price, route.legs[1].price) == (Price(1_000_000, 2_000_000), Price(6))
    assert (route.connection, route.upstream, route.sticky) == ("one", "up", True)


def test_fallbacks_come_in_tiers_behind_all_legs_of_the_model_itself(home: Path) -> None:
    models = {
        "big": {
            "connections": [{"connection": "one"}, {"connection": "two", "tier": 1}],
            "fallbacks": ["small", "cheap"],
            "fallback_on": ["context_overflow"],
        },
        "small": {"connection": "one", "fallbacks": ["tiny"], "context": 7, "capabilities": ["chat"]},
        "cheap": {"connection": "three"},
        "tiny": {"connection": "two", "upstream": "t"},
    }
    routes = read(home, models)
    assert ways(routes["big"]) == [
        ("big", "one", "big", 0),
        ("big", "two", "big", 1),
        ("small", "one", "small", 2),
        ("tiny", "two", "t", 3),
        ("cheap", "three", "cheap", 4),
    ]
    third = routes["big"].legs[2]
    assert (third.context, third.capabilities, third.price) == (7, frozenset({Capability.CHAT}), Price(5))
    assert routes["big"].fallback_on == frozenset({Cause.CONTEXT_OVERFLOW})
    assert routes["big"].capabilities is None


def test_a_leg_that_comes_twice_is_asked_once(home: Path) -> None:
    models = {
        "a": {"connection": "one", "upstream": "x", "fallbacks": ["b", "c"]},
        "b": {"connection": "one", "upstream": "x"},
        "c": {"connection": "two", "upstream": "x"},
    }
    assert ways(read(home, models)["a"]) == [("a", "one", "x", 0), ("c", "two", "x", 2)]


def test_an_alias_is_the_model_it_stands_for(home: Path) -> None:
    models = {"fast": {"alias": "quick"}, "quick": {"alias": "m"}, "m": {"connection": "one", "fallbacks": ["n"]}}
    routes = read(home, models | {"n": {"alias": "o"}, "o": {"connection": "two"}})
    assert routes["fast"] is routes["quick"] is routes["m"]
    assert routes["m"].model == "m"
    assert ways(routes["m"]) == [("m", "one", "m", 0), ("o", "two", "o", 1)]


def test_a_pattern_leads_each_name_to_a_model_of_its_own(home: Path) -> None:
    models = {
        "vendor/*": {"connection": "one", "upstream": "eu.*-v1", "fallbacks": ["spare"]},
        "gpt-*": {"connection": "two"},
        "claude-*": {"alias": "gpt-5"},
        "spare": {"connection": "three"},
    }
    routes = read(home, models)
    wild = Wildcards(routes)

    def found(name: str) -> list[tuple[str, str, str, int]]:
        route = wild.find(name)
        assert route is not None
        return ways(route)

    assert found("vendor/x") == [("vendor/x", "one", "eu.x-v1", 0), ("spare", "three", "spare", 1)]
    assert found("gpt-4o") == [("gpt-4o", "two", "gpt-4o", 0)]
    assert found("claude-opus") == [("gpt-5", "two", "gpt-5", 0)], "an alias may lead through a pattern"
    assert routes["vendor/*"].legs[0].price is None, "nobody knows yet which model is asked"
    assert routes["vendor/*"].legs[1].price == Price(5)
    assert routes["claude-*"].legs[0].price == Price(5)


def test_the_first_model_with_a_name_is_the_default(home: Path) -> None:
    (home / "promptd.yaml").write_text(
        "connections: {one: {engine: openai}}\nmodels: {'*': {connection: one}, m: {connection: one}}"
    )
    assert load(home, None, {}).default_model == "m"


def test_patterns_alone_have_no_default(home: Path) -> None:
    (home / "promptd.yaml").write_text("connections: {one: {engine: openai}}\nmodels: {'*': {connection: one}}")
    assert load(home, None, {}).default_model == ""
    assert read(home, {"gpt-*": {"connection": "one"}}).keys() == {"gpt-*"}


def test_a_split_has_a_route_per_side_under_its_own_name(home: Path) -> None:
    models = {
        "chat": {
            "split": [{"model": "a", "weight": 9}, {"model": "alias", "weight": 1, "arm": "new"}],
            "template": "t",
        },
        "a": {"connection": "one", "fallbacks": ["b"]},
        "b": {"connection": "two"},
        "alias": {"alias": "b"},
    }
    route = read(home, models)["chat"]
    assert [(arm.name, arm.weight, arm.route.model) for arm in route.arms] == [("a", 9, "chat"), ("new", 1, "chat")]
    assert [ways(arm.route) for arm in route.arms] == [
        [("a", "one", "a", 0), ("b", "two", "b", 1)],
        [("b", "two", "b", 0)],
    ]
    assert ways(route) == [("a", "one", "a", 0), ("b", "two", "b", 1)]
    assert (route.model, route.connection, route.template) == ("chat", "one", "t")


# ---------------------------------------------------------------- what stops the start

ONE = {"connection": "one"}


@pytest.mark.parametrize(
    ("models", "key", "said"),
    [
        ({"m": {"connection": "on"}}, "models.m.connection", "one, two, three"),
        ({"m": {"connections": [ONE, {"connection": "x"}]}}, "models.m.connections[1].connection", "one, two, three"),
        ({"m": {"alias": "n"}, "o": ONE}, "models.m.alias", "one of m, o"),
        ({"m": ONE | {"fallbacks": ["o", "p"]}, "o": ONE}, "models.m.fallbacks[1]", "one of m, o"),
        ({"m": {"split": [{"model": "o"}, {"model": "p"}]}, "o": ONE}, "models.m.split[1].model", "one of m, o"),
        ({"m": {"alias": "m"}}, "models.m.alias", "does not lead back here (m → m)"),
        ({"m": {"alias": "n"}, "n": {"alias": "m"}}, "models.n.alias", "(m → n → m)"),
        ({"m": ONE | {"fallbacks": ["m"]}}, "models.m.fallbacks[0]", "(m → m)"),
        (
            {"m": ONE | {"fallbacks": ["n"]}, "n": {"alias": "o"}, "o": ONE | {"fallbacks": ["m"]}},
            "models.o.fallbacks[0]",
            "(m → n → o → m)",
        ),
        ({"m": {"split": [{"model": "m"}]}}, "models.m.split[0].model", "(m → m)"),
        ({"m": {"alias": "g-1"}, "g-*": {"alias": "m"}}, "models.g-*.alias", "(m → g-* → m)"),
        (
            {"m": {"split": [{"model": "n"}]}, "n": {"split": [{"model": "o"}]}, "o": ONE},
            "models.m.split[0].model",
            "split",
        ),
        (
            {"m": ONE | {"fallbacks": ["n"]}, "n": {"split": [{"model": "o"}]}, "o": ONE},
            "models.m.fallbacks[0]",
            "split",
        ),
        (
            {"m": {"split": [{"model": "o"}, {"model": "p", "arm": "o"}]}, "o": ONE, "p": ONE},
            "models.m.split[1].arm",
            "no other side",
        ),
        ({"m": ONE | {"upstream": "x-*"}}, "models.m.upstream", "no `*`"),
        ({"m": {"connections": [ONE | {"upstream": "*"}]}}, "models.m.connections[0].upstream", "no `*`"),
        ({"m": {"connections": [ONE, ONE]}}, "models.m.connections[1]", "no other entry"),
        ({"m": {"alias": "g-*"}, "g-*": ONE}, "models.m.alias", "not a pattern"),
        ({"m": ONE | {"fallback_on": ["refusal"]}}, "models.m.fallback_on", "no fallbacks"),
        ({"m": {}}, "models.m", "one of connection, connections, alias, split"),
        ({"m": ONE | {"alias": "n"}, "n": ONE}, "models.m", "not connection and alias"),
        ({"m": {"alias": "n", "upstream": "x"}, "n": ONE}, "models.m", "nothing but alias together, not upstream"),
        ({"m": {"split": [{"model": "n"}], "fallbacks": ["n"]}, "n": ONE}, "models.m", "not fallbacks"),
        ({"m": {"connections": [ONE | {"weight": 0}]}}, "models.m.connections[0].weight", "greater than 0"),
        ({"m": {"split": [{"model": "n", "weight": 0}]}, "n": ONE}, "models.m.split[0].weight", "greater than 0"),
        ({"m": {"connections": [ONE | {"weight": float("nan")}]}}, "models.m.connections[0].weight", "finite"),
        ({"m": {"connections": [ONE | {"tier": -1}]}}, "models.m.connections[0].tier", "0"),
        ({"m": ONE | {"fallbacks": [""]}}, "models.m.fallbacks[0]", "at least 1 character"),
        ({"a*b*": ONE}, "models.a*b*", "one `*` at most"),
        (
            {"m": ONE | {"fallback_on": ["bad"], "fallbacks": ["n"]}, "n": ONE},
            "models.m.fallback_on[0]",
            "context_overflow",
        ),
        ({"m": ONE | {"sticky": "ip"}}, "models.m.sticky", "'session' or 'user'"),
    ],
)
def test_what_leads_nowhere_or_in_a_circle_is_named(home: Path, models: Any, key: str, said: str) -> None:
    error = refused(home, models)
    assert error.key == key
    assert said in error.message
    assert error.message.startswith(f"{key}: ")


@pytest.mark.parametrize("default", ["nothing", "g-*", ""])
def test_the_default_model_is_one_that_can_be_asked(home: Path, default: str) -> None:
    error = refused(home, {"m": ONE, "g-*": ONE}, default_model=default)
    assert (error.key, "expected one of" in error.message) == ("default_model", True)


names = st.sampled_from("abcdef")


@given(st.dictionaries(names, st.lists(names, max_size=3, unique=True), min_size=1))
def test_however_fallbacks_refer_to_each_other_it_ends(tmp_path_factory: Any, models: dict[str, list[str]]) -> None:
    home = tmp_path_factory.mktemp("home")
    given_models = {name: {"connection": "one", "upstream": name, "fallbacks": to} for name, to in models.items()}
    try:
        routes = read(home, given_models)
    except SettingsError as error:
        if "fallbacks[" not in error.key:
            raise
        return
    for name, route in routes.items():
        legs: list[Leg] = list(route.legs)
        assert legs[0].upstream == name
        assert len({leg.upstream for leg in legs}) == len(legs)
        assert {leg.upstream for leg in legs[1:]} >= set(models[name])
        assert [leg.tier for leg in legs] == sorted(leg.tier for leg in legs)
