"""What an admission is charged: whose limits count a prompt, and how much."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from promptd.core.content import Turn
from promptd.core.errors import InvalidRequest
from promptd.core.model import Answer, Caller, Capability, Prompt, Request, Usage
from promptd.core.parameters import Parameters
from promptd.core.policy import Metric, Policy, subjects_of
from promptd.core.routing import Leg, Price, Route
from promptd.service.charges import ChargeRules, Charges

ANN = Caller("ann", "k1", "red")
LONER = Caller("bob", "k2")
ROUTE = Route(model="gpt-4o", connection="main", upstream="gpt-4o", price=Price(1000, 2000), max_output=500)
ASK = Request(messages=(Turn("user", "x" * 400),))


def policy(metric: Metric = "requests", **fields: Any) -> Policy:
    return Policy(**({"name": metric, "metric": metric, "limit": 1000} | fields))


def charges(*policies: Policy, own: Mapping[str, tuple[Policy, ...]] | None = None) -> Charges:
    return Charges(ChargeRules(policies=policies), own or {})


def subjects(given: Charges, caller: Caller = ANN, route: Route = ROUTE, **more: Any) -> list[tuple[str, str]]:
    return [(one.policy.name, one.subject) for one in given.of_admission(caller, route, ASK, **more)]


def by_header(given: Charges, **headers: str) -> list[tuple[str, str]]:
    """The subjects of a request that brings these headers."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return subjects(given, counted=given.counted(subjects_of(given.headers, sent)))


def test_nothing_configured_charges_nothing() -> None:
    assert not list(charges().of_admission(ANN, ROUTE, ASK))


def test_each_scope_has_its_subject() -> None:
    scopes = ("user", "key", "team", "model", "all")
    given = charges(*(policy(name=scope, scope=scope) for scope in scopes))
    assert subjects(given) == [("user", "ann"), ("key", "k1"), ("team", "red"), ("model", "gpt-4o"), ("all", "")]
    assert subjects(given, LONER) == [("user", "bob"), ("key", "k2"), ("model", "gpt-4o"), ("all", "")]


def test_a_limit_for_one_alone() -> None:
    given = charges(
        policy(name="red", scope="team", only="red"),
        policy(name="blue", scope="team", only="blue"),
        policy(name="mine", scope="key", only="k1"),
    )
    assert subjects(given) == [("red", "red"), ("mine", "k1")]
    assert subjects(given, LONER) == []


def test_a_limit_for_some_models() -> None:
    given = charges(policy(models=("gpt-*", "demo")), policy(name="claude", models=("claude*",)))
    assert subjects(given) == [("requests", "ann")]


def test_headers_that_policies_name() -> None:
    given = charges(policy(scope="header:x-tenant"), policy(name="acme", scope="header:x-app", only="acme"))
    assert given.headers == {"x-tenant", "x-app"}
    assert by_header(given, x_tenant="one", x_app="acme") == [("requests", "one"), ("acme", "acme")]
    assert by_header(given) == [("requests", "")], "leaving a header out is no way round its limit"
    assert given.counted(None) == (("x-app", ""), ("x-tenant", ""))
    assert given.counted((("x-tenant", "one"), ("x-old", "y"))) == (("x-app", ""), ("x-tenant", "one")), (
        "no limit asked for the one then, and none asks for the other any more"
    )
    assert by_header(given, x_tenant="y" * 5000) == [("requests", "y" * 200)]
    assert subjects(given) == []
    given.configure(ChargeRules())
    assert given.headers == frozenset()


def test_no_counter_is_named_by_a_secret() -> None:
    given = charges(policy(scope="header:authorization"), policy(name="one", scope="header:x-api-key", only="s3cret"))
    found = by_header(given, authorization="Bearer s3cret", x_api_key="s3cret")
    assert [name for name, _ in found] == ["requests", "one"]
    assert "s3cret" not in str(found)
    assert len({subject for _, subject in found + by_header(given, authorization="Bearer other")}) == 3


def test_own_limits_of_a_key_apply_from_the_moment_they_change() -> None:
    own = {"k1": (policy(name="key daily", scope="key", only="maker"),)}
    given = charges(own=own)
    assert subjects(given) == [("key daily", "maker")]
    assert subjects(given, LONER) == []
    own["k1"] = (policy(name="key other", scope="key", only="k1"),)
    assert subjects(given) == [("key other", "k1")]
    del own["k1"]
    assert subjects(given) == []


def test_amounts_of_rates_are_estimates() -> None:
    metrics: tuple[Metric, ...] = ("requests", "input_tokens", "output_tokens", "tokens", "cost", "concurrency")
    given = charges(*map(policy, metrics))
    found = {one.policy.metric: one.amount for one in given.of_admission(ANN, ROUTE, ASK)}
    assert found == {
        "requests": 1,
        "input_tokens": 104,
        "output_tokens": 1024,
        "tokens": 1128,
        "cost": 104 + 2 * 1024,
        "concurrency": 1,
    }


@pytest.mark.parametrize(
    ("route", "parameters", "output"),
    [
        (ROUTE, Parameters(max_tokens=50), 50),
        (ROUTE, Parameters(), 500),
        (ROUTE, Parameters(max_tokens=50, n=3), 150),
        (Route(model="m", connection="c", upstream="m"), Parameters(), 65_536),
        (Route(model="m", connection="c", upstream="m", context=4096), Parameters(), 4096),
        (Route(model="m", connection="c", upstream="m", context=4096), Parameters(max_tokens=100_000), 4096),
    ],
)
def test_amounts_of_budgets_are_bounds(route: Route, parameters: Parameters, output: int) -> None:
    given = charges(policy("tokens", period="day"))
    request = Request(messages=ASK.messages, parameters=parameters)
    (one,) = given.of_admission(ANN, route, request)
    assert one.known == 400 + 16, "every byte may be a token"
    assert one.amount == one.known + output


def test_an_embedding_says_nothing() -> None:
    given = charges(policy("output_tokens", period="day"), policy("output_tokens", name="rate"))
    request = Request(texts=("x",))
    found = given.of_admission(ANN, ROUTE, request, capability=Capability.EMBEDDING)
    assert [one.amount for one in found] == [0, 0]


def test_a_budget_holds_what_the_dearest_way_costs() -> None:
    legs = (
        Leg(model="m", connection="a", upstream="m", price=Price(1000, 1000)),
        Leg(model="m", connection="b", upstream="m", price=Price(9000, 3000, cache_write=10_000)),
    )
    route = Route(model="m", connection="a", upstream="m", legs=legs)
    given = charges(policy("cost", period="month"), policy("cost", name="rate"))
    budget, rate = given.of_admission(ANN, route, Request(ASK.messages, Parameters(max_tokens=10)))
    assert (budget.known, budget.amount) == (4160, 4160 + 30)
    assert rate.amount == 104 + 10, "of the way that is tried first"


def test_a_price_that_nobody_knows_can_not_be_limited() -> None:
    route = Route(model="odd", connection="c", upstream="odd")
    for one in (policy("cost"), policy("cost", period="day")):
        with pytest.raises(InvalidRequest, match="odd") as refused:
            charges(one).of_admission(ANN, route, ASK)
        assert refused.value.field == "model"
    assert subjects(charges(policy("cost", models=("gpt-*",))), route=route) == []


def prompt(**fields: Any) -> Prompt:
    return Prompt(id="p", model="gpt-4o", lane="main", user="ann", key="k1", request=ASK, created=0.0, **fields)


def test_survivors_hold_seats_and_budgets_and_no_rates() -> None:
    given = charges(
        policy("concurrency", limit=1), policy("requests"), policy("tokens", period="day", limit=1), policy("cost")
    )
    found = given.of_survivor(ANN, ROUTE, prompt())
    assert [(one.policy.metric, one.subject) for one in found] == [("concurrency", "ann"), ("tokens", "ann")]
    assert all(one.policy.limit > 2**60 for one in found), "nothing that was admitted is refused"


def test_survivors_hold_what_their_headers_were_counted_for() -> None:
    given = charges(policy("tokens", period="day", scope="header:x-tenant"), policy(scope="header:x-app"))
    counted = given.counted((("x-app", "shop"), ("x-tenant", "acme")))
    assert given.recounted(counted) == (("x-tenant", "acme"),)
    assert [one.subject for one in given.of_survivor(ANN, ROUTE, prompt(counted=counted))] == ["acme"]
    assert given.of_survivor(ANN, ROUTE, prompt()) == [], "of a row that does not tell"


@pytest.mark.parametrize(
    ("given", "usage", "nano", "used"),
    [
        (prompt(runs=1), Usage(5, 7), 9, (5, 7, 12, 9)),
        (prompt(runs=1, answer=Answer("m", usage=Usage(5, 7))), None, 0, (5, 7, 12, 19)),
        (prompt(runs=1), None, 0, (104, 0, 104, 104)),
        (prompt(), Usage(), 0, (0, 0, 0, 0)),
    ],
)
def test_what_was_used(given: Prompt, usage: Usage | None, nano: int, used: tuple[int, ...]) -> None:
    found = charges().used(given, ROUTE, usage, nano)
    assert tuple(found[name] for name in ("input_tokens", "output_tokens", "tokens", "cost")) == used


def test_a_changed_route_is_seen() -> None:
    given = charges(policy("cost"))
    (first,) = [one.amount for one in given.of_admission(ANN, ROUTE, ASK)]
    dearer = Route(model="gpt-4o", connection="main", upstream="gpt-4o", price=Price(2000, 4000))
    assert [one.amount for one in given.of_admission(ANN, dearer, ASK)] == [2 * first]


def test_prompts_that_count_for_the_same_subjects_share_an_account() -> None:
    given = charges(policy(), policy(name="tenant", scope="header:x-tenant"))
    first, again, other, none = [
        given.of_admission(ANN, ROUTE, ASK, counted=counted)
        for counted in ((("x-tenant", "a"),), (("x-tenant", "a"),), (("x-tenant", "b"),), ())
    ]
    assert first.account is again.account
    assert [[one.subject for one in bill] for bill in (first, other, none)] == [["ann", "a"], ["ann", "b"], ["ann"]]
    given.configure(ChargeRules(policies=(policy(),)))
    (one,) = given.of_admission(ANN, ROUTE, ASK)
    assert (one.policy.name, one.subject) == (policy().name, "ann")
