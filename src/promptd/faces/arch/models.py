"""Which provider and model a request is for (contracts/arch.md §4.2): hint header, `model`, the default provider, or none."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from promptd.core.errors import InvalidRequest
from promptd.dialects.arch.config import ArchConfig, Provider

_LONGEST: Final = 200
_NOT_GIVEN: Final = frozenset({"", "none"})  #: what clients send who leave the choice to the gateway
_INTERNAL: Final = frozenset({"plano", "arch"})  #: vendors of the gateway's own models


class ModelNotFound(InvalidRequest):
    """No provider serves what was asked for."""

    def __init__(self, given: str) -> None:
        super().__init__(f"Model '{given[:_LONGEST]}' not found in configured providers", field="model")


class NoAccessKey(InvalidRequest):
    """The provider needs a key that the file does not have."""

    def __init__(self, provider: Provider) -> None:
        super().__init__(f'No access key configured for selected LLM Provider "{provider.name}"', field="model")


class Chosen(Struct, frozen=True):
    """A provider, and the model that it is asked for."""

    provider: Provider
    model: str  #: as the provider calls it

    @property
    def name(self) -> str:
        """What the house calls it."""
        return self.id if self.provider.wildcard else self.provider.served or self.provider.name

    @property
    def id(self) -> str:
        """What the outside calls it."""
        return f"{self.provider.vendor}/{self.model}"

    @property
    def names(self) -> frozenset[str]:
        """All that the file and its clients may call it, aliases aside."""
        return frozenset({self.provider.name, self.model, self.id})


class Providers:
    """Those of one file."""

    def __init__(self, config: ArchConfig) -> None:
        self._config = config
        self._wildcards = {one.vendor: one for one in config.providers if one.wildcard}
        exact: dict[str, Provider] = {}
        # what names one provider alone goes before what several may share
        single = [one for one in config.providers if not one.wildcard]
        for names in ([one.name for one in single], [one.id for one in single], [one.model for one in single]):
            for name, one in zip(names, single, strict=True):
                exact.setdefault(name, one)
        self._exact = exact
        self._aliases = config.aliases

    def choose(self, hint: str | None, model: str | None, *, lenient: bool) -> Chosen:
        """`lenient`: what nobody knows falls back to the default provider. Raises `ModelNotFound`, `NoAccessKey`."""
        found: Chosen | None = None
        wanted = model or ""
        if hint is not None and hint != "default":
            found, wanted = self.find(hint), hint
            if found is None and not lenient:
                raise ModelNotFound(wanted)
        elif hint is None and wanted.lower() not in _NOT_GIVEN:
            found = self.find(wanted)
            if found is None and not lenient:
                raise ModelNotFound(wanted)
        if found is None:
            found = self.default
        if found is None:
            raise ModelNotFound("" if wanted.lower() in _NOT_GIVEN else wanted)
        return _with_key(found)

    def find(self, name: str) -> Chosen | None:
        """By alias, name, model id, prefix and id, or a wildcard."""
        name = self._aliases.get(name, name)
        provider = self._exact.get(name)
        if provider is not None:
            return Chosen(provider, provider.model)
        vendor, _, rest = name.partition("/")
        wildcard = self._wildcards.get(vendor) if rest and "*" not in rest else None
        return Chosen(wildcard, rest) if wildcard is not None else None

    @property
    def default(self) -> Chosen | None:
        provider = self._config.default_provider
        return Chosen(provider, provider.model) if provider is not None else None

    @property
    def any_passthrough(self) -> bool:
        return any(one.passthrough_auth for one in self._config.providers)

    def listed(self) -> list[dict[str, Any]]:
        """For `GET /v1/models`; wildcards stand for models that nobody knows."""
        shown = [one for one in self._config.providers if not one.wildcard and one.vendor not in _INTERNAL]
        return [{"id": one.id, "object": "model", "created": 0, "owned_by": one.vendor} for one in shown]

    def aliases_of(self, names: frozenset[str]) -> frozenset[str]:
        """Other names of a model."""
        return frozenset(alias for alias, target in self._aliases.items() if target in names)


def _with_key(chosen: Chosen) -> Chosen:
    provider = chosen.provider
    if provider.access_key is None and not provider.passthrough_auth and provider.base_url is None:
        raise NoAccessKey(provider)
    return chosen
