"""The classifier from a file, with a real tokenizer and a real, tiny ONNX model."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import pytest

from promptd.core.content import Turn
from promptd.core.errors import ExecutionFailed, SettingsError
from promptd.core.ports import Guard
from promptd.guards.onnx import Onnx, OnnxConfig
from promptd.testing.guards import GuardContract
from tests.guards.onnx_file import WORDS, write

pytestmark = pytest.mark.slow

pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
pytest.importorskip("tokenizers", reason="the extra `onnx` is not installed")

#: benign, injection, jailbreak: every word is harmless but for two
WEIGHTS = [[4.0, 0.0, 0.0]] * len(WORDS)
WEIGHTS = [[4.0, 9.0, 0.0] if word == "birnam" else [4.0, 0.0, 9.0] if word == "macbeth" else row for word, row in zip(WORDS, WEIGHTS, strict=True)]  # fmt: skip


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write(tmp_path, WEIGHTS)


class TestOnnx(GuardContract):
    @pytest.fixture
    def guard(self, model: Path) -> Guard:
        return Onnx(OnnxConfig(model=model, max_windows=10_000))

    @pytest.fixture
    def forbidden(self) -> str:
        return "Birnam"


async def test_labels_and_probabilities_are_told(model: Path) -> None:
    guard = Onnx(OnnxConfig(model=model))
    fine = await guard.inspect([Turn("user", "hello you")])
    assert fine.allowed
    assert fine.score == pytest.approx(0.0353, abs=1e-3)
    one = await guard.inspect([Turn("user", "hello"), Turn("tool", "hello Birnam")])
    assert one.reason == "onnx: injection"
    assert one.score == pytest.approx(0.9934, abs=1e-3)
    assert list(one.categories) == ["injection"]
    two = await guard.inspect([Turn("user", "birnam macbeth")])
    assert set(two.categories) == {"injection", "jailbreak"}


async def test_only_the_chosen_labels_are_refused(model: Path) -> None:
    guard = Onnx(OnnxConfig(model=model, refused=("jailbreak",)))
    assert (await guard.inspect([Turn("user", "birnam")])).allowed
    assert not (await guard.inspect([Turn("user", "macbeth")])).allowed


async def test_the_threshold_decides(model: Path) -> None:
    assert (await Onnx(OnnxConfig(model=model, threshold=0.999)).inspect([Turn("user", "birnam")])).allowed
    assert not (await Onnx(OnnxConfig(model=model, threshold=0.03)).inspect([Turn("user", "hello")])).allowed


async def test_labels_that_go_together(model: Path) -> None:
    config = OnnxConfig(model=model, labels=("a", "b", "c"), refused=("b", "c"), activation="sigmoid", threshold=0.6)
    assert (await Onnx(config).inspect([Turn("user", "hello")])).allowed
    verdict = await Onnx(config).inspect([Turn("user", "birnam")])
    assert verdict.score == pytest.approx(0.99988, abs=1e-4)


@pytest.mark.parametrize("place", [0, 1, 5, 6, 7, 11, 12, 13, 50, 99])
async def test_no_place_hides_behind_the_end_of_a_window(model: Path, place: int) -> None:
    guard = Onnx(OnnxConfig(model=model, max_tokens=8, overlap=2, batch=3))
    words = ["hello"] * 100
    assert (await guard.inspect([Turn("user", " ".join(words))])).allowed
    words[place] = "birnam"
    assert not (await guard.inspect([Turn("user", " ".join(words))])).allowed


async def test_what_is_too_long_is_refused(model: Path) -> None:
    guard = Onnx(OnnxConfig(model=model, max_tokens=8, overlap=2, max_windows=4))
    assert (await guard.inspect([Turn("user", "hello " * 18)])).allowed
    assert (await guard.inspect([Turn("user", "hello " * 40)])).categories == {"length": 1.0}
    assert (await guard.inspect([Turn("user", "hello")] * 5)).categories == {"length": 1.0}
    assert (await guard.inspect([Turn("user", "x" * 2000)])).categories == {"length": 1.0}


async def test_a_model_with_segments(tmp_path: Path) -> None:
    model = write(tmp_path, WEIGHTS, inputs=("input_ids", "token_type_ids", "attention_mask"))
    assert not (await Onnx(OnnxConfig(model=model)).inspect([Turn("user", "birnam")])).allowed


async def test_numbers_that_are_none_are_an_error(tmp_path: Path) -> None:
    model = write(tmp_path, [[float("nan")] * 3] * len(WORDS))
    with pytest.raises(ExecutionFailed):
        await Onnx(OnnxConfig(model=model)).inspect([Turn("user", "hello")])


async def test_a_tokenizer_of_another_model_is_an_error(tmp_path: Path) -> None:
    model = write(tmp_path, WEIGHTS[:4])
    with pytest.raises(ExecutionFailed):
        await Onnx(OnnxConfig(model=model)).inspect([Turn("user", "birnam")])


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"model": None}, "model"),
        ({"model": "nowhere.onnx"}, "model"),
        ({"tokenizer": "nowhere.json"}, "tokenizer"),
        ({"labels": ("a", "b")}, "labels"),
        ({"refused": ("benign", "x")}, "refused[1]"),
        ({"labels": ("a",)}, "refused"),
        ({"max_tokens": 8, "overlap": 4}, "overlap"),
    ],
)
def test_settings_that_can_not_be_enforced(model: Path, settings: dict[str, Any], key: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Onnx(OnnxConfig.model_validate({"model": model, **settings}))
    assert refused.value.key == key


def test_files_that_are_something_else(model: Path) -> None:
    tokenizer = model.parent / "tokenizer.json"
    with pytest.raises(SettingsError, match="not a usable ONNX file"):
        Onnx(OnnxConfig(model=tokenizer, tokenizer=tokenizer))
    with pytest.raises(SettingsError, match="can't be used"):
        Onnx(OnnxConfig(model=model, tokenizer=model))


def test_a_model_that_asks_for_something_else(tmp_path: Path) -> None:
    model = write(tmp_path, WEIGHTS, inputs=("input_ids", "pixels"))
    with pytest.raises(SettingsError, match="pixels"):
        Onnx(OnnxConfig(model=model))


@pytest.mark.parametrize("missing", ["onnxruntime", "tokenizers"])
def test_without_the_extra_its_name_is_told(model: Path, missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == missing:
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SettingsError, match=r"promptd\[onnx\]"):
        Onnx(OnnxConfig(model=model))
