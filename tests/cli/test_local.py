"""Commands that need no server: the database's, the configuration's, and what the installation says of itself."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from cogapp import Cog

from promptd import __version__
from promptd.cli.client import home_key
from promptd.cli.exits import Exit
from promptd.core.connections import StoredConnection, StoredSettings
from promptd.home import HomeLock
from promptd.stores.sqlite import database
from tests.cli.support import COMMAND, command, environment

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
HEAVY = {"cryptography", "msgspec", "prometheus_client", "promptd.app", "promptd.settings", "promptd.stores", "pydantic"} | {
    *("pyreqwest", "rich", "sqlite3", "ssl", "starlette", "uvicorn", "uvloop", "yaml", "http.client", "xllamacpp", "asyncio"),
}  # fmt: skip
ARCH = """version: v0.3.0
listeners: [{type: model, name: llm, port: 12000, address: 127.0.0.1}]
model_providers: [{model: openai/gpt-4o, access_key: k, default: true}]
"""
NEWEST = database.migrations()[-1][0]


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return environment(tmp_path)


def make_database(path: Path) -> None:
    with closing(database.connect(path)) as connection:
        database.migrate(connection, path)


def marked(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        number: int = connection.execute("select count(*) from sqlite_master where name = 'mark'").fetchone()[0]
        return number


def mark(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("create table mark (x)")


# ---------------------------------------------------------------- start


@pytest.mark.parametrize("arguments", [["--help"], ["ask", "--help"], ["prompts", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys, promptd.cli\n"
        "try: promptd.cli.main()\n"
        "except SystemExit as end: assert end.code == 0, end.code\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    loaded = set(done.stderr.split())
    assert "promptd.cli.root" in loaded
    assert loaded & HEAVY == set()


def test_the_reference_is_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert Cog().main(["cog", "--check", "docs/cli.md"]) == 0, "run `cog -r docs/cli.md`"


async def test_every_command_explains_itself(env: dict[str, str]) -> None:
    page = (ROOT / "docs/cli.md").read_text(encoding="utf-8")
    commands = [line.removeprefix("### promptd").split() for line in page.split("\n") if line.startswith("### promptd")]
    assert len(commands) > 25
    for words in (commands[0], commands[-1], ["prompts", "list"]):
        result = await command(*words, "--help", env=env)
        assert (result.code, result.err) == (0, "")
        assert result.out.startswith(f"Usage: {' '.join(['promptd', *words])} ")


async def test_version(env: dict[str, str]) -> None:
    assert await command("--version", env=env) == (0, f"promptd {__version__}\n", "")
    assert json.loads((await command("version", "--json", env=env)).out)["promptd"] == __version__
    assert (await command("version", env=env)).out.startswith(f"promptd {__version__}\n")


async def test_without_a_command_the_help_is_shown(env: dict[str, str]) -> None:
    result = await command(env=env)
    assert (result.code, result.out) == (Exit.USAGE, "")
    assert result.err.startswith("Usage: promptd ")


@pytest.mark.parametrize(("shell", "sign"), [("bash", "complete -o"), ("zsh", "#compdef"), ("fish", "complete --")])
async def test_completion_scripts(env: dict[str, str], shell: str, sign: str) -> None:
    result = await command("completion", shell, env=env)
    assert result.code == 0
    assert sign in result.out
    assert "_PROMPTD_COMPLETE" in result.out


async def test_words_are_completed(env: dict[str, str]) -> None:
    asked = {"_PROMPTD_COMPLETE": "bash_complete", "COMP_WORDS": "promptd prompts re", "COMP_CWORD": "2"}
    assert (await command(env={**env, **asked})).out == "plain,retry\n"


# ---------------------------------------------------------------- the database


async def test_migrate(env: dict[str, str], tmp_path: Path) -> None:
    missing = await command("migrate", "--check", "--json", env=env)
    assert missing.code == Exit.FAILED
    assert json.loads(missing.out)["pending"] == [number for number, _ in database.migrations()]
    path = tmp_path / "promptd.db"
    assert not path.exists()
    first = await command("migrate", env=env)
    assert (first.code, first.err) == (0, "")
    assert first.out.startswith(f"{path}: applied 0001")
    assert await command("migrate", env=env) == (0, f"{path}: up to date\n", "")
    assert await command("migrate", "--check", env=env) == (0, f"{path}: up to date\n", "")


async def test_migrate_and_restore_leave_a_used_database_alone(env: dict[str, str], tmp_path: Path) -> None:
    path, copy = tmp_path / "promptd.db", tmp_path / "copy.db"
    make_database(path)
    assert (await command("backup", str(copy), env=env)).code == 0
    mark(path)
    arch = tmp_path / "arch_config.yaml"
    arch.write_text(ARCH)
    lock = HomeLock(tmp_path)
    try:
        for arguments in (["migrate"], ["restore", str(copy)], ["serve"], ["serve", "--config", str(arch)]):
            assert await command(*arguments, env=env) == (
                Exit.USAGE,
                "",
                f"promptd: another promptd is using {tmp_path}\n",
            )
    finally:
        lock.release()
    assert marked(path)
    assert (await command("restore", str(copy), env=env)).code == 0
    assert not marked(path)


async def test_backup_and_restore(env: dict[str, str], tmp_path: Path) -> None:
    path, copy = tmp_path / "promptd.db", tmp_path / "copy.db"
    result = await command("backup", str(copy), env=env)
    assert result == (Exit.NOT_FOUND, "", f"promptd: there is no database {path}\n")
    make_database(path)
    lock = HomeLock(tmp_path)  # a running server does not matter to a backup
    result = await command("backup", str(copy), "--json", env=env)
    lock.release()
    assert json.loads(result.out) == {"path": str(path), "file": str(copy), "bytes": copy.stat().st_size}
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    again = await command("backup", str(copy), env=env)
    assert again == (Exit.USAGE, "", f"promptd: {copy} exists; say --force to replace it\n")
    mark(path)
    assert (await command("backup", str(copy), "--force", env=env)).code == 0
    assert marked(copy)
    path.unlink()
    make_database(path)
    result = await command("restore", str(copy), "--json", env=env)
    kept = Path(json.loads(result.out)["kept"])
    assert marked(path)
    assert not marked(kept)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_the_database_is_no_backup_of_itself(env: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "promptd.db"
    make_database(path)
    for arguments in (["backup", "--force", str(path)], ["restore", str(path)]):
        assert await command(*arguments, env=env) == (Exit.USAGE, "", f"promptd: {path} is the database itself\n")
    assert path.exists()


@pytest.mark.parametrize("content", [b"", b"no database" * 1000])
async def test_a_bad_backup_changes_nothing(env: dict[str, str], tmp_path: Path, content: bytes) -> None:
    path, bad = tmp_path / "promptd.db", tmp_path / "bad.db"
    make_database(path)
    mark(path)
    bad.write_bytes(content)
    result = await command("restore", str(bad), env=env)
    assert result.code == Exit.FAILED
    assert result.err.startswith(f"promptd: {bad}")
    assert result.err.count("\n") == 1
    assert marked(path)


async def test_backup_into_nowhere(env: dict[str, str], tmp_path: Path) -> None:
    make_database(tmp_path / "promptd.db")
    result = await command("backup", str(tmp_path / "absent" / "copy.db"), env=env)
    assert result == (Exit.USAGE, "", f"promptd: there is no folder {tmp_path / 'absent'}\n")


# ---------------------------------------------------------------- settings


async def test_config_check_prints_settings_without_secrets(env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "promptd.yaml").write_text(
        "server: {port: 4711}\n"
        "connections: {cloud: {engine: openai, base_url: 'http://127.0.0.1:1/v1', api_key: sesame, slots: 2}}\n"
        "models: {large: {connection: cloud}}\n"
        "keys: {admin_key: pk-1-sesame-open-yourself}\n"
    )
    result = await command("config", "check", "--json", env=env)
    assert (result.code, result.err) == (0, "")
    shown = json.loads(result.out)
    assert shown["server"]["port"] == 4711
    cloud = shown["connections"]["cloud"]
    assert (cloud["engine"], cloud["slots"], cloud["base_url"]) == ("openai", 2, "http://127.0.0.1:1/v1")
    people = await command("config", "check", env=env)
    assert "port: 4711\n" in people.out
    for text in (result.out, people.out):
        assert "sesame" not in text
        assert "****" in text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("server: {prot: 1}", 'server.prot: unknown setting, did you mean "port"?'),
        ("connections: {c: {engine: openai, base_ulr: x}}\nmodels: {m: {connection: c}}", "connections.c.base_ulr"),
        ("connections: {c: {engine: openai, base_url: x}}\nmodels: {m: {connection: c}}", "connections.c.base_url: expected an address that"),
        ('connections: {c: {engine: openai, api_key: "s\\n"}}\nmodels: {m: {connection: c}}', "connections.c.api_key: expected characters that"),
        ("guard: {patterns: [{name: p, pattern: '(?=x)'}]}", "guard.patterns[0].pattern: 'p' is not an RE2 pattern"),
        ("guard: {blocklist: [' ']}", "guard.blocklist[0]: expected a visible word"),
        ("connections: {c: {engine: opnai}}\nmodels: {m: {connection: c}}", 'unknown engine "opnai", did you mean "openai"?'),
    ],
)  # fmt: skip
async def test_a_wrong_setting_is_one_line(env: dict[str, str], tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "promptd.yaml").write_text(text)
    for arguments in (["config", "check"], ["serve", "--port", "0"]):
        result = await command(*arguments, env=env)
        assert (result.code, result.out) == (Exit.USAGE, "")
        assert said in result.err
        assert result.err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("server: {host: 192.0.2.1}", "server.host: can't listen on 192.0.2.1: "),
        ("store: {path: absent/promptd.db}", "store.path: there is no folder "),
        ("store: {path: folder}", "store.path: {home}/folder is a folder"),
        ("server: {tls_cert: '{home}/empty.pem', tls_key: '{home}/empty.pem'}", "server.tls_cert: expected PEM files"),
    ],
)
async def test_config_check_asks_what_serve_needs_of_the_machine(
    env: dict[str, str], tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.pem").touch()
    (tmp_path / "promptd.yaml").write_text(text.replace("{home}", str(tmp_path)))
    before = sorted(tmp_path.iterdir())
    result = await command("config", "check", env=env)
    assert (result.code, result.out) == (Exit.USAGE, "")
    assert said.replace("{home}", str(tmp_path)) in result.err
    assert result.err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


async def test_config_check_knows_stored_connections(env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "promptd.yaml").write_text("models: {m: {connection: office}}")
    unsure = await command("config", "check", env=env)
    assert unsure.code == 0
    assert "warning: models lead to 'office', which is no connection of the file" in unsure.err
    assert f"there is no store {tmp_path / 'promptd.db'} yet" in unsure.err

    opened = database.Database(tmp_path / "promptd.db")
    settings = StoredSettings(b"sealed", engine="scripted")
    await opened.records.put(
        StoredConnection(
            id="1", name="office", engine="scripted", settings=settings, created=1.0, changed=1.0, user="ann"
        )
    )
    for running in (True, False):
        before, bytes_before = sorted(tmp_path.iterdir()), (tmp_path / "promptd.db").read_bytes()
        known = await command("config", "check", env=env)
        assert (known.code, known.err) == (0, ""), running
        (tmp_path / "promptd.yaml").write_text("models: {m: {connection: ofice}}")
        mistyped = await command("config", "check", env=env)
        assert (mistyped.code, mistyped.out) == (Exit.USAGE, "")
        assert (
            "models.m.connection: expected one of builtin, office: there is no 'ofice', nor is one stored"
            in mistyped.err
        )
        (tmp_path / "promptd.yaml").write_text("models: {m: {connection: office}}")
        assert (sorted(tmp_path.iterdir()), (tmp_path / "promptd.db").read_bytes()) == (before, bytes_before)
        if running:
            await opened.close()

    (tmp_path / "promptd.db").write_bytes(b"no database" * 500)
    unsure = await command("config", "check", env=env)
    assert unsure.code == 0
    assert "can't be read" in unsure.err


async def test_config_check_leaves_a_home_that_is_not_there_yet(env: dict[str, str], tmp_path: Path) -> None:
    home = tmp_path / "new" / "home"
    result = await command("config", "check", env={**env, "PROMPTD_HOME": str(home), "PROMPTD_ADMIN_KEY": ""})
    assert (result.code, result.err) == (0, "")
    assert "admin_key: null" in result.out
    assert not home.parent.exists()
    blocked, empty = tmp_path / "file", tmp_path / "empty.yaml"
    blocked.touch()
    empty.touch()
    result = await command(
        "config", "check", "--config", str(empty), env={**env, "PROMPTD_HOME": str(blocked / "home")}
    )
    assert (result.code, result.err) == (Exit.USAGE, f"promptd: home: there is no folder {blocked}\n")


async def test_serve_names_the_option_that_is_wrong(env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("")
    for arguments, said in (
        (["--tls-cert", str(tmp_path / "cert.pem")], "server.tls_key: expected a file"),
        (["--host", ""], "(from --host)"),
        (["--gguf", str(tmp_path / "absent.gguf")], "does not exist"),
        (["--port", "65536"], "--port"),
    ):
        result = await command("serve", *arguments, env=env)
        assert (result.code, result.out) == (Exit.USAGE, "")
        assert said in result.err
        assert result.err.count("\n") == 1


async def test_plugins(env: dict[str, str], tmp_path: Path) -> None:
    info = tmp_path / "packages" / "broken-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[promptd.engines]\nbroken = absent_module:Engine\n")
    result = await command("plugins", env={**env, "PYTHONPATH": str(info.parent)})
    assert result.code == 0
    everything = "chat,completion,embedding,image,speech,transcription,vision"
    assert f"engine\topenai\t{everything}\tpromptd.engines.openai.engine\t" in result.out
    assert result.err.startswith("promptd: warning: broken, promptd.engines:broken: ModuleNotFoundError")
    shown = json.loads((await command("plugins", "--json", env=env)).out)
    assert "openai" in [item["name"] for item in shown["items"]]
    assert all(problem["plugin"] != "broken" for problem in shown["problems"])


# ---------------------------------------------------------------- keys


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1", "https://127.9.9.9"])
def test_the_key_of_this_machine_is_used_on_it(url: str, tmp_path: Path) -> None:
    (tmp_path / "cli.key").write_text("pk-1-x\n")
    assert home_key(url, {"PROMPTD_HOME": str(tmp_path)}) == "pk-1-x"


@pytest.mark.parametrize(
    "url", ["http://192.0.2.1", "https://example.com", "http://localhost.example.com", "http://127.0.0.1.example.com"]
)
def test_the_key_of_this_machine_never_leaves_it(url: str, tmp_path: Path) -> None:
    (tmp_path / "cli.key").write_text("pk-1-x\n")
    assert home_key(url, {"PROMPTD_HOME": str(tmp_path)}) is None


async def test_a_narrow_locale_does_not_end_a_command(env: dict[str, str]) -> None:
    process = await asyncio.create_subprocess_exec(
        *(COMMAND, "prompts", "prune", "--older-than", "ä"),
        env={**env, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"},
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await process.communicate()
    assert process.returncode == Exit.USAGE
    assert err.startswith(b"promptd: ")
    assert b"Traceback" not in err
