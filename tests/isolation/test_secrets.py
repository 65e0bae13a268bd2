"""Statement 43: no secret of a connection gets out, whatever a plugin says about itself."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from pydantic import SecretBytes, SecretStr

from promptd.core.calls import Config, ConnectionTestParams
from promptd.core.errors import AuthenticationFailed, ExecutionFailed, InvalidInput, PromptExecutionError
from promptd.isolation.redaction import RedactingLog, Redactor
from tests.isolation.conftest import Install, MakeCall

pytestmark = pytest.mark.slow


class Inner(Config):
    token: SecretStr = SecretStr("")


class Secretive(Config):
    key: SecretStr = SecretStr("")
    password: SecretBytes = SecretBytes(b"")
    inner: Inner = Inner()
    headers: dict[str, SecretStr] = {}
    several: tuple[SecretStr, ...] = ()


def test_every_secret_wherever_it_is() -> None:
    config = Secretive(
        key=SecretStr("k1"),
        password=SecretBytes(b"p2"),
        inner=Inner(token=SecretStr("t3")),
        headers={"x": SecretStr("h4")},
        several=(SecretStr("s5"),),
    )
    assert Redactor(config)("k1 p2 t3 h4 s5 rest") == "*** *** *** *** *** rest"


@pytest.mark.formcycle(43)
def test_one_secret_inside_another_goes_as_a_whole() -> None:
    config = Secretive(key=SecretStr("abc"), inner=Inner(token=SecretStr("xx-abc-yy")), several=(SecretStr("abcd"),))
    assert Redactor(config)("xx-abc-yy abcd abc ab") == "*** *** *** ab"


@pytest.mark.parametrize("written", ["a%20b%2F%22%5C", "a+b%2F%22%5C", 'a b/\\"\\\\', 'a b/"\\'])
def test_a_secret_as_it_is_spelled_in_addresses_and_json(written: str) -> None:
    assert Redactor(Secretive(key=SecretStr('a b/"\\')))(f"<{written}>") == "<***>"


def test_a_secret_is_not_cut_in_half() -> None:
    secret = "s" * 3990
    text = Redactor(Secretive(key=SecretStr(secret)))("x" * 3000 + secret)
    assert "ss" not in text


def test_a_configuration_whose_secrets_cannot_be_read_tells_nothing() -> None:
    class Broken(Config):
        key: SecretStr = SecretStr("")
        other: Any = None

    assert Redactor(Broken(key=SecretStr("abc"), other=object()))("the key is abc") == "***"


class Rude:
    def __str__(self) -> str:
        raise RuntimeError("abc")


def test_log_records(caplog: pytest.LogCaptureFixture) -> None:
    log = RedactingLog(logging.getLogger("acme"), Redactor(Secretive(key=SecretStr("abc"))))
    with caplog.at_level(logging.INFO):
        log.info("the key is %s", "abc", extra={"key": "abc"})
        log.warning("%(key)s", {"key": "abc"})
        log.info(Rude())
        log.info("%d", "abc")
        log.debug("never")
        try:
            raise ValueError("abc")
        except ValueError:
            log.exception("failed")
    assert "abc" not in caplog.text
    assert all("abc" not in str(record.__dict__) for record in caplog.records)
    assert [record.message.partition("\n")[0] for record in caplog.records] == [
        *("the key is ***", "***", "<Rude>", "%d", "failed"),
    ]
    assert "ValueError: ***" in caplog.text


LEAKY = """
class C(Config):
    key: SecretStr = SecretStr("")

class Q(Config):
    pin: SecretStr = SecretStr("")

class E(Engine[C, Q]):
    type_id = "acme.leaky"

    async def execute(self, call):
        key, pin = call.connection.key.get_secret_value(), call.query.pin.get_secret_value()
        text = call.messages[-1].content
        if text == "typed":
            raise AuthenticationFailed(f"{key} was refused", detail=f"pin {pin}")
        if text == "field":
            raise InvalidInput(field=key, expected=pin)
        if text == "cause":
            try:
                raise OSError(key)
            except OSError as error:
                raise AuthenticationFailed("refused") from error
        if text == "named":
            raise type(key, (Exception,), {})()
        if text == "foreign":
            raise OSError(key, pin)
        call.log.error("%s", key)
        return Result(text="fine", warnings=(f"used {key}", pin))

    async def test_connection(self, params):
        key = params.connection.key.get_secret_value()
        if params.connection_name == "raise":
            raise AuthenticationFailed(f"{key} was refused")
        params.log.error("%s", key)
        from promptd.core.calls import CheckLine
        from promptd.core.localisation import Key
        return ConnectionTestResult(ok=False, message=Key("no", {"key": key}), checks=(CheckLine(False, key),))
"""


@pytest.mark.parametrize("text", ["typed", "field", "cause", "named", "foreign"])
@pytest.mark.parametrize("mode", ["thread", pytest.param("process", marks=pytest.mark.e2e)])
@pytest.mark.formcycle(43)
async def test_errors_of_a_run(plugin: Install, make_call: MakeCall, text: str, mode: str) -> None:
    engine = plugin(LEAKY, mode=mode)
    connection = engine.connection_config_class()(key="sesame")
    query = engine.query_config_class()(pin="8472")
    with pytest.raises(PromptExecutionError) as raised:
        await engine.execute(make_call(engine, text, connection=connection, query=query))
    error = raised.value
    assert type(error) in (AuthenticationFailed, InvalidInput, ExecutionFailed)
    said = repr((error, error.message, error.detail, error.field, error.expected, error.__cause__))
    assert "sesame" not in said
    assert "8472" not in said
    assert "***" in said


@pytest.mark.formcycle(30, 43)
async def test_warnings_logs_and_tests(plugin: Install, make_call: MakeCall, caplog: pytest.LogCaptureFixture) -> None:
    engine = plugin(LEAKY)
    connection = engine.connection_config_class()(key="sesame")
    query = engine.query_config_class()(pin="8472")
    call = make_call(engine, connection=connection, query=query)
    result = await engine.execute(call)
    assert result.warnings == ("used ***", "***")
    chunks = [chunk async for chunk in engine.run(call)]
    assert chunks[-1].warnings == ("used ***", "***")
    params: Any = ConnectionTestParams(connection=connection, connection_name="main", http=call.http)
    tested = await engine.test_connection(params)
    assert "sesame" not in repr(tested)
    assert tested.checks[0].text == "***"
    with pytest.raises(AuthenticationFailed, match=r"\*\*\* was refused"):
        await engine.test_connection(
            ConnectionTestParams(connection=connection, connection_name="raise", http=call.http)
        )
    assert "sesame" not in caplog.text
    assert "***" in caplog.text
