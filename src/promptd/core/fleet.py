"""Which local models hold memory: decided from what their lanes need, within one budget.

A lane is *local* where its model takes this machine's memory, once for each replica. Lanes that want memory get it in the
order in which they began to want it. To make room, idle models go first, then replicas beyond the minimum, then models
whose turn is over: a model with work keeps its memory for 30 s or 64 prompts while another lane waits. A caller who asks
again at once finds it still there, because it is not idle before half a second.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

TURN_SECONDS: Final = 30.0
TURN_PROMPTS: Final = 64
LINGER_SECONDS: Final = 0.5  # without work for so long, it is idle; a swap takes longer than that
GROW_SECONDS: Final = 2.0  # a backlog lasts so long before it gets another replica
SPARE_SECONDS: Final = 30.0  # a replica that nobody needs is kept so long, unless the settings say otherwise


class Local(Struct, frozen=True, kw_only=True):
    """One local lane. Times are seconds of one clock; those with None begin when their condition does."""

    name: str
    size: int  #: bytes that one replica takes
    slots: int = 1  #: prompts that one replica runs at once
    least: int = 1  #: replicas that a loaded model has at least
    most: int = 1
    pinned: bool = False  #: loaded at the start, and never unloaded
    target: int = 0  #: replicas decided on
    taken: int = 0  #: replicas that take memory: those of `target`, and those that are still leaving
    changing: bool = False  #: the way to `target` is under way; until its end no other target is chosen
    busy: int = 0  #: prompts that have a slot, or wait at the gate with one
    waiting: int = 0  #: prompts that wait for a slot, as far as it is known
    stopped: bool = False  #: the engine let the model go by itself
    ended: int = 0  #: prompts that ended here
    mark: int = 0  #: `ended` at the beginning of the turn
    loaded: float = 0.0  #: when it got its memory
    wanted: float | None = None  #: without memory, and wants it
    idle: float | None = None  #: has no work
    short: float | None = None  #: has work for more replicas
    spare: float | None = None  #: has more replicas than work for them
    barred: float = 0.0  #: until then no more replicas, because the last one could not be started

    @property
    def works(self) -> bool:
        return self.busy + self.waiting > 0

    @property
    def needed(self) -> int:
        """Replicas for the present work."""
        return min(max(-(-(self.busy + self.waiting) // self.slots), self.least), self.most)

    @property
    def need(self) -> int:
        """Bytes without which it can't be loaded."""
        return self.size * self.least


class Seen(Struct, frozen=True, kw_only=True):
    """What a look at a lane tells; the meanings are those of `Local`."""

    busy: int = 0
    waiting: int = 0
    ended: int = 0
    stopped: bool = False


class Plan(Struct, frozen=True, kw_only=True):
    """How it should be. A plan that has been carried out is its own next plan."""

    targets: Mapping[str, int]  #: replicas of each lane
    held: frozenset[str] = frozenset()  #: lanes that take nothing on, because their memory goes to another one
    again: float | None = None  #: when the passing of time alone makes another plan


def observe(lanes: Iterable[Local], seen: Mapping[str, Seen], budget: int, now: float) -> tuple[Local, ...]:
    """The lanes as they are by now."""
    looked = [_observe(lane, seen[lane.name], now) for lane in lanes]
    hopeless = unfit(looked, budget)
    if any(lane.wanted is not None and lane.name not in hopeless for lane in looked):
        return tuple(looked)
    return tuple(replace(lane, mark=lane.ended) for lane in looked)


def changed(lane: Local, target: int, now: float) -> Local:
    """The lane on its way to another number of replicas. Memory that it gets is taken at once."""
    if lane.target == 0:
        lane = replace(lane, loaded=now, mark=lane.ended)
    return replace(
        lane,
        target=target,
        taken=max(lane.taken, target),
        changing=True,
        wanted=None,
        short=None,
        spare=None,
    )


def arrived(lane: Local, replicas: int | None = None, *, barred: float = 0.0) -> Local:
    """The lane at the end of the way, which may have ended at fewer `replicas` than it should."""
    reached = lane.target if replicas is None else replicas
    return replace(lane, target=reached, taken=reached, changing=False, barred=max(lane.barred, barred))


def unfit(lanes: Iterable[Local], budget: int) -> dict[str, int]:
    """Lanes that can never be loaded, with the bytes that there are for each beside the pinned ones."""
    found: dict[str, int] = {}
    room = budget
    for lane in sorted(lanes, key=lambda lane: not lane.pinned):
        if lane.need > room:
            found[lane.name] = room
        elif lane.pinned:
            room -= lane.need
    return found


def plan(lanes: Sequence[Local], budget: int, now: float, spare_seconds: float = SPARE_SECONDS) -> Plan:
    """Decide who has memory. Never gives more than `budget` bytes, nor takes anything from below a pinned minimum.

    A replica that nobody needs is kept for `spare_seconds`.
    """
    draft = _Draft(lanes, budget, now)
    blocked = draft.load()
    draft.make_room(blocked)
    if blocked is None:
        draft.grow()
    draft.shrink(spare_seconds)
    times = [time for time in draft.times if time > now]
    return Plan(targets=draft.targets, held=frozenset(draft.held), again=min(times, default=None))


class _Draft:
    """A plan in the making."""

    def __init__(self, lanes: Sequence[Local], budget: int, now: float) -> None:
        self.lanes, self.now = lanes, now
        self.hopeless = unfit(lanes, budget)
        self.targets = {lane.name: lane.target for lane in lanes}
        self.held: set[str] = set()
        self.times: list[float] = []
        self.free = budget - sum(lane.size * lane.taken for lane in lanes)
        self.leaving = sum(lane.size * (lane.taken - lane.target) for lane in lanes)  #: will be free
        for lane in lanes:
            if lane.stopped and self._loaded(lane) and not lane.pinned and not lane.works:
                self._lower(lane, 0)

    def load(self) -> Local | None:
        """Give free memory in turn; the first lane for which there is not enough. Nobody passes it."""
        wanting = [lane for lane in self.lanes if lane.wanted is not None and not lane.changing]
        for lane in sorted(wanting, key=lambda lane: (not lane.pinned, lane.wanted)):
            if lane.name in self.hopeless:
                continue
            if lane.need > self.free:
                return lane
            self.targets[lane.name] = lane.least
            self.free -= lane.need
        return None

    def make_room(self, blocked: Local | None) -> None:
        """Take memory from others, as soon as those who may lose theirs have enough of it."""
        missing = (blocked.need if blocked else 0) - self.free - self.leaving
        if missing <= 0:
            return
        loaded = [lane for lane in self.lanes if self._loaded(lane)]
        idle = [lane for lane in loaded if not lane.pinned and self._idle(lane, LINGER_SECONDS)]
        rest = [lane for lane in loaded if lane not in idle]
        over = [lane for lane in rest if not lane.pinned and self._turn_over(lane, blocked)]
        offers = [
            *((lane, 0, lane.size * lane.target) for lane in sorted(idle, key=lambda lane: lane.idle or 0.0)),
            *((lane, lane.least, lane.size * (lane.target - lane.least)) for lane in rest),
            *((lane, 0, lane.need) for lane in sorted(over, key=lambda lane: (lane.works, lane.loaded))),
        ]
        chosen = []
        gain = 0
        for offer in offers:
            if gain < missing and offer[2] > 0:
                chosen.append(offer)
                gain += offer[2]
        if gain < missing:
            return
        for offer in tuple(chosen):
            lane, target, bytes_ = offer
            if gain - bytes_ >= missing:  # a later, larger one made it needless
                gain -= bytes_
            elif target == 0 and lane.busy:
                self.held.add(lane.name)
            else:
                self._lower(lane, target)

    def grow(self) -> None:
        """More replicas where work has been waiting for them; long idle models make room for these too."""
        for lane in self.lanes:
            if not self._loaded(lane) or lane.short is None or lane.target >= lane.most:
                continue
            due = max(lane.short + GROW_SECONDS, lane.barred)
            if due > self.now:
                self.times.append(due)
            elif lane.size <= self.free:
                self.targets[lane.name] = lane.target + 1
                self.free -= lane.size
            elif lane.size > self.free + self.leaving:
                self._evict_idle(lane.size)

    def shrink(self, seconds: float) -> None:
        """Fewer replicas where some have had nothing to do for so long."""
        for lane in self.lanes:
            if self._loaded(lane) and lane.spare is not None and lane.target > lane.least:
                due = lane.spare + seconds
                if due > self.now:
                    self.times.append(due)
                else:
                    self._lower(lane, lane.target - 1)

    def _evict_idle(self, bytes_: int) -> None:
        loaded = [lane for lane in self.lanes if self._loaded(lane) and not lane.pinned]
        idle = [lane for lane in loaded if self._idle(lane, TURN_SECONDS)]
        chosen = []
        gain = self.free + self.leaving
        for lane in sorted(idle, key=lambda lane: lane.idle or 0.0):
            if gain < bytes_:
                chosen.append(lane)
                gain += lane.size * lane.target
        if gain >= bytes_:
            for lane in chosen:
                self._lower(lane, 0)

    def _idle(self, lane: Local, seconds: float) -> bool:
        """Whether it has had no work for so long."""
        if lane.idle is None:
            return False
        end = lane.idle + seconds
        if end > self.now:
            self.times.append(end)
        return end <= self.now

    def _turn_over(self, lane: Local, blocked: Local | None) -> bool:
        if blocked is None or lane.ended - lane.mark >= TURN_PROMPTS:
            return True
        end = max(lane.loaded, blocked.wanted or 0.0) + TURN_SECONDS
        if end > self.now:
            self.times.append(end)
        return end <= self.now

    def _loaded(self, lane: Local) -> bool:
        """Whether it has memory that this plan may still take or add to."""
        return not lane.changing and lane.target > 0 and self.targets[lane.name] == lane.target

    def _lower(self, lane: Local, target: int) -> None:
        self.leaving += lane.size * (self.targets[lane.name] - target)
        self.targets[lane.name] = target


def _observe(lane: Local, seen: Seen, now: float) -> Local:
    lane = replace(lane, busy=seen.busy, waiting=seen.waiting, ended=seen.ended, stopped=seen.stopped)
    loaded = lane.target > 0

    def since(known: float | None, holds: bool) -> float | None:
        return None if not holds else now if known is None else known

    return replace(
        lane,
        wanted=since(lane.wanted, not loaded and (lane.works or lane.pinned)),
        idle=since(lane.idle, not lane.works),
        short=since(lane.short, loaded and lane.needed > lane.target),
        spare=since(lane.spare, loaded and lane.needed < lane.target),
    )
