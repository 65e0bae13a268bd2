"""§6.33 to 6.45 over HTTP: what a handler is given, what it gives, and how it fails, as a caller sees it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from promptd.core.errors import RateLimited
from promptd.core.lifecycle import Status
from promptd.testing import media
from tests.conformance.lab import BASE, Lab, digest, opened
from tests.faces.client import problem
from tests.service.house import PATIENCE, Clock, House, fail

pytestmark = pytest.mark.slow

#: formcycle.md §5: code, HTTP status, whether it is worth another try
ERRORS = {
    "ExecutionFailed": ("execution_failed", 500, False),
    "InvalidInput": ("invalid_input", 422, False),
    "InputTooLarge": ("input_too_large", 413, False),
    "UnsupportedInput": ("unsupported", 422, False),
    "InvalidOutput": ("invalid_output", 502, True),
    "OutputTruncated": ("output_truncated", 502, False),
    "ContentFiltered": ("content_filtered", 422, False),
    "AuthenticationFailed": ("authentication_failed", 502, False),
    "PermissionDenied": ("permission_denied", 502, False),
    "ResourceNotFound": ("resource_not_found", 502, False),
    "RateLimited": ("rate_limited", 429, True),
    "QuotaExceeded": ("quota_exceeded", 503, False),
    "NetworkError": ("network_error", 502, True),
    "Timeout": ("timeout", 504, True),
    "ServiceUnavailable": ("service_unavailable", 503, True),
    "Cancelled": ("cancelled", 409, False),
    "ConfigIncomplete": ("config_incomplete", 409, False),
    "ConfigUnusable": ("config_unusable", 409, False),
    "HandlerUnavailable": ("handler_unavailable", 503, False),
    "DescriptorFailed": ("descriptor_failed", 500, False),
}
OTHERS = {
    "own error": ("quota_exceeded", 503, False),
    "unexpected": ("execution_failed", 500, False),
    "exit": ("execution_failed", 500, False),
    "stray cancel": ("execution_failed", 500, False),
    "group of one": ("timeout", 504, True),
    "mixed group": ("execution_failed", 500, False),
}


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with opened(tmp_path) as lab:
        yield lab


@pytest.mark.formcycle(37, 38, 39, 40, 42)
async def test_every_error_arrives_with_code_status_and_retry_flag(lab: Lab) -> None:
    for behaviour, (code, status, retryable) in (ERRORS | OTHERS).items():
        answer = await lab.ran(behaviour=behaviour)
        told = problem(answer, status, code)
        assert told["retryable"] is retryable, behaviour
        assert answer.headers.get("retry-after") == ("7" if code == "rate_limited" else None)
        prompt = (await lab.server.http.get(f"{BASE}/prompts/{told['run_id']}")).json
        assert prompt["error"]["code"] == code, behaviour
        assert (await lab.ran()).status == 200, "the run after it"


@pytest.mark.formcycle(37)
async def test_an_unexpected_exception_is_told_by_its_kind_and_logged_whole(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    told = problem(await lab.ran(behaviour="unexpected"), 500, "execution_failed")
    assert "LookupError" in told["detail"]
    assert "of an unexpected kind" not in told["detail"], "it may quote the prompt"
    logged = [record.getMessage() + str(record.__dict__) for record in caplog.records]
    assert any("LookupError('of an unexpected kind')" in line for line in logged)
    assert (await lab.ran()).status == 200, "the run after it"


@pytest.mark.formcycle(38)
async def test_a_real_cancellation_is_told_as_such(lab: Lab) -> None:
    await lab.query(behaviour="hang")
    running = asyncio.create_task(lab.run())
    call = await asyncio.to_thread(lab.probe.hanging.get, timeout=PATIENCE)
    canceled = await lab.server.http.post(f"{BASE}/prompts/{call.run_id}/cancel")
    assert canceled.status == 200, canceled.body
    told = problem(await running, 409, "cancelled")
    assert (told["run_id"], told["retryable"]) == (call.run_id, False)
    assert (await lab.ran()).status == 200, "the run after it"


@pytest.mark.formcycle(33, 34)
@pytest.mark.parametrize(
    ("inputs", "field"),
    [
        ({}, "name"),
        ({"name": None}, "name"),
        ({"name": "Ada", "other": 1}, "other"),
        ({"name": 5}, "name"),
        ({"name": "Ada", "count": "5"}, "count"),
        ({"name": "Ada", "count": 2.5}, "count"),
        ({"name": "Ada", "scan": "a text"}, "scan"),
    ],
)
async def test_wrong_values_never_reach_the_handler(lab: Lab, inputs: Any, field: str) -> None:
    problem(await lab.ran(inputs), 422, "invalid_input", field)
    assert lab.probe.calls == []


@pytest.mark.formcycle(34)
@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999"])
async def test_numbers_that_are_not_finite_never_reach_the_handler(lab: Lab, number: bytes) -> None:
    await lab.query()
    body = b'{"inputs": {"name": "Ada", "count": ' + number + b"}}"
    answer = await lab.server.http.post(f"{BASE}/templates/query/run", raw=body)
    assert answer.status in (400, 422), answer.body
    assert lab.probe.calls == []


async def upload(lab: Lab, data: bytes, name: str) -> str:
    answer = await lab.server.http.post(f"{BASE}/files?name={name}", raw=data)
    assert answer.status == 201, answer.body
    identifier: str = answer.json["id"]
    return identifier


@pytest.mark.formcycle(33, 34)
@pytest.mark.parametrize("fault", ["type", "size", "number", "name"])
async def test_wrong_files_never_reach_the_handler(lab: Lab, fault: str) -> None:
    await lab.query()
    data = {"type": b"%PDF-1.4\n", "size": media.png() + b"\0" * 1024 * 1024}.get(fault, media.png())
    files = [await upload(lab, data, "scan.png") for _ in range(2 if fault == "number" else 1)]
    answer = await lab.run(files={"other" if fault == "name" else "scan": files})
    assert (answer.status, answer.json["code"]) in {(422, "invalid_input"), (413, "input_too_large")}, answer.body
    assert lab.probe.calls == []


@pytest.mark.formcycle(35)
async def test_defaults_are_filled_in_and_what_is_absent_stays_so(lab: Lab) -> None:
    assert (await lab.ran({"name": "", "note": None})).status == 200
    assert lab.probe.calls[-1].value == {"name": "", "count": 3}
    assert lab.probe.calls[-1].files == {}
    assert (await lab.run(inputs={"name": "Ada", "count": 0, "note": ""})).status == 200
    assert lab.probe.calls[-1].value == {"name": "Ada", "count": 0, "note": ""}


@pytest.mark.formcycle(36)
async def test_outputs_are_held_to_their_descriptors(lab: Lab) -> None:
    for result in ("absent", "mistyped"):
        told = problem(await lab.ran(result=result), 502, "invalid_output")
        assert told["detail"].startswith("said: " if result == "absent" else "count: ")
    more = await lab.ran(result="more")
    assert (more.status, more.json["value"]) == (200, {"said": "Ada in en", "count": 1})
    assert any("extra" in warning for warning in more.json["warnings"])
    good = await lab.ran()
    assert (good.json["outputs"], good.json["warnings"]) == ({}, [])


@pytest.mark.formcycle(44)
async def test_a_file_comes_back_as_it_went_in(lab: Lab) -> None:
    await lab.query()
    data = media.png("a picture", 256, 256)
    run = await lab.run(files={"scan": [await upload(lab, data, "scan.png")]})
    assert run.status == 200, run.body
    (copy,) = run.json["outputs"]["copy"]
    back = await lab.server.http.get(f"{BASE}/files/{copy['id']}/content")
    assert digest(back.body) == digest(data)


@pytest.mark.formcycle(45)
async def test_a_hundred_runs_side_by_side_do_not_mix(tmp_path: Path) -> None:
    locales, names = ("en", "de", "fr"), [f"name-{number}" for number in range(100)]
    offices = {
        f"office{number}": {"engine": "acme.probe", "key": f"key-of-{number}", "slots": 50} for number in range(3)
    }
    async with opened(tmp_path, connections=offices, models={"m": {"connection": "office0"}}) as lab:
        for office in offices:
            body = {"connection": office, "settings": {"wording": f"{office} {{{{name}}}}"}, "label": "production"}
            assert (await lab.admin.post(f"{BASE}/templates/{office}/versions", body)).status == 201
        answers = await asyncio.gather(
            *(
                lab.run(f"office{number % 3}", {"name": name}, locale=locales[number % 3])
                for number, name in enumerate(names)
            )
        )
        for number, (name, answer) in enumerate(zip(names, answers, strict=True)):
            assert answer.status == 200, answer.body
            assert answer.json["value"]["said"] == f"office{number % 3} {name} in {locales[number % 3]}"
        seen = {(call.connection_name, call.connection.key.get_secret_value()) for call in lab.probe.calls}
        assert seen == {(f"office{number}", f"key-of-{number}") for number in range(3)}
        assert len(lab.probe.calls) == 100


@pytest.mark.formcycle(42)
async def test_a_wait_beyond_the_deadline_is_not_begun(tmp_path: Path) -> None:
    clock = Clock()
    house = House(tmp_path / "promptd.db", clock=clock)
    await house.start()
    try:
        house.engine.plans["hello"] = (fail(RateLimited(retry_after=60)),)
        done = await house.run("hello", deadline=clock() + 30)
        assert (done.status, done.runs) == (Status.ABANDONED, 1)
        assert done.error is not None
        assert done.error.code == "rate_limited"
        assert done.finished == clock(), "nobody waited"
    finally:
        await house.stop()


@pytest.mark.formcycle(27)
@pytest.mark.parametrize("fault", ["two of a name", "an illegal name", "required with a default", "no descriptors"])
async def test_bad_descriptors_are_told_as_such(lab: Lab, fault: str) -> None:
    answer = await lab.query(behaviour=fault)
    assert (answer.status, answer.json["code"]) == (500, "descriptor_failed"), answer.body
    assert lab.probe.calls == []
