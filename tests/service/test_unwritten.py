"""What may be done with a prompt in the moment between its answer and its row."""

from __future__ import annotations

import pytest

from promptd.app.house import House
from promptd.core.errors import Conflict
from promptd.core.model import Prompt
from tests.service.test_attached import ANN, ask, fail, house, run, upstream

__all__ = ["house", "upstream"]  # fixtures


async def test_what_is_over_can_not_be_cancelled(house: House) -> None:
    prompt, _ = await run(house, ask())
    with pytest.raises(Conflict, match="completed"):
        await house.walk.prompts.cancel(ANN, prompt.id)


async def test_what_failed_is_asked_again_once_it_is_stored(house: House) -> None:
    prompt, _, _ = await fail(house, ask("401"))
    with pytest.raises(Conflict, match="stored"):
        await house.walk.prompts.retry(ANN, prompt.id)


async def test_nothing_is_removed_that_would_be_written_afterwards(house: House) -> None:
    prompt, _ = await run(house, ask())
    with pytest.raises(Conflict, match="stored"):
        await house.walk.prompts.remove(ANN, prompt.id)
    await house.walk.attached.flush()
    await house.walk.prompts.remove(ANN, prompt.id)
    assert await house.database.records.get(Prompt, prompt.id) is None
