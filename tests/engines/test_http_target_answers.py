"""What an endpoint answers, as the outputs of the `http_target` engine; and the forms of both."""

from __future__ import annotations

import asyncio
import gc
import hashlib
from pathlib import Path
from typing import Any

import pytest

from promptd.core.descriptors import check_params
from promptd.core.engine import Call, ConnectionTestParams, DescribeParams
from promptd.core.errors import (
    AuthenticationFailed,
    DescriptorFailed,
    InvalidInput,
    InvalidOutput,
    PermissionDenied,
    PromptExecutionError,
    RateLimited,
    ResourceNotFound,
    ServiceUnavailable,
    Timeout,
    UnsupportedInput,
)
from promptd.core.forms import Draft, FormContext, missing_required, visible
from promptd.engines.http_target import HttpTarget, HttpTargetConfig
from promptd.engines.http_target.config import expected_statuses
from promptd.testing.sockets import Reader, Writer, serve
from tests.engines.http_target_support import SECRET, Endpoint, connection, query, run, way

# ------------------------------------------------------------------ what comes back


async def test_outputs_by_rows_schema_and_pointer(endpoint: Endpoint) -> None:
    answer = {"data": [{"a/b": {"price": 3, "name": "x", "more": 1}}]}
    rows = [{"name": "price", "kind": "integer"}, {"name": "note", "required": False}]
    for settings in (
        {"outputs": rows},
        {"json_schema": {"type": "object", "required": ["price"], "properties": {"price": {"type": "integer"}}}},
    ):
        endpoint.say(answer)
        found = await run(endpoint, query(pointer="/data/0/a~1b", **settings))
        assert found.value == {"price": 3}
        assert found.warnings
    endpoint.say(answer)
    assert (await run(endpoint, query(pointer="/data/0/a~1b/price"))).value == {"value": 3}
    endpoint.say([1, 2])
    assert (await run(endpoint, query(json_schema={"type": "array", "items": {"type": "integer"}}))).value == {
        "value": [1, 2]
    }


@pytest.mark.parametrize(
    ("answer", "settings", "words"),
    [
        (b"no json", {}, "no JSON"),
        (b'"\xff"', {}, "no JSON"),
        (b"[" * 100_000, {}, "no JSON"),
        (b'{"a": 1}', {"pointer": "/b"}, "nothing at /b"),
        (b'{"a": [1]}', {"pointer": "/a/1"}, "nothing at"),
        (b'{"a": [1]}', {"pointer": "/a/-1"}, "nothing at"),
        (b"[]", {"outputs": [{"name": "a"}]}, "JSON object"),
        (b'{"a": 1}', {"outputs": [{"name": "a"}]}, "a: expected"),
        (b"{}", {"outputs": [{"name": "a"}]}, "a: expected"),
    ],
)
async def test_another_answer_is_an_invalid_output(
    endpoint: Endpoint, answer: bytes, settings: dict[str, Any], words: str
) -> None:
    endpoint.say(answer)
    with pytest.raises(InvalidOutput, match=words):
        await run(endpoint, query(**settings))


async def test_texts(endpoint: Endpoint) -> None:
    endpoint.say("grün".encode("latin-1"), content_type="text/plain; charset=ISO-8859-1")
    assert (await run(endpoint, query(response="text"))).value == {"text": "grün"}
    endpoint.say(b"\xff", content_type="text/plain")
    with pytest.raises(InvalidOutput, match="utf-8"):
        await run(endpoint, query(response="text"))
    endpoint.say(b"x", content_type="text/plain; charset=nonsense")
    with pytest.raises(InvalidOutput, match="nonsense"):
        await run(endpoint, query(response="text"))
    endpoint.say(b"", 204)
    assert (await run(endpoint, query(response="none"))).value == {}


async def test_files_pass_through_and_leave_nothing_behind(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    data = bytes(range(256)) * 20_000
    disposition = 'attachment; filename="../../report.pdf"'
    endpoint.say(data, content_type="application/x-thing", content_disposition=disposition)
    found = await run(endpoint, query(response="file"))
    (file,) = found.files["file"]
    assert (file.filename, file.media_type, file.size) == ("report.pdf", "application/x-thing", len(data))
    assert hashlib.sha256(b"".join(file.chunks())).digest() == hashlib.sha256(data).digest()
    assert len(list(tmp_path.iterdir())) == 1
    del file, found
    gc.collect()
    assert list(tmp_path.iterdir()) == []


async def test_a_file_that_breaks_off_leaves_nothing_behind(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    endpoint.say(b"x" * 2000)
    with pytest.raises(PromptExecutionError):
        await run(endpoint, query(response="file"), max_response_bytes=1024)
    gc.collect()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("response", ["json", "text"])
async def test_an_answer_has_a_largest_size(endpoint: Endpoint, response: str) -> None:
    endpoint.say(b'"' + b"x" * 2000 + b'"')
    with pytest.raises(InvalidOutput):
        await run(endpoint, query(response=response), max_response_bytes=1024)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, InvalidInput),
        (401, AuthenticationFailed),
        (403, PermissionDenied),
        (404, ResourceNotFound),
        (429, RateLimited),
        (503, ServiceUnavailable),
        (201, InvalidOutput),
    ],
)
async def test_unexpected_statuses_are_errors(
    endpoint: Endpoint, status: int, error: type[PromptExecutionError]
) -> None:
    endpoint.say({"detail": "because"}, status, retry_after="7")
    with pytest.raises(error) as raised:
        await run(endpoint, query(statuses="200"))
    if status == 429:
        assert raised.value.retry_after == 7
    if status >= 400:
        assert "because" in raised.value.message


async def test_expected_statuses_are_none(endpoint: Endpoint) -> None:
    endpoint.say({"found": False}, 404)
    assert (await run(endpoint, query(statuses="200, 404"))).value == {"value": {"found": False}}


async def test_redirects_are_not_followed(endpoint: Endpoint) -> None:
    endpoint.say(b"", 302, location=f"{endpoint.url}/elsewhere")
    with pytest.raises(ResourceNotFound, match="redirect"):
        await run(endpoint, query())
    assert len(endpoint.asked) == 1


async def test_a_silent_endpoint_is_a_timeout() -> None:
    async def hang(reader: Reader, writer: Writer) -> None:
        await reader.read()

    silent = Endpoint()
    async with serve(hang) as silent.url:
        with pytest.raises(Timeout):
            async with asyncio.timeout(5):
                await run(silent, query(), first_byte_timeout=0.05)


# ------------------------------------------------------------------ settings


def test_statuses_are_read() -> None:
    assert expected_statuses("200, 204-205,4XX") == {200, 204, 205, *range(400, 500)}
    for text in ("", "abc", "600", "20x", "-200", "200;201"):
        with pytest.raises(ValueError, match="status"):
            expected_statuses(text)


def test_names_that_stand_twice_are_found() -> None:
    engine = HttpTarget()
    rows = [{"name": "a"}, {"name": "a"}]
    params = DescribeParams[Any, Any](connection=HttpTargetConfig(), query=query(inputs=rows))
    with pytest.raises(DescriptorFailed, match="a"):
        check_params(engine.compute_query_input(params))


async def test_only_queries_are_asked(endpoint: Endpoint) -> None:
    async with way(endpoint.url) as http:
        call: Call[Any, Any] = Call(connection=connection(endpoint), connection_name="c", model="", http=http)
        with pytest.raises(UnsupportedInput):
            await HttpTarget().execute(call)


async def test_forms_show_what_the_choices_need() -> None:
    engine = HttpTarget()
    context = FormContext(type_id="http_target")
    form = engine.connection_form(context)
    assert "#/properties/token" not in visible(form, {"auth": "none"})
    assert "#/properties/token" in visible(form, {"auth": "bearer"})
    assert missing_required(form, {"base_url": ""}) == ["base_url"]
    logic = engine.connection_form_logic()
    assert logic is not None
    made = HttpTargetConfig.model_validate({"auth": "basic"})
    assert [one.path for one in await logic.validate(Draft(connection=made, query=None))] == ["user"]
    asked = engine.query_form(context)
    assert "#/properties/json_body" in visible(asked, {"body": "json"})
    assert "#/properties/json_body" not in visible(asked, {"body": "form"})


async def test_a_query_s_form_finds_what_hangs_together() -> None:
    logic = HttpTarget().query_form_logic()
    assert logic is not None
    made = query(
        method="GET",
        path="/a?b",
        body="file",
        inputs=[],
        json_schema={"type": 5},
        outputs=[{"name": "a"}],
    )
    found = {(one.path, one.level) for one in await logic.validate(Draft(connection=HttpTargetConfig(), query=made))}
    assert found == {
        ("path", "error"),
        ("body", "warning"),
        ("inputs", "error"),
        ("json_schema", "warning"),
        ("json_schema", "error"),
    }


@pytest.mark.parametrize(
    ("status", "settings", "ok"),
    [
        (200, {}, True),
        (302, {}, True),
        (404, {}, True),
        (405, {}, True),
        (404, {"test_path": "/health"}, False),
        (401, {}, False),
        (403, {}, False),
        (500, {}, False),
    ],
)
async def test_connection_tests(endpoint: Endpoint, status: int, settings: dict[str, Any], ok: bool) -> None:
    endpoint.say({"detail": f"about {SECRET}"}, status)
    made = connection(endpoint, auth="bearer", token=SECRET, **settings)
    async with way(endpoint.url) as http:
        found = await HttpTarget().test_connection(
            ConnectionTestParams(connection=made, connection_name="c", http=http)
        )
    assert found.ok is ok
    assert found.message
    assert SECRET not in str(found)
    assert endpoint.last[:2] == ("GET", "/api" + settings.get("test_path", ""))
