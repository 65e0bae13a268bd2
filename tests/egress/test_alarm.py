"""One timer, and everybody who waits is given up at the right time."""

from __future__ import annotations

import asyncio

from promptd.egress.alarm import Alarm


class Patient:
    """Waits until it is given up, `patience` seconds after it began."""

    def __init__(self, patience: float) -> None:
        self._due: float | None = asyncio.get_running_loop().time() + patience
        self.ended: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    def due(self) -> float | None:
        return self._due

    def give_up(self) -> None:
        self.ended.set_result(asyncio.get_running_loop().time() - (self._due or 0))
        self._due = None

    def hear(self, patience: float) -> None:
        """Something came: the wait begins anew."""
        self._due = asyncio.get_running_loop().time() + patience

    def rest(self) -> None:
        self._due = None


def waiting(alarm: Alarm, patience: float) -> Patient:
    patient = Patient(patience)
    alarm.add(patient)
    due = patient.due()
    assert due is not None
    if due < alarm.rings:
        alarm.set(due)
    return patient


async def test_each_is_given_up_when_it_is_due() -> None:
    alarm = Alarm(asyncio.get_running_loop())
    late = waiting(alarm, 0.06)
    soon = waiting(alarm, 0.02)
    never = waiting(alarm, 3600)
    async with asyncio.timeout(5):
        assert await soon.ended >= 0
        assert not late.ended.done()
        assert await late.ended >= 0
    assert not never.ended.done()
    assert alarm.rings == never.due()


async def test_who_heard_something_is_looked_at_again_when_that_is_due() -> None:
    alarm = Alarm(asyncio.get_running_loop())
    first, second = waiting(alarm, 0.02), waiting(alarm, 0.03)
    second.hear(0.08)
    async with asyncio.timeout(5):
        await first.ended
        assert alarm.rings == second.due()
        assert await second.ended >= 0


async def test_without_anybody_who_waits_nothing_rings() -> None:
    alarm = Alarm(asyncio.get_running_loop())
    resting, ended = waiting(alarm, 0.01), waiting(alarm, 0.02)
    resting.rest()
    async with asyncio.timeout(5):
        await ended.ended
    assert alarm.rings == float("inf")
    assert not resting.ended.done()
    ended.hear(3600)
    alarm.set(ended.due() or 0)
    alarm.remove(resting)
    assert alarm.rings == ended.due()
    alarm.remove(ended)
    assert alarm.rings == float("inf")


async def test_many_that_are_due_one_after_the_other_are_looked_at_together() -> None:
    alarm = Alarm(asyncio.get_running_loop())
    looks = 0

    class Counted(Patient):
        def due(self) -> float | None:
            nonlocal looks
            looks += 1
            return super().due()

    last = Counted(0.065)
    alarm.add(last)
    others = [waiting(alarm, 0.02 + 0.001 * number) for number in range(40)]
    async with asyncio.timeout(5):
        assert await last.ended >= 0
    assert all(one.ended.done() for one in others)
    assert looks < 10
