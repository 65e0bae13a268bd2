"""What a healthy server never does: broken streams, restarts in the middle, refusals, nonsense."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from pathlib import Path

import pytest

from promptd.cli.exits import Exit
from tests.cli.support import COMMAND, Connection, FakeServer, command, environment, frame, start

FULL = Path("/dev/full")
DONE = frame("7.1.3", "done", finish_reason="stop")


def problem(status: int, code: str, detail: str = "no", **more: str) -> dict[str, object]:
    return {"type": "about:blank", "title": "No", "status": status, "code": code, "detail": detail, **more}


async def test_a_broken_stream_is_resumed_behind_the_last_event(fake: FakeServer, env: dict[str, str]) -> None:
    async def breaks(connection: Connection) -> None:
        # half an event at the end: it must not count as seen
        await connection.stream(frame("7.1.1", "progress", text="Hé"), 'id: 7.1.2\nevent: progress\ndata: {"te')

    async def resets(connection: Connection) -> None:
        connection.reset()

    async def goes_on(connection: Connection) -> None:
        await connection.stream(frame("7.1.2", "progress", text="llo"), DONE)

    fake.scripts = [breaks, resets, goes_on]
    result = await command("ask", "hi", env=env)
    assert result == (0, "Héllo", "")
    assert [(request.method, request.path) for request in fake.requests] == [
        ("POST", "/promptd/v1/prompts"),
        ("GET", "/promptd/v1/prompts/prm_fake/events"),
        ("GET", "/promptd/v1/prompts/prm_fake/events"),
    ]
    assert [request.headers.get("last-event-id") for request in fake.requests] == [None, "7.1.1", "7.1.1"]


async def test_a_submission_without_an_answer_is_repeated_with_the_same_id(
    fake: FakeServer, env: dict[str, str]
) -> None:
    async def resets(connection: Connection) -> None:
        connection.reset()

    async def answers(connection: Connection) -> None:
        await connection.stream(frame("7.1.1", "progress", text="once"), DONE)

    fake.scripts = [resets, answers]
    assert await command("ask", "hi", env=env) == (0, "once", "")
    assert fake.requests[0].body == fake.requests[1].body
    assert fake.requests[0].body["id"].startswith("prm_")


async def test_void_text_is_not_written_into_a_pipe(fake: FakeServer, env: dict[str, str]) -> None:
    async def restarts(connection: Connection) -> None:
        await connection.stream(
            frame("7.1.1", "progress", text="void"),
            frame("7.2.0", "restart", code="network_error", message="gone"),
            frame("7.2.1", "progress", text="the answer\n"),
            DONE,
        )

    fake.scripts = [restarts]
    assert await command("ask", "hi", env=env) == (0, "the answer\n", "")


async def test_a_failed_prompt_writes_nothing_but_the_reason(fake: FakeServer, env: dict[str, str]) -> None:
    async def fails(connection: Connection) -> None:
        await connection.stream(
            frame("7.1.1", "progress", text="half"),
            frame("7.1.9", "error", code="timeout", message="too\nslow \x1b[2J"),
        )

    fake.scripts = [fails]
    result = await command("ask", "hi", env=env)
    assert result == (Exit.PROMPT_FAILED, "", "promptd: the prompt failed: too slow \ufffd[2J (timeout)\n")


async def test_a_cut_answer_is_written_with_a_warning(fake: FakeServer, env: dict[str, str]) -> None:
    async def cuts(connection: Connection) -> None:
        await connection.stream(frame("7.1.1", "progress", text="abc"), frame("7.1.2", "done", finish_reason="length"))

    fake.scripts = [cuts]
    result = await command("ask", "hi", env=env)
    assert (result.code, result.out) == (0, "abc")
    assert result.err == "promptd: warning: the answer was cut by the limit on its tokens\n"


async def test_a_busy_server_is_asked_again_when_it_says(fake: FakeServer, env: dict[str, str]) -> None:
    async def busy(connection: Connection) -> None:
        await connection.reply(503, problem(503, "overloaded"), Retry_After="0")

    async def answers(connection: Connection) -> None:
        await connection.stream(frame("7.1.1", "progress", text="ok"), DONE)

    fake.scripts = [busy, busy, answers]
    assert await command("ask", "hi", env=env) == (0, "ok", "")


async def test_a_wait_beyond_the_patience_ends_at_once(fake: FakeServer, env: dict[str, str]) -> None:
    async def busy(connection: Connection) -> None:
        await connection.reply(429, problem(429, "too_many_requests", "slow down"), Retry_After="3600")

    fake.scripts = [busy]
    result = await command("ask", "hi", env=env)
    assert result == (Exit.BUSY, "", "promptd: slow down (too_many_requests)\n")


async def test_a_server_that_does_not_come_back_ends_the_patience(fake: FakeServer, env: dict[str, str]) -> None:
    async def breaks(connection: Connection) -> None:
        await connection.stream(frame("7.1.1", "progress", text="x"))

    async def says_nothing(connection: Connection) -> None:
        await connection.stream(retry_ms=50)

    fake.scripts, fake.otherwise = [breaks], says_nothing
    result = await command("ask", "--retry-for", "0.3s", "hi", env=env)
    assert result.code == Exit.UNREACHABLE
    assert result.out == ""
    assert result.err == "promptd: the stream broke off; the prompt runs on: `promptd prompts follow prm_fake`\n"
    assert 2 < len(fake.requests) < 20


async def test_the_end_of_a_prompt_that_was_read_already_is_looked_up(fake: FakeServer, env: dict[str, str]) -> None:
    async def breaks(connection: Connection) -> None:
        await connection.stream(frame("7.1.1", "progress", text="all of it"), "id: 7.1.2\n")

    async def nothing_more(connection: Connection) -> None:
        await connection.send(b"HTTP/1.1 204 No Content\r\n\r\n")

    async def stored(connection: Connection) -> None:
        await connection.reply(200, {"answer": {"text": "all of it", "finish_reason": "stop"}, "error": None})

    fake.scripts = [breaks, nothing_more, stored]
    assert await command("ask", "hi", env=env) == (0, "all of it", "")
    assert fake.requests[-1][:2] == ("GET", "/promptd/v1/prompts/prm_fake")


@pytest.mark.parametrize(
    ("status", "body", "code", "line"),
    [
        (401, problem(401, "unauthenticated", "the key is not valid"), Exit.DENIED, "the key is not valid (unauthenticated)"),
        (403, problem(403, "forbidden"), Exit.DENIED, "no (forbidden)"),
        (404, problem(404, "not_found"), Exit.NOT_FOUND, "no (not_found)"),
        (422, problem(422, "invalid_request", "too big", field="priority"), Exit.USAGE, "priority: too big (invalid_request)"),
        (422, problem(422, "content_refused"), Exit.FAILED, "no (content_refused)"),
        (409, problem(409, "conflict"), Exit.FAILED, "no (conflict)"),
        (503, problem(503, "unavailable"), Exit.BUSY, "no (unavailable)"),
        (500, ["not a problem"], Exit.FAILED, "{url} answered 500"),
        (302, None, Exit.FAILED, "{url} answered 302"),
    ],
)  # fmt: skip
async def test_a_refusal_is_one_line_and_an_exit_code(
    fake: FakeServer, env: dict[str, str], status: int, body: object, code: Exit, line: str
) -> None:
    async def refuses(connection: Connection) -> None:
        await connection.reply(status, body)

    fake.otherwise = refuses
    expected = (code, "", f"promptd: {line.format(url=fake.url)}\n")
    assert await command("ask", "--retry-for", "0s", "hi", env=env) == expected
    assert await command("prompts", "show", "prm_1", env=env) == expected


@pytest.mark.parametrize("raw", [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", b"SSH-2.0-x\r\n", b""])
async def test_what_is_no_promptd_is_one_line(fake: FakeServer, env: dict[str, str], raw: bytes) -> None:
    async def nonsense(connection: Connection) -> None:
        await connection.send(raw)

    fake.otherwise = nonsense
    for arguments in (["models", "list"], ["ask", "--retry-for", "0s", "hi"]):
        result = await command(*arguments, env=env)
        assert result.code in (Exit.FAILED, Exit.UNREACHABLE)
        assert result.out == ""
        assert result.err.startswith("promptd: ")
        assert result.err.count("\n") == 1


async def test_no_server_is_told_at_once(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        result = await command("ask", "hi", env=environment(tmp_path, PROMPTD_URL=url))
    assert result.code == Exit.UNREACHABLE
    assert result.err == f"promptd: can't reach {url} (Connection refused); is `promptd serve` running?\n"


@pytest.mark.parametrize("answered", [True, False])
async def test_ctrl_c_cancels_the_prompt(fake: FakeServer, env: dict[str, str], answered: bool) -> None:
    asked, over = asyncio.Event(), asyncio.Event()

    async def runs(connection: Connection) -> None:
        asked.set()
        if answered:
            await connection.stream(prompt_id=connection.request.body["id"])
        await over.wait()

    async def cancels(connection: Connection) -> None:
        over.set()
        await connection.reply(200, {})

    fake.scripts = [runs, cancels]
    process = await start("ask", "hi", env=env)
    await asked.wait()
    process.send_signal(signal.SIGINT)
    out, err = await process.communicate()
    identifier = fake.requests[0].body["id"]
    assert (process.returncode, out, err.decode()) == (Exit.INTERRUPTED, b"", f"promptd: canceled {identifier}\n")
    assert fake.requests[1][:2] == ("POST", f"/promptd/v1/prompts/{identifier}/cancel")


async def test_a_lost_receipt_names_the_prompt(fake: FakeServer, env: dict[str, str]) -> None:
    async def resets(connection: Connection) -> None:
        connection.reset()

    fake.scripts = [resets]
    result = await command("ask", "--queue", "hi", env=env)
    assert (result.code, result.out) == (Exit.UNREACHABLE, "")
    assert result.err.endswith(f"; it may be queued as {fake.requests[0].body['id']}\n")


async def test_ctrl_c_leaves_a_followed_prompt_alone(fake: FakeServer, env: dict[str, str]) -> None:
    asked, over = asyncio.Event(), asyncio.Event()

    async def runs(connection: Connection) -> None:
        await connection.stream()
        asked.set()
        await over.wait()

    fake.scripts = [runs]
    process = await start("prompts", "follow", "prm_1", env=env)
    await asked.wait()
    process.send_signal(signal.SIGINT)
    await process.communicate()
    over.set()
    assert process.returncode == Exit.INTERRUPTED
    assert len(fake.requests) == 1


async def test_the_request_holds_what_was_asked(fake: FakeServer, env: dict[str, str], tmp_path: Path) -> None:
    async def takes(connection: Connection) -> None:
        await connection.reply(202, {"id": "prm_9", "status": "scheduled"})

    fake.otherwise = takes
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "object"}')
    asked = (
        *("ask", "--queue", "-m", "a/b", "-t", "talk", "-s", "Be kind.", "--json-schema", str(schema), "--max-tokens", "9"),
        *("--temperature", "0", "--priority", "-3", "--deadline", "2100-01-01T02:00:00+02:00", "--idempotency-key", "k"),
    )  # fmt: skip
    assert await command(*asked, "one", "-", "two", env=env, given="inner ä\n".encode()) == (0, "prm_9\n", "")
    assert fake.requests[0].headers["idempotency-key"] == "k"
    assert fake.requests[0].body == {
        "model": "a/b",
        "thread_id": "talk",
        "priority": -3,
        "deadline": "2100-01-01T00:00:00.000Z",
        "parameters": {"temperature": 0.0, "max_tokens": 9, "json_schema": {"type": "object"}},
        "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "one\n\ninner ä\n\ntwo"}],
    }
    piped = await command("ask", "--queue", "--json", "--template", "Q: {prompt}", "one", env=env, given=b"two")
    assert json.loads(piped.out) == {"id": "prm_9", "status": "scheduled"}
    assert fake.requests[1].body["prompt"] == "one\n\ntwo"
    assert fake.requests[1].body["parameters"] == {"template": "Q: {prompt}"}


@pytest.mark.parametrize(
    ("arguments", "given", "said"),
    [
        ([], None, "nothing to ask"),
        (["-"], b"\xff", "standard input is not UTF-8"),
        (["hi", "--json-schema", "{"], None, "not JSON"),
        (["hi", "--json-schema", "[]"], None, "--json-schema: []"),
        (["hi", "--json-schema", "absent.json"], None, "absent.json: No such file"),
        (["hi", "--template", "/dev/null"], None, "{prompt}, is missing"),
        (["hi", "--template", "{prompt}", "--system", "x"], None, "exclude each other"),
        (["hi", "--deadline", "soon"], None, "'soon' is not a time"),
        (["hi", "--priority", "101"], None, "--priority"),
        (["hi", "--retry-for", "1y"], None, "'1y' is not a duration"),
        (["hi", "--url", "ftp://x"], None, "--url: expected something like"),
        (["hi", "--url", "http://127.0.0.1:99999"], None, "--url: expected something like"),
        (["hi", "--key", "a\nb"], None, "the key holds characters"),
        (["hi", "--nosuch"], None, "No such option"),
    ],
)
async def test_a_wrong_command_line_is_one_line_and_no_request(
    fake: FakeServer, env: dict[str, str], arguments: list[str], given: bytes | None, said: str
) -> None:
    result = await command("ask", *arguments, env=env, given=given)
    assert (result.code, result.out) == (Exit.USAGE, "")
    assert said in result.err
    assert result.err.count("\n") == 1
    assert fake.requests == []


async def test_a_closed_pipe_ends_quietly(fake: FakeServer, env: dict[str, str]) -> None:
    async def many(connection: Connection) -> None:
        item = {"id": "p" * 500, "status": "", "model": "", "user": "", "created_at": "", "attempts": 1, "error": None}
        await connection.reply(200, {"items": [item] * 1000, "after": None})

    fake.otherwise = many
    shell = await asyncio.create_subprocess_shell(
        f"{COMMAND} prompts list --all | head -1",
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await shell.communicate()
    assert out.startswith(b"ID\tSTATUS")
    assert err == b""


@pytest.mark.skipif(not FULL.exists(), reason="needs the device that is always full")
async def test_an_answer_that_cannot_be_written_is_one_line(fake: FakeServer, env: dict[str, str]) -> None:
    async def answers(connection: Connection) -> None:
        await connection.stream(frame("7.1.1", "progress", text="lost"), DONE)

    fake.scripts = [answers]
    for arguments in (["ask", "hi"], ["version"]):
        with FULL.open("wb") as full:
            process = await asyncio.create_subprocess_exec(
                COMMAND,
                *arguments,
                env=env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=full,
                stderr=asyncio.subprocess.PIPE,
            )
        _, err = await process.communicate()
        assert (process.returncode, err) == (Exit.FAILED, b"promptd: input or output: No space left on device\n")


@pytest.mark.parametrize(("waiting", "said"), [(0, ""), (1, "1 prompt is waiting\n"), (2, "2 prompts are waiting\n")])
async def test_connections_say_how_many_prompts_wait(
    fake: FakeServer, env: dict[str, str], waiting: int, said: str
) -> None:
    async def answers(connection: Connection) -> None:
        await connection.reply(200, {"items": [], "waiting": waiting})

    fake.scripts = [answers]
    assert (await command("connections", "list", env=env)).err == said
