"""User Svc (contract section 10): logins, tokens, profiles, passwords, permits."""

from __future__ import annotations

from typing import Final

from msgspec import UNSET

from promptd.core import identity, people
from promptd.core.errors import Conflict, Forbidden, InvalidRequest, NotFound, Unauthenticated
from promptd.core.filters import Query
from promptd.core.model import Caller
from promptd.faces.onebackend.times import stamp
from promptd.faces.onebackend.user_forms import (
    Apps,
    AppsQuery,
    ExchangeRequest,
    HasPermission,
    LoginRequest,
    PasswordRequest,
    Permissions,
    Permits,
    PermitsQuery,
    PermitsRequest,
    ProfileRequest,
    PublicKey,
    RegisterRequest,
    RevokeRequest,
    RolesQuery,
    Self,
    TokenAnswer,
    Users,
    UsersQuery,
    show_app,
    show_permit,
    show_token,
    show_user,
)
from promptd.faces.onebackend.wire import NOTHING, SMALL_BODY, Ask, Endpoint, Nothing, Refused
from promptd.service.people import People
from promptd.service.permits import MOST_AT_ONCE, Grant

_FAILED: Final = "Internal Server Error"
_LARGER: Final = 1024 * 1024  # bytes of a body
_PERMITS: Final = 4 * 1024 * 1024


def _people(ask: Ask) -> People:
    return ask.walk.people


async def _known(ask: Ask, status: int, text: str) -> Caller:
    """The caller of an endpoint that answers a missing token in its own way."""
    if not ask.token:
        raise Refused(status, text)
    return await ask.authenticate()


async def login(ask: Ask) -> TokenAnswer:
    asked = ask.fit(LoginRequest)
    if not asked.app_host:
        raise Refused(400, "AppHost missing")
    try:
        token = await _people(ask).logins.login(
            asked.app_host, asked.slug, asked.password, device=asked.device, address=ask.address
        )
    except Unauthenticated:
        raise Refused(401, "Invalid Password") from None
    except NotFound:
        raise Refused(500, _FAILED) from None
    return show_token(token)


async def register(ask: Ask) -> TokenAnswer:
    asked = ask.fit(RegisterRequest)
    if not asked.app_host:
        raise Refused(400, "AppHost missing")
    if not asked.slug:
        raise Refused(400, "Slug missing")
    try:
        token = await _people(ask).logins.register(
            asked.app_host,
            asked.slug,
            password=asked.password or None,
            name=asked.name,
            device=asked.device,
            address=ask.address,
        )
    except InvalidRequest as error:
        raise Refused(400, error.message) from None
    except Conflict:
        raise Refused(500, _FAILED) from None
    return show_token(token)


async def read_self(ask: Ask) -> Self:
    caller = await _known(ask, 500, _FAILED)
    person = await _people(ask).users.of(caller)
    sessions = await _people(ask).sessions.of(caller.user)
    return Self(show_user(person.user), sorted(person.user.roles), len(sessions))


async def save_self(ask: Ask) -> Nothing:
    asked = ask.fit(ProfileRequest)
    labels = asked.labels
    if labels is not None and not all(isinstance(value, str) for value in labels.values()):
        raise InvalidRequest(field="labels", expected="strings")
    await _people(ask).users.update(ask.caller, name=asked.name, thumbnail_file=asked.thumbnail_file_id, labels=labels)
    return NOTHING


async def has_permission(ask: Ask) -> HasPermission:
    caller = await _known(ask, 422, "No Auth Header")
    person = await _people(ask).users.of(caller)
    return HasPermission(
        authorized=caller.admin or people.holds(caller.permissions, ask.params["permission"]),
        app_id=person.app.id,
        until=stamp(_people(ask).sessions.next_look()),
        user=show_user(person.user),
        app=show_app(person.app),
    )


async def refresh_token(ask: Ask) -> TokenAnswer:
    if not ask.token:
        raise Refused(422, "422 Unprocessable Entity")
    caller = await ask.authenticate(to_refresh=True)
    return show_token(await _people(ask).logins.refresh(caller))


async def exchange_token(ask: Ask) -> TokenAnswer:
    asked = ask.fit(ExchangeRequest)
    token = await _people(ask).logins.exchange(
        ask.caller, host=asked.new_app_host or None, app=asked.new_app_id or None, device=asked.new_device or None
    )
    return show_token(token)


async def revoke_tokens(ask: Ask) -> Nothing:
    asked = ask.fit(RevokeRequest)
    await _people(ask).logins.revoke(
        ask.caller, user=asked.user_id or None, device=asked.device or None, everything=asked.all_tokens
    )
    return NOTHING


async def change_password(ask: Ask) -> Nothing:
    asked = ask.fit(PasswordRequest)
    try:
        await _people(ask).users.change_password(
            ask.caller, current=asked.current_password, new=asked.new_password, address=ask.address
        )
    except Unauthenticated:
        raise Refused(500, _FAILED) from None
    return NOTHING


async def reset_password(ask: Ask) -> Nothing:
    new = ask.fit(PasswordRequest).new_password
    await _people(ask).users.reset_password(ask.caller, ask.params["userId"], new=new)
    return NOTHING


async def public_key(ask: Ask) -> PublicKey:
    return PublicKey(await _people(ask).logins.public_key())


async def save_permits(ask: Ask) -> Nothing:
    asked = ask.fit(PermitsRequest).permits
    if len(asked) > MOST_AT_ONCE:
        raise InvalidRequest(field="permits", expected=f"at most {MOST_AT_ONCE}")
    await _people(ask).users.session_of(ask.caller)
    person = await _people(ask).users.of(ask.caller)
    grants = [
        Grant(
            permission=permit.permission,
            app=_app_named(permit.app_host, person.app, f"permits[{index}].appHost"),
            slugs=frozenset(permit.slugs),
            roles=frozenset(permit.roles),
            name=permit.id,
        )
        for index, permit in enumerate(asked)
    ]
    await _people(ask).permits.save(ask.caller, person.user.slug, grants)
    return NOTHING


def _app_named(host: str, own: people.App, path: str) -> people.App | None:
    if host == people.EVERY_APP:
        return None
    try:
        return people.app_of(host) if host else own
    except InvalidRequest as error:
        raise InvalidRequest(field=path, expected=error.expected) from None


async def list_permits(ask: Ask) -> Permits:
    asked = ask.fit(PermitsQuery)
    found = await _people(ask).permits.find(ask.caller, permission=asked.permission, slug=asked.slug)
    return Permits([show_permit(permit) for permit in found])


async def list_permissions(ask: Ask) -> Permissions:
    roles = set(ask.fit(RolesQuery).roles)
    person = await _people(ask).users.of(ask.caller)
    if not roles <= person.user.roles:
        raise Forbidden("only the caller's own roles")
    return Permissions(sorted(await _people(ask).permits.of_roles(roles, person.app.id)))


async def list_apps(ask: Ask) -> Apps:
    asked = ask.fit(AppsQuery)
    found = await _people(ask).users.apps(ask.caller, ids=asked.ids, hosts=asked.host)
    return Apps([show_app(app) for app in found])


async def list_users(ask: Ask) -> Users:
    asked = ask.fit(UsersQuery)
    page = await _people(ask).users.find(ask.caller, Query(limit=asked.limit, after=asked.after or None))
    return Users([show_user(user) for user in page.items], page.after if page.after is not None else UNSET)


async def delete_user(ask: Ask) -> Nothing:
    await _people(ask).users.delete(ask.caller, ask.params["userId"])
    return NOTHING


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint("POST", "/user-svc/login", None, login, max_body=SMALL_BODY),
    Endpoint("POST", "/user-svc/register", None, register, max_body=SMALL_BODY),
    Endpoint("POST", "/user-svc/self", None, read_self, max_body=SMALL_BODY),
    Endpoint("PUT", "/user-svc/self", (), save_self, max_body=_LARGER),
    Endpoint("POST", "/user-svc/self/has/{permission}", None, has_permission, max_body=SMALL_BODY),
    Endpoint("POST", "/user-svc/refresh-token", None, refresh_token, max_body=SMALL_BODY),
    Endpoint("PUT", "/user-svc/token/exchange", (), exchange_token, max_body=SMALL_BODY),
    Endpoint("DELETE", "/user-svc/tokens", (), revoke_tokens, max_body=SMALL_BODY),
    Endpoint("POST", "/user-svc/change-password", (identity.PASSWORD_CHANGE,), change_password, max_body=SMALL_BODY),
    Endpoint(
        "POST", "/user-svc/{userId}/reset-password", (identity.PASSWORD_RESET,), reset_password, max_body=SMALL_BODY
    ),
    Endpoint("GET", "/user-svc/public-key", None, public_key, max_body=SMALL_BODY),
    Endpoint("PUT", "/user-svc/permits", (), save_permits, max_body=_PERMITS),
    Endpoint("POST", "/user-svc/permits", (identity.PERMIT_VIEW,), list_permits, max_body=SMALL_BODY),
    Endpoint("POST", "/user-svc/permissions", (), list_permissions, max_body=SMALL_BODY),
    Endpoint("POST", "/user-svc/apps", (), list_apps, max_body=_LARGER),
    # not in the contract, and needed to see and end users
    Endpoint("POST", "/user-svc/users", (identity.USER_VIEW,), list_users, max_body=SMALL_BODY),
    Endpoint("DELETE", "/user-svc/user/{userId}", (identity.USER_DELETE,), delete_user, max_body=SMALL_BODY),
)
