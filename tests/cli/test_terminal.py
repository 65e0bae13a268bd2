"""What people see on a terminal."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

from promptd.cli.exits import Exit
from promptd.stores.sqlite import database
from tests.cli.support import Connection, FakeServer, environment, frame
from tests.cli.terminal import Terminal

DONE = frame("7.2.9", "done", finish_reason="stop")


async def test_pieces_are_printed_as_they_come_and_void_text_is_marked(fake: FakeServer, env: dict[str, str]) -> None:
    first_seen, restart_seen = asyncio.Event(), asyncio.Event()

    async def runs(connection: Connection) -> None:
        await connection.stream(frame("7.1.1", "progress", text="first \x1b[31mred"))
        await first_seen.wait()
        await connection.send(frame("7.2.0", "restart", code="timeout", message="slow").encode())
        await restart_seen.wait()
        pieces = frame("7.2.1", "progress", text="sec") + frame("7.2.2", "progress", text="ond")
        await connection.send((pieces + DONE).encode())

    fake.scripts = [runs]
    terminal = await Terminal.start("ask", "hi", env=env)
    await terminal.until("first \ufffd[31mred")
    first_seen.set()
    await terminal.until("— attempt failed (timeout), starting anew —")
    restart_seen.set()
    assert await terminal.end() == 0
    assert "\x1b[31m" not in terminal.raw
    shown = [line for line in terminal.text.split("\n") if line.strip() and "waiting" not in line]
    assert [line.rpartition("\r")[2] for line in shown][-3:] == [
        "first \ufffd[31mred",
        "— attempt failed (timeout), starting anew —",
        "second",
    ]


async def test_waiting_is_visible(fake: FakeServer, env: dict[str, str]) -> None:
    seen = asyncio.Event()

    async def is_slow(connection: Connection) -> None:
        await seen.wait()
        await connection.stream(frame("7.1.1", "progress", text="at last"), DONE)

    fake.scripts = [is_slow]
    terminal = await Terminal.start("ask", "hi", env=env)
    await terminal.until("waiting for the model")
    seen.set()
    await terminal.until("at last")
    assert await terminal.end() == 0


async def test_a_failure_on_a_terminal_ends_the_line_first(fake: FakeServer, env: dict[str, str]) -> None:
    async def fails(connection: Connection) -> None:
        await connection.stream(
            frame("7.1.1", "progress", text="half"), frame("7.1.9", "error", code="timeout", message="slow")
        )

    fake.scripts = [fails]
    terminal = await Terminal.start("ask", "hi", env=env)
    assert await terminal.end() == Exit.PROMPT_FAILED
    assert "half\npromptd: the prompt failed: slow (timeout)\n" in terminal.text


async def test_lists_are_tables(fake: FakeServer, env: dict[str, str]) -> None:
    async def lists(connection: Connection) -> None:
        model = {"name": "demo\x07", "connection": "builtin", "upstream": "x", "engine": "llamacpp", "status": "ready"}
        rest = {"capabilities": ["chat"], "reason": "", "context": None, "default": True}
        await connection.reply(200, {"items": [model | rest]})

    fake.scripts = [lists]
    terminal = await Terminal.start("models", "list", env=env)
    assert await terminal.end() == 0
    header, row = terminal.text.strip().split("\n")
    assert header.split() == ["NAME", "STATUS", "CONNECTION", "ENGINE", "CAPABILITIES", "CONTEXT", "DEFAULT", "REASON"]
    assert row.split() == ["demo\ufffd", "ready", "builtin", "llamacpp", "chat", "yes"]


async def test_times_are_local_and_ids_whole(fake: FakeServer, env: dict[str, str]) -> None:
    identifier = "prm_" + "x" * 70  # with the other columns wider than the terminal

    async def lists(connection: Connection) -> None:
        prompt = {"id": identifier, "status": "errored", "model": "demo", "user": "me", "attempts": 1}
        rest = {"created_at": "2026-01-31T23:59:58.100Z", "error": {"code": "timeout"}}
        await connection.reply(200, {"items": [prompt | rest], "after": None})

    fake.otherwise = lists
    terminal = await Terminal.start("prompts", "list", env={**env, "TZ": "XYZ-2", "COLUMNS": "150"})
    assert await terminal.end() == 0
    assert f"\n{identifier}  errored  demo   me    2026-02-01 01:59:58  1         timeout" in terminal.text
    narrow = await Terminal.start("prompts", "list", env={**env, "COLUMNS": "90"})
    assert await narrow.end() == 0
    assert identifier in narrow.text


async def test_prune_asks_first(fake: FakeServer, env: dict[str, str]) -> None:
    async def prunes(connection: Connection) -> None:
        await connection.reply(200, {"count": 3, "dry_run": connection.request.body["dry_run"]})

    fake.otherwise = prunes
    command = ("prompts", "prune", "--older-than", "30d", "--status", "completed")
    rules = [{"status": "completed", "older_than_seconds": 30 * 86400.0}]
    terminal = await Terminal.start(*command, env=env)
    await terminal.until("Delete 3 prompts for good? [y/N]")
    terminal.type("n\n")
    assert await terminal.end() == Exit.INTERRUPTED
    assert [request.body for request in fake.requests] == [{"rules": rules, "dry_run": True}]
    terminal = await Terminal.start(*command, env=env)
    await terminal.until("[y/N]")
    terminal.type("y\n")
    assert await terminal.end() == 0
    assert "3 prompts deleted" in terminal.text
    assert fake.requests[-1].body == {"rules": rules, "dry_run": False}


async def test_backup_and_restore_show_progress(tmp_path: Path) -> None:
    path, copy = tmp_path / "promptd.db", tmp_path / "copy.db"
    connection = database.connect(path)
    database.migrate(connection, path)
    connection.close()
    env = environment(tmp_path)
    terminal = await Terminal.start("backup", str(copy), env=env)
    assert await terminal.end() == 0
    assert "backup ━" in terminal.text
    assert "bytes\n" in terminal.text
    path.unlink()
    terminal = await Terminal.start("restore", str(copy), env=env)
    assert await terminal.end() == 0
    assert "restore ━" in terminal.text
    with sqlite3.connect(path) as restored:
        assert database.version(restored) == database.migrations()[-1][0]
    restored.close()
    terminal = await Terminal.start("restore", str(tmp_path / "promptd.yaml"), env=env)
    assert await terminal.end() == Exit.USAGE
    copy.write_bytes(b"no database" * 1000)
    terminal = await Terminal.start("restore", str(copy), env=env)
    assert await terminal.end() == Exit.FAILED
    assert "promptd: " in terminal.text
