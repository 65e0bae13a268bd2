"""The sealed settings in versions of templates, for those who look at all that is sealed: the rotation, and the sweep."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from msgspec.structs import replace

from promptd.core.filters import Query
from promptd.core.ports import Records
from promptd.core.template import TemplateVersion
from promptd.service.rotation import Stale
from promptd.service.settings_vault import SettingsVault, digests

_PAGE: Final = 200


class VersionSettings:
    """Versions are many, so that all of them are read only once for their files."""

    def __init__(self, *, records: Records, settings: SettingsVault) -> None:
        self._records, self._settings = records, settings
        self._found: set[str] | None = None

    async def named(self) -> set[str]:
        """The contents that settings of queries name, or did since the start. Raises `StoreUnavailable`."""
        if self._found is None:
            self._found = {digest async for version in self._versions() for digest in digests(version.draft.settings)}
        return self._found | self._settings.of_queries

    async def renew_seals(self, stale: Stale) -> int:
        """Seal what is not under the vault's current key anew; how many. Raises `StoreUnavailable`."""
        count = 0
        async for version in self._versions():
            renewed = self._settings.renewed(version.draft.settings, stale)
            # a version is never written again, but its template may have been deleted since the page was read
            if renewed is not None and await self._records.get(TemplateVersion, version.id) is not None:
                await self._records.put(replace(version, draft=replace(version.draft, settings=renewed)))
                count += 1
        return count

    async def _versions(self) -> AsyncIterator[TemplateVersion]:
        after: str | None = None
        while True:
            page = await self._records.find(TemplateVersion, Query(limit=_PAGE, after=after))
            for version in page.items:
                yield version
            after = page.after
            if after is None:
                return
