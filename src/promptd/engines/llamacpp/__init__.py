"""Local models: llama.cpp in a supervised child process per connection."""

from promptd.engines.llamacpp.config import LlamaCppConfig
from promptd.engines.llamacpp.engine import LlamaCpp

__all__ = ["LlamaCpp", "LlamaCppConfig"]
