"""Drafts: what is shown, what is checked, and what answers change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, field_validator

from promptd.core.configs import merge_secrets, redact_data, serialize
from promptd.core.errors import InvalidRequest
from promptd.core.forms import (
    Condition,
    Control,
    Draft,
    FieldMessage,
    FormLogic,
    FormPatch,
    Group,
    Option,
    Rule,
    Vertical,
    answering,
    apply_patch,
    ask,
    check_patch,
    element_id,
    generate,
    make_form,
    missing_required,
    public_data,
    public_patch,
    read_draft,
    scope_of,
    validate_draft,
    visible,
)
from promptd.core.localisation import Key
from tests.core.configs.models import Plain, Settings, full
from tests.core.forms.shop import TEXTS, Kinds, Mode, Proxy, Row, Shop, layout

pytestmark = pytest.mark.slow

FORM = make_form(Shop, layout())
GOOD: dict[str, Any] = {"url": "http://a", "api_key": "k", "mode": "fast", "kind": "open", "model": "m", "tries": 3}
HOME = ("type", "object", "scope")


def deep(levels: int) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for _ in range(levels):
        data = {"url": data}
    return data


def faults(data: dict[str, Any], **given: Any) -> dict[str, str]:
    found = validate_draft(FORM, Shop, data, localizer=TEXTS, **given)
    return {message.path: str(message.message) for message in found}


def shown(data: dict[str, Any]) -> set[str]:
    return {scope.rpartition("/")[2] for scope in visible(FORM, data)}


class TestVisibility:
    def test_rules_decide(self) -> None:
        always = {"kind", "api_key", "mode", "model", "tries"}
        assert shown({"kind": "open", "mode": "fast"}) == always | {"url"}
        assert shown({"kind": "closed", "mode": "fast"}) == always
        assert shown({"kind": "closed", "mode": "good"}) == always | {"proxy", "rows"}

    def test_what_is_not_there_counts_as_its_default(self) -> None:
        assert shown({}) == shown({"kind": "open", "mode": "fast"})

    def test_what_is_disabled_is_still_shown(self) -> None:
        assert "model" in shown({"url": ""})

    @pytest.mark.parametrize("value", [None, [], {"deep": [[]]}, 10**400, "\ud800"], ids=range(5))
    def test_odd_values_raise_nothing(self, value: Any) -> None:
        assert "url" not in shown({"kind": value})

    def test_no_reference_leads_out_of_a_condition(self, tmp_path: Path) -> None:
        (tmp_path / "schema.json").write_text("true")
        rule = Rule("SHOW", Condition("#/properties/kind", {"$ref": (tmp_path / "schema.json").as_uri()}))
        form = make_form(Shop, Control(scope="#/properties/url", rule=rule))
        assert visible(form, {"kind": "open"}) == set()

    def test_a_hidden_group_hides_all_below(self) -> None:
        hide = Rule("SHOW", Condition("#/properties/kind", {"const": "closed"}))
        inner = Group(elements=(Control(scope="#/properties/url"),))
        form = make_form(Shop, Vertical(elements=(Group(rule=hide, elements=(inner,)),)))
        assert visible(form, {"kind": "open"}) == set()
        assert visible(form, {"kind": "closed"}) == {"#/properties/url"}


class TestRequired:
    @pytest.mark.formcycle(13)
    def test_what_is_hidden_is_not_asked_for(self) -> None:
        assert missing_required(FORM, {"kind": "open", "mode": "fast"}) == ["api_key", "url"]
        assert missing_required(FORM, {"kind": "closed", "mode": "fast"}) == ["api_key"]

    def test_nested_settings_and_rows(self) -> None:
        data = GOOD | {"mode": "good", "proxy": {"host": " "}, "rows": [{"name": "a"}, {"name": ""}, {}]}
        assert missing_required(FORM, data) == ["proxy.host", "rows[1].name", "rows[2].name"]

    def test_a_secret_that_stays_as_it_was_is_not_empty(self) -> None:
        assert missing_required(FORM, GOOD | {"api_key": {"$secret": "api_key"}}) == []

    def test_a_setting_with_a_control_of_its_own_is_that_controls_matter(self) -> None:
        class Outer(Plain):
            on: bool = False
            proxy: Proxy = Proxy()

        hide = Rule("SHOW", Condition("#/properties/on", {"const": True}))
        host = Control(scope="#/properties/proxy/properties/host", rule=hide)
        form = make_form(
            Outer, Vertical(elements=(Control(scope="#/properties/on"), Control(scope="#/properties/proxy"), host))
        )
        assert missing_required(form, {"on": False, "proxy": {"host": ""}}) == []
        assert missing_required(form, {"on": True, "proxy": {"host": ""}}) == ["proxy.host"]

    def test_only_the_chosen_kind_of_a_union_is_asked(self) -> None:
        assert missing_required(generate(Kinds), {"login": {"kind": "bearer"}, "maybe": None}) == []
        assert missing_required(generate(Kinds), {"maybe": {"host": ""}, "nested": {"host": "h"}}) == ["maybe.host"]


class TestValidation:
    def test_a_good_draft(self) -> None:
        assert faults(GOOD) == {}
        assert validate_draft(generate(Settings), Settings, {"url": "u", "auth": {"user": "me"}}) == []

    def test_faults_in_the_readers_language(self) -> None:
        data = GOOD | {"url": "", "tries": 10, "mode": "slow", "model": "longer", "more": 1, "proxy": {"host": 7}}
        assert faults(data, locale="de-AT") == {
            "url": "Das ist erforderlich",
            "tries": "Höchstens 9",
            "mode": 'Bitte eines davon wählen: "fast", "good"',
            "model": "Höchstens 5 Zeichen",
            "more": "Diese Einstellung gibt es nicht",
            "proxy.host": "Bitte einen Text eingeben",
        }

    @pytest.mark.formcycle(13)
    def test_hidden_settings_are_not_required(self) -> None:
        assert "url" in faults(GOOD | {"url": ""})
        assert faults(GOOD | {"url": "", "kind": "closed"}) == {}

    def test_the_models_own_words(self) -> None:
        assert faults(GOOD | {"model": "bad"}) == {"model": "this model is too old"}

    def test_what_the_schema_cannot_say(self) -> None:
        found = validate_draft(generate(Kinds), Kinds, {"day": "never", "address": "no address", "maybe": {"host": 1}})
        assert {message.path for message in found} == {"day", "address", "maybe.host", "nested.host"} - {"nested.host"}

    def test_no_coercion(self) -> None:
        assert "tries" in faults(GOOD | {"tries": "3"})

    def test_no_message_quotes_a_secret(self) -> None:
        class Talkative(Shop):
            @classmethod
            def model_validate_json(cls, *args: Any, **given: Any) -> Any:
                raise RuntimeError("hush-hush")

        for model in (Shop, Talkative):
            found = validate_draft(FORM, model, GOOD | {"api_key": ["hush-hush"], "proxy": {"password": "hush-hush"}})
            assert "hush-hush" not in str(found)
            assert found

    @pytest.mark.parametrize("value", [float("nan"), 10**5000, "\ud800", {"a": {"b": []}}], ids=range(4))
    def test_odd_values_are_faults(self, value: Any) -> None:
        assert faults(GOOD | {"tries": value})

    def test_a_validator_of_a_secret_is_not_quoted(self) -> None:
        class Strict(Shop):
            @field_validator("api_key")
            @classmethod
            def _check(cls, value: SecretStr) -> SecretStr:
                raise ValueError(f"it must not begin with {value.get_secret_value()[:4]}")

            @field_validator("model")
            @classmethod
            def _quote(cls, value: str) -> str:
                raise ValueError(f"{value}, not hush-hush")

        found = validate_draft(FORM, Strict, GOOD | {"api_key": "hush-hush"})
        assert {message.path: message.message for message in found} == {
            "api_key": "The value is not accepted",
            "model": "m, not ***",
        }

    def test_endless_depth_is_a_fault(self) -> None:
        assert faults(deep(5_000), locale="en") == {"": "The value is nested too deeply"}
        with pytest.raises(InvalidRequest):
            merge_secrets(Shop, deep(5_000), None)
        with pytest.raises(InvalidRequest):
            redact_data(Shop, deep(100))
        assert redact_data(Shop, deep(90)) == deep(90)
        assert check_patch(FORM, FormPatch(values={"url": deep(5_000)}))

    def test_files_are_found_by_slot(self) -> None:
        stored = serialize(full(), 1)
        data = public_data(read_draft(Settings, {"documents": [{"$file": "documents[0]"}]}, stored.files))["data"]
        form = generate(Settings)
        said = {message.path for message in validate_draft(form, Settings, data, files=stored.files)}
        assert said == {"url", "auth.user"}
        assert "documents[0]" in {message.path for message in validate_draft(form, Settings, data)}


class TestPatches:
    DRAFT: Draft[Shop, None] = Draft(
        Shop(url="a", api_key=SecretStr("k")), None, {"url": "a", "api_key": "k"}, revision=4
    )

    def test_an_answer_changes_what_it_names(self) -> None:
        patch = answering(FormPatch(values={"url": "b", "proxy.host": "h", "rows[0]": {"name": "n"}}), self.DRAFT)
        draft = apply_patch(self.DRAFT, patch)
        assert (draft.config.url, draft.config.proxy.host) == ("b", "h")
        assert draft.config.api_key.get_secret_value() == "k"
        assert draft.connection is draft.config
        assert self.DRAFT.data == {"url": "a", "api_key": "k"}

    @pytest.mark.formcycle(12)
    def test_an_answer_to_an_older_revision_changes_nothing(self) -> None:
        assert apply_patch(self.DRAFT, FormPatch(values={"url": "b"}, revision=3)) is self.DRAFT
        assert apply_patch(self.DRAFT, FormPatch(values={"url": "b"}, revision=4)).config.url == "b"

    def test_a_querys_draft_keeps_its_connection(self) -> None:
        draft = Draft(Shop(url="c"), Row(name="old"), {"name": "old"})
        changed = apply_patch(draft, FormPatch(values={"name": "new"}))
        assert (changed.connection.url, changed.config.name) == ("c", "new")

    @pytest.mark.parametrize("path", ["", "no such", "rows[7].name", "url.x", "a[0]"])
    def test_paths_that_lead_nowhere_do_no_harm(self, path: str) -> None:
        assert isinstance(apply_patch(self.DRAFT, FormPatch(values={path: "x"})).config, Shop)

    def test_rows_change_in_place(self) -> None:
        draft: Draft[Shop, None] = Draft(Shop(), None, {"rows": [{"name": "a"}, {"name": "b"}]})
        changed = apply_patch(draft, FormPatch(values={"rows[1].name": "c", "rows[2]": {"name": "d"}}))
        assert [row.name for row in changed.config.rows] == ["a", "c", "d"]

    def test_what_is_wrong_with_a_patch(self) -> None:
        assert (
            check_patch(FORM, FormPatch(values={"url": "x", "rows[0].name": "n"}, options={"m": [Option("a")]})) == []
        )
        for bad in (
            None,
            FormPatch(values={"no_such": 1}),
            FormPatch(values={"": 1}),
            FormPatch(values={"url": object()}),
            FormPatch(values={"tries": float("nan")}),
            FormPatch(options={"models": ["a"]}),  # type: ignore[list-item]
            FormPatch(messages=["x"]),  # type: ignore[list-item]
            FormPatch(ui={"type": "Script"}),
        ):
            assert check_patch(FORM, bad), bad

    @pytest.mark.formcycle(9)
    def test_nothing_of_a_secret_leaves(self) -> None:
        patch = FormPatch(
            values={"url": "http://hush", "api_key": "hush", "proxy": {"host": "h", "password": "x"}, "tries": 2},
            options={"models": [Option("m-hush", Key("url.label")), Option({"id": 1})]},
            messages=[FieldMessage("url", Key("url.label"), "info"), FieldMessage("", "hush is wrong")],
            ui={"type": "Vertical", "elements": [{"type": "Text", "text": "hush", "i18n": "basics"}]},
            revision=2,
        )
        assert public_patch(patch, Shop, TEXTS, "de", ["hush"]) == {
            "revision": 2,
            "values": {"url": "http://***", "tries": 2},
            "options": {
                "models": [
                    {"value": "m-***", "label": "Adresse", "description": "", "group": ""},
                    {"value": {"id": 1}, "label": '{"id": 1}', "description": "", "group": ""},
                ]
            },
            "messages": [
                {"path": "url", "message": "Adresse", "level": "info"},
                {"path": "", "message": "*** is wrong", "level": "error"},
            ],
            "ui": {"type": "Vertical", "elements": [{"type": "Text", "text": "Grundlagen", "i18n": "basics"}]},
        }


class Answers(FormLogic[Shop, None]):
    def __init__(self, answer: Any) -> None:
        self._answer = answer

    async def on_change(self, path: str, draft: Draft[Shop, None]) -> FormPatch | None:
        if isinstance(self._answer, BaseException):
            raise self._answer
        return self._answer  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "answer",
    [RuntimeError("hush"), SystemExit(1), "no patch", FormPatch(values={"no_such": 1}), FormPatch(ui={"type": "X"})],
    ids=range(5),
)
@pytest.mark.formcycle(12)
async def test_logic_that_fails_keeps_what_was_entered(answer: Any) -> None:
    draft = TestPatches.DRAFT
    patch = await ask(FORM, Answers(answer).on_change("url", draft), draft)
    assert apply_patch(draft, patch).data == draft.data
    (message,) = public_patch(patch, Shop, None, "de")["messages"]
    assert message["message"] == "Die Logik des Formulars ist fehlgeschlagen; Ihre Eingaben bleiben erhalten"


async def test_an_answer_is_for_the_draft_that_it_was_asked_with() -> None:
    draft = TestPatches.DRAFT
    patch = await ask(FORM, Answers(FormPatch(values={"url": "b"}, revision=99)).on_change("url", draft), draft)
    assert patch == FormPatch(values={"url": "b"}, revision=4)
    assert await ask(FORM, Answers(None).on_change("url", draft), draft) == FormPatch(revision=4)


async def test_logic_without_anything_does_nothing() -> None:
    logic: FormLogic[Shop, None] = FormLogic()
    draft = TestPatches.DRAFT
    assert await logic.options("models", draft, "") == []
    assert await logic.on_change("url", draft) is None
    assert await logic.validate(draft) == []
    assert await logic.action("load", draft) is None


@pytest.mark.formcycle(11)
async def test_logic_of_a_query_form_sees_the_connection() -> None:
    class Logic(FormLogic[Shop, Row]):
        async def options(self, source: str, draft: Draft[Shop, Row], search: str) -> list[Option]:
            return [Option(f"{draft.connection.url}/{draft.query.name}/{search}")]

    draft = Draft(read_draft(Shop, {"url": "unsaved"}), Row(name="q"))
    assert await Logic().options("models", draft, "x") == [Option("unsaved/q/x")]


def test_a_form_starts_with_secrets_as_set_or_not_set() -> None:
    public = public_data(full())
    assert public["data"]["api_key"] == {"$secret": "api_key"}
    assert public["secrets"]["api_key"] is True
    assert public["secrets"]["headers.plain"] is False
    assert "key \\" not in str(public)


def test_a_form_that_is_saved_unchanged_is_valid() -> None:
    config = Shop(url="u", api_key=SecretStr("k"), mode=Mode.good, proxy=Proxy(host="h"))
    data = merge_secrets(Shop, public_data(config)["data"], config)
    assert faults(data) == {}
    assert read_draft(Shop, data) == config


@pytest.mark.formcycle(14)
def test_ids_never_clash() -> None:
    ids = [
        element_id("a.b", "1", "#/properties/x"),
        element_id("a-b", "1", "#/properties/x"),
        element_id("a", "b-1", "#/properties/x"),
        element_id("a-b-1", "", "#/properties/x"),
        element_id("a.b", "2", "#/properties/x"),
        element_id("a.b", "1", "#/properties/y"),
        element_id("a.b", "1", "#/properties/X"),
    ]
    assert len({one.lower() if one != ids[-1] else one for one in ids}) == len(ids)
    assert all(one.replace("_", "").replace("-", "").isalnum() and one[0] == "f" for one in ids)


def test_scopes_escape_names() -> None:
    class Odd(Plain):
        pass

    assert scope_of(("a/b", "c~d")) == "#/properties/a~1b/properties/c~0d"
    assert generate(Odd).ui == {"type": "Vertical"}
