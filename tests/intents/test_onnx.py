"""Model files: what they give, and what is said of those that can't be used."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from promptd.core.errors import SettingsError
from promptd.intents.onnx import CrossEncoder, CrossEncoderConfig, Encoder, EncoderConfig

pytest.importorskip("onnxruntime", reason="needs the extra onnx")
pytest.importorskip("tokenizers", reason="needs the extra onnx")
pytest.importorskip("onnx", reason="makes the models")

from tests.intents import models


@pytest.mark.parametrize(("first_only", "pooling"), [(False, "mean"), (True, "cls")])
async def test_an_encoder_gives_vectors_of_length_1(tmp_path: Path, first_only: bool, pooling: str) -> None:
    models.tokenizer(tmp_path)
    config = EncoderConfig.model_validate(
        {"model": models.encoder(tmp_path, first_only=first_only), "pooling": pooling}
    )
    texts = ["weather", "weather weather rain", "the", *["timer"] * 40]
    rows = await Encoder(config)(texts)
    place = models.VOCABULARY.index("weather")
    assert len(rows) == len(texts)
    assert rows[0][place] == pytest.approx(1)
    assert rows[1][place] == pytest.approx(2 / 5**0.5)
    assert not any(rows[2])
    assert rows[3] == rows[-1]


async def test_views_leave_the_marks_out_and_have_the_middle_layer_where_there_is_one(tmp_path: Path) -> None:
    models.tokenizer(tmp_path)
    layered = Encoder(EncoderConfig(model=models.layered(tmp_path)))
    plain = Encoder(EncoderConfig(model=models.encoder(tmp_path)))
    assert (layered.layered, plain.layered) == (True, False)
    weather, rain, mark = (models.VOCABULARY.index(word) for word in ("weather", "rain", "[CLS]"))
    last, middle = await layered.views(["weather rain", ""])
    assert last[0, [weather, rain]] == pytest.approx([0.5**0.5, 0.5**0.5])
    assert middle[0, [weather + 1, rain + 1]] == pytest.approx([0.5**0.5, 0.5**0.5])
    assert not last[:, mark].any()
    assert not last[1].any()
    (trained,) = await layered(["weather rain"])
    assert trained[mark] == pytest.approx(0.5)
    assert len(await plain.views(["weather rain"])) == 1


async def test_weights_are_made_one_byte_each(tmp_path: Path) -> None:
    models.tokenizer(tmp_path)
    exact = EncoderConfig(model=models.dense(tmp_path))
    small = exact.model_copy(update={"weights": "int8"})
    texts = ["weather forecast in Rome", "set a timer"]
    for one, other in zip(await Encoder(exact)(texts), await Encoder(small)(texts), strict=True):
        assert one != other
        assert one == pytest.approx(other, abs=0.05)


def test_weights_that_cant_be_made_smaller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models.tokenizer(tmp_path)
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    for model in (broken, models.encoder(tmp_path)):
        with pytest.raises(SettingsError) as error:
            Encoder(EncoderConfig(model=model, weights="int8"))
        assert error.value.key == "weights"
        monkeypatch.setitem(sys.modules, "onnx", None)


async def test_only_the_first_tokens_are_read(tmp_path: Path) -> None:
    models.tokenizer(tmp_path)
    encode = Encoder(EncoderConfig(model=models.encoder(tmp_path), max_tokens=8))
    long, short = await encode(["rain " * 6 + "weather " * 1000, "rain"])
    assert long == pytest.approx(short)


async def test_a_cross_encoder_judges_each_label_for_itself(tmp_path: Path) -> None:
    models.tokenizer(tmp_path)
    entail = CrossEncoder(CrossEncoderConfig(model=models.nli(tmp_path)))
    found = await entail("will it rain, tell me the weather", ["weather", "rain", "timer", "weather timer"])
    assert found == pytest.approx([0.99995, 0.99995, 0.00005, 0.5], abs=1e-4)


def test_the_labels_can_be_told(tmp_path: Path) -> None:
    models.tokenizer(tmp_path)
    path = models.nli(tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(SettingsError) as error:
        CrossEncoder(CrossEncoderConfig(model=path))
    assert error.value.key == "labels"
    CrossEncoder(CrossEncoderConfig(model=path, labels=("contradiction", "neutral", "entailment")))
    with pytest.raises(SettingsError, match="contradiction"):
        CrossEncoder(CrossEncoderConfig(model=path, labels=("no", "neutral", "entailment")))


@pytest.mark.parametrize("broken", ["missing", "no model", "no tokenizer", "tokenizer", "bytes", "inputs"])
def test_files_that_can_not_be_used(tmp_path: Path, broken: str) -> None:
    path: Path | None = models.encoder(tmp_path)
    assert path is not None
    tokenizer = models.tokenizer(tmp_path)
    key = "model"
    if broken == "missing":
        path = tmp_path / "elsewhere.onnx"
    elif broken == "no model":
        path = None
    elif broken == "no tokenizer":
        tokenizer.unlink()
        key = "tokenizer"
    elif broken == "tokenizer":
        tokenizer.write_text("{}")
        key = "tokenizer"
    elif broken == "bytes":
        path.write_bytes(b"no model")
    else:
        import onnx

        model = onnx.load(str(path))
        model.graph.input[0].name = "pixels"
        model.graph.node[0].input[1] = "pixels"
        onnx.save(model, str(path))
    with pytest.raises(SettingsError) as error:
        Encoder(EncoderConfig(model=path))
    assert error.value.key == key


@pytest.mark.parametrize(("package", "key"), [("onnxruntime", "model"), ("tokenizers", "tokenizer")])
def test_the_extra_is_named_where_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, key: str
) -> None:
    models.tokenizer(tmp_path)
    config = EncoderConfig(model=models.encoder(tmp_path))
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SettingsError, match=r"promptd\[onnx\]") as error:
        Encoder(config)
    assert error.value.key == key


def test_a_hypothesis_needs_a_place_for_the_name() -> None:
    with pytest.raises(ValidationError):
        CrossEncoderConfig(hypothesis="This is an example.")
