"""What is asked of strangers' engines besides runs: forms, descriptors, settings, callbacks."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from io import BytesIO
from typing import Any, cast

import pytest

from promptd.core.calls import DescribeParams
from promptd.core.configs import ConfigFile, LoadReport, SerializedConfig
from promptd.core.descriptors import Param
from promptd.core.engine import Engine
from promptd.core.errors import (
    DescriptorFailed,
    ExecutionFailed,
    PromptExecutionError,
    PromptSerializationError,
    RateLimited,
    Timeout,
)
from promptd.core.forms import Draft, FormContext, Option
from promptd.core.ports import HttpClient
from promptd.egress import Egress
from promptd.isolation.adapter import ApartEngine
from promptd.service.callbacks import Callbacks
from tests.isolation.conftest import Install, MakeCall
from tests.isolation.origin import Origin

pytestmark = pytest.mark.slow

DESCRIBED = """
from promptd.core.configs import ConfigFile, SerializedConfig
from promptd.core.descriptors import Param
from promptd.core.forms import Form, FormLogic, FormPatch, FieldMessage, Option, generate

class C(Config):
    key: SecretStr = SecretStr("")
    size: int = 3
    file: ConfigFile | None = None

class Q(Config):
    template: str = ""
    how: str = ""

def misbehave(how):
    if how == "raise":
        raise ValueError("secret words")
    if how == "exit":
        raise SystemExit(3)
    if how == "hang":
        GO_ON.wait()
    if how == "spin":
        until = time.monotonic() + 20
        while time.monotonic() < until and not GO_ON.is_set():
            pass
    if how == "typed":
        raise RateLimited("later")

class Logic(FormLogic):
    async def options(self, source, draft, search):
        misbehave(draft.config.how)
        if draft.http is not None and search:
            async with draft.http.request("POST", search + "/echo", body=b"listed") as response:
                return [Option((await response.read()).decode())]
        return [Option(source, draft.connection.key.get_secret_value() + search)]

    def on_change(self, path, draft):
        misbehave(draft.config.how)
        return FormPatch({path: sorted(draft.changed)}, revision=draft.revision)

    async def validate(self, draft):
        return [FieldMessage("how", "odd")] if draft.config.how == "odd" else [5]

class E(Engine[C, Q]):
    type_id = "acme.described"

    def execute(self, call):
        return Result()

    def compute_query_input(self, params):
        misbehave(params.query.how)
        if params.query.how == "nonsense":
            return 5
        if params.query.how == "twice":
            return [Param("a"), Param("a")]
        return [Param(params.query.template or "text", title=params.locale)]

    def compute_query_output(self, params):
        misbehave(params.query.how)
        return (Param("result", kind="object"),)

    def query_form(self, context):
        misbehave(context.object_id)
        if context.object_id == "nonsense":
            return "<form>"
        if context.object_id == "nan":
            return Form({"a": float("nan")}, {})
        return generate(Q)

    def serialize_query_config(self, config):
        misbehave(config.how)
        if config.how == "nonsense":
            return b"{}"
        return SerializedConfig(config.template.encode(), "text/plain", 7)

    def deserialize_query_config(self, stored, report):
        template = stored.data.decode()
        misbehave(template)
        if template == "nonsense":
            return {}
        report.note("unknown_field", "x", "gone")
        return Q(template=template)

    def query_form_logic(self):
        return Logic()

GO_ON = threading.Event()
"""


async def ask(engine: Engine[Any, Any], method: str, *arguments: Any, limit_seconds: float = 5.0) -> Any:
    assert isinstance(engine, ApartEngine)
    return await engine.ask(method, *arguments, limit_seconds=limit_seconds)


MODES = ["thread", pytest.param("process", marks=pytest.mark.e2e)]


@pytest.fixture(params=MODES)
def engine(plugin: Install, request: pytest.FixtureRequest) -> Any:
    engine = plugin(DESCRIBED, mode=request.param)
    yield engine
    sys.modules[type(engine).__module__].GO_ON.set()


def params(engine: Engine[Any, Any], **query: Any) -> DescribeParams[Any, Any]:
    return DescribeParams(
        connection=engine.connection_config_class()(key="sesame"),
        query=engine.query_config_class()(**query),
        locale="de",
    )


async def test_answers_come_back_as_they_were_given(engine: Engine[Any, Any], egress: Egress, origin: Origin) -> None:
    inputs = await ask(engine, "compute_query_input", params(engine, template="customer"))
    assert inputs == (Param("customer", title="de"),)
    assert await ask(engine, "compute_query_output", params(engine)) == (Param("result", kind="object"),)
    form = await ask(engine, "query_form", FormContext("acme.described"))
    assert list(form.schema["properties"]) == ["template", "how"]
    assert (await ask(engine, "connection_form", FormContext("acme.described"))).schema["properties"]["key"]
    stored = await ask(engine, "serialize_query_config", engine.query_config_class()(template="hello"))
    assert (stored.data, stored.content_type, stored.version) == (b"hello", "text/plain", 7)
    report = LoadReport()
    config = await ask(engine, "deserialize_query_config", stored, report)
    assert (type(config), config.template) == (engine.query_config_class(), "hello")
    assert [(issue.kind, issue.path) for issue in report.issues] == [("unknown_field", "x")]
    given, http = params(engine), cast(HttpClient, egress)
    draft: Draft[Any, Any] = Draft(given.connection, given.query, {}, frozenset({"b", "a"}), 4, "de", http)
    assert await ask(engine, "query_form_logic.options", "src", draft, "") == [Option("src", "sesame")]
    assert await ask(engine, "query_form_logic.options", "src", draft, origin.url) == [Option("listed")]
    patch = await ask(engine, "query_form_logic.on_change", "how", draft)
    assert (patch.values, patch.revision) == ({"how": ["a", "b"]}, 4)
    assert await ask(engine, "query_form_logic.action", "go", draft) is None
    assert await ask(engine, "connection_form_logic.options", "src", draft, "") == []
    logic = engine.query_form_logic()
    assert logic is not None
    assert await logic.options("src", draft, "") == [Option("src", "sesame")]
    assert engine.connection_form_logic() is None


async def test_settings_with_secrets_and_files_cross(engine: Engine[Any, Any]) -> None:
    changed = datetime(2026, 1, 2, 3, 4, 5, 6000, UTC)
    file = ConfigFile("a.pem", "text/plain", changed, lambda: BytesIO(b"pem"), 3)
    config = engine.connection_config_class()(key="sesame", size=5, file=file)
    stored = await ask(engine, "serialize_connection_config", config)
    assert b"sesame" in stored.data
    (kept,) = stored.files.values()
    assert (kept.filename, kept.last_modified, kept.open().read()) == ("a.pem", changed, b"pem")
    report = LoadReport()
    again = await ask(engine, "deserialize_connection_config", stored, report)
    assert report.status == "clean"
    assert again == config
    assert again.file.open().read() == b"pem"
    report = LoadReport()
    broken = SerializedConfig(b'{"size": "many", "new": 1}', version=1)
    assert (await ask(engine, "deserialize_connection_config", broken, report)).size == 3
    assert [issue.kind for issue in report.issues] == ["unknown_field", "invalid_value"]


@pytest.mark.parametrize("how", ["raise", "exit", "hang", "spin", "typed", "nonsense", "twice"])
async def test_descriptors_that_fail(engine: Engine[Any, Any], how: str) -> None:
    began = time.monotonic()
    with pytest.raises(DescriptorFailed) as raised:
        await ask(engine, "compute_query_input", params(engine, how=how), limit_seconds=5 if how == "raise" else 1.5)
    assert time.monotonic() - began < 8
    assert "secret words" not in raised.value.message
    assert await ask(engine, "compute_query_output", params(engine))


@pytest.mark.parametrize("how", ["raise", "exit", "hang", "nonsense"])
async def test_settings_that_cannot_be_written_or_read(engine: Engine[Any, Any], how: str) -> None:
    with pytest.raises(PromptSerializationError):
        await ask(engine, "serialize_query_config", engine.query_config_class()(how=how), limit_seconds=1.5)
    report = LoadReport()
    with pytest.raises(PromptSerializationError):
        await ask(engine, "deserialize_query_config", SerializedConfig(how.encode()), report, limit_seconds=1.5)
    assert report.issues == []


@pytest.mark.parametrize(
    ("how", "kind"),
    [
        ("raise", ExecutionFailed),
        ("exit", ExecutionFailed),
        ("hang", Timeout),
        ("typed", RateLimited),
        ("nonsense", ExecutionFailed),
        ("nan", ExecutionFailed),
    ],
)
async def test_forms_that_fail(engine: Engine[Any, Any], how: str, kind: type[PromptExecutionError]) -> None:
    with pytest.raises(kind):
        await ask(engine, "query_form", FormContext("acme.described", how), limit_seconds=1.5)


async def test_callbacks_that_fail(engine: Engine[Any, Any]) -> None:
    given = params(engine, how="raise")
    draft: Draft[Any, Any] = Draft(given.connection, given.query)
    with pytest.raises(ExecutionFailed, match="ValueError"):
        await ask(engine, "query_form_logic.options", "src", draft, "")
    with pytest.raises(ExecutionFailed):
        await ask(engine, "query_form_logic.validate", draft)


async def test_the_service_asks_as_it_asks_our_own_engines(engine: Engine[Any, Any]) -> None:
    callbacks = Callbacks()
    assert await callbacks.call(engine.compute_query_input, params(engine, template="a")) == (Param("a", title="de"),)
    with pytest.raises(DescriptorFailed):
        await callbacks.call(engine.compute_query_output, params(engine, how="exit"))
    config = engine.query_config_class()(template="hello")
    stored = await callbacks.call(engine.serialize_query_config, config)
    assert await callbacks.call(engine.deserialize_query_config, stored, LoadReport()) == config
    form = await callbacks.call(engine.query_form, FormContext("acme.described"))
    assert "template" in form.schema["properties"]


TELLING = """
class E(Engine):
    type_id = "acme.telling"
    async def execute(self, call): return Result()
    def dialects(self, connection): return ANSWERS["dialects"]()
    def memory(self, connection): return ANSWERS["memory"]()
    def query_model(self, query): return ANSWERS["query_model"]()
    def standing(self, name, connection): return ANSWERS["standing"]()

GO_ON = threading.Event()
ANSWERS = {
    "dialects": lambda: frozenset({"openai.chat"}),
    "memory": lambda: 5,
    "query_model": lambda: "m",
    "standing": lambda: Standing(state="stopped"),
}
"""


async def test_what_is_told_at_once(plugin: Install, make_call: MakeCall) -> None:
    engine = plugin(TELLING)
    config = engine.connection_config_class()()
    assert engine.dialects(config) == frozenset({"openai.chat"})
    assert (engine.memory(config), engine.query_model(config)) == (5, "m")
    assert engine.standing("main", config).state == "stopped"
    other = engine.connection_config_class()()
    module: Any = sys.modules[type(engine).__module__]
    module.ANSWERS |= {
        "dialects": lambda: ["x", 5],
        "memory": lambda: sys.exit(1),
        "query_model": lambda: module.GO_ON.wait(),
    }
    assert engine.dialects(other) == frozenset()
    assert engine.memory(other) is None
    began = time.monotonic()
    assert engine.query_model(other) == ""
    assert time.monotonic() - began < 2
    began = time.monotonic()
    assert engine.query_model(other) == ""
    assert time.monotonic() - began < 0.1
    module.GO_ON.set()
