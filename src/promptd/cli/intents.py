"""`promptd intents`: how well a matcher finds the targets of your own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import click

from promptd.cli.options import json_option
from promptd.cli.output import print_fields, print_json, print_table

if TYPE_CHECKING:
    from promptd.core.ports import Intent

BACKENDS: Final = ("builtin", "embeddings", "composite")

_MOST_BYTES: Final = 16 * 1024 * 1024

#: Pairs of the confusion that are printed as text
_SHOWN: Final = 20

Pooling = Literal["cls", "mean"]


@click.group()
def intents() -> None:
    """Intent matchers: which target is a message about?"""


@intents.command("eval")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--backend", type=click.Choice(BACKENDS), default="builtin", show_default=True, help="Which matcher.")
@click.option("--encoder", type=click.Path(path_type=Path), help="Model file (ONNX) for embeddings and composite.")
@click.option(
    "--pooling", type=click.Choice(["cls", "mean"]), default="mean", show_default=True, help="What the encoder needs."
)
@click.option("--nli", type=click.Path(path_type=Path), help="Model file (ONNX) for composite.")
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    default=0.8,
    show_default=True,
    help="Score that counts as a match, for precision and recall.",
)
@json_option
def evaluate(
    file: Path,
    backend: str,
    encoder: Path | None,
    pooling: Pooling,
    nli: Path | None,
    threshold: float,
    as_json: bool,
) -> None:
    """Ask a matcher every case of FILE and count how often it is right.

    FILE is YAML or JSON: `targets`, each with `name`, `description` and `examples`, and `cases`, each with a `text` and the
    `target` that is meant; a case without `target` is out of scope.
    """
    import asyncio

    import msgspec

    from promptd.intents import evaluation

    targets, cases = evaluation.questions(_read(file))
    matcher = _matcher(backend, encoder, pooling, nli)
    answers, median_ms = asyncio.run(evaluation.ask(matcher, targets, cases))
    found = evaluation.figures(answers, threshold, median_ms)
    if as_json:
        print_json(msgspec.to_builtins(found))
        return
    shown: dict[str, Any] = msgspec.to_builtins(found)
    confusion = shown.pop("confusion")
    print_fields({name.replace("_", " "): value for name, value in shown.items()})
    if confusion:
        click.echo()
        print_table(
            ("meant", "taken for", "cases"),
            ((meant or "(none)", taken or "(none)", count) for meant, taken, count in confusion[:_SHOWN]),
        )


def _read(path: Path) -> Any:
    import msgspec

    from promptd.core.errors import InvalidRequest
    from promptd.dialects import yaml_text

    if path.stat().st_size > _MOST_BYTES:
        raise InvalidRequest(f"{path}: larger than {_MOST_BYTES} bytes", field="file")
    data = path.read_bytes()
    try:
        if path.suffix == ".json":
            return msgspec.json.decode(data)
        return yaml_text.read(data.decode(), name=str(path)).value
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{path}: {error}", field="file") from None


def _matcher(backend: str, encoder: Path | None, pooling: Pooling, nli: Path | None) -> Intent:
    """With the threshold 0: every case gets the best target and its score."""
    from promptd.core.errors import SettingsError
    from promptd.intents.builtin import BuiltIn, BuiltInConfig
    from promptd.intents.composite import Composite, CompositeConfig
    from promptd.intents.embeddings import Embeddings, EmbeddingsConfig
    from promptd.intents.onnx import CrossEncoderConfig, EncoderConfig

    if backend == "builtin":
        return BuiltIn(BuiltInConfig(threshold=0))
    if encoder is None:
        raise SettingsError(f"--encoder: the backend {backend} needs a model file", key="encoder")
    reading = EncoderConfig(model=encoder, pooling=pooling)
    if backend == "embeddings":
        return Embeddings(EmbeddingsConfig(threshold=0, encoder=reading))
    if nli is None:
        raise SettingsError("--nli: the backend composite needs a model file", key="nli")
    return Composite(CompositeConfig(threshold=0, encoder=reading, nli=CrossEncoderConfig(model=nli)))
