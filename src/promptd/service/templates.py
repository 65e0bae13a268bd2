"""The library of stored prompts: names, versions that never change, labels that move, and what templates share."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from promptd.core import identity, template
from promptd.core.errors import Conflict, InvalidRequest, NotFound, StaleVersion
from promptd.core.filters import Page, Query
from promptd.core.model import Caller
from promptd.core.ports import Gone, Records
from promptd.core.template import (
    LATEST,
    PRODUCTION,
    Draft,
    LabelMove,
    Partial,
    Share,
    Template,
    TemplateVersion,
    Terms,
)
from promptd.service.clock import Clock

_MOST_MOVES: Final = 100  # of labels that a template remembers
_MOST_PARTIALS: Final = 1000
_TURN: Final = 64  # templates that are read before others get a turn
_TRIES: Final = 5  # at a row that others change too

#: raises `Conflict` where a version must not get a guarded label
Gate = Callable[[Caller, TemplateVersion], Awaitable[None]]


async def _open(caller: Caller, version: TemplateVersion) -> None:
    """Until the composition root says who runs a version's cases."""


class Templates:
    """What is stored. Whoever may view templates sees all of them; the prompts made from them are their callers' own.

    `check` judges a draft before it is saved (raises `InvalidRequest`, `DescriptorFailed` …); `gate` a version before it
    gets a label that is guarded. The composition root says who does.
    """

    def __init__(self, *, records: Records, clock: Clock) -> None:
        self._records, self._clock = records, clock
        self._partials: dict[str, Partial] | None = None
        self._terms: Terms | None = None
        self._changes = 0  # of what templates share
        self._writing = asyncio.Lock()  # several rows change together
        self.check: Callable[[str, Draft], Awaitable[None]] = _unchecked
        self.gate: Gate = _open
        self.in_use: Callable[[str], Awaitable[Sequence[str]]] = _unused  #: names of what uses a template
        self.listeners: list[Callable[[], None]] = []  #: called after a template came, changed or went

    # ---------------------------------------------------------------- reading

    async def names(self) -> tuple[str, ...]:
        """Of all templates, in order."""
        found: list[str] = []
        after: str | None = None
        while True:
            page = await self._records.find(Template, Query(limit=1000, after=after))
            found.extend(item.name for item in page.items)
            after = page.after
            if after is None:
                return tuple(found)

    async def find(self, caller: Caller, *, limit: int = 100, after: str | None = None) -> Page[Template]:
        """A page of all templates, by name."""
        identity.require(caller, identity.TEMPLATE_VIEW)
        return await self._records.find(Template, Query(limit=limit, after=after))

    async def get(self, name: str) -> Template:
        """Raises `NotFound`."""
        found = await self._records.get(Template, name)
        if found is None:
            raise NotFound(f"there is no template {name[:128]!r}")
        return found

    async def version(self, name: str, number: int) -> TemplateVersion:
        """Raises `NotFound`."""
        found = await self._find_version(name, number) if number > 0 else None
        if found is None:
            raise NotFound(f"the template {name[:128]!r} has no version {number}")
        return found

    async def _find_version(self, name: str, number: int) -> TemplateVersion | None:
        return await self._records.get(TemplateVersion, template.version_id(name, number))

    async def versions(self, caller: Caller, name: str, *, limit: int = 50) -> tuple[TemplateVersion, ...]:
        """The newest ones, the newest first."""
        identity.require(caller, identity.TEMPLATE_VIEW)
        latest = (await self.get(name)).latest
        numbers = range(latest, max(0, latest - limit), -1)
        return tuple([found for number in numbers if (found := await self._find_version(name, number)) is not None])

    async def resolve(
        self, name: str, *, label: str | None = None, number: int | None = None, user: str = ""
    ) -> tuple[TemplateVersion, str]:
        """The version that runs, and the label that led there; always the same one for the same user.

        Without label and number it is `production`, or while nothing is there, the newest. Raises `NotFound`.
        """
        found = await self.get(name)
        chosen, led = template.choose(found, label=label, number=number, point=_point(name, user))
        return await self.version(name, chosen), led

    async def users_of(self, connection: str) -> tuple[str, ...]:
        """The templates whose newest or labelled versions are queries of a connection."""
        found: list[str] = []
        for place, name in enumerate(await self.names()):
            if place % _TURN == 0:
                await asyncio.sleep(0)  # reading does not wait, and others want a turn
            item = await self._records.get(Template, name)
            if item is None:
                continue
            numbers = {item.latest, *(share.number for shares in item.labels.values() for share in shares)}
            versions = [await self._find_version(name, number) for number in numbers]
            if any(version is not None and version.draft.connection == connection for version in versions):
                found.append(name)
        return tuple(found)

    # ---------------------------------------------------------------- writing

    async def save(
        self, caller: Caller, name: str, draft: Draft, *, note: str = "", label: str | None = None
    ) -> TemplateVersion:
        """Store `draft` as the newest version, and let `label` point at it. What is the newest already stays it.

        Raises what `check` raises, unless the draft says itself what is wrong with it (`Draft.fault`); and `Conflict`
        where the label is guarded and the cases fail: the version is there then, without the label.
        """
        identity.require(caller, identity.TEMPLATE_EDIT)
        template.check_name(name)
        if label is not None:
            template.check_label(label)
        if not draft.fault:
            await self.check(name, draft)
        for _ in range(_TRIES):
            try:
                async with self._writing:
                    version = await self._save(caller, name, draft, note)
            except StaleVersion:
                continue
            if label is not None:
                await self.move(caller, name, label, (Share(version.number),))
            return version
        raise Conflict(f"the template {name!r} is being changed by others")

    async def _save(self, caller: Caller, name: str, draft: Draft, note: str) -> TemplateVersion:
        found, version, is_new = await self._next(caller, name, draft, note)
        if is_new:
            await self._records.put(found, version)
            self._tell()
        return version

    async def _next(
        self, caller: Caller, name: str, draft: Draft, note: str = ""
    ) -> tuple[Template, TemplateVersion, bool]:
        """The two rows once `draft` is the newest version, and whether that takes a new version."""
        now = self._clock()
        found = await self._records.get(Template, name)
        newest = await self._find_version(name, found.latest) if found is not None else None
        if found is not None and newest is not None and newest.draft == draft:
            return found, newest, False
        if found is None:
            base = Template(name=name, created=now, changed=now, user=caller.user)
        else:
            base = replace(found, changed=now, version=found.version + 1)
        version = TemplateVersion(
            template=name, number=base.latest + 1, draft=draft, created=now, user=caller.user, note=note
        )
        return replace(base, latest=version.number), version, True

    async def save_all(
        self,
        caller: Caller,
        drafts: Mapping[str, Draft],
        *,
        partials: Mapping[str, str],
        besides: Sequence[Struct] = (),
    ) -> None:
        """Store drafts as the newest versions, shared texts, and records of the caller's own: all of it or nothing.

        Where `production` is somewhere, it moves along. Raises what `check` raises, and `Conflict` where that label is
        guarded: cases run only once their version is stored.
        """
        identity.require(caller, identity.TEMPLATE_EDIT)
        for name, draft in drafts.items():
            template.check_name(name)
            if not draft.fault:
                await self.check(name, draft)
        for _ in range(_TRIES):
            try:
                async with self._writing:
                    rows = [row for name, draft in drafts.items() for row in await self._running(caller, name, draft)]
                    rows += [await self._next_partial(caller, name, source) for name, source in partials.items()]
                    await self._records.put(*rows, *besides)
            except StaleVersion:
                continue
            finally:
                if partials:
                    self._forget()
            self._tell()
            return
        raise Conflict("these templates are being changed by others")

    async def _running(self, caller: Caller, name: str, draft: Draft) -> list[Struct]:
        """The rows that change when `draft` is what runs from now on."""
        found, version, is_new = await self._next(caller, name, draft)
        rows: list[Struct] = [version] if is_new else []
        shares = (Share(version.number),)
        if PRODUCTION in found.labels and found.labels[PRODUCTION] != shares:
            if PRODUCTION in found.guarded:
                raise Conflict(f"{name}: the label {PRODUCTION!r} is guarded by cases; save the template and move it")
            moved = self._moved(found, PRODUCTION, shares, caller, judged=False)
            found = moved if is_new else replace(moved, changed=self._clock(), version=found.version + 1)
            return [found, *rows]
        return [found, *rows] if is_new else []

    async def move(self, caller: Caller, name: str, label: str, shares: tuple[Share, ...]) -> Template:
        """Let a label point at these versions from now on; at none: take it away.

        Raises `NotFound`, `InvalidRequest`, `Conflict` where the label is guarded and a version fails its cases.
        """
        identity.require(caller, identity.TEMPLATE_EDIT)
        template.check_label(label)
        if len({share.number for share in shares}) != len(shares) or not all(0 < s.weight < 1e6 for s in shares):
            raise InvalidRequest(field="versions", expected="each version once, with a weight above 0")
        found = await self.get(name)
        judged = label in found.guarded
        for share in shares:
            version = await self.version(name, share.number)
            if judged:
                await self.gate(caller, version)
        if not shares and label not in found.labels:
            raise NotFound(f"the template {name!r} has no label {label!r}")
        return await self._change(name, lambda now: self._moved(now, label, shares, caller, judged))

    async def roll_back(self, caller: Caller, name: str, label: str) -> Template:
        """Let a label point where it did before its last move. Raises `Conflict` where nobody knows."""
        moves = [move for move in (await self.get(name)).moves if move.label == label]
        if len(moves) < 2 or not moves[-2].shares:
            raise Conflict(f"the label {label!r} of {name!r} has no earlier place")
        return await self.move(caller, name, label, moves[-2].shares)

    async def guard(self, caller: Caller, name: str, labels: Sequence[str]) -> Template:
        """Only versions whose cases pass may have these labels from now on."""
        identity.require(caller, identity.TEMPLATE_EDIT)
        guarded = tuple(sorted({template.check_label(label) for label in labels}))
        return await self._change(name, lambda found: replace(found, guarded=guarded))

    async def delete(self, caller: Caller, name: str) -> None:
        """With all versions. Prompts that were made from it keep what they are. Raises `NotFound`, `Conflict` (in use)."""
        identity.require(caller, identity.TEMPLATE_EDIT)
        await self.get(name)
        await self.delete_all(caller, (name,))

    async def delete_all(
        self,
        caller: Caller,
        names: Sequence[str],
        *,
        partials: Sequence[str] = (),
        besides: Sequence[Struct] = (),
        gone: Gone = (),
    ) -> None:
        """Delete templates with their versions, shared texts, and records of the caller's own, which may store others
        `besides`: all of it or nothing. What is not there is gone already. Raises `Conflict` (in use)."""
        identity.require(caller, identity.TEMPLATE_EDIT)
        for name in names:
            if users := await self.in_use(name):
                raise Conflict(f"the template {name!r} is used by {', '.join(users[:10])}")
        leaving: list[tuple[type[Struct], str]] = [*gone, *((Partial, name) for name in partials)]
        try:
            async with self._writing:
                for name in names:
                    found = await self._records.get(Template, name)
                    if found is not None:
                        versions = [template.version_id(name, number) for number in range(1, found.latest + 1)]
                        leaving += [(Template, name), *((TemplateVersion, one) for one in versions)]
                await self._records.put(*besides, gone=leaving)
        finally:
            self._forget()
        if names:
            self._tell()

    def _tell(self) -> None:
        for listener in self.listeners:
            listener()

    def _moved(self, found: Template, label: str, shares: tuple[Share, ...], caller: Caller, judged: bool) -> Template:
        if shares and label in found.guarded and not judged:
            raise Conflict(f"the label {label!r} is guarded since a moment ago")
        if any(share.number > found.latest for share in shares):
            raise Conflict(f"the template {found.name!r} was begun anew")
        labels = {**found.labels, label: shares} if shares else {k: v for k, v in found.labels.items() if k != label}
        move = LabelMove(label=label, shares=shares, time=self._clock(), user=caller.user)
        return replace(found, labels=labels, moves=(*found.moves, move)[-_MOST_MOVES:])

    async def _change(self, name: str, change: Callable[[Template], Template]) -> Template:
        for _ in range(_TRIES):
            found = await self.get(name)
            changed = replace(change(found), changed=self._clock(), version=found.version + 1)
            try:
                await self._records.put(changed)
            except StaleVersion:
                continue
            self._tell()
            return changed
        raise Conflict(f"the template {name!r} is being changed by others")

    # ---------------------------------------------------------------- what templates share

    async def partials(self) -> Mapping[str, Partial]:
        """Every shared text, by name."""
        while self._partials is None:
            changes = self._changes
            page = await self._records.find(Partial, Query(limit=_MOST_PARTIALS))
            if changes == self._changes:  # else what was read may be what was there before
                self._partials = {item.name: item for item in page.items}
        return self._partials

    async def put_partial(self, caller: Caller, name: str, source: str) -> Partial:
        """Save a shared text; every template that uses it says it from now on."""
        identity.require(caller, identity.TEMPLATE_EDIT)
        template.check_name(name)
        partial = await self._next_partial(caller, name, source)
        try:
            await self._records.put(partial)
        finally:
            self._forget()
        return partial

    async def _next_partial(self, caller: Caller, name: str, source: str) -> Partial:
        """The row of a shared text once it says this."""
        known = await self.partials()
        if name not in known and len(known) >= _MOST_PARTIALS:
            raise Conflict(f"there are {_MOST_PARTIALS} partials already")
        before = await self._records.get(Partial, name)
        version = before.version + 1 if before is not None else 0
        return Partial(name=name, source=source, changed=self._clock(), user=caller.user, version=version)

    async def delete_partial(self, caller: Caller, name: str) -> None:
        """Raises `NotFound`."""
        identity.require(caller, identity.TEMPLATE_EDIT)
        try:
            if not await self._records.delete(Partial, name):
                raise NotFound(f"there is no partial {name[:128]!r}")
        finally:
            self._forget()

    async def terms(self) -> Mapping[str, Any]:
        """Values that all templates share."""
        while self._terms is None:
            changes = self._changes
            found = await self._records.get(Terms, "terms")
            if changes == self._changes:
                self._terms = found or Terms(values={}, changed=0.0, user="")
        return self._terms.values

    async def put_terms(self, caller: Caller, values: dict[str, Any]) -> Mapping[str, Any]:
        """Replace all shared values."""
        identity.require(caller, identity.TEMPLATE_EDIT)
        before = await self._records.get(Terms, "terms")
        version = before.version + 1 if before is not None else 0
        try:
            await self._records.put(Terms(values=values, changed=self._clock(), user=caller.user, version=version))
        finally:
            self._forget()
        return await self.terms()

    def _forget(self) -> None:
        """What is remembered of shared texts and values may be old."""
        self._changes += 1
        self._partials = self._terms = None


def _point(name: str, user: str) -> float:
    """Where a user stands among the versions of a template: 0 … 1, always the same."""
    return int.from_bytes(hashlib.sha256(f"{name}\0{user}".encode()).digest()[:7]) / (1 << 56)


async def _unchecked(name: str, draft: Draft) -> None:
    """Until the composition root says who judges drafts."""


async def _unused(name: str) -> Sequence[str]:
    """Until the composition root says what uses templates."""
    return ()


__all__ = ["LATEST", "PRODUCTION", "Gate", "Templates"]
