"""A stranger's guard that breaks lets nothing through, and breaks nothing else."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from promptd import registry
from promptd.app import House, build
from promptd.core.content import Turn
from promptd.core.errors import ContentRefused, PromptdError, SettingsError, Unavailable
from promptd.core.identity import USER_PERMISSIONS
from promptd.core.model import Caller, Mode, Request, Submission
from promptd.settings import Settings
from tests.service.house import Puppet
from tests.testing.strange_guards import Careless, Strange

pytestmark = pytest.mark.slow

ANN = Caller("ann", "key-ann", "", USER_PERMISSIONS)
#: raised, returned, and what they do to their house where they run in it
FAULTS = ["exit", "interrupt", "group", "hang", "none", "true", "nan", "much", "yes", "odd", "many", "long"]


@asynccontextmanager
async def living(home: Path, seconds: float = 0.5, **check: Any) -> AsyncIterator[House]:
    settings = Settings.model_validate(
        {
            "home": home,
            "connections": {"lab": {"engine": "puppet"}},
            "models": {"main": {"connection": "lab"}},
            "guard": {"checks": {"strange": {"type": "strange", "timeout_seconds": seconds, **check}}},
        }
    )
    guards = {"strange": Careless if check.get("action") == "redact" else Strange}
    plugins = replace(registry.load(), engines={"puppet": Puppet()}, guards=guards, faces={})
    async with build(settings, plugins) as house, asyncio.timeout(30):
        yield house


async def say(house: House, text: str) -> str:
    submission = Submission(
        caller=ANN, model="main", mode=Mode.ATTACHED, request=Request(messages=(Turn("user", text),))
    )
    async with house.walk.attached.open(submission) as visit:
        pieces, _ = await visit.whole()
    return "".join(piece.text for piece in pieces)


async def refused(house: House, text: str) -> PromptdError:
    with pytest.raises(PromptdError) as raised:
        await say(house, text)
    return raised.value


async def test_in_the_house(tmp_path: Path) -> None:
    async with living(tmp_path, seconds=0.1) as house:
        for fault in FAULTS:
            assert type(await refused(house, fault)) is Unavailable, fault
            assert await say(house, "fine") == "re: fine"
        assert type(await refused(house, "so bad")) is ContentRefused


async def test_one_that_replaces(tmp_path: Path) -> None:
    async with living(tmp_path, action="redact") as house:
        for fault in ("exit", "none", "number", "nan"):
            assert type(await refused(house, fault)) is Unavailable, fault
        assert await say(house, "so bad") == "re: so [X]"


async def test_a_caller_that_leaves_is_no_fault_of_the_guard(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with living(tmp_path, seconds=30) as house:
        task = asyncio.create_task(say(house, "hang"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert not [record for record in caplog.records if getattr(record, "action", "") == "guard_failed"]


async def test_in_a_process_of_its_own(tmp_path: Path) -> None:
    async with living(tmp_path, seconds=5, isolation="process", word="worse") as house:
        assert await say(house, "fine") == "re: fine"
        for fault in [one for one in FAULTS if one != "hang"]:
            assert type(await refused(house, fault)) is Unavailable, fault
        assert type(await refused(house, "tool")) is Unavailable  # it gets none
        error = await refused(house, "so worse")
        assert (type(error), error.message) == (ContentRefused, "refused by a guard: worse")
        assert await say(house, "so bad") == "re: so bad"
        child = int((await refused(house, "pid")).message.rpartition(" ")[2])
        assert child != os.getpid()
        # its end fails the questions that it has, and nothing else; the next one finds another
        assert type(await refused(house, "die")) is Unavailable
        assert await say(house, "fine") == "re: fine"
        later = int((await refused(house, "pid")).message.rpartition(" ")[2])
        assert later not in (child, os.getpid())
    with pytest.raises(ProcessLookupError):
        os.kill(later, 0)


async def test_its_process_knows_all_its_settings_and_tells_no_secret_of_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with living(tmp_path, 5, isolation="process", key="sk-secret", **{"other-word": "ugly"}) as house:
        assert type(await refused(house, "so ugly")) is ContentRefused
        assert (await refused(house, "quote")).message == "refused by a guard: 401 for ***"
        assert await say(house, "log") == "re: log"
    assert "the key is ***" in caplog.text
    assert "sk-secret" not in caplog.text


@pytest.mark.parametrize("fault", ["clasp", "block"])
async def test_one_that_stands_still_holds_nobody_up(tmp_path: Path, fault: str) -> None:
    async with living(tmp_path, seconds=4, isolation="process") as house:
        await say(house, "fine")
        stuck = asyncio.create_task(refused(house, fault))
        beats = 0
        while not stuck.done():
            await asyncio.sleep(0.05)
            beats += 1
        assert type(stuck.result()) is Unavailable
        assert beats > 20
        assert await say(house, "fine") == "re: fine"


@pytest.mark.parametrize(
    ("check", "key"),
    [
        ({"isolation": "process", "action": "redact"}, "guard.checks.strange.action"),
        ({"isolation": "process", "nothing": 1}, "guard.checks.strange.nothing"),
        ({"isolation": "process", "type": "own"}, "guard.checks.strange.isolation"),
    ],
)
async def test_what_can_not_be_enforced(tmp_path: Path, check: dict[str, Any], key: str) -> None:
    settings = Settings.model_validate(
        {
            "home": tmp_path,
            "connections": {"lab": {"engine": "puppet"}},
            "models": {"main": {"connection": "lab"}},
            "guard": {"checks": {"strange": {"type": "strange", **check}}},
        }
    )
    found = registry.load()
    guards = {"strange": Careless, "own": found.guards["shape"]}
    with pytest.raises(SettingsError) as raised:
        async with build(settings, replace(found, engines={"puppet": Puppet()}, guards=guards, faces={})):
            pass
    assert raised.value.key == key
