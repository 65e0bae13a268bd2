"""Files on the command line: `ask --file`, answers that are files, and `promptd files`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from promptd.cli.exits import Exit
from promptd.testing import media
from tests.cli.support import SECONDS, Connection, FakeServer, Result, command, environment, frame, start
from tests.e2e.harness import running

pytestmark = pytest.mark.slow

CONFIG: dict[str, Any] = {
    "connections": {"stage": {"engine": "scripted", "slots": 2}},
    "models": {"demo": {"connection": "stage"}, "plain": {"connection": "stage", "capabilities": ["chat"]}},
    "files": {"max_upload_bytes": 1_000_000},
}


class Cli:
    """Commands in a folder of their own, for one server."""

    def __init__(self, env: dict[str, str], folder: Path) -> None:
        self.env, self.folder = env, folder

    async def __call__(self, *arguments: str, given: bytes | None = None) -> Result:
        return await command(*arguments, env=self.env, given=given, cwd=self.folder)

    async def json(self, *arguments: str) -> Any:
        result = await self(*arguments, "--json")
        assert (result.code, result.err) == (0, ""), result
        return json.loads(result.out)

    def path(self, name: str, data: bytes) -> str:
        """A file in the folder."""
        (self.folder / name).write_bytes(data)
        return name

    async def stored(self) -> list[str]:
        """The names of what the server holds."""
        return [item["name"] for item in (await self.json("files", "list"))["items"]]


@pytest.fixture
async def cli(tmp_path: Path) -> AsyncIterator[Cli]:
    (tmp_path / "work").mkdir()
    async with running(tmp_path / "home", CONFIG) as server:
        yield Cli(environment(server.home, PROMPTD_URL=server.url), tmp_path / "work")


@pytest.fixture
def away(env: dict[str, str], tmp_path: Path) -> Cli:
    """Commands for the server that breaks on script."""
    return Cli(env, tmp_path)


# ---------------------------------------------------------------- files


async def test_from_upload_to_deletion(cli: Cli) -> None:
    data = bytes(range(256)) * 2000
    uploaded = await cli("files", "upload", cli.path("Grüße.png", data))
    assert (uploaded.code, uploaded.err) == (0, "")
    identifier = uploaded.out.strip()
    (record,) = (await cli.json("files", "list"))["items"]
    assert (record["id"], record["name"], record["media_type"]) == (identifier, "Grüße.png", "image/png")
    table = await cli("files", "list")
    assert table.out.splitlines()[0] == "ID\tNAME\tTYPE\tSIZE\tCREATED"
    assert f"{identifier}\tGrüße.png\timage/png\t512000\t" in table.out
    # what is there already is never overwritten, but by its own name
    assert await cli("files", "get", identifier) == (0, "Grüße-2.png\n", "")
    assert (cli.folder / "Grüße-2.png").read_bytes() == data
    assert await cli("files", "get", identifier, "-o", "new/") == (0, "new/Grüße.png\n", "")
    assert await cli.json("files", "get", identifier, "-o", "x.bin") == {"id": identifier, "saved": "x.bin"}
    assert (cli.folder / "x.bin").read_bytes() == (cli.folder / "new" / "Grüße.png").read_bytes() == data
    assert await cli("files", "delete", identifier) == (0, f"{identifier}  deleted\n", "")
    gone = await cli("files", "get", identifier, "-o", "y.bin")
    assert (gone.code, gone.out) == (Exit.NOT_FOUND, "")
    assert gone.err.startswith(f"promptd: {identifier}: there is no file")
    assert not (cli.folder / "y.bin").exists()


async def test_several_files_and_one_that_is_not_there(cli: Cli) -> None:
    result = await cli("files", "upload", cli.path("a", b"a"), "absent", cli.path("b", b"b"), "--type", "text/x-note")
    assert result.code == Exit.USAGE
    assert result.err == "promptd: absent: No such file or directory\n"
    first, second = result.out.split()
    assert sorted(await cli.stored()) == ["a", "b"]
    assert await cli("files", "get", first, second, "-o", "z.txt") == (0, "z-1.txt\nz-2.txt\n", "")
    assert (cli.folder / "z-2.txt").read_bytes() == b"b"
    deleted = await cli("files", "delete", first, "file-absent", second, "--json")
    assert deleted.code == Exit.NOT_FOUND
    assert [json.loads(line)["id"] for line in deleted.out.splitlines()] == [first, second]


async def test_a_pipe_and_a_name(cli: Cli) -> None:
    record = await cli.json("files", "upload", cli.path("a", b"x"), "--name", "../../b.wav")
    assert (record["name"], record["media_type"]) == ("b.wav", "audio/wav")
    piped = await cli("files", "upload", "/dev/stdin", "--name", "c.txt", given=b"from a pipe")
    assert await cli("files", "get", piped.out.strip(), "-o", "/dev/stdout") == (0, "from a pipe/dev/stdout\n", "")
    two = await cli("files", "upload", "a", "a", "--name", "x")
    assert (two.code, "--name is for one file" in two.err) == (Exit.USAGE, True)


async def test_a_file_that_is_too_large(cli: Cli) -> None:
    result = await cli("files", "upload", cli.path("big", bytes(50_000_000)))
    assert (result.code, result.out) == (Exit.USAGE, "")
    assert "the file is larger than 1000000 bytes (payload_too_large)" in result.err
    assert await cli.stored() == []


# ---------------------------------------------------------------- ask


async def test_ask_with_files(cli: Cli) -> None:
    picture = cli.path("x.png", media.png("x", 8, 8))
    notes = (await cli("files", "upload", cli.path("notes.txt", b"some notes"))).out.strip()
    prompt = await cli.json("ask", "What is this?", "--file", picture, "--file", notes)
    assert len(prompt["request"]["files"]) == 2
    assert prompt["request"]["files"][1]["id"] == notes
    assert "saved" not in prompt
    shown = await cli("prompts", "show", prompt["id"])
    assert f"files:\n{prompt['request']['files'][0]['id']}\n{notes}\n" in shown.out
    queued = await cli("ask", "--queue", "And this?", "--file", picture)
    assert (await cli("prompts", "follow", queued.out.strip())).code == 0


async def test_images_are_saved(cli: Cli) -> None:
    cli.path("image-1.png", b"mine")
    script = json.dumps([{"images": 2}])
    assert await cli("ask", "--image", script) == (0, "image-1-2.png\nimage-2.png\n", "")
    assert (cli.folder / "image-1.png").read_bytes() == b"mine"
    assert (cli.folder / "image-2.png").read_bytes().startswith(b"\x89PNG")
    prompt = await cli.json("ask", "--image", "a cat", "-o", "art/")
    assert prompt["saved"] == ["art/image-1.png"]
    assert (cli.folder / "art" / "image-1.png").exists()
    (file,) = prompt["answer"]["files"]
    followed = await cli("prompts", "follow", prompt["id"])
    assert followed == (0, "", f"promptd: the answer has files: `promptd files get {file['id']}`\n")
    assert f"files of the answer:\n{file['id']}\n" in (await cli("prompts", "show", prompt["id"])).out
    from_image = await cli.json("ask", "--image", "--file", "image-1.png", "-o", "like.png")
    assert (from_image["saved"], from_image["capability"]) == (["like.png"], "image")


async def test_speech_and_back(cli: Cli) -> None:
    assert await cli("ask", "--speech", "Good", "morning", "-o", "hello.wav") == (0, "hello.wav\n", "")
    assert (cli.folder / "hello.wav").read_bytes().startswith(b"RIFF")
    assert await cli("ask", "--transcribe", "--file", "hello.wav") == (0, "Good morning", "")


async def test_a_refused_prompt_leaves_no_files_behind(cli: Cli) -> None:
    sound, picture = cli.path("x.wav", b"RIFF"), cli.path("x.png", media.png("x", 8, 8))
    refused = await cli("ask", "hi", "--file", picture, "--file", sound)
    assert refused.code == Exit.USAGE
    assert refused.err.startswith("promptd: files[1]: a model for chat can't read audio/wav")
    assert (await cli("ask", "hi", "--model", "plain", "--queue", "--file", picture)).code == Exit.USAGE
    assert (await cli("ask", "hi", "--file", picture, "--file", "absent")).code == Exit.USAGE
    assert await cli.stored() == []
    # those of a prompt that was accepted stay, whatever becomes of it
    failed = await cli("ask", json.dumps([{"fail": "quota_exceeded"}]), "--file", picture)
    assert failed.code == Exit.PROMPT_FAILED
    assert await cli.stored() == ["x.png"]


async def test_what_ask_refuses_itself(away: Cli) -> None:
    away.path("x.wav", b"RIFF")
    for arguments, said in (
        (("ask", "--transcribe"), "nothing to ask"),
        (("ask", "--image"), "nothing to ask"),
        (("ask", "hi", "--file", "x.wav", "--idempotency-key", "k"), "ids of uploads"),
    ):
        result = await away(*arguments)
        assert (result.code, said in result.err) == (Exit.USAGE, True), result
    assert (await away("ask", "hi", "--file", "absent")).err == "promptd: absent: No such file or directory\n"


# ---------------------------------------------------------------- what a healthy server never does

FILE = "file-00000000-0000-4000-8000-000000000000"


async def test_half_a_file_is_not_kept(away: Cli, fake: FakeServer) -> None:
    async def record(connection: Connection) -> None:
        await connection.reply(200, {"id": FILE, "name": "/etc/../.profile"})

    async def half(connection: Connection) -> None:
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")

    async def whole(connection: Connection) -> None:
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfull")

    fake.scripts = [record, half, record, whole]
    broken = await away("files", "get", FILE)
    assert (broken.code, broken.out) == (Exit.UNREACHABLE, "")
    assert "broke off 96 bytes before its end" in broken.err
    assert [path.name for path in away.folder.iterdir()] == []
    # a name leads nowhere else and hides nothing
    assert await away("files", "get", FILE) == (0, "profile\n", "")
    assert (away.folder / "profile").read_bytes() == b"full"


async def test_an_answer_whose_end_was_missed_still_gives_its_files(away: Cli, fake: FakeServer) -> None:
    async def broken(connection: Connection) -> None:
        await connection.stream(frame("1.1.1", "progress", text="here"))
        connection.reset()

    async def nothing_more(connection: Connection) -> None:
        await connection.send(b"HTTP/1.1 204 No Content\r\n\r\n")

    async def prompt(connection: Connection) -> None:
        files = [{"id": FILE, "url": "/x"}]
        await connection.reply(200, {"answer": {"finish_reason": "stop", "files": files}, "error": None})

    async def record(connection: Connection) -> None:
        await connection.reply(200, {"id": FILE, "name": "a.png"})

    async def content(connection: Connection) -> None:
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")

    fake.scripts = [broken, nothing_more, prompt, record, content]
    assert await away("ask", "hi") == (0, "here\na.png\n", "")


async def test_ctrl_c_in_an_upload_sends_no_prompt(away: Cli, fake: FakeServer) -> None:
    asked, never = asyncio.Event(), asyncio.Event()

    async def silent(connection: Connection) -> None:
        asked.set()
        await never.wait()

    fake.scripts = [silent]
    process = await start("files", "upload", away.path("x", b""), env=away.env, cwd=away.folder)
    await asyncio.wait_for(asked.wait(), SECONDS)
    process.send_signal(2)
    await asyncio.wait_for(process.communicate(), SECONDS)
    never.set()
    assert process.returncode == Exit.INTERRUPTED
    assert len(fake.requests) == 1
