"""Secrets of stored connections: none leaves, all are sealed anew."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from promptd.core.calls import Call, ConnectionTestParams, ConnectionTestResult, Result
from promptd.core.engine import Engine
from promptd.core.errors import AuthenticationFailed, SettingsError
from promptd.core.forms import FieldMessage, FormPatch
from tests.faces.client import problem
from tests.faces.conftest import Serve
from tests.faces.native.connections.conftest import ALL, BASE, FORM, QUERY, Desk
from tests.service.connection_lab import KEY, LONGER, Brittle, Logic, Printer, PrinterConfig

pytestmark = pytest.mark.slow


# ------------------------------------------------------------------ secrets


@pytest.mark.formcycle(9)
async def test_no_secret_leaves_the_server(serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Everything that can be asked is asked, everything that can fail fails, and nobody says the secret."""
    caplog.set_level(logging.DEBUG)
    printer = Printer()
    printer.logic = logic = Logic()
    secrets = (KEY, "hidden-words-too")

    async def test(params: ConnectionTestParams[Any]) -> ConnectionTestResult:
        key = params.connection.api_key.get_secret_value()
        params.log.warning("calling with %s", key, extra={"header": f"Bearer {key}"})
        params.log.error("and again", exc_info=ValueError(key))
        raise RuntimeError(f"401 for {key}")

    def patch(draft: Any) -> FormPatch:
        key = draft.connection.api_key.get_secret_value()
        return FormPatch(
            values={"base_url": f"https://{key}.example", "api_key": key}, messages=[FieldMessage("", key)]
        )

    printer.test, logic.patch = test, patch
    said: list[bytes] = []
    async with serve(engines={"acme.printer": printer, "acme.brittle": Brittle()}) as server:
        http = server.admin
        body = {
            "name": "office",
            "engine": "acme.printer",
            "config": {"api_key": KEY, "proxy": {"password": "hidden-words-too"}},
        }
        made = (await http.post(ALL, body)).json
        draft = {"config": made["config"], "connection": "office"}
        wrong = body | {"config": body["config"] | {"base_url": KEY, "pages": KEY, "mode": KEY, KEY: KEY}}  # type: ignore[operator]
        asked: list[tuple[str, str, Any]] = [
            ("GET", ALL, None),
            ("GET", f"{ALL}/office", None),
            ("GET", f"{ALL}/office/export", None),
            ("GET", f"{FORM}?connection=office", None),
            ("GET", f"{QUERY}?connection=office", None),
            ("POST", f"{ALL}/office/test", None),
            ("POST", f"{ALL}/test", {"engine": "acme.printer", **draft}),
            ("POST", f"{ALL}/office/check", None),
            ("POST", f"{FORM}/options", draft | {"source": "models"}),
            ("POST", f"{FORM}/change", draft | {"path": "mode"}),
            ("POST", f"{FORM}/action", draft | {"action": "load"}),
            ("POST", f"{FORM}/validate", draft),
            ("POST", f"{QUERY}/options", {"connection": "office", "source": "tasks"}),
            ("POST", ALL, wrong | {"name": "other"}),
            ("PUT", f"{ALL}/office", {"changed_at": made["changed_at"], "config": wrong["config"]}),
            ("GET", f"{BASE}/plugins", None),
            ("GET", f"{BASE}/openapi.json", None),
            ("POST", f"{ALL}/office/restore", {"changed_at": made["changed_at"]}),
            ("POST", f"{BASE}/vault/rotate", None),
            ("GET", f"{ALL}/office", None),
        ]
        for method, path, given in asked:
            answer = await http.call(method, path, given)
            assert answer.status < 500, (path, answer.body)
            for secret in secrets:
                # a path may repeat what the client itself just made a name of
                body_said = answer.body.replace(f"config.{KEY}".encode(), b"")
                assert secret.encode() not in body_said, (method, path, answer.body)
            said.append(answer.body)
    assert len(printer.tested) == 3
    for record in caplog.records:
        shown = f"{record.getMessage()} {record.__dict__} {record.exc_text}"
        if record.exc_info and record.exc_info[1] is not None:
            shown += repr(record.exc_info[1])
        for secret in secrets:
            assert secret not in shown, record
    assert any("401 for ***" in record.getMessage() for record in caplog.records), "the log knows why, without it"


class Leaky(Engine[PrinterConfig]):
    """Quotes its key wherever it can."""

    type_id = "acme.leaky"

    async def execute(self, call: Call[PrinterConfig]) -> Result:
        key = call.connection.api_key.get_secret_value()
        fault = call.messages[-1].content
        if fault == "known":
            error = AuthenticationFailed(f"{key} is wrong", detail=f"{key} is wrong")
            error.native = (401, f'{{"error": "{key} is wrong"}}'.encode())
            raise error
        raise RuntimeError(f"no use for {key}")

    async def count(self, call: Call[PrinterConfig]) -> int | None:
        raise AuthenticationFailed(f"{call.connection.api_key.get_secret_value()} is wrong")


@pytest.mark.parametrize("fault", ["known", "unknown"])
@pytest.mark.formcycle(9, 43)
async def test_no_secret_is_in_the_history_of_a_run(
    serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    caplog.set_level(logging.DEBUG)
    connections = {"leaky": {"engine": "acme.leaky", "api_key": LONGER, "proxy": {"password": KEY}}}
    sections = {"connections": connections, "models": {"demo": {"connection": "leaky"}}}
    async with serve(engines={"acme.leaky": Leaky()}, **sections) as server:
        asked = {"prompt": fault, "id": "run", "max_attempts": 1}
        said = [(await server.http.post(f"{BASE}/prompts?wait=20", asked)).body]
        said += [(await server.http.get(f"{BASE}/prompts/run{path}")).body for path in ("", "/attempts", "/events")]
        body = {"model": "demo", "messages": [{"role": "user", "content": fault}]}
        said.append((await server.http.post("/v1/chat/completions", body)).body)
        message = body | {"max_tokens": 5}
        said.append((await server.http.post("/v1/messages", message)).body)
        said.append((await server.http.post("/v1/messages/count_tokens", body)).body)
    assert sum(b"*** is wrong" in one for one in said) >= (4 if fault == "known" else 0)
    for one in said:
        assert b"correct-horse" not in one, one
    database = b"".join(file.read_bytes() for file in tmp_path.glob("promptd.db*"))
    assert b"correct-horse" not in database
    assert "correct-horse" not in "".join(record.getMessage() for record in caplog.records)


async def test_rotation_reseals_and_a_given_key_is_left_to_the_operator(serve: Serve, tmp_path: Path) -> None:
    printer = Printer()
    async with serve(engines={"acme.printer": printer}) as server:
        made = await Desk(server, printer).make()
        before = (tmp_path / "vault.key").read_text()
        assert (await server.admin.post(f"{BASE}/vault/rotate")).json == {"sealed": 1, "forgotten": True}
        after = (tmp_path / "vault.key").read_text()
        assert after != before
        assert len(after.splitlines()) == 1
    async with serve(engines={"acme.printer": printer}) as server:
        assert (await server.admin.get(f"{ALL}/office")).json == made
    old, new = after.strip(), before.strip()  # any two keys
    async with serve(engines={"acme.printer": printer}, vault={"key": old}) as server:
        assert (await server.admin.get(f"{ALL}/office")).json == made
        problem(await server.admin.post(f"{BASE}/vault/rotate"), 409, "conflict")
    async with serve(engines={"acme.printer": printer}, vault={"key": f"{new}, {old}"}) as server:
        assert (await server.admin.post(f"{BASE}/vault/rotate")).json == {"sealed": 1, "forgotten": False}
    async with serve(engines={"acme.printer": printer}, vault={"key": new}) as server:
        assert (await server.admin.get(f"{ALL}/office")).json == made


async def test_a_key_that_can_not_be_one_stops_the_start(serve: Serve, tmp_path: Path) -> None:
    for wrong in ({"key": "pv1 nonsense"}, {"path": str(tmp_path)}):
        with pytest.raises(SettingsError, match="vault") as caught:
            async with serve(vault=wrong):
                pass
        assert caught.value.key == "vault"
        assert "nonsense" not in caught.value.message
