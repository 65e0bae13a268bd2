"""Users, apps, sessions and permits, and the decisions about them: who may do what, and who must wait to try again.

A session is what a token stands for. Its `id` is in the token; the token itself is never stored.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b32encode
from collections.abc import Iterable, Set
from ipaddress import AddressValueError, IPv6Address
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from promptd.core.errors import InvalidRequest
from promptd.core.identity import ADMIN_ROLE, ALL_PERMISSIONS, ROLE_PERMISSIONS, USER_ROLE

#: Id of the first admin. The native admin keys are this user's too, so that both see the same prompts.
FIRST_USER: Final = "admin"
DEFAULT_HOST: Final = "unnamed"  #: of callers who name no app
DEFAULT_DEVICE: Final = "unknown"
EVERY_APP: Final = "*"

MAX_TEXT: Final = 256  #: characters of a slug, a host, a device or a permission
MAX_PASSWORD: Final = 1024
MAX_LABELS: Final = 64
SESSIONS_PER_DEVICE: Final = 5
SESSIONS_PER_USER: Final = 200

_SLUG: Final = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
#: A permission of a service begins with its slug, so nobody may take such a slug and grant himself what is the service's.
_SERVICES: Final = frozenset(permission.partition(":")[0] for permission in ALL_PERMISSIONS) | {
    f"{service}-svc" for service in ("config", "secret", "proxy", "image", "container")
}


class User(Struct, frozen=True, kw_only=True):
    """Somebody who can log in. A deleted user keeps id and slug for ever, so that nobody inherits what they name."""

    id: str
    slug: str
    created: float
    updated: float
    name: str = ""
    password: str | None = None  #: its argon2 hash; a user without one can't log in
    roles: frozenset[str] = frozenset({USER_ROLE})
    deleted: float | None = None
    thumbnail_file: str = ""
    labels: dict[str, str] = {}
    version: int = 0

    @property
    def admin(self) -> bool:
        return ADMIN_ROLE in self.roles


class Slug(Struct, frozen=True, kw_only=True):
    """Who has a slug; stored in one transaction with its user, so that two never get the same."""

    id: str
    user: str
    version: int = 0


class App(Struct, frozen=True, kw_only=True):
    """A tenant, named by its host; `id` follows from it."""

    id: str
    host: str


class Session(Struct, frozen=True, kw_only=True):
    """A login of a user in an app on a device. Its tokens work while it is in its user's wallet."""

    id: str
    app: str  #: id of the app
    device: str
    created: float


class Wallet(Struct, frozen=True, kw_only=True):
    """All sessions of a user, oldest first: one record, so that they begin and end in one step. `id` is the user's."""

    id: str
    sessions: tuple[Session, ...] = ()
    version: int = 0


class Claims(Struct, frozen=True, kw_only=True):
    """What a token says. Roles and slug are for its reader; promptd looks them up anew."""

    session: str
    user: str
    app: str
    slug: str
    roles: tuple[str, ...]
    device: str
    issued: int
    expires: int


class Permit(Struct, frozen=True, kw_only=True):
    """Gives a permission to users and roles in an app, or in every one (`*`). It may end in `*`: all that begin so."""

    id: str  #: `<app>:<name>`
    name: str  #: unique in its app
    app: str
    permission: str
    created: float
    updated: float
    slugs: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    version: int = 0


# ------------------------------------------------------------------ names


def app_of(host: str) -> App:
    """The app of a host. Raises `InvalidRequest`."""
    if not 1 <= len(host) <= MAX_TEXT:
        raise InvalidRequest(field="host", expected=f"1 to {MAX_TEXT} characters")
    digest = hashlib.sha256(host.encode(errors="surrogatepass")).digest()
    return App(id=f"app_{b32encode(digest[:15]).decode().lower()}", host=host)


def is_slug(slug: str) -> bool:
    return len(slug) <= MAX_TEXT and _SLUG.fullmatch(slug) is not None


def check_slug(slug: str) -> None:
    """Raises `InvalidRequest`."""
    if not is_slug(slug):
        raise InvalidRequest(field="slug", expected="lower-case letters and digits, in groups joined by one hyphen")


def is_reserved(slug: str) -> bool:
    """Whether a slug begins the names of permissions that promptd itself asks for."""
    return slug in _SERVICES


def check_password(password: str, field: str = "password") -> None:
    """Raises `InvalidRequest`."""
    if not 1 <= len(password) <= MAX_PASSWORD:
        raise InvalidRequest(field=field, expected=f"1 to {MAX_PASSWORD} characters")


# ------------------------------------------------------------------ permissions


def matches(permit: Permit, app: str, slug: str, roles: Set[str]) -> bool:
    """Whether a permit counts for somebody in `app`."""
    return permit.app in (app, EVERY_APP) and (slug in permit.slugs or not permit.roles.isdisjoint(roles))


def grants_of(roles: Iterable[str], permits: Iterable[Permit]) -> frozenset[str]:
    """Permissions, some ending in `*`, of roles together with permits that count."""
    held = frozenset[str]().union(*(ROLE_PERMISSIONS.get(role, frozenset()) for role in roles))
    return held.union(permit.permission for permit in permits)


def holds(grants: Set[str], permission: str) -> bool:
    """Whether one of the grants is the permission or its beginning and a `*`."""
    return permission in grants or any(grant[-1:] == "*" and permission.startswith(grant[:-1]) for grant in grants)


def expand(grants: Set[str]) -> frozenset[str]:
    """The grants and every permission of promptd that they cover, so that a look into the set answers `holds`."""
    return frozenset(grants).union(permission for permission in ALL_PERMISSIONS if holds(grants, permission))


def may_grant(slug: str, permission: str) -> bool:
    """Whether the user `slug`, no admin, may give a permission away: only those of a service of that name."""
    service, colon, _ = permission.partition(":")
    return bool(slug and colon) and service == slug and not is_reserved(slug)


# ------------------------------------------------------------------ sessions


def newest(wallet: Wallet, app: str, device: str) -> Session | None:
    """The session that a login in `app` on `device` takes up again."""
    return next(
        (session for session in reversed(wallet.sessions) if (session.app, session.device) == (app, device)), None
    )


def with_session(wallet: Wallet, session: Session) -> Wallet:
    """The wallet with one more session; the oldest beyond the bounds are gone."""
    place = (session.app, session.device)
    others = [held for held in wallet.sessions if (held.app, held.device) != place]
    same = [held for held in wallet.sessions if (held.app, held.device) == place]
    same = same[-(SESSIONS_PER_DEVICE - 1) :]
    kept = sorted([*others, *same], key=lambda held: held.created)[-(SESSIONS_PER_USER - 1) :]
    return replace(wallet, sessions=(*kept, session))


# ------------------------------------------------------------------ failed logins


class Failures(Struct, frozen=True):
    """Failed logins of one slug or address: how many, when the last was, and how many are being tried right now."""

    count: int = 0
    last: float = 0.0
    trying: int = 0


class Patience(Struct, frozen=True):
    """After `free` failures each further one doubles the wait, from a second up to `most`; `forget` seconds end it."""

    free: int
    most: float
    forget: float = 3600.0


BY_SLUG: Final = Patience(free=5, most=60.0)  #: short, because anybody can make a stranger's slug wait
BY_NEW_USER: Final = Patience(free=200, most=60.0)  #: registrations from an address, none of which need have failed
BY_ADDRESS: Final = Patience(free=20, most=300.0)  #: many people may share an address


def wait_of(failures: Failures, patience: Patience, now: float) -> float:
    """Seconds until the next try may begin; 0 is now. Past the free ones, only one is tried at a time."""
    over = failures.count - patience.free
    if over < 0 or now - failures.last >= patience.forget:
        return 0.0
    wait = failures.last + min(patience.most, 2.0 ** min(over, 30)) - now
    return max(wait, 1.0) if failures.trying else max(wait, 0.0)


def network_of(address: str) -> str:
    """What counts as one address: of IPv6, the first half, because a host has the other for itself."""
    try:
        whole = IPv6Address(address.partition("%")[0])
    except AddressValueError:
        return address
    return str(whole.ipv4_mapped) if whole.ipv4_mapped else str(IPv6Address(int(whole) >> 64 << 64)) + "/64"
