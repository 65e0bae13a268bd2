"""Templates as they are stored: versions, labels, rollback, guards, partials and terms."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from promptd.core.errors import Conflict, Forbidden, InvalidRequest, NotFound, StaleVersion
from promptd.core.identity import TEMPLATE_EDIT
from promptd.core.model import Output
from promptd.core.template import Assertion, Case, Draft, MessageSource, Share, Template, TemplateVersion, choose
from promptd.service.functions import Options
from tests.service.templates.lab import Lab

pytestmark = pytest.mark.slow


def draft(source: str = "Hello {{ name }}", **more: object) -> Draft:
    return replace(Draft(messages=(MessageSource(source),)), **more)


async def test_a_template_begins_with_its_first_version_and_versions_never_change(lab: Lab) -> None:
    one = await lab.templates.save(lab.ann, "greet", draft(), note="begin")
    two = await lab.templates.save(lab.ann, "greet", draft("Hi {{ name }}"))
    assert (one.number, two.number, one.user, one.note) == (1, 2, "ann", "begin")
    assert (await lab.templates.version("greet", 1)).draft == draft()
    assert [version.number for version in await lab.templates.versions(lab.ann, "greet")] == [2, 1]
    assert (await lab.templates.get("greet")).latest == 2
    shown = await lab.functions.difference(lab.ann, "greet", 1, 2)
    assert "-  Hello {{ name }}" in shown
    assert "+  Hi {{ name }}" in shown


async def test_what_is_the_newest_already_makes_no_version(lab: Lab) -> None:
    first = await lab.templates.save(lab.ann, "greet", draft())
    again = await lab.templates.save(lab.ann, "greet", draft(), label="staging")
    assert again == first
    assert (await lab.templates.get("greet")).labels == {"staging": (Share(1),)}


async def test_savers_at_once_get_a_version_each(lab: Lab) -> None:
    tries = [lab.templates.save(lab.ann, "greet", draft(f"Hello {number}")) for number in range(5)]
    saved = await asyncio.gather(*tries)
    assert sorted(version.number for version in saved) == [1, 2, 3, 4, 5]
    stored = [(await lab.templates.version("greet", number)).draft for number in range(1, 6)]
    assert sorted(item.messages[0].source for item in stored) == [f"Hello {number}" for number in range(5)]


async def test_without_a_label_production_runs_and_before_there_is_one_the_newest(lab: Lab) -> None:
    await lab.templates.save(lab.ann, "greet", draft("one"))
    await lab.templates.save(lab.ann, "greet", draft("two"))
    assert (await lab.templates.resolve("greet"))[0].number == 2
    await lab.templates.move(lab.ann, "greet", "production", (Share(1),))
    version, label = await lab.templates.resolve("greet")
    assert (version.number, label) == (1, "production")
    assert (await lab.templates.resolve("greet", label="latest"))[0].number == 2
    assert (await lab.templates.resolve("greet", number=2))[1] == ""


@pytest.mark.parametrize(("label", "number"), [("staging", None), (None, 3), (None, 0), (None, -1)])
async def test_what_is_not_there_is_not_found(lab: Lab, label: str | None, number: int | None) -> None:
    await lab.templates.save(lab.ann, "greet", draft())
    with pytest.raises(NotFound):
        await lab.templates.resolve("greet", label=label, number=number)
    with pytest.raises(NotFound):
        await lab.templates.resolve("nobody")


async def test_a_label_goes_back_to_where_it_was(lab: Lab) -> None:
    for source in ("one", "two"):
        await lab.templates.save(lab.ann, "greet", draft(source), label="production")
    moved = await lab.templates.roll_back(lab.ann, "greet", "production")
    assert moved.labels["production"] == (Share(1),)
    assert [(move.label, move.user, move.shares) for move in moved.moves] == [
        ("production", "ann", (Share(1),)),
        ("production", "ann", (Share(2),)),
        ("production", "ann", (Share(1),)),
    ]
    with pytest.raises(Conflict):
        await lab.templates.roll_back(lab.ann, "greet", "staging")


@given(
    weights=st.lists(st.floats(0.01, 100), min_size=1, max_size=5),
    points=st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=50),
)
@settings(max_examples=100, deadline=None)
def test_weights_share_the_points_between_the_versions(weights: list[float], points: list[float]) -> None:
    shares = tuple(Share(number, weight) for number, weight in enumerate(weights, 1))
    template = Template(name="t", created=0, changed=0, user="u", latest=9, labels={"ab": shares})
    total = sum(weights)
    for point in points:
        number, label = choose(template, label="ab", number=None, point=point)
        below = sum(weights[: number - 1])
        assert label == "ab"
        assert below / total - 1e-9 <= point <= (below + weights[number - 1]) / total + 1e-9


async def test_a_weighted_label_is_sticky_per_user_and_keeps_its_weights(lab: Lab) -> None:
    for source in ("one", "two"):
        await lab.templates.save(lab.ann, "greet", draft(source))
    await lab.templates.move(lab.ann, "greet", "production", (Share(1, 3.0), Share(2, 1.0)))
    met: Counter[int] = Counter()
    for number in range(400):
        version, _ = await lab.templates.resolve("greet", user=f"user {number}")
        assert (await lab.templates.resolve("greet", user=f"user {number}"))[0].number == version.number
        met[version.number] += 1
    assert 240 <= met[1] <= 360


@pytest.mark.parametrize("name", ["", "a b", "../x", "ü", "a" * 129, ".x"])
async def test_names_that_no_path_could_hold_are_refused(lab: Lab, name: str) -> None:
    with pytest.raises(InvalidRequest, match="name"):
        await lab.templates.save(lab.ann, name, draft())


@pytest.mark.parametrize("label", ["", "latest", "7", "Upper", "a" * 65])
async def test_labels_that_would_confuse_are_refused(lab: Lab, label: str) -> None:
    await lab.templates.save(lab.ann, "greet", draft())
    with pytest.raises(InvalidRequest, match="label"):
        await lab.templates.move(lab.ann, "greet", label, (Share(1),))


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (Draft(), "messages"),
        (draft("{{ unclosed"), "messages[0].source"),
        (draft("x", output=Output(kind="json", schema={"type": "nonsense"})), "output.schema"),
        (draft("x", output=Output(repair=9)), "output.repair"),
        (
            draft("x", cases=(Case("c", assertions=(Assertion("matches", "("),)),)),
            "cases[0].assertions[0].value",
        ),
    ],
)
async def test_a_draft_that_can_not_run_is_refused(lab: Lab, wrong: Draft, field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await lab.templates.save(lab.ann, "greet", wrong)
    assert refused.value.field == field
    assert await lab.templates.names() == ()


async def test_a_guarded_label_is_for_versions_whose_cases_pass(lab: Lab) -> None:
    script = '[{"say": "Hello {{ name }}"}]'
    passing = draft(script, cases=(Case("ada", {"name": "Ada"}, (Assertion("contains", "Ada"),)),))
    failing = draft(script, cases=(Case("ada", {"name": "Ada"}, (Assertion("contains", "Bob"),)),))
    await lab.templates.save(lab.ann, "greet", passing)
    await lab.templates.guard(lab.ann, "greet", ["production"])
    await lab.templates.move(lab.ann, "greet", "production", (Share(1),))
    with pytest.raises(Conflict, match="ada"):
        await lab.templates.save(lab.ann, "greet", failing, label="production")
    with pytest.raises(Conflict, match="no cases"):
        await lab.templates.save(lab.ann, "greet", draft(script), label="production")
    assert (await lab.templates.get("greet")).labels["production"] == (Share(1),)


async def test_deletion_takes_every_version(lab: Lab) -> None:
    for source in ("one", "two"):
        await lab.templates.save(lab.ann, "greet", draft(source))
    await lab.templates.delete(lab.ann, "greet")
    assert await lab.templates.names() == ()
    assert await lab.house.database.records.get(TemplateVersion, "greet@00000001") is None
    with pytest.raises(NotFound):
        await lab.templates.delete(lab.ann, "greet")


async def test_a_deletion_that_fails_leaves_everything(lab: Lab) -> None:
    for source in ("one", "two"):
        await lab.templates.save(lab.ann, "greet", draft(source))
    await lab.templates.put_partial(lab.ann, "p", "x")
    stale = Template(name="other", created=0.0, changed=0.0, user="ann", version=7)
    with pytest.raises(StaleVersion):
        await lab.templates.delete_all(lab.ann, ("greet",), partials=("p",), besides=(stale,))
    assert [one.number for one in await lab.templates.versions(lab.ann, "greet")] == [2, 1]
    assert (await lab.templates.partials())["p"].source == "x"


async def test_changes_need_the_permission(lab: Lab) -> None:
    reader = replace(lab.ann, permissions=lab.ann.permissions - {TEMPLATE_EDIT})
    await lab.templates.save(lab.ann, "greet", draft())
    for change in (
        lab.templates.save(reader, "greet", draft("x")),
        lab.templates.move(reader, "greet", "production", (Share(1),)),
        lab.templates.guard(reader, "greet", ["production"]),
        lab.templates.delete(reader, "greet"),
        lab.templates.put_partial(reader, "p", "x"),
        lab.templates.put_terms(reader, {}),
    ):
        with pytest.raises(Forbidden):
            await change


async def test_partials_and_terms_are_shared_and_come_before_nothing_that_a_caller_says(lab: Lab) -> None:
    await lab.templates.put_partial(lab.ann, "manner", "Answer as {{ role }}.")
    await lab.templates.put_terms(lab.ann, {"role": "a pirate", "town": "Bonn"})
    source = '{% include "manner" %} In {{ town }}: {{ text }}'
    await lab.templates.save(lab.ann, "talk", draft(source, terms={"town": "Ulm"}))
    submission = await lab.functions.prepare(lab.ann, "talk", {"text": "hi"})
    assert submission.request.messages[0].content == "Answer as a pirate. In Ulm: hi"
    await lab.templates.put_partial(lab.ann, "manner", "Answer.")
    submission = await lab.functions.prepare(lab.ann, "talk", {"text": "hi", "town": "Rom"}, Options())
    assert submission.request.messages[0].content == "Answer. In Rom: hi"
    await lab.templates.delete_partial(lab.ann, "manner")
    with pytest.raises(NotFound):
        await lab.templates.delete_partial(lab.ann, "manner")
