"""What a key may be: its fields checked, its own limits, and who may change what of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import asdict

from promptd.core import identity
from promptd.core.errors import Forbidden, InvalidRequest, SettingsError
from promptd.core.model import Caller, Key
from promptd.core.policy import Metric, Period, Policy

_MOST_MODELS: Final = 100
_MOST_LIMITS: Final = 20
_MOST_LABELS: Final = 50
_LONGEST_RETENTION: Final = 10 * 366 * 86_400.0
OWN: Final = "key "  #: begins the names of keys' own limits; no limit of the configuration can be called so

#: What somebody who is no admin may change of an own key: nothing that lets it do more.
_HARMLESS: Final = frozenset({"name", "labels", "permissions", "expires"})


class KeyLimit(Struct, frozen=True, kw_only=True):
    """A limit that counts one key alone: per `window` (seconds), or a budget per calendar `period`."""

    name: str
    metric: Metric
    limit: int
    window: float | None = None  #: default: 60
    period: Period | None = None
    burst: int | None = None
    models: tuple[str, ...] = ()


class KeyChange(Struct, frozen=True, kw_only=True):
    """What is to be different about a key; the rest stays. `expires` None: never."""

    name: str | UnsetType = UNSET
    team: str | UnsetType = UNSET
    permissions: frozenset[str] | UnsetType = UNSET
    expires: float | UnsetType | None = UNSET
    models: tuple[str, ...] | UnsetType = UNSET
    keep: bool | UnsetType | None = UNSET
    retention: float | UnsetType | None = UNSET
    limits: tuple[KeyLimit, ...] | UnsetType = UNSET
    labels: Mapping[str, str] | UnsetType = UNSET

    def fields(self) -> dict[str, object]:
        """What is said, by name; `limits` not yet as policies."""
        return {name: value for name, value in asdict(self).items() if value is not UNSET}


def policies(limits: Sequence[KeyLimit], key: str) -> tuple[Policy, ...]:
    """The limits as policies that count the key with this id. Raises `InvalidRequest`."""
    if len(limits) > _MOST_LIMITS:
        raise InvalidRequest(field="limits", expected=f"at most {_MOST_LIMITS}")
    found: dict[str, Policy] = {}
    for index, one in enumerate(limits):
        if one.name in found:
            raise InvalidRequest(field=f"limits[{index}].name", expected="a name that no other limit has")
        if one.window is not None and (one.period is not None or one.metric == "concurrency"):
            raise InvalidRequest(field=f"limits[{index}].window", expected="none beside a period or for concurrency")
        try:
            found[one.name] = Policy(
                name=f"{OWN}{one.name}",
                metric=one.metric,
                limit=one.limit,
                window=60.0 if one.window is None else one.window,
                scope="key",
                burst=one.burst,
                period=one.period,
                only=key,
                models=one.models,
            )
        except SettingsError as error:
            expected = error.message.partition("expected ")[2]
            raise InvalidRequest(field=f"limits[{index}].{error.key}", expected=expected) from None
    return tuple(found.values())


def limits_of(key: Key) -> tuple[KeyLimit, ...]:
    """The key's own limits as they were wished for."""
    return tuple(
        KeyLimit(
            name=policy.name.removeprefix(OWN),
            metric=policy.metric,
            limit=policy.limit,
            window=None if policy.period is not None or policy.metric == "concurrency" else policy.window,
            period=policy.period,
            burst=policy.burst,
            models=policy.models,
        )
        for policy in key.limits
    )


def check(key: Key, now: float) -> None:
    """Raise `InvalidRequest` where a field of a key can't be what it is."""
    unknown = key.permissions - identity.ALL_PERMISSIONS
    if unknown:
        raise InvalidRequest(field="permissions", expected=f"some of {', '.join(sorted(identity.ALL_PERMISSIONS))}")
    for field, text, least in (("name", key.name, 1), ("user", key.user, 1), ("team", key.team, 0)):
        most = 100 if field == "name" else 128
        if not least <= len(text) <= most:
            raise InvalidRequest(field=field, expected=f"{least} to {most} characters")
    if key.expires is not None and key.expires <= now:
        raise InvalidRequest(field="expires_at", expected="a time in the future")
    if len(key.models) > _MOST_MODELS or not all(1 <= len(model) <= 200 for model in key.models):
        raise InvalidRequest(field="models", expected=f"at most {_MOST_MODELS} patterns of 1 to 200 characters")
    if key.retention is not None and not 0 < key.retention <= _LONGEST_RETENTION:
        raise InvalidRequest(field="retention", expected="seconds above 0, ten years at most")
    if len(key.labels) > _MOST_LABELS or any(
        not 1 <= len(name) <= 64 or len(value) > 512 for name, value in key.labels.items()
    ):
        raise InvalidRequest(
            field="labels", expected=f"at most {_MOST_LABELS} names of 1 to 64 characters with values of at most 512"
        )


def check_change(caller: Caller, key: Key, change: KeyChange, latest: float | None) -> None:
    """Raise `Forbidden` where `caller`, whose own key ends at `latest`, may not change `key` like this."""
    if caller.admin:
        return
    if key.admin:
        raise Forbidden("only an admin changes an admin's key")
    barred = change.fields().keys() - _HARMLESS
    if barred:
        raise Forbidden(f"only an admin changes a key's {sorted(barred)[0]}")
    if change.permissions is not UNSET and not change.permissions <= caller.permissions:
        raise Forbidden("a key can't be given more than its maker has")
    if change.expires is not UNSET and latest is not None and (change.expires is None or change.expires > latest):
        raise Forbidden("a key can't outlive its maker's key")
