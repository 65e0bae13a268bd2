"""`promptd intents eval`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from promptd.cli.root import run

FILE = """\
targets:
  - name: weather
    description: Tell the weather forecast of a city
    examples: [what is the weather in Rome, will it rain]
  - name: timer
    description: Set a timer
cases:
  - {text: what is the weather in Oslo, target: weather}
  - {text: set a timer for five minutes, target: timer}
  - {text: set a timer, target: weather}
  - text: who painted the ceiling of the chapel
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "cases.yaml"
    path.write_text(FILE, "utf-8")
    return path


def test_figures_as_text(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["intents", "eval", str(file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    shown = dict(line.split(maxsplit=1) for line in lines if line.startswith(("accuracy", "auroc", "precision")))
    assert shown == {"accuracy": "0.6667", "auroc": "1.0", "precision": "0.6667"}
    assert lines[-2:] == ["MEANT\tTAKEN FOR\tCASES", "weather\ttimer\t1"]


def test_figures_as_json(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["intents", "eval", "--json", "--threshold", "1", str(file)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["cases"], found["out_of_scope"], found["threshold"]) == (4, 1, 1.0)
    assert found["confusion"] == [["weather", "timer", 1]]


def test_json_files_are_read(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cases.json"
    path.write_text(json.dumps({"targets": [{"name": "a"}], "cases": [{"text": "b"}]}))
    assert run(["intents", "eval", str(path)]) == 0
    assert "accuracy" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("targets: [", "line"),
        ("targets: []", "cases"),
        ("targets: [{name: a}]\ncases: [{text: b, target: c}]", "cases[0].target"),
    ],
)
def test_a_file_of_the_wrong_form_is_named(
    file: Path, text: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(text)
    assert run(["intents", "eval", str(file)]) != 0
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--backend", "embeddings"], "--encoder"),
        (["--backend", "composite", "--encoder", "x.onnx"], "--nli"),
        (["--backend", "embeddings", "--encoder", "x.onnx"], "no such file"),
        (["--backend", "none"], "builtin"),
    ],
)
def test_models_that_are_missing_are_named(
    file: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["intents", "eval", str(file), *arguments]) != 0
    assert said in capsys.readouterr().err
