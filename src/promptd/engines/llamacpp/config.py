"""The settings of a llama.cpp connection and the model file that they name."""

from __future__ import annotations

import importlib.resources
import os
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field

from promptd.core.engine import Config
from promptd.core.errors import ResourceNotFound

BUILTIN = "builtin"


class LlamaCppConfig(Config):
    """One model file and how to serve it. A change takes effect with the next call; calls under way end as they began."""

    gguf: str = Field(BUILTIN, min_length=1, description="path of a GGUF file; `builtin`: the demonstration model")
    slots: int = Field(2, ge=1, le=256, description="prompts that run at the same time")
    context: int = Field(
        4096,
        ge=0,
        le=16_777_216,
        description="tokens per slot (in steps of 256), at most what the model was trained for; 0: all of that, shared",
    )
    threads: int = Field(0, ge=0, le=1024, description="CPU threads; 0: llama.cpp chooses")
    chat_template: str = Field("", description="Jinja text or a llama.cpp template's name; empty: the file's own")
    embedding: bool = Field(False, description="serve embeddings too")
    pooling: Literal["model", "mean", "cls", "last"] = Field(
        "model", description="how an embedding is made of its tokens; `model`: as the file says"
    )
    gpu_layers: int = Field(-1, ge=-1, description="layers on a GPU; -1: as many as fit")
    prompt_cache_mb: int = Field(256, ge=0, description="memory for the state of earlier prompts; 0: off")
    idle_stop_seconds: float = Field(0, ge=0, description="unload the model after this time without a call; 0: never")
    memory_mb: int = Field(
        0, ge=0, description="memory that a replica takes, as `fleet.memory_mb` counts it; 0: estimated from the file"
    )
    memory_limit_mb: int = Field(
        0, ge=0, description="resident memory of the model's process beyond which it is ended (Linux); 0: no limit"
    )
    start_timeout_seconds: float = Field(120, gt=0, description="time to load the model")
    hang_seconds: float = Field(
        30, gt=0, description="silence of the model's process under a call after which it is ended and restarted"
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
