"""Prompts, threads and settlements for the exams of stores, with everything that does not matter filled in."""

from __future__ import annotations

from typing import Any, Final, Protocol

from promptd.core.content import Turn
from promptd.core.filters import Filter, Order, Query
from promptd.core.lifecycle import Move
from promptd.core.model import Answer, Attempt, Failure, Message, Outcome, Prompt, Request, Thread, Usage
from promptd.core.ports import Ledger, Queue, Records, Settlement

NOW: Final = 1_900_000_000.0
LANE: Final = "lane"

_OUTCOMES: Final = {
    Move.COMPLETE: Outcome.COMPLETED,
    Move.FAIL: Outcome.ERRORED,
    Move.GIVE_UP: Outcome.ERRORED,
    Move.CANCEL: Outcome.CANCELED,
    Move.HAND_BACK: Outcome.HANDED_BACK,
}


class Store(Protocol):
    """What an exam of a store works on. After `reopen` the ports may be other objects: read them anew each time."""

    @property
    def queue(self) -> Queue: ...

    @property
    def records(self) -> Records: ...

    @property
    def ledger(self) -> Ledger: ...

    async def reopen(self) -> None:
        """Close the store and open it again on the same data, as a restart does."""


def make_prompt(identifier: str, **changes: Any) -> Prompt:
    fields: dict[str, Any] = {
        "id": identifier,
        "model": "model",
        "lane": LANE,
        "user": "ann",
        "request": Request(messages=(Turn("user", f"text of {identifier}"),)),
        "created": NOW,
        "updated": NOW,
    }
    return Prompt(**(fields | changes))


def make_thread(identifier: str, *members: str) -> Thread:
    everybody = members or ("ann",)
    return Thread(id=identifier, user=everybody[0], members=everybody, created=NOW, updated=NOW, title="a title")


def make_message(identifier: str, prompt: Prompt, **changes: Any) -> Message:
    fields: dict[str, Any] = {
        "id": identifier,
        "thread": prompt.thread,
        "prompt": prompt.id,
        "role": "user",
        "created": NOW,
        "updated": NOW,
        "text": f"text of {identifier}",
        "user": prompt.user,
    }
    return Message(**(fields | changes))


def make_attempt(prompt: Prompt, outcome: Outcome = Outcome.COMPLETED, *, now: float = NOW) -> Attempt:
    return Attempt(
        prompt=prompt.no,
        run=prompt.runs,
        engine="exam",
        connection=prompt.lane,
        model="upstream",
        started=prompt.started or now,
        first_token=now,
        finished=now,
        outcome=outcome,
        usage=Usage(3, 5, 1),
        cost=7,
    )


def settlement(prompt: Prompt, move: Move, *, now: float = NOW, **changes: Any) -> Settlement:
    """The end of `prompt`'s running attempt; a FAIL is due one second later unless told otherwise."""
    fields: dict[str, Any] = {
        "prompt": prompt,
        "move": move,
        "attempt": make_attempt(prompt, _OUTCOMES[move], now=now),
        "now": now,
    }
    if move is Move.COMPLETE:
        fields["answer"] = Answer(f"answer-{prompt.no}-{prompt.runs}", f"answer to {prompt.id}", usage=Usage(3, 5, 1))
    elif move in (Move.FAIL, Move.GIVE_UP):
        fields["error"] = Failure("network_error", "the line is dead")
        fields["due"] = now + 1 if move is Move.FAIL else None
    return Settlement(**(fields | changes))


async def add(store: Store, identifier: str, *, now: float = NOW, start: bool = False, **changes: Any) -> Prompt:
    """Add a prompt with `changes`, and its thread where it names one; the stored prompt."""
    prompt = make_prompt(identifier, **changes)
    thread = make_thread(prompt.thread, prompt.user) if prompt.thread is not None else None
    return (await store.queue.add(prompt, now=now, start=start, thread=thread)).prompt


async def claim(
    store: Store, count: int = 1, *, lane: str = LANE, now: float = NOW, fair_only: bool = False
) -> list[Prompt]:
    return list((await store.queue.claim(lane, count, now=now, fair_only=fair_only)).prompts)


async def complete(store: Store, prompt: Prompt, *, now: float = NOW) -> Prompt:
    settled = await store.queue.settle(settlement(prompt, Move.COMPLETE, now=now))
    assert settled is not None, f"the lease of {prompt.id} is lost"
    return settled


async def serve(store: Store, *, lane: str = LANE, now: float = NOW, fair_only: bool = False) -> list[Prompt]:
    """Claim and complete one prompt after the other until the lane is empty; the order they ran in."""
    order: list[Prompt] = []
    while batch := await claim(store, 1, lane=lane, now=now, fair_only=fair_only):
        order.append(await complete(store, batch[0], now=now))
    return order


async def stored(store: Store, identifier: str) -> Prompt:
    prompt = await store.records.get(Prompt, identifier)
    assert prompt is not None, f"{identifier} is not stored"
    return prompt


async def ledger(store: Store, prompt: Prompt) -> list[Attempt]:
    query = Query(filters=(Filter("prompt", "eq", prompt.no),), order=(Order("run"),), limit=1000)
    return list((await store.records.find(Attempt, query)).items)
