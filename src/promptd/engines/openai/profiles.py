"""In what the known services with OpenAI's API differ: where they are, how they want their key, what they take."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

from promptd.dialects.chat import Manners

Name = Literal[
    "any",
    "openai",
    "azure",
    "groq",
    "gemini",
    "mistral",
    "deepseek",
    "openrouter",
    "vllm",
    "ollama",
    "lmstudio",
    "chatgpt",
]

#: names of services are the same in every language
LABELS: Final[dict[str, str]] = {
    "openai": "OpenAI",
    "azure": "Azure OpenAI",
    "groq": "Groq",
    "gemini": "Google Gemini",
    "mistral": "Mistral",
    "deepseek": "DeepSeek",
    "openrouter": "OpenRouter",
    "vllm": "vLLM",
    "ollama": "Ollama",
    "lmstudio": "LM Studio",
    "chatgpt": "ChatGPT",
}

CHAT: Final = "openai.chat"
COMPLETIONS: Final = "openai.completions"
EMBEDDINGS: Final = "openai.embeddings"
RESPONSES: Final = "openai.responses"
MESSAGES: Final = "anthropic.messages"


class Profile(Struct, frozen=True, kw_only=True):
    """One service. Its paths are templates: `{base}` is the base URL, `{origin}` the same without its path."""

    base_url: str = ""
    key_header: Literal["authorization", "api-key"] = "authorization"
    chat: str = "{base}/chat/completions"
    completions: str = "{base}/completions"
    embeddings: str = "{base}/embeddings"
    responses: str = "{base}/responses"
    messages: str = "{base}/messages"
    models: str = "{base}/models"
    speaks: frozenset[str] = frozenset()  #: dialects besides chat, completions and embeddings
    manners: Manners = Manners()
    streams_only: bool = False  #: keeps nothing and answers streams only; what is translated goes to its Responses API

    def path(self, dialect: str) -> str:
        return str(getattr(self, dialect.rpartition(".")[2]))


_DEPLOYMENT: Final = "{base}/openai/deployments/{model}"

PROFILES: Final[dict[str, Profile]] = {
    "any": Profile(),
    "openai": Profile(
        base_url="https://api.openai.com/v1",
        speaks=frozenset({RESPONSES}),
        manners=Manners(max_tokens="max_completion_tokens", developer=True),
    ),
    "azure": Profile(
        key_header="api-key",
        chat=_DEPLOYMENT + "/chat/completions?api-version={version}",
        completions=_DEPLOYMENT + "/completions?api-version={version}",
        embeddings=_DEPLOYMENT + "/embeddings?api-version={version}",
        responses="{base}/openai/responses?api-version={version}",
        models="{base}/openai/models?api-version={version}",
        manners=Manners(max_tokens="max_completion_tokens", developer=True),
    ),
    "groq": Profile(
        base_url="https://api.groq.com/openai/v1",
        speaks=frozenset({RESPONSES}),
        manners=Manners(
            max_tokens="max_completion_tokens",
            names=False,
            thoughts="reasoning",
            refused=frozenset({"logprobs", "top_logprobs", "logit_bias"}),
        ),
    ),
    "gemini": Profile(
        base_url="https://generativelanguage.googleapis.com/v1beta/openai",
        manners=Manners(
            refused=frozenset(
                {
                    "frequency_penalty",
                    "logit_bias",
                    "parallel_tool_calls",
                    "presence_penalty",
                    "prompt_cache_key",
                    "safety_identifier",
                    "seed",
                    "service_tier",
                    "user",
                    "verbosity",
                }
            )
        ),
    ),
    "mistral": Profile(
        base_url="https://api.mistral.ai/v1",
        manners=Manners(
            stream_usage=False,  # it tells the counts unasked
            seed="random_seed",
            refused=frozenset(
                {
                    "logit_bias",
                    "logprobs",
                    "prompt_cache_key",
                    "safety_identifier",
                    "service_tier",
                    "top_logprobs",
                    "user",
                    "verbosity",
                }
            ),
        ),
    ),
    "deepseek": Profile(
        base_url="https://api.deepseek.com/v1",
        messages="{origin}/anthropic/v1/messages",
        speaks=frozenset({MESSAGES}),
        manners=Manners(schemas=False, thoughts="reasoning_content", taken=frozenset({"thinking"})),
    ),
    "openrouter": Profile(
        base_url="https://openrouter.ai/api/v1",
        speaks=frozenset({RESPONSES, MESSAGES}),
        manners=Manners(top_k=True, thoughts="reasoning", reasoning=True, cache_control=True),
    ),
    "vllm": Profile(speaks=frozenset({RESPONSES, MESSAGES}), manners=Manners(top_k=True, thoughts="reasoning_content")),
    "ollama": Profile(
        base_url="http://127.0.0.1:11434/v1",
        speaks=frozenset({RESPONSES, MESSAGES}),
        manners=Manners(thoughts="reasoning"),
    ),
    "lmstudio": Profile(
        base_url="http://127.0.0.1:1234/v1",
        speaks=frozenset({RESPONSES, MESSAGES}),
        manners=Manners(top_k=True),
    ),
    "chatgpt": Profile(
        base_url="https://chatgpt.com/backend-api/codex",
        speaks=frozenset({RESPONSES}),
        streams_only=True,
    ),
}
