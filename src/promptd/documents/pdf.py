"""The text of a PDF, read in a process of its own: a hostile file can cost that process, but not the service."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Final

import msgspec

from promptd.core.errors import InputTooLarge, InvalidInput
from promptd.documents.pdf_child import Found

_DECODER: Final = msgspec.json.Decoder(Found)


async def text_of_pdf(name: str, data: bytes, *, max_pages: int, max_chars: int, seconds: float, memory: int) -> str:
    """Pages are divided by form feeds. Raises `InputTooLarge` and `InvalidInput`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "promptd.documents.pdf_child"),
        *(str(max_pages), str(max_chars), str(memory), str(int(seconds) + 1)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={key: value for key, value in os.environ.items() if not key.startswith("PROMPTD_")},
    )
    try:
        async with asyncio.timeout(seconds):
            out, _ = await process.communicate(data)
    except TimeoutError:
        raise InvalidInput(f"{name}: reading this PDF takes longer than {seconds:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    try:
        found = _DECODER.decode(out)
    except msgspec.MsgspecError:  # it died: of the memory or the time that it wanted
        raise InvalidInput(f"{name}: this PDF can't be read") from None
    if found.problem == "large":
        raise InputTooLarge(f"{name}: {found.text}")
    if found.problem:
        raise InvalidInput(f"{name}: {found.text}")
    return found.text
