"""Tests of connections: told in the reader's language, without secrets, and over when their time is."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from msgspec.structs import replace
from pydantic import SecretStr, field_serializer

from promptd.core.calls import CheckLine, ConnectionTestParams, ConnectionTestResult
from promptd.core.errors import ConfigUnusable, InvalidRequest, PermissionDenied, RateLimited, StaleVersion
from promptd.core.localisation import Key
from promptd.service.forms import Written
from promptd.service.redaction import RedactedLog, plain, redacted, spellings
from promptd.testing.upstream import Upstream
from tests.service.connection_lab import KEY, LONGER, Lab, PrinterConfig, opened

pytestmark = pytest.mark.slow

Params = ConnectionTestParams[Any]


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with opened(tmp_path, seconds=0.5) as made:
        yield made


@pytest.mark.formcycle(30)
async def test_a_test_of_unsaved_settings_stores_nothing(lab: Lab) -> None:
    tested = await lab.stored.test_unsaved(
        "acme.printer", Written(values={"api_key": KEY, "pages": 5}), identifier=None, locale="en"
    )
    assert tested.ok
    params = lab.printer.tested[-1]
    assert (params.connection.pages, params.connection.api_key.get_secret_value()) == (5, KEY)
    assert params.deadline is not None
    assert 0 < params.deadline - asyncio.get_running_loop().time() <= 0.5
    assert lab.stored.list() == ()
    assert lab.changes == 0
    with pytest.raises(InvalidRequest) as caught:
        await lab.stored.test_unsaved("acme.gone", Written(), identifier=None, locale="en")
    assert caught.value.field == "engine"
    await lab.make()
    with pytest.raises(InvalidRequest):
        await lab.stored.test_unsaved("acme.bare", Written(), identifier="office", locale="en")


async def test_half_filled_settings_can_be_tested_too(lab: Lab) -> None:
    written = Written(values={"pages": 1000, "mode": "loud", "unknown": 1})
    assert (await lab.stored.test_unsaved("acme.printer", written, identifier=None, locale="en")).ok
    assert lab.printer.tested[-1].connection.pages == 10


async def test_a_saved_test_is_noted(tmp_path: Path) -> None:
    async with opened(tmp_path) as lab:
        made = await lab.make()
        lab.printer.test = lambda params: ConnectionTestResult(
            ok=True, message="fine", discovered={"tasks": ["a", "b"]}, checks=(CheckLine(True, "reached"),)
        )
        tested = await lab.stored.test("office", locale="en")
        assert [line.text for line in tested.checks] == ["reached"]
    async with opened(tmp_path) as again:
        known = await again.stored.get("office")
        note = known.record.tested
        assert note is not None
        assert (note.ok, note.message, note.discovered) == (True, "fine", {"tasks": ["a", "b"]})
        assert known.record.changed == made.record.changed


async def test_settings_that_changed_meanwhile_keep_their_own_note(lab: Lab) -> None:
    made = await lab.make()
    reached, go = asyncio.Event(), asyncio.Event()

    async def slow(params: Params) -> ConnectionTestResult:
        reached.set()
        await go.wait()
        return ConnectionTestResult(ok=True, message="of the old settings")

    lab.printer.test = slow
    testing = asyncio.create_task(lab.stored.test("office", locale="en"))
    await reached.wait()
    await lab.save(made, pages=2)
    go.set()
    assert (await testing).ok
    assert (await lab.stored.get("office")).record.tested is None


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        (RateLimited(f"slow down, {KEY}"), "slow down, ***"),
        (RuntimeError(f"401 for {KEY}"), "The connection test failed"),
        (SystemExit(1), "The connection test failed"),
        (asyncio.CancelledError(), "The connection test failed"),
        (None, "The connection test took too long"),
        ("nonsense", "The connection test failed"),
        (ConnectionTestResult(ok=False, message=f"no {LONGER}"), "no ***-staple"),
        (ConnectionTestResult(ok=False, message=Key("promptd.test.failed")), "The connection test failed"),
    ],
)
@pytest.mark.formcycle(31)
async def test_however_it_ends_it_is_an_answer(
    lab: Lab, outcome: Any, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    never = asyncio.Event()

    async def test(params: Params) -> ConnectionTestResult:
        if outcome is None:
            await never.wait()
        if isinstance(outcome, BaseException):
            raise outcome
        found: ConnectionTestResult = outcome
        return found

    lab.printer.test = test
    made = await lab.make()
    tested = await lab.stored.test("office", locale="en")
    assert (tested.ok, tested.message) == (False, message)
    assert KEY not in caplog.text
    saved = await lab.save(made, pages=4)
    assert saved.record.settings != made.record.settings, "a failed test does not prevent saving"


@pytest.mark.formcycle(30)
async def test_messages_are_localised_late(lab: Lab) -> None:
    lab.printer.test = lambda params: ConnectionTestResult(ok=True, message=Key("promptd.test.ok"))
    await lab.make()
    assert (await lab.stored.test("office", locale="de-CH")).message == "Die Verbindung funktioniert"
    assert (await lab.stored.test("office", locale="fr")).message == "The connection works"


@pytest.mark.formcycle(43)
async def test_of_secrets_inside_each_other_the_longer_goes_whole(lab: Lab) -> None:
    lab.printer.test = lambda params: ConnectionTestResult(
        ok=True,
        message=f"{LONGER} and {KEY}",
        models=(LONGER,),
        discovered={f"x-{LONGER}": [KEY, {"deep": LONGER}, float("nan"), object()]},
    )
    await lab.make(api_key=LONGER, proxy={"password": KEY})
    tested = await lab.stored.test("office", locale="en")
    assert (tested.message, tested.models) == ("*** and ***", ("***",))
    assert tested.discovered == {"x-***": ["***", {"deep": "***"}, None, None]}


async def test_a_test_reaches_its_own_addresses_and_no_private_ones(lab: Lab) -> None:
    async def test(params: Params) -> ConnectionTestResult:
        async with params.http.request("GET", f"{params.connection.base_url}/models") as response:
            await response.read()  # the socket rests now, until somebody closes it
            return ConnectionTestResult(ok=response.status == 200)

    lab.printer.test = test
    async with Upstream() as upstream:
        written = Written(values={"api_key": KEY, "base_url": upstream.base_url})
        with pytest.raises(InvalidRequest) as caught:
            await lab.stored.test_unsaved("acme.printer", written, identifier=None, locale="en")
        assert caught.value.field == "base_url"
        lab.named.append(upstream.base_url)
        assert (await lab.stored.test_unsaved("acme.printer", written, identifier=None, locale="en")).ok
        await asyncio.wait_for(upstream.presence.left(), 10)

        async def elsewhere(params: Params) -> ConnectionTestResult:
            async with params.http.request("GET", "http://127.0.0.1:1/"):
                return ConnectionTestResult(ok=True)

        lab.printer.test = elsewhere
        tested = await lab.stored.test_unsaved("acme.printer", written, identifier=None, locale="en")
        assert not tested.ok
        assert tested.message == PermissionDenied("127.0.0.1 does not lead to a public address").message


# ------------------------------------------------------------------ words


@pytest.mark.formcycle(43)
def test_a_redacted_log_says_nothing_that_is_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    log = RedactedLog([KEY, LONGER], connection="office")
    log.debug("with %s and %s", KEY, LONGER)
    log.warning("an odd %d call", KEY)
    try:
        raise ValueError(LONGER)
    except ValueError:
        log.exception("it failed", extra={"header": {"Authorization": [LONGER]}})
    log.log(logging.INFO, LONGER)
    assert "correct-horse" not in caplog.text
    for record in caplog.records:
        assert "correct-horse" not in str(record.__dict__)
        assert record.__dict__["connection"] == "office"
    assert "ValueError: ***" in caplog.text


@pytest.mark.parametrize("secret", ['quo"te\\d', "a b/ü?&=", "line\nend", KEY])
def test_secrets_go_however_they_are_spelled(secret: str) -> None:
    known = spellings(PrinterConfig(api_key=SecretStr(secret)), None)
    for said in (secret, quote(secret, safe=""), quote_plus(secret), json.dumps({"key": secret}), repr([secret])):
        assert "***" in plain(f"told {said} to nobody", known)
        assert secret not in plain(f"told {said} to nobody", known)


class Shy(PrinterConfig):
    """Nobody can write it down."""

    @field_serializer("pages")
    def _no(self, pages: int) -> int:
        raise RuntimeError(KEY)


def test_where_secrets_can_not_be_known_nothing_is_told() -> None:
    with pytest.raises(ConfigUnusable) as caught:
        spellings(Shy())
    assert KEY not in caught.value.message


def test_what_is_too_deep_or_too_much_is_cut() -> None:
    deep: Any = "x"
    for _ in range(100):
        deep = [deep]
    assert "x" not in str(redacted(deep, []))
    assert sum(item is not None for item in redacted(["y"] * 100_000, [])) < 6000


async def test_stale_changes_and_notes_do_not_meet(lab: Lab) -> None:
    made = await lab.make()
    await lab.stored.test("office", locale="en")
    saved = await lab.save(made, pages=2)
    with pytest.raises(StaleVersion):
        await lab.save(made, pages=3)
    assert replace(saved.record, version=0).changed == saved.record.changed
