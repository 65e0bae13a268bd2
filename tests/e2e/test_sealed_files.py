"""Sealed settings and their files beside kill -9 and full disks: what is stored is always one whole save, and can be read."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from promptd.core.configs import ConfigFile
from promptd.core.errors import StoreUnavailable
from promptd.core.filters import Query
from tests.e2e.sealed_process import SIZE, certificate, save
from tests.service.connection_lab import KEY, Lab, opened, printer
from tests.service.house import ADMIN

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]
REPOSITORY = Path(__file__).parents[2]
KILLS = 12


async def run_for(folder: Path, seconds: float) -> int:
    """Let the process save, and kill it so long after it has begun; the number of its last save, -1 for none."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.e2e.sealed_process", str(folder)),
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(30):
        assert await process.stdout.readline() == b"begun\n"
    await asyncio.sleep(seconds)  # how long it lives is the test's dice
    process.kill()
    await process.wait()
    told = (await process.stdout.read()).split()
    return int(told[-1]) if told else -1


async def content_of(file: ConfigFile | None) -> bytes:
    assert file is not None
    with file.open() as opened_file:
        return opened_file.read()


async def check(folder: Path, told: int) -> None:
    """What is there is the last save that was told, or a later one; all of it, and nothing else."""
    async with opened(folder) as lab:
        if not lab.stored.list():
            assert told == -1
            return
        known = await lab.stored.get("office")
        assert known.problem == ""
        config = printer(known)
        number = int(config.base_url.removeprefix("https://").partition(".")[0])
        assert number >= told
        assert config.api_key.get_secret_value() == f"{KEY}-{number}"
        assert await content_of(config.certificate) == certificate(number)
        for upload in (await lab.uploads.find(None, Query(limit=100))).items:
            await lab.uploads.delete(ADMIN, upload.id)
        await lab.contents.sweep()
        record = known.record
        backup = record.backup.files if record.backup is not None else {}
        assert lab.kept() == {slot.digest for slot in (*record.settings.files.values(), *backup.values())}
        await lab.rotation()  # a change of the key that was cut off goes on
        assert await content_of(printer(await lab.stored.get("office")).certificate) == certificate(number)


async def test_a_kill_at_any_moment_leaves_whole_settings(tmp_path: Path) -> None:
    dice = random.Random(11)
    saves = -1
    for _ in range(KILLS):
        told = await run_for(tmp_path, dice.uniform(0.0, 0.4))
        await check(tmp_path, told)
        saves = max(saves, told)
    assert saves >= 2, "it was killed before it had done anything"


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """The kernel refuses what would make a file larger, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_full_disk_leaves_the_settings_of_before(tmp_path: Path) -> None:
    async with opened(tmp_path) as lab:
        await save(lab, 1)
        kept, upload = lab.kept(), await lab.upload(certificate(2))
        known = await lab.stored.get("office")
        with no_file_beyond(SIZE // 2), pytest.raises(StoreUnavailable):
            await lab.save(known, base_url="https://2.example", certificate={"$upload": upload})
        await lab.uploads.delete(ADMIN, upload)
        assert lab.kept() == kept
        assert list((tmp_path / "files" / "tmp").iterdir()) == []
        await check_is(lab, 1)
        await save(lab, 3)
        await check_is(lab, 3)
    await check(tmp_path, 3)


async def check_is(lab: Lab, number: int) -> None:
    config = printer(await lab.stored.get("office"))
    assert config.base_url == f"https://{number}.example"
    assert await content_of(config.certificate) == certificate(number)


async def test_a_rotation_on_a_full_disk_loses_nothing_and_goes_on_later(tmp_path: Path) -> None:
    async with opened(tmp_path) as lab:
        await save(lab, 1)
        size = max(path.stat().st_size for path in tmp_path.glob("promptd.db*"))
        with no_file_beyond(min(size, 4096)), pytest.raises(StoreUnavailable):
            await lab.rotation()
        await check_is(lab, 1)
    await check(tmp_path, 1)
