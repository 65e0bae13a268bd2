"""Which legs of a model are tried, in what order, and what is learned from how their calls end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptd.core.engine import Call, Engine, NoConfig, Result
from promptd.core.errors import (
    AuthenticationFailed,
    Cancelled,
    ContentFiltered,
    EngineLost,
    ExecutionFailed,
    HandlerUnavailable,
    InputTooLarge,
    InvalidInput,
    InvalidOutput,
    NetworkError,
    PermissionDenied,
    PromptExecutionError,
    QuotaExceeded,
    RateLimited,
    ResourceNotFound,
    ServiceUnavailable,
    Timeout,
    UnknownModel,
    UnsupportedInput,
)
from promptd.core.health import Cooldown
from promptd.core.model import Capability, Prompt, Request
from promptd.core.routing import Arm, Cause, Leg, Route
from promptd.egress import Egress
from promptd.service.connections import Connection, Connections
from promptd.service.router import LegHealth, Router
from tests.service.house import Clock


class Chatty(Engine[NoConfig]):
    type_id = "chatty"

    async def execute(self, call: Call[NoConfig]) -> Result:
        return Result(text="yes")


class Seeing(Chatty):
    type_id = "seeing"
    capabilities = frozenset({Capability.CHAT, Capability.VISION})


ENGINE, SEEING = Chatty(), Seeing()
HTTP = Egress()  # nobody calls
NAMES = ("a", "b", "c", "d", "e")


def connection(name: str, engine: Engine[Any, Any] = ENGINE, **fields: Any) -> Connection:
    return Connection(name=name, engine=engine, config=NoConfig(), http=HTTP, **fields)


def leg(name: str, tier: int = 0, weight: float = 1.0, **fields: Any) -> Leg:
    return Leg(model="m", connection=name, upstream=fields.pop("upstream", "up"), tier=tier, weight=weight, **fields)


def route(legs: Iterable[Leg], **fields: Any) -> Route:
    found = tuple(legs)
    return Route(model="m", connection=found[0].connection, upstream=found[0].upstream, legs=found, **fields)


class Site:
    """A router over connections `a` … `e` and one model."""

    def __init__(self, *legs: Leg, clock: Clock | None = None, **fields: Any) -> None:
        self.clock = clock or Clock()
        self.route = route(legs or [leg(name) for name in NAMES], **fields)
        self.connections = Connections(
            {name: connection(name, SEEING if name == "e" else ENGINE) for name in NAMES}, {"m": self.route}, "m"
        )
        self.seed = 0
        self.router = Router(connections=self.connections, clock=self.clock, entropy=self._entropy)

    def _entropy(self, count: int) -> bytes:
        return self.seed.to_bytes(count)

    def plan(self, affinity: str = "", user: str = "ann", **fields: Any) -> list[str]:
        found = self.router.plan(self.route, user=user, affinity=affinity, **fields)
        return [one.connection for one in found]

    def leg(self, name: str) -> Leg:
        return next(one for one in self.route.legs if one.connection == name)

    def ends(self, name: str, error: PromptExecutionError | None = None, began: float = 0.0) -> None:
        """A call on a leg ends now; it began so many seconds ago."""
        self.router.report(self.leg(name), error, started=self.clock() - began, first=None)

    def rest(self, name: str, seconds: float = 5.0) -> None:
        self.ends(name, RateLimited(retry_after=seconds))

    def states(self) -> dict[str, str]:
        return {name: item.state for name in NAMES for item in self.router.health(name) if item.state != "healthy"}


# ---------------------------------------------------------------- plans


def test_a_model_with_one_leg_has_a_plan_that_costs_nothing() -> None:
    site = Site(leg("a"))
    assert site.router.plan(site.route, user="ann") is site.route.legs
    site.rest("a")
    assert site.plan() == ["a"], "there is nowhere else to go"


@given(
    tiers=st.lists(st.integers(0, 2), min_size=2, max_size=5),
    resting=st.sets(st.sampled_from(NAMES)),
    probing=st.sets(st.sampled_from(NAMES)),
    affinity=st.sampled_from(["", "session"]),
    seed=st.integers(0, 1000),
)
def test_a_plan_has_healthy_legs_only_once_each_and_lower_tiers_first(
    tiers: list[int], resting: set[str], probing: set[str], affinity: str, seed: int
) -> None:
    site = Site(*[leg(name, tier) for name, tier in zip(NAMES, tiers, strict=False)])
    site.seed = seed
    names = [one.connection for one in site.route.legs]
    for name in probing.intersection(names):
        site.rest(name, 1)
    site.clock.now += 2
    for name in resting.intersection(names):
        site.rest(name, 60)
    plan = site.plan(affinity)
    assert 1 <= len(plan) <= 3
    assert len(set(plan)) == len(plan)
    healthy = set(names) - resting - probing
    fit = set(names) - resting
    if fit:
        assert set(plan) <= fit, "a leg that rests was planned while there was another one"
    if healthy:
        assert len(plan) >= min(3, len(healthy))
        order = [site.leg(name).tier for name in plan]
        assert order == sorted(order)
    assert set(plan[1:]) <= healthy, "only the first call of a plan may be a probe"


@pytest.mark.parametrize("shares", [(1.0, 1.0), (8.0, 2.0)])
def test_calls_are_shared_by_weight(shares: tuple[float, float]) -> None:
    site = Site(leg("a", weight=shares[0]), leg("b", weight=shares[1]), leg("c", tier=1))
    first = Counter(site.plan()[0] for _ in range(10_000))
    assert first["a"] / 10_000 == pytest.approx(shares[0] / sum(shares), abs=0.015)
    assert all(site.plan()[2] == "c" for _ in range(10)), "a higher tier comes behind"


def test_the_same_seed_gives_the_same_plans() -> None:
    one, other = Site(), Site()
    assert [one.plan() for _ in range(20)] == [other.plan() for _ in range(20)]


def test_a_higher_tier_is_asked_first_while_all_of_a_lower_one_rest() -> None:
    site = Site(leg("a"), leg("b"), leg("c", tier=1))
    site.rest("a", 10)
    assert site.plan() == ["b", "c"]
    site.rest("b", 10)
    assert site.plan() == ["c"]


def test_where_all_rest_the_one_is_asked_whose_rest_ends_first() -> None:
    site = Site(leg("a"), leg("b"), leg("c", tier=1))
    for name, seconds in (("a", 30), ("b", 10), ("c", 20)):
        site.rest(name, seconds)
    assert site.plan() == ["b"]
    site.ends("b")
    assert site.states() == {"a": "cooling", "c": "cooling"}, "it was well after all"


def test_one_call_finds_out_how_a_leg_does_after_its_rest() -> None:
    site = Site(leg("a"), leg("b", tier=1))
    site.rest("a", 10)
    site.clock.now += 10
    assert site.plan() == ["a", "b"]
    assert [site.plan() for _ in range(50)] == [["b"]] * 50, "one probe at a time"
    site.ends("a", ServiceUnavailable())
    assert site.plan() == ["b"]
    assert site.states() == {"a": "cooling"}
    site.clock.now += 20
    assert site.plan() == ["a", "b"]
    site.ends("a")
    assert [site.plan() for _ in range(3)] == [["a", "b"]] * 3
    assert site.states() == {}


@given(st.text(min_size=1, max_size=8), st.sampled_from(NAMES))
def test_a_session_stays_where_it_is_whatever_other_legs_do(session: str, other: str) -> None:
    site = Site()
    before = site.plan(session)
    assert all(site.plan(session) == before for _ in range(5))
    site.rest(other, 60)
    after = site.plan(session)
    if other != before[0]:
        assert after[0] == before[0]
    else:
        assert after[0] == before[1], "the next one in its own order"
    site.ends(other)
    assert site.plan(session) == before, "it comes back"


def test_when_a_leg_rests_only_its_own_sessions_move_and_to_all_others() -> None:
    site = Site()
    sessions = [f"session-{number}" for number in range(2000)]
    before = {session: site.plan(session)[0] for session in sessions}
    site.rest("a", 60)
    moved = {session: site.plan(session)[0] for session in sessions if site.plan(session)[0] != before[session]}
    assert {before[session] for session in moved} == {"a"}
    assert len(moved) / len(sessions) == pytest.approx(1 / 5, abs=0.03)
    assert set(moved.values()) == {"b", "c", "d", "e"}


def test_users_stay_where_they_are_if_the_model_says_so() -> None:
    free, sticky = Site(), Site(sticky=True)
    assert len({free.plan(user="ann")[0] for _ in range(50)}) > 1
    assert len({sticky.plan(user="ann")[0] for _ in range(50)}) == 1
    assert len({sticky.plan(user=f"user-{number}")[0] for number in range(50)}) == 5
    assert len({sticky.plan(f"session-{number}", user="ann")[0] for number in range(50)}) == 5


def test_only_legs_that_do_what_is_asked_are_planned() -> None:
    site = Site(leg("a"), leg("b", capabilities=frozenset({Capability.EMBEDDING})), leg("e", tier=1))
    assert site.plan() == ["a", "e"]
    assert site.plan(capability=Capability.VISION) == ["e"]
    assert site.plan(capability=Capability.EMBEDDING) == ["b"]
    assert len(site.plan(capability=Capability.SPEECH)) == 3, "somebody has to say that none can"


def test_a_leg_with_a_full_line_is_left_out_while_another_one_is_there() -> None:
    site = Site(leg("a"), leg("b"), leg("c", tier=1))
    site.router.crowded = {"a"}.__contains__
    assert {tuple(site.plan()) for _ in range(20)} == {("b", "c")}
    site.router.crowded = set(NAMES).__contains__
    assert site.plan() == ["a"], "then its line says no"


# ---------------------------------------------------------------- reports


@pytest.mark.parametrize(
    "error",
    [
        InvalidInput(),
        InputTooLarge(),
        UnsupportedInput(),
        ContentFiltered(stage="input"),
        InvalidOutput(),
        ExecutionFailed(),
        Cancelled(),
        None,
    ],
    ids=lambda error: error.code if error is not None else "success",
)
def test_a_fault_of_the_request_says_nothing_against_the_leg(error: PromptExecutionError | None) -> None:
    site = Site()
    for _ in range(50):
        site.ends("a", error)
    assert site.states() == {}
    assert error is None or not site.router.may_fall_back(site.route, error)


@pytest.mark.parametrize("kind", [NetworkError, Timeout, ServiceUnavailable, EngineLost, RateLimited])
def test_failures_in_a_row_begin_a_rest(kind: type[PromptExecutionError]) -> None:
    site = Site()
    for _ in range(2):
        site.ends("a", kind())
        assert site.states() == {}
    site.ends("a", kind())
    assert site.states() == {"a": "cooling"}
    assert site.router.may_fall_back(site.route, kind())


@pytest.mark.parametrize("error", [AuthenticationFailed(), QuotaExceeded(), ServiceUnavailable(retry_after=7)])
def test_some_answers_begin_a_rest_at_once(error: PromptExecutionError) -> None:
    site = Site()
    site.ends("a", error)
    assert site.states() == {"a": "cooling"}
    assert all(item.state == "healthy" for item in site.router.health("b"))
    (item,) = site.router.health("a")
    assert item == LegHealth("a", "up", "cooling", site.clock() + (error.retry_after or 5))
    assert site.router.may_fall_back(site.route, error)


@pytest.mark.parametrize("kind", [PermissionDenied, ResourceNotFound])
def test_what_a_service_may_say_of_a_single_request_is_asked_elsewhere_and_does_not_count(
    kind: type[PromptExecutionError],
) -> None:
    site = Site()
    for _ in range(50):
        site.ends("a", kind())
    assert site.states() == {}
    assert site.router.may_fall_back(site.route, kind())


def test_other_models_of_a_connection_need_no_rest() -> None:
    site = Site(leg("a", upstream="large"), leg("a", tier=1, upstream="small"))
    site.ends("a", RateLimited(retry_after=9))
    plan = site.router.plan(site.route, user="ann")
    assert [(one.connection, one.upstream) for one in plan] == [("a", "small")]


def test_a_prompt_that_is_too_long_or_refused_falls_back_only_where_the_model_says_so() -> None:
    plain, careful = Site(), Site(fallback_on=frozenset(Cause))
    for error in (InputTooLarge(), ContentFiltered(stage="input"), ContentFiltered()):
        assert not plain.router.may_fall_back(plain.route, error)
        assert careful.router.may_fall_back(careful.route, error)


def test_the_cooldown_is_the_connections_own() -> None:
    site = Site()
    rules = Cooldown(failures=1, seconds=77)
    site.connections.configure({"a": connection("a", cooldown=rules), "b": connection("b")}, {"m": site.route}, "m")
    site.ends("a", NetworkError())
    site.ends("b", NetworkError())
    assert [(item.state, item.until) for item in site.router.health("a")] == [("cooling", site.clock() + 77)]
    assert site.states() == {"a": "cooling"}


def test_a_reload_keeps_what_is_known_of_connections_that_stay_as_they_are() -> None:
    site = Site(leg("a"), leg("b"), leg("c"))
    for name in ("a", "b", "c"):
        site.rest(name, 60)
    assert site.states() == dict.fromkeys("abc", "cooling")
    site.connections.configure({"a": connection("a"), "b": connection("b", slots=9)}, {"m": site.route}, "m")
    assert site.states() == {"a": "cooling"}
    assert site.plan() == ["b"] or site.plan() == ["c"]


def test_a_late_word_about_a_connection_that_changed_does_no_harm() -> None:
    site = Site(leg("a"), leg("b"))
    site.rest("a", 60)
    site.connections.configure({"a": connection("a", slots=9)}, {"m": site.route}, "m")
    site.ends("a")
    site.ends("b", NetworkError())
    assert site.states() == {}


def test_names_that_callers_make_up_take_a_bounded_memory() -> None:
    site = Site()
    for number in range(10_000):
        made_up = leg("a", upstream=f"model-{number}")
        site.router.report(made_up, NetworkError(), started=site.clock(), first=None)
        site.router.plan(route([made_up, leg("b")]), user="ann")
    assert len(site.router.health("a")) <= 5000


# ---------------------------------------------------------------- stored prompts


def stored(lane: str, *, arm: str = "", model: str = "m") -> Prompt:
    return Prompt(id="prm-1", model=model, lane=lane, user="ann", request=Request(), created=0.0, arm=arm)


def test_a_failed_prompt_waits_in_another_lane_if_there_is_a_healthy_one() -> None:
    site = Site(leg("a"), leg("b", tier=1), leg("c", tier=2))
    assert site.router.lane_after(stored("a"), NetworkError()) == "b"
    assert site.router.lane_after(stored("b"), NetworkError()) == "a"
    assert site.router.lane_after(stored("a"), InvalidInput()) == "a", "it would fail there too"
    site.rest("b", 60)
    assert site.router.lane_after(stored("a"), NetworkError()) == "c"
    site.rest("c", 60)
    assert site.router.lane_after(stored("a"), NetworkError()) == "a", "nobody else is well"
    assert site.router.lane_after(stored("a", model="gone"), NetworkError()) == "a"


def test_a_prompt_whose_connection_is_gone_goes_on_where_its_model_is_now() -> None:
    site = Site(leg("a"))
    assert site.router.lane_after(stored("gone"), HandlerUnavailable()) == "a"
    assert site.router.lane_after(stored("a"), HandlerUnavailable()) == "a"


def test_choosing_a_lane_is_no_probe() -> None:
    site = Site(leg("a"), leg("b", tier=1))
    site.rest("b", 5)
    site.clock.now += 6
    assert site.router.lane_after(stored("a"), NetworkError()) == "b"
    assert site.router.lane_after(stored("a"), NetworkError()) == "b"


def test_a_stored_prompt_runs_on_the_leg_of_its_lane_a_healthy_one_where_there_are_two() -> None:
    site = Site(leg("a", upstream="large"), leg("b"), leg("a", tier=1, upstream="small"))

    def upstream(lane: str) -> str:
        found = site.router.leg(stored(lane))
        return f"{found.connection}/{found.upstream}" if found is not None else ""

    assert (upstream("a"), upstream("b"), upstream("elsewhere")) == ("a/large", "b/up", "a/large")
    site.ends("a", QuotaExceeded())
    assert upstream("a") == "a/small"
    assert site.router.leg(stored("a", model="gone")) is None


# ---------------------------------------------------------------- splits


def test_a_user_stays_on_one_side_of_a_split_now_and_when_the_prompt_runs() -> None:
    sides = {name: route([leg(name)]) for name in ("a", "b")}
    arms = tuple(Arm(name=f"side-{name}", weight=1, route=side) for name, side in sides.items())
    site = Site(leg("a"), leg("b"), arms=arms)
    found = {user: site.router.arm(site.route, user) for user in (f"user-{number}" for number in range(100))}
    assert Counter(name for _, name in found.values()).keys() == {"side-a", "side-b"}
    for user, (side, name) in found.items():
        assert site.router.arm(site.route, user) == (side, name)
        assert side is sides[name.removeprefix("side-")]
        assert site.router.route(stored("a", arm=name)) is side
    sessions = {site.router.arm(site.route, "ann", f"session-{number}")[1] for number in range(50)}
    assert sessions == {"side-a", "side-b"}
    assert site.router.arm(sides["a"], "ann") == (sides["a"], "")
    assert site.router.route(stored("a", arm="gone")) is site.route


# ---------------------------------------------------------------- names


def test_names_that_fit_a_pattern_are_remembered_but_not_for_ever() -> None:
    site = Site()
    pattern = Route(model="gpt-*", connection="a", upstream="gpt-*")
    site.connections.configure({"a": connection("a")}, {"m": site.route, "gpt-*": pattern}, "m")
    found = site.connections.resolve("gpt-4o")
    assert (found.model, found.upstream) == ("gpt-4o", "gpt-4o")
    assert site.connections.resolve("gpt-4o") is found
    assert [model.name for model in site.connections.models()] == ["m"], "a pattern is no model"
    assert [model.name for model in site.connections.status("a")] == ["m", "gpt-4o"]
    for number in range(3000):
        site.connections.resolve(f"gpt-{number}")
    assert len(site.connections.status("a")) <= 1100
    with pytest.raises(UnknownModel):
        site.connections.resolve("claude")


def test_a_model_is_as_ready_as_the_best_of_its_legs_and_does_what_any_of_them_does() -> None:
    site = Site(leg("a"), leg("e", tier=1))
    (model,) = site.connections.models()
    assert (model.connection, model.engine, model.status) == ("a", "chatty", "ready")
    assert model.capabilities == (Capability.CHAT, Capability.VISION)
    assert [known.name for known in site.connections.status("e")] == ["m"]
    assert site.connections.supports(site.route, Capability.VISION)
    site.connections.configure({"b": connection("b")}, {"m": site.route}, "m")
    assert [known.status for known in site.connections.models()] == ["unavailable"]
    assert not site.connections.supports(site.route, Capability.CHAT)
