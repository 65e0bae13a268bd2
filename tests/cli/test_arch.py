"""`promptd arch`: files of the Arch gateway checked and served, and the access logs of their listeners."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from promptd.cli.arch_file import announce
from promptd.cli.arch_logs import lines
from promptd.cli.root import run
from promptd.settings import load
from tests.cli.support import SECONDS, command, environment, start
from tests.dialects.arch.files import FOLDER, SECRET, VARIABLES, new, old

PORTS = {
    "listeners": [{"type": "model", "name": "models", "port": 0, "address": "127.0.0.1"}],
    "model_providers": [{"model": "openai/gpt-4o", "base_url": "http://127.0.0.1:9", "access_key": "$OPENAI_API_KEY"}],
}


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {**VARIABLES, "PROMPTD_HOME": str(tmp_path / "home")}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("PROMPTD_CONFIG", raising=False)


def file(folder: Path, tree: dict[str, Any], name: str = "arch_config.yaml") -> Path:
    path = folder / name
    path.write_text(json.dumps(tree), encoding="utf-8")
    return path


# ---------------------------------------------------------------- check


@pytest.mark.arch("8.check", "1.6.2.report", "1.1.secrets")
def test_a_check_tells_what_the_file_means(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["arch", "check", str(FOLDER / "d_routing.yaml")]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.splitlines() == [
        "era D, version v0.3.0",
        "listener  egress_traffic (model) at 0.0.0.0:12000",
        "provider  openai/gpt-4o-mini = openai/gpt-4o-mini (default), key: set",
        "provider  openai/gpt-4o = openai/gpt-4o, key: set",
        "provider  anthropic/claude-sonnet-4-5 = anthropic/claude-sonnet-4-5, key: set",
        "provider  router = arch/router, http://router.internal:11434, key: none",
        "warning   listeners.egress_traffic.message_format: has no effect: bodies are read as chat completions always",
        "warning   state_storage: conversations are kept in promptd's own store",
    ]


@pytest.mark.arch("1.1.secrets")
def test_a_check_in_json_has_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["arch", "check", "--json", str(FOLDER / "e_models_only.yaml")]) == 0
    out = capsys.readouterr().out
    assert SECRET not in out
    assert "sk-written" not in out
    told = json.loads(out)
    assert (told["era"], [one["key"] for one in told["providers"]]) == ("E", ["clients bring theirs", "set"])
    assert told["chosen"] == [{"path": "listeners", "text": "a model listener at port 12000 is added"}]


@pytest.mark.arch("8.check", "1.5.errors")
@pytest.mark.parametrize(
    ("tree", "said"),
    [
        (old(listener={"prot": 1}), ["Additional properties are not allowed", "Location: listener → prot", "Value: …"]),
        (
            old(system_prompt="$NOWHERE"),
            ["Variable: NOWHERE not found; `$$` stands for `$`", "Location: system_prompt"],
        ),
        (
            old(llm_providers=[{"model": "openai/x", "access_key": "$NOWHERE"}]),
            ["Access Key: NOWHERE not found. Exiting Start", "Location: llm_providers → 0 → access_key"],
        ),
        (new(filters=[{"id": "x", "url": "y"}]), ["filters: not supported yet", "Location: filters"]),
    ],
)
def test_an_invalid_file_is_told_and_ends_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tree: dict[str, Any], said: list[str]
) -> None:
    assert run(["arch", "check", str(file(tmp_path, tree))]) == 1
    found = capsys.readouterr()
    assert found.out == ""
    assert [line[: len(text)] for line, text in zip(found.err.splitlines(), said, strict=True)] == said


@pytest.mark.arch("8.check")
@pytest.mark.parametrize("command_name", ["check", "up"])
def test_no_file_is_told_and_ends_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str], command_name: str) -> None:
    (tmp_path / "promptd.yaml").write_text("server: {port: 1}")
    for path, said in (
        (tmp_path / "missing.yaml", "no such file"),
        (tmp_path, "a folder without arch_config.yaml"),
        (tmp_path / "promptd.yaml", "not an Arch file"),
    ):
        assert run(["arch", command_name, str(path)]) == 1
        assert said in capsys.readouterr().err


def test_a_check_finds_the_file_in_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file(tmp_path, new(), "config.yaml")
    assert run(["arch", "check", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("era E")


@pytest.mark.arch("8.targets")
def test_targets_are_made_of_routes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "main.py"
    source.write_text('@app.get("/rates/{currency}")\ndef rate(currency: str): "What it is worth."\n')
    assert run(["arch", "targets", str(source), "--endpoint", "bank"]) == 0
    entries = yaml.safe_load(capsys.readouterr().out)
    assert entries["prompt_targets"][0]["endpoint"] == {
        "name": "bank",
        "path": "/rates/{currency}",
        "http_method": "GET",
    }
    for content in (b"x = 1", b"def (", b"\xff"):
        source.write_bytes(content)
        assert run(["arch", "targets", str(source)]) == 1
        assert str(source) in capsys.readouterr().err


# ---------------------------------------------------------------- up and serve


@pytest.mark.arch("1.6.2.report", "1.2.warned")
def test_a_start_tells_defaults_and_warnings(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "promptd")
    announce(load(tmp_path, FOLDER / "a_weather.yaml"))
    told = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert ("INFO", "arch file (A): listener: a model listener at port 12000 is added") in told
    assert [level for level, _ in told] == ["INFO"] * 4 + ["WARNING"] * 2
    announce(load(tmp_path, None, {}))
    assert len(caplog.records) == len(told)


@asynccontextmanager
async def served(*arguments: str, env: dict[str, str], cwd: Path | None = None) -> AsyncIterator[list[str]]:
    """A server that is asked to end when its log says that it listens; what it wrote to standard error."""
    process = await start(*arguments, env=env, cwd=cwd)
    log: list[str] = []
    assert process.stderr is not None
    try:
        async with asyncio.timeout(SECONDS):
            while line := (await process.stderr.readline()).decode():
                log.append(line)
                if " listens on http://" in line:
                    break
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(SECONDS):
            log += (await process.stderr.read()).decode().splitlines(keepends=True)
            assert await process.wait() == 0, log
        yield log
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.e2e
@pytest.mark.arch("8.up")
@pytest.mark.parametrize("how", [["serve", "--config"], ["arch", "up"], ["arch", "up", "--path"]])
async def test_a_file_is_served_unchanged(tmp_path: Path, how: list[str]) -> None:
    path = file(tmp_path, new(**PORTS, overrides={"new_one": 1}), "config.yaml")
    env = environment(tmp_path / "home", OPENAI_API_KEY=SECRET, PROMPTD_SERVER__PORT="0")
    given = str(tmp_path if how[-1] == "--path" else path)
    async with served(*how, given, env=env) as log:
        text = "".join(log)
        assert "arch file: overrides.new_one: is not known, so it has no effect" in text
        assert SECRET not in text


@pytest.mark.e2e
@pytest.mark.arch("8.start", "4.3.start")
async def test_without_a_file_all_vendors_are_served(tmp_path: Path) -> None:
    env = environment(tmp_path / "home", OPENAI_API_KEY=SECRET, PROMPTD_SERVER__PORT="0")
    (tmp_path / "here").mkdir()
    async with served("arch", "up", "--listener-port", "0", env=env, cwd=tmp_path / "here") as log:
        assert "no Arch file here, so all known vendors are served" in log[0]
        assert any("egress_traffic" in line for line in log), log
    written = tmp_path / "home" / "arch-start" / "arch_config.yaml"
    models = load(tmp_path / "home", written, env).models
    assert {"openai/*", "anthropic/*", "groq/*"} <= set(models)
    assert SECRET not in written.read_text() + "".join(log)


@pytest.mark.e2e
async def test_a_reload_reads_the_file_again(tmp_path: Path) -> None:
    path = file(tmp_path, new(**PORTS))
    env = environment(tmp_path / "home", OPENAI_API_KEY=SECRET, PROMPTD_SERVER__PORT="0")
    process = await start("arch", "up", str(path), env=env)
    assert process.stderr is not None
    try:
        async with asyncio.timeout(SECONDS):
            await _line(process.stderr, "listens on http://")
            file(tmp_path, new(**{**PORTS, "model_aliases": {"x": {"target": "gpt-4o"}}}))
            process.send_signal(signal.SIGHUP)
            done = await _line(process.stderr, "configuration reloaded")
            assert done.endswith("reloaded: models.x, arch.aliases\n")
            path.write_text("version: v0.1\nlisteners: 5\n")
            process.send_signal(signal.SIGHUP)
            assert "Location: listeners" in await _line(process.stderr, "configuration stays as it is")
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _line(log: asyncio.StreamReader, word: str) -> str:
    while word not in (line := (await log.readline()).decode()):
        assert line
    return line


@pytest.mark.e2e
@pytest.mark.arch("8.up")
async def test_options_of_the_original_are_taken(tmp_path: Path) -> None:
    file(tmp_path, new(**PORTS))
    env = environment(tmp_path / "home", OPENAI_API_KEY=SECRET, PROMPTD_SERVER__PORT="0", LOG_LEVEL="DEBUG")
    options = ["--foreground", "--service", "archgw", "--docker", "--path", str(tmp_path)]
    async with served("arch", "up", *options, env=env) as log:
        assert log[:2] == [
            "promptd: warning: --service archgw has no effect: promptd is one service\n",
            "promptd: warning: --docker has no effect\n",
        ]


@pytest.mark.e2e
@pytest.mark.arch("8.check")
async def test_a_missing_key_stops_the_start(tmp_path: Path) -> None:
    path = file(tmp_path, new(**PORTS))
    for how in (["serve", "--config"], ["arch", "up"]):
        result = await command(*how, str(path), env=environment(tmp_path / "home"))
        assert (result.code, result.out) == (1, "")
        assert result.err == (
            "Access Key: OPENAI_API_KEY not found. Exiting Start\nLocation: model_providers → 0 → access_key\n"
        )
    other = tmp_path / "promptd.yaml"
    other.write_text("sever: {}")
    assert (await command("serve", "--config", str(other), env=environment(tmp_path / "home"))).code == 2


# ---------------------------------------------------------------- logs


@pytest.mark.arch("8.logs")
def test_logs_are_shown_file_by_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "home" / "logs"
    assert run(["arch", "logs"]) == 0
    assert "no requests yet" in capsys.readouterr().err
    folder.mkdir(parents=True)
    (folder / "access_llm.log").write_bytes(b"[1] llm\n[2] \x1b[31m \xff\nunfinished")
    (folder / "access_ingress.log").write_text("[1] ingress\n")
    assert run(["arch", "logs"]) == 0
    assert capsys.readouterr() == ("[1] ingress\n[1] llm\n[2] \ufffd[31m \ufffd\n", "")
    assert run(["arch", "logs", "--service", "ingress"]) == 0
    assert capsys.readouterr().out == "[1] ingress\n"
    assert run(["arch", "logs", "--service", "model_server", "--debug"]) == 0
    out, err = capsys.readouterr()
    assert (out, err.count("warning")) == ("", 3)


@pytest.mark.arch("8.logs")
def test_logs_are_followed_over_a_change_of_files(tmp_path: Path) -> None:
    path = tmp_path / "access_llm.log"
    path.write_text("1\n2")

    def grow() -> Iterator[None]:
        with path.open("a") as log:
            log.write("+\n3\n")
        yield
        with path.open("a") as log:
            log.write("4\n")
        path.rename(tmp_path / "access_llm.log.1")
        path.write_text("5\n")
        yield
        (tmp_path / "access_ingress.log").write_text("6\n")
        yield

    steps = grow()
    found = lines([path, tmp_path / "access_ingress.log"], follow=True, pause=lambda: next(steps))
    assert [next(found) for _ in range(6)] == ["1", "2+", "3", "4", "5", "6"]
    found.close()  # type: ignore[attr-defined]


@pytest.mark.e2e
@pytest.mark.arch("8.logs")
async def test_following_ends_with_an_interrupt(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "access_llm.log").write_text("one\n")
    process = await start("arch", "logs", "--follow", env=environment(tmp_path))
    assert process.stdout is not None
    async with asyncio.timeout(SECONDS):
        assert await process.stdout.readline() == b"one\n"
        with (folder / "access_llm.log").open("a") as log:
            log.write("two\n")
        assert await process.stdout.readline() == b"two\n"
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 130
