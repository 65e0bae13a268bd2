"""Forms at work: what is hidden is not asked for, what is judged is what is saved, and two forms never meet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from promptd.core.calls import Result
from promptd.core.configs import setting
from promptd.core.engine import Call, Config, Engine
from promptd.core.errors import InvalidRequest
from promptd.core.forms import (
    Condition,
    Control,
    Draft,
    FieldMessage,
    Form,
    FormContext,
    FormLogic,
    FormPatch,
    Rule,
    Vertical,
    make_form,
)
from promptd.core.localisation import Key
from promptd.service.forms import ShownForm, Subject, Written
from tests.service.connection_lab import KEY, Lab, Logic, PrinterConfig, QueryConfig, opened

pytestmark = pytest.mark.slow


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with opened(tmp_path, seconds=1.0) as made:
        yield made


class DoorConfig(Config):
    lock: Literal["none", "code"] = "none"
    code: SecretStr = setting(SecretStr(""), required=True)


class Door(Engine[DoorConfig]):
    """Asks for a code only where there is a lock."""

    type_id = "acme.door"

    async def execute(self, call: Call[DoorConfig]) -> Result:
        return Result()

    def connection_form(self, context: FormContext) -> Form:
        shown = Rule("SHOW", Condition("#/properties/lock", {"const": "code"}))
        return make_form(
            DoorConfig,
            Vertical(elements=(Control(scope="#/properties/lock"), Control(scope="#/properties/code", rule=shown))),
        )


@pytest.mark.formcycle(13)
async def test_what_is_hidden_is_not_asked_for(lab: Lab) -> None:
    subject = Subject(engine=Door())
    accepted = await lab.forms.accept(subject, Written(values={"lock": "none"}))
    assert isinstance(accepted, DoorConfig)
    with pytest.raises(InvalidRequest) as caught:
        await lab.forms.accept(subject, Written(values={"lock": "code"}))
    assert caught.value.field == "config.code"
    assert await lab.forms.accept(subject, Written(values={"lock": "code", "code": "1234"}))
    told = await lab.forms.validate(subject, Written(values={"lock": "code"}, revision=5))
    assert (told["revision"], [message["path"] for message in told["messages"]]) == (5, ["code"])


@pytest.mark.formcycle(5)
async def test_without_anything_of_its_own_a_type_has_a_complete_form(lab: Lab) -> None:
    class Plain(Engine[PrinterConfig]):
        type_id = "acme.plain"

        async def execute(self, call: Call[PrinterConfig]) -> Result:
            return Result()

    shown = await lab.forms.show(Subject(engine=Plain(), locale="de"))
    assert shown.message == ""
    assert shown.schema is not None
    assert set(shown.schema["properties"]) == set(PrinterConfig.model_fields)
    assert shown.schema["properties"]["api_key"]["x-widget"] == "api_key"
    patch = await lab.forms.options(Subject(engine=Plain()), Written(), "models", "")
    assert patch["options"] == {"models": []}
    assert (await lab.forms.change(Subject(engine=Plain()), Written(revision=3), "mode"))["revision"] == 3
    assert (await lab.forms.act(Subject(engine=Plain()), Written(), "load"))["values"] == {}


async def test_options_come_from_the_last_test_where_there_is_no_code_for_them(lab: Lab) -> None:
    subject = Subject(
        engine=lab.printer,
        kind="query",
        connection=PrinterConfig(),
        discovered={"tasks": ["copy", "Scan", "copy twice"], "odd": {"a": 1}},
    )
    found = await lab.forms.options(subject, Written(), "tasks", "COPY")
    assert [option["value"] for option in found["options"]["tasks"]] == ["copy", "copy twice"]
    assert (await lab.forms.options(subject, Written(), "odd", ""))["options"] == {"odd": []}
    lab.printer.logic = Logic()
    assert len((await lab.forms.options(subject, Written(), "tasks", ""))["options"]["tasks"]) == 2


@pytest.mark.formcycle(11)
async def test_a_query_form_knows_its_connection(lab: Lab) -> None:
    lab.printer.logic = logic = Logic()
    connection = PrinterConfig(base_url="https://chosen.example", api_key=SecretStr(KEY))
    subject = Subject(engine=lab.printer, kind="query", connection=connection)
    await lab.forms.change(subject, Written(values={"task": "scan"}), "task")
    draft = logic.drafts[-1]
    assert draft.connection == connection
    assert draft.query == QueryConfig(task="scan")
    assert draft.config is draft.query


async def test_a_stored_secret_of_a_query_stays_too(lab: Lab) -> None:
    before = QueryConfig(task="scan", token=SecretStr("stored-token"))
    subject = Subject(engine=lab.printer, kind="query", connection=PrinterConfig(), before=before)
    kept = await lab.forms.accept(subject, Written(values={"task": "copy", "token": ""}))
    assert kept == QueryConfig(task="copy", token=SecretStr("stored-token"))
    cleared = await lab.forms.accept(subject, Written(values={"task": "copy"}, clear=("token",)))
    assert cleared == QueryConfig(task="copy")
    shown = await lab.forms.show(subject)
    assert shown.data["token"] == {"$secret": "token"}


class Rules(FormLogic[Any, Any]):
    def __init__(self, answer: Any) -> None:
        self.answer = answer

    async def validate(self, draft: Draft[Any, Any]) -> list[FieldMessage]:
        if isinstance(self.answer, BaseException):
            raise self.answer
        found: list[FieldMessage] = self.answer
        return found


@pytest.mark.parametrize("answer", [RuntimeError(KEY), SystemExit(), None, ["text"], 5])
async def test_a_check_that_fails_has_not_said_yes(lab: Lab, answer: Any) -> None:
    lab.printer.logic = Rules(answer)
    with pytest.raises(InvalidRequest, match="logic failed") as caught:
        await lab.forms.accept(Subject(engine=lab.printer), Written(values={"api_key": KEY}))
    assert (caught.value.field, KEY in str(caught.value)) == ("config", False)


async def test_messages_of_the_check_are_in_the_readers_language(lab: Lab) -> None:
    lab.printer.logic = Rules([FieldMessage("pages", Key("promptd.invalid.required"))])
    with pytest.raises(InvalidRequest) as caught:
        await lab.forms.accept(Subject(engine=lab.printer, locale="de"), Written(values={"api_key": KEY}))
    assert caught.value.field == "config.pages"
    assert caught.value.expected != "promptd.invalid.required"
    assert "required" not in caught.value.expected


async def test_a_patch_may_change_the_layout_and_nothing_that_is_not_there(lab: Lab) -> None:
    lab.printer.logic = logic = Logic()
    subject = Subject(engine=lab.printer)
    layout = make_form(
        PrinterConfig,
        Vertical(elements=tuple(Control(scope=f"#/properties/{name}") for name in PrinterConfig.model_fields)),
    ).ui
    logic.patch = lambda draft: FormPatch(ui=layout)
    assert (await lab.forms.change(subject, Written(), "mode"))["ui"] == layout
    logic.patch = lambda draft: FormPatch(ui={"type": "Text", "text": "<img src=x onerror=alert(1)>"})
    failed = await lab.forms.change(subject, Written(), "mode")
    assert (failed["ui"], failed["messages"][0]["level"]) == (None, "error")


@pytest.mark.formcycle(9)
async def test_a_value_for_a_secrets_place_stays_on_the_server(lab: Lab) -> None:
    lab.printer.logic = logic = Logic()
    logic.patch = lambda draft: FormPatch(values={"api_key": "fresh-secret", "pages": 3})
    told = await lab.forms.act(Subject(engine=lab.printer), Written(), "load")
    assert told["values"] == {"pages": 3}


async def test_half_written_addresses_do_not_end_a_callback(lab: Lab) -> None:
    lab.printer.logic = Logic()
    for url in ("http://", "https://exa mple", "http://127.0.0.1:1", "https://a:b@c"):
        told = await lab.forms.change(Subject(engine=lab.printer), Written(values={"base_url": url}), "base_url")
        assert told["values"] == {"pages": 7}


async def test_deep_and_wide_values_are_refused(lab: Lab) -> None:
    deep: Any = "x"
    for _ in range(300):
        deep = {"host": deep}
    with pytest.raises(InvalidRequest) as caught:
        await lab.forms.accept(Subject(engine=lab.printer), Written(values={"proxy": deep}))
    assert caught.value.field == "config"


Json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=12,
)
_FIELDS = st.sampled_from([*PrinterConfig.model_fields, "unknown", "$secret", "$file", "$upload"])


@given(st.dictionaries(_FIELDS, Json, max_size=6))
@settings(max_examples=60, deadline=None)
def test_whatever_is_written_is_accepted_as_it_is_or_refused_by_name(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any]
) -> None:
    async def play() -> None:
        async with opened(tmp_path_factory.mktemp("forms")) as lab:
            before = PrinterConfig(api_key=SecretStr(KEY))
            subject = Subject(engine=lab.printer, before=before)
            told = await lab.forms.validate(subject, Written(values=values))
            if told["messages"]:
                with pytest.raises(InvalidRequest) as caught:
                    await lab.forms.accept(subject, Written(values=values))
                assert caught.value.field.split(".")[0] == "config"
                assert KEY not in str(caught.value)
            else:
                config = await lab.forms.accept(subject, Written(values=values))
                assert isinstance(config, PrinterConfig)
                assert config.api_key.get_secret_value()

    asyncio.run(play())


def test_shown_forms_are_complete() -> None:
    assert ShownForm(type="x", kind="query", object_id="").problems == ()
