"""Templates as functions: values in, a prompt on the walk, and the promised form out."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from promptd.core.content import Turn
from promptd.core.descriptors import Param
from promptd.core.errors import (
    ConfigUnusable,
    ContentFiltered,
    ContentRefused,
    HandlerUnavailable,
    InvalidInput,
    InvalidOutput,
    OutputTruncated,
)
from promptd.core.filters import Filter, Query
from promptd.core.lifecycle import Status
from promptd.core.model import Capability, Chunk, Mode, Output, Prompt
from promptd.core.rendering import Dialect
from promptd.core.template import Draft, MessageSource, TemplateVersion
from promptd.core.usage import Dimension, UsageQuery
from promptd.service.functions import Options
from promptd.service.streams import START
from tests.service.templates.lab import Lab, open_lab

pytestmark = pytest.mark.slow

PATIENCE = 10.0
OBJECT = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}, "additionalProperties": False}
ATTACHED = Options(mode=Mode.ATTACHED)


def draft(source: str = "Hello {{ name }}", **more: Any) -> Draft:
    return replace(Draft(messages=(MessageSource(source),)), **more)


async def attached(
    lab: Lab, name: str, values: dict[str, Any], options: Options = ATTACHED
) -> tuple[Prompt, list[Chunk]]:
    submission = await lab.functions.prepare(lab.ann, name, values, options)
    async with asyncio.timeout(PATIENCE), lab.walk.attached.open(submission) as visit:
        chunks = [chunk async for chunk in visit.chunks()]
    return visit.prompt, chunks


async def queued(lab: Lab, name: str, values: dict[str, Any], options: Options = Options(), **files: Any) -> Prompt:  # noqa: B008
    submission = await lab.functions.prepare(lab.ann, name, values, options, files)
    added = await lab.walk.intake.submit(submission)
    async with asyncio.timeout(PATIENCE):
        return await lab.walk.streams.finished(added.prompt.id)


async def children(lab: Lab, prompt: Prompt) -> list[Prompt]:
    await lab.walk.attached.flush()
    page = await lab.house.database.records.find(Prompt, Query(filters=(Filter("parent", "eq", prompt.id),)))
    return list(page.items)


# ---------------------------------------------------------------- rendering


async def test_a_run_is_a_prompt_that_names_its_version(lab: Lab) -> None:
    await lab.templates.save(lab.ann, "greet", draft('[{"say": "Hello {{ name }}"}]'), label="production")
    prompt = await queued(lab, "greet", {"name": "Ada"})
    assert prompt.status is Status.COMPLETED
    assert prompt.answer is not None
    assert (prompt.answer.text, prompt.answer.value) == ("Hello Ada", None)
    use = prompt.request.template
    assert use is not None
    assert (use.template, use.number, use.label) == ("greet", 1, "production")


async def test_versions_that_share_the_runs_of_a_label_are_compared(lab: Lab) -> None:
    await lab.templates.save(lab.ann, "greet", draft('[{"say": "Hello {{ name }}"}]'), label="production")
    await queued(lab, "greet", {"name": "Ada"})
    await lab.templates.save(lab.ann, "greet", draft('[{"say": "Hi {{ name }}"}]'), label="production")
    await queued(lab, "greet", {"name": "Bob"})
    await queued(lab, "greet", {"name": "Cy"})
    report = await lab.house.database.ledger.report(UsageQuery(by=(Dimension.ARM,)))
    assert [(line.group, line.sums.completed) for line in report.lines] == [(("greet@1",), 1), (("greet@2",), 2)]


async def test_an_attached_run_that_is_not_kept_still_names_its_version(lab: Lab) -> None:
    schema = Output(kind="json", schema=OBJECT)
    await lab.templates.save(lab.ann, "obj", draft('[{"say": "{\\"a\\": 1}"}]', output=schema))
    prompt, chunks = await attached(lab, "obj", {})
    assert chunks[-1].value == {"a": 1}
    await lab.walk.attached.flush()
    row = await lab.house.database.records.get(Prompt, prompt.id)
    assert row is not None
    assert row.answer is not None
    assert row.request.template is not None
    assert (row.request.template.template, row.request.template.number) == ("obj", 1)
    assert (row.request.messages, row.answer.text, row.answer.value, row.trace) == ((), "", None, b"")


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({}, "name"),
        ({"name": None}, "name"),
        ({"name": 5}, "name"),
        ({"name": "x", "other": 1}, "other"),
        ({"name": "x", "age": 2.5}, "age"),
        ({"name": "x", "age": float("nan")}, "age"),
    ],
)
@pytest.mark.formcycle(33, 34)
async def test_a_wrong_input_is_named_and_nothing_runs(lab: Lab, values: dict[str, Any], field: str) -> None:
    inputs = (Param(name="name"), Param(name="age", kind="integer", required=False))
    await lab.templates.save(lab.ann, "greet", draft("{{ name }} {{ age }}", inputs=inputs, model="pupil"))
    with pytest.raises(InvalidInput) as refused:
        await lab.functions.prepare(lab.ann, "greet", values)
    assert refused.value.field == field
    assert lab.pupil.asked == []


@pytest.mark.formcycle(35)
async def test_defaults_fill_and_absent_optional_inputs_render_as_nothing(lab: Lab) -> None:
    inputs = (Param(name="name", required=False, default="Ada"), Param(name="title", required=False))
    await lab.templates.save(lab.ann, "greet", draft("Dear {{ title }}{{ name }}", inputs=inputs))
    submission = await lab.functions.prepare(lab.ann, "greet", {})
    assert submission.request.messages == (Turn("user", "Dear Ada"),)


async def test_lenient_runs_take_values_as_they_are(lab: Lab) -> None:
    source = "{{ missing }}{% for k, v in pairs.items() %}{{ k }}={{ v }};{% endfor %}"
    await lab.templates.save(lab.ann, "old", draft(source, dialect=Dialect.IBIS, inputs=(Param(name="missing"),)))
    submission = await lab.functions.prepare(
        lab.ann, "old", {"pairs": {"a": True, "b": None}, "more": 1}, Options(lenient=True)
    )
    assert submission.request.messages[-1].content == "a=True;b=None;"


async def test_a_message_follows_its_partial_as_long_as_there_is_one(lab: Lab) -> None:
    messages = (MessageSource("Be helpful.", "system", partial="manner"), MessageSource("{{ x }}"))
    await lab.templates.save(lab.ann, "t", Draft(messages=messages))
    for manner, said in ((None, "Be helpful."), ("Be {{ how }}.", "Be kind.")):
        if manner is not None:
            await lab.templates.put_partial(lab.ann, "manner", manner)
        values = {"x": "hi"} | ({"how": "kind"} if manner else {})
        submission = await lab.functions.prepare(lab.ann, "t", values)
        assert submission.request.messages == (Turn("system", said), Turn("user", "hi"))


async def test_a_schema_goes_along_to_engines_that_can_keep_a_model_to_it(lab: Lab) -> None:
    await lab.templates.save(lab.ann, "obj", draft("x", output=Output(kind="json", schema=OBJECT), model="pupil"))
    await attached(lab, "obj", {})
    parameters = lab.pupil.asked[0].parameters
    assert (parameters.json_schema, parameters.schema_strict) == (OBJECT, True)


async def test_a_broken_template_says_so(lab: Lab) -> None:
    await lab.templates.save(lab.ann, "bad", Draft(fault="line 3: no JSON", source="{"))
    with pytest.raises(ConfigUnusable, match="line 3"):
        await lab.functions.prepare(lab.ann, "bad", {})


# ---------------------------------------------------------------- output


async def test_a_missed_form_is_repaired_by_a_child_prompt_even_on_the_only_slot(lab: Lab) -> None:
    await lab.templates.save(lab.ann, "obj", draft("x", output=Output(kind="json", schema=OBJECT), model="pupil"))
    for prompt in (await queued(lab, "obj", {}), (await attached(lab, "obj", {}))[0]):
        assert prompt.status is Status.COMPLETED
        (child,) = await children(lab, prompt)
        assert (child.status, child.user, child.lane) == (Status.COMPLETED, "ann", "school")
    shown = lab.pupil.asked[1].messages
    assert [turn.role for turn in shown] == ["user", "assistant", "user"]
    assert shown[1].content == "a is one"
    assert all(busy == 0 for _, busy in lab.walk.worker.load().values())


async def test_readers_of_a_repaired_answer_are_told_to_begin_anew(lab: Lab) -> None:
    await lab.templates.save(lab.ann, "obj", draft("x", output=Output(kind="json", schema=OBJECT), model="pupil"))
    _, live = await attached(lab, "obj", {})
    assert [(chunk.kind, chunk.text) for chunk in live] == [
        ("progress", "a is one"),
        ("restart", ""),
        ("progress", '{"a": 1}'),
        ("done", ""),
    ]
    assert live[-1].value == {"a": 1}
    prompt = await queued(lab, "obj", {})
    replayed = [chunk async for batch in lab.walk.streams.follow(prompt.id, START) for chunk in batch]
    assert [chunk.kind for chunk in replayed][-3:] == ["restart", "progress", "done"]
    assert replayed[-2].text == '{"a": 1}'
    assert replayed[-1].value == {"a": 1}
    assert prompt.answer is not None
    assert prompt.answer.warnings


async def test_without_repair_and_after_it_the_run_fails_at_once(lab: Lab) -> None:
    await lab.templates.save(
        lab.ann, "obj", draft("x", output=Output(kind="json", schema={"type": "string"}), model="pupil")
    )
    with pytest.raises(InvalidOutput):
        await attached(lab, "obj", {}, replace(ATTACHED, repair=0))
    assert len(lab.pupil.asked) == 1
    prompt = await queued(lab, "obj", {})
    assert prompt.status is Status.ABANDONED
    assert prompt.error is not None
    assert prompt.error.code == "invalid_output"
    assert (prompt.runs, len(lab.pupil.asked)) == (1, 3)


async def test_a_cut_answer_is_no_answer_and_is_not_repaired(lab: Lab) -> None:
    script = '[{"say": "{\\"a\\": 1"}, {"finish": "length"}]'
    await lab.templates.save(lab.ann, "obj", draft(script, output=Output(kind="json", schema=OBJECT)))
    with pytest.raises(OutputTruncated):
        await attached(lab, "obj", {})


async def test_lines_that_do_not_fit_are_left_out(lab: Lab) -> None:
    script = '[{"say": "{\\"a\\": 1}\\nnonsense\\n{\\"a\\": \\"x\\"}\\n{\\"a\\": 2}"}]'
    await lab.templates.save(lab.ann, "lines", draft(script, output=Output(kind="jsonl", schema=OBJECT)))
    _, chunks = await attached(lab, "lines", {})
    assert chunks[-1].value == [{"a": 1}, {"a": 2}]


# ---------------------------------------------------------------- queries


async def save_query(lab: Lab, name: str, connection: str, **settings: Any) -> TemplateVersion:
    async def save(made: Draft) -> TemplateVersion:
        return await lab.templates.save(lab.ann, name, made)

    return await lab.functions.with_settings(lab.ann, name, Draft(connection=connection), settings, save)


@pytest.mark.formcycle(26, 36)
async def test_a_query_is_a_typed_function_of_its_engine(lab: Lab) -> None:
    await save_query(lab, "letter", "office", copies=2)
    function = await lab.functions.describe("letter")
    assert [param.name for param in function.inputs] == ["name", "text", "enclosure"]
    assert function.input_schema()["required"] == ["name", "text"]
    prompt = await queued(lab, "letter", {"name": "Ada", "text": "{{name}}!"})
    assert prompt.answer is not None, prompt.error
    assert prompt.answer.value == {"letter": "Dear Ada, {{name}}!", "pages": 2}
    assert any("extra" in warning for warning in prompt.answer.warnings)
    assert (prompt.capability, prompt.lane, prompt.model) == (Capability.QUERY, "office", "office")
    _, chunks = await attached(lab, "letter", {"name": "Bob", "text": "hi"})
    assert chunks[-1].value == {"letter": "Dear Bob, hi", "pages": 2}


async def test_secrets_of_a_query_are_sealed_and_reach_the_engine(lab: Lab) -> None:
    version = await save_query(lab, "letter", "office", pin="1234-5678")
    assert version.draft.settings is not None
    assert b"1234-5678" not in version.draft.settings.sealed
    await queued(lab, "letter", {"name": "Ada", "text": "x"})
    assert lab.post.calls[0].query.pin.get_secret_value() == "1234-5678"
    again = await save_query(lab, "letter", "office", pin="", loud=True)
    assert again.number == 2
    shown = await lab.functions.difference(lab.ann, "letter", 1, 2)
    assert '+  "loud": true' in shown
    assert "1234" not in shown
    await queued(lab, "letter", {"name": "Ada", "text": "x"})
    assert lab.post.calls[1].query.pin.get_secret_value() == "1234-5678"


@pytest.mark.formcycle(44)
async def test_files_go_in_and_come_out(lab: Lab) -> None:
    async def once() -> Any:
        yield b"enclosed words"

    upload = await lab.walk.uploads.save("ann", "enclosure.txt", "text/plain", once(), 1000)
    await save_query(lab, "letter", "office")
    prompt = await queued(lab, "letter", {"name": "Ada", "text": "x"}, enclosure=(upload.id,))
    assert prompt.answer is not None, prompt.error
    (made,) = prompt.answer.outputs["copy"]
    assert await lab.walk.uploads.read(made, 1000) == b"enclosed words"
    with pytest.raises(InvalidInput, match="enclosure"):
        await queued(lab, "letter", {"name": "Ada", "text": "x"}, enclosure=("file_nobody",))


@pytest.mark.parametrize("values", [{"text": "contraband"}, {"text": "x"}])
async def test_checks_look_at_values_and_files_of_a_query(tmp_path: Path, values: dict[str, Any]) -> None:
    async def once() -> Any:
        yield b"some contraband words"

    async with open_lab(tmp_path, guard={"blocklist": ["contraband"]}) as lab:
        upload = await lab.walk.uploads.save("ann", "enclosure.txt", "text/plain", once(), 1000)
        await save_query(lab, "letter", "office")
        if "contraband" in values["text"]:
            with pytest.raises(ContentRefused, match="contraband"):
                await queued(lab, "letter", {"name": "Ada", **values})
        else:
            prompt = await queued(lab, "letter", {"name": "Ada", **values}, enclosure=(upload.id,))
            assert (prompt.status, prompt.error and prompt.error.code) == (Status.ABANDONED, "content_filtered")
        assert lab.post.calls == [], "the engine heard nothing of it"


async def test_a_query_that_is_asked_of_a_language_model_walks_like_its_prompts(lab: Lab) -> None:
    await save_query(lab, "note", "desk", wording="Write to {{name}}")
    prompt = await queued(lab, "note", {"name": "Ada"})
    assert prompt.answer is not None, prompt.error
    assert prompt.request.messages == (Turn("user", "Write to Ada"),)
    assert (prompt.answer.text, prompt.answer.value) == ("Write to Ada", {"letter": "Write to Ada"})
    assert (prompt.model, prompt.lane, prompt.capability) == ("quill", "desk", Capability.CHAT)


@pytest.mark.parametrize(("text", "code"), [("forbidden", "content_filtered"), ("nonsense", "invalid_output")])
@pytest.mark.formcycle(36, 40)
async def test_what_the_engine_raises_and_what_it_returns_wrongly_is_told(lab: Lab, text: str, code: str) -> None:
    await save_query(lab, "letter", "office")
    with pytest.raises(ContentFiltered if text == "forbidden" else InvalidOutput) as raised:
        await attached(lab, "letter", {"name": "Ada", "text": text})
    assert raised.value.code == code


@pytest.mark.formcycle(24)
async def test_a_query_whose_connection_is_gone_is_unavailable(lab: Lab) -> None:
    version = await save_query(lab, "letter", "office")
    lost = replace(version.draft, connection="nowhere")
    with pytest.raises(HandlerUnavailable):
        await lab.templates.save(lab.ann, "letter", lost)
