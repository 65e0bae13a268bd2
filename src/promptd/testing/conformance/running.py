"""§6.30 to 6.45: connection tests and runs against a service that fails in every way."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from promptd.core.calls import ConnectionTestParams, ConnectionTestResult
from promptd.core.configs import redact_text, secret_values
from promptd.core.descriptors import check_value
from promptd.core.engine import map_error
from promptd.core.errors import (
    ExecutionFailed,
    InvalidOutput,
    NetworkError,
    PermissionDenied,
    PromptExecutionError,
    Timeout,
    leaves,
)
from promptd.core.localisation import Key, resolve
from promptd.core.model import Capability
from promptd.testing.conformance.filling import secret, with_secrets
from promptd.testing.conformance.findings import said
from promptd.testing.conformance.subject import PROMPTLY, Subject, answered
from promptd.testing.fake_http import FAILURES, FakeHttp, Reply, Sent

#: the provider column of formcycle.md §5
CODES: Final[Mapping[int, str]] = {
    400: "invalid_input",
    401: "authentication_failed",
    402: "quota_exceeded",
    403: "permission_denied",
    404: "resource_not_found",
    408: "timeout",
    413: "input_too_large",
    422: "invalid_input",
    429: "rate_limited",
    500: "service_unavailable",
    502: "service_unavailable",
    503: "service_unavailable",
    504: "timeout",
    529: "service_unavailable",
}
_OF_FAILURES: Final[Mapping[str, frozenset[str]]] = {
    "refused": frozenset({NetworkError.code}),
    "tls": frozenset({NetworkError.code}),
    "timeout": frozenset({Timeout.code}),
    "forbidden": frozenset({PermissionDenied.code}),
    "broken": frozenset({NetworkError.code, InvalidOutput.code}),
    "silent": frozenset({Timeout.code, InvalidOutput.code}),
    "too_large": frozenset({InvalidOutput.code}),
}
#: what a model's answer that nobody can read may be called
_UNREADABLE: Final = frozenset({InvalidOutput.code, "output_truncated", NetworkError.code, "service_unavailable"})
_NOT_OFFERED: Final = (404, 405)
_WAIT: Final = 7
_RUNS: Final = 20
_MESSAGE: Final = {"error": {"message": "no"}}


def check_error_map(subject: Subject) -> None:
    """§6.37, 6.39, 6.40: what the engine says foreign exceptions mean."""
    engine = subject.engine
    for foreign, meaning in engine.error_map.items():
        named = getattr(foreign, "__name__", repr(foreign))
        fits = isinstance(foreign, type) and issubclass(foreign, BaseException)
        subject.expect(fits, 40, "exception classes as keys of error_map", named)
        known = isinstance(meaning, type) and issubclass(meaning, PromptExecutionError)
        if subject.expect(known, 40, f"error_map[{named}] to be a PromptExecutionError", repr(meaning)):
            with subject.guarded(40, f"error_map[{named}] to be made with a detail"):
                codes = {leaf.code for leaf in leaves(PromptExecutionError)} | {ExecutionFailed.code}
                subject.expect(meaning(detail="a detail").code in codes, 40, "a code of §5", meaning.code)
    unknown = map_error(engine, _Unmapped("a word of the prompt"))
    subject.expect(
        unknown.code == ExecutionFailed.code, 37, "an exception nobody mapped to be execution_failed", unknown
    )
    group = map_error(engine, BaseExceptionGroup("two", [TimeoutError(), TimeoutError()]))
    subject.expect(
        group.code == map_error(engine, TimeoutError()).code, 39, "a group of one code to be that code", group
    )


class _Unmapped(Exception):
    pass


async def check_connection_test(subject: Subject) -> None:
    """§6.30, 6.31: a test says no where the service does, in every way that this can be, and ends when it must."""
    failing = {**FAILURES, **{str(status): Reply.json(_MESSAGE, status) for status in CODES}}
    for name, reply in failing.items():
        if reply.hangs:
            continue
        http = FakeHttp(reply)
        result = await _tested(subject, http, f"a service that fails ({name})")
        # some services have no list of models, and some answers end with their head
        failed = http.failures > 0 if reply.error is not None else reply.status not in _NOT_OFFERED
        if result is not None and http.sent and failed:
            subject.expect(not result.ok, 31, f"ok=False from a service that fails ({name})", "ok=True")
    if subject.samples.test_replies:
        result = await _tested(subject, FakeHttp(*subject.samples.test_replies), "the sample of a service that is well")
        good = result is not None and result.ok
        subject.expect(good, 31, "ok=True from the sample of a service that is well", result)
    await _check_deadline(subject)


async def _tested(subject: Subject, http: FakeHttp, what: str) -> ConnectionTestResult | None:
    config = with_secrets(subject.connection, "tested")
    params: ConnectionTestParams[Any] = ConnectionTestParams(
        connection=config, connection_name="examination", http=http, locale="de-AT"
    )
    try:
        result = await answered(subject.engine.test_connection, params)
    except Exception as error:  # a stranger's code: any exception is a failed test, a good one says why
        mapped = map_error(subject.engine, error)
        known = isinstance(error, PromptExecutionError) or mapped.code != ExecutionFailed.code
        subject.expect(known, 31, f"test_connection to say what is wrong with {what}", said(error))
        _check_redacted(subject, mapped.message, config, f"test_connection with {what}")
        return None
    if not subject.expect(
        isinstance(result, ConnectionTestResult), 31, "a ConnectionTestResult", type(result).__name__
    ):
        return None
    found: ConnectionTestResult = result
    for text in (found.message, *(line.text for line in found.checks)):
        words = resolve(text, None, "de-AT") if isinstance(text, Key) else text
        _check_redacted(subject, words, config, f"the result of a test with {what}")
    return found


async def _check_deadline(subject: Subject) -> None:
    http = FakeHttp(FAILURES["hangs"])
    params: ConnectionTestParams[Any] = ConnectionTestParams(
        connection=subject.connection, connection_name="examination", http=http
    )
    task = asyncio.ensure_future(answered(subject.engine.test_connection, params))
    await _ends(subject, task, http, 31, "a connection test")


async def _ends(subject: Subject, task: asyncio.Future[Any], http: FakeHttp, statement: int, what: str) -> None:
    """Cancel it once it waits for the service; it must end at once and leave nothing open."""
    asked = asyncio.ensure_future(http.asked.wait())
    await asyncio.wait({task, asked}, return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if task.done():
        task.exception()
        return
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=PROMPTLY)
    if subject.expect(bool(done), statement, f"{what} to end within {PROMPTLY} s when it is cancelled", "it goes on"):
        with suppress(BaseException):
            task.result()
        subject.expect(
            task.cancelled(), statement, f"{what} that is cancelled to raise CancelledError", "it swallowed it"
        )
        subject.expect(http.open == 0, statement, f"{what} that is cancelled to close its connection", "it is open")


async def check_runs(subject: Subject) -> None:
    """§6.36 to 6.45."""
    await _check_good_run(subject)
    if not subject.samples.online:
        return
    probe = FakeHttp(Reply.json(_MESSAGE, 401))
    with subject.guarded(40, "a call to be made of the samples"):
        refused = await subject.failure(probe)
        if not probe.sent:
            why = "" if refused is None else said(refused)
            subject.expect(refused is None, 40, "the samples to reach the service, or Samples(online=False)", why)
            return
        await _check_statuses(subject)
        await _check_failures(subject)
        await _check_redaction(subject)
        await _check_parallel(subject)
        http = FakeHttp(FAILURES["hangs"])
        task = asyncio.ensure_future(subject.run(subject.call(http)))
        await _ends(subject, task, http, 41, "a run")


async def _check_good_run(subject: Subject) -> None:
    if not subject.samples.replies:
        return
    with subject.guarded(36, "the sample of a run to go well"):
        result = await subject.run(subject.call(FakeHttp(*subject.samples.replies)))
        if Capability.QUERY in subject.kind.capabilities and subject.outputs:
            checked = check_value(subject.outputs, result.value or {}, result.files, direction="output")
            subject.expect(not checked.warnings, 36, "declared outputs only", "; ".join(checked.warnings))


async def _check_statuses(subject: Subject) -> None:
    for status, code in CODES.items():
        error = await subject.failure(FakeHttp(Reply.json(_MESSAGE, status, retry_after=str(_WAIT))))
        found = "a run that goes well" if error is None else error.code
        subject.expect(found == code, 40, f"{code} where the service answers {status}", found)
        if status == 429 and error is not None:
            subject.expect(error.retry_after == _WAIT, 42, f"retry_after={_WAIT} kept", error.retry_after)


async def _check_failures(subject: Subject) -> None:
    for name, codes in _OF_FAILURES.items():
        error = await subject.failure(FakeHttp(FAILURES[name]))
        found = "a run that goes well" if error is None else error.code
        subject.expect(found in codes, 40, f"{' or '.join(sorted(codes))} where the call fails ({name})", found)
    for body in (b"", b"no JSON", b"[]", b"null", b'{"unexpected": true}', b"\xff\xfe"):
        reply = Reply(200, body, {"content-type": "application/json"})
        error = await subject.failure(FakeHttp(reply))
        if error is not None:
            subject.expect(error.code in _UNREADABLE, 36, f"invalid_output of the answer {body!r}", said(error))


async def _check_redaction(subject: Subject) -> None:
    config = with_secrets(subject.connection, "told")

    def echo(sent: Sent) -> Reply:
        return Reply.json({"error": {"message": f"not with {sent.url} {' '.join(sent.headers.values())}"}}, 401)

    error = await subject.failure(FakeHttp(echo), connection=config)
    if error is not None:
        _check_redacted(subject, error.message, config, "the message of an error")


def _check_redacted(subject: Subject, text: str, config: Any, what: str) -> None:
    """What is left of a text when the host has taken the secrets out of it."""
    left = redact_text(text, secret_values(config))
    leaked = any(form in left for value in secret_values(config) for form in (value, *_encoded(value)))
    subject.expect(not leaked, 43, f"no secret in {what}, in no spelling", "one")


def _encoded(value: str) -> list[str]:
    """The part of `value` that is the same in base64 wherever it stands in a longer text."""
    found = []
    for shift in range(3):
        text = base64.b64encode(b"x" * shift + value.encode()).decode()
        start = (shift * 8 + 5) // 6
        found.append(text[start : len(text) // 4 * 4 - 4])
    return [one for one in found if len(one) >= 8]


async def _check_parallel(subject: Subject) -> None:
    """§6.45: many runs on one instance, each with its own secrets."""
    replies = subject.samples.replies or (Reply.json(_MESSAGE, 401),)
    clients = [FakeHttp(*replies) for _ in range(_RUNS)]
    configs = [with_secrets(subject.connection, f"run-{number:03}") for number in range(_RUNS)]
    await asyncio.gather(
        *(
            subject.failure(http, connection=config, run_id=f"prm_{number:03}")
            for number, (http, config) in enumerate(zip(clients, configs, strict=True))
        )
    )
    for number, http in enumerate(clients):
        told = " ".join(f"{sent.url} {sent.headers} {sent.body!r}" for sent in http.sent)
        others = [other for other in range(_RUNS) if other != number and secret(f"run-{other:03}") in told]
        subject.expect(
            not others, 45, "runs side by side to keep their secrets apart", f"those of {len(others)} others"
        )
