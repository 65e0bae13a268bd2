"""Engine for any server that speaks the OpenAI API: chat (with images and sounds), legacy completions with a raw
template, embeddings, images, speech, transcription."""

from promptd.engines.openai.config import OpenAIConfig
from promptd.engines.openai.engine import OpenAI

__all__ = ["OpenAI", "OpenAIConfig"]
