"""Who has memory: each rule by itself, and all of them over the whole life of a simulated machine."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from promptd.core.fleet import (
    GROW_SECONDS,
    LINGER_SECONDS,
    SPARE_SECONDS,
    TURN_PROMPTS,
    TURN_SECONDS,
    Local,
    Plan,
    Seen,
    arrived,
    changed,
    observe,
    plan,
    unfit,
)

NOW = 1000.0


def loaded(name: str, size: int = 1, *, replicas: int = 1, since: float = NOW, **fields: object) -> Local:
    return Local(name=name, size=size, target=replicas, taken=replicas, loaded=since, **fields)  # type: ignore[arg-type]


def wanting(name: str, size: int = 1, *, since: float = NOW, **fields: object) -> Local:
    return Local(name=name, size=size, wanted=since, waiting=1, **fields)  # type: ignore[arg-type]


def targets(lanes: Sequence[Local], budget: int, now: float = NOW) -> Mapping[str, int]:
    return plan(lanes, budget, now).targets


def settle(lanes: Sequence[Local], decided: Plan, now: float) -> tuple[Local, ...]:
    """The lanes after the plan was carried out."""
    return tuple(
        arrived(changed(lane, decided.targets[lane.name], now)) if decided.targets[lane.name] != lane.target else lane
        for lane in lanes
    )


# ---------------------------------------------------------------- each rule


def test_free_memory_goes_to_whoever_began_to_want_it_first() -> None:
    lanes = [wanting("late", since=NOW), wanting("early", since=NOW - 5), wanting("third", since=NOW - 1)]
    assert targets(lanes, 2) == {"late": 0, "early": 1, "third": 1}


def test_nobody_passes_the_first_in_line() -> None:
    """Small ones that come later would keep a large one waiting for ever."""
    lanes = [loaded("works", 5, busy=1), wanting("large", 8, since=NOW - 1), wanting("small", 1)]
    assert targets(lanes, 10) == {"works": 1, "large": 0, "small": 0}


def test_pinned_models_are_loaded_before_anybody_asks_and_first() -> None:
    lanes = [wanting("asked", since=NOW - 100), Local(name="kept", size=1, pinned=True, wanted=NOW)]
    assert targets(lanes, 1) == {"asked": 0, "kept": 1}


def test_the_longest_idle_model_makes_room() -> None:
    lanes = [loaded("a", idle=NOW - 10), loaded("b", idle=NOW - 20), wanting("c")]
    assert targets(lanes, 2) == {"a": 1, "b": 0, "c": 0}


def test_idle_models_stay_while_nobody_wants_their_memory() -> None:
    lanes = [loaded("a", idle=NOW - 100_000), wanting("b")]
    assert targets(lanes, 2) == {"a": 1, "b": 1}


def test_no_idle_model_goes_before_there_is_enough_with_it() -> None:
    lanes = [loaded("idle", 2, idle=NOW - 50), loaded("works", 8, busy=1), wanting("large", 9)]
    decided = plan(lanes, 10, NOW)
    assert decided.targets == {"idle": 1, "works": 1, "large": 0}
    assert decided.again == NOW + TURN_SECONDS
    later = plan(lanes, 10, NOW + TURN_SECONDS)
    assert later.held == {"works"}
    assert later.targets["idle"] == 0


def test_no_more_goes_than_is_needed() -> None:
    lanes = [loaded("small", 2, idle=NOW - 50), loaded("large", 8, idle=NOW - 10), wanting("c", 8)]
    assert targets(lanes, 10) == {"small": 1, "large": 0, "c": 0}


def test_what_is_leaving_counts_as_room_to_come() -> None:
    leaving = Local(name="leaving", size=8, taken=1, changing=True)
    lanes = [leaving, loaded("idle", 8, idle=NOW - 50), wanting("c", 8)]
    assert targets(lanes, 18) == {"leaving": 0, "idle": 1, "c": 0}


def test_a_model_the_engine_let_go_is_given_up() -> None:
    assert targets([loaded("a", stopped=True, idle=NOW)], 1) == {"a": 0}
    assert targets([loaded("a", stopped=True, busy=1)], 1) == {"a": 1}  # its calls are about to start it
    assert targets([loaded("a", stopped=True, idle=NOW, pinned=True)], 1) == {"a": 1}


def test_a_model_with_work_keeps_its_turn() -> None:
    works, waits = loaded("a", busy=1, waiting=5, since=NOW - 500), wanting("b", since=NOW)
    assert plan([works, waits], 1, NOW + TURN_SECONDS - 0.1).held == frozenset()
    assert plan([works, waits], 1, NOW + TURN_SECONDS).held == {"a"}
    assert plan([replace(works, loaded=NOW + 10), waits], 1, NOW + TURN_SECONDS).held == frozenset()


def test_a_turn_is_over_after_so_many_prompts() -> None:
    for ended, held in ((TURN_PROMPTS - 1, frozenset[str]()), (TURN_PROMPTS, frozenset({"a"}))):
        assert plan([loaded("a", busy=1, ended=7 + ended, mark=7), wanting("b")], 1, NOW).held == held


def test_prompts_count_for_the_turn_from_when_another_lane_waits() -> None:
    lanes = [loaded("a"), Local(name="b", size=1)]
    calm = observe(lanes, {"a": Seen(busy=1, ended=100), "b": Seen()}, 1, NOW)
    assert calm[0].mark == 100
    tense = observe(calm, {"a": Seen(busy=1, ended=130), "b": Seen(waiting=1)}, 1, NOW)
    assert (tense[0].mark, tense[0].ended) == (100, 130)
    hopeless = observe(calm, {"a": Seen(busy=1, ended=130), "b": Seen(waiting=1)}, 0, NOW)
    assert hopeless[0].mark == 130


def test_a_model_lingers_for_who_asks_again() -> None:
    lanes = [loaded("a", idle=NOW), wanting("b")]
    decided = plan(lanes, 1, NOW)
    assert (decided.targets["a"], decided.again) == (1, NOW + LINGER_SECONDS)
    assert targets(lanes, 1, NOW + LINGER_SECONDS)["a"] == 0


def test_a_held_model_goes_once_its_prompts_have_ended() -> None:
    lanes = [loaded("a", busy=2, waiting=3), wanting("b")]
    assert targets(lanes, 1, NOW + 60) == {"a": 1, "b": 0}
    assert targets([replace(lanes[0], busy=0), lanes[1]], 1, NOW + 60) == {"a": 0, "b": 0}


def test_a_change_under_way_stands() -> None:
    lanes = [replace(loaded("a", idle=NOW - 100), changing=True), wanting("b")]
    assert targets(lanes, 1) == {"a": 1, "b": 0}


def test_replicas_come_while_a_backlog_lasts_and_memory_allows() -> None:
    short = loaded("a", slots=2, most=3, busy=2, waiting=7, short=NOW)
    assert plan([short], 9, NOW + 1).again == NOW + GROW_SECONDS
    assert targets([short], 9, NOW + GROW_SECONDS) == {"a": 2}
    assert targets([short], 1, NOW + GROW_SECONDS) == {"a": 1}
    assert targets([replace(short, barred=NOW + 60)], 9, NOW + GROW_SECONDS) == {"a": 1}
    assert targets([replace(short, target=3, taken=3, short=None)], 9, NOW + 99) == {"a": 3}


def test_a_replica_takes_no_memory_that_another_model_waits_for() -> None:
    lanes = [loaded("a", busy=1, waiting=9, most=3, short=NOW - 60), wanting("b", 3)]
    assert targets(lanes, 3) == {"a": 1, "b": 0}


def test_a_long_idle_model_makes_room_for_a_replica() -> None:
    busy = loaded("a", busy=1, waiting=9, most=2, short=NOW - 60)
    assert targets([busy, loaded("b", idle=NOW - TURN_SECONDS)], 2) == {"a": 1, "b": 0}
    assert targets([busy, loaded("b", idle=NOW - 1)], 2) == {"a": 1, "b": 1}


def test_replicas_beyond_the_minimum_go_first_when_another_model_waits() -> None:
    lanes = [loaded("a", replicas=3, least=2, most=4, busy=3), wanting("b")]
    assert targets(lanes, 3) == {"a": 2, "b": 0}


def test_a_spare_replica_goes_after_a_while() -> None:
    spare = loaded("a", replicas=3, least=1, most=3, busy=1, spare=NOW)
    assert plan([spare], 9, NOW + 1).again == NOW + SPARE_SECONDS
    assert targets([spare], 9, NOW + SPARE_SECONDS) == {"a": 2}
    assert plan([spare], 9, NOW + 1, 3.0).again == NOW + 3
    assert plan([spare], 9, NOW + 3, 3.0).targets == {"a": 2}


def test_a_smaller_budget_is_kept_at_once() -> None:
    lanes = [loaded("a", 5, busy=1), loaded("b", 5, idle=NOW)]
    assert targets(lanes, 5) == {"a": 1, "b": 0}
    assert plan([lanes[0]], 4, NOW).held == {"a"}


def test_what_can_never_be_loaded_is_named_with_the_room_there_is() -> None:
    lanes = [Local(name="large", size=8), Local(name="kept", size=3, pinned=True), Local(name="small", size=7)]
    assert unfit(lanes, 10) == {"large": 7}
    twice = [Local(name="one", size=6, pinned=True), Local(name="two", size=6, pinned=True)]
    assert unfit(twice, 10) == {"two": 4}


def test_the_end_of_a_change_can_be_less_than_was_decided() -> None:
    growing = changed(loaded("a", most=2), 2, NOW)
    assert (growing.target, growing.taken, growing.changing) == (2, 2, True)
    ended = arrived(growing, 1, barred=NOW + 60)
    assert (ended.target, ended.taken, ended.changing, ended.barred) == (1, 1, False, NOW + 60)
    shrinking = changed(ended, 0, NOW)
    assert (shrinking.target, shrinking.taken) == (0, 1)


# ---------------------------------------------------------------- a simulated machine

LOAD_SECONDS, LEAVE_SECONDS, LONGEST = 3.0, 1.0, 2.0
STEP = 0.5


class Machine:
    """Lanes with prompts that come and take their time; decisions take theirs, too. Each step checks every promise."""

    def __init__(self, lanes: Sequence[Local], budget: int) -> None:
        self.lanes, self.budget, self.now = tuple(lanes), budget, 0.0
        self.line: dict[str, deque[float]] = {lane.name: deque() for lane in lanes}
        self.running: dict[str, list[float]] = {lane.name: [] for lane in lanes}
        self.ended = {lane.name: 0 for lane in lanes}
        self.usable = {lane.name: 0 for lane in lanes}
        self.changes: dict[str, float] = {}
        self.held: frozenset[str] = frozenset()
        self.swaps = 0

    def step(self) -> None:
        self.now += STEP
        for name, until in list(self.changes.items()):
            if until <= self.now and not self._occupied(name):
                del self.changes[name]
                self.lanes = tuple(arrived(lane) if lane.name == name else lane for lane in self.lanes)
                self.usable[name] = self._lane(name).target
        for lane in self.lanes:
            over = [end for end in self.running[lane.name] if end <= self.now]
            self.ended[lane.name] += len(over)
            self.running[lane.name] = [end for end in self.running[lane.name] if end > self.now]
        self._decide()
        for lane in self.lanes:
            slots = 0 if lane.name in self.held else self.usable[lane.name] * lane.slots
            while self.line[lane.name] and len(self.running[lane.name]) < slots:
                self.running[lane.name].append(self.now + self.line[lane.name].popleft())

    def _decide(self) -> None:
        before = observe(self.lanes, {lane.name: self._seen(lane) for lane in self.lanes}, self.budget, self.now)
        decided = plan(before, self.budget, self.now)
        self._check(before, decided)
        self.held = decided.held
        after = []
        for lane in before:
            target = decided.targets[lane.name]
            if target != lane.target:
                self.swaps += target == 0
                self.usable[lane.name] = min(target, max(lane.target, 1))
                self.changes[lane.name] = self.now + (LOAD_SECONDS if target > lane.target else LEAVE_SECONDS)
                lane = changed(lane, target, self.now)
            after.append(lane)
        self.lanes = tuple(after)
        # what was decided stands: a second look at the same moment finds nothing to do
        again = observe(self.lanes, {lane.name: self._seen(lane) for lane in self.lanes}, self.budget, self.now)
        assert plan(again, self.budget, self.now).targets == decided.targets

    def _check(self, lanes: Sequence[Local], decided: Plan) -> None:
        used = sum(lane.size * max(lane.taken, decided.targets[lane.name]) for lane in lanes)
        assert used <= self.budget
        waits = [lane.wanted for lane in lanes if lane.wanted is not None]
        for lane in lanes:
            target = decided.targets[lane.name]
            assert target == 0 or lane.least <= target <= lane.most
            if lane.pinned and lane.target:
                assert target >= lane.least
            if lane.changing:
                assert target == lane.target
            if lane.target and not lane.changing and (target == 0 or lane.name in decided.held):
                turn = self.now - max(lane.loaded, min(waits, default=0.0))
                over = turn >= TURN_SECONDS or lane.ended - lane.mark >= TURN_PROMPTS
                assert over or (lane.idle is not None and self.now - lane.idle >= LINGER_SECONDS)
            if lane.wanted is not None and lane.name not in unfit(lanes, self.budget):
                others = len(lanes)
                longest = others * (TURN_SECONDS + SPARE_SECONDS + LONGEST + LOAD_SECONDS + LEAVE_SECONDS + 4 * STEP)
                assert self.now - lane.wanted <= longest

    def _seen(self, lane: Local) -> Seen:
        return Seen(busy=len(self.running[lane.name]), waiting=len(self.line[lane.name]), ended=self.ended[lane.name])

    def _occupied(self, name: str) -> bool:
        """A replica that is leaving ends its prompts first."""
        lane = self._lane(name)
        return lane.target < lane.taken and len(self.running[name]) > lane.target * lane.slots

    def _lane(self, name: str) -> Local:
        return next(lane for lane in self.lanes if lane.name == name)


@st.composite
def machines(draw: st.DrawFn) -> Machine:
    budget = draw(st.integers(4, 20))
    lanes = []
    for index in range(draw(st.integers(1, 4))):
        least = draw(st.integers(1, 2))
        lanes.append(
            Local(
                name="abcd"[index],
                size=draw(st.integers(1, 8)),
                slots=draw(st.integers(1, 3)),
                least=least,
                most=least + draw(st.integers(0, 2)),
                pinned=draw(st.booleans()) and draw(st.booleans()),
            )
        )
    return Machine(lanes, budget)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(machine=machines(), data=st.data())
def test_every_promise_holds_at_every_moment(machine: Machine, data: st.DataObject) -> None:
    """Budget, pins, bounds, turns, no starvation, and a plan that stands once it was made."""
    arrivals = st.lists(
        st.tuples(st.sampled_from([lane.name for lane in machine.lanes]), st.integers(1, 30), st.integers(1, 12)),
        max_size=4,
    )
    for _ in range(data.draw(st.integers(1, 3))):
        for name, count, length in data.draw(arrivals):
            machine.line[name].extend([min(length * STEP, LONGEST)] * count)
        for _ in range(data.draw(st.integers(1, 60))):
            machine.step()
    hopeless = unfit(machine.lanes, machine.budget)
    for _ in range(4000):
        if not any(line for name, line in machine.line.items() if name not in hopeless):
            break
        machine.step()
    assert not any(line for name, line in machine.line.items() if name not in hopeless), "something never ran"


def test_alternating_prompts_are_grouped() -> None:
    machine = Machine([Local(name=name, size=1, slots=2) for name in "abc"], 1)
    for _ in range(40):
        for name in "abc":
            machine.line[name].append(1.0)
    steps = 0
    while any(machine.line.values()):
        machine.step()
        steps += 1
    assert sum(machine.ended.values()) + sum(map(len, machine.running.values())) == 120
    assert machine.swaps == 2
    assert steps * STEP < 120
