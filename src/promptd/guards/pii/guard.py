"""The guard itself: which searches are made, and in which order they count."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, Literal

import re2
from pydantic import Field, field_validator

from promptd.core.errors import SettingsError
from promptd.core.guarding import GuardTools
from promptd.guards.detecting import Detector, DetectorConfig, Finding, plain
from promptd.guards.pii.addresses import find_emails, find_ips
from promptd.guards.pii.bank import find_cards, find_ibans
from promptd.guards.pii.ids import COUNTRIES, Ids
from promptd.guards.pii.phones import Phones

Category = Literal["card", "email", "iban", "ip", "national_id", "phone"]
Search = Callable[[str], Iterator[Finding]]

#: what any finding has in it; most texts have neither and are done with
_SOMETHING: Final = re2.compile(
    r"@|\(at\)|\[at\]|[0-9][0-9 ().\-/\t]{5}|[0-9]\.[0-9]+\.|:[0-9A-Fa-f]{0,4}:|[0-9]{2}[A-Z]"
)

#: in these stand digits that mean nobody
_IDENTIFIERS: Final = re2.compile(
    r"\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b|\b[0-9a-fA-F]{32,128}\b|[0-9]{35,}"
)


class PIIConfig(DetectorConfig):
    """What is looked for. By default, everything."""

    categories: tuple[Category, ...] = Field(
        ("card", "email", "iban", "ip", "national_id", "phone"), min_length=1, description="Which kinds are looked for."
    )
    regions: tuple[str, ...] = Field(
        ("US", "GB", "DE"),
        description="Countries (ISO 3166) whose phone numbers are known as they are dialled there. Those with + are always.",
    )
    countries: tuple[str, ...] = Field(
        (), description="Countries (ISO 3166) whose national ids count; empty: all known."
    )

    @field_validator("regions", "countries")
    @classmethod
    def _in_capitals(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(value.strip().upper() for value in values)


class PII(Detector):
    """The guard. Raises `SettingsError` where a country is not known; `key` is its path below the guard's settings."""

    config_class: Final = PIIConfig
    name = "pii"
    reach: int | None = 320  # an address of e-mail, or a number and the word that it needs before it

    def __init__(self, config: PIIConfig = PIIConfig(), tools: GuardTools | None = None) -> None:  # noqa: B008 - frozen
        super().__init__(config)
        for at, country in enumerate(config.countries):
            if country not in COUNTRIES:
                key = f"countries[{at}]"
                raise SettingsError(f"{key}: expected one of {', '.join(sorted(COUNTRIES))}", key=key)
        wanted: dict[str, Search] = {"email": find_emails, "iban": find_ibans, "card": find_cards}
        countries = frozenset(config.countries) or COUNTRIES
        wanted["national_id"] = Ids(countries).find
        wanted["ip"] = find_ips
        if "phone" in config.categories:
            wanted["phone"] = Phones(config.regions).find
        self._searches = [search for name, search in wanted.items() if name in config.categories]

    def search(self, text: str) -> Iterable[Finding]:
        spelled = plain(text)
        if not _SOMETHING.search(spelled.text):
            return
        masked = _masked(spelled.text)
        for find in self._searches:
            for finding in find(masked):
                yield spelled.original(finding)


def _masked(text: str) -> str:
    """Without the identifiers of programs, each character of them a sign that no pattern knows."""
    if not _IDENTIFIERS.search(text):
        return text
    return str(_IDENTIFIERS.sub(lambda found: "\x1f" * len(found[0]), text))
