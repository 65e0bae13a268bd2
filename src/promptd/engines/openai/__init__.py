"""Engine for any server that speaks the OpenAI API: chat (with images and sounds), legacy completions with a raw
template, embeddings, images, speech, transcription. `ChatCompletions` and `Gemini` are the same under other names."""

from promptd.engines.openai.config import OpenAIConfig
from promptd.engines.openai.engine import OpenAI
from promptd.engines.openai.services import ChatCompletions, ChatCompletionsConfig, Gemini, GeminiConfig

__all__ = ["ChatCompletions", "ChatCompletionsConfig", "Gemini", "GeminiConfig", "OpenAI", "OpenAIConfig"]
