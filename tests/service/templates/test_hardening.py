"""Templates against careless operators and hostile callers: races, overlong work, and what a narrow key can reach."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from promptd.core.chain import Action, ActiveRun, Binding, ChainRun, Step
from promptd.core.descriptors import Param
from promptd.core.engine import Call, Result
from promptd.core.errors import InvalidOutput, InvalidRequest, ModelForbidden, PromptdError, StoreUnavailable
from promptd.core.lifecycle import Status
from promptd.core.model import Caller, Mode, Output
from promptd.core.template import Assertion, Case, Draft, MessageSource
from promptd.service import chain_run
from promptd.service.functions import Options
from tests.service.templates.lab import Lab, PupilConfig, open_lab

pytestmark = pytest.mark.slow

PATIENCE = 10.0


def draft(source: str = "Hello {{ name }}", **more: Any) -> Draft:
    return replace(Draft(messages=(MessageSource(source),)), **more)


async def letter(lab: Lab, name: str = "letter", connection: str = "office", wording: str = "Dear {{name}}") -> None:
    async def store(written: Draft) -> None:
        await lab.templates.save(lab.ann, name, written)

    await lab.functions.with_settings(lab.ann, name, Draft(connection=connection), {"wording": wording}, store)


async def key(lab: Lab, user: str, *models: str) -> Caller:
    admin = replace(lab.ann, admin=True)
    _, secret = await lab.walk.keys.create(admin, name=user, user=user, models=models)
    return await lab.walk.callers.authenticate(secret)


# ---------------------------------------------------------------- narrow keys


@pytest.mark.parametrize("connection", ["office", "desk"])
async def test_a_key_for_one_model_does_not_reach_a_connection_by_naming_that_model(lab: Lab, connection: str) -> None:
    await letter(lab, connection=connection)
    narrow = await key(lab, "eve", "demo")
    for model in (None, "demo"):
        submission = await lab.functions.prepare(narrow, "letter", {"name": "x"}, Options(model=model))
        with pytest.raises(ModelForbidden):
            await lab.walk.intake.submit(submission)
    assert lab.post.calls == []


# ---------------------------------------------------------------- races


async def test_a_template_that_is_deleted_while_it_is_saved_anew_is_whole_or_gone(lab: Lab) -> None:
    for turn in range(20):
        name = f"t{turn}"
        for number in range(3):
            await lab.templates.save(lab.ann, name, draft(f"one {number}"))
        again = [lab.templates.save(lab.ann, name, draft(f"two {number}")) for number in range(3)]
        await asyncio.gather(lab.templates.delete(lab.ann, name), *again, return_exceptions=True)
        await lab.templates.save(lab.ann, name, draft("three"))
        latest = (await lab.templates.get(name)).latest
        assert (await lab.templates.version(name, latest)).draft == draft("three")
        for number in range(1, latest + 1):
            await lab.templates.version(name, number)


async def test_a_queued_query_does_not_run_the_settings_of_a_later_template_of_that_name(lab: Lab) -> None:
    await letter(lab, wording="Dear {{name}}")
    submission = await lab.functions.prepare(lab.ann, "letter", {"name": "x"})
    await lab.walk.intake.submit(replace(submission, id="prompt_old", not_before=lab.walk.chains.now() + 0.3))
    await lab.templates.delete(lab.ann, "letter")
    await letter(lab, wording="Pay all to {{name}}")
    async with asyncio.timeout(PATIENCE):
        prompt = await lab.walk.streams.finished("prompt_old")
    assert prompt.status is Status.ABANDONED, prompt
    assert lab.post.calls == []


async def test_shared_texts_that_are_read_while_they_change_are_not_remembered_as_they_were(lab: Lab) -> None:
    await lab.templates.put_partial(lab.ann, "manner", "0")
    await lab.templates.put_terms(lab.ann, {"x": 0})

    async def read() -> None:
        for _ in range(50):
            await lab.templates.partials()
            await lab.templates.terms()
            await asyncio.sleep(0)

    for number in range(1, 20):
        reading = asyncio.create_task(read())
        await lab.templates.put_partial(lab.ann, "manner", str(number))
        await lab.templates.put_terms(lab.ann, {"x": number})
        await reading
        assert (await lab.templates.partials())["manner"].source == str(number)
        assert (await lab.templates.terms()) == {"x": number}


# ---------------------------------------------------------------- what a draft may say


@pytest.mark.parametrize(
    "assertion",
    [Assertion("matches", "("), Assertion("schema", "no"), Assertion("min_length", "x"), Assertion("equals", 1, "..")],
)
async def test_the_cases_of_a_query_are_checked_as_those_of_messages(lab: Lab, assertion: Assertion) -> None:
    case = Case("c", {"name": "x"}, (assertion,))
    with pytest.raises(InvalidRequest, match="cases"):
        await lab.functions.with_settings(
            lab.ann,
            "letter",
            Draft(connection="office", cases=(case,)),
            {},
            lambda written: lab.templates.save(lab.ann, "letter", written),
        )


# ---------------------------------------------------------------- time and memory


async def longest_turn(done: asyncio.Task[Any]) -> float:
    """Seconds that the loop was busy in one go until `done` is."""
    longest = 0.0
    while not done.done():
        before = time.perf_counter()
        await asyncio.sleep(0)
        longest = max(longest, time.perf_counter() - before)
    return longest


async def test_two_long_versions_are_compared_in_time_and_beside_other_work(lab: Lab) -> None:
    import random

    dice = random.Random(5)
    for _ in range(2):
        lines = "\n".join(str(dice.randrange(400)) for _ in range(60_000))
        await lab.templates.save(lab.ann, "long", draft(lines))
    task = asyncio.create_task(lab.functions.difference(lab.ann, "long", 1, 2))
    async with asyncio.timeout(PATIENCE):
        busy = await longest_turn(task)
    assert "version 2" in task.result()
    assert busy < 1.0


async def test_placeholders_of_a_chain_are_found_in_linear_time(lab: Lab) -> None:
    await lab.templates.save(lab.ann, "say", draft("{{ text }}"))
    long = Binding("template", ("{{" + " " * 20_000) * 5)
    async with asyncio.timeout(PATIENCE):
        await lab.walk.chains.save(lab.ann, "c", actions=(Action("a", "say", {"text": long}),))


async def test_a_binding_that_repeats_a_long_input_is_refused_before_it_is_built(lab: Lab) -> None:
    await lab.templates.save(lab.ann, "say", draft("{{ text }}"))
    bomb = Binding("template", "{{inputs.x}}" * 20_000)
    await lab.walk.chains.save(lab.ann, "c", actions=(Action("a", "say", {"text": bomb}),), inputs=(Param(name="x"),))
    run = await lab.walk.chains.run(lab.ann, "c", {"x": "y" * 1_000_000})
    async with asyncio.timeout(PATIENCE):
        ended = await lab.walk.chains.finished(run.id)
    assert (ended.status, ended.code) == ("failed", "input_too_large")


# ---------------------------------------------------------------- chains


class Faults:
    """What `Chains` stores of a run fails as often as is said, written or not."""

    def __init__(self, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left, self.written = 0, False
        records = lab.house.database.records
        put = records.put

        async def failing(*rows: Any) -> None:
            if self.left and any(isinstance(row, ChainRun) and row.version for row in rows):
                self.left -= 1
                if self.written:
                    await put(*rows)
                raise StoreUnavailable
            await put(*rows)

        monkeypatch.setattr(records, "put", failing)


@pytest.mark.parametrize("written", [False, True])
async def test_a_run_outlives_a_store_that_fails_for_a_while(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, written: bool
) -> None:
    monkeypatch.setattr(chain_run, "_PAUSE", 0.01)
    await lab.templates.save(lab.ann, "say", draft("{{ text }}"))
    text = {"text": Binding("literal", "x")}
    await lab.walk.chains.save(lab.ann, "c", actions=(Action("a", "say", text), Action("b", "say", text)))
    faults = Faults(lab, monkeypatch)
    faults.left, faults.written = 4, written
    run = await lab.walk.chains.run(lab.ann, "c", {})
    async with asyncio.timeout(PATIENCE):
        ended = await lab.walk.chains.finished(run.id)
    assert ended.status == "completed"
    stored = await lab.house.database.records.get(ChainRun, run.id)
    assert stored is not None
    assert stored.status == "completed"


async def test_after_a_restart_a_run_that_was_stopping_begins_no_other_action(tmp_path: Path) -> None:
    async with open_lab(tmp_path) as lab:
        await lab.templates.save(lab.ann, "say", draft("{{ text }}", model="pupil"))
        text = {"text": Binding("literal", "x")}
        await lab.walk.chains.save(lab.ann, "c", actions=(Action("a", "say", text), Action("b", "say", text)))
        saved = await lab.walk.chains.get("c")
        steps = {"a": Step(status="failed", code="content_filtered", message="no"), "b": Step()}
        run = ChainRun(id="run_left", chain=saved, user="ann", key=lab.ann.key, created=1.0, steps=steps)
        await lab.house.database.records.put(run, ActiveRun("run_left"))
    async with open_lab(tmp_path) as lab:
        async with asyncio.timeout(PATIENCE):
            ended = await lab.walk.chains.finished("run_left")
        assert (ended.status, ended.code, ended.steps["b"].status) == ("failed", "content_filtered", "waiting")
        assert lab.pupil.asked == []


# ---------------------------------------------------------------- repair


async def test_twenty_repairs_at_once_on_one_slot_all_end(lab: Lab) -> None:
    schema = Output(kind="json", schema={"type": "object", "required": ["a"]})
    await lab.templates.save(lab.ann, "obj", draft("x", output=schema, model="pupil"))

    async def attached() -> Any:
        submission = await lab.functions.prepare(lab.ann, "obj", {}, Options(mode=Mode.ATTACHED))
        async with lab.walk.attached.open(submission) as visit:
            return (await visit.whole())[1].value

    async def queued() -> Any:
        submission = await lab.functions.prepare(lab.ann, "obj", {})
        added = await lab.walk.intake.submit(submission)
        prompt = await lab.walk.streams.finished(added.prompt.id)
        return prompt.answer.value if prompt.answer is not None else prompt.error

    async with asyncio.timeout(PATIENCE):
        values = await asyncio.gather(*(attached() if number % 2 else queued() for number in range(20)))
    assert values == [{"a": 1}] * 20
    assert lab.walk.worker.load()["school"] == (1, 0)


@pytest.mark.parametrize(
    ("mode", "why"), [(Mode.ATTACHED, "cancel"), (Mode.ATTACHED, "drain"), (Mode.QUEUED, "cancel")]
)
async def test_a_prompt_that_is_stopped_while_it_is_repaired_is_stopped(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, mode: Mode, why: str
) -> None:
    execute, repairing = lab.pupil.execute, asyncio.Event()

    async def slow(call: Call[PupilConfig]) -> Result:
        if len(call.messages) > 1:
            repairing.set()
            await asyncio.Event().wait()
        return await execute(call)

    monkeypatch.setattr(lab.pupil, "execute", slow)
    schema = Output(kind="json", schema={"type": "object", "required": ["a"]})
    await lab.templates.save(lab.ann, "obj", draft("x", output=schema, model="pupil"))
    submission = await lab.functions.prepare(lab.ann, "obj", {}, Options(mode=mode))
    submission = replace(submission, id="prompt_x")

    async def attached() -> str:
        try:
            async with lab.walk.attached.open(submission) as visit:
                return str(await visit.whole())
        except PromptdError as error:
            return error.code

    async def queued() -> str:
        await lab.walk.intake.submit(submission)
        ended = await lab.walk.streams.finished("prompt_x")
        return ended.error.code if ended.error is not None else str(ended.status)

    async with asyncio.timeout(PATIENCE):
        ends = asyncio.create_task(attached() if mode is Mode.ATTACHED else queued())
        await repairing.wait()
        if why == "drain":
            await lab.walk.worker.drain(0.0)
        else:
            await lab.walk.prompts.cancel(lab.ann, "prompt_x")
        assert await ends == "cancelled"
    assert lab.walk.worker.load()["school"] == (1, 0)


@pytest.mark.parametrize("mode", list(Mode))
async def test_a_repair_that_is_canceled_leaves_the_answer_as_it_was_and_nothing_is_tried_again(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, mode: Mode
) -> None:
    execute, repairing = lab.pupil.execute, asyncio.Queue[str]()

    async def slow(call: Call[PupilConfig]) -> Result:
        if len(call.messages) > 1:
            repairing.put_nowait(call.run_id)
            await asyncio.Event().wait()
        return await execute(call)

    monkeypatch.setattr(lab.pupil, "execute", slow)
    schema = Output(kind="json", schema={"type": "object", "required": ["a"]})
    await lab.templates.save(lab.ann, "obj", draft("x", output=schema, model="pupil"))
    prepared = await lab.functions.prepare(lab.ann, "obj", {}, Options(mode=mode, repair=3))
    submission = replace(prepared, id="prompt_x")

    async def run() -> None:
        if mode is Mode.QUEUED:
            await lab.walk.intake.submit(submission)
            await lab.walk.streams.finished("prompt_x")
            return
        with pytest.raises(InvalidOutput):
            async with lab.walk.attached.open(submission) as visit:
                await visit.whole()

    async with asyncio.timeout(PATIENCE):
        ends = asyncio.create_task(run())
        child = await repairing.get()
        assert child != "prompt_x"
        await lab.walk.prompts.cancel(lab.ann, child)
        await ends
    await lab.walk.attached.flush()
    parent = await lab.walk.prompts.get(lab.ann, "prompt_x")
    assert (parent.status, parent.runs) == (Status.ABANDONED, 1)
    assert parent.error is not None
    assert parent.error.code == "invalid_output"
    assert (await lab.walk.prompts.get(lab.ann, child)).status is Status.CANCELED
    assert repairing.empty()
    assert lab.walk.worker.load()["school"] == (1, 0)


@pytest.mark.parametrize("mode", list(Mode))
async def test_a_caller_with_one_seat_gets_its_answers_repaired(tmp_path: Path, mode: Mode) -> None:
    seat = {"name": "seat", "metric": "concurrency", "limit": 1, "scope": "user"}
    async with open_lab(tmp_path, limits=(seat,)) as lab:
        schema = Output(kind="json", schema={"type": "object", "required": ["a"]})
        await lab.templates.save(lab.ann, "obj", draft("x", output=schema, model="pupil"))
        for _ in range(2):  # the seat is free again behind it
            submission = await lab.functions.prepare(lab.ann, "obj", {}, Options(mode=mode))
            async with asyncio.timeout(PATIENCE):
                if mode is Mode.ATTACHED:
                    async with lab.walk.attached.open(submission) as visit:
                        assert (await visit.whole())[1].value == {"a": 1}
                else:
                    added = await lab.walk.intake.submit(submission)
                    prompt = await lab.walk.streams.finished(added.prompt.id)
                    assert prompt.answer is not None, prompt.error
                    assert prompt.answer.value == {"a": 1}
