"""The sample files of all eras, with values for their variables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from promptd.dialects import arch
from promptd.dialects.arch import ArchConfig

FOLDER: Final = Path(__file__).parents[2] / "arch_files"
NAMES: Final = sorted(path.name for path in FOLDER.glob("*.yaml"))
SECRET: Final = "secret-value"
VARIABLES: Final = {
    name: f"{SECRET}-{name.lower()}"
    for name in (
        "ANTHROPIC_API_KEY",
        "AZURE_API_KEY",
        "CLAIMS_TOKEN",
        "GROQ_API_KEY",
        "MISTRAL_API_KEY",
        "OPENAI_API_KEY",
        "PROJECT",
        "QWEN_API_KEY",
    )
}


def text(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def sample(name: str) -> ArchConfig:
    return arch.read(text(name), name=name, variables=VARIABLES)


def old(**sections: Any) -> dict[str, Any]:
    """A small file of the first era, but for `sections`; None leaves one out."""
    base: dict[str, Any] = {
        "version": "v0.1",
        "listener": {"address": "127.0.0.1", "port": 10000},
        "llm_providers": [{"name": "one", "provider": "openai", "model": "gpt-4o", "access_key": "k"}],
    }
    return {key: value for key, value in {**base, **sections}.items() if value is not None}


def new(**sections: Any) -> dict[str, Any]:
    """A small file of the last era, but for `sections`; None leaves one out."""
    base: dict[str, Any] = {
        "version": "v0.4.0",
        "listeners": [{"type": "model", "name": "models"}],
        "model_providers": [{"model": "openai/gpt-4o", "access_key": "k"}],
    }
    return {key: value for key, value in {**base, **sections}.items() if value is not None}


def target(**keys: Any) -> dict[str, Any]:
    return {"name": "t", "description": "d", "endpoint": {"name": "api", "path": "/p"}, **keys}


def read(tree: dict[str, Any], **variables: str) -> ArchConfig:
    return arch.read(json.dumps(tree), name="arch_config.yaml", variables=variables)
