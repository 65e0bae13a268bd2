"""Deleting and renaming beside a reload: no model ends up with a connection that is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from promptd.core.errors import Conflict, NotFound
from promptd.service.known_connections import Known
from tests.service.connection_lab import Lab


class Reload:
    """Lets a model use a connection as soon as it was looked whether somebody does, if it may, as a reload does."""

    def __init__(self, lab: Lab, name: str) -> None:
        self.used = False
        self._lab, self._name = lab, name
        self._looked = asyncio.Event()
        lab.stored.users_of.append(self._users_of)
        self.task = asyncio.create_task(self._take())

    async def _users_of(self, name: str) -> list[str]:
        self._looked.set()
        return ["the model shop"] if self.used and name == self._name else []

    async def _take(self) -> None:
        await self._looked.wait()
        if self._name in self._lab.stored.names():
            self.used = True


async def delete(lab: Lab, known: Known) -> None:
    await lab.stored.delete(known.record.id)


async def rename(lab: Lab, known: Known) -> None:
    await lab.stored.update(
        known.record.id, changed=known.record.changed, written=None, locale="en", name=f"{known.record.name}2"
    )


@pytest.mark.parametrize("change", [delete, rename])
async def test_a_reload_between_look_and_deed(lab: Lab, change: Callable[[Lab, Known], Awaitable[None]]) -> None:
    known = await lab.make("office")
    reload = Reload(lab, "office")
    try:
        await change(lab, known)
    except Conflict:
        assert "office" in lab.stored.names()
    else:
        await reload.task
        assert not reload.used
        with pytest.raises(NotFound):
            await lab.stored.get("office")


async def test_what_could_not_be_deleted_can_be_used_again(lab: Lab) -> None:
    known = await lab.make("office")

    async def used(name: str) -> list[str]:
        return ["the model shop"]

    lab.stored.users_of.append(used)
    with pytest.raises(Conflict, match="the model shop"):
        await lab.stored.delete(known.record.id)
    assert lab.stored.names() == {"office"}
