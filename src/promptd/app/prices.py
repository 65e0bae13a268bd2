"""What tokens cost where the operator does not say: from the price list of `genai-prices`, whose data comes with the package.

Looked up when models are configured, never per prompt. What is not in the list is unknown, which is not the same as free:
free is what runs on this machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec

from promptd.core.engine import Config, Engine
from promptd.core.errors import SettingsError
from promptd.core.policy import Policy
from promptd.core.routing import FREE, Price, Route, Tier

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo

_PICO_PER_UNIT_PER_MILLION: Final = 1_000_000

#: Engines that do their work on this machine, but for those that take its memory, which say so themselves.
_LOCAL: Final = frozenset({"local_audio", "stable_diffusion"})
#: Profiles of servers that operators run themselves; free where they do so nearby.
_SELF_HOSTED: Final = frozenset({"ollama", "lm_studio", "lmstudio", "vllm", "llamacpp", "llama_cpp"})
#: Providers by engine and profile, where the name is another one there.
_PROVIDERS: Final[Mapping[str, str]] = {"gemini": "google", "bedrock": "aws", "xai": "x-ai", "grok": "x-ai"}
#: Names of prices in the list → fields of `Price`
_FIELDS: Final[Mapping[str, str]] = {
    "input_mtok": "input",
    "output_mtok": "output",
    "cache_read_mtok": "cached",
    "cache_write_mtok": "cache_write",
    "output_reasoning_mtok": "reasoning",
}
#: What every request of a model is charged for and no engine counts; what it costs can't be said then.
_UNCOUNTED: Final = frozenset(
    {
        "audio_hours",
        "input_audio_hours",
        "input_annotated_document_kpages",
        "input_document_kpages",
        "input_mchars",
        "input_text_messages_kcount",
        "requests_kcount",
    }
)


class Prices:
    """The price of a model at a connection, as it is at `now` (UTC seconds)."""

    def __init__(self, now: float) -> None:
        self._now = datetime.fromtimestamp(now, UTC)

    def of(self, engine: Engine[Any, Any], config: Config, upstream: str) -> Price | None:
        """`FREE` for what runs on this machine; None where nobody knows."""
        provider = _said(config, "provider") or _said(config, "profile") or engine.type_id
        address = _said(config, "base_url")
        if engine.memory(config) is not None or engine.type_id in _LOCAL:
            return FREE
        if provider in _SELF_HOSTED:
            return FREE if _is_near(address) else None
        model = _listed(upstream, _PROVIDERS.get(provider, provider), address)
        return _price(model, self._now) if model is not None else None


def check_priced(policies: Iterable[Policy], routes: Iterable[Route]) -> None:
    """Raise `SettingsError` where a policy counts the cost of a model whose price nobody knows."""
    for index, policy in enumerate(policies):
        if policy.metric != "cost":
            continue
        for route in routes:
            if "*" in route.model:  # what it stands for is known when somebody asks for it
                continue
            counted = policy.counts(route.model) and (policy.scope != "model" or policy.only in (None, route.model))
            if counted and any(leg.price is None for leg in route.legs):
                raise SettingsError(
                    f"models.{route.model}.price: expected a price, because limits[{index}] counts its cost and nobody "
                    "knows what it is",
                    key=f"models.{route.model}.price",
                )


def _said(config: Config, name: str) -> str:
    value = getattr(config, name, "")
    return value if isinstance(value, str) else ""


def _is_near(address: str) -> bool:
    """Whether the server is on this machine or in its private network."""
    host = urlsplit(address).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_private
    except ValueError:
        return "." not in host  # a name that only a private network knows


def _listed(upstream: str, provider: str, address: str) -> ModelInfo | None:
    # 30 MB and a fifth of a second: only for those who have a model that needs it
    from genai_prices.data_snapshot import get_snapshot

    ways: list[Callable[[], tuple[Any, ModelInfo]]] = []
    snapshot = get_snapshot()
    if address:
        ways.append(lambda: snapshot.find_provider_model(upstream, None, None, address))
    if not address or provider not in ("openai", "anthropic"):
        # an address that is not the vendor's own may be anybody's who speaks like it
        ways.append(lambda: snapshot.find_provider_model(upstream, None, provider, None))
    for find in ways:
        try:
            return find()[1]
        except LookupError:
            continue
    return None


def _price(model: ModelInfo, now: datetime) -> Price | None:
    listed = {name: value for name, value in vars(model.get_prices(now)).items() if value is not None}
    if "input_mtok" not in listed or not _UNCOUNTED.isdisjoint(listed):
        return None
    starts = sorted({tier.start for value in listed.values() for tier in getattr(value, "tiers", ())})
    tiers = tuple(Tier(start, _at(listed, start + 1)) for start in starts)
    return msgspec.structs.replace(_at(listed, 0), tiers=tiers)


def _at(listed: Mapping[str, Any], size: int) -> Price:
    """The price of inputs of `size` tokens."""
    found: dict[str, int] = {}
    for name, field in _FIELDS.items():
        value = listed.get(name)
        if value is None:
            continue
        amount = value if isinstance(value, Decimal) else value.base
        for tier in getattr(value, "tiers", ()):
            if size > tier.start:
                amount = tier.price
        found[field] = round(amount * _PICO_PER_UNIT_PER_MILLION)
    return msgspec.convert(found, Price)
