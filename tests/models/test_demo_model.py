"""The built-in demonstration model: its file, its split, and what it can do through llama.cpp, greedy."""

from __future__ import annotations

import hashlib
import json
import random
import sys
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from training.demo_model import evaluate, exchange, generate  # noqa: E402
from training.demo_model.paths import HELDOUT_PATH, MANIFEST_PATH, MODEL_PATH  # noqa: E402
from training.demo_model.split import Side, side_of  # noqa: E402

MEBIBYTE = 1024 * 1024
ROWS = evaluate.load_rows()
TASKS = (*generate.FLOOR, *generate.STRETCH)


@pytest.fixture(scope="module")
def engine() -> evaluate.Engine:
    """llama.cpp in this process."""
    pytest.importorskip("xllamacpp", reason="llama.cpp (package xllamacpp) is not installed")
    return evaluate.Engine()


def test_file_matches_its_manifest() -> None:
    manifest = json.loads(MANIFEST_PATH.read_text(encoding="utf-8"))
    data = MODEL_PATH.read_bytes()
    assert data[:4] == b"GGUF"
    assert manifest["sha256"] == hashlib.sha256(data).hexdigest()
    assert manifest["size"] == len(data) <= 4 * MEBIBYTE
    assert manifest["quantization"] == "Q8_0"
    assert evaluate.meets_floor(manifest["scores"])
    assert set(manifest["scores"]) == {*TASKS, "all"}


def entities_of(rows: list[evaluate.Row]) -> set[str]:
    """What a set is about."""
    return {entity for row in rows for entity in row["entities"]}


def sides_of(entities: Iterable[str]) -> set[Side]:
    """The sides of the split that entities lie on."""
    return {side_of(*entity.split(":", 1)) for entity in entities}


def test_heldout_set_is_complete_and_reproducible() -> None:
    assert Counter(row["task"] for row in ROWS) == dict.fromkeys(TASKS, generate.PER_TASK)
    same = evaluate.load_rows() == generate.rows(Side.HELDOUT)
    assert same  # a bare flag: a failure shall not print held-out rows
    assert HELDOUT_PATH.stat().st_size <= MEBIBYTE


def test_every_entity_is_on_its_side() -> None:
    heldout, dev = entities_of(ROWS), entities_of(evaluate.load_rows(Side.DEV))
    assert min(len(heldout), len(dev)) > 2_000
    assert (sides_of(heldout), sides_of(dev)) == ({Side.HELDOUT}, {Side.DEV})


def test_training_text_uses_training_entities_only() -> None:
    trained = {entity for item in generate.training_samples(5_000) for entity in item.entities}
    assert sides_of(trained) == {Side.TRAIN}
    overlap = len(trained & entities_of(ROWS))
    assert overlap == 0


def test_one_entity_in_ten_is_held_out_and_none_that_was_looked_at() -> None:
    sides = Counter(side_of("word", f"word{number}") for number in range(10_000))
    assert sides[Side.HELDOUT] == pytest.approx(1_000, rel=0.1)
    assert sides[Side.DEV] == pytest.approx(1_000, rel=0.1)
    assert Side.HELDOUT not in {side_of("word", word) for word in ("about", "tell", "one")}
    assert side_of("word", " ABOUT ") is side_of("word", "about")


@pytest.mark.parametrize("options", [["--failures", "1"], ["--set", "dev", "--write"]])
def test_heldout_rows_are_never_shown_and_dev_scores_never_recorded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["evaluate", *options])
    with pytest.raises(SystemExit, match="2"):
        evaluate.main()
    assert "held-out set" in capsys.readouterr().err


def test_generator_is_deterministic_and_covers_every_task() -> None:
    first, again = list(generate.training_samples(600, seed=3)), list(generate.training_samples(600, seed=3))
    assert first == again
    assert {item.exchange.task for item in first} == set(TASKS)


def test_expected_answers_are_right() -> None:
    rng = random.Random(11)
    for _ in range(300):
        total = generate.SIMPLE["add"](rng, Side.TRAIN)
        left, right = total.answer.split(" = ")
        assert sum(int(part) for part in left.split(" + ")) == int(right) == int(total.value)
        numbers = [int(n) for n in generate.SIMPLE["count"](rng, Side.HELDOUT).answer.split(", ")]
        assert {b - a for a, b in pairwise(numbers)} <= {1, -1}
        story = generate.SIMPLE["story"](rng, Side.TRAIN)
        assert evaluate.is_story(story.answer, story.topic)
        assert evaluate.passed({"check": "json", "expect": '{"a": 1}'}, "no json") is False


@pytest.mark.timeout(300)
@pytest.mark.e2e  # 3,800 questions to the real model
def test_heldout_scores_reach_the_floor(engine: evaluate.Engine) -> None:
    """All 200 rows of every task in one test, so that parallel test workers do not repeat the run.

    Only the scores are shown: the set stays blind.  Look at `evaluate --set dev --failures 5` instead.
    """
    results, _ = evaluate.run(ROWS, engine)
    table = evaluate.scores(results)
    report = {task: f"{share:.1%}" for task, share in table.items()}
    assert {task: len(marks) for task, marks in results.items()} == dict.fromkeys(TASKS, generate.PER_TASK)
    assert evaluate.meets_floor(table), report


def test_name_is_recalled_across_turns(engine: evaluate.Engine) -> None:
    talk = [
        ["user", "Hi, my name is Brunhilde"],
        ["assistant", "Hello, Brunhilde! How can I help you?"],
        ["user", "What is 2 plus 3?"],
        ["assistant", "2 + 3 = 5"],
        ["user", "what is my name?"],
    ]
    assert engine.chat(talk) == "Your name is Brunhilde."


@pytest.mark.parametrize("role", ["system", "developer"])
def test_template_takes_a_system_prompt(engine: evaluate.Engine, role: str) -> None:
    talk = [[role, "You are a helpful assistant."], ["user", "Hello"]]
    assert engine.chat(talk).startswith("Hello!")


def test_template_takes_user_messages_in_a_row(engine: evaluate.Engine) -> None:
    talk = [["user", "my name is Mirela"], ["user", "what is my name?"]]
    assert engine.chat(talk) == "Your name is Mirela."


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Say hello", "Hello! How can I help you?"),
        ("what is 12 plus 7?", "12 + 7 = 19"),
        ("12+7", "12 + 7 = 19"),
        ("count to 5", "1, 2, 3, 4, 5"),
        ("repeat: apple, pear, plum", "apple, pear, plum"),
        ("capitals: hello", "HELLO"),
        ("write HELLO in lower case", "hello"),
        ("is this review positive or negative: I loved this film, it was great!", "positive"),
    ],
)
def test_questions_people_type(engine: evaluate.Engine, question: str, answer: str) -> None:
    assert engine.chat([["user", question]]) == answer


def test_definition_is_json_with_and_without_a_schema(engine: evaluate.Engine) -> None:
    row: evaluate.Row = {"check": "json", "messages": [["user", "define cat"]]}
    for text in (engine.chat(row["messages"]), evaluate.answer(engine, row)):
        assert json.loads(text) == {"term": "cat", "definition": "a small furry animal that people keep as a pet"}


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("what is a cat?", {"term": "cat", "definition": "a small furry animal that people keep as a pet"}),
        ("Hello", {"term": "unknown", "definition": exchange.HONEST}),
    ],
)
def test_definition_schema_holds_for_other_questions(
    engine: evaluate.Engine, question: str, answer: dict[str, str]
) -> None:
    assert json.loads(evaluate.answer(engine, {"check": "json", "messages": [["user", question]]})) == answer


def test_callers_own_schema_gets_the_bare_answer(engine: evaluate.Engine) -> None:
    schema = {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}
    shape = {"type": "json_schema", "json_schema": {"name": "any", "schema": schema}}
    text = engine.chat([["user", "Hello"]], response_format=shape)
    assert json.loads(text) == {"answer": "Hello! How can I help you?"}


def test_other_questions_get_the_honest_sentence(engine: evaluate.Engine) -> None:
    assert engine.chat([["user", "Who won the football match last night?"]]) == exchange.HONEST
