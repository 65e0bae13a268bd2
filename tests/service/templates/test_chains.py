"""Chains: what is refused on save, and how a run goes, fails, branches, is cancelled and carried on."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from promptd.core.chain import Action, ActiveRun, Binding, ChainRun, StepResult
from promptd.core.descriptors import Param
from promptd.core.errors import Conflict, InvalidInput, InvalidRequest, NotFound
from promptd.core.filters import Filter, Query
from promptd.core.lifecycle import Status
from promptd.core.model import Output, Prompt
from promptd.core.ports import Retention
from promptd.core.template import Draft, MessageSource
from promptd.service.forgetting import Forgetting
from tests.service.templates.lab import Lab, open_lab

pytestmark = pytest.mark.slow

PATIENCE = 10.0


def say(text: str, **more: Any) -> Draft:
    return replace(Draft(messages=(MessageSource(f'[{{"say": "{text}"}}]'),)), **more)


def literal(value: Any) -> Binding:
    return Binding("literal", value)


def reference(*places: str) -> Binding:
    return Binding("reference", places[0] if len(places) == 1 else list(places))


async def save(lab: Lab, name: str, draft: Draft) -> None:
    await lab.templates.save(lab.ann, name, draft)


async def ended(lab: Lab, name: str, inputs: dict[str, Any] | None = None) -> ChainRun:
    run = await lab.walk.chains.run(lab.ann, name, inputs or {})
    async with asyncio.timeout(PATIENCE):
        return await lab.walk.chains.finished(run.id)


@pytest.fixture
async def library(lab: Lab) -> Lab:
    await save(lab, "shout", say("{{ text }}!", inputs=(Param(name="text"),)))
    schema = {"type": "object", "properties": {"items": {"type": "array"}}, "required": ["items"]}
    await save(
        lab,
        "split",
        say(
            '{\\"items\\": [\\"{{ text }}\\", 2]}',
            output=Output(kind="json", schema=schema),
            inputs=(Param(name="text"),),
        ),
    )
    await save(lab, "fail", Draft(messages=(MessageSource('[{"fail": "content_filtered", "message": "no"}]'),)))
    return lab


async def test_outputs_feed_inputs_and_independent_actions_run_side_by_side(library: Lab, tmp_path: Path) -> None:
    lab = library
    for mine, other in (("a", "b"), ("b", "a")):
        script = f'[{{"wait_file": "{tmp_path / other}"}}, {{"say": "{mine}"}}]'
        await save(lab, f"meet-{mine}", Draft(messages=(MessageSource(script),)))
    actions = (
        Action("left", "meet-a"),
        Action("right", "meet-b"),
        Action(
            "both",
            "shout",
            {"text": Binding("template", "{{left.text}} and {{ right.text }} for {{inputs.who}}")},
        ),
    )
    await lab.walk.chains.save(
        lab.ann, "meet", actions=actions, inputs=(Param(name="who"),), outputs={"said": "both.text"}
    )
    run = await lab.walk.chains.run(lab.ann, "meet", {"who": "Ada"})
    async with asyncio.timeout(PATIENCE):
        while (
            len([s for s in (await lab.walk.chains.look(lab.ann, run.id)).steps.values() if s.status == "running"]) < 2
        ):
            await asyncio.sleep(0)
        for name in ("a", "b"):
            (tmp_path / name).touch()
        run = await lab.walk.chains.finished(run.id)
    assert run.status == "completed", run
    assert run.outputs == {"said": "a and b for Ada!"}
    page = await lab.house.database.records.find(Prompt, Query(filters=(Filter("parent", "eq", run.id),)))
    assert {prompt.id.partition(".")[2] for prompt in page.items} == {"left", "right", "both"}
    assert await lab.house.database.records.get(ActiveRun, run.id) is None


async def test_places_reach_into_typed_values(library: Lab) -> None:
    actions = (
        Action("parts", "split", {"text": reference("inputs.text")}),
        Action("first", "shout", {"text": reference("parts.items[0]")}),
    )
    await library.walk.chains.save(
        library.ann,
        "parts",
        actions=actions,
        inputs=(Param(name="text"),),
        outputs={"all": "parts.items", "second": "parts.items[1]", "none": "parts.items[7]", "said": "first.text"},
    )
    run = await ended(library, "parts", {"text": "one"})
    assert run.outputs == {"all": ["one", 2], "second": 2, "said": "one!"}


@pytest.mark.parametrize(
    ("on_error", "status", "steps"),
    [
        ("stop", "failed", {"bad": "failed", "next": "waiting", "rescue": "waiting"}),
        ("continue", "completed", {"bad": "failed", "next": "completed", "rescue": "completed"}),
        ("branch", "completed", {"bad": "failed", "next": "completed", "rescue": "completed"}),
    ],
)
async def test_an_error_stops_is_passed_over_or_branches(
    library: Lab, on_error: Any, status: str, steps: dict[str, str]
) -> None:
    branch = "rescue" if on_error == "branch" else None
    actions = (
        Action("bad", "fail", on_error=on_error, branch=branch),
        Action("rescue", "shout", {"text": reference("bad.error.code")}),
        Action("next", "shout", {"text": literal("on")}, after=("bad",)),
    )
    await library.walk.chains.save(library.ann, "try", actions=actions, outputs={"said": "rescue.text"})
    run = await ended(library, "try")
    assert run.status == status
    assert {name: step.status for name, step in run.steps.items()} == steps
    if status == "completed":
        assert run.outputs == {"said": "content_filtered!"}
    else:
        assert (run.code, run.message) == ("content_filtered", "no")


async def test_a_branch_is_skipped_where_nothing_failed_and_references_take_what_is_there(library: Lab) -> None:
    actions = (
        Action("good", "shout", {"text": literal("yes")}, on_error="branch", branch="rescue"),
        Action("rescue", "shout", {"text": literal("help")}),
        Action("last", "shout", {"text": reference("rescue.text", "good.text")}),
    )
    await library.walk.chains.save(library.ann, "try", actions=actions, outputs={"said": "last.text"})
    run = await ended(library, "try")
    assert run.steps["rescue"].status == "skipped"
    assert run.outputs == {"said": "yes!!"}


@pytest.mark.parametrize(
    ("actions", "outputs", "field"),
    [
        ((), {}, "actions"),
        ((Action("a", "shout"),), {}, "actions[0].bindings.text"),
        ((Action("a", "shout", {"text": literal("x"), "more": literal(1)}),), {}, "actions[0].bindings.more"),
        ((Action("a", "shout", {"text": reference("inputs.nothing")}),), {}, "actions[0].bindings.text.value"),
        ((Action("a", "shout", {"text": reference("b.text")}),), {}, "actions[0].bindings.text.value"),
        ((Action("a", "shout", {"text": reference("nonsense")}),), {}, "actions[0].bindings.text.value"),
        ((Action("a", "shout", {"text": Binding("file", "inputs.text")}),), {}, "actions[0].bindings.text.kind"),
        ((Action("a", "shout", {"text": Binding("template", 5)}),), {}, "actions[0].bindings.text.value"),
        ((Action("inputs", "shout", {"text": literal("x")}),), {}, "actions[0].name"),
        (
            (Action("a", "shout", {"text": literal("x")}), Action("a", "shout", {"text": literal("x")})),
            {},
            "actions[0].name",
        ),
        ((Action("a", "shout", {"text": literal("x")}, on_error="branch"),), {}, "actions[0].branch"),
        ((Action("a", "shout", {"text": literal("x")}, after=("b",)),), {}, "actions[0]"),
        ((Action("a", "shout", {"text": literal("x")}),), {"o": "a.wrong"}, "outputs.o"),
        (
            (
                Action("a", "shout", {"text": reference("b.text")}),
                Action("b", "shout", {"text": reference("a.text")}),
            ),
            {},
            "actions",
        ),
    ],
)
async def test_what_could_never_run_is_refused_on_save(
    library: Lab, actions: tuple[Action, ...], outputs: dict[str, str], field: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await library.walk.chains.save(library.ann, "c", actions=actions, outputs=outputs, inputs=(Param(name="text"),))
    assert refused.value.field == field


async def test_inputs_are_checked_and_what_is_not_there_is_not_found(library: Lab) -> None:
    chains = library.walk.chains
    await chains.save(
        library.ann,
        "c",
        actions=(Action("a", "shout", {"text": reference("inputs.text")}),),
        inputs=(Param(name="text"),),
    )
    with pytest.raises(InvalidInput) as refused:
        await chains.run(library.ann, "c", {"text": 5})
    assert refused.value.field == "text"
    with pytest.raises(NotFound):
        await chains.run(library.ann, "nobody", {})
    with pytest.raises(NotFound):
        await chains.save(library.ann, "d", actions=(Action("a", "no such template"),))
    with pytest.raises(Conflict, match="chain c"):
        await library.templates.delete(library.ann, "shout")
    run = await ended(library, "c", {"text": "x"})
    with pytest.raises(NotFound):
        await chains.look(replace(library.ann, user="bob"), run.id)
    with pytest.raises(Conflict):
        await chains.cancel(library.ann, run.id)


async def test_a_cancelled_run_ends_with_its_prompts(library: Lab) -> None:
    await save(library, "hang", Draft(messages=(MessageSource('[{"hang": true}]'),)))
    chains = library.walk.chains
    await chains.save(library.ann, "c", actions=(Action("a", "hang"), Action("b", "fail", after=("a",))))
    run = await chains.run(library.ann, "c", {})
    async with asyncio.timeout(PATIENCE):
        while library.walk.worker.running(f"{run.id}.a") is None:
            await asyncio.sleep(0)
        canceled = await chains.cancel(library.ann, run.id)
        assert canceled.status == "canceled"
        assert (await library.walk.streams.finished(f"{run.id}.a")).status is Status.CANCELED
    assert (await chains.look(library.ann, run.id)).steps["b"].status == "waiting"


async def test_a_restart_carries_on_at_the_unfinished_action_and_asks_nothing_twice(tmp_path: Path) -> None:
    gate, journal = tmp_path / "gate", tmp_path / "journal"
    (tmp_path / "home").mkdir()
    connections = {"lab": {"engine": "scripted", "slots": 2, "journal": str(journal)}}
    more = {"connections": connections, "models": {"demo": {"connection": "lab"}}}
    async with open_lab(tmp_path / "home", **more) as lab:
        await save(lab, "first", say("one"))
        await save(lab, "second", Draft(messages=(MessageSource(f'[{{"wait_file": "{gate}"}}, {{"say": "two"}}]'),)))
        await save(lab, "third", say("{{ x }} three", inputs=(Param(name="x"),)))
        actions = (
            Action("a", "first"),
            Action("b", "second", after=("a",)),
            Action("c", "third", {"x": Binding("template", "{{a.text}} {{b.text}}")}),
        )
        await lab.walk.chains.save(lab.ann, "c", actions=actions, outputs={"said": "c.text"})
        run = await lab.walk.chains.run(lab.ann, "c", {})
        async with asyncio.timeout(PATIENCE):
            while lab.walk.worker.running(f"{run.id}.b") is None:
                await asyncio.sleep(0)
    gate.touch()
    async with open_lab(tmp_path / "home", **more) as lab:
        async with asyncio.timeout(PATIENCE):
            done = await lab.walk.chains.finished(run.id)
    assert (done.status, done.outputs) == ("completed", {"said": "one two three"})
    asked = [line for line in journal.read_text().splitlines() if f'"{run.id}.a"' in line]
    assert len(asked) == 1


async def test_texts_of_old_runs_are_removed_as_those_of_prompts_are(library: Lab) -> None:
    actions = (Action("a", "shout", {"text": reference("inputs.text")}),)
    await library.walk.chains.save(
        library.ann, "c", actions=actions, inputs=(Param(name="text"),), outputs={"said": "a.text"}
    )
    run = await ended(library, "c", {"text": "secret"})
    assert run.finished is not None
    forgetting = Forgetting(ledger=library.house.database.ledger, records=library.house.database.records, age=60.0)
    assert await forgetting.run(run.finished + 59) == 0
    assert (await library.walk.chains.look(library.ann, run.id)).outputs == {"said": "secret!"}
    assert await forgetting.run(run.finished + 61) == 2, "the run and its prompt"
    left = await library.walk.chains.look(library.ann, run.id)
    assert (left.status, left.inputs, left.outputs, left.steps["a"].value) == ("completed", {}, {}, {})
    assert left.steps["a"].status == "completed"
    assert await forgetting.run(run.finished + 62) == 0


async def test_what_a_step_gave_is_stored_once_and_found_again(library: Lab) -> None:
    names = [f"s{number}" for number in range(12)]
    actions = tuple(
        Action(name, "shout", {"text": reference("inputs.text")}, after=tuple(names[:number]))
        for number, name in enumerate(names)
    )
    await library.walk.chains.save(library.ann, "c", actions=actions, inputs=(Param(name="text"),))
    records = library.house.database.records
    written: list[int] = []
    put = records.put

    async def weighed(*rows: Any, gone: Any = ()) -> None:
        written.append(sum(len(msgspec.json.encode(row)) for row in rows if isinstance(row, ChainRun)))
        await put(*rows, gone=gone)

    records.put = weighed  # type: ignore[method-assign]
    run = await library.walk.chains.run(library.ann, "c", {"text": "x" * 20_000})
    async with asyncio.timeout(PATIENCE):
        done = await library.walk.chains.finished(run.id)
    assert max(written) < 30_000, "the row holds the inputs, and nothing of what twelve steps gave"
    assert {step.value["text"] for step in done.steps.values()} == {"x" * 20_000 + "!"}
    assert await library.walk.chains.look(library.ann, run.id) == done


async def test_runs_are_deleted_when_prompts_of_their_status_are(library: Lab) -> None:
    await library.walk.chains.save(
        library.ann, "good", actions=(Action("a", "shout", {"text": Binding("literal", "x")}),)
    )
    await library.walk.chains.save(library.ann, "bad", actions=(Action("a", "fail"),))
    good, bad = await ended(library, "good"), await ended(library, "bad")
    assert good.finished is not None
    assert bad.finished is not None
    database = library.house.database
    rules = (Retention(Status.COMPLETED, 60.0),)
    forgetting = Forgetting(ledger=database.ledger, records=database.records, retention=rules)
    await forgetting.run(good.finished + 59)
    assert await database.records.get(StepResult, f"{good.id}.a") is not None
    await forgetting.run(max(good.finished, bad.finished) + 61)
    assert await database.records.get(StepResult, f"{good.id}.a") is None
    with pytest.raises(NotFound):
        await library.walk.chains.look(library.ann, good.id)
    assert (await library.walk.chains.look(library.ann, bad.id)).status == "failed"
