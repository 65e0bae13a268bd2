"""The commands against a real server."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from promptd.cli.exits import Exit
from tests.cli.support import SECONDS, Result, command, environment, start
from tests.e2e.harness import Server, running

pytestmark = pytest.mark.e2e  # every command meets a real server process

CONFIG: dict[str, Any] = {
    "connections": {"stage": {"engine": "scripted", "slots": 2}},
    "models": {"demo": {"connection": "stage"}},
    "retry": {"base_seconds": 1.0},
    "streams": {"retry_hint_ms": 50},
}


class Cli:
    """Commands for one server."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.env = environment(server.home, PROMPTD_URL=server.url)

    async def __call__(self, *arguments: str, **env: str) -> Result:
        return await command(*arguments, env={**self.env, **env})

    async def json(self, *arguments: str, code: int = 0, **env: str) -> Any:
        result = await self(*arguments, "--json", **env)
        assert (result.code, result.err) == (code, ""), result
        return json.loads(result.out)


@pytest.fixture
async def cli(tmp_path: Path) -> AsyncIterator[Cli]:
    async with running(tmp_path / "home", CONFIG) as server:
        yield Cli(server)


def script(*steps: dict[str, Any]) -> str:
    return json.dumps(steps)


async def test_ask_prints_exactly_the_stored_answer(cli: Cli) -> None:
    text = "Grüße,\n\n  Welt \U0001f600\n"
    result = await cli("ask", script({"say": text, "pieces": 7}))
    assert result == (0, text, "")
    (prompt,) = (await cli.json("prompts", "list"))["items"]
    assert (prompt["status"], prompt["answer"]["text"]) == ("completed", text)
    assert await cli("prompts", "follow", prompt["id"]) == (0, text, "")
    shown = await cli("prompts", "show", "--attempts", prompt["id"])
    assert re.search(r"^status +completed$", shown.out, re.MULTILINE)
    assert f"answer:\n{text}" in shown.out
    assert "\tcompleted\t" in shown.out
    assert (await cli.json("prompts", "show", prompt["id"]))["id"] == prompt["id"]
    assert len((await cli.json("prompts", "show", "--attempts", prompt["id"]))["ledger"]) == 1
    again = await cli.json("prompts", "follow", prompt["id"])
    assert again["answer"] == prompt["answer"]


async def test_ask_survives_a_killed_server(cli: Cli, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    process = await start("ask", script({"say": "all "}, {"wait_file": str(gate)}, {"say": "of it"}), env=cli.env)
    # the status is all there is to wait for: nothing is written into a pipe yet
    async with cli.server.client() as client, asyncio.timeout(SECONDS):
        while not (await client.get("/prompts", params={"status": "running"})).json()["items"]:
            pass
    await cli.server.kill()
    await cli.server.start()
    gate.touch()
    out, err = await asyncio.wait_for(process.communicate(), SECONDS)
    assert (process.returncode, out, err) == (0, b"all of it", b"")
    (prompt,) = (await cli.json("prompts", "list"))["items"]
    assert (prompt["status"], prompt["answer"]["text"], prompt["rescues"]) == ("completed", "all of it", 1)


async def test_a_retried_attempt_leaves_no_void_text(cli: Cli) -> None:
    attempts = [[{"say": "void"}, {"fail": "network_error"}], [{"say": "good"}]]
    assert await cli("ask", json.dumps(attempts)) == (0, "good", "")


async def test_a_failed_prompt(cli: Cli) -> None:
    failing = script({"say": "half"}, {"fail": "content_filtered", "message": "no such talk"})
    assert await cli("ask", failing) == (
        Exit.PROMPT_FAILED,
        "",
        "promptd: the prompt failed: no such talk (content_filtered)\n",
    )
    result = await cli("ask", "--json", failing)
    assert result.code == Exit.PROMPT_FAILED
    assert json.loads(result.out)["status"] == "abandoned"


async def test_ctrl_c_cancels(cli: Cli) -> None:
    process = await start("ask", script({"say": "x"}, {"hang": True}), env=cli.env)
    async with cli.server.client() as client, asyncio.timeout(SECONDS):
        while not (await client.get("/prompts", params={"status": "running"})).json()["items"]:
            pass
    process.send_signal(signal.SIGINT)
    out, err = await asyncio.wait_for(process.communicate(), SECONDS)
    (prompt,) = (await cli.json("prompts", "list", "--status", "canceled"))["items"]
    expected = (Exit.INTERRUPTED, b"", f"promptd: canceled {prompt['id']}\n".encode())
    assert (process.returncode, out, err) == expected


async def test_the_life_of_a_queued_prompt(cli: Cli) -> None:
    queued = await cli("ask", "--queue", "--thread", "talk", script({"hang": True}))
    identifier = queued.out.strip()
    assert re.fullmatch(r"prm_\w{26}", identifier)
    assert (await cli("prompts", "cancel", identifier)).out == f"{identifier}  canceled\n"
    again = await cli("prompts", "cancel", identifier, "prm_absent")
    assert again.code == Exit.FAILED
    assert [line.split(":")[1].strip() for line in again.err.splitlines()] == [identifier, "prm_absent"]
    assert (await cli("prompts", "retry", identifier)).code == 0
    assert (await cli("prompts", "delete", identifier)).code == Exit.FAILED
    assert (await cli.json("prompts", "cancel", identifier))["status"] == "canceled"
    assert (await cli("prompts", "delete", identifier)).out == f"{identifier}  deleted\n"
    result = await cli("prompts", "show", identifier)
    assert (result.code, result.out) == (Exit.NOT_FOUND, "")
    assert (await cli("prompts", "follow", identifier)).code == Exit.NOT_FOUND


async def test_lists(cli: Cli) -> None:
    for number in range(3):
        assert (await cli("ask", f"number {number}", "--thread", "talk" if number else "other")).code == 0
    lines = (await cli("prompts", "list", "--limit", "2")).out.splitlines()
    assert [line.split("\t")[1] for line in lines] == ["STATUS", "completed", "completed"]
    assert (await cli("prompts", "list", "--count", "--thread", "talk")).out == "2\n"
    assert await cli.json("prompts", "list", "--count", "--status", "running", "--status", "errored") == {"count": 0}
    everything = await cli("prompts", "list", "--all", "--json", "--order", "created_at")
    asked = [json.loads(line)["request"]["messages"][0]["content"] for line in everything.out.splitlines()]
    assert asked == ["number 0", "number 1", "number 2"]
    wrong = await cli("prompts", "list", "--order", "colour")
    assert wrong.code == Exit.USAGE
    assert "order" in wrong.err


async def test_prune(cli: Cli) -> None:
    await cli("ask", "hi")
    assert (await cli("prompts", "prune", "--older-than", "0s")).code == Exit.USAGE
    assert (await cli("prompts", "prune", "--older-than", "1d", "--yes")).out == "0 prompts deleted\n"
    assert (await cli("prompts", "prune", "--older-than", "0s", "--dry-run")).out == "1 prompt would be deleted\n"
    pruned = await cli.json("prompts", "prune", "--older-than", "0s", "--yes")
    assert pruned == {"count": 1, "dry_run": False}
    assert (await cli("prompts", "list", "--count")).out == "0\n"


async def test_models_and_connections(cli: Cli) -> None:
    (model,) = (await cli.json("models", "list"))["items"]
    assert (model["name"], model["status"], model["default"]) == ("demo", "ready", True)
    assert "demo\tready\tstage\tscripted\t" in (await cli("models", "list")).out
    assert (await cli("models", "start", "demo")).out == "demo  ready\n"
    assert (await cli("models", "stop", "demo")).code == 0
    assert (await cli("models", "start", "a/b")).code == Exit.NOT_FOUND
    assert (await cli("connections", "list")).out == "NAME\tENGINE\tBUSY\tSLOTS\tMODELS\nstage\tscripted\t0\t2\tdemo\n"
    assert (await cli("connections", "check", "stage")).out.startswith("stage  ok")
    assert (await cli("connections", "check", "absent")).code == Exit.NOT_FOUND
    unknown = await cli("ask", "--model", "dmeo", "hi")
    assert unknown.code == Exit.NOT_FOUND
    assert "did you mean demo?" in unknown.err


async def test_keys(cli: Cli) -> None:
    secret = (await cli("keys", "create", "ci", "--user", "robot", "--expires", "90d")).out.strip()
    assert secret.startswith("pk-")
    assert (await cli("ask", "hi", PROMPTD_KEY=secret)).out == "hi"
    (prompt,) = (await cli.json("prompts", "list", PROMPTD_KEY=secret))["items"]
    assert prompt["user"] == "robot"
    forbidden = await cli("prompts", "prune", "--older-than", "1d", "--yes", PROMPTD_KEY=secret)
    assert (forbidden.code, forbidden.err.count("\n")) == (Exit.DENIED, 1)
    keys = (await cli.json("keys", "list"))["items"]
    assert secret not in json.dumps(keys)
    (identifier,) = [key["id"] for key in keys if key["name"] == "ci"]
    assert identifier in (await cli("keys", "list")).out
    edits = ("--limit", "requests=60/1m", "--limit", "cost=2.5/month", "--limit", "concurrency=4", "--model", "de*")
    assert (await cli("keys", "edit", identifier, *edits, "--label", "app=shop")).out == f"{identifier}  changed\n"
    (key,) = [key for key in (await cli.json("keys", "list"))["items"] if key["id"] == identifier]
    assert [(limit["name"], limit["limit"], limit["window"], limit["period"]) for limit in key["limits"]] == [
        ("requests-1m", 60, 60.0, None),
        ("cost-month", 2_500_000_000, None, "month"),
        ("concurrency", 4, None, None),
    ]
    assert (key["models"], key["labels"]) == (["de*"], {"app": "shop"})
    assert "requests-1m,cost-month,concurrency" in (await cli("keys", "list")).out
    freed = await cli.json("keys", "edit", identifier, "--no-limits", "--any-model", "--expires", "never")
    assert (freed["limits"], freed["models"], freed["expires_at"]) == ([], [], None)
    for wrong in ("requests", "requests=60", "requests=x/1m", "fun=1/day", "concurrency=4/day", "cost=1/soon"):
        assert (await cli("keys", "edit", identifier, "--limit", wrong)).code == Exit.USAGE
    assert (await cli("keys", "edit", identifier)).code == Exit.USAGE
    assert (await cli("keys", "revoke", identifier)).out == f"{identifier}  revoked\n"
    for key in (secret, "pk-1-wrong"):
        refused = await cli("ask", "hi", PROMPTD_KEY=key)
        assert (refused.code, refused.out, refused.err.count("\n")) == (Exit.DENIED, "", 1)
    limited = await cli.json("keys", "create", "reader", "--permission", "prompt-svc:prompt:view")
    assert limited["permissions"] == ["prompt-svc:prompt:view"]
    assert (await cli("ask", "hi", PROMPTD_KEY=limited["key"])).code == Exit.DENIED


async def test_the_database_of_a_running_server(cli: Cli, tmp_path: Path) -> None:
    await cli("ask", "remember me")
    copy = tmp_path / "copy.db"
    assert (await cli("backup", str(copy))).code == 0
    for arguments in (["migrate"], ["restore", str(copy)]):
        refused = await cli(*arguments)
        assert (refused.code, refused.err) == (
            Exit.USAGE,
            f"promptd: another promptd is using {cli.server.home}\n",
        )
    await cli("ask", "forget me")
    assert await cli.server.stop() == 0
    assert (await cli("restore", str(copy))).code == 0
    await cli.server.start()
    (prompt,) = (await cli.json("prompts", "list"))["items"]
    assert prompt["answer"]["text"] == "remember me"


async def test_serve_takes_options_before_variables_and_file(tmp_path: Path) -> None:
    home, model = tmp_path / "home", tmp_path / "My model (v1.2).gguf"
    home.mkdir()
    (home / "promptd.yaml").write_text(json.dumps(CONFIG))
    model.write_bytes(b"GGUF")
    env = environment(tmp_path, PROMPTD_HOME=str(tmp_path / "other"), PROMPTD_SERVER__HOST="192.0.2.1")
    process = await start(
        *("serve", "--home", str(home), "--host", "127.0.0.1", "--port", "0", "--gguf", str(model)), env=env
    )
    try:
        assert process.stderr is not None
        async with asyncio.timeout(SECONDS):
            while (
                listens := re.search(rb"listens on (http://127\.0\.0\.1:\d+)", await process.stderr.readline())
            ) is None:
                assert not process.stderr.at_eof()
        asking = environment(home, PROMPTD_URL=listens[1].decode())
        items = json.loads((await command("models", "list", "--json", env=asking)).out)["items"]
        assert {item["name"]: item["default"] for item in items} == {"demo": False, "My-model--v1.2-": True}
        busy = await command("serve", "--port", "0", env=asking)
        assert (busy.code, busy.err) == (Exit.USAGE, f"promptd: another promptd is using {home}\n")
    finally:
        process.terminate()
        await asyncio.wait_for(process.communicate(), SECONDS)
    assert process.returncode == 0


def certificate(folder: Path) -> tuple[str, str]:
    """A certificate for 127.0.0.1 that signs itself, and its key."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "promptd test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(private, hashes.SHA256())
    )
    cert, key = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return str(cert), str(key)


async def test_tls(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    config = {**CONFIG, "server": {"tls_cert": cert, "tls_key": key}}
    async with running(tmp_path / "home", config) as server:
        assert server.url.startswith("https://")
        ask = Cli(server)
        assert await ask("ask", "hi", SSL_CERT_FILE=cert) == (0, "hi", "")
        unknown = await ask("ask", "hi")
        assert (unknown.code, unknown.out, unknown.err.count("\n")) == (Exit.UNREACHABLE, "", 1)
        assert "certificate verify failed" in unknown.err
        plain = await ask("ask", "--retry-for", "0s", "hi", PROMPTD_URL=server.url.replace("https", "http"))
        assert (plain.code, plain.out, plain.err.count("\n")) == (Exit.UNREACHABLE, "", 1)
