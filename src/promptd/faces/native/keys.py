"""Keys on the native wire: what callers send and see, the handlers, and their places."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import UNSET, Meta, Struct, UnsetType

from promptd.core.filters import Page
from promptd.core.identity import KEY_EDIT
from promptd.core.keys import KeyChange, KeyLimit, limits_of
from promptd.core.model import Key
from promptd.core.policy import Metric, Period
from promptd.faces.native.operation import Call, Desk, Operation, Reply, json_reply
from promptd.faces.native.requests import KeysQuery, NoQuery, When, seconds
from promptd.faces.native.show import rfc3339
from promptd.faces.native.views import Time

_PATH: Final = "/promptd/v1/keys"
_ONE: Final = f"{_PATH}/{{id}}"

_Models = Annotated[
    tuple[Annotated[str, Meta(min_length=1, max_length=200)], ...],
    Meta(max_length=100, description="patterns (`gpt-*`) of the models that the key may use; none: all"),
]
_Keep = Annotated[
    bool | None,
    Meta(description="whether question and answer of OpenAI and Anthropic calls are stored; null: as the server does"),
]
_Retention = Annotated[
    Annotated[float, Meta(gt=0)] | None, Meta(description="seconds until they are removed; null: as the server does")
]
_Labels = Annotated[dict[str, str], Meta(description="whatever the owner wants to know about the key")]
_Name = Annotated[str, Meta(min_length=1, max_length=100)]
_Count = Annotated[int, Meta(ge=1, le=2**62)]


class KeyLimitForm(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A limit that counts one key alone: per window, or a budget per calendar day or month (UTC)."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$")]
    metric: Annotated[Metric, Meta(description="`cost` counts billionths of the price's currency")]
    limit: _Count
    window: Annotated[Annotated[float, Meta(gt=0, le=31_536_000)] | None, Meta(description="seconds; default 60")] = (
        None
    )
    period: Period | None = None
    burst: _Count | None = None
    models: tuple[Annotated[str, Meta(min_length=1, max_length=200)], ...] = ()

    def limit_of(self) -> KeyLimit:
        return KeyLimit(**{name: getattr(self, name) for name in self.__struct_fields__})


_Limits = Annotated[tuple[KeyLimitForm, ...], Meta(max_length=20, description="beside those of the server")]


class NewKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key to make: for the caller itself unless `user` says otherwise, with an ordinary user's permissions."""

    name: _Name
    user: Annotated[str, Meta(min_length=1, max_length=128)] | None = None
    team: Annotated[str, Meta(max_length=128)] = ""
    permissions: tuple[str, ...] | None = None
    admin: bool = False
    expires_at: When | None = None
    models: _Models = ()
    keep: _Keep = None
    retention: _Retention = None
    limits: _Limits = ()
    labels: _Labels = {}


class EditKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be different about a key; what is left out stays."""

    name: _Name | UnsetType = UNSET
    team: Annotated[str, Meta(max_length=128)] | UnsetType = UNSET
    permissions: tuple[str, ...] | UnsetType = UNSET
    expires_at: When | UnsetType | None = UNSET
    models: _Models | UnsetType = UNSET
    keep: bool | UnsetType | None = UNSET
    retention: Annotated[float, Meta(gt=0)] | UnsetType | None = UNSET
    limits: _Limits | UnsetType = UNSET
    labels: _Labels | UnsetType = UNSET

    def change(self) -> KeyChange:
        """Raises `InvalidRequest`."""
        return KeyChange(
            name=self.name,
            team=self.team,
            permissions=UNSET if self.permissions is UNSET else frozenset(self.permissions),
            expires=UNSET if self.expires_at is UNSET else seconds(self.expires_at, "expires_at"),
            models=self.models,
            keep=self.keep,
            retention=self.retention,
            limits=UNSET if self.limits is UNSET else tuple(one.limit_of() for one in self.limits),
            labels=self.labels,
        )


class KeyView(Struct, frozen=True):
    """An API key without its secret."""

    id: str
    name: str
    user: str
    team: str
    permissions: tuple[str, ...]
    admin: bool
    created_at: Time
    expires_at: Time | None
    revoked_at: Time | None
    models: tuple[str, ...]
    keep: bool | None
    retention: float | None
    limits: tuple[KeyLimitForm, ...]
    labels: dict[str, str]


class CreatedKeyView(KeyView, frozen=True, kw_only=True):
    """A new API key. `key` is the secret, shown this once."""

    key: str


class KeyPage(Struct, frozen=True):
    items: tuple[KeyView, ...]
    after: str | None


def key_view(key: Key) -> KeyView:
    return KeyView(
        key.id,
        key.name,
        key.user,
        key.team,
        tuple(sorted(key.permissions)),
        key.admin,
        rfc3339(key.created),
        None if key.expires is None else rfc3339(key.expires),
        None if key.revoked is None else rfc3339(key.revoked),
        key.models,
        key.keep,
        key.retention,
        tuple(
            KeyLimitForm(**{name: getattr(one, name) for name in KeyLimitForm.__struct_fields__})
            for one in limits_of(key)
        ),
        key.labels,
    )


def key_page(page: Page[Key]) -> KeyPage:
    return KeyPage(tuple(map(key_view, page.items)), page.after)


async def create_key(desk: Desk, call: Call[NoQuery, NewKey]) -> Reply:
    wanted = call.body
    key, secret = await desk.walk.keys.create(
        call.caller,
        name=wanted.name,
        user=wanted.user,
        team=wanted.team,
        permissions=None if wanted.permissions is None else frozenset(wanted.permissions),
        admin=wanted.admin,
        expires=seconds(wanted.expires_at, "expires_at"),
        models=wanted.models,
        keep=wanted.keep,
        retention=wanted.retention,
        limits=[one.limit_of() for one in wanted.limits],
        labels=wanted.labels,
    )
    view = key_view(key)
    shown = CreatedKeyView(*(getattr(view, name) for name in KeyView.__struct_fields__), key=secret)
    return json_reply(201, shown, [(b"cache-control", b"no-store")])


async def list_keys(desk: Desk, call: Call[KeysQuery, None]) -> Reply:
    return json_reply(200, key_page(await desk.walk.keys.find(call.caller, call.query.query())))


async def get_key(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    return json_reply(200, key_view(await desk.walk.keys.get(call.caller, call.params["id"])))


async def edit_key(desk: Desk, call: Call[NoQuery, EditKey]) -> Reply:
    changed = await desk.walk.keys.edit(call.caller, call.params["id"], call.body.change())
    return json_reply(200, key_view(changed))


async def revoke_key(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    return json_reply(200, key_view(await desk.walk.keys.revoke(call.caller, call.params["id"])))


OPERATIONS: Final = (
    Operation(
        method="POST",
        path=_PATH,
        handler=create_key,
        summary="Make a key; its secret is shown this once",
        group="keys",
        permission=KEY_EDIT,
        body=NewKey,
        example={"name": "my app"},
        answers={201: CreatedKeyView},
    ),
    Operation(
        method="GET",
        path=_PATH,
        handler=list_keys,
        summary="List keys: your own; everybody's for admins",
        group="keys",
        permission=KEY_EDIT,
        query=KeysQuery,
        answers={200: KeyPage},
    ),
    Operation(
        method="GET",
        path=_ONE,
        handler=get_key,
        summary="One key",
        group="keys",
        permission=KEY_EDIT,
        answers={200: KeyView},
    ),
    Operation(
        method="PATCH",
        path=_ONE,
        handler=edit_key,
        summary="Change a key; what is left out stays",
        group="keys",
        permission=KEY_EDIT,
        body=EditKey,
        example={"limits": [{"name": "daily", "metric": "cost", "limit": 5_000_000_000, "period": "day"}]},
        answers={200: KeyView},
    ),
    Operation(
        method="DELETE",
        path=_ONE,
        handler=revoke_key,
        summary="Revoke a key for good",
        group="keys",
        permission=KEY_EDIT,
        answers={200: KeyView},
    ),
)
