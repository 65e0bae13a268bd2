"""The settings of a llama.cpp connection and the model file that they name."""

from __future__ import annotations

import importlib.resources
import os
from pathlib import Path
from typing import Final, Literal, NamedTuple

from promptd.core.configs import setting
from promptd.core.connection_forms import connection_layout, control, shown
from promptd.core.engine import Config
from promptd.core.errors import ResourceNotFound

BUILTIN = "builtin"


class LlamaCppConfig(Config):
    """One model file and how to serve it. A change takes effect with the next call; calls under way end as they began."""

    gguf: str = setting(
        BUILTIN,
        i18n="llamacpp.gguf",
        required=True,
        min_length=1,
        description="Path of a GGUF file; `builtin`: the demonstration model",
    )
    slots: int = setting(2, i18n="llamacpp.slots", ge=1, le=256, description="Prompts that run at the same time")
    context: int = setting(
        4096,
        i18n="llamacpp.context",
        ge=0,
        le=16_777_216,
        description="Tokens per slot (in steps of 256), at most what the model was trained for; 0: all of that, shared",
    )
    threads: int = setting(0, i18n="llamacpp.threads", ge=0, le=1024, description="CPU threads; 0: llama.cpp chooses")
    chat_template: str = setting(
        "",
        i18n="llamacpp.chat_template",
        description="Jinja text or a llama.cpp template's name; empty: the file's own",
    )
    embedding: bool = setting(False, i18n="llamacpp.embedding", description="Serve embeddings too")
    pooling: Literal["model", "mean", "cls", "last"] = setting(
        "model",
        i18n="llamacpp.pooling",
        description="How an embedding is made of its tokens; `model`: as the file says",
    )
    gpu_layers: int = setting(-1, i18n="llamacpp.gpu_layers", ge=-1, description="Layers on a GPU; -1: as many as fit")
    prompt_cache_mb: int = setting(
        256, i18n="llamacpp.prompt_cache_mb", ge=0, description="Memory for the state of earlier prompts; 0: off"
    )
    idle_stop_seconds: float = setting(
        0,
        i18n="llamacpp.idle_stop_seconds",
        ge=0,
        description="Unload the model after this time without a call; 0: never",
    )
    memory_mb: int = setting(
        0,
        i18n="llamacpp.memory_mb",
        ge=0,
        description="Memory that a replica takes, as `fleet.memory_mb` counts it; 0: estimated from the file",
    )
    memory_limit_mb: int = setting(
        0,
        i18n="llamacpp.memory_limit_mb",
        ge=0,
        description="Resident memory of the model's process beyond which it is ended (Linux); 0: no limit",
    )
    start_timeout_seconds: float = setting(
        120, i18n="llamacpp.start_timeout_seconds", gt=0, description="Time to load the model"
    )
    hang_seconds: float = setting(
        30,
        i18n="llamacpp.hang_seconds",
        gt=0,
        description="Silence of the model's process under a call after which it is ended and restarted",
    )


LAYOUT: Final = connection_layout(
    ("gguf", "context"),
    models=False,
    advanced=(
        *("slots", "threads", "gpu_layers", "chat_template", "embedding"),
        control("pooling", rule=shown("embedding", True)),
    ),
    limits=(
        *("prompt_cache_mb", "memory_mb", "memory_limit_mb"),
        *("idle_stop_seconds", "start_timeout_seconds", "hang_seconds"),
    ),
)


class ModelFile(NamedTuple):
    """A file as it was when looked at: another size or time means another content."""

    path: str
    size: int
    modified: int  #: nanoseconds


def model_file(gguf: str) -> ModelFile:
    """The file that the setting `gguf` names. Raises `ResourceNotFound`; its `detail` has the path."""
    if gguf == BUILTIN:
        path = Path(str(importlib.resources.files("promptd") / "models" / "demo.gguf"))
    else:
        path = Path(gguf).expanduser().absolute()
    try:
        found = path.stat()
    except OSError as error:
        detail = f"gguf: no model file at {path}: {os.strerror(error.errno or 0)}"
        raise ResourceNotFound("gguf: there is no such model file", detail=detail) from error
    if not path.is_file():
        raise ResourceNotFound("gguf: the model file is not a file", detail=f"gguf: {path} is not a file")
    return ModelFile(str(path), found.st_size, found.st_mtime_ns)
