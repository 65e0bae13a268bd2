"""The composite score, with tiny models that really run and with callables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from promptd.core.content import Turn
from promptd.core.errors import InvalidOutput, SettingsError
from promptd.core.ports import Intent
from promptd.core.targets import Target
from promptd.intents.composite import Composite, CompositeConfig
from promptd.intents.onnx import CrossEncoderConfig, EncoderConfig
from promptd.testing.intents import IntentContract

pytest.importorskip("onnxruntime", reason="needs the extra onnx")
pytest.importorskip("tokenizers", reason="needs the extra onnx")
pytest.importorskip("onnx", reason="makes the models")

from tests.intents import models

SAID = [Turn("user", "Is it hot?"), Turn("assistant", "No."), Turn("user", "Tell me, at 10:30: is it cold?")]
ROWS = {"Tell me, at 10:30: is it cold?": [1.0, 0.0], "cold weather": [0.6, 0.8], "a timer": [0.0, 2.0]}
TARGETS = [Target("get_weather", "cold weather"), Target("set-Timer!", "a timer")]


def folder_of_models(folder: Path) -> CompositeConfig:
    models.tokenizer(folder)
    return CompositeConfig(
        threshold=0.6,
        encoder=EncoderConfig(model=models.encoder(folder)),
        nli=CrossEncoderConfig(model=models.nli(folder)),
    )


class TestComposite(IntentContract):
    @pytest.fixture
    def intent(self, tmp_path: Path) -> Intent:
        return Composite(folder_of_models(tmp_path))


def composite(entailed: Sequence[float], threshold: float = 0.8) -> Composite:
    async def embed(texts: Sequence[str]) -> Sequence[Sequence[float]]:
        return [ROWS[text] for text in texts]

    async def entail(text: str, labels: Sequence[str]) -> Sequence[float]:
        assert text == SAID[-1].content
        assert labels == ["get weather", "set timer"]
        return entailed

    return Composite(CompositeConfig(threshold=threshold), embed, entail)


@pytest.mark.arch("5.2.score")
@pytest.mark.parametrize(
    ("entailed", "target", "score"),
    [
        ([0.9, 0.1], "get_weather", 0.7 * 0.9 + 0.3 * 0.6),
        ([0.2, 0.6], "set-Timer!", 0.7 * 0.6 + 0.3 * 0.0),  # its own cosine, not that of the first target
        ([1.0, 1.0], "get_weather", 0.7 + 0.3 * 0.6),
    ],
)
async def test_the_score_is_seven_parts_nli_and_three_parts_cosine(
    entailed: list[float], target: str, score: float
) -> None:
    match = await composite(entailed, 0).match(SAID, TARGETS)
    assert match is not None
    assert match.target == target
    assert match.score == pytest.approx(score, abs=1e-5)


@pytest.mark.arch("5.2.score")
async def test_the_threshold_is_the_least_that_matches() -> None:
    assert await composite([0.9, 0.1], 0.81).match(SAID, TARGETS) is not None
    assert await composite([0.9, 0.1], 0.8101).match(SAID, TARGETS) is None
    assert CompositeConfig().threshold == 0.8


async def test_models_from_files(tmp_path: Path) -> None:
    """Half of the name's words: a chance of one half; and one of two words is the description's."""
    intent = Composite(folder_of_models(tmp_path).model_copy(update={"threshold": 0}))
    match = await intent.match([Turn("user", "the weather in Rome")], [Target("weather forecast", "rain weather")])
    assert match is not None
    assert match.score == pytest.approx(0.7 * 0.5 + 0.3 * 0.5, abs=1e-4)


@pytest.mark.parametrize("entailed", [[0.5], [0.5, 0.5, 0.5], [0.5, float("nan")], [0.5, 1.5]])
async def test_entailment_of_the_wrong_form(entailed: list[float]) -> None:
    with pytest.raises(InvalidOutput):
        await composite(entailed).match(SAID, TARGETS)


def test_a_model_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as error:
        Composite(CompositeConfig())
    assert error.value.key == "nli"
    made = folder_of_models(tmp_path)
    with pytest.raises(SettingsError) as error:
        Composite(made.model_copy(update={"encoder": None}))
    assert error.value.key == "encoder"
