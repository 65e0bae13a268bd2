"""A process that saves settings with files, and changes the vault's key now and then: `python -m tests.e2e.sealed_process
<folder>`. It is there to be killed."""

from __future__ import annotations

import asyncio
import sys
from itertools import count
from pathlib import Path
from typing import Any

from promptd.core.errors import NotFound
from promptd.service.forms import Written
from promptd.service.known_connections import Known
from tests.service.connection_lab import KEY, Lab, opened
from tests.service.house import ADMIN

SIZE = 800_000  # bytes


def certificate(number: int) -> bytes:
    return f"{number:08}".encode() * (SIZE // 8)


async def save(lab: Lab, number: int) -> Known:
    """Settings that name the same number in the data, in a secret and in a file."""
    upload = await lab.upload(certificate(number))
    values: dict[str, Any] = {
        "base_url": f"https://{number}.example",
        "api_key": f"{KEY}-{number}",
        "certificate": {"$upload": upload},
    }
    try:
        known = await lab.stored.get("office")
        saved = await lab.save(known, **values)
    except NotFound:
        saved = await lab.stored.create(
            "root", name="office", engine="acme.printer", written=Written(values=values), locale="en"
        )
    await lab.uploads.delete(ADMIN, upload)
    return saved


async def main(folder: Path) -> None:
    async with opened(folder) as lab:
        print("begun", flush=True)
        for number in count():
            await save(lab, number)
            print(number, flush=True)
            if number % 3 == 2:
                await lab.rotation()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
