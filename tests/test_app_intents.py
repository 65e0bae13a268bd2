"""The matcher that the settings name: the built-in one, vectors by a file or by a model of the house, the composite."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from promptd.app import intents
from promptd.app.guards import Desk
from promptd.core.content import Turn
from promptd.core.errors import SettingsError
from promptd.core.targets import Target
from promptd.settings import Settings, load

WEATHER = [Target("get weather", "the weather forecast of a city"), Target("set timer", "set a timer")]


class Vectors(Desk):
    """A model of the house that knows one word."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def embed(self, model: str, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        self.asked.append(model)
        return [[1.0, 0.0] if "weather" in text else [0.0, 1.0] for text in texts]


def settings(home: Path, **intent: Any) -> Settings:
    return Settings.model_validate(
        {
            "home": home,
            "connections": {"lab": {"engine": "scripted"}},
            "models": {"vectors": {"connection": "lab"}},
            "compat": {"arch": {"intent": intent}},
        }
    )


async def test_the_built_in_one_needs_nothing(tmp_path: Path) -> None:
    matcher = intents.Matchers(settings(tmp_path), Vectors()).make(0.5)
    found = await matcher.match([Turn("user", "what is the weather forecast for the city of Rome")], WEATHER)
    assert found is not None
    assert found.target == "get weather"


async def test_vectors_may_come_from_a_model_of_the_house(tmp_path: Path) -> None:
    desk = Vectors()
    matcher = intents.Matchers(settings(tmp_path, embedding_model="vectors"), desk).make(0.3)
    found = await matcher.match([Turn("user", "weather")], WEATHER)
    assert found is not None
    assert found.target == "get weather"
    assert set(desk.asked) == {"vectors"}


async def test_the_composite_score_comes_from_files(tmp_path: Path) -> None:
    for needed in ("onnxruntime", "tokenizers", "onnx"):
        pytest.importorskip(needed)
    from tests.intents import models

    models.tokenizer(tmp_path)
    files = {"encoder": {"model": models.encoder(tmp_path)}, "nli": {"model": models.nli(tmp_path)}}
    matcher = intents.Matchers(settings(tmp_path, **files), Vectors()).make(0.6)
    found = await matcher.match([Turn("user", "tell the weather forecast of the city")], WEATHER)
    assert found is not None
    assert found.target == "get weather"
    assert (
        await intents.Matchers(settings(tmp_path, **files), Vectors()).make(0.99).match([Turn("user", "rain")], WEATHER)
        is None
    )


async def test_models_are_read_once_and_not_again_where_an_arch_file_is(tmp_path: Path) -> None:
    for needed in ("onnxruntime", "tokenizers", "onnx"):
        pytest.importorskip(needed)
    from tests.intents import models

    models.tokenizer(tmp_path)
    files = [models.encoder(tmp_path), models.nli(tmp_path)]
    matchers = intents.Matchers(settings(tmp_path, encoder={"model": files[0]}, nli={"model": files[1]}), Vectors())
    await matchers.load()
    for file in files:
        file.unlink()
    for threshold in (0.5, 0.6):
        assert await matchers.make(threshold).match([Turn("user", "weather forecast")], WEATHER) is not None


@pytest.mark.parametrize(
    ("intent", "message"),
    [
        ("{embedding_model: m, encoder: {model: FILE}}", "not both"),
        ("{nli: {model: FILE}}", "beside nli"),
        ("{encoder: {model: /no/such/file}}", "an existing file"),
        ("{encoder: {model: FILE, pooling: most}}", "compat.arch.intent.encoder.pooling"),
    ],
)
def test_what_can_not_be_is_refused(tmp_path: Path, intent: str, message: str) -> None:
    (tmp_path / "model.onnx").touch()
    text = f"compat:\n  arch:\n    intent: {intent.replace('FILE', str(tmp_path / 'model.onnx'))}\n"
    (tmp_path / "promptd.yaml").write_text(text)
    with pytest.raises(SettingsError, match=message):
        load(tmp_path, environ={})


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("tokenizers")
    (tmp_path / "model.onnx").write_text("no model")
    with pytest.raises(SettingsError) as raised:
        intents.Matchers(settings(tmp_path, encoder={"model": tmp_path / "model.onnx"}), Vectors()).make(0.5)
    assert raised.value.key.startswith("compat.arch.intent.encoder")
