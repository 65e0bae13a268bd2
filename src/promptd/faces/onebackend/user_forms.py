"""What User Svc takes and gives (contract section 10).

Strict clients decode the answers: no member may be added to them.
"""

from __future__ import annotations

from msgspec import UNSET, Struct, UnsetType

from promptd.core import people
from promptd.faces.onebackend.times import stamp
from promptd.service.sessions import Token

# ---------------------------------------------------------------- requests


class LoginRequest(Struct, rename="camel"):
    app_host: str = ""
    slug: str = ""
    password: str = ""
    device: str = ""


class RegisterRequest(LoginRequest, rename="camel"):
    name: str = ""


class ProfileRequest(Struct, rename="camel"):
    name: str | None = None
    thumbnail_file_id: str | None = None
    labels: dict[str, str] | None = None


class ExchangeRequest(Struct, rename="camel"):
    new_app_host: str | None = None
    new_app_id: str | None = None
    new_device: str | None = None


class RevokeRequest(Struct, rename="camel"):
    user_id: str | None = None
    device: str | None = None
    all_tokens: bool = False


class PasswordRequest(Struct, rename="camel"):
    current_password: str = ""
    new_password: str = ""


class PermitAsked(Struct, rename="camel"):
    permission: str
    id: str = ""
    app_host: str = ""
    slugs: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()


class PermitsRequest(Struct, rename="camel"):
    permits: tuple[PermitAsked, ...] = ()


class PermitsQuery(Struct, rename="camel"):
    permission: str = ""
    slug: str = ""


class RolesQuery(Struct, rename="camel"):
    roles: tuple[str, ...] = ()


class AppsQuery(Struct, rename="camel"):
    ids: tuple[str, ...] = ()
    host: tuple[str, ...] = ()


class UsersQuery(Struct, rename="camel"):
    limit: int = 100
    after: str | None = None


# ---------------------------------------------------------------- answers


class AppShown(Struct):
    id: str
    host: str


class UserShown(Struct, rename="camel", omit_defaults=True):
    id: str
    slug: str
    created_at: str
    updated_at: str
    name: str = ""
    thumbnail_file_id: str = ""
    labels: dict[str, str] = {}
    deleted_at: str = ""


class TokenShown(Struct, rename="camel"):
    id: str
    internal_id: str
    app: AppShown
    app_id: str
    user_id: str
    device: str
    token: str
    active: bool
    created_at: str
    updated_at: str
    expires_at: str


class TokenAnswer(Struct):
    token: TokenShown


class Self(Struct, rename="camel"):
    user: UserShown
    roles: list[str]
    token_count: int


class HasPermission(Struct, rename="camel"):
    authorized: bool
    app_id: str
    until: str
    user: UserShown
    app: AppShown


class PermitShown(Struct, rename="camel", omit_defaults=True):
    internal_id: str
    app_id: str
    id: str
    created_at: str
    updated_at: str
    deleted_at: str
    permission: str
    slugs: list[str] = []
    roles: list[str] = []


class Permits(Struct):
    permits: list[PermitShown]


class Permissions(Struct):
    permissions: list[str]


class Apps(Struct):
    apps: list[AppShown]


class Users(Struct):
    users: list[UserShown]
    after: str | UnsetType = UNSET


class PublicKey(Struct, rename="camel"):
    public_key: str


def show_app(app: people.App) -> AppShown:
    return AppShown(app.id, app.host)


def show_user(user: people.User) -> UserShown:
    return UserShown(
        id=user.id,
        slug=user.slug,
        created_at=stamp(user.created),
        updated_at=stamp(user.updated),
        name=user.name,
        thumbnail_file_id=user.thumbnail_file,
        labels=user.labels,
        deleted_at=stamp(user.deleted) if user.deleted is not None else "",
    )


def show_token(token: Token) -> TokenAnswer:
    session = token.session
    return TokenAnswer(
        TokenShown(
            id=session.id,
            internal_id=f"{session.app}:{session.id}",
            app=show_app(token.app),
            app_id=session.app,
            user_id=token.user.id,
            device=session.device,
            token=token.jwt,
            active=True,
            created_at=stamp(session.created),
            updated_at=stamp(token.issued),
            expires_at=stamp(token.expires),
        )
    )


def show_permit(permit: people.Permit) -> PermitShown:
    return PermitShown(
        internal_id=permit.id,
        app_id=permit.app,
        id=permit.name,
        created_at=stamp(permit.created),
        updated_at=stamp(permit.updated),
        deleted_at=stamp(None),
        permission=permit.permission,
        slugs=sorted(permit.slugs),
        roles=sorted(permit.roles),
    )
