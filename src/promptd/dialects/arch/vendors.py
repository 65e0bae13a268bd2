"""The vendors that a model's prefix may name: where they are, and what they speak (contracts/arch.md §1.5, §4.4)."""

from __future__ import annotations

from typing import Final

from msgspec import Struct


class Vendor(Struct, frozen=True):
    """`path` is what stands before `chat/completions`; a path in `base_url` takes its place. `variable` is the one that the
    vendor's own tools read a key from."""

    origin: str | None  #: None: the file has to say where it is
    path: str = "/v1"
    interface: str = "openai"
    variable: str = ""


VENDORS: Final[dict[str, Vendor]] = {
    "openai": Vendor("https://api.openai.com", variable="OPENAI_API_KEY"),
    "anthropic": Vendor("https://api.anthropic.com", interface="anthropic", variable="ANTHROPIC_API_KEY"),
    "claude": Vendor("https://api.anthropic.com", interface="anthropic"),  # its name in C
    "mistral": Vendor("https://api.mistral.ai", interface="mistral", variable="MISTRAL_API_KEY"),
    "deepseek": Vendor("https://api.deepseek.com", interface="deepseek", variable="DEEPSEEK_API_KEY"),
    "groq": Vendor("https://api.groq.com", "/openai/v1", "groq", variable="GROQ_API_KEY"),
    "gemini": Vendor(
        "https://generativelanguage.googleapis.com", "/v1beta/openai", "gemini", variable="GEMINI_API_KEY"
    ),
    "together_ai": Vendor("https://api.together.xyz", variable="TOGETHER_API_KEY"),
    "xai": Vendor("https://api.x.ai", variable="XAI_API_KEY"),
    "moonshotai": Vendor("https://api.moonshot.ai", variable="MOONSHOT_API_KEY"),
    "zhipu": Vendor("https://open.bigmodel.cn", "/api/paas/v4", variable="ZAI_API_KEY"),
    "xiaomi": Vendor("https://api.xiaomimimo.com", variable="MIMO_API_KEY"),
    "digitalocean": Vendor("https://inference.do-ai.run", variable="DIGITALOCEAN_API_KEY"),
    "vercel": Vendor("https://ai-gateway.vercel.sh", variable="AI_GATEWAY_API_KEY"),
    "openrouter": Vendor("https://openrouter.ai", "/api/v1", "openrouter", variable="OPENROUTER_API_KEY"),
    "edenai": Vendor("https://api.edenai.run", "/v3", variable="EDENAI_API_KEY"),
    "azure_openai": Vendor(None, "", "azure_openai"),
    "ollama": Vendor(None, interface="ollama"),
    "qwen": Vendor(None, "/compatible-mode/v1"),
    "plano": Vendor(None),
    "arch": Vendor(None),
    "chatgpt": Vendor("https://chatgpt.com", "/backend-api/codex", "chatgpt"),
    "amazon_bedrock": Vendor(None, "", "amazon_bedrock"),
}

#: of a prefix that is not known, where `provider_interface` says what it speaks
_PATHS: Final = {"perplexity": ""}


#: the paths of vendors by their hosts: files name them under other prefixes, too
_HOSTS: Final = {one.origin.partition("://")[2]: one.path for one in VENDORS.values() if one.origin is not None}


def path_of(vendor: str, interface: str, host: str | None = None) -> str:
    """What stands before `chat/completions` at an address without a path."""
    if host in _HOSTS:
        return _HOSTS[host]
    known = VENDORS.get(vendor)
    if known is not None:
        return known.path
    return _PATHS.get(vendor, VENDORS[interface].path if interface in VENDORS else "/v1")
