"""A command on a terminal of its own."""

from __future__ import annotations

import asyncio
import os
import pty
import re
from typing import Self

from tests.cli.support import COMMAND, SECONDS

_COLOURS = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class Terminal:
    """Both ends of a pseudo-terminal: the command is on one, the test on the other."""

    def __init__(self, process: asyncio.subprocess.Process, master: int) -> None:
        self.process, self._master = process, master
        self.raw = ""
        self._more = asyncio.Event()
        self.closed = False
        asyncio.get_running_loop().add_reader(master, self._read)

    @classmethod
    async def start(cls, *arguments: str, env: dict[str, str]) -> Self:
        master, slave = pty.openpty()
        try:
            process = await asyncio.create_subprocess_exec(
                COMMAND, *arguments, env={**env, "TERM": "xterm"}, stdin=slave, stdout=slave, stderr=slave
            )
        finally:
            os.close(slave)
        return cls(process, master)

    @property
    def text(self) -> str:
        """What was printed so far, without colours and movements of the cursor."""
        return _COLOURS.sub("", self.raw).replace("\r\n", "\n")

    def _read(self) -> None:
        try:
            packet = os.read(self._master, 65536)
        except OSError:  # Linux: every process has left the terminal
            packet = b""
        if not packet:
            self.closed = True
            asyncio.get_running_loop().remove_reader(self._master)
        self.raw += packet.decode()
        self._more.set()

    async def until(self, wanted: str) -> None:
        async with asyncio.timeout(SECONDS):
            while wanted not in self.text:
                assert not self.closed, f"the command ended without {wanted!r}:\n{self.text}"
                self._more.clear()
                await self._more.wait()

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    async def end(self) -> int:
        """Wait for the command's end; its exit code."""
        async with asyncio.timeout(SECONDS):
            while not self.closed:
                self._more.clear()
                await self._more.wait()
            os.close(self._master)
            return await self.process.wait()
